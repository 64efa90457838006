// Which key does what. One table: the handler reads it, and so does the card that `?` shows.

export type Command =
  | { do: "verdict"; verdict: "a" | "tie" | "b" }
  | { do: "score"; value: number | null }
  | { do: "mark"; dimensions: number; sides: number }
  | { do: "go"; step: number }
  | { do: "scroll"; pages: number }
  | { do: "unrated" | "note" | "undo" | "redo" | "raw" | "reference" | "judge" | "card" | "close" };

/** Groups of the key card: the keys as shown, and the label's key. */
export const CARD: readonly (readonly [keys: readonly string[], label: string])[] = [
  [["A"], "grid.key.a"],
  [["T"], "grid.key.tie"],
  [["B"], "grid.key.b"],
  [["1", "…", "5"], "grid.key.score"],
  [["0"], "grid.key.clear"],
  [["←", "↑", "↓", "→"], "grid.key.mark"],
  [["Enter"], "grid.key.unrated"],
  [["J", "K"], "grid.key.step"],
  [["Space"], "grid.key.scroll"],
  [["N"], "grid.key.note"],
  [["Esc"], "grid.key.escape"],
  [["U", "Ctrl+Z"], "grid.key.undo"],
  [["Shift+U", "Ctrl+Y"], "grid.key.redo"],
  [["R"], "grid.key.reference"],
  [["M"], "grid.key.raw"],
  [["V"], "grid.key.judge"],
  [["?"], "grid.key.card"],
];

const PLAIN: Record<string, Command> = {
  a: { do: "verdict", verdict: "a" },
  t: { do: "verdict", verdict: "tie" },
  b: { do: "verdict", verdict: "b" },
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
  u: { do: "undo" },
  r: { do: "reference" },
  m: { do: "raw" },
  v: { do: "judge" },
  "?": { do: "card" },
  Escape: { do: "close" },
};

type Key = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">;

/** The command of a key press outside of a text field, or null when the key is none of ours. */
export function command(event: Key): Command | null {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey) return null;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") return { do: event.shiftKey ? "redo" : "undo" };
    return key === "y" ? { do: "redo" } : null;
  }
  if (event.shiftKey && key === "u") return { do: "redo" };
  if (event.shiftKey && key === " ") return { do: "scroll", pages: -0.8 };
  if (key >= "1" && key <= "5" && key.length === 1) return { do: "score", value: Number(key) };
  return Object.hasOwn(PLAIN, key) ? PLAIN[key]! : null;
}
