// The report, browser half: sftkit/widgets/report_view.py is the kernel half. What it sends as HTML was escaped by its templates
// (sftkit/report/sections.html.jinja) and holds no scripts; labels and sliders are made here.

import { h, labelled, type Label } from "./dom";
import { Questions, Unreachable, type Model } from "./kernel";

interface Head { head: string; tabs: [name: string, title: string][] }
interface Sliders { dimensions: [name: string, title: string, share: number][]; voices: [name: string, title: string][]; voice: string; gate: number | null }
type Part = { html: string } & Partial<Sliders>;
type Ask = { kind: string } & Record<string, unknown>;

const PAUSE_MS = 90; // from the last move of a slider to the question
const PATIENCE_MS = 4000;

class Report {
  private readonly label: Label;
  private readonly questions: Questions<Ask>;
  private readonly root: HTMLElement;
  private readonly head = h("div", { class: "head" });
  private readonly list = h("div", { class: "tabs", role: "tablist" });
  private readonly panel = h("div", { class: "panel", role: "tabpanel", tabindex: 0 });
  private readonly errors = h("div", { class: "errors", role: "alert" });
  private readonly parts = new Map<string, HTMLElement>(); // tabs opened so far
  private readonly refresh: HTMLButtonElement;
  private tabs: [string, string][] = [];
  private tab = "";
  private readonly id = Math.random().toString(36).slice(2); // more than one may be on the page

  constructor(model: Model, element: HTMLElement) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    this.questions = new Questions<Ask>(model, (message) => message.kind === "changed" && void this.open(false), () => this.fail(new Unreachable()));
    this.refresh = h("button", { type: "button", class: "refresh", title: this.label("report.refresh_note"), onclick: () => void this.open(true) }, this.label("report.refresh"));
    this.root = h(
      "div",
      { class: "sftkit-report sftkit-report-view", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": this.label("report.title") },
      this.head, h("div", { class: "bar" }, this.list, this.refresh), this.errors, this.panel,
    );
    this.list.addEventListener("keydown", this.turned);
    this.root.addEventListener("click", this.clicked);
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.shut();
      if (!(event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation(); // x would cut the cell
    });
    element.append(this.root);
    void this.open(false);
  }

  close(): void {
    this.questions.close();
  }

  // the whole

  /** again: with the ratings since. The tab in view stays in view. */
  private async open(again: boolean): Promise<void> {
    this.refresh.disabled = true;
    if (!this.tabs.length) this.wait(this.head);
    try {
      const told = await this.ask<Head>({ kind: "hello", again });
      this.head.innerHTML = told.head;
      this.tabs = told.tabs;
      this.parts.clear();
      this.drawTabs();
      if (this.tabs.length) await this.turnTo(this.tabs.some(([name]) => name === this.tab) ? this.tab : this.tabs[0]![0]);
    } catch (error) {
      this.fail(error);
    } finally {
      this.refresh.disabled = false;
    }
  }

  private drawTabs(): void {
    const tab = ([name, title]: [string, string]) =>
      h("button", { type: "button", role: "tab", id: `${this.id}-${name}`, "data-tab": name, onclick: () => void this.turnTo(name) }, title);
    this.list.replaceChildren(...this.tabs.map(tab));
    this.panel.hidden = !this.tabs.length;
  }

  private async turnTo(name: string): Promise<void> {
    this.tab = name;
    for (const button of this.list.querySelectorAll<HTMLElement>("[role=tab]")) {
      const on = button.dataset.tab === name;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `${this.id}-${name}`);
    const known = this.parts.get(name);
    if (known) return this.panel.replaceChildren(known);
    this.wait(this.panel);
    try {
      const told = await this.ask<Part>({ kind: "part", name });
      const made = h("div", { class: "part" });
      made.innerHTML = told.html;
      if (told.dimensions) this.addSliders(made, told as Part & Sliders);
      if (name === "plan") this.addPlan(made);
      this.parts.set(name, made);
      if (this.tab === name) this.panel.replaceChildren(made);
    } catch (error) {
      if (this.tab === name) this.panel.replaceChildren();
      this.fail(error);
    }
  }

  private readonly turned = (event: KeyboardEvent): void => {
    const place = this.tabs.findIndex(([name]) => name === this.tab);
    const last = this.tabs.length - 1;
    const to = { ArrowRight: place < last ? place + 1 : 0, ArrowLeft: place > 0 ? place - 1 : last, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    void this.turnTo(this.tabs[to]![0]);
    this.list.querySelectorAll<HTMLElement>("[role=tab]")[to]!.focus();
  };

  // weights

  private addSliders(part: HTMLElement, told: Sliders): void {
    const { label } = this;
    const sliders = told.dimensions.map(([name, title, share]) => {
      const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: share, "data-dimension": name, "aria-label": title });
      return { name, slider, equal: share, row: h("label", {}, h("span", {}, title), slider, h("output", {})) };
    });
    const voice = h("select", {}, ...told.voices.map(([name, title]) => h("option", { value: name, selected: name === told.voice }, title)));
    const gate = h("input", { type: "number", min: 0, max: 5, step: 0.5, value: told.gate ?? 0 });
    const show = () => {
      const sum = sliders.reduce((all, one) => all + Number(one.slider.value), 0);
      for (const { slider, row } of sliders) row.querySelector("output")!.textContent = sum ? `${Math.round((100 * Number(slider.value)) / sum)} %` : "0 %";
      return sum;
    };
    const rank = this.latest(part, "weights", () => {
      const all = Object.fromEntries(sliders.map(({ name, slider }) => [name, Number(slider.value)]));
      return show() ? { kind: "weights", weights: all, gate: Number(gate.value), voice: voice.value } : null;
    });
    const equal = h("button", { type: "button", onclick: () => {
      for (const one of sliders) one.slider.value = String(one.name === "safety" && Number(gate.value) > 0 && sliders.length > 1 ? 0 : 100);
      rank();
    } }, label("report.equal"));
    for (const input of [voice, gate, ...sliders.map((one) => one.slider)]) input.addEventListener("input", rank);
    show();
    const gated = told.gate === null ? null : h("label", { title: label("report.gate_note") }, h("span", {}, label("report.gate")), gate);
    const others = h("div", { class: "others-of-weights" }, h("label", {}, h("span", {}, label("report.scores_of")), voice), gated, equal);
    const controls = h("div", { class: "sliders", role: "group", "aria-label": label("report.weights") }, ...sliders.map((one) => one.row), others);
    part.querySelector("[data-name=weights] .about")?.after(controls);
  }

  private addPlan(part: HTMLElement): void {
    const input = (key: string, value: number, min: number, max: number, step: number) => {
      const field = h("input", { type: "number", value, min, max, step });
      return { field, row: h("label", {}, h("span", {}, this.label(key)), field) };
    };
    const points = input("report.points", 5, 0.5, 49, 0.5);
    const power = input("report.power", 80, 50, 99, 1);
    const each = input("report.each", 1, 1, 20, 1);
    const all = [points, power, each];
    const plan = this.latest(part, "plan", () =>
      all.every(({ field }) => field.reportValidity() && field.value) ? { kind: "plan", points: points.field.value, power: power.field.value, each: each.field.value } : null,
    );
    for (const { field } of all) field.addEventListener("input", plan);
    part.querySelector("[data-name=plan] .about")?.after(h("div", { class: "sliders plan" }, ...all.map(({ row }) => row)));
    plan();
  }

  /** Ask soon, once, with what stands then; only the newest answer is shown, in place of what the section's controls rule. */
  private latest(part: HTMLElement, name: string, question: () => Ask | null): () => void {
    let timer = 0;
    let count = 0;
    return () => {
      clearTimeout(timer);
      timer = window.setTimeout(async () => {
        const ask = question();
        if (!ask) return;
        const mine = ++count;
        try {
          const told = await this.ask<Part>(ask);
          if (mine !== count) return;
          const made = h("div");
          made.innerHTML = told.html;
          this.exchange(part.querySelector(`[data-name=${name}]`)!, made.querySelector("section")!);
        } catch (error) {
          if (mine === count) this.fail(error);
        }
      }, PAUSE_MS);
    };
  }

  /** The controls stay where they are, so that the slider keeps the focus. */
  private exchange(old: Element, fresh: Element): void {
    for (const child of [...old.children]) if (!child.matches("h3, .sliders, .examples")) child.remove();
    const controls = old.querySelector(":scope > .sliders")!;
    for (const child of [...fresh.children]) {
      if (child.matches("h3")) continue;
      if (child.matches(".about")) controls.before(child);
      else old.append(child);
    }
  }

  // examples

  private readonly clicked = (event: MouseEvent): void => {
    const link = (event.target as Element).closest<HTMLElement>("a[data-cell]");
    if (!link) return;
    event.preventDefault();
    void this.show(link);
  };

  private async show(link: HTMLElement): Promise<void> {
    this.shut(false);
    link.classList.add("asked");
    const close = h("button", { type: "button", class: "close", onclick: () => this.shut() }, this.label("report.close"));
    const text = h("div", {}, h("p", { class: "loading" }, this.label("report.loading")));
    const box = h("aside", { class: "examples", tabindex: -1, "aria-label": this.label("report.examples") }, close, text);
    (link.closest(".wide") ?? link).after(box);
    box.focus({ preventScroll: true });
    try {
      const told = await this.ask<Part>({ kind: "cell", cell: link.dataset.cell });
      text.innerHTML = told.html;
      box.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.shut();
      this.fail(error);
    }
  }

  private shut(back = true): void {
    this.root.querySelector(".examples")?.remove();
    const link = this.root.querySelector<HTMLElement>(".asked");
    link?.classList.remove("asked");
    if (back) link?.focus();
  }

  // the kernel

  private async ask<Reply>(question: Ask): Promise<Reply> {
    const reply = await this.questions.ask<Reply>(question);
    this.errors.replaceChildren();
    return reply;
  }

  private wait(place: HTMLElement): void {
    const text = h("p", { class: "loading", role: "status" }, this.label("report.loading"));
    place.replaceChildren(text);
    setTimeout(() => text.isConnected && (text.textContent = this.label("report.long")), PATIENCE_MS);
  }

  private fail(error: unknown): void {
    const words = error instanceof Unreachable ? this.label("report.no_kernel") : String((error as Error).message ?? error);
    this.errors.replaceChildren(h("p", {}, words));
  }
}

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    const report = new Report(model, el);
    return () => report.close();
  },
};
