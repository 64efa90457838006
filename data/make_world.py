"""Writes data/train.jsonl and data/eval.jsonl, the same bytes every time.

python data/make_world.py            write both files
python data/make_world.py --check    write nothing; exit 1 if a file differs from what would be written
"""

import argparse
import itertools
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from world import tasks
from world.dice import Dice
from world.tasks import Row

HERE = Path(__file__).resolve().parent
# task: (its candidates, train rows in English, in Chinese, eval rows in English, in Chinese)
PLAN: dict[str, tuple[Callable[[str], Iterable[Row]], int, int, int, int]] = {
    "facts": (tasks.facts, 1240, 260, 66, 14),
    "arithmetic": (tasks.arithmetic, 660, 140, 37, 8),
    "rewrite": (tasks.rewrite, 830, 170, 50, 10),
    "extract": (tasks.extract, 415, 85, 29, 6),
    "summarize": (tasks.summarize, 250, 50, 16, 4),
    "unknown": (tasks.unknown, 290, 60, 20, 5),
    "refuse": (tasks.refuse, 250, 50, 16, 4),
    "harmless": (tasks.harmless, 210, 40, 12, 3),
}
ENDLESS = ("rewrite", "extract", "summarize", "unknown")  # tasks whose candidates never end
COLUMNS = ("prompt", "response", "task", "reference", "lang")


def normalised(prompt: str) -> str:
    """The prompt without case, punctuation and spacing: two prompts equal in this way count as one."""
    text = unicodedata.normalize("NFKC", prompt).casefold()
    return "".join(c for c in text if c.isalnum() or c in "+-×")


def split(task: str, lang: str) -> tuple[list[Row], list[Row]]:
    """(train, eval) rows of one task in one language; no prompt and no key in both."""
    source, *counts = PLAN[task]
    train_size, eval_size = (counts[0], counts[2]) if lang == "en" else (counts[1], counts[3])
    candidates = source(lang)
    if task in ENDLESS:  # enough that duplicates don't matter
        candidates = itertools.islice(candidates, 60 * eval_size + 2 * train_size)
    candidates = list(candidates)
    rows, seen = [], set()
    for row in Dice(len(task) * 100 + len(lang) + ord(lang[0])).shuffled(candidates):
        if normalised(row.prompt) not in seen:
            seen.add(normalised(row.prompt))
            rows.append(row)
    evals = _one_a_key(rows, eval_size)
    held = {row.key for row in evals}
    train = [row for row in rows if row.key not in held][:train_size]
    if len(train) < train_size or len(evals) < eval_size:
        raise SystemExit(
            f"{task} in {lang}: only {len(train)} train and {len(evals)} eval rows; give the world more to say"
        )
    return train, evals


def _one_a_key(rows: list[Row], size: int) -> list[Row]:
    """The first rows of `size` different keys, or, where a task has few keys, a second wording of some."""
    per_key = 1 if len({row.key for row in rows}) > 8 * size else 3
    taken: dict[str, int] = {}
    out = []
    for row in rows:
        if len(out) == size:
            break
        if taken.get(row.key, 0) < per_key and (row.key in taken or len(taken) < -(-size // per_key)):
            taken[row.key] = taken.get(row.key, 0) + 1
            out.append(row)
    return out


def world() -> dict[str, list[Row]]:
    """All rows, by file name."""
    train: list[Row] = []
    evals: list[Row] = []
    for task in PLAN:
        for lang in ("en", "zh"):
            more_train, more_eval = split(task, lang)
            train += more_train
            evals += more_eval
    held = {(row.task, row.key) for row in evals}  # what is held out in one language is held out in both
    train = [row for row in train if (row.task, row.key) not in held]
    return {"train.jsonl": Dice(1).shuffled(train), "eval.jsonl": Dice(2).shuffled(evals)}


def as_text(rows: list[Row]) -> str:
    return "".join(
        json.dumps({c: getattr(row, c) for c in COLUMNS}, ensure_ascii=False) + "\n" for row in rows
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    check = parser.parse_args().check
    stale = 0
    for name, rows in world().items():
        text, path = as_text(rows), HERE / name
        if check:
            same = path.exists() and path.read_bytes() == text.encode()
            stale += not same
            print(f"{name}: {'as generated' if same else 'differs; run python data/make_world.py'}")
        else:
            path.write_bytes(text.encode())
            print(f"{name}: {len(rows)} rows")
    return min(stale, 1)


if __name__ == "__main__":
    sys.exit(main())
