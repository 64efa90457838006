"""How many planted leaks are found at each level of editing, how many rows are flagged that were not planted, and what it costs.

python tests/benchmarks/leaks.py            # ../shared/real/dolly_3k.jsonl; writes results_leaks.md beside this file

Half of the rows train. Of the other half 400 rows are the eval set as it is: what is flagged there was not planted (some of
it is real: Dolly has near duplicates). Beside them stand 100 training rows at each level, with that share of the words of
question and answer exchanged for words of the data. Peers: datasketch's MinHashLSH at 0.8 over pairs of words, and runs of 8
words in common of which 70 % (PaLM) or one run of 13 (GPT-3) count as a leak.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from datasketch import MinHash, MinHashLSH

import sftkit as sk
from sftkit.data.lens.duplicates import words

LEVELS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
EACH, CLEAN = 100, 400
DATA = ROOT.parent / "shared" / "real" / "dolly_3k.jsonl"


def main() -> None:
    chance = random.Random(0)
    rows = [{"prompt": f"{row['instruction']}\n\n{row['input']}".strip(), "response": row["output"]} for row in map(json.loads, DATA.open(encoding="utf-8"))]  # fmt: skip
    chance.shuffle(rows)
    train, rest = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    vocabulary = [word for row in rows for word in row["response"].split()]
    long = [row for row in train if len(f"{row['prompt']} {row['response']}".split()) >= 20]
    evals = [edited(row, level, vocabulary, chance) for level in LEVELS for row in chance.sample(long, EACH)]
    evals += rest[:CLEAN]
    found = {}
    for name, way in (("sk.leaks", ours), ("MinHashLSH 0.8", minhash), ("8-grams, 70 %", palm), ("13-gram", gpt3)):  # fmt: skip
        begin = time.process_time()
        flagged = way(train, evals)
        found[name] = (flagged, time.process_time() - begin)
    table = report(found, len(train), len(evals))
    Path(__file__).with_name("results_leaks.md").write_text(table, encoding="utf-8")
    print(table)


def edited(row: dict, share: float, vocabulary: list[str], chance: random.Random) -> dict:
    """The row with this share of its words exchanged."""

    def changed(text: str) -> str:
        said = text.split()
        for place in chance.sample(range(len(said)), round(share * len(said))):
            said[place] = chance.choice(vocabulary)
        return " ".join(said)

    return {name: changed(text) for name, text in row.items()}


def ours(train: list[dict], evals: list[dict]) -> set[int]:
    return set(sk.leaks(train, evals, progress=False).kinds)


def minhash(train: list[dict], evals: list[dict]) -> set[int]:
    index = MinHashLSH(threshold=0.8, num_perm=128)
    for number, row in enumerate(train):
        index.insert(number, signature(row))
    return {number for number, row in enumerate(evals) if index.query(signature(row))}


def signature(row: dict) -> MinHash:
    said = words(f"{row['prompt']} {row['response']}")
    made = MinHash(128)
    made.update_batch([" ".join(pair).encode() for pair in pairwise(said)] or [b""])
    return made


def runs(row: dict, length: int) -> set[tuple[str, ...]]:
    said = words(f"{row['prompt']} {row['response']}")
    return set(zip(*(said[place:] for place in range(length))))


def overlapping(length: int, least: float) -> Callable[[list[dict], list[dict]], set[int]]:
    """Eval rows of whose runs at least this share stands somewhere in the training data."""

    def way(train: list[dict], evals: list[dict]) -> set[int]:
        known = set().union(*(runs(row, length) for row in train))
        own = [runs(row, length) for row in evals]
        return {number for number, mine in enumerate(own) if mine and len(mine & known) >= max(1e-9, least * len(mine)) and mine & known}  # fmt: skip

    return way


palm, gpt3 = overlapping(8, 0.7), overlapping(13, 0.0)


def report(found: dict[str, tuple[set[int], float]], train: int, evals: int) -> str:
    heads = [*(f"{level:.0%}" for level in LEVELS), f"unplanted, of {CLEAN}", "CPU seconds"]
    lines = [f"Planted leaks found, of {EACH} at each share of words exchanged; {evals:,} eval rows against {train:,} training rows of Dolly.", "", f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]  # fmt: skip
    for name, (flagged, seconds) in found.items():
        counts = [sum(number in flagged for number in range(at * EACH, (at + 1) * EACH)) for at in range(len(LEVELS))]  # fmt: skip
        clean = sum(number >= EACH * len(LEVELS) for number in flagged)
        lines.append(f"| {name} | {' | '.join(map(str, [*counts, clean]))} | {seconds:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
