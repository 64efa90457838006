// Numbers in the words of a chart.

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const COUNT = new Intl.NumberFormat("en");

export const count = (value: number): string => COUNT.format(value);
export const short = (value: number): string => (Math.abs(value) < 10_000 ? String(+value.toPrecision(6)) : SHORT.format(value));

/** Seconds as 42 s, 3:05 min, 2:10 h, 1 d 04 h. */
export function duration(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 60) return `${+seconds.toPrecision(3)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}:${two((seconds % 3_600) / 60)} h`;
  return `${Math.floor(seconds / 86_400)} d ${two((seconds % 86_400) / 3_600)} h`;
}

const KINDS: Record<string, (value: number) => string> = {
  step: count,
  tokens: count,
  seconds: duration,
  learning_rate: (value) => (value === 0 ? "0" : value.toExponential(2)),
  tokens_per_second: (value) => count(Math.round(value)),
  memory_mb: (value) => `${count(Math.round(value))} MiB`,
};

/** A logged value by its name. */
export const value = (name: string, logged: number | undefined): string =>
  logged === undefined ? "" : KINDS[name]?.(logged) ?? String(+logged.toPrecision(5));

/** What stands at the ticks of the loss; on a logarithmic axis the round ones speak, as long as there are two. */
export function heightsTold(ticks: (number | null)[], log: boolean): string[] {
  const round = (tick: number) => Math.abs(tick - +tick.toPrecision(1)) < 1e-9 * Math.abs(tick);
  const only = log && ticks.filter((tick) => tick !== null && round(tick)).length > 1;
  return ticks.map((tick) => (tick === null || (only && !round(tick)) ? "" : String(+tick.toPrecision(4))));
}
