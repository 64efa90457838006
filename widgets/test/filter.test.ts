import { expect, test } from "vitest";
import { split, withClause } from "../src/filter";

const TASK = /^task == '.*'$/;

test("an expression is split where and joins it, not inside of quotes and brackets", () => {
  expect(split("task == 'a and b' and (flagged and rated) and not skipped")).toEqual(["task == 'a and b'", "(flagged and rated)", "not skipped"]);
  expect(split("'it\\'s and' in text and flagged")).toEqual(["'it\\'s and' in text", "flagged"]);
  expect(split("flagged or rated and skipped")).toEqual(["flagged or rated and skipped"]);
  expect(split("  ")).toEqual([]);
});

test("a clause is added, exchanged or taken out, and an alternative is kept together", () => {
  expect(withClause("", TASK, "task == 'x'")).toBe("task == 'x'");
  expect(withClause("flagged and task == 'x'", TASK, "task == 'y'")).toBe("flagged and task == 'y'");
  expect(withClause("flagged and task == 'x'", TASK, "")).toBe("flagged");
  expect(withClause("flagged or rated", TASK, "task == 'x'")).toBe("(flagged or rated) and task == 'x'");
  expect(withClause("(flagged or rated) and task == 'x'", TASK, "")).toBe("(flagged or rated)");
});
