"""What a reader sees of a report, before it is HTML: parts of sections of tables of cells, every one of them plain text.

Each cell knows the figure it stands for (its n, method and source in `tip`) and the comparisons behind it (`where`). The page,
the widget and their tests read the same structure; nothing here is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sftkit.report import words
from sftkit.report.methods import METHODS
from sftkit.report.notes import said
from sftkit.wording import say

WIDTH = 200  # of a strip, in its own units
SHOWN = 15  # models in a matrix, and rows before the rest is folded


@dataclass(frozen=True)
class Where:
    """Which comparisons stand behind a cell: see examples.find. kind: votes, scores, apart, flips, unscored, canaries."""

    kind: str
    rater: str = ""
    model: str = ""
    against: str = ""
    task: str = ""
    dimension: str = ""


@dataclass(frozen=True)
class Strip:
    """A value and its interval on a line from `ends[0]` to `ends[1]`; `zero` is where nobody leads, `mark` a ceiling;
    flaw: whatever lies off zero is a fault, on either side."""

    value: float
    low: float
    high: float
    ends: tuple[float, float] = (0.0, 1.0)
    zero: float | None = 0.5
    mark: float | None = None
    flaw: bool = False

    def at(self, value: float | None) -> float | None:
        """Where a value stands on a strip WIDTH wide; None for one that is not known."""
        if value is None or math.isnan(value):
            return None
        low, high = self.ends
        return round(WIDTH * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    @property
    def side(self) -> str:
        """win, lose or even: on which side of `zero` the whole interval lies."""
        if self.zero is None or math.isnan(self.low):
            return "even"
        if self.low <= self.zero <= self.high:
            return "even"
        return "lose" if self.flaw or self.high < self.zero else "win"


@dataclass(frozen=True)
class Cell:
    """text: what stands in it; tip: the figure in words; heat: its colour, -1 (lost) to 1 (won); red: an alarm."""

    text: str = ""
    tip: str = ""
    strips: tuple[Strip, ...] = ()
    heat: float | None = None
    where: Where | None = None
    red: bool = False
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under columns. caption: of which rater; open: in view at once, else one click away."""

    columns: list[str]
    rows: list[list[Cell]]
    caption: str = ""
    open: bool = True
    matrix: bool = False


@dataclass(frozen=True)
class Section:
    """One question and its answer. name: the property of Report; lead: sentences before the tables, notes: after them;
    empty: why there is nothing, in words."""

    name: str
    title: str
    about: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty: str = ""
    lead: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        """How its figures are made and after whom."""
        return how(self.name)


def how(name: str) -> str:
    method, source = METHODS[name]
    return say("{method} Source: {source}.", method=method, source=source)


def name_cell(text: str, tip: str = "") -> Cell:
    """A cell that names something."""
    return Cell(text if isinstance(text, str) else str(text), tip, number=False)


def who_cell(rater: str) -> Cell:
    return Cell(say("all humans") if rater == "human:*" else rater, words.describe(rater), number=False)


def plain(text: object, tip: str = "") -> Cell:
    return Cell(str(text) if not isinstance(text, str) else text, tip)


def note_cell(text: str) -> Cell:
    return Cell(said(text), number=False)


def share_cells(row: Any, name: str, where: Where | None = None, value: str = "win_rate", zero: float | None = 0.5, mark: Any = None) -> list[Cell]:  # fmt: skip
    """Bar, share, interval and n of a row with low, high, n: the cells of SHARE columns."""
    share, n = getattr(row, value), int(row.n)
    if not n or math.isnan(share):
        text = tip(name, say("no votes"), row, getattr(row, "unscored", 0))
        return [Cell(), Cell(say("no votes"), text), Cell(), Cell(str(n), text)]
    text = tip(name, words.percent(share), row, getattr(row, "unscored", 0))
    strip = Strip(share, row.low, row.high, zero=zero, mark=mark)
    return [
        Cell(tip=text, strips=(strip,), where=where),
        Cell(words.percent(share), text, where=where),
        Cell(words.span(row.low, row.high), text),
        Cell(str(n), text),
    ]


def share_columns(title: str) -> list[str]:
    return [say("0 to 100 %"), title, say("95 % interval"), "n"]


def tip(name: str, figure: str, row: Any, unscored: int = 0, span: str = "") -> str:
    """The tooltip of a figure of a table's row, with its n, low, high and rater."""
    return told(name, figure, row.n, span or words.span(row.low, row.high), words.says(getattr(row, "rater", "")), unscored)  # fmt: skip


def told(name: str, figure: str, n: float, span: str = "", who: str = "", unscored: int = 0) -> str:
    """The tooltip of a figure: what it is, how sure, of how many, who says so, how it was made and after whom (`name` in
    METHODS)."""
    sure = say("95 % interval {span}", span=span) if span else say("no interval")
    left = say(", {n} unscored", n=int(unscored)) if unscored else ""
    return say("{figure}, {sure}, n = {n}{left}{who}. {how}", figure=figure, sure=sure, n=int(n), left=left, who=who, how=how(name))  # fmt: skip


def heat_cell(row: Any, name: str, where: Where | None, value: str = "win_rate") -> Cell:
    """A share as a coloured cell; the colour is full from 20 points off 50 % to 80."""
    share = getattr(row, value)
    if not row.n or math.isnan(share):
        return Cell("·", say("no votes"))
    heat = max(-1.0, min(1.0, (share - 0.5) / 0.4))
    return Cell(f"{100 * share:.0f}", tip(name, words.percent(share), row, getattr(row, "unscored", 0)), heat=heat, where=where)  # fmt: skip


def points(value: float) -> str:
    """A signed number of points, or nothing."""
    return "" if math.isnan(value) else f"{value:+.1f}"


def cells(sections: list[Section]) -> Iterator[Cell]:
    """Every cell of sections, in reading order."""
    for section in sections:
        for table in section.tables:
            for row in table.rows:
                yield from row
