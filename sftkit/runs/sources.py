"""What preflight sees of data: the rows of each source, its columns, its rows as messages, and which of them are used.

Large files are sampled from their beginning: a form calls preflight while its user types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sftkit.config import SFTConfig
from sftkit.data import Columns, Example, is_hub_source, mixing
from sftkit.data.fingerprint import size_of
from sftkit.data.patch_log import beside
from sftkit.data.patched import Patched, kept, patched
from sftkit.data.reading import named_sources, open_source, read_head, where_rows_are
from sftkit.data.shaping import find_all_columns, mixed, to_example
from sftkit.data.tables import data_files
from sftkit.data.text_files import RowList
from sftkit.errors import DataError
from sftkit.wording import say


class Limits(NamedTuple):
    """Bytes: a source larger than `whole` is sampled, by its first `head`."""

    whole: int
    head: int


LIMITS = Limits(32 * 2**20, 4 * 2**20)
QUICK = Limits(2**20, 2**18)


@dataclass(frozen=True)
class Seen:
    """One source: all of its rows, or the first of a large one; `total` is then an estimate for text.

    `place` is the file, or the folder of the split, that the rows are in. A source on the hub has none, no rows, and
    no error. `rows` are those that the `patch` beside it leaves, as it edits them; `numbers`: which ones these are
    (1 = the first of the file).
    """

    name: str
    place: Path | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    whole: bool = True
    error: DataError | None = None
    numbers: Sequence[int] = ()
    patch: Patched | None = None


class Split:
    """The sources of the training data ("train") or of the held-out data ("eval")."""

    def __init__(
        self, config: SFTConfig, split: str, sources: Sequence[Seen] | None = None, limits: Limits = LIMITS
    ):
        self.config, self.split = config, split
        names, wanted = named_sources(config, split)
        self.sources = [_seen(name, wanted, limits) for name in names] if sources is None else list(sources)

    @property
    def counted(self) -> bool:
        """Whether the rows of every source are known."""
        return bool(self.sources) and all(source.rows for source in self.sources)

    @property
    def whole(self) -> bool:
        """Whether every row of every source was read."""
        return all(source.whole for source in self.sources)

    @cached_property
    def columns(self) -> list[tuple[Seen, Columns | DataError]]:
        """For each source that has rows: where prompt and answer are, or why that cannot be told."""
        there = [source for source in self.sources if source.rows]
        firsts = [
            dict.fromkeys(key for row in source.rows for key in row) | source.rows[0] for source in there
        ]
        return list(zip(there, find_all_columns(self.config, [source.name for source in there], firsts)))

    @cached_property
    def shaped(self) -> list[tuple[Seen, list[Example], list[DataError]]]:
        """For each source whose columns are found: its rows as messages, and what is wrong with the others."""
        found = []
        for source, columns in self.columns:
            good: list[Example] = []
            bad: list[DataError] = []
            for number, row in zip(source.numbers, source.rows if isinstance(columns, Columns) else []):
                try:
                    good.append(to_example(row, columns, file=source.name, number=number))
                except DataError as error:
                    bad.append(error)
            if good or bad:
                found.append((source, good, bad))
        return found

    @cached_property
    def examples(self) -> list[Example]:
        """The rows of all sources as messages; faulty rows are left out."""
        return [example for _, good, _ in self.shaped for example in good]

    @property
    def sizes(self) -> list[int]:
        """Rows that each source gives, before `max_samples`."""
        return mixing.sizes([source.total for source in self.sources], probs=self.config.dataset_probs, caps=self.config.dataset_caps)  # fmt: skip

    @cached_property
    def used(self) -> list[Example]:
        """The rows that training will use; where a source is sampled, as many as give its share of what was read.

        Empty where the rows of a source are not known.
        """
        if not self.counted or len(self.shaped) < len(self.sources):
            return []
        if self.whole:
            numbers = mixed(self.config, self.split, [source.total for source in self.sources])
        else:
            read = [len(source.rows) for source in self.sources]
            numbers = mixing.drawn(read, probs=self.sizes, seed=self.config.seed)
        chosen = [
            source.numbers if isinstance(taken, range) else {source.numbers[at] for at in taken}
            for source, taken in zip(self.sources, numbers)
        ]
        return [
            example
            for (_, good, _), taken in zip(self.shaped, chosen)
            for example in good
            if example.row in taken
        ]

    @cached_property
    def answered(self) -> int:
        """How many of the rows `used` have an answer."""
        return sum(bool(answer_of(example)) for example in self.used)

    def name_of(self, example: Example) -> str:
        """`row 5`, with its source where there are several."""
        if len(self.sources) > 1:
            return say("row {n} of {source}", n=example.row, source=example.source)
        return say("row {n}", n=example.row)


def prompt_of(example: Example) -> str:
    """All that is asked, without blanks around it."""
    return "".join(turn["content"] for turn in example.messages if turn["role"] != "assistant").strip()


def answer_of(example: Example) -> str:
    """All that is answered, without blanks around it."""
    return "".join(turn["content"] for turn in example.messages if turn["role"] == "assistant").strip()


def _seen(name: str, wanted: str | None, limits: Limits) -> Seen:
    if is_hub_source(name):
        return Seen(name)
    place = None
    try:
        place = where_rows_are(name, wanted)
        if size_of(name, wanted) > limits.whole:
            if head := read_head(place, limits.head):
                rows, total = head
                return _used(name, place, patched(RowList(rows), place, part=True), total, whole=False)
            if limits is QUICK:  # a format that is read whole or not at all
                return Seen(name, place, whole=False)
        opened = open_source(name, wanted)
        return _used(name, place, opened, len(opened))
    except DataError as error:
        return Seen(name, place, error=error)
    except OSError as error:
        return Seen(
            name,
            place,
            error=DataError(say("cannot be read: {strerror}.", strerror=error.strerror), file=name),
        )


def _used(name: str, place: Path, opened: Any, total: int, whole: bool = True) -> Seen:
    """A source whose rows are read. total: rows of the file, at least about."""
    used = kept(opened)
    left = total - (len(opened) - len(used))
    numbers = range(1, len(used) + 1) if isinstance(used, range) else [number + 1 for number in used]
    patch = opened if isinstance(opened, Patched) else None
    return Seen(name, place, opened.take(used), left, whole, numbers=numbers, patch=patch)


# Settings that what is seen of data depends on.
DATA_SETTINGS = (
    "dataset", "eval_dataset", "dataset_split", "eval_split", "input_key", "output_key", "task_key", "dataset_probs",
    "dataset_caps", "max_samples", "seed",
)  # fmt: skip


def quick_split(config: SFTConfig, split: str) -> Split:
    """A `Split` with the QUICK limits; the last ones stay in memory until a file or a setting of theirs changes."""
    of_data = SFTConfig(pretrain="-", **{name: getattr(config, name) for name in DATA_SETTINGS})
    names, wanted = named_sources(config, split)
    return _quick_split(of_data, split, tuple(_stamp(name, wanted) for name in names))


@lru_cache(maxsize=4)
def _quick_split(config: SFTConfig, split: str, _stamps: tuple) -> Split:
    return Split(config, split, limits=QUICK)


def _stamp(name: str, wanted: str | None) -> tuple:
    """What changes when a source does."""
    try:
        place = where_rows_are(name, wanted)
        files = [Path(name), *data_files(place), *filter(Path.exists, [beside(place)])]
        return tuple((str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    except (DataError, OSError):
        place = Path(name).absolute()
        return (str(place), place.stat().st_mtime_ns if place.exists() else 0)
