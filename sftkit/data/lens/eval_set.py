"""An eval set that deserves the name: drawn by task type and length, unlike any training row, held out, and recorded.

    made = make_eval_set("data/train.jsonl", 200)            # nothing is written yet
    made.strata; made.report; made.leaks; made.notes
    made.save("data/eval.jsonl")                             # and its rows are left out of training from now on

Which rows are taken hangs on the seed and on what is in them (their hashes), not on where they stand in the file. Rows that
are like another one (MinHash, runs of words, the same question) are never taken, so that nothing of the eval set is trained.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.lens import strata as parts
from sftkit.data.lens.jaccard import alike
from sftkit.data.lens.languages import language
from sftkit.data.lens.leak import (
    CONTAINED,
    MARGIN,
    NEAR,
    Leaks,
    checked,
    clusters_of,
    holding,
    leaks,
    many_ask,
)
from sftkit.data.lens.match import SEED, THIN, Match, matched, tasks_of
from sftkit.data.lens.rows import Items, Rows, read
from sftkit.data.lens.tasks import Embed, Label, Rules
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import said_of, say

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("task", "language", "source", "turns")  # that rows can be drawn by, besides the columns of the data
ROUNDS = 8  # of taking other rows for those that a training row holds; then these are left out
READ = 200_000  # rows looked at in all rounds together: small data get more of them
LARGE = 5000  # rows of a cluster: what so many are like is a template
NOTED = 8  # strata that are named
MOST = 0.5  # of the rows of a stratum: training needs them too


@dataclass(frozen=True)
class Wanted:
    """What was asked for, as the sidecar records it."""

    size: int
    by: tuple[str, ...]
    seed: int
    near: float
    least: int


@dataclass(frozen=True)
class EvalSet:
    """The rows chosen (`items`) and those left for training (`rest`). `guessed`: how task types were, where they were."""

    items: Rows
    rest: Rows
    tasks: list[str]
    rest_tasks: list[str]
    bands: list[str]
    strata: pd.DataFrame
    wanted: Wanted
    notes: list[str]
    guessed: str = ""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def hashes(self) -> list[str]:
        """What stands for each row (`patches.row_hash`), in the order of `rows`."""
        return self.items.items.hashes

    @cached_property
    def rows(self) -> list[Row]:
        """The rows as `save` writes them: as they are in the data, with a task type; guessed ones say `task_guessed`."""
        from sftkit.data.lens.eval_files import written

        return written(self)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Columns source, row (1 = the first), hash, task, guessed, band, turns, prompt, answer."""
        import pandas as pd

        lines = [
            (
                item.source,
                item.row,
                item.hash,
                task,
                not item.task,
                band,
                item.turns,
                item.prompt,
                item.answer,
            )
            for item, task, band in zip(self.items.items, self.tasks, self.bands)
        ]
        return pd.DataFrame(lines, columns=["source", "row", "hash", "task", "guessed", "band", "turns", "prompt", "answer"])  # fmt: skip

    @cached_property
    def by_stratum(self) -> pd.DataFrame:
        """`strata` with the bands of length added up: columns stratum, rows, unlike, wanted, taken, left."""
        return _added_up(self.strata)

    @cached_property
    def report(self) -> Match:
        """How the eval rows compare with the rows left for training."""
        return matched(self.rest, self.items, self.rest_tasks, self.tasks, self.guessed, self.wanted.seed, progress=False)  # fmt: skip

    @cached_property
    def leaks(self) -> Leaks:
        """What they share with them: nothing exactly or nearly, or it would not have been taken."""
        return leaks(self.rest, self.items, near=self.wanted.near, progress=False)

    def save(self, path: str | Path, *, train_out: str | Path | None = None, overwrite: bool = False) -> Path:
        """Write the rows as JSON lines with `<path>.made.json` beside it (seed, sources and their SHA-256, hashes), and hold
        them out of training: by the patch beside each source, or by writing the other rows to `train_out`.

        Raises `DataError` where files are in the way (`overwrite`) or rows cannot be held out; then nothing is written.
        """
        from sftkit.data.lens.eval_files import save

        return save(self, Path(path), Path(train_out) if train_out else None, overwrite)

    def __str__(self) -> str:
        head = say("{n:,} eval rows out of {total:,}, by {by}, seed {seed}.", n=len(self), total=len(self) + len(self.rest), by=", ".join((*self.wanted.by, "length")), seed=self.wanted.seed)  # fmt: skip
        return "\n".join([head, *self.notes, *self.report.verdicts(), self.leaks.verdict])

    def __repr__(self) -> str:  # a notebook keeps it beside the page: never all rows
        return str(self)

    def html(self, lang: str = "en") -> str:
        """Strata, notes, match and leaks as HTML; every text is escaped."""
        from sftkit.data.lens.split_page import eval_set_html

        return eval_set_html(self, lang)

    def _repr_html_(self) -> str:
        return self.html()


def make_eval_set(dataset: Any, size: int | float, by: str | Sequence[str] | None = "task", *, seed: int = SEED, out: str | Path | None = None, near: float = NEAR, train_out: str | Path | None = None, least: int | None = None, rules: Rules | None = None, embed: Embed | None = None, label: Label | None = None, config: SFTConfig | None = None, overwrite: bool = False, progress: bool = True) -> EvalSet:  # fmt: skip
    """Draw an eval set from training data, by `by` and length.

    dataset: a path, several, a DataFrame, a list of rows or an SFTConfig (all rows of its sources). size: rows, or a share
    below 1. by: "task", "language", "source", "turns", a column, several of them, or None. least: rows of each stratum at
    least (None: 10, or as many as half the size gives to each). near: Jaccard similarity from which rows are too alike. rules,
    embed, label: how task types are guessed where the data name none (see `lens.tasks`). out, train_out, overwrite: as
    `EvalSet.save`; without `out` nothing is written. Raises `DataError`.
    """
    checked(near=near)
    rows = read(dataset, config=config, whole=True, progress=progress)
    kinds = (by,) if isinstance(by, str) else tuple(by or ())
    count = _size(size, len(rows))
    tasks, guessed = _tasks(rows, kinds, rules=rules, embed=embed, label=label, seed=seed)
    groups = _groups(rows, kinds, tasks)
    per_group = min(THIN, count // (2 * len(set(groups)))) if least is None else least
    drawing = Drawing(rows, groups, Wanted(count, kinds, seed, near, per_group))
    chosen = drawing.unlike(progress)
    if not chosen:
        raise DataError(say("no row can be taken: each of {n:,} is like another one, or has no answer.", n=len(rows)))  # fmt: skip
    made = _made(drawing, chosen, tasks, guessed)
    if out is not None:
        made.save(out, train_out=train_out, overwrite=overwrite)
    return made


class Drawing:
    """The choice of rows: which may be taken, how many of each stratum, and which."""

    def __init__(self, rows: Rows, groups: list[str], wanted: Wanted):
        self.rows, self.groups, self.wanted = rows, groups, wanted
        facts = rows.items.facts
        self.bands = parts.bands(facts["prompt_chars"] + facts["answer_chars"])
        self.cells = list(zip(groups, self.bands))
        self.ranks = [_rank(wanted.seed, digest) for digest in rows.items.hashes]
        self.free: set[int] = set()  # rows that are like no other one
        self.stopped = 0  # rounds after which others were no longer looked for; 0: looking came to its end

    def unlike(self, progress: bool) -> list[int]:
        """Numbers of the rows taken, ascending: none that a row left for training holds; others are taken in their place."""
        self.free = _alone(self.rows, self.wanted.near, progress)
        chosen, rounds = self.choose(), 0
        most = max(ROUNDS, READ // len(self.rows))
        while held := self._held(chosen, progress):
            self.free -= held
            rounds += 1
            self.stopped = rounds if rounds >= most else 0
            chosen = [number for number in chosen if number not in held] if self.stopped else self.choose()
        return chosen

    def _held(self, chosen: list[int], progress: bool) -> set[int]:
        """Those of the chosen rows that a row left for training holds."""
        held = holding(_others(self.rows, chosen), self.rows.part(chosen), CONTAINED, progress)
        return {chosen[pair.eval] for pair in held}

    def choose(self) -> list[int]:
        """Of each stratum as many as it gives, those whose seeded hash comes first."""
        taken: list[int] = []
        room = Counter(self.cells[number] for number in self.free)
        per_cell = self.shares(room, MOST)
        for number in sorted(self.free, key=self.ranks.__getitem__):
            if per_cell.get(self.cells[number], 0) > 0:
                per_cell[self.cells[number]] -= 1
                taken.append(number)
        return sorted(taken)

    def shares(self, room: Counter[tuple[str, str]], most: float) -> dict[tuple[str, str], int]:
        """How many rows each cell (group, band) gives, of which each has `room`, and a group gives `most` of its rows."""
        cells, groups = Counter(self.cells), Counter(self.groups)
        names = sorted(groups, key=lambda name: (-groups[name], name))
        high = {name: min(sum(room[name, band] for band in parts.BANDS), int(groups[name] * most)) for name in names}  # fmt: skip
        per_group = parts.shared_out({name: groups[name] for name in names}, self.wanted.size, most=high, least=self.wanted.least)  # fmt: skip
        found = {}
        for name in names:
            inside = {(name, band): cells[name, band] for band in parts.BANDS}
            found |= parts.shared_out(inside, per_group[name], most=room)
        return found


def _made(drawing: Drawing, chosen: list[int], tasks: list[str], guessed: str) -> EvalSet:
    rows, inside = drawing.rows, set(chosen)
    table = _strata(drawing, chosen)
    return EvalSet(
        items=rows.part(chosen),
        rest=_others(rows, chosen),
        tasks=[tasks[number] for number in chosen],
        rest_tasks=[task for number, task in enumerate(tasks) if number not in inside],
        bands=[drawing.bands[number] for number in chosen],
        strata=table,
        wanted=drawing.wanted,
        notes=_notes(drawing, table),
        guessed=guessed,
    )


def _strata(drawing: Drawing, chosen: list[int]) -> pd.DataFrame:
    """Columns stratum, band, rows (in the data), unlike (that may be taken), wanted, taken, left (for training)."""
    import pandas as pd

    rows, free = Counter(drawing.cells), Counter(drawing.cells[number] for number in drawing.free)
    wanted, taken = drawing.shares(rows, 1.0), Counter(drawing.cells[number] for number in chosen)
    names = sorted({name for name, _ in rows}, key=lambda name: (-sum(rows[name, band] for band in parts.BANDS), name))  # fmt: skip
    cells = [(name, band) for name in names for band in parts.BANDS if rows[name, band]]
    lines = [(*cell, rows[cell], free[cell], wanted[cell], taken[cell], rows[cell] - taken[cell]) for cell in cells]  # fmt: skip
    return pd.DataFrame(lines, columns=["stratum", "band", "rows", "unlike", "wanted", "taken", "left"])


def _added_up(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="band").groupby("stratum", sort=False, as_index=False).sum()


def _notes(drawing: Drawing, table: pd.DataFrame) -> list[str]:
    """What could not be met, and what else should be known."""
    notes = []
    for name, rows, unlike, wanted, taken, _ in _added_up(table).itertuples(index=False):
        if taken < wanted:
            why = _why_few(rows, unlike, taken, drawing.stopped)
            notes.append(say("{name}: {taken:,} rows instead of {wanted:,}; of its {rows:,}, {why}.", name=name or say("all rows"), taken=taken, wanted=wanted, rows=rows, why=why))  # fmt: skip
    if len(notes) > NOTED:
        notes[NOTED:] = [say("and {n:,} more strata that do not get what they should.", n=len(notes) - NOTED)]
    total = int(table["taken"].sum())
    if total < drawing.wanted.size:
        notes.append(say("{n:,} rows of the {size:,} asked for could be taken.", n=total, size=drawing.wanted.size))  # fmt: skip
    if drawing.rows.unusable:
        first = said_of(drawing.rows.unusable[0])
        notes.append(say("Passed over, since they cannot be read: {n:,} rows. The first: {first}", n=len(drawing.rows.unusable), first=first))  # fmt: skip
    return notes


def _why_few(rows: int, unlike: int, taken: int, rounds: int) -> str:
    """Why a stratum gives less than it should. rounds: after which looking stopped; 0: it did not."""
    if taken >= int(rows * MOST):
        return say("half of them stay for training")
    if rounds and unlike > taken:
        return say("{taken:,} were found unlike every other row in {rounds} rounds, and {more:,} that may be were not looked at: another seed looks at others", taken=taken, rounds=rounds, more=unlike - taken)  # fmt: skip
    return say("only {unlike:,} are unlike every other row", unlike=unlike)


def _size(size: int | float, rows: int) -> int:
    count = round(size * rows) if isinstance(size, float) and 0 < size < 1 else size
    if rows * MOST < 1:
        raise DataError(say("there is one row only: an eval set takes at most half of the rows, and training needs the other."))  # fmt: skip
    whole = isinstance(count, (int, float)) and not isinstance(count, bool) and float(count).is_integer()
    if not whole or not 1 <= count <= rows * MOST:
        raise DataError(say("an eval set of {size} rows cannot be taken out of {rows:,}: ask for 1 to {most:,}, or a share of them below {share}.", size=size, rows=rows, most=int(rows * MOST), share=MOST))  # fmt: skip
    return int(count)


def _tasks(rows: Rows, kinds: tuple[str, ...], **how: Any) -> tuple[list[str], str]:
    """Task types; guessed only where they are asked for."""
    if "task" in kinds:
        return tasks_of(rows, **how)
    return rows.items.facts["task"].tolist(), ""


def _groups(rows: Rows, kinds: tuple[str, ...], tasks: list[str]) -> list[str]:
    """The stratum of each row, but for its length."""
    columns = {name for source in rows.items.drawn.sources for name in source.known}
    unknown = [kind for kind in kinds if kind not in KINDS and kind not in columns]
    if unknown:
        raise DataError(say("rows cannot be drawn by {unknown}: name {kinds} or a column of the data: {columns}.", unknown=", ".join(unknown), kinds=", ".join(KINDS), columns=", ".join(sorted(columns))))  # fmt: skip
    known = {"task": tasks, "turns": map(str, rows.items.facts["turns"].tolist()), "source": rows.items.sources}  # fmt: skip
    found = zip(*(known[kind] if kind in known else _column(rows, kind) for kind in kinds))
    names: dict[str, str] = {}  # each is kept once
    return [names.setdefault(name, name) for name in map(" · ".join, found)] if kinds else [""] * len(rows)


def _column(rows: Rows, kind: str) -> Iterator[str]:
    """The language of each row, or what is in a column of it."""
    if kind == "language":
        return map(language, rows.items.texts())
    return (str((item.raw or {}).get(kind))[:80] for item in rows.items)


def _rank(seed: int, digest: str) -> bytes:
    return hashlib.sha256(f"{seed}:{digest}".encode()).digest()


def _alone(rows: Rows, near: float, progress: bool) -> set[int]:
    """Numbers of the rows that are like no other one, and whose question no other one asks."""
    labels = clusters_of(rows.items.texts(), near - MARGIN, progress, len(rows))
    facts = rows.items.facts
    _, which, counts = np.unique(facts["asked"], return_inverse=True, return_counts=True)
    asked = counts[which]
    fit = ((asked == 1) | (asked > many_ask(len(rows)))) & ~facts["silent"]
    return set(np.flatnonzero(fit).tolist()) - _near_others(rows.items, labels, near)


def _near_others(items: Items, labels: np.ndarray, near: float) -> set[int]:
    """Numbers of the rows that are near another one of their cluster; all of a cluster too large to be compared."""
    found: set[int] = set()
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) > LARGE:
            found.update(members.tolist())
        elif len(members) > 1:
            inside = list(items.part(members).texts())
            found.update(int(members[one]) for one, other, _ in alike(inside, inside, near) if one != other)
    return found


def _others(rows: Rows, chosen: list[int]) -> Rows:
    """All but these."""
    left = np.ones(len(rows), bool)
    left[chosen] = False
    return rows.part(np.flatnonzero(left))
