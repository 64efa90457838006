import { expect, test } from "vitest";
import { Questions, type Model } from "../src/kernel";

class Line implements Model {
  private heard: (message: any, buffers?: DataView[]) => void = () => {};
  asked: any[] = [];
  get = () => null;
  off = () => {};
  send = (content: unknown) => void this.asked.push(content);
  on(event: string, handler: (message: any, buffers?: DataView[]) => void): void {
    if (event === "msg:custom") this.heard = handler;
  }
  plain = (message: object) => this.heard(message, []);
  packed = (bytes: ArrayBuffer) => this.heard({ packed: true }, [new DataView(bytes)]);
}

function packed(message: object): Promise<ArrayBuffer> {
  return new Response(new Blob([JSON.stringify(message)]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer();
}

test("a packed message is unpacked, and what comes after it waits for its turn", async () => {
  const line = new Line();
  const order: string[] = [];
  const questions = new Questions<{ kind: string }>(line, (message) => order.push(message.saved));
  const reply = questions.ask<{ text: string }>({ kind: "row" });
  line.plain({ saved: "before" });
  expect(order).toEqual(["before"]); // at once
  const [long, last] = await Promise.all([packed({ ask: line.asked[0].ask, text: "例".repeat(3000) }), packed({ saved: "last" })]);
  line.packed(long);
  line.plain({ saved: "after" });
  line.packed(last);
  expect(order).toEqual(["before"]);
  expect((await reply).text).toBe("例".repeat(3000));
  await expect.poll(() => order).toEqual(["before", "after", "last"]);
  line.plain({ saved: "at once again" });
  await expect.poll(() => order.length).toBe(4);
});
