// The report on the page (report.ts): tabs asked for once, the newest answer wins, controls stay, Escape gives the focus back.
// @vitest-environment jsdom

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import view from "../src/report";

class Kernel {
  asked: any[] = [];
  hold = false; // answers wait for `tell`
  private held: (() => void)[] = [];
  private handlers: ((message: any) => void)[] = [];
  answers: Record<string, (question: any) => object> = {
    hello: () => ({ head: '<p class="headline">tuned wins</p>', tabs: [["result", "Who won"], ["scores", "Scores"], ["plan", "Planning"]] }),
    part: ({ name }) =>
      name === "scores"
        ? { html: ranking("equal"), dimensions: [["honesty", "honesty", 50], ["safety", "safety", 50]], voices: [["human:*", "all humans"]], voice: "human:*", gate: 3 }
        : { html: `<section data-name="${name}"><h3>T</h3><p class="about">a</p><div class="wide"><a href="#c1" data-cell="c1">78 %</a></div></section>` },
    weights: ({ weights }) => ({ html: ranking(JSON.stringify(weights)) }),
    plan: ({ points }) => ({ html: `<section data-name="plan"><h3>T</h3><p class="about">for ${points}</p></section>` }),
    cell: ({ cell }) => ({ html: `<h4>behind ${cell}</h4>` }),
  };
  get = () => ({});
  on = (event: string, handler: any) => void (event === "msg:custom" && this.handlers.push(handler));
  off = () => {};
  send(question: any): void {
    this.asked.push(question);
    const reply = () => this.say({ ask: question.ask, ...this.answers[question.kind]!(question) });
    if (this.hold) this.held.push(reply);
    else queueMicrotask(reply);
  }
  say(message: any): void {
    for (const handler of this.handlers) handler(message);
  }
  /** Held answers, in the order given. */
  tell(...places: number[]): void {
    for (const place of places) this.held[place]!();
  }
  kinds = (kind: string) => this.asked.filter((one) => one.kind === kind);
}

const ranking = (words: string) => `<section data-name="weights"><h3>R</h3><p class="about">${words}</p><div class="wide">table</div></section>`;

describe("the report", () => {
  let kernel: Kernel;
  let element: HTMLElement;
  const settle = () => vi.advanceTimersByTimeAsync(200);
  const tab = (name: string) => element.querySelector<HTMLElement>(`[data-tab=${name}]`)!;
  const about = () => element.querySelector("[data-name=weights] .about")!.textContent;

  beforeEach(async () => {
    vi.useFakeTimers();
    Element.prototype.scrollIntoView = () => {};
    kernel = new Kernel();
    element = document.body.appendChild(document.createElement("div"));
    view.render({ model: kernel as any, el: element });
    await settle();
  });
  afterEach(() => {
    element.remove();
    vi.useRealTimers();
  });

  it("shows the headline and its first tab, and asks for a tab once", async () => {
    expect(element.querySelector(".headline")!.textContent).toBe("tuned wins");
    expect(tab("result").getAttribute("aria-selected")).toBe("true");
    tab("scores").click();
    await settle();
    tab("result").click();
    tab("scores").click();
    await settle();
    expect(kernel.kinds("part").map((one) => one.name)).toEqual(["result", "scores"]);
  });

  it("turns by arrow keys, round the ends", async () => {
    tab("result").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    await settle();
    expect(tab("plan").getAttribute("aria-selected")).toBe("true");
    expect(document.activeElement).toBe(tab("plan"));
    expect(tab("result").tabIndex).toBe(-1);
  });

  it("asks once for many moves of a slider, keeps it, and shows the newest answer only", async () => {
    tab("scores").click();
    await settle();
    const slider = element.querySelector<HTMLInputElement>("[data-dimension=safety]")!;
    slider.focus();
    const move = (value: number) => {
      slider.value = String(value);
      slider.dispatchEvent(new Event("input"));
    };
    for (let value = 60; value <= 100; value += 10) move(value);
    await settle();
    expect(kernel.kinds("weights")).toHaveLength(1);
    expect(kernel.asked.at(-1)).toMatchObject({ weights: { honesty: 50, safety: 100 }, gate: 3, voice: "human:*" });
    expect(about()).toBe('{"honesty":50,"safety":100}');
    expect(document.activeElement).toBe(slider);
    expect(slider.parentElement!.querySelector("output")!.textContent).toBe("67 %");
    kernel.hold = true;
    move(10);
    await settle();
    move(20);
    await settle();
    kernel.tell(1, 0); // the older answer comes last
    await settle();
    expect(about()).toBe('{"honesty":50,"safety":20}');
    expect(element.querySelectorAll("[data-name=weights] .wide")).toHaveLength(1);
  });

  it("asks nothing while all weights are 0", async () => {
    tab("scores").click();
    await settle();
    for (const slider of element.querySelectorAll<HTMLInputElement>("[data-dimension]")) {
      slider.value = "0";
      slider.dispatchEvent(new Event("input"));
    }
    await settle();
    expect(kernel.kinds("weights")).toHaveLength(0);
  });

  it("shows what is behind a figure, one at a time; Escape gives the focus back", async () => {
    const link = element.querySelector<HTMLElement>("[data-cell]")!;
    link.click();
    await settle();
    link.click();
    await settle();
    const boxes = element.querySelectorAll(".examples");
    expect(boxes).toHaveLength(1);
    expect(boxes[0]!.textContent).toContain("behind c1");
    boxes[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(element.querySelector(".examples")).toBeNull();
    expect(document.activeElement).toBe(link);
  });

  it("says what the kernel could not do, and keeps the rest", async () => {
    kernel.answers.cell = () => ({ error: "this figure is of an older report" });
    element.querySelector<HTMLElement>("[data-cell]")!.click();
    await settle();
    expect(element.querySelector(".errors")!.textContent).toBe("this figure is of an older report");
    expect(element.querySelector(".examples")).toBeNull();
    kernel.say({ kind: "changed" });
    await settle();
    expect(kernel.kinds("hello")).toHaveLength(2);
    expect(element.querySelector(".errors")!.textContent).toBe("");
  });
});
