"""Who has which comparison of a project: leases and votes, kept in step with the ratings in the same transaction.

A comparison is free for a rater while the current votes and live leases of others are fewer than the overlap. The
count and the lease that follows from it cannot be torn apart: SQLite has one writer at a time, and on PostgreSQL both
happen while the comparison's row is locked. Times are the database's own (database.now).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sftkit.ratings import tables
from sftkit.ratings.database import inserting, now
from sftkit.ratings.rating import VOTES

if TYPE_CHECKING:
    from sftkit.ratings.projects import Project
    from sftkit.ratings.store import RatingStore

HELD = (
    5  # leases that a rater holds at once; with one more the oldest is given back, so paging locks nobody out
)
_FIRST_LOOK, _MOST_AT_ONCE = 32, 2048  # of the wanted: the first few are enough, unless nearly all are done
_of, _has = tables.assignments.c, tables.comparisons.c

# Built once, not at every vote: building a statement takes longer than SQLite needs to run it.
_PROJECT, _RATER, _ONE = (sa.bindparam(f"of_{name}") for name in ("project", "rater", "comparison"))
_AMONG = sa.bindparam("among", expanding=True)
_mine = sa.case(((_of.rater == _RATER) & _of.voted, 1), else_=0)
_others = sa.case(((_of.rater != _RATER) & (_of.voted | (_of.expires > now())), 1), else_=0)
_CLOSED = (
    sa.select(_of.comparison)
    .where(_of.project == _PROJECT)
    .group_by(_of.comparison)
    .having((sa.func.sum(_mine) > 0) | (sa.func.sum(_others) >= sa.bindparam("overlap", type_=sa.Integer)))
)
_CLOSED_AMONG = _CLOSED.where(_of.comparison.in_(_AMONG))
_KNOWN = sa.select(_has.comparison).where(_has.project == _PROJECT, _has.comparison.in_(_AMONG))
_LOCK = sa.select(_has.place).where(_has.project == _PROJECT, _has.comparison == _ONE)
_LEASED = (
    sa.select(_of.comparison)
    .where(_of.project == _PROJECT, _of.rater == _RATER, ~_of.voted)
    .order_by(_of.at.desc())
    .offset(HELD)
)
_COMPARED = (
    sa.select(_has.comparison)
    .where(
        _has.project == _PROJECT,
        _has.prompt_id == sa.bindparam("of_prompt"),
        _has.models == sa.bindparam("of_models"),
    )
    .with_for_update()
)
_DROP = tables.assignments.delete().where(
    _of.project == _PROJECT, _of.comparison == _ONE, _of.rater == _RATER
)


def take(store: RatingStore, project: Project, rater: str, wanted: Sequence[str]) -> str | None:
    """Lease the first of `wanted` that is free; an id that the project does not know needs no lease.

    A look without a lock passes over what is done; the look that counts is in the transaction of the lease, because
    many raters who want the same ones wait for their turn in between. PostgreSQL: one that another is leasing at this
    moment is passed over too, and waited for only when nothing else is left.
    """
    for patient in (False, True):
        for some in _looks(wanted):
            with store.reading() as connection:
                first, known = next(_free(connection, project, rater, some), (None, False))
            if known:
                with store.writing(durable=False) as connection:
                    first = _first_leased(connection, project, rater, some, patient)
            if first is not None:
                return first
    return None


def _free(
    connection: sa.Connection, project: Project, rater: str, some: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """Those of `some` that look free, in their order, and whether the project knows them."""
    known = set(connection.scalars(_KNOWN, {"of_project": project.name, "among": some}))
    taken = closed(connection, project, rater, some)
    return ((one, one in known) for one in some if one not in taken)


def _first_leased(
    connection: sa.Connection, project: Project, rater: str, some: Sequence[str], patient: bool
) -> str | None:
    for comparison, known in _free(connection, project, rater, some):
        if not known or _lease(connection, project, rater, comparison, patient):
            return comparison
    return None


def _lease(connection: sa.Connection, project: Project, rater: str, comparison: str, patient: bool) -> bool:
    lock = _LOCK.with_for_update(skip_locked=not patient)
    if not connection.execute(lock, {"of_project": project.name, "of_comparison": comparison}).all():
        return False
    if closed(connection, project, rater, [comparison]):  # another was faster; from here on nobody can be
        return False
    _put(connection, project.name, comparison, rater, voted=False, seconds=None)
    for oldest in connection.scalars(_LEASED, {"of_project": project.name, "of_rater": rater}).all():
        _drop(connection, project.name, oldest, rater)
    return True


def closed(
    connection: sa.Connection, project: Project, rater: str, among: Sequence[str] | None = None
) -> set[str]:
    """The comparisons that `rater` may not rate: rated by him, or enough others have rated or hold them."""
    values = {"of_project": project.name, "of_rater": rater, "overlap": project.overlap}
    if among is None:
        return set(connection.scalars(_CLOSED, values))
    return set(connection.scalars(_CLOSED_AMONG, {**values, "among": among}))


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
        values = dict(zip(("of_project", "of_prompt", "of_models"), (key[0], key[1], list(key[2]))))
        for comparison in connection.scalars(_COMPARED, values).all():
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


def _put_statement(dialect: str) -> sa.Insert:
    projects = tables.projects.c
    length = sa.select(projects.lease_seconds).where(projects.name == _PROJECT).scalar_subquery()
    values = {"expires": now() + length, "at": now()}
    values |= {"voted": sa.bindparam("is_voted"), "seconds": sa.bindparam("took")}
    row = inserting(dialect, tables.assignments).values(
        project=_PROJECT, comparison=_ONE, rater=_RATER, **values
    )
    return row.on_conflict_do_update(index_elements=["project", "comparison", "rater"], set_=values)


_PUT = {dialect: _put_statement(dialect) for dialect in ("sqlite", "postgresql")}


def _put(
    connection: sa.Connection, project: str, comparison: str, rater: str, *, voted: bool, seconds: float | None
) -> None:  # fmt: skip
    values = {"of_project": project, "of_comparison": comparison, "of_rater": rater}
    connection.execute(_PUT[connection.dialect.name], {**values, "is_voted": voted, "took": seconds})


def _drop(connection: sa.Connection, project: str, comparison: str, rater: str) -> None:
    values = {"of_project": project, "of_comparison": comparison, "of_rater": rater}
    connection.execute(_DROP, values)


def _looks(wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, _FIRST_LOOK
    while start < len(wanted):
        yield wanted[start : start + size]
        start, size = start + size, min(4 * size, _MOST_AT_ONCE)
