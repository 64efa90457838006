"""What preflight reads of a model, of data and of the machine, each once and only when a check asks for it."""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import Encoded, Example, encoder
from sftkit.errors import DataError
from sftkit.runs import hardware
from sftkit.runs.sources import LIMITS, QUICK, Split

HEADER_LIMIT = 100 * 2**20  # bytes: what the format allows for a header
TOKENIZED = 200  # rows drawn for the checks that need the tokenizer
BYTES = {
    "F64": 8,
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I8": 1,
    "U8": 1,
}


@dataclass
class Look:
    """Settings and, as cached properties, what they point at. Paths are taken from the present folder.

    `quick`: of data larger than a megabyte only the beginning is read.
    """

    config: SFTConfig
    runs_dir: Path
    quick: bool = False

    @cached_property
    def model(self) -> Path | None:
        """The model's folder, where it is one on this machine."""
        path = Path(self.config.pretrain)
        return path if path.is_dir() else None

    @cached_property
    def parameters(self) -> int | None:
        """How many weights the model has, by the headers of its safetensors files."""
        if self.model is None:
            return None
        return sum(_weights(path) for path in self.model.glob("*.safetensors")) or None

    @cached_property
    def train(self) -> Split:
        return Split(self.config, "train", limits=QUICK if self.quick else LIMITS)

    @cached_property
    def eval(self) -> Split:
        return Split(self.config, "eval", limits=QUICK if self.quick else LIMITS)

    @property
    def splits(self) -> dict[str, Split]:
        """Training and held-out data, by the setting that names their sources."""
        return {"dataset": self.train, "eval_dataset": self.eval}

    @cached_property
    def looked_at(self) -> list[Example]:
        """Some of the rows that will be trained, drawn with a fixed seed."""
        return random.Random(0).sample(self.train.used, min(TOKENIZED, len(self.train.used)))

    @cached_property
    def encoded(self) -> list[Encoded] | DataError:
        """The rows `looked_at` as the trainer will see them."""
        if not self.looked_at or self.model is None:
            return []
        try:
            return list(encoder(self.config).encode(self.looked_at))
        except DataError as error:
            return error

    @cached_property
    def rows_used(self) -> int:
        """Rows that will be trained, after shares, caps and `max_samples`, without those that answer nothing: an
        estimate where a source is sampled, 0 where one is not known."""
        used = self.train.used
        answered = sum(bool(answer_of(example)) for example in used)
        if self.train.whole or not used:
            return answered
        total = sum(self.train.sizes)
        return round(min(total, self.config.max_samples or total) * answered / len(used))

    @property
    def steps_an_epoch(self) -> int:
        """Optimizer steps of one pass; the last one may hold fewer rows than a batch."""
        return math.ceil(self.rows_used / self.config.train_batch_size)

    @cached_property
    def gpus(self) -> list[hardware.GPU]:
        return _gpus(int(time.monotonic() // 10))

    def free_bytes(self, path: Path) -> int:
        """Free space on the disk that `path` is or will be on."""
        return shutil.disk_usage(existing(path)).free


def prompt_of(example: Example) -> str:
    """All that is asked, without blanks around it."""
    return "".join(turn["content"] for turn in example.messages if turn["role"] != "assistant").strip()


def answer_of(example: Example) -> str:
    """All that is answered, without blanks around it."""
    return "".join(turn["content"] for turn in example.messages if turn["role"] == "assistant").strip()


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


@lru_cache(maxsize=1)
def _gpus(moment: int) -> list[hardware.GPU]:
    """nvidia-smi takes up to a second: its answer stands for ten."""
    return hardware.gpus()


def _weights(path: Path) -> int:
    """Weights in a safetensors file, by its header; 0 where it cannot be read."""
    header, _ = _header(path)
    spans = [(entry["data_offsets"], entry["dtype"]) for entry in header.values()]
    return sum((stop - start) // BYTES.get(dtype, 2) for (start, stop), dtype in spans)


def is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says: a download that broke off is not."""
    header, length = _header(path)
    return bool(header) and path.stat().st_size >= length + max(
        entry["data_offsets"][1] for entry in header.values()
    )


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Names, types and places of the tensors in a file, and where they begin (8 bytes give the header's length)."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, HEADER_LIMIT)))
    except (OSError, ValueError, struct.error):
        return {}, 0
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length
