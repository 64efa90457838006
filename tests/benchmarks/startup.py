"""From the command to the first optimizer step done, side by side.

    python tests/benchmarks/startup.py --rows alpaca_2000.jsonl --repeat 5

sftkit twice: the worker alone, and a script that imports sftkit and calls `sk.launch`, with preflight and supervisor.
Interleaved; the table holds medians and is written to results_startup.md beside this file.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

from cpu_training import HERE, RUNS, one, options_of, set_up, versions
from task import run

CHOSEN = [
    "TRL, default",
    "LLaMA-Factory, default",
    "OpenRLHF, ZeRO-2 bf16",
    "sftkit, ZeRO-2",
    "sftkit, ZeRO-2 bf16",
]
LAUNCHED = "sftkit, sk.launch, ZeRO-2"


def main() -> None:
    options = options_of(__doc__)
    work, task = set_up(options)
    os.environ["BENCH_ONE_STEP"] = "1"
    settings = work / "config.json"
    settings.write_text(json.dumps(task.config.with_(zero_stage=2).to_dict()), encoding="utf-8")
    script = [sys.executable, str(HERE / "peers/sftkit_launch.py"), str(settings), str(work / "runs")]
    seconds: dict[str, list[float]] = {name: [] for name in [*CHOSEN, LAUNCHED]}
    for _ in range(options.repeat):
        for name in CHOSEN:
            seconds[name].append(one(name, RUNS[name], task, work, options.cache, judged=False).first_step)
        seconds[LAUNCHED].append(run(LAUNCHED, script, {"PYTHONPATH": str(HERE.parents[1])}, work / "launch.log").first_step)  # fmt: skip
        print({name: round(many[-1], 2) for name, many in seconds.items()}, flush=True)
    base = statistics.median(seconds["TRL, default"])
    lines = [
        f"{time.strftime('%Y-%m-%d')}, 2 threads, medians of {options.repeat}; {versions()}",
        "",
        "| trainer | command to first step, s (spread) | of TRL's |",
        "|---|---|---|",
    ]
    for name, many in seconds.items():
        middle = statistics.median(many)
        lines.append(f"| {name} | {middle:.1f} ({min(many):.1f} to {max(many):.1f}) | {middle / base:.2f} |")
    table = "\n".join(lines) + "\n"
    print(table)
    (HERE / "results_startup.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
