"""What preflight reads of a model, of data and of the machine, each once and only when a check asks for it."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import Encoded, Example, Vocabulary, encoder
from sftkit.errors import DataError
from sftkit.runs import cards, hardware, memory
from sftkit.runs import folder as disk
from sftkit.runs.sources import LIMITS, Split, quick_split

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
    def model_files(self) -> Path | None:
        """The model's folder, or that of a hub id in this machine's cache."""
        return self.model or hub_snapshot(self.config.pretrain)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The model's tensors by name, from the headers of its safetensors files."""
        files = sorted(self.model_files.glob("*.safetensors")) if self.model_files else []
        return {name: tensor for path in files for name, tensor in _tensors(path, *_stamp(path)).items()}

    @cached_property
    def parameters(self) -> int | None:
        """How many weights the model has; None where that cannot be seen."""
        return sum(tensor.weights for tensor in self.tensors.values()) or None

    @cached_property
    def model_config(self) -> dict[str, Any]:
        """The model's config.json; empty where it cannot be read."""
        return disk.read_json(self.model_files / "config.json") if self.model_files else {}

    @cached_property
    def shape(self) -> memory.Shape | None:
        """The model's sizes, for the memory it will need."""
        return memory.Shape.of(self.model_config, {name: tensor.shape for name, tensor in self.tensors.items()})  # fmt: skip

    @cached_property
    def train(self) -> Split:
        return self._split("train")

    @cached_property
    def eval(self) -> Split:
        return self._split("eval")

    def _split(self, split: str) -> Split:
        return quick_split(self.config, split) if self.quick else Split(self.config, split, limits=LIMITS)

    @property
    def splits(self) -> dict[str, Split]:
        """Training and held-out data, by the setting that names their sources."""
        return {"dataset": self.train, "eval_dataset": self.eval}

    @cached_property
    def looked_at(self) -> list[Example]:
        """Some of the rows that will be trained, drawn with a fixed seed."""
        return random.Random(0).sample(self.train.used, min(TOKENIZED, len(self.train.used)))

    @cached_property
    def local(self) -> SFTConfig:
        """The settings, with the folder in this machine's cache for a hub id whose tokenizer is there."""
        folder = self.model_files
        cached = self.model is None and folder is not None and (folder / "tokenizer.json").is_file()
        return self.config.with_(pretrain=str(folder)) if cached else self.config

    @cached_property
    def encoded(self) -> list[Encoded] | DataError:
        """The rows `looked_at` as the trainer will see them."""
        if not self.looked_at or not Path(self.local.pretrain).is_dir():
            return []
        try:
            return list(encoder(self.local).encode(self.looked_at))
        except DataError as error:
            return error

    @cached_property
    def seen(self) -> list[tuple[Example, Encoded]]:
        """The rows `looked_at`, each with what the trainer will see of it; none where they cannot be encoded."""
        return [] if isinstance(self.encoded, DataError) else list(zip(self.looked_at, self.encoded))

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer of the rows `seen`."""
        return encoder(self.local).vocabulary

    @cached_property
    def rows_used(self) -> int:
        """Rows that will be trained, after shares, caps and `max_samples`, without those that answer nothing: an
        estimate where a source is sampled, 0 where one is not known."""
        used = self.train.used
        answered = self.train.answered
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

    @cached_property
    def runs(self) -> list[Path]:
        """Folders of the runs in `runs_dir`, the newest first."""
        found = [path.parent for path in self.runs_dir.glob(f"*/{disk.RUN}")]
        return sorted(found, key=lambda path: path.name, reverse=True)

    @cached_property
    def card_facts(self) -> list[cards.Card]:
        """What the cards can compute."""
        return cards.cards() if self.gpus else []

    @cached_property
    def card_users(self) -> list[cards.User]:
        """Who uses the cards."""
        return cards.users() if self.gpus else []

    @property
    def used_cards(self) -> tuple[int, ...]:
        """Ids of the cards that the run will use, as far as they are known."""
        if self.config.gpus:
            return self.config.gpus
        entries = hardware.visible_ids()
        if entries is None:
            return tuple(gpu.id for gpu in self.gpus)[: self.config.processes]
        return tuple(int(entry) for entry in entries if entry.isdigit())[: self.config.processes]

    def free_bytes(self, path: Path) -> int:
        """Free space on the disk that `path` is or will be on."""
        return shutil.disk_usage(existing(path)).free


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


@dataclass(frozen=True)
class Tensor:
    """A tensor as the header of its file names it. `weights`: how many numbers it holds."""

    shape: tuple[int, ...]
    weights: int


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@lru_cache(maxsize=512)
def _tensors(path: Path, _size: int, _written: int) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by its header; none where it cannot be read."""
    header, _ = _header(path)
    return {name: _tensor(entry) for name, entry in header.items()}


def _tensor(entry: dict[str, Any]) -> Tensor:
    start, stop = entry["data_offsets"]
    return Tensor(tuple(entry.get("shape", ())), (stop - start) // BYTES.get(entry["dtype"], 2))


def hub_snapshot(name: str) -> Path | None:
    """The folder of a model of the hub in this machine's cache: the newest that was fetched; None where there is none."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    found = (cache / f"models--{name.replace('/', '--')}" / "snapshots").glob("*")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


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
