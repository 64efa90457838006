// The loss curves, browser half: sftkit/widgets/curve_chart.py is the kernel half. Axis, scale, smoothing and what is in
// sight are traits of both; points come as binary frames, one at a time: the next one is sent when this one is painted.

import { Lines, type Axis, type Frame, type View } from "./curves_data";
import { Plot } from "./curves_plot";
import { batch, differences, panel, Readout, type Batch, type Setup } from "./curves_tables";
import { h, labelled, type Label } from "./dom";
import { Questions, type Model as AnyModel } from "./kernel";

interface Model extends AnyModel {
  set(name: string, value: unknown): void;
  save_changes(): void;
}

type Request = { kind: "values"; x: number | null } | { kind: "rows"; run: number; x: number };
type Values = { values: Record<string, number>[] };

const PAUSE_MS = 70; // of zooming, moving, sliding, after which the kernel is asked
const AXES: [Axis, string][] = [["step", "curves.step"], ["tokens", "curves.tokens"], ["seconds", "curves.time"]];

class Curves {
  private readonly label: Label;
  private readonly setup: Setup;
  private readonly root: HTMLElement;
  private readonly lines = new Lines();
  private readonly plot: Plot;
  private readonly readout: Readout;
  private readonly kernel: Questions<Request>;
  private readonly hidden = new Set<number>();
  private readonly reading = h("div", { class: "reading", role: "status" });
  private readonly none: HTMLElement;
  private readonly panels = h("div");
  private readonly evals = h("details", { class: "evals" });
  private readonly controls: { axis: HTMLSelectElement; log: HTMLInputElement; smoothing: HTMLInputElement; output: HTMLOutputElement };
  private readonly theme: MutationObserver;
  private span: [number, number] | null;
  private tasks: string[] = [];
  private timers: Record<string, number> = {};
  private readonly waiting = new Set<string>(); // timers after which there is something to do
  private drawn = ""; // the look that is on the page
  private asking = false; // values are on their way
  private pointed: number | null = null;
  private values: Record<string, number>[] = [];

  constructor(
    private readonly model: Model,
    element: HTMLElement,
  ) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    this.setup = model.get("setup") as Setup;
    this.span = spanOf(this.view);
    this.kernel = new Questions(model);
    const canvas = h("div", { class: "chart", tabindex: 0, role: "img", "aria-label": this.label("curves.chart", { runs: this.setup.names.join(", ") }), title: "" });
    this.none = h("div", { class: "none" }, this.label("curves.none"));
    this.plot = new Plot(canvas, this.setup, { zoomed: this.zoomed, pointed: this.point, picked: this.pick });
    this.readout = new Readout(this.setup, this.label, this.toggle);
    this.controls = this.makeControls();
    const frame = h("div", { class: "frame" }, canvas, this.none);
    this.root = h("div", { class: "sftkit-curves", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": this.label("curves.loss") }, this.bar(), this.reading, frame, this.readout.root, differences(this.setup, this.label), this.panels);
    element.append(this.root);
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation(); // JupyterLab's shortcuts act on the cell
    });
    canvas.addEventListener("keydown", this.keys);
    canvas.addEventListener("dblclick", () => this.plot.all());
    this.theme = new MutationObserver(() => this.plot.repaint());
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    model.on("msg:custom", this.receive);
    for (const name of ["axis", "log", "smoothing", "evals", "span"]) model.on(`change:${name}`, this.changed);
    this.draw();
    this.say({ kind: "hello" });
  }

  close(): void {
    this.theme.disconnect();
    this.plot.close();
    this.kernel.close();
    this.model.off("msg:custom", this.receive);
    for (const name of ["axis", "log", "smoothing", "evals", "span"]) this.model.off(`change:${name}`, this.changed);
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
  }

  private get view(): View {
    const get = (name: string) => this.model.get(name);
    return { axis: get("axis") as string, smoothing: get("smoothing") as number, span: get("span") as number[], evals: get("evals") as string[] };
  }

  private say(content: unknown): void {
    try {
      this.model.send(content);
    } catch {
      // no kernel: what is shown stays
    }
  }

  // frames

  private readonly receive = (message: Frame, buffers?: DataView[]): void => {
    if (message.kind !== "frame") return;
    if (message.number === 1) this.lines.forget();
    const points = buffers?.[0] ?? new DataView(new ArrayBuffer(0));
    if (this.lines.take(message, points, this.view)) {
      this.tell(message.reading);
      if (message.tasks.join("\n") !== this.tasks.join("\n")) this.offer(message.tasks);
      this.draw();
      if (this.pointed === null) this.later("values", () => void this.ask(), 250);
    }
    requestAnimationFrame(() => {
      this.root.dataset.painted = String(message.number);
      this.say({ kind: "painted" });
    });
  };

  private get look(): string {
    const { axis, evals } = this.view;
    return JSON.stringify([axis, evals, this.model.get("log"), this.span, [...this.hidden], this.lines.last]);
  }

  private draw(): void {
    if (this.look === this.drawn) return; // twenty runs are half a second's work for a machine without a graphics card
    this.drawn = this.look;
    const { axis, evals } = this.view;
    const lines = this.lines.shown(this.hidden, evals);
    const words = AXES.find(([name]) => name === axis)![1];
    this.plot.draw(lines, axis, this.model.get("log") as boolean, [this.label(words), this.label("curves.loss")], this.span);
    this.none.hidden = lines.length > 0 || this.hidden.size > 0;
    this.root.dataset.points = String(this.lines.get(0, "loss")?.x.length ?? 0);
    if (!this.values.length) this.readout.show([], this.hidden);
  }

  private tell(reading: number | null): void {
    const percent = Math.floor(100 * (reading ?? 1));
    const bar = h("progress", { max: 100, value: percent });
    this.reading.replaceChildren(...(reading === null ? [] : [bar, this.label("curves.reading", { percent })]));
  }

  // controls

  private makeControls(): Curves["controls"] {
    const change = (name: string, value: () => unknown) => () => this.set({ [name]: value() });
    const axis = h("select", { "aria-label": this.label("curves.axis") }, ...AXES.map(([name, words]) => h("option", { value: name }, this.label(words))));
    const log = h("input", { type: "checkbox" });
    const smoothing = h("input", { type: "range", min: 0, max: 0.99, step: 0.01 });
    axis.addEventListener("change", () => {
      this.span = null; // steps are no tokens
      this.set({ axis: axis.value, span: [] });
    });
    log.addEventListener("change", change("log", () => log.checked));
    smoothing.addEventListener("input", () => {
      this.controls.output.value = smoothing.value;
      this.soon("smoothing", change("smoothing", () => Number(smoothing.value)));
    });
    return { axis, log, smoothing, output: h("output", { class: "number" }) };
  }

  private bar(): HTMLElement {
    const { axis, log, smoothing, output } = this.controls;
    const button = (text: string, key: string, act: () => void) =>
      h("button", { type: "button", class: "tool", title: this.label(key), "aria-label": this.label(key), onclick: act }, text);
    this.showControls();
    return h(
      "div",
      { class: "bar" },
      h("label", {}, h("span", {}, this.label("curves.axis")), axis),
      h("label", {}, log, h("span", {}, this.label("curves.log"))),
      h("label", {}, h("span", {}, this.label("curves.smoothing")), smoothing, output),
      this.evals,
      h("span", { class: "tools" }, button("+", "curves.zoom_in", () => this.plot.zoom(0.5)), button("−", "curves.zoom_out", () => this.plot.zoom(2)), button("⤢", "curves.whole", () => this.plot.all())),
      h("span", { class: "hint", tabindex: 0, role: "note", title: this.label("curves.hint"), "aria-label": this.label("curves.hint") }, "?"),
    );
  }

  private showControls(): void {
    const { axis, smoothing } = this.view;
    this.controls.axis.value = axis;
    this.controls.log.checked = this.model.get("log") as boolean;
    this.controls.smoothing.value = String(smoothing);
    this.controls.output.value = String(+smoothing.toFixed(3));
  }

  private offer(tasks: string[]): void {
    this.tasks = tasks;
    const boxes = ["", ...tasks].map((task) => {
      const box = h("input", { type: "checkbox" });
      box.checked = this.view.evals.includes(task);
      box.addEventListener("change", () => {
        const chosen = new Set(this.view.evals);
        if (box.checked) chosen.add(task);
        else chosen.delete(task);
        this.set({ evals: ["", ...tasks].filter((one) => chosen.has(one)) });
      });
      return h("label", {}, box, h("span", {}, task || this.label("curves.all_tasks")));
    });
    this.evals.replaceChildren(...(tasks.length ? [h("summary", {}, this.label("curves.evals")), h("div", { class: "menu" }, ...boxes)] : []));
    this.evals.hidden = !tasks.length;
  }

  private set(values: Record<string, unknown>): void {
    for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    this.model.save_changes(); // `changed` draws
  }

  private readonly changed = (): void => {
    const span = spanOf(this.view);
    if (!this.timers.span) this.span = span;
    this.showControls();
    this.draw();
  };

  // looking about

  private readonly zoomed = (span: [number, number] | null): void => {
    this.span = span;
    this.drawn = this.look; // by the plot itself, from what is here
    this.soon("span", () => this.set({ span: this.span ?? [] }));
  };

  private readonly point = (x: number | null): void => {
    this.pointed = x;
    this.later("values", () => void this.ask(), 40);
  };

  private readonly pick = (run: number, x: number): void => void this.rows(run, x);

  private readonly toggle = (run: number): void => {
    if (!this.hidden.delete(run)) this.hidden.add(run);
    this.draw();
    this.readout.show(this.values, this.hidden);
  };

  private readonly keys = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowLeft" ? -1 : 1;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (event.shiftKey) this.plot.move(0.2 * by);
      else this.plot.step(0.01 * by);
    } else if (event.key === "+" || event.key === "=") this.plot.zoom(0.5, this.plot.pointer ?? undefined);
    else if (event.key === "-") this.plot.zoom(2, this.plot.pointer ?? undefined);
    else if (event.key === "0" || event.key === "Home") this.plot.all();
    else if (event.key === "Enter" && this.plot.pointer !== null) {
      const run = this.setup.names.findIndex((_name, number) => !this.hidden.has(number));
      if (run >= 0) void this.rows(run, this.plot.pointer);
    } else return;
    event.preventDefault();
  };

  /** What every run logged at the pointer; at its end without one. One question at a time, the newest. */
  private async ask(): Promise<void> {
    if (this.asking) return this.later("values", () => void this.ask(), 40);
    this.asking = true;
    try {
      this.values = (await this.kernel.ask<Values>({ kind: "values", x: this.pointed })).values;
      this.readout.show(this.values, this.hidden);
    } catch {
      // no kernel: the values of before stay
    } finally {
      this.asking = false;
    }
  }

  private async rows(run: number, x: number): Promise<void> {
    const close = () => this.panels.replaceChildren();
    try {
      this.panels.replaceChildren(panel([this.label("curves.rows.reading")], h("div"), this.label, close));
      this.panels.replaceChildren(batch(await this.kernel.ask<Batch>({ kind: "rows", run, x }), this.setup, this.label, close));
    } catch (error) {
      const words = error instanceof Error && error.message ? error.message : this.label("curves.no_kernel");
      this.panels.replaceChildren(panel([this.setup.names[run]!], h("p", { role: "alert" }, words), this.label, close));
    }
  }

  /** Now, or where that was done a moment ago, once after a pause. */
  private soon(name: string, act: () => void): void {
    if (this.timers[name]) this.waiting.add(name);
    else {
      this.timers[name] = window.setTimeout(() => {
        delete this.timers[name];
        if (this.waiting.delete(name)) this.soon(name, act);
      }, PAUSE_MS);
      act();
    }
  }

  private later(name: string, act: () => void, pause = PAUSE_MS): void {
    clearTimeout(this.timers[name]);
    this.timers[name] = window.setTimeout(() => {
      delete this.timers[name];
      act();
    }, pause);
  }
}

const spanOf = (view: View): [number, number] | null => (view.span.length === 2 ? [view.span[0]!, view.span[1]!] : null);

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    const curves = new Curves(model, el);
    return () => curves.close();
  },
};
