"""Training on a CPU, side by side: sftkit, TRL, LLaMA-Factory, OpenRLHF on the same model, rows and steps.

    python tests/benchmarks/cpu_training.py --rows alpaca_2000.jsonl --repeat 3

Every peer lives in an environment of its own under --cache (made once: about 4 GB). Runs are interleaved; the table
holds medians and is written to results_cpu.md beside this file. CPU seconds are those of the trainer's process between
its first and its last step, so that whatever else the machine does cancels out.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from task import BATCH, ROWS, Outcome, Task, eval_loss, prepare, run

TORCH = "torch==2.13.0"  # without the pin pip takes a CUDA build of gigabytes
PEERS = {
    "trl": [TORCH, "trl==1.16.0", "datasets"],
    "llamafactory": [TORCH, "llamafactory==0.9.5"],
    "openrlhf": [TORCH, "openrlhf==0.11.2"],
}
OPENRLHF_ALONE = ["torchdata", "pylatexenc"]  # what its loop imports; the rest of its needs is for GPUs
# name in the table: (peer, its way, number format)
RUNS = {
    "TRL, default": ("trl", "default", "fp32"),
    "TRL, group_by_length": ("trl", "grouped", "fp32"),
    "TRL, padding_free": ("trl", "padding_free", "fp32"),
    "TRL, packing bfd_split": ("trl", "packing", "fp32"),
    "LLaMA-Factory, default": ("llamafactory", "default", "fp32"),
    "LLaMA-Factory, packing": ("llamafactory", "packing", "fp32"),
    "LLaMA-Factory, neat_packing": ("llamafactory", "neat_packing", "fp32"),
    "OpenRLHF, ZeRO-2 bf16": ("openrlhf", "default", "bf16"),
    "sftkit, ZeRO-0": ("sftkit", "zero_stage=0", "fp32"),
    "sftkit, ZeRO-2": ("sftkit", "zero_stage=2", "fp32"),
    "sftkit, ZeRO-2 packing": ("sftkit", "zero_stage=2 packing=True micro_train_batch_size=1", "fp32"),
    "TRL, default bf16": ("trl", "default", "bf16"),
    "sftkit, ZeRO-2 bf16": ("sftkit", "zero_stage=2", "bf16"),
}


def main() -> None:
    options = options_of(__doc__)
    work, task = set_up(options)
    print(
        f"{ROWS} rows, {task.tokens:,} tokens, {task.trained:,} of them trained; {BATCH} rows a step",
        flush=True,
    )
    chosen = {name: how for name, how in RUNS.items() if options.only in name}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in chosen}
    for _ in range(options.repeat):
        for name, how in chosen.items():
            try:
                outcomes[name].append(one(name, how, task, work, options.cache))
                print(outcomes[name][-1], flush=True)
            except RuntimeError as error:
                print(error, flush=True)
    table = report(task, {name: many for name, many in outcomes.items() if many})
    print(table)
    if not options.only:
        (HERE / "results_cpu.md").write_text(table, encoding="utf-8")


def options_of(about: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = HERE.parents[1] / "data" / "train.jsonl"
    parser.add_argument("--rows", type=Path, default=default, help="Alpaca rows, or prompt and response")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sftkit-bench")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--only", default="", help="runs whose name holds this; the table is printed, not written"
    )
    return parser.parse_args()


def set_up(options: argparse.Namespace) -> tuple[Path, Task]:
    """The peers' environments, a folder to work in, and the task in it."""
    for peer, packages in PEERS.items():
        install(options.cache / peer, peer, packages)
    work = options.cache / "work"
    return work, prepare(work / "task", options.rows)


def install(folder: Path, peer: str, packages: list[str]) -> None:
    """An environment for a peer, once. OpenRLHF asks for packages that need CUDA to be built: its own wheel, beside ours."""
    if (folder / ".done").exists():
        return
    print(f"installing {peer} into {folder}", flush=True)
    if peer == "openrlhf":
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, *packages[1:], *OPENRLHF_ALONE], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *packages], check=True)
        # Its wheels on PyPI belong to another build of torch and fail to import beside this one.
        subprocess.run([folder / "bin/pip", "uninstall", "-q", "-y", "torchvision", "torchaudio"], check=True)
    (folder / ".done").touch()


def one(
    name: str, how: tuple[str, str, str], task: Task, work: Path, cache: Path, judged: bool = True
) -> Outcome:
    """One run of one trainer, and the judgement of its model."""
    peer, way, dtype = how
    output = work / re.sub(r"\W+", "-", f"{name} {time.time():.0f}")
    log = output.with_suffix(".log")
    if peer == "sftkit":
        output.mkdir()
        settings = dict(part.split("=") for part in way.split())
        config = task.config.with_(**settings, bf16=dtype == "bf16").to_dict()
        (output / "run.json").write_text(json.dumps({"config": config, "cwd": str(output)}), encoding="utf-8")
        command, env = [sys.executable, str(HERE / "peers/sftkit_sft.py"), str(output)], {"PYTHONPATH": str(HERE.parents[1])}  # fmt: skip
        model = output / "model"
    else:
        python = sys.executable if peer == "openrlhf" else str(cache / peer / "bin/python")
        command = [python, str(HERE / f"peers/{peer}_sft.py"), str(task.folder), str(output), way, dtype]
        env, model = {"PYTHONPATH": str(cache / peer)} if peer == "openrlhf" else {}, output
    outcome = run(name, command, env, log)
    if judged:
        outcome.eval_loss = eval_loss(task, model)
    return outcome


def report(task: Task, outcomes: dict[str, list[Outcome]]) -> str:
    """The table: medians, and each speed as a multiple of TRL's default of the same run."""

    def median(name: str, what: str) -> float:
        return statistics.median(getattr(outcome, what) for outcome in outcomes[name])

    # The first step warms up, so it is not in the seconds, nor are its tokens.
    share = {name: 1 - 1 / outcomes[name][0].steps for name in outcomes}
    per_cpu = {name: task.tokens * share[name] / median(name, "cpu_seconds") for name in outcomes}
    base = per_cpu.get("TRL, default")
    lines = [
        f"{time.strftime('%Y-%m-%d')}, 2 threads, medians of {max(len(many) for many in outcomes.values())}; {task.tokens:,} tokens, "
        f"{task.trained:,} trained; {versions()}",
        "",
        "| trainer | tokens / CPU s (spread) | x TRL default | tokens / s | steps | eval loss | memory MB | command to first step, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, many in outcomes.items():
        speeds = [task.tokens * share[name] / outcome.cpu_seconds for outcome in many]
        times = f"{per_cpu[name] / base:.2f}" if base else ""
        lines.append(
            f"| {name} | {per_cpu[name]:,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) | {times} "
            f"| {task.tokens * share[name] / median(name, 'seconds'):,.0f} | {many[0].steps} | {median(name, 'eval_loss'):.3f} "
            f"| {median(name, 'memory_mb'):,.0f} | {median(name, 'first_step'):.1f} |"
        )
    return "\n".join(lines) + "\n"


def versions() -> str:
    ours = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "deepspeed"))
    return f"{ours}; {', '.join(package for packages in PEERS.values() for package in packages if '==' in package and 'torch' not in package)}"  # fmt: skip


if __name__ == "__main__":
    main()
