"""What preflight reads of a model, of data and of the machine, each once and only when a check asks for it.

Large files are sampled: a form calls preflight while its user types.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import time
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import Columns, Encoded, Example, encoder, find_columns, is_hub_id, read_rows
from sftkit.data.shaping import to_example
from sftkit.errors import DataError
from sftkit.runs import hardware

WHOLE = 32 * 2**20  # bytes: a larger JSONL file is sampled from its beginning
HEAD = 4 * 2**20  # bytes of that sample
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


@dataclass(frozen=True)
class Rows:
    """Rows of a data file: all of them, or the first of a large one; `total` is then an estimate."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    whole: bool = True
    error: DataError | None = None


@dataclass
class Look:
    """Settings and, as cached properties, what they point at. Paths are taken from the present folder."""

    config: SFTConfig
    runs_dir: Path

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
    def train(self) -> Rows:
        return _rows(self.config.dataset)

    @cached_property
    def eval(self) -> Rows:
        return _rows(self.config.eval_dataset) if self.config.eval_dataset else Rows()

    def columns(self, split: str) -> Columns | DataError:
        """Where prompt and answer are in a split, or why that cannot be told."""
        rows = self.train if split == "train" else self.eval
        file = self.config.dataset if split == "train" else self.config.eval_dataset
        if not rows.rows:
            return rows.error or DataError("there is nothing to read.", file=file)
        try:
            return find_columns(self.config, dict.fromkeys(key for row in rows.rows for key in row), file)
        except DataError as error:
            return error

    @property
    def faulty_rows(self) -> dict[str, list[DataError]]:
        """For each split, what is wrong with rows that cannot be turned into messages."""
        return {split: bad for split, (_, bad) in self._shaped.items()}

    @property
    def examples(self) -> dict[str, list[Example]]:
        """For each split, the rows as messages; faulty rows are left out."""
        return {split: good for split, (good, _) in self._shaped.items()}

    @cached_property
    def _shaped(self) -> dict[str, tuple[list[Example], list[DataError]]]:
        return {split: self._shape(split) for split in ("train", "eval")}

    def _shape(self, split: str) -> tuple[list[Example], list[DataError]]:
        columns = self.columns(split)
        if isinstance(columns, DataError):
            return [], []
        rows = self.train if split == "train" else self.eval
        file = self.config.dataset if split == "train" else self.config.eval_dataset
        good, bad = [], []
        for number, row in enumerate(rows.rows, start=1):
            try:
                good.append(to_example(row, columns, file=file, number=number))
            except DataError as error:
                bad.append(error)
        return good, bad

    @cached_property
    def encoded(self) -> list[Encoded] | DataError:
        """Some training rows, drawn with a fixed seed, as the trainer will see them."""
        examples = self.examples["train"]
        drawn = random.Random(0).sample(examples, min(TOKENIZED, len(examples)))
        if not drawn or self.model is None:
            return []
        try:
            return list(encoder(self.config).encode(drawn))
        except DataError as error:
            return error

    @cached_property
    def rows_used(self) -> int:
        """Rows that will be trained: `max_samples` of them at most, without those that answer nothing (an estimate for
        a large file)."""
        idle = sum(not answer_of(example) for example in self.examples["train"])
        return min(self.train.total - idle, self.config.max_samples or self.train.total)

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


def _rows(source: str) -> Rows:
    path = Path(source)
    try:
        if path.suffix.lower() == ".jsonl" and path.is_file() and path.stat().st_size > WHOLE:
            return _head(path)
        if is_hub_id(source):
            return Rows()
        rows = read_rows(path)
    except DataError as error:
        return Rows(error=error)
    except OSError as error:
        return Rows(error=DataError(f"cannot be read: {error.strerror}.", file=source))
    return Rows(rows, len(rows))


def _head(path: Path) -> Rows:
    with path.open("rb") as file:
        text = file.read(HEAD)
    lines = [line for line in text[: text.rfind(b"\n") + 1].split(b"\n") if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"is not JSON: {error}", file=path, row=number) from None
    if not all(isinstance(row, dict) for row in rows):
        raise DataError("should hold one object with named columns a line.", file=path)
    total = round(path.stat().st_size * len(rows) / max(1, sum(len(line) + 1 for line in lines)))
    return Rows(rows, total, whole=False)


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
