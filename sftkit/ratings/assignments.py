"""Who has which comparison of a project: leases and votes, kept in step with the ratings in the same transaction.

A comparison is free for a rater while the current votes and live leases of others are fewer than the overlap. The
count and the lease that follows from it cannot be torn apart: SQLite has one writer at a time, and on PostgreSQL both
happen while the comparison's row is locked. Times are the database's own (database.clock).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sftkit.ratings import tables
from sftkit.ratings.database import clock, inserting
from sftkit.ratings.rating import VOTES

if TYPE_CHECKING:
    from sftkit.ratings.projects import Project

HELD = (
    5  # leases that a rater holds at once; with one more the oldest is given back, so paging locks nobody out
)
_FIRST_LOOK, _MOST_AT_ONCE = 32, 2048  # of the wanted: the first few are enough, unless nearly all are done
_of, _has = tables.assignments.c, tables.comparisons.c


def take(connection: sa.Connection, project: Project, rater: str, wanted: Sequence[str]) -> str | None:
    """Lease the first of `wanted` that is free; an id that the project does not know needs no lease."""
    for some in _looks(wanted):
        ids = sa.select(_has.comparison).where(_has.project == project.name, _has.comparison.in_(some))
        known = set(connection.scalars(ids))
        taken = closed(connection, project, rater, some)
        for comparison in some:
            if comparison not in known:
                return comparison
            if comparison not in taken and _lease(connection, project, rater, comparison):
                return comparison
    return None


def closed(
    connection: sa.Connection, project: Project, rater: str, among: Sequence[str] | None = None
) -> set[str]:
    """The comparisons that `rater` may not rate: rated by him, or enough others have rated or hold them."""
    mine = sa.case(((_of.rater == rater) & _of.voted, 1), else_=0)
    live = _of.voted | (_of.expires > clock(connection))
    others = sa.case(((_of.rater != rater) & live, 1), else_=0)
    query = sa.select(_of.comparison).where(_of.project == project.name).group_by(_of.comparison)
    if among is not None:
        query = query.where(_of.comparison.in_(among))
    full = (sa.func.sum(mine) > 0) | (sa.func.sum(others) >= project.overlap)
    return set(connection.scalars(query.having(full)))


def record(connection: sa.Connection, ratings: Iterable[Any]) -> None:
    """Bring the assignments in step with new ratings (or rows of the table), oldest first.

    A vote ends its lease. Scores without a verdict, or a vote taken back, hold the comparison for its rater. A skip
    gives it back to the others. Repeats and attention checks count for nobody.
    """
    newest = {
        (r.project, r.prompt_id, tuple(compared(r)), r.rater): r
        for r in ratings
        if r.project is not None and not (r.evidence.get("repeat") or r.evidence.get("check"))
    }
    for key in sorted(newest):  # all lock in one order, so that nobody waits in a circle
        project, prompt_id, models, _ = key
        rows = sa.select(_has.comparison, _has.models)
        rows = rows.where(_has.project == project, _has.prompt_id == prompt_id).order_by(_has.comparison)
        for comparison, of in connection.execute(rows.with_for_update()).all():
            if of == list(models):
                _follow(connection, newest[key], comparison)


def compared(rating: Any) -> list[str]:
    """The models by name: those of the ranking that the rating is part of, or its two."""
    ranking = rating.evidence.get("ranking")
    models = ranking.get("models") if isinstance(ranking, dict) else None
    return sorted(models) if isinstance(models, list) else sorted([rating.model_a, rating.model_b])


def _follow(connection: sa.Connection, rating: Any, comparison: str) -> None:
    own = (rating.project, comparison, rating.rater)
    if rating.verdict in (*VOTES, "open", "retracted"):
        _put(connection, *own, voted=rating.verdict in VOTES, seconds=rating.seconds)
    else:
        _drop(connection, *own)


def _lease(connection: sa.Connection, project: Project, rater: str, comparison: str) -> bool:
    row = sa.select(_has.place).where(_has.project == project.name, _has.comparison == comparison)
    connection.execute(row.with_for_update()).all()
    if closed(connection, project, rater, [comparison]):  # by one who was faster; from here on nobody can be
        return False
    _put(connection, project.name, comparison, rater, voted=False)
    held = sa.select(_of.comparison).where(_of.project == project.name, _of.rater == rater, ~_of.voted)
    for oldest in connection.scalars(held.order_by(_of.at.desc()).offset(HELD)).all():
        _drop(connection, project.name, oldest, rater)
    return True


def _put(
    connection: sa.Connection, project: str, comparison: str, rater: str, *, voted: bool, seconds: float | None = None
) -> None:  # fmt: skip
    projects, now = tables.projects.c, clock(connection)
    length = sa.select(projects.lease_seconds).where(projects.name == project).scalar_subquery()
    values = {"expires": now + length, "voted": voted, "seconds": seconds, "at": now}
    row = inserting(connection, tables.assignments).values(
        project=project, comparison=comparison, rater=rater, **values
    )
    connection.execute(
        row.on_conflict_do_update(index_elements=["project", "comparison", "rater"], set_=values)
    )


def _drop(connection: sa.Connection, project: str, comparison: str, rater: str) -> None:
    own = (_of.project == project) & (_of.comparison == comparison) & (_of.rater == rater)
    connection.execute(tables.assignments.delete().where(own))


def _looks(wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, _FIRST_LOOK
    while start < len(wanted):
        yield wanted[start : start + size]
        start, size = start + size, min(4 * size, _MOST_AT_ONCE)
