// @vitest-environment jsdom
// The line of the rating page: what is asked while the server is away is asked when it is back, and once.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Line, type Trouble } from "../src/rate";

class FakeSocket {
  static made: FakeSocket[] = [];
  sent: any[] = [];
  onmessage: (event: { data: string }) => void = () => {};
  onclose: (event: { code: number }) => void = () => {};
  constructor(readonly address: string) {
    FakeSocket.made.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  tell(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

let started = 0;
let troubles: Trouble[] = [];
let enter: () => Promise<boolean>;
const last = () => FakeSocket.made.at(-1)!;

function line(): Line {
  return new Line("ws://x/socket", () => started++, (trouble) => troubles.push(trouble), () => enter());
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  FakeSocket.made = [];
  started = 0;
  troubles = [];
  enter = () => Promise.reject(new Error("not there"));
});
afterEach(() => vi.useRealTimers());

test("the grid starts once, with the words of the server", () => {
  const model = line();
  last().tell({ traits: { _labels: { x: "X" } } });
  expect(model.get("_labels")).toEqual({ x: "X" });
  last().onclose({ code: 1006 });
  expect(started).toBe(1);
});

test("a lost line is taken up again, and open questions are asked anew, each vote once", async () => {
  const model = line();
  const heard: any[] = [];
  model.on("msg:custom", (message) => heard.push(message));
  last().tell({ traits: { _labels: { x: "X" } } });
  model.send({ ask: "1", kind: "rows", from: 0, to: 50 });
  model.send({ ask: "2", kind: "hello" });
  last().tell({ ask: "2", states: "." });
  expect(heard).toEqual([{ ask: "2", states: "." }]);
  last().onclose({ code: 1006 });
  expect(troubles.at(-1)).toBe("lost");
  model.send({ ask: "3", kind: "vote", key: "k" });
  model.send({ ask: "4", kind: "vote", key: "k" }); // the outbox tries again
  await vi.advanceTimersByTimeAsync(300);
  expect(FakeSocket.made.length).toBe(2);
  expect(last().sent).toEqual([]);
  last().tell({ traits: { _labels: { x: "X" } } });
  expect(troubles.at(-1)).toBe(null);
  expect(last().sent.map(({ ask }) => ask)).toEqual(["1", "4"]);
  last().tell({ ask: "4", state: "a" });
  last().onclose({ code: 1006 });
  await vi.advanceTimersByTimeAsync(5000);
  last().tell({ traits: { _labels: { x: "X" } } });
  expect(last().sent.map(({ ask }) => ask)).toEqual(["1"]);
  expect(started).toBe(1);
});

test("a server with another link is said so, and not tried for ever", async () => {
  line();
  enter = () => Promise.resolve(false);
  last().onclose({ code: 1006 });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(troubles.at(-1)).toBe("old");
  expect(FakeSocket.made.length).toBe(1);
});

test("a page that the server closed stays closed; one that it could not serve is tried again", async () => {
  line();
  last().onclose({ code: 1008 });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(troubles).toEqual(["closed"]);
  expect(FakeSocket.made.length).toBe(1);
  line();
  enter = () => Promise.resolve(true);
  last().onclose({ code: 1011 });
  await vi.advanceTimersByTimeAsync(400);
  expect(troubles.at(-1)).toBe("failed");
  expect(FakeSocket.made.length).toBe(3);
});
