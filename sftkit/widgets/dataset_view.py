"""DatasetView, kernel half: a data set's figures, each of which leads to its rows; rows searched, mended and left out.

    sk.DatasetView("data/train.jsonl", "data/tiny-base")     # or a config; last line of a cell
    view.changes                                             # all that was changed, as a DataFrame

The browser half is widgets/src/dataset.ts; the messages between them are in widgets/src/dataset_protocol.ts. The page
asks, the kernel answers; only the profile takes longer than SLICE, in a thread, and the page asks how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from sftkit.config import SFTConfig
from sftkit.data import Columns, patches
from sftkit.data.lens.opening import NO_MODEL
from sftkit.errors import DataError, SftkitError
from sftkit.runs.check_data import proposed_mapping
from sftkit.widgets.background import in_background
from sftkit.widgets.dataset_figures import Figures
from sftkit.widgets.dataset_rows import DatasetRows, Source
from sftkit.widgets.labels import label, table
from sftkit.wording import say

if TYPE_CHECKING:
    import pandas as pd

SLICE = 0.15  # seconds that one answer may take the kernel
BLOCK = 256  # rows searched between two looks at the clock
LOOKS = 16  # orders of rows that are remembered
CHANGES = 500  # changes that the page lists, the newest
SHOWN = 300  # characters of a value in that list
_STATIC = Path(__file__).parent / "static"


@dataclass
class Look:
    """Some of the rows in some order. While a text is searched for, `numbers` grows; `scanned` of `base` are done."""

    base: np.ndarray
    text: str = ""
    numbers: list[int] | np.ndarray = field(default_factory=list)
    scanned: int = 0

    @property
    def as_dict(self) -> dict[str, int]:
        return {"count": len(self.numbers), "scanned": self.scanned, "total": len(self.base)}


class DatasetView(anywidget.AnyWidget):
    """A data set: what is in it, what is wrong with it, and its rows, to be mended or left out beside the file.

    dataset: a file, a `save_to_disk` folder, a list of either, or an SFTConfig, whose columns, max_len and splits then
    rule. tokenizer: a model's folder or hub id, for lengths in tokens and for what is trained and cut. split: "train" or
    "eval". profile: False leaves the figures out until asked for. lang: "en", "zh" or None for the language of
    `sk.set_language`.

    `.profile` is the `Profile` once it is made, `.changes` all changes, `.selected` the rows selected on the page, as
    (source, row). Raises `DataError` when the data cannot be read.
    """

    _esm = _STATIC / "dataset.js"
    _css = _STATIC / "dataset.css"
    _labels = traitlets.Dict().tag(sync=True)

    def __init__(
        self, dataset: Any, tokenizer: Any = None, *, split: str = "train", profile: bool = True, lang: str | None = None
    ):  # fmt: skip
        self.config, self.split, self._lang = settings_of(dataset, tokenizer), split, lang
        self.rows = DatasetRows(self.config, split)
        self.profile: Any = None
        self.selected: list[tuple[str, int]] = []
        self._figures: Figures | None = None
        self._progress: dict[str, Any] | None = None  # of the profile that is being made
        self._failed, self._behind, self._wanted = "", False, profile
        self._looks: dict[int, Look] = {}
        self._done: list[list[tuple[Callable[..., Any], Source, list]]] = []  # what undoes each action
        words = {key: label(key, lang) for key in table() if key.startswith("dataset.")}
        super().__init__(_labels=words)
        self.on_msg(self._receive)

    # for a person at the keyboard

    @property
    def changes(self) -> pd.DataFrame:
        """Every change made to the data set's rows, oldest first: `patches.listing` of all sources, with `source`."""
        import pandas as pd

        lists = [patches.listing(one.name, one.wanted, opened=one.rows).assign(source=one.name) for one in self.rows.sources]  # fmt: skip
        there = [listed for listed in lists if len(listed)] or lists[:1]
        return pd.concat(there, ignore_index=True).sort_values("at", kind="stable", ignore_index=True)

    def __str__(self) -> str:
        return str(self.profile) if self.profile is not None else repr(self)

    def __repr__(self) -> str:
        out, mended = (len(self.rows.changed(kind)) for kind in ("excluded", "edited"))
        return f"DatasetView({self.config.dataset}: {len(self.rows):,} rows, {mended} edited, {out} left out)"

    # messages

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        ask, kind = content.get("ask"), content.get("kind")
        try:
            self.send({"ask": ask, **_ANSWERS[kind](self, content)})
        except Exception as error:  # shown under the widget: here it would be lost in the server's log
            words = str(error) if isinstance(error, SftkitError) else f"{type(error).__name__}: {error}"
            self.send({"ask": ask, "error": words})

    def _hello(self, content: dict[str, Any]) -> dict[str, Any]:
        faults = [str(columns) for columns in self.rows.columns if isinstance(columns, DataError)]
        # with a fault the figures would only say it once more
        if (
            self._wanted
            and self.profile is None
            and self._progress is None
            and not self._failed
            and not faults
        ):
            self._measure(content)
        if any("_key)" in fault for fault in faults):  # of no column
            faults.append(say("Name the columns: sk.DatasetView(sk.SFTConfig(pretrain=…, dataset=…, input_key=…, output_key=…))."))  # fmt: skip
        sources = [source.name for source in self.rows.sources]
        return {"rows": len(self.rows), "sources": sources, "faults": faults, **self._counts()}

    def _counts(self) -> dict[str, Any]:
        """What every answer to a change says: how many rows are changed, and what can be undone."""
        names = ("edited", "excluded")
        return {**{name: len(self.rows.changed(name)) for name in names}, "undo": len(self._done), "behind": self._behind}  # fmt: skip

    # the profile

    def _measure(self, content: dict[str, Any]) -> dict[str, Any]:
        """Begin to make the profile."""
        if self._progress is None:
            self._progress, self._failed, self._behind = {"done": 0, "total": len(self.rows)}, "", False
            in_background(self._profiled, self._finished, self._not_finished)
        return {}

    def _profiled(self) -> tuple[Any, Figures]:
        from sftkit.data.lens.profile import profile

        made = profile(self.config, progress=self._heard, split=self.split)
        return made, Figures(made, self.rows, self._lang)

    def _heard(self, done: int, total: int) -> None:
        self._progress = {"done": int(done), "total": int(total)}

    def _finished(self, made: tuple[Any, Figures]) -> None:
        (self.profile, self._figures), self._progress = made, None

    def _not_finished(self, error: Exception) -> None:
        self._failed = str(error) if isinstance(error, SftkitError) else f"{type(error).__name__}: {error}"
        self._progress = None

    def _figured(self, content: dict[str, Any]) -> dict[str, Any]:
        """The figures, how far they are, or why there are none."""
        figures = self._figures.as_dict if self._figures is not None else None
        return {"figures": figures, "progress": self._progress, "failed": self._failed, "behind": self._behind}  # fmt: skip

    # rows

    def _look(self, content: dict[str, Any]) -> dict[str, Any]:
        """Rows in the order and with the restriction asked for; with a text, as many as SLICE finds."""
        self.rows.refresh()  # others may have changed rows too
        base = self._only(content.get("only") or "")
        if sort := content.get("sort"):
            base = base[self._order(sort, base)]
        if content.get("down"):
            base = base[::-1]
        text = str(content.get("text") or "").casefold()
        look = Look(base, text) if text else Look(base, "", base, len(base))
        name = max(self._looks, default=0) + 1
        self._looks = dict([*self._looks.items(), (name, look)][-LOOKS:])
        return self._more({"look": name})

    def _only(self, key: str) -> np.ndarray:
        if not key:
            return np.arange(len(self.rows))
        if key in ("edited", "excluded"):
            return self.rows.changed(key)
        if self._figures is None:
            raise DataError(say("the figures are not there yet."))
        return self._figures.numbers(key)

    def _order(self, sort: str, base: np.ndarray) -> np.ndarray:
        if sort == "row" or self._figures is None:
            return np.arange(len(base))
        return np.argsort(self._figures.column(sort)[base], kind="stable")

    def _more(self, content: dict[str, Any]) -> dict[str, Any]:
        """Go on with the search of a look."""
        name = int(content["look"])
        look = self._known(name)
        until = time.monotonic() + SLICE
        while look.scanned < len(look.base) and time.monotonic() < until:
            block = look.base[look.scanned : look.scanned + BLOCK].tolist()
            hits = set(self.rows.holding(look.text, sorted(block)))
            look.numbers += [number for number in block if number in hits]
            look.scanned += len(block)
        return {"look": name, **look.as_dict}

    def _known(self, name: int) -> Look:
        if name not in self._looks:
            raise DataError(say("this list of rows is gone: look for them anew."))
        return self._looks[name]

    def _page(self, content: dict[str, Any]) -> dict[str, Any]:
        numbers = self._known(int(content["look"])).numbers[int(content["from"]) : int(content["to"])]
        previews = self.rows.previews([int(number) for number in numbers])
        if self._figures is not None:
            previews = [{**preview, **self._figures.about(preview["number"])} for preview in previews]
        return {"rows": previews}

    def _row(self, content: dict[str, Any]) -> dict[str, Any]:
        """A row whole: its cells, and what was found about it."""
        number = int(content["number"])
        source, row = self.rows.place(number)
        [preview] = self.rows.previews([number])
        marks = self._figures.marks(number) if self._figures is not None else []
        told = {"source": source, "row": row, "preview": preview, "marks": marks}
        try:
            return {**told, "cells": self.rows.cells(number)}
        except DataError as error:
            return {**told, "cells": [], "fault": str(error)}

    def _select(self, content: dict[str, Any]) -> dict[str, Any]:
        self.selected = [self.rows.place(number) for number in self._meant(content)]
        return {}

    # changes

    def _edit(self, content: dict[str, Any]) -> dict[str, Any]:
        number = int(content["number"])
        source = self.rows.source_of(number)
        way = content["way"][0] if len(content["way"]) == 1 else content["way"]
        made = patches.edit(source.name, number - source.begin + 1, way, content["text"], wanted=source.wanted, opened=source.rows)  # fmt: skip
        return self._changed([(patches.revert, source, [made])])

    def _meant(self, content: dict[str, Any]) -> list[int]:
        """The numbers of rows named by themselves, or by their places in a look; without places, of all of it."""
        if "numbers" in content:
            return [int(number) for number in content["numbers"]]
        numbers, places = self._known(int(content["look"])).numbers, content["places"]
        return [int(numbers[place]) for place in (range(len(numbers)) if places is None else places)]

    def _exclude(self, content: dict[str, Any]) -> dict[str, Any]:
        """Leave rows out, or take them back."""
        numbers = self._meant(content)
        undo = []
        for source in self.rows.sources:
            mine = [number - source.begin + 1 for number in numbers if source.begin <= number < source.stop]  # fmt: skip
            if not mine:
                continue
            about = {"wanted": source.wanted, "opened": source.rows}
            out = {row for row in mine if row - 1 in source.rows.excluded}
            if content.get("back"):
                patches.include(source.name, mine, **about)
                undo.append((patches.exclude, source, sorted(out)))
            else:
                patches.exclude(source.name, mine, reason=str(content.get("reason") or ""), **about)
                undo.append((patches.include, source, sorted({*mine} - out)))
        return self._changed(undo)

    def _changed(self, undo: Sequence[tuple]) -> dict[str, Any]:
        if undo := [one for one in undo if one[2]]:
            self._done.append(undo)
            self._behind = self.profile is not None
        self.rows.refresh()
        return self._counts()

    def _undo(self, content: dict[str, Any]) -> dict[str, Any]:
        """Take the last action of this view back."""
        for way_back, source, what in self._done.pop() if self._done else ():
            opened = {} if way_back is patches.revert else {"opened": source.rows}
            way_back(source.name, what, wanted=source.wanted, **opened)
        self.rows.refresh()
        return self._counts()

    def _revert(self, content: dict[str, Any]) -> dict[str, Any]:
        """Take one change back."""
        source = next(one for one in self.rows.sources if one.name == content["source"])
        patches.revert(source.name, [content["id"]], wanted=source.wanted)
        self.rows.refresh()
        self._behind = self.profile is not None
        return self._counts()

    def _listed(self, content: dict[str, Any]) -> dict[str, Any]:
        """The changes that stand, and those that do not fit, newest first."""
        self.rows.refresh()
        listed = self.changes
        standing = listed[listed["state"] != "reverted"].iloc[::-1]
        lines = [_line(change, self.rows) for change in standing.head(CHANGES).to_dict("records")]
        files = [one.rows.patch.path.name for one in self.rows.sources if one.rows.patch.every]
        broken = [f"{one.rows.patch.path.name}: {', '.join(map(str, one.rows.patch.broken))}" for one in self.rows.sources if one.rows.patch.broken]  # fmt: skip
        return {"changes": lines, "count": len(standing), "reverted": len(listed) - len(standing), "files": files, "broken": broken}  # fmt: skip


_ANSWERS: dict[str, Callable[[DatasetView, dict[str, Any]], dict[str, Any]]] = {
    "hello": DatasetView._hello,
    "measure": DatasetView._measure,
    "figures": DatasetView._figured,
    "look": DatasetView._look,
    "more": DatasetView._more,
    "rows": DatasetView._page,
    "row": DatasetView._row,
    "select": DatasetView._select,
    "edit": DatasetView._edit,
    "exclude": DatasetView._exclude,
    "undo": DatasetView._undo,
    "revert": DatasetView._revert,
    "changes": DatasetView._listed,
}


def settings_of(dataset: Any, tokenizer: Any) -> SFTConfig:
    """The settings given, or those that read a data set with whatever columns it has."""
    if isinstance(dataset, SFTConfig):
        return dataset if tokenizer is None else dataset.with_(pretrain=str(tokenizer))
    names = [dataset] if isinstance(dataset, (str, Path)) else list(dataset)
    if not names or hasattr(dataset, "columns") or not all(isinstance(name, (str, Path)) for name in names):
        raise DataError(say("the view needs a file, beside which changes can be kept: save the rows as JSON lines first, or look at them with sk.profile."))  # fmt: skip
    config = SFTConfig(pretrain=str(tokenizer or NO_MODEL), dataset=", ".join(map(str, names)))
    rows = DatasetRows(config)
    if all(isinstance(columns, Columns) for columns in rows.columns):
        return config
    first = rows.sources[0].rows
    return config.with_(**proposed_mapping(first.take(range(min(1000, len(first))))))


def _line(change: dict[str, Any], rows: DatasetRows) -> dict[str, Any]:
    """A change for the page's list."""
    numbers = rows.numbers([change["source"]], [change["row"]]) if change["row"] is not None else []
    number = int(numbers[0]) if len(numbers) and change["state"] != "lost" else None
    shown = {name: _short(change[name]) for name in ("before", "after")} if change["op"] == "edit" else {}
    told = {name: str(change[name] or "") for name in ("id", "op", "source", "field", "reason", "by", "at", "state")}  # fmt: skip
    return {**told, **shown, "row": int(change["row"] or 0), "number": number}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
