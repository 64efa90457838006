"""The filter bar's expression: `task == 'math' and unrated and 'python' in text`.

rows = table[Filter("flagged or 'unsafe' in tags").mask(table)]

It is written as in Python and read by Python's own parser, but nothing of it is ever run: each node that is known becomes a
step over whole columns, any other is refused with the place where it stands.

    and, or, not, ( )               == and != on text, truth and numbers     < <= > >= on numbers
    'x' in text                     part of a text, upper and lower case alike
    'x' in tags, 'x' in models      one of them, to the letter               model == 'x' says the same
    task in ('math', 'code')        any of these
    note, tags, text                alone: there is any
    len(text) > 500, lower(task), startswith(task, 'm'), endswith(text, '?'); also as task.startswith('m')
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from sftkit.errors import Fault, FilterError
from sftkit.ratings.expression import COLUMNS, LIST, TEXT, TRUTH, Columns, Reader, at_place
from sftkit.wording import say

if TYPE_CHECKING:
    import pandas as pd

_ALIAS = {"model": "models", "models": "model"}


class Filter:
    """A condition on the rows of a table, see the head of this module; "" keeps all rows. Equal where the text is equal.

    hidden: columns that no error proposes. Raises FilterError with every fault in the text: what is wrong, at which
    character, what to write instead.
    """

    def __init__(self, text: str, hidden: Collection[str] = ()):
        if not isinstance(text, str):
            raise FilterError(
                repr(text), [Fault("", say("A filter is text, not {kind}.", kind=type(text).__name__))]
            )
        self.text = text
        reader = Reader(text, hidden)
        self._part = reader.read()
        self._columns = reader.columns

    def mask(self, table: pd.DataFrame) -> pd.Series:
        """True for each row of the table that fits, in the table's index. FilterError names columns that it lacks."""
        import pandas as pd

        lacking = {n: at for n, at in self._columns.items() if not {n, _ALIAS.get(n, n)} & set(table.columns)}
        if lacking:
            have = ", ".join(name for name in COLUMNS if name in table.columns)
            faults = [
                Fault(
                    at_place(place),
                    say("{name} is not known here.", name=name),
                    say("Known: {names}.", names=have),
                )
                for name, place in lacking.items()
            ]
            raise FilterError(self.text, faults)
        kept: dict[str, Sequence[Any]] = {}

        def column(name: str) -> Sequence[Any]:
            if name not in kept:
                found = name if name in table.columns else _ALIAS[name]
                kept[name] = _READ[COLUMNS[name]](table[found].tolist())
            return kept[name]

        found = [True] * len(table) if self._part is None else self._run(column, len(table))
        return pd.Series(found, index=table.index, dtype=bool)

    def _run(self, column: Columns, count: int) -> Sequence[Any]:
        try:
            return self._part.of(column, count)  # type: ignore[union-attr]
        except RecursionError:
            raise FilterError(self.text, [Fault("", say("It is nested too deeply."))]) from None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Filter({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def _texts(values: list) -> list[str]:
    """What is missing is empty."""
    return [value if isinstance(value, str) else "" if _missing(value) else str(value) for value in values]


def _truths(values: list) -> list[bool]:
    return [value is True or (not _missing(value) and bool(value)) for value in values]


def _lists(values: list) -> list[Sequence[Any]]:
    return [
        (value,) if isinstance(value, str) else tuple(value) if hasattr(value, "__iter__") else ()
        for value in values
    ]


def _missing(value: Any) -> bool:
    """None, NaN, NA and NaT: what is not equal to itself, or does not say."""
    try:
        return value is None or not bool(value == value)
    except (TypeError, ValueError):
        return True


_READ: dict[str, Callable[[list], Sequence[Any]]] = {TEXT: _texts, TRUTH: _truths, LIST: _lists}
