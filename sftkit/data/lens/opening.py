"""A data set in any of the forms people have it, opened so that its rows stream by.

opened("data/train.jsonl")            # also a hub id, several of them, SFTConfig, a DataFrame, a list of dicts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data.browsing import Drawn, Opened, open_lazily
from sftkit.data.patch_log import IN_MEMORY, row_hash
from sftkit.data.patched import Patched, taken
from sftkit.data.reading import is_hub_source, open_source, with_rows
from sftkit.data.shaping import Example
from sftkit.data.text_files import Row, RowList
from sftkit.errors import DataError
from sftkit.wording import say

Data = "SFTConfig | str | Path | Sequence[str | Path] | Sequence[Row] | pd.DataFrame"
NO_MODEL = "no model"  # stands for `pretrain` where only rows are looked at


@dataclass(frozen=True)
class Opening:
    """How to open a data set, any time anew. `rows`: those in memory, if that is where they are."""

    config: SFTConfig
    split: str = "train"
    rows: RowList | None = None

    def drawn(self) -> Drawn:
        """The rows that training would use. Raises `DataError` where a source cannot be read."""
        return Drawn(self.config, self.split, opener=self._open)

    @property
    def in_files(self) -> bool:
        """Whether all of it is in files here, whose content can be compared."""
        names = self.config.eval_sources if self.split == "eval" else self.config.sources
        return self.rows is None and not any(map(is_hub_source, names))

    def _open(self, source: str, wanted: str | None) -> Any:
        if self.rows is not None:
            return self.rows
        return open_source(source, wanted, hub=True) if is_hub_source(source) else open_lazily(source, wanted)  # fmt: skip


def opening(dataset: Any, config: SFTConfig | None = None, split: str = "train") -> Opening:
    """How `dataset` is opened; `config` tells its columns and whatever else training would do with it.

    Raises `DataError` for what is no data set.
    """
    if isinstance(dataset, SFTConfig):
        return Opening(dataset, split)
    config = config or SFTConfig(pretrain=NO_MODEL, dataset=IN_MEMORY)
    if hasattr(dataset, "to_dict") and hasattr(dataset, "columns"):
        frame = dataset.astype(object)
        return _in_memory(frame.where(frame.notna(), None).to_dict("records"), config)
    if isinstance(dataset, (str, Path)):
        return Opening(config.with_(dataset=_named(dataset)), split)
    items = list(dataset) if isinstance(dataset, Iterable) else [None]
    if all(isinstance(item, dict) for item in items):
        return _in_memory(items, config)
    if all(isinstance(item, (str, Path)) for item in items):
        return Opening(config.with_(dataset=",".join(map(_named, items))), split)
    raise DataError(say("A data set is a path, a hub id, a list of these, settings, a DataFrame or a list of rows (dicts); this is {kind}.", kind=type(dataset).__name__))  # fmt: skip


def _named(source: str | Path) -> str:
    """A source as the settings name it. Raises `DataError` for one whose name they would take for two."""
    if "," in str(source) and Path(source).exists():
        raise DataError(say("has a comma in its name, which stands between sources: give it another name."), file=source)  # fmt: skip
    return str(source)


def _in_memory(rows: list[Row], config: SFTConfig) -> Opening:
    with_rows(rows, IN_MEMORY)
    settings = {"dataset": IN_MEMORY, "dataset_probs": None, "dataset_caps": None}
    return Opening(config.with_(**settings), "train", RowList(rows))


def rows_of(drawn: Drawn, source: Opened, numbers: Sequence[int]) -> Iterator[tuple[int, str, Example | DataError]]:  # fmt: skip
    """As `raws_of`, each row as messages, or what is wrong with it."""
    for row, digest, raw in raws_of(source, numbers):
        yield row, digest, drawn.example_of(source, raw, row)


def raws_of(source: Opened, numbers: Sequence[int], *, hashed: bool = True) -> Iterator[tuple[int, str, Row | DataError]]:  # fmt: skip
    """Each of these rows (0 = the first of the file): its number from 1, its hash as it is in the file ("" where it cannot
    be read, or none is wanted), and it with its patch applied, or what is wrong with it."""
    patch = source.rows if isinstance(source.rows, Patched) else None
    plain = patch.rows if patch else source.rows
    for number, row in zip(numbers, taken(plain, numbers)):
        digest = "" if isinstance(row, DataError) or not hashed else row_hash(row)
        if patch and number in patch.edited:
            [row] = taken(patch, [number])
        yield int(number) + 1, digest, row
