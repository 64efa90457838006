"""Ratings as rows of the table and back, fast: a vote is two statements, a hundred thousand of them one DataFrame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from sftkit.ratings import assignments
from sftkit.ratings.rating import Rating
from sftkit.ratings.tables import parsed_all, ratings, storable

if TYPE_CHECKING:
    import pandas as pd

FIELDS = tuple(field.name for field in fields(Rating))
_JSON = ("scores", "evidence", "tags")
_SOME = 500  # parameters of one IN (…)

_NEW = ratings.insert().returning(ratings.c.id, sort_by_parameter_order=True)
_KNOWN = sa.select(ratings.c.key, ratings.c.id).where(ratings.c.key.in_(sa.bindparam("keys", expanding=True)))
# as text: decoding 100,000 rows by SQLAlchemy's type of each column takes longer than all the rest
_RAW = [
    sa.type_coerce(column, sa.Text).label(column.name) if column.name in _JSON else column
    for column in ratings.c
]


def as_row(rating: Rating) -> dict[str, Any]:
    """The rating's columns; `created` is now."""
    return {"created": time.time(), **{name: getattr(rating, name) for name in FIELDS}}


def insert(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Store the rows and return their ids; a row whose key is known already is not stored again, and gets that id."""
    known = _known(connection, [storable(row["key"]) for row in rows if row["key"] is not None])
    new, places = [], []  # rows to store; for each row its id, or its place among the new ones
    for row in rows:
        key = None if row["key"] is None else storable(row["key"])
        if key in known:
            places.append(known[key])
            continue
        if key is not None:
            known[key] = _Place(len(new))
        places.append(_Place(len(new)))
        new.append(row)
    ids = list(connection.scalars(_NEW, new)) if new else []
    if any(row["project"] is not None for row in new):
        assignments.record(connection, [Row(**{name: row[name] for name in Row._fields}) for row in new])
    return [ids[place.number] if isinstance(place, _Place) else place for place in places]


def insert_new(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Store those that are not in the table yet, by key or by who said what when; how many that were."""
    c = ratings.c
    before = set(connection.scalars(sa.select(c.key).where(c.key.is_not(None))))
    said = [c.created, c.rater, c.prompt_id, c.model_a, c.model_b, c.verdict]
    known = set(map(tuple, connection.execute(sa.select(*said)).all()))
    new = [
        row
        for row in rows
        if row["key"] not in before
        and (row["created"], *(storable(row[column.name]) for column in said[1:])) not in known
    ]
    insert(connection, new)
    return len({row["key"] for row in new if row["key"] is not None}) + sum(row["key"] is None for row in new)


class _Place(NamedTuple):
    number: int


class Row(NamedTuple):
    """What assignments.record looks at."""

    project: str | None
    prompt_id: str
    model_a: str
    model_b: str
    rater: str
    verdict: str
    seconds: float | None
    evidence: dict[str, Any]


def _known(connection: sa.Connection, keys: list[str]) -> dict[str | None, Any]:
    found: dict[str | None, Any] = {}
    for start in range(0, len(keys), _SOME):
        found.update(connection.execute(_KNOWN, {"keys": keys[start : start + _SOME]}).all())
    return found


def frame(connection: sa.Connection, where: sa.ColumnElement[bool] | None = None) -> pd.DataFrame:
    """The rows, oldest first, in the columns of the table; scores and evidence dicts, tags lists."""
    import pandas as pd

    query = sa.select(*_RAW).order_by(ratings.c.id)
    rows = connection.execute(query if where is None else query.where(where)).all()
    names = [column.name for column in ratings.c]
    columns = dict(zip(names, zip(*rows))) if rows else dict.fromkeys(names, ())
    for name in _JSON:
        columns[name] = parsed_all(columns[name])
    table = pd.DataFrame({name: pd.Series(list(columns[name]), dtype=object) for name in names})
    for name in ("seconds", "price", "probability"):
        table[name] = table[name].astype("float64")
    for name in ("tokens_in", "tokens_out"):
        table[name] = table[name].astype("Int64")
    table["id"], table["flag"] = table["id"].astype("int64"), table["flag"].astype(bool)
    table["created"] = as_instants(table["created"])
    return table


def as_instants(seconds: pd.Series) -> pd.Series:
    """Unix seconds as instants of whole nanoseconds, rounded once: as_seconds gives the very same floats back, which
    pandas' own conversion does for eleven of twelve."""
    import numpy as np
    import pandas as pd

    values = seconds.to_numpy("float64", na_value=np.nan)
    whole = np.floor(values)
    nanoseconds = whole.astype("int64") * 1_000_000_000 + np.rint((values - whole) * 1e9).astype("int64")
    return pd.Series(pd.to_datetime(nanoseconds, unit="ns", utc=True), index=seconds.index)


def as_seconds(nanoseconds: int) -> float:
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return whole + rest / 1e9
