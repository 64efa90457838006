"""Whose turn is what: the order in which one rater's rows come, which of them others hold or have rated, and how far
all raters of a project are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from sftkit.ratings import RatingStore
from sftkit.ratings.blind import Comparison
from sftkit.ratings.queue import arrange
from sftkit.widgets.grid_votes import Said

if TYPE_CHECKING:
    from sftkit.ratings.projects import Project

AT_ONCE = 1000  # rows among which a free one is looked for; mostly the first is


class Line:
    """The rows of one rater in the order of the strategy, and, in a project, the leases on them.

    order: the rows, what to rate first first. probability: {comparison id: with which the queue chose it}.
    """

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        store: RatingStore,
        rater: str,
        strategy: str,
        seed: int,
        project: Project | None,
    ):
        self._comparisons, self._store, self._rater = comparisons, store, rater
        self._strategy, self._seed, self._project = strategy, seed, project
        self._twins = _twins(comparisons)
        self._follow(list(range(len(comparisons))))
        self.probability: dict[str, float] = {}
        self.design = ""  # names the sample that the probabilities belong to

    def arrange(self) -> None:
        """Put the rows in order anew, by what the store holds now. "unrated" is from top to bottom, whatever it holds."""
        if self._strategy == "unrated":
            return
        queue = arrange(
            self._comparisons, self._store.frame(), self._strategy, rater=self._rater, seed=self._seed,
            project=None if self._project is None else self._project.name,
        )  # fmt: skip
        self._follow(queue.order)
        self.probability, self.design = queue.probability, queue.design

    def _follow(self, order: list[int]) -> None:
        self.order = order
        self._place = {row: place for place, row in enumerate(order)}

    def next(self, after: int, said: Mapping[int, Said], kept: Collection[int] | None) -> int | None:
        """The row to rate after `after` (-1: from the start), of those that the filter keeps; None when there is none.

        In a project it is this rater's from now on, for the length of a lease.
        """
        place = self._place.get(after, -1) + 1
        rows = (
            row
            for row in chain(islice(self.order, place, None), islice(self.order, place))
            if (kept is None or row in kept) and self._due(row, said)
        )
        if self._project is None:
            return next(rows, None)
        while some := list(islice(rows, AT_ONCE)):
            taken = self._project.take(self._rater, [self._comparisons[row].id for row in some])
            if taken is not None:
                return next(row for row in some if self._comparisons[row].id == taken)
        return None

    def _due(self, row: int, said: Mapping[int, Said]) -> bool:
        """Neither rated nor skipped; in a project, a repeat only of what this rater has rated."""
        if row in said and (said[row].is_vote or said[row].opinion["verdict"] == "skipped"):
            return False
        first = self._twins.get(row)
        return self._project is None or first is None or (first in said and said[first].is_vote)

    def hold(self, row: int, said: Mapping[int, Said]) -> bool:
        """Take the row for this rater, who looks at it now; False when others have it."""
        if self._project is None or (row in said and said[row].is_vote):
            return True
        return self._project.take(self._rater, [self._comparisons[row].id]) is not None

    def closed(self, said: Mapping[int, Said]) -> set[int]:
        """The rows that others hold or have rated often enough."""
        if self._project is None:
            return set()
        open_now = self._project.open_to(self._rater)
        return {
            row
            for row, comparison in enumerate(self._comparisons)
            if not (comparison.repeat or comparison.check or comparison.id in open_now)
            and not (row in said and said[row].is_vote)
        }

    def progress(self) -> dict[str, Any] | None:
        """How far all are: {"votes", "needed", "raters": [{"rater", "votes", "leased", "seconds"}]}; None where there is
        no project."""
        if self._project is None:
            return None
        counts, raters = self._project.counts(), self._project.progress()
        seconds = [None if s != s else round(float(s), 1) for s in raters["seconds_median"]]
        lines = zip(raters["rater"], raters["votes"], raters["leased"], seconds)
        return {
            "votes": int(counts["votes"].clip(upper=self._project.overlap).sum()),
            "needed": len(counts) * self._project.overlap,
            "raters": [
                {"rater": rater.removeprefix("human:"), "votes": int(votes), "leased": int(held), "seconds": each}
                for rater, votes, held, each in lines
            ],
        }  # fmt: skip


def _twins(comparisons: Sequence[Comparison]) -> dict[int, int]:
    """The row of a repeat -> the row that it repeats."""
    firsts = {
        (c.prompt_id, frozenset(c.models)): row for row, c in enumerate(comparisons) if not c.repeat and not c.check
    }  # fmt: skip
    names = ((row, (c.prompt_id, frozenset(c.models))) for row, c in enumerate(comparisons) if c.repeat)
    return {row: firsts[name] for row, name in names if name in firsts}
