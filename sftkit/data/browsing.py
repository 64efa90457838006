"""The rows of a split as the trainer takes them, in its order, each read when it is asked for: 500,000 rows open at once.

rows = Drawn(config, "train", root=Path("."))
len(rows); rows.place(0)        # ("data/train.jsonl", 1): source, and row counted from 1
rows.examples([0, 7])           # as messages
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import array_index, csv_index, line_index, text_files
from sftkit.data.patched import kept, patched, taken
from sftkit.data.reading import named_sources, open_source, told_by, where_rows_are, with_rows
from sftkit.data.shaping import Columns, Example, find_all_columns, first_row, to_example, used
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

SOUGHT = 100  # rows among which one that can be read tells the columns


def at_home(config: SFTConfig, root: Path) -> SFTConfig:
    """The settings with the model and template found from `root`, the folder that a run's paths are relative to."""
    places = {"pretrain": config.pretrain, "chat_template": config.chat_template}
    return config.with_(**{name: located(value, root) for name, value in places.items() if value})


def located(name: str, root: Path) -> str:
    """The path from `root`, where there is something; else the name as it stands (a hub id, a known template)."""
    return str(root / name) if (root / name).exists() else name


@dataclass
class Opened:
    """One source: its rows, the numbers of those that are used (0 = the first), and the columns known so far."""

    name: str
    rows: Any  # has len() and take(numbers)
    numbers: Sequence[int]
    known: dict[str, Any]  # column -> its value in the first row


class Drawn:
    """The rows of "train" or "eval" that are used, numbered from 0 as the trainer numbers them.

    root: the folder that relative paths start from. opener: what opens a source of a split, in place of the files here.
    Raises `DataError` where a source cannot be read here.
    """

    def __init__(self, config: SFTConfig, split: str = "train", root: Path = Path("."), opener: Callable[[str, str | None], Any] | None = None):  # fmt: skip
        self.config, self.split = config, split
        names, wanted = named_sources(config, split)
        opened = [(opener or open_lazily)(located(name, root), wanted) for name in names]
        numbers = used(config, split, opened)
        self.sources = [
            Opened(name, rows, chosen, _first_readable(rows))
            for name, rows, chosen in zip(names, opened, numbers, strict=True)
        ]
        self._ends = list(accumulate(len(source.numbers) for source in self.sources))
        self._columns = self._find_columns()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place(self, number: int) -> tuple[str, int]:
        """Source, and row in it counted from 1."""
        source, inside = self._inside(number)
        return source.name, int(source.numbers[inside]) + 1

    def find(self, source: str | None, row: int) -> int | None:
        """The number of a row (from 1) of a source (None: the first); None where it is not used."""
        begin = 0
        for opened, end in zip(self.sources, self._ends):
            if source in (None, opened.name):
                at = bisect_left(opened.numbers, row - 1)
                there = at < len(opened.numbers) and opened.numbers[at] == row - 1
                return begin + at if there else None
            begin = end
        return None

    def example(self, number: int) -> Example:
        """One row as messages. Raises `DataError` where it cannot be taught."""
        return self.examples([number])[0]

    def examples(self, numbers: Iterable[int]) -> list[Example]:
        """Rows as messages, in the order asked for. Raises `DataError` for the first that cannot be taught."""
        wanted = [int(number) for number in numbers]
        found = dict(self.read(sorted(set(wanted))))
        if faults := [one for one in found.values() if isinstance(one, DataError)]:
            raise faults[0]
        return [found[number] for number in wanted]

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Example | DataError]]:
        """Each of these ascending rows as messages, or what is wrong with it. Read at once, since tables are read in
        batches: a row at a time would take a thousand times as long."""
        for _, part in groupby(map(self._inside, numbers), key=lambda place: id(place[0])):
            places = list(part)
            opened = places[0][0]
            rows = [opened.numbers[inside] for _, inside in places]
            begin = self._begin(opened)
            for (_, inside), row, found in zip(places, rows, taken(opened.rows, rows)):
                yield begin + inside, self.example_of(opened, found, row + 1)

    def may_hold(self, number: int, wanted: str) -> bool:
        """Whether a row may have `wanted` (lower case) in its text: False only where it surely has not."""
        source, inside = self._inside(number)
        quick = getattr(source.rows, "may_hold", None)
        return quick is None or quick(source.numbers[inside], wanted)

    @property
    def columns(self) -> dict[str, Columns | DataError]:
        """For each source its columns, as far as they are known, or why they cannot be told."""
        return self._columns

    def _inside(self, number: int) -> tuple[Opened, int]:
        if not 0 <= number < len(self):
            raise DataError(
                say(
                    "there is no row {number}: {split} has {total:,} rows.",
                    number=number + 1,
                    split=self.split,
                    total=len(self),
                )
            )
        which = bisect_right(self._ends, number)
        return self.sources[which], number - (self._ends[which - 1] if which else 0)

    def _begin(self, source: Opened) -> int:
        """The number of a source's first row."""
        at = next(at for at, one in enumerate(self.sources) if one is source)
        return self._ends[at - 1] if at else 0

    def example_of(self, source: Opened, row: Row | DataError, number: int) -> Example | DataError:
        """A row (`number` counts from 1) of a source as messages, or what is wrong with it."""
        if isinstance(row, DataError):
            return row
        if more := row.keys() - source.known.keys():  # a column that begins further down
            source.known |= dict.fromkeys(name for name in row if name in more)
            self._columns = self._find_columns()
        columns = self._columns[source.name]
        if isinstance(columns, DataError):
            return columns
        try:
            return to_example(row, columns, file=source.name, number=int(number))
        except DataError as error:
            return error

    def _find_columns(self) -> dict[str, Columns | DataError]:
        names = [source.name for source in self.sources]
        return dict(
            zip(names, find_all_columns(self.config, names, [source.known for source in self.sources]))
        )


def _json(path: Path) -> Any:
    """Rows of JSON: an array, lines, or one object over many lines, whatever the file is called."""
    with path.open("rb") as file:
        start = file.read(100_000)
    if text_files.is_array(start):
        return array_index.array(path)
    if path.suffix.lower() != ".jsonl" and not text_files.begins_with_an_object(start.decode("utf-8-sig", "replace")):  # fmt: skip
        return text_files.json_rows(path)
    rows = line_index.jsonl(path)
    # one object with one part: that part may hold the rows, which reading it whole says
    return text_files.json_rows(path) if len(rows) == 1 == len(rows.columns) else rows


_INDICES: dict[str, Callable[[Path], Any]] = {".jsonl": _json, ".json": _json, ".csv": csv_index.table}


def open_lazily(source: str, wanted: str | None, *, as_is: bool = False) -> Any:
    """As `open_source`, but the rows of text files are not parsed yet."""
    path = Path(source)
    index = _INDICES.get(path.suffix.lower())
    if index is None or not path.is_file() or told_by(path):
        return open_source(source, wanted, as_is=as_is)
    path = where_rows_are(source, wanted)
    rows = with_rows(index(path), source)
    return rows if as_is else with_rows(patched(rows, path), source)


def _first_readable(rows: Any) -> Row:
    """As `first_row`, past rows that cannot be read: each is told when it is asked for. Raises `DataError` where none of the
    first can."""
    for number in kept(rows)[:SOUGHT]:
        [row] = taken(rows, [number])
        if not isinstance(row, DataError):
            return dict.fromkeys(rows.columns) | row
    return first_row(rows)
