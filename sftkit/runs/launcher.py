"""launch: from settings to a run folder and a run of its own, or to a list of what stands in the way.

run = launch(SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl"))
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.errors import LaunchError
from sftkit.runs import classroom, facts, supervisor
from sftkit.runs import folder as disk
from sftkit.runs import queue as slots
from sftkit.runs.findings import Finding, preflight
from sftkit.runs.run import Run

PACKAGES = (
    "sftkit-jupyter",
    "torch",
    "deepspeed",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "flash-attn",
)


def launch(
    config: SFTConfig,
    runs_dir: str | Path = "runs",
    queue: bool = False,
    *,
    findings: list[Finding] | None = None,
    copied_from: str | None = None,
) -> Run:
    """Start a training run and return at once; it lives on its own from then on.

        run = sk.launch(config)
        run.wait().state            # "finished"; or go on working, and look at `run.status` when you like

    `queue`: wait, in state "queued", until no other run of this user on this machine has one of its GPUs (or the CPU);
    first come, first served. Without it the run starts at once, beside whatever runs there, unless caps are set (`teach`).
    `findings`: what `preflight` has just found, where the caller has shown it; None: it is made here.
    `copied_from`: id of the run whose settings these are, for the record.

    Relative paths in the settings are taken from the present folder, also after a restart from elsewhere.
    Raises `LaunchError`, with every finding of level "stop", before anything is written or started.
    """
    runs_dir = classroom.runs_folder(runs_dir)
    devices = slots.devices(config)
    if queue and not devices:
        raise LaunchError(
            f"Not launched: the queue is for devices of this machine, and launcher={config.launcher!r} has its own."
        )
    findings = preflight(config, runs_dir) if findings is None else findings
    if stops := [finding for finding in findings if finding.level == "stop"]:
        raise LaunchError(_refusal(stops), stops)
    folder = disk.create(Path(runs_dir).absolute(), Path(config.pretrain).name)
    disk.write_status(folder, "queued")
    record = _record(config, folder) | {"devices": list(devices), "copied_from": copied_from}
    disk.write_json(folder / disk.RUN, record)
    try:
        supervisor.start(folder, queue=queue)
    except OSError as error:
        disk.write_status(folder, "failed", str(error))
        raise LaunchError(f"The run {folder} was not started: {error}") from error
    return Run(folder)


def _refusal(stops: list[Finding]) -> str:
    count = "one thing stands" if len(stops) == 1 else f"{len(stops)} things stand"
    return f"Not launched: {count} in the way.\n" + "\n".join(f"  - {finding}" for finding in stops)


def _record(config: SFTConfig, folder: Path) -> dict[str, Any]:
    """run.json, but for the pid, which the supervisor adds. Nothing of the environment goes in: it may hold keys."""
    cwd = Path.cwd()
    return {
        "id": folder.name,
        "config": config.to_dict(),
        "command": shlex.split(config.to_command().replace("\\\n", " ")),
        "cwd": str(cwd),
        "python": sys.executable,
        "versions": versions(),
        "git_commit": _git_commit(cwd),
        "data": facts.of_config(config),
        "model": facts.of_model(config.pretrain),
        "machine": facts.of_machine(),
        "gpus": list(config.gpus or ()),
        "processes": config.processes,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "resume": False,
    }


def versions() -> dict[str, str]:
    """Versions as installed, read from their metadata: importing torch to ask would take seconds."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit(folder: Path) -> str | None:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
