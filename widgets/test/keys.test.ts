import { expect, test } from "vitest";
import { CARD, command } from "../src/keys";

const press = (key: string, held: Partial<KeyboardEvent> = {}) =>
  command({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...held });

test("verdicts and scores, in capitals too", () => {
  expect(press("a")).toEqual({ do: "verdict", verdict: "a" });
  expect(press("T", { shiftKey: true })).toEqual({ do: "verdict", verdict: "tie" });
  expect(press("5")).toEqual({ do: "score", value: 5 });
  expect(press("0")).toEqual({ do: "score", value: null });
  expect(press("6")).toBeNull();
  expect(press("constructor")).toBeNull();
});

test("undo and redo in every spelling, and the browser keeps its own keys", () => {
  for (const held of [{ ctrlKey: true }, { metaKey: true }]) {
    expect(press("z", held)).toEqual({ do: "undo" });
    expect(press("Z", { ...held, shiftKey: true })).toEqual({ do: "redo" });
    expect(press("y", held)).toEqual({ do: "redo" });
    for (const key of ["a", "c", "r", "t"]) expect(press(key, held)).toBeNull();
  }
  expect(press("U", { shiftKey: true })).toEqual({ do: "redo" });
  expect(press("ArrowLeft", { altKey: true })).toBeNull();
  expect(press("F5")).toBeNull();
  expect(press("Tab")).toBeNull();
});

test("the key card names every key that does something", () => {
  const shown = CARD.flatMap(([keys]) => keys);
  for (const key of ["A", "T", "B", "0", "Enter", "J", "K", "Space", "N", "Esc", "U", "R", "M", "?"]) expect(shown).toContain(key);
});
