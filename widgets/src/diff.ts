// What two answers do not share, word by word; in Chinese too, where words have no spaces between them.

import { diffArrays } from "diff";

export interface Piece {
  text: string;
  only: boolean; // only in this one of the two
}

const PATIENCE_MS = 400; // for two long texts that share little

/** Both texts in pieces. By lines where words would take too long; null where that does too. */
export function difference(left: string, right: string): [Piece[], Piece[]] | null {
  return compared(words(left), words(right)) ?? compared(lines(left), lines(right));
}

/** How many words (of Chinese: words as the browser tells them apart) are in one of the two only. */
export function count(pieces: Piece[]): number {
  return pieces.filter((piece) => piece.only).reduce((sum, piece) => sum + words(piece.text).filter((word) => /[\p{L}\p{N}]/u.test(word)).length, 0);
}

function compared(left: string[], right: string[]): [Piece[], Piece[]] | null {
  const changes = diffArrays(left, right, { timeout: PATIENCE_MS });
  if (!changes) return null;
  const side = (other: "added" | "removed") =>
    joined(changes.filter((change) => !change[other]).map(({ value, added, removed }) => ({ text: value.join(""), only: added || removed })));
  return [side("added"), side("removed")];
}

/** White space between two marked pieces is marked too, so that a marked phrase is one piece; neighbours become one. */
function joined(pieces: Piece[]): Piece[] {
  const made: Piece[] = [];
  pieces.forEach((piece, n) => {
    const only = piece.only || (!piece.text.trim() && !!made.at(-1)?.only && !!pieces[n + 1]?.only);
    const last = made.at(-1);
    if (last?.only === only) last.text += piece.text;
    else made.push({ text: piece.text, only });
  });
  return made;
}

const PLAIN_WORDS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{M}\p{N}_]+|\s+|./gsu;

function words(text: string): string[] {
  if (typeof Intl.Segmenter !== "function") return text.match(PLAIN_WORDS) ?? [];
  return Array.from(new Intl.Segmenter(undefined, { granularity: "word" }).segment(text), ({ segment }) => segment);
}

function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? [];
}
