"""The report of 100,000 votes on 50 models: CPU seconds of every table, intervals included, and of the whole page. Aim: under 5.

    python tests/benchmarks/report.py [--votes 100000] [--models 50] [--out tests/benchmarks/results_report.md]

Half of the comparisons are with the baseline, half between any two models; three humans and two judges; 2,000 prompts of
six tasks; 5 % unscored; lengths known. The tables that need scores or texts are made of as many votes in a second part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from sftkit.report import Report

RATERS = ["human:ana", "human:bo", "human:cy", "judge:gpt-4/pairwise-v2", "judge:llama/pairwise-v2"]
VOTES = [
    "win_rates",
    "by_task",
    "by_length",
    "strengths",
    "pairs",
    "agreement",
    "rater_cards",
    "bias",
    "calibration",
]
MORE = ["bias_card", "length_controlled", "rankings", "sources"]


def votes(n: int, models: int, prompts: int = 2000, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    a = random.integers(0, models, n)
    b = (a + random.integers(1, models, n)) % models
    half = random.random(n) < 0.5
    a[half], b[half] = 0, random.integers(1, models, half.sum())
    lead = np.linspace(-1, 1, models)
    won = random.random(n) < 1 / (1 + np.exp(lead[b] - lead[a]))
    outcome = np.where(random.random(n) < 0.15, 0.5, won.astype(float))
    outcome[random.random(n) < 0.05] = np.nan
    names = np.array([f"model-{i:02d}" for i in range(models)], dtype=object)
    where = random.integers(0, prompts, n)
    size = random.integers(100, 3000, (prompts, models))
    frame = pd.DataFrame(
        {
            "prompt_id": [f"p{i}" for i in where],
            "model_a": names[a],
            "model_b": names[b],
            "rater": np.array(RATERS, dtype=object)[random.integers(0, len(RATERS), n)],
            "outcome": outcome,
            "task": np.array(list("abcdef"), dtype=object)[where % 6],
            "len_a": size[where, a],
            "len_b": size[where, b],
        }
    )
    return frame


def seconds(report: Report, tables: list[str]) -> dict[str, float]:
    """CPU seconds of each table."""
    took = {}
    for name in tables:
        started = time.process_time()
        getattr(report, name)
        took[name] = time.process_time() - started
    return took


def page(frame: pd.DataFrame) -> tuple[float, float]:
    """Seconds by the clock and of the CPU (the linear algebra takes all cores) of the HTML page with all of them, from
    the votes on; imports not counted."""
    with tempfile.TemporaryDirectory() as folder:
        Report(frame.head(200), baseline="model-00").to_html(Path(folder) / "small.html")
        started, busy = time.perf_counter(), time.process_time()
        Report(frame, baseline="model-00").to_html(Path(folder) / "report.html")
        return time.perf_counter() - started, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--votes", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    frame = votes(chosen.votes, chosen.models)
    whole, busy = page(frame)
    report = Report(frame, baseline="model-00")
    core, more = seconds(report, VOTES), seconds(report, MORE)
    lines = [
        f"{chosen.votes:,} votes on {chosen.models} models; CPU seconds",
        "",
        "| table | s |",
        "|---|---|",
    ]
    lines += [f"| {name} | {took:.2f} |" for name, took in core.items()]
    lines += [f"| **these together** (aim: 5) | **{sum(core.values()):.2f}** |"]
    lines += [f"| {name} | {took:.2f} |" for name, took in more.items()]
    lines += [
        f"| **the whole HTML page**, by the clock (aim: 5) | **{whole:.2f}** |",
        f"| of it CPU | {busy:.2f} |",
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
