// The lines on the page: frames from the kernel taken in, and what the chart asks of them.

export type View = { axis: string; smoothing: number; span: number[]; evals: string[] };
export type Axis = "step" | "tokens" | "seconds";

/** What came since the last frame, or all of it; the points follow in a buffer: of each line its x, then its y. */
export interface Frame {
  kind: "frame";
  number: number;
  view: View;
  lines: [run: number, part: string, how: "set" | "add", points: number][];
  reading: number | null; // share of the files that is read; null: all of them
  tasks: string[];
}

export interface Line {
  run: number;
  part: string; // "loss", "smooth", "saved", "eval", "eval/<task>"
  x: Float64Array;
  y: Float64Array;
}

export const sameView = (a: View, b: View): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = (view: View) => [view.axis, view.smoothing, view.span, view.evals];

export class Lines {
  private readonly known = new Map<string, Line>();
  last = 0; // number of the newest frame

  /** Take a frame in. Whether it was taken: not when it is older than what is here, or of another view. */
  take(frame: Frame, points: DataView, wished: View): boolean {
    if (frame.number <= this.last || !sameView(frame.view, wished)) return false;
    this.last = frame.number;
    let place = points.byteOffset; // a copy of each part: a Float64Array must begin at a multiple of 8
    const next = (count: number): Float64Array => {
      const part = new Float64Array(points.buffer.slice(place, place + 8 * count));
      place += 8 * count;
      return part;
    };
    for (const [run, part, how, count] of frame.lines) {
      const x = next(count), y = next(count);
      const key = `${run} ${part}`, before = this.known.get(key);
      const more = how === "add" && before !== undefined;
      this.known.set(key, { run, part, x: more ? joined(before.x, x) : x, y: more ? joined(before.y, y) : y });
    }
    return true;
  }

  /** A kernel that was restarted counts its frames from 1 again. */
  forget(): void {
    this.known.clear();
    this.last = 0;
  }

  get(run: number, part: string): Line | undefined {
    return this.known.get(`${run} ${part}`);
  }

  /** Lines to draw, in the order they are drawn: logged, smoothed, eval, checkpoints. */
  shown(hidden: ReadonlySet<number>, evals: readonly string[]): Line[] {
    const parts = new Set(["loss", "smooth", "saved", ...evals.map((task) => (task ? `eval/${task}` : "eval"))]);
    const rank = (line: Line) => ["loss", "smooth", "eval"].indexOf(line.part.split("/")[0]!) + 4 * +(line.part === "saved");
    return [...this.known.values()]
      .filter((line) => line.x.length > 0 && !hidden.has(line.run) && parts.has(line.part))
      .sort((a, b) => rank(a) - rank(b) || a.run - b.run);
  }
}

function joined(a: Float64Array, b: Float64Array): Float64Array {
  const whole = new Float64Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** The index of the point nearest to `x`; -1 of no points. */
export function nearest(xs: Float64Array, x: number): number {
  let low = 0, high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle]! < x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low]! - x) <= Math.abs(xs[high]! - x) ? low : high;
}

/** Ends of the x axis over these lines; null of no lines. */
export function extent(lines: readonly Line[]): [number, number] | null {
  let low = Infinity, high = -Infinity;
  for (const { x } of lines) {
    if (!x.length) continue;
    low = Math.min(low, x[0]!);
    high = Math.max(high, x[x.length - 1]!);
  }
  return low > high ? null : low === high ? [low - 1, high + 1] : [low, high];
}

/** Ends of the y axis for what of these lines lies between `low` and `high`, with a little air. */
export function heights(lines: readonly Line[], low: number, high: number, log: boolean): [number, number] {
  let least = Infinity, most = -Infinity;
  for (const { x, y } of lines) {
    for (let i = 0; i < x.length; i++) {
      const value = y[i]!;
      if (x[i]! < low || x[i]! > high || (log && value <= 0)) continue;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  if (least > most) return log ? [0.1, 10] : [0, 1];
  if (log) return [least / 1.1, most * 1.1];
  const flat = most - least < 1e-6 * Math.abs(most); // one point: its smoothed value differs in the last bit
  const air = (flat ? Math.abs(most) : most - least || 1) * 0.05;
  return [least - air, most + air];
}
