"""A data set profiled: CPU seconds and peak memory of `sk.profile`, and of the same done plainly with `datasets` and pandas;
and an eval set drawn from it.

    python tests/benchmarks/profile_data.py [--rows 100000 500000] [--without-plain 1000000] [--eval-set 500000] [--out tests/benchmarks/results_profile.md]

Rows are made: a prompt, an answer of 1 to 12 sentences out of 50,000, a task type; 2 % exact duplicates, 2 % with one
sentence changed, 0.5 % with HTML, 0.5 % boilerplate. Each measurement is a process of its own. "Plainly": load_dataset, a map
that tokenizes, to_pandas, duplicated, str.contains, and `datasketch`'s MinHash and MinHashLSH as its manual shows them. Both
tokenize with data/tiny-base; the plain way does not apply the template, count what is cut, or tell languages. The eval set:
`sk.make_eval_set` of 2,000 rows, with its match and leak report, and saved.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "data" / "tiny-base"
LETTERS = "abcdefghijklmnoprstuvwy"


def write(path: Path, count: int, seed: int = 0) -> dict[str, int]:
    """`count` rows; returns what was planted."""
    rng = random.Random(seed)
    words = ["".join(rng.choice(LETTERS) for _ in range(rng.randint(2, 9))) for _ in range(8000)]
    words += "the of and to in is a that it for".split() * 200
    sentences = [" ".join(rng.choices(words, k=rng.randint(5, 16))).capitalize() + "." for _ in range(50_000)]
    planted = dict.fromkeys(("exact", "near", "html", "boilerplate"), 0)
    earlier: list[tuple[str, list[str]]] = []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            chance = rng.random()
            parts = rng.choices(sentences, k=rng.randint(1, 12))
            prompt = f"{number:x} {rng.choice(sentences)}"
            if earlier and chance < 0.02:
                prompt, parts = earlier[rng.randrange(len(earlier))]
                planted["exact"] += 1
            elif earlier and chance < 0.04:
                prompt, parts = earlier[rng.randrange(len(earlier))]
                parts = [*parts[:-1], parts[-1] + f" {number:x}."]
                planted["near"] += 1
            elif chance < 0.045:
                parts[0] += "<br>"
                planted["html"] += 1
            elif chance < 0.05:
                parts[0] = "As an AI language model, I cannot say. " + parts[0]
                planted["boilerplate"] += 1
            elif len(parts) == 12 and len(earlier) < 20_000:
                earlier.append((prompt, parts))
            row = {"prompt": prompt, "response": " ".join(parts), "task": f"task {number % 7}"}
            file.write(json.dumps(row) + "\n")
    return planted


def ours(path: str) -> dict[str, int]:
    import sftkit as sk

    found = sk.profile(path, TINY, max_len=512, cache=False)
    return {"exact": found.exact_duplicates, "near": found.near_duplicates, "html": found.count("html"), "boilerplate": found.count("boilerplate")}  # fmt: skip


def eval_set(path: str) -> dict[str, int]:
    import sftkit as sk

    made = sk.make_eval_set(path, 2000)
    counts = {
        "taken": len(made),
        "leaks": made.leaks.rows,
        "apart": sum(made.report.traits["level"] == "differs"),
    }
    made.save(Path(path).with_name("eval.jsonl"), overwrite=True)
    return counts


def plainly(path: str) -> dict[str, int]:
    import datasets
    from datasketch import MinHash, MinHashLSH
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.load_dataset("json", data_files=path, split="train", cache_dir=folder)
        tokenizer = AutoTokenizer.from_pretrained(TINY)
        lengths = rows.map(lambda batch: {f"{name}_tokens": [len(ids) for ids in tokenizer(batch[name])["input_ids"]] for name in ("prompt", "response")}, batched=True)  # fmt: skip
        frame = lengths.to_pandas()
        frame[["prompt_tokens", "response_tokens"]].describe()
        frame["task"].value_counts()
        exact = frame.duplicated(["prompt", "response"])
        html = frame["response"].str.contains(r"<\/?\w+[^>]*>", regex=True)
        boilerplate = frame["response"].str.contains("as an ai language model", case=False)
        index, near = MinHashLSH(threshold=0.8, num_perm=128), 0
        for number, (prompt, response) in enumerate(zip(frame["prompt"][~exact], frame["response"][~exact])):
            words = f"{prompt}\n{response}".lower().split()
            signature = MinHash(num_perm=128)
            for pair in {f"{a} {b}" for a, b in pairwise(words)}:
                signature.update(pair.encode())
            near += bool(index.query(signature))
            index.insert(number, signature)
        return {"exact": int(exact.sum()), "near": near, "html": int(html.sum()), "boilerplate": int(boilerplate.sum())}  # fmt: skip


def measured(way: str, path: Path) -> dict:
    """One measurement in a process of its own."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, __file__, "--measure", way, path], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return {**json.loads(done.stdout.strip().splitlines()[-1]), "wall": time.monotonic() - started}


WAYS = {"sk.profile": ours, "plainly": plainly, "sk.make_eval_set": eval_set}
Result = tuple[int, float, str, dict, dict]  # rows, MB, way, what was planted, what was measured


def table(results: list[Result]) -> str:
    lines = ["| rows | file, MB | way | CPU s | wall s | peak MB | exact | near | html | boilerplate |", "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in results:
        planted, counts = one[3], one[4]["counts"]
        if one[2] != "sk.make_eval_set":
            lines.append(f"{_measures(one)} | {' | '.join(f'{counts[name]:,} of {planted[name]:,}' for name in planted)} |")  # fmt: skip
    if drawn := [one for one in results if one[2] == "sk.make_eval_set"]:
        lines += ["", "| rows | file, MB | way | CPU s | wall s | peak MB | eval rows | of them in training | traits unlike training |", "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        lines += [f"{_measures(one)} | {' | '.join(f'{count:,}' for count in one[4]['counts'].values())} |" for one in drawn]  # fmt: skip
    return "\n".join(lines) + "\n"


def _measures(result: Result) -> str:
    rows, size, way, _, found = result
    return f"| {rows:,} | {size:,.0f} | {way} | {found['cpu']:,.0f} | {found['wall']:,.0f} | {found['peak']:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--without-plain", type=int, nargs="*", default=[])
    parser.add_argument("--eval-set", type=int, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        way, path = asked.measure
        counts = WAYS[way](path)
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        print(json.dumps({"counts": counts, "cpu": cpu, "peak": used.ru_maxrss / 1024}))
        return
    wanted = [(count, way) for count in asked.rows for way in ("sk.profile", "plainly")]
    wanted += [(count, "sk.profile") for count in asked.without_plain]
    wanted += [(count, "sk.make_eval_set") for count in asked.eval_set]
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for count, way in wanted:
            path = (
                Path(folder) / f"{count}-{way}.jsonl"
            )  # a file of its own: an eval set leaves a patch beside it
            planted = write(path, count)
            results.append((count, path.stat().st_size / 1e6, way, planted, measured(way, path)))
            print(table(results[-1:]), flush=True)
            path.unlink()
    text = f"`python tests/benchmarks/profile_data.py {' '.join(sys.argv[1:])}`\n\n{table(results)}"
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
