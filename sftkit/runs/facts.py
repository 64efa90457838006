"""What run.json says of the data: path, SHA-256, rows and split of every file.

    python -m sftkit.runs.facts RUN_DIR      # large files: read beside the training, by a process of the run

Reading gigabytes takes longer than a launch may, so `launch` fills in small files at once and leaves the rest to this.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import file_facts
from sftkit.errors import DataError
from sftkit.runs import folder as disk

AT_ONCE = 32 * 2**20  # bytes that are read while the user waits


def of_config(config: SFTConfig) -> list[dict[str, Any]]:
    """An entry for each data file; `sha256` and `rows` are None for what is large, or not a file of this machine."""
    named = {"train": config.dataset, "eval": config.eval_dataset}
    return [_entry(path, split) for split, path in named.items() if path]


def _entry(path: str, split: str) -> dict[str, Any]:
    file = Path(path)
    small = file.is_file() and file.stat().st_size <= AT_ONCE
    facts = file_facts(path) if small else {"path": path, "sha256": None, "rows": None}
    return {**facts, "split": split}


def fill_in(folder: Path) -> None:
    """Complete the entries that `launch` left open, in the folder that the run's paths are relative to."""
    os.chdir(disk.read_json(folder / disk.RUN).get("cwd") or ".")
    for entry in disk.read_json(folder / disk.RUN).get("data", []):
        if entry["sha256"] is None and Path(entry["path"]).is_file():
            try:
                entry |= file_facts(entry["path"])
            except DataError as error:
                print(f"{entry['path']} could not be read for run.json: {error}", flush=True)
                continue
            record = disk.read_json(folder / disk.RUN)
            record["data"] = [entry if old["split"] == entry["split"] else old for old in record["data"]]
            disk.write_json(folder / disk.RUN, record)


if __name__ == "__main__":
    fill_in(Path(sys.argv[1]).absolute())
