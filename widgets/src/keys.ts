// Which key does what. One table: the handler reads it, and so does the card that `?` shows.

import type { Side, Verdict } from "./protocol";

export type Command =
  | { do: "verdict"; verdict: Verdict }
  | { do: "place"; side: Side }
  | { do: "score"; value: number | null }
  | { do: "mark"; dimensions: number; sides: number }
  | { do: "go"; step: number }
  | { do: "scroll"; pages: number }
  | { do: Plain };

type Plain =
  | "tying" | "unrated" | "note" | "tags" | "flag" | "skip" | "undo" | "redo" | "raw" | "diff" | "expand" | "reference" | "full" | "dense" | "filter" | "judge" | "instructions" | "card" | "close"; // prettier-ignore

/** Which of the two kinds of rows a line of the card is for. */
export type Kind = "pair" | "ranking" | "both";

/** Lines of the key card: the keys as shown, the label's key, and where they work. */
export const CARD: readonly (readonly [keys: readonly string[], label: string, where: Kind])[] = [
  [["A"], "grid.key.a", "pair"],
  [["T"], "grid.key.tie", "pair"],
  [["B"], "grid.key.b", "pair"],
  [["X"], "grid.key.both_bad", "pair"],
  [["A", "B", "C", "…"], "grid.key.place", "ranking"],
  [["=", "T"], "grid.key.tying", "ranking"],
  [["1", "…", "5"], "grid.key.score", "both"],
  [["0"], "grid.key.clear", "both"],
  [["←", "↑", "↓", "→"], "grid.key.mark", "both"],
  [["N"], "grid.key.note", "both"],
  [["G"], "grid.key.tags", "both"],
  [["F"], "grid.key.flag", "both"],
  [["S"], "grid.key.skip", "both"],
  [["Esc"], "grid.key.escape", "both"],
  [["U", "Ctrl+Z"], "grid.key.undo", "both"],
  [["Shift+U", "Ctrl+Y"], "grid.key.redo", "both"],
  [["Enter"], "grid.key.unrated", "both"],
  [["J", "K"], "grid.key.step", "both"],
  [["Space"], "grid.key.scroll", "both"],
  [["M"], "grid.key.raw", "both"],
  [["D"], "grid.key.diff", "both"],
  [["E"], "grid.key.expand", "both"],
  [["R"], "grid.key.reference", "both"],
  [["Z"], "grid.key.full", "both"],
  [["L"], "grid.key.dense", "both"],
  [["/"], "grid.key.filter", "both"],
  [["V"], "grid.key.judge", "both"],
  [["I"], "grid.key.instructions", "both"],
  [["?"], "grid.key.card", "both"],
];

const PLAIN: Record<string, Command> = {
  "0": { do: "score", value: null },
  Backspace: { do: "score", value: null },
  Delete: { do: "score", value: null },
  ArrowLeft: { do: "mark", dimensions: 0, sides: -1 },
  ArrowRight: { do: "mark", dimensions: 0, sides: 1 },
  ArrowUp: { do: "mark", dimensions: -1, sides: 0 },
  ArrowDown: { do: "mark", dimensions: 1, sides: 0 },
  j: { do: "go", step: 1 },
  k: { do: "go", step: -1 },
  " ": { do: "scroll", pages: 0.8 },
  PageDown: { do: "scroll", pages: 0.8 },
  PageUp: { do: "scroll", pages: -0.8 },
  Enter: { do: "unrated" },
  n: { do: "note" },
  g: { do: "tags" },
  f: { do: "flag" },
  s: { do: "skip" },
  u: { do: "undo" },
  r: { do: "reference" },
  m: { do: "raw" },
  d: { do: "diff" },
  e: { do: "expand" },
  z: { do: "full" },
  l: { do: "dense" },
  "/": { do: "filter" },
  v: { do: "judge" },
  i: { do: "instructions" },
  "?": { do: "card" },
  Escape: { do: "close" },
};

const PAIR: Record<string, Command> = {
  a: { do: "verdict", verdict: "a" },
  t: { do: "verdict", verdict: "tie" },
  b: { do: "verdict", verdict: "b" },
  x: { do: "verdict", verdict: "both_bad" },
};

type Key = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">;

/**
 * The command of a key press outside of a text field, or null when the key is none of ours. `places`: the letters of the
 * answers shown. A letter that names one of more than two answers ranks it; with Shift it does what it does elsewhere.
 */
export function command(event: Key, places: readonly Side[] = ["a", "b"]): Command | null {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey) return null;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") return { do: event.shiftKey ? "redo" : "undo" };
    return key === "y" ? { do: "redo" } : null;
  }
  if (event.shiftKey && key === "u") return { do: "redo" };
  if (event.shiftKey && key === " ") return { do: "scroll", pages: -0.8 };
  if (key >= "1" && key <= "5" && key.length === 1) return { do: "score", value: Number(key) };
  if (places.length > 2) {
    if (key === "=" || key === "t") return { do: "tying" };
    const side = places.find((place) => place === key);
    if (side && !(event.shiftKey && Object.hasOwn(PLAIN, key))) return { do: "place", side };
  } else if (Object.hasOwn(PAIR, key)) return PAIR[key]!;
  return Object.hasOwn(PLAIN, key) ? PLAIN[key]! : null;
}
