"""What run.json says of what a run stands on: path, SHA-256, rows, split and patch of every source; the model; the machine.

    python -m sftkit.runs.facts RUN_DIR      # large files: read beside the training, by a process of the run

Reading gigabytes takes longer than a launch may, so `launch` fills in small files at once and leaves the rest to this.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import file_facts
from sftkit.data.fingerprint import mark, size_of
from sftkit.data.reading import named_sources
from sftkit.data.vocabulary import FILES
from sftkit.errors import DataError
from sftkit.runs import folder as disk
from sftkit.runs import hardware, identity

AT_ONCE = 32 * 2**20  # bytes that are read while the user waits


def of_config(config: SFTConfig) -> list[dict[str, Any]]:
    """An entry for each source; `sha256` and `rows` are None for what is large, or not on this machine."""
    return [
        _entry(source, split, wanted)
        for split in ("train", "eval")
        for sources, wanted in [named_sources(config, split)]
        for source in sources
    ]


def _entry(source: str, split: str, wanted: str | None) -> dict[str, Any]:
    small = Path(source).exists() and size_of(source, wanted) <= AT_ONCE
    facts = file_facts(source, wanted) if small else {"path": source, "sha256": None, "rows": None}
    return {**facts, "split": split}


def changed(record: dict[str, Any], root: Path) -> list[str]:
    """The sources of a run's record that are other files now than then, seen from `root`; large ones are not looked at."""
    settings, found = record.get("config", {}), []
    wanted = {"train": settings.get("dataset_split", "train"), "eval": settings.get("eval_split")}
    for entry in record.get("data", []):
        path, split = root / entry["path"], wanted[entry["split"]]
        if entry["sha256"] is None or not path.exists() or size_of(path, split) > AT_ONCE:
            continue
        if mark(file_facts(path, split)) != mark(entry):
            found.append(entry["path"])
    return found


def of_model(pretrain: str) -> dict[str, str]:
    """`path`, a digest of the weights (`identity.of_model`) and one of the tokenizer's files; a hub id has neither."""
    folder = Path(pretrain)
    if not folder.is_dir():
        return {"path": pretrain, "weights": "", "tokenizer": ""}
    digest = hashlib.sha256()
    for name in FILES:
        if (folder / name).is_file():
            digest.update(f"{name} ".encode() + (folder / name).read_bytes())
    return {"path": pretrain, "weights": identity.of_model(pretrain), "tokenizer": digest.hexdigest()}


def of_machine() -> dict[str, Any]:
    """The machine that launches: `cpu`, `cores` (that a run may use), `memory_mb`, `gpus` (names), `system`."""
    _, total = hardware.memory()
    return {
        "cpu": _cpu_name(),
        "cores": hardware.cpu_cores(),
        "memory_mb": total // hardware.MB,
        "gpus": [gpu.name for gpu in hardware.gpus()],
        "system": f"{platform.system()} {platform.release()}",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def fill_in(folder: Path) -> None:
    """Complete the entries that `launch` left open, in the folder that the run's paths are relative to."""
    record = disk.read_json(folder / disk.RUN)
    os.chdir(record.get("cwd") or ".")
    settings = record.get("config", {})
    wanted = {"train": settings.get("dataset_split", "train"), "eval": settings.get("eval_split")}
    for number, entry in enumerate(record.get("data", [])):
        if entry["sha256"] is not None or not Path(entry["path"]).exists():
            continue
        try:
            entry |= file_facts(entry["path"], wanted[entry["split"]])
        except DataError as error:
            print(f"{entry['path']} could not be read for run.json: {error}", flush=True)
            continue
        record = disk.read_json(folder / disk.RUN)  # others write it too
        record["data"][number] = entry
        disk.write_json(folder / disk.RUN, record)


if __name__ == "__main__":
    fill_in(Path(sys.argv[1]).absolute())
