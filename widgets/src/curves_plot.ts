// The chart: uPlot with a line of its own x for every part of every run; zoom, move, pick by mouse and keys.

import uPlot from "uplot";
import { extent, heights, nearest, type Line } from "./curves_data";
import { duration, heightsTold, short } from "./curves_format";

export interface Style {
  colours: string[]; // one a run
  dashed: boolean[];
}

export interface Asks {
  zoomed(span: [number, number] | null): void; // null: all of it
  pointed(x: number | null): void;
  picked(run: number, x: number): void;
}

const HEIGHT = 340;
const TIMES = [0.001, 0.01, 0.1, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 432_000, 864_000]; // seconds between two ticks
const NOTHING: Line = { run: 0, part: "loss", x: new Float64Array(0), y: new Float64Array(0) };
const EVALS = ["#e08a00", "#0f9d72", "#c85fa0", "#8a63d2", "#d5502a", "#3fa7d6"]; // of one run alone

export class Plot {
  private plot: uPlot | null = null;
  private lines: Line[] = [];
  private drawn = ""; // which lines, on which axes
  private span: [number, number] | null = null;
  private down: { x: number; y: number; span: [number, number] | null } | null = null;
  private readonly sizes: ResizeObserver;

  constructor(
    readonly root: HTMLElement,
    private readonly style: Style,
    private readonly asks: Asks,
  ) {
    this.sizes = new ResizeObserver(() => this.plot?.setSize({ width: this.width, height: HEIGHT }));
    this.sizes.observe(root);
    root.addEventListener("mousedown", this.pressed, true);
    root.addEventListener("wheel", this.wheeled, { passive: false });
  }

  close(): void {
    this.sizes.disconnect();
    window.removeEventListener("mousemove", this.moved);
    window.removeEventListener("mouseup", this.released);
    this.plot?.destroy();
  }

  /** Draw these lines, all of them or the part in `span`. */
  draw(lines: Line[], axis: string, log: boolean, labels: [string, string], span: [number, number] | null): void {
    this.lines = lines.length ? lines : [NOTHING]; // uPlot wants a line
    this.span = span;
    const drawn = JSON.stringify([axis, log, labels, this.lines.map((line) => [line.run, line.part])]);
    if (drawn !== this.drawn || !this.plot) {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(axis, log, labels), this.data, this.root);
      this.drawn = drawn;
    } else this.plot.setData(this.data, false);
    this.scale();
  }

  /** Again, in colours that may have changed. */
  repaint(): void {
    this.plot?.redraw(false);
  }

  zoom(factor: number, middle?: number): void {
    const [low, high] = this.range;
    const at = middle ?? (low + high) / 2;
    this.look([at - (at - low) * factor, at + (high - at) * factor]);
  }

  /** Move by this share of what is seen. */
  move(share: number): void {
    const [low, high] = this.range, by = (high - low) * share;
    this.look([low + by, high + by]);
  }

  all(): void {
    this.look(null);
  }

  /** Put the cursor this share of the width further, and say where it is. */
  step(share: number): number | null {
    const plot = this.plot;
    if (!plot) return null;
    const width = plot.over.clientWidth, left = plot.cursor.left ?? -1;
    plot.setCursor({ left: Math.min(width, Math.max(0, (left < 0 ? width : left) + share * width)), top: 1 });
    return this.pointer;
  }

  get pointer(): number | null {
    const left = this.plot?.cursor.left ?? -1;
    return left < 0 ? null : this.plot!.posToVal(left, "x");
  }

  /** The run whose line is nearest to a place of the chart, and the x of its point there. */
  at(left: number, top: number): { run: number; x: number } | null {
    const plot = this.plot!, x = plot.posToVal(left, "x");
    let best: { run: number; x: number } | null = null, least = Infinity;
    for (const line of this.lines) {
      if (line.part === "saved") continue;
      const i = nearest(line.x, x);
      if (i < 0) continue;
      const far = Math.hypot(plot.valToPos(line.x[i]!, "x") - left, plot.valToPos(line.y[i]!, "y") - top);
      if (far < least) {
        least = far;
        // a thinned line has few points: the step is the pointer's, unless a point of its own was meant
        best = { run: line.run, x: far < 8 || line.part.startsWith("eval") ? line.x[i]! : x };
      }
    }
    return best;
  }

  private get width(): number {
    return Math.max(240, this.root.clientWidth);
  }

  private get data(): uPlot.AlignedData {
    return [null, ...this.lines.map((line) => [line.x, line.y])] as unknown as uPlot.AlignedData;
  }

  private get range(): [number, number] {
    return this.span ?? extent(this.lines) ?? [0, 1];
  }

  private scale(): void {
    const [min, max] = this.range;
    this.plot?.setScale("x", { min, max }); // also sets the y axis anew, by what is in sight
  }

  private look(span: [number, number] | null): void {
    const whole = extent(this.lines.filter((line) => line.part === "loss"));
    if (span && !(span[1] - span[0] > 1e-9 * Math.abs(span[1]) + 1e-9)) return;
    if (span && whole && !this.span && span[0] <= whole[0] && span[1] >= whole[1]) span = null; // out of all there is
    this.span = span;
    this.scale();
    this.asks.zoomed(span);
  }

  private options(axis: string, log: boolean, labels: [string, string]): uPlot.Options {
    const told = axis === "seconds" ? duration : short;
    const look = (size: number): uPlot.Axis => ({
      stroke: () => this.colour("--jp-ui-font-color2", "#808080"),
      grid: { stroke: "rgba(128,128,128,0.22)", width: 1 },
      ticks: { stroke: "rgba(128,128,128,0.5)", width: 1, size: 5 },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      labelSize: 20,
      labelGap: 2,
      size,
    });
    return {
      mode: 2,
      width: this.width,
      height: HEIGHT,
      legend: { show: false },
      padding: [10, 26, 0, 0],
      scales: {
        x: { time: false, auto: false, range: (_plot, low, high) => [low, high] },
        y: { distr: log ? 3 : 1, log: 10, range: () => heights(this.lines, ...this.range, log) },
      },
      axes: [
        { ...look(30), label: labels[0], ...(axis === "seconds" ? { incrs: TIMES } : {}), values: (_plot, ticks) => ticks.map((tick) => (tick < 0 ? "" : told(tick))) },
        { ...look(58), label: labels[1], values: (_plot, ticks) => heightsTold(ticks, log) },
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, dataIdx: () => null as unknown as number, y: false },
      series: [{}, ...this.lines.map((line) => this.series(line))],
      hooks: {
        draw: [(plot) => this.marks(plot)],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => this.asks.pointed((plot.cursor.left ?? -1) < 0 ? null : plot.posToVal(plot.cursor.left!, "x"))],
      },
    };
  }

  private series(line: Line): uPlot.Series {
    const kind = line.part.split("/")[0]!, colour = this.lineColour(line);
    const runs = this.style.colours.length;
    return {
      facets: [{ scale: "x", auto: false }, { scale: "y", auto: true }],
      stroke: colour,
      width: kind !== "smooth" || runs > 8 ? 1 : runs > 1 ? 1.6 : 2, // without a graphics card, lines of 1 pixel cost half
      alpha: kind === "loss" ? (runs > 6 ? 0.22 : 0.38) : 1,
      ...(kind === "eval" ? { dash: [2, 3] } : this.style.dashed[line.run] && kind === "smooth" ? { dash: [7, 4] } : {}),
      ...(kind === "saved" ? { paths: () => null } : {}),
      points: { show: false },
    } as uPlot.Series;
  }

  /** Eval points as filled diamonds, checkpoints as hollow squares: uPlot draws no points on lines of their own x. */
  private marks(plot: uPlot): void {
    const { ctx, bbox } = plot, dot = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left - 6 * dot, bbox.top, bbox.width + 12 * dot, bbox.height);
    ctx.clip();
    ctx.lineWidth = 1.5 * dot;
    ctx.setLineDash([]);
    ctx.font = `${11 * dot}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    for (const line of this.lines) {
      const saved = line.part === "saved";
      if (!saved && !line.part.startsWith("eval")) continue;
      ctx.fillStyle = ctx.strokeStyle = this.lineColour(line);
      const size = (line.x.length * this.style.colours.length > 200 ? 1.5 : saved ? 4.5 : 3.5) * dot;
      line.x.forEach((x, i) => {
        const left = plot.valToPos(x, "x", true), top = plot.valToPos(line.y[i]!, "y", true);
        if (saved) return ctx.strokeRect(left - size, top - size, 2 * size, 2 * size);
        ctx.beginPath();
        for (const [dx, dy] of [[-1, 0], [0, -1], [1, 0], [0, 1]] as const) ctx.lineTo(left + dx * size, top + dy * size);
        ctx.fill();
      });
      const task = line.part.split("/").slice(1).join("/"), last = line.x.length - 1;
      if (task) ctx.fillText(task, plot.valToPos(line.x[last]!, "x", true), plot.valToPos(line.y[last]!, "y", true) - 6 * dot);
    }
    ctx.restore();
  }

  private lineColour(line: Line): string {
    if (this.style.colours.length > 1 || !line.part.startsWith("eval")) return this.style.colours[line.run]!;
    const evals = this.lines.filter((other) => other.part.startsWith("eval"));
    return EVALS[evals.indexOf(line) % EVALS.length] ?? EVALS[0]!;
  }

  /** The colour of an eval line, for whoever explains it. */
  evalColour(part: string): string | null {
    const line = this.lines.find((other) => other.part === part);
    return line ? this.lineColour(line) : null;
  }

  private colour(name: string, otherwise: string): string {
    return getComputedStyle(this.root).getPropertyValue(name).trim() || otherwise;
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.look([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }

  // Shift and drag moves the view; a press that stays where it was picks a point.

  private readonly pressed = (event: MouseEvent): void => {
    if (!this.plot?.over.contains(event.target as Node) || event.button !== 0) return;
    this.down = { x: event.clientX, y: event.clientY, span: event.shiftKey ? this.range : null };
    if (event.shiftKey) {
      event.stopPropagation(); // not a selection
      event.preventDefault();
    }
    window.addEventListener("mousemove", this.moved);
    window.addEventListener("mouseup", this.released);
  };

  private readonly moved = (event: MouseEvent): void => {
    if (!this.down?.span || !this.plot) return;
    const [low, high] = this.down.span;
    const by = ((this.down.x - event.clientX) / this.plot.over.clientWidth) * (high - low);
    this.look([low + by, high + by]);
  };

  private readonly released = (event: MouseEvent): void => {
    window.removeEventListener("mousemove", this.moved);
    window.removeEventListener("mouseup", this.released);
    const down = this.down;
    this.down = null;
    if (!down || down.span || !this.plot || Math.hypot(event.clientX - down.x, event.clientY - down.y) > 3) return;
    const box = this.plot.over.getBoundingClientRect();
    const found = this.at(event.clientX - box.left, event.clientY - box.top);
    if (found && event.detail < 2) this.asks.picked(found.run, found.x);
  };

  /** With Ctrl or ⌘ the wheel zooms; without, it scrolls the notebook as ever. */
  private readonly wheeled = (event: WheelEvent): void => {
    if (!this.plot || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const box = this.plot.over.getBoundingClientRect();
    this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.plot.posToVal(event.clientX - box.left, "x"));
  };
}
