"""A profile's figures as the page of a data set shows them: every one with a key that leads to its rows.

figures = Figures(profile, rows)
figures.as_dict                     # plain values for the page
figures.numbers("task:sum")         # the rows behind a figure
figures.column("length")            # what rows are sorted by
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from sftkit.data.lens.kinds import BITS, KINDS, name_of
from sftkit.data.lens.languages import UNKNOWN
from sftkit.data.lens.profile import Profile
from sftkit.errors import DataError
from sftkit.widgets.dataset_rows import DatasetRows
from sftkit.widgets.labels import label, language
from sftkit.wording import in_language, say

BINS = 30
TAIL = 99  # percent of the rows that the bins divide; the last bin takes what is beyond
SHARES = 40  # lines of a table of tasks, languages or sources
FATES = ("cut", "shortened", "filtered")  # shown beside what is trained, not among the findings
PARTS = {"prompt": ("prompt_tokens",), "answer": ("answer_tokens",), "whole": ("prompt_tokens", "answer_tokens")}  # fmt: skip


class Figures:
    """What the page shows of `profile`; `rows`: all rows of the data, of which the profile may have looked at some."""

    def __init__(self, profile: Profile, rows: DatasetRows, lang: str | None = None):
        self._profile, self._rows, self._lang = profile, rows, lang or language()
        self._here = _numbers(profile, rows)  # number of the row at each place of the profile
        self._at = np.full(len(rows), -1, dtype=np.int64)  # and the place of each row; -1: not looked at
        self._at[self._here] = np.arange(len(self._here))

    def _(self, key: str, **values: object) -> str:
        return label(f"dataset.{key}", self._lang, **values)

    # for the page

    @cached_property
    def as_dict(self) -> dict[str, Any]:
        profile = self._profile
        return {
            "rows": profile.rows,
            "facts": self._facts(),
            "findings": [self._finding(key, level) for key, level in KINDS.items() if key not in FATES],
            "fates": [self._share("trained", self._("trained"), profile.trained), *(self._finding(key, "") for key in FATES)],
            "lengths": [self._bars(part) for part in PARTS],
            "unit": self._("estimated" if profile.estimated else "tokens"),
            "tables": [table for table in (self._table("task"), self._table("language"), self._table("source")) if table],
            "columns": ["task", "language", "turns", "length"],
        }  # fmt: skip

    def about(self, number: int) -> dict[str, Any]:
        """What a line of the table shows besides its texts."""
        at = int(self._at[number])
        if at < 0:
            return {}
        spoken = self._texts("language")[at]
        return {"language": "" if spoken == UNKNOWN else spoken, "length": int(self._whole[at])}

    def marks(self, number: int) -> list[str]:
        """Names of what was found about a row; of a duplicate, also the row it repeats."""
        at = int(self._at[number])
        if at < 0:
            return []
        flags = int(self._profile.column("flags")[at])
        found = [self._kind(key) for key in KINDS if flags & BITS[key]]
        first = int(self._profile.column("cluster")[at])
        if first not in (-1, at):
            source, row = self._rows.place(int(self._here[first]))
            found.append(self._("repeats", source=source, row=f"{row:,}"))
        return found

    # the rows behind a figure

    def numbers(self, key: str) -> np.ndarray:
        """The numbers of the rows behind a figure, ascending. Raises `DataError` for a key that is none."""
        kind, _, value = key.partition(":")
        if kind == "kind":
            return np.sort(self._here[self._profile.places(value)])
        if kind in ("task", "language", "source"):
            return np.sort(self._here[self._profile.places(**{kind: value})])
        if kind == "trained":
            lost = BITS["filtered"] | BITS["unreadable"]
            return np.sort(self._here[self._profile.column("flags") & lost == 0])
        if kind in PARTS:
            low, high = map(int, value.split("-"))
            lengths = self._lengths(kind)
            return np.sort(self._here[(lengths >= low) & (lengths <= high)])
        raise DataError(say("there is no such figure: {key}.", key=key))

    def column(self, name: str) -> np.ndarray:
        """A value for each row of the data, to sort by; rows that were not looked at come last."""
        if name == "length":
            values = self._whole.astype(np.float64)
        elif name == "turns":
            values = self._profile.column("turns").astype(np.float64)
        else:
            texts = self._texts(name)
            _, values = np.unique(texts, return_inverse=True)
            values = values.astype(np.float64)
        whole = np.full(len(self._at), np.inf)
        whole[self._here] = values
        return whole

    # parts

    def _facts(self) -> list[dict[str, str]]:
        profile, lengths = self._profile, self._profile.lengths
        messages = sum(turns * count for turns, count in profile.turns.items())
        tokens = int(lengths.loc["whole", "sum"])
        told = {"rows": f"{profile.rows:,}", "turns": f"{messages / max(1, profile.rows):.3g}", "tokens_in_all": _short(tokens)}  # fmt: skip
        facts = [{"name": self._(f"fact.{name}"), "value": value} for name, value in told.items()]
        if profile.estimated:
            facts[-1]["value"] = f"≈ {facts[-1]['value']}"
        return facts

    def _share(self, key: str, name: str, count: int) -> dict[str, Any]:
        return {"key": key, "name": name, "text": name, "count": int(count), "share": count / max(1, self._profile.rows)}  # fmt: skip

    def _finding(self, key: str, level: str) -> dict[str, Any]:
        count = self._profile.count(key)
        text = self._profile.said(key, self._lang) if count else ""
        return {**self._share(f"kind:{key}", self._kind(key), count), "level": level, "text": text}

    def _kind(self, key: str) -> str:
        return in_language(name_of(key), self._lang)

    def _table(self, name: str) -> dict[str, Any] | None:
        counts = {"task": self._profile.tasks, "language": self._profile.languages}.get(name)
        if counts is None:
            counts = {one["source"]: one["used"] for one in self._profile.facts["sources"]}
        if not counts or (len(counts) == 1 and (name == "source" or "" in counts)):
            return None
        words = {"task": {"": self._("no_task")}, "language": {UNKNOWN: self._("unknown")}}.get(name, {})
        shares = [self._share(f"{name}:{value}", words.get(value, value), count) for value, count in list(counts.items())[:SHARES]]  # fmt: skip
        hidden = len(counts) - len(shares)
        return {"name": self._(f"table.{name}"), "about": self._("hidden", n=f"{hidden:,}") if hidden else "", "shares": shares}  # fmt: skip

    def _bars(self, part: str) -> dict[str, Any]:
        """A histogram of tokens; its bins are whole numbers, the last one takes the tail."""
        lengths = self._lengths(part)
        least, most = (int(lengths.min()), int(lengths.max())) if len(lengths) else (0, 0)
        limit = self._profile.max_len if part == "whole" else None
        top = int(np.percentile(lengths, TAIL)) if len(lengths) else 0
        if limit is not None and limit <= most:
            top = max(top, limit)  # so that the line stands among the bars
        width = -(-(top + 1 - least) // BINS)
        lows = np.arange(least, top + 1, width)
        counts, _ = np.histogram(lengths, [*lows, most + 1])
        highs = [*(lows[1:] - 1), most]
        bins = [{"key": f"{part}:{low}-{high}", "from": int(low), "to": int(high), "count": int(count)} for low, high, count in zip(lows, highs, counts)]  # fmt: skip
        return {"name": self._(f"lengths.{part}"), "bins": bins, "limit": limit}

    def _lengths(self, part: str) -> np.ndarray:
        return sum(self._profile.column(name).astype(np.int64) for name in PARTS[part])

    @cached_property
    def _whole(self) -> np.ndarray:
        return self._lengths("whole")

    def _texts(self, name: str) -> np.ndarray:
        if name not in self._known:
            self._known[name] = self._profile.per_row.column(name).cast("string").to_numpy(zero_copy_only=False).astype(object)  # fmt: skip
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, np.ndarray]:
        return {}


def _numbers(profile: Profile, rows: DatasetRows) -> np.ndarray:
    """The number that each row of the profile has among `rows`. Raises `DataError` where the data is not the same."""
    numbers = np.full(profile.rows, -1, dtype=np.int64)
    inside = profile.column("row")
    for source in rows.sources:
        places = profile.places(source=source.name)
        numbers[places] = source.begin + inside[places] - 1
        if len(places) and int(inside[places].max()) > len(source.rows):
            numbers[places] = -1
    if (numbers < 0).any():
        raise DataError(say("has changed since it was opened: run the cell again."), file=rows.config.dataset)
    return numbers


def _short(count: int) -> str:
    """1,234 or 56.7 k or 1.23 M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            return f"{count / (1000 if letter == 'k' else size):.3g} {letter}"
    return f"{count:,}"
