"""Several raters on the same comparisons: who may rate what next, and how far each of them is.

project = store.project("pilot", answers, overlap=2)     # made once; later, and on other machines: store.project("pilot")
comparison = project.take("human:ana", wanted)           # hers for 20 minutes; nobody is given it beyond the overlap
store.add(Rating("human:ana", …, project="pilot"))       # the lease becomes a vote
project.progress()                                       # of every rater, in whichever process or place they sit

A vote is never refused: one that comes after its lease ran out is stored like any other, even beyond the overlap. A
repeat or an attention check belongs to its rater alone: it needs no lease and changes no count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sftkit.errors import ConfigError, Fault, StoreError
from sftkit.ratings import assignments, tables
from sftkit.ratings.blind import comparisons
from sftkit.ratings.database import inserting, now
from sftkit.ratings.dimensions import DIMENSIONS, Dimension

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations
    from sftkit.ratings.store import RatingStore

DEFAULTS = {"models": None, "overlap": 1, "across": None, "seed": 0, "strategy": "unrated", "repeats": 0.0}
DEFAULTS |= {"checks": 0.0, "dimensions": None, "lease_minutes": 20, "instructions": ""}
LONGEST_INSTRUCTIONS = 20_000  # characters
STRATEGIES = ("unrated", "overlap", "value", "random")  # of ratings.queue
MOST_ACROSS = 6
_has, _of = tables.comparisons.c, tables.assignments.c


class Project:
    """One project of a store, made or opened by `store.project(name)`. Its settings never change.

    name, overlap (votes wanted of each comparison), models (the baseline first), across (how many side by side),
    seed, strategy, repeats, checks (shares of the comparisons), dimensions (the rubric), lease_minutes, instructions
    (Markdown that raters read first).
    """

    def __init__(self, store: RatingStore, name: str, settings: dict[str, Any]):
        self.store, self.name = store, name
        self.models: list[str] = settings["models"]
        self.overlap: int = settings["overlap"]
        self.across: int = settings["across"]
        self.seed: int = settings["seed"]
        self.strategy: str = settings["strategy"]
        self.repeats: float = settings["repeats"]
        self.checks: float = settings["checks"]
        self.dimensions: list[Dimension] = _rubric(settings["dimensions"])
        self.lease_minutes: float = settings["lease_minutes"]
        self.instructions: str = settings.get(
            "instructions", ""
        )  # projects made before there were any have none

    def answers(self) -> Generations:
        """The answers of the project's models to its prompts: the models in the project's order, the baseline first."""
        from sftkit.generation.table import Generations

        prompts = {row[0] for row in self._rows(sa.select(_has.prompt_id).where(_has.project == self.name))}
        frame = self.store.answers().frame
        frame = frame[frame["prompt_id"].isin(prompts) & frame["model"].isin(self.models)]
        order = {model: place for place, model in enumerate(self.models)}
        frame = frame.sort_values("model", key=lambda names: names.map(order), kind="stable")
        return Generations.from_frame(frame.reset_index(drop=True))

    def frame(self) -> pd.DataFrame:
        """What was rated in this project, with the columns of RatingStore.frame()."""
        return self.store.frame(project=self.name)

    def votes(self) -> pd.DataFrame:
        """The votes of this project alone, with the columns of RatingStore.votes(): sk.Report(project) reports on them."""
        return self.store.votes(self.name)

    def take(self, rater: str, wanted: Sequence[str]) -> str | None:
        """Lease to `rater` the first of the comparisons `wanted` that is open to him; None when none is.

        One that he holds already is his for another `lease_minutes`. A rater holds at most 5; with one more the
        oldest is given back. An id that the project does not know (a repeat, a check) is returned without a lease.
        """
        return assignments.take(self.store, self, rater, list(wanted))

    def open_to(self, rater: str) -> set[str]:
        """The comparisons that `rater` may rate now: not yet by him, nor by or leased to enough others."""
        with self.store.reading() as connection:
            every = set(connection.scalars(sa.select(_has.comparison).where(_has.project == self.name)))
            return every - assignments.closed(connection, self, rater)

    def release(self, rater: str) -> None:
        """Give back whatever `rater` holds and has not rated."""
        mine = (_of.project == self.name) & (_of.rater == rater) & ~_of.voted
        with self.store.writing() as connection:
            connection.execute(tables.assignments.delete().where(mine))

    def progress(self) -> pd.DataFrame:
        """One row a rater: rater, votes (comparisons rated), leased (held now), seconds_median (of the votes), last
        (sign of life, UTC)."""
        import pandas as pd

        names = ["rater", "votes", "leased", "seconds_median", "last"]
        frame = self._assigned(_of.rater, _of.voted, _of.seconds, _of.at)
        frame["seconds"] = frame["seconds"].astype("float64").where(frame["voted"])
        groups = frame.groupby("rater", sort=True)
        table = pd.DataFrame(
            {
                "votes": groups["voted"].sum().astype("int64"),
                "leased": groups["live"].sum().astype("int64"),
                "seconds_median": groups["seconds"].median(),
                "last": pd.to_datetime(groups["at"].max().astype("float64"), unit="s", utc=True),
            }
        )
        return table.rename_axis("rater").reset_index()[names]

    def counts(self) -> pd.DataFrame:
        """One row a comparison, in the project's order: comparison, votes, leased (held now)."""
        import pandas as pd

        order = sa.select(_has.comparison).where(_has.project == self.name).order_by(_has.place)
        every = pd.DataFrame({"comparison": [row[0] for row in self._rows(order)]}, dtype=object)
        sums = self._assigned(_of.comparison, _of.voted).groupby("comparison")[["voted", "live"]].sum()
        for name, column in (("votes", "voted"), ("leased", "live")):
            every[name] = every["comparison"].map(sums[column]).fillna(0).astype("int64")
        return every

    def _assigned(self, *columns: sa.Column) -> pd.DataFrame:
        """The assignments with `live`: leased now and not yet rated."""
        import pandas as pd

        with self.store.reading() as connection:
            live = (~_of.voted & (_of.expires > now())).label("live")
            rows = connection.execute(sa.select(*columns, live).where(_of.project == self.name)).all()
        frame = pd.DataFrame(rows, columns=[*(column.name for column in columns), "live"], dtype=object)
        return frame.assign(voted=frame["voted"].astype(bool), live=frame["live"].astype(bool))

    def _rows(self, query: sa.Select) -> list[sa.Row]:
        with self.store.reading() as connection:
            return list(connection.execute(query))

    def __repr__(self) -> str:
        count = self._rows(sa.select(sa.func.count()).where(_has.project == self.name))[0][0]
        return (
            f"Project({self.name!r}: {count} comparisons of {', '.join(self.models)}, overlap {self.overlap})"
        )


def opened(store: RatingStore, name: str, answers: Generations | None, given: dict[str, Any]) -> Project:
    """The project of that name, made from `answers` if there is none. `given`: settings, None where not given."""
    given = {key: value for key, value in given.items() if value is not None}
    _check(name, given)
    stored = _settings(store, name)
    if stored is None and answers is None:
        known = ", ".join(repr(known) for known in store.projects()["project"]) or "none"
        raise StoreError(
            f"There is no project {name!r} in {store!r}; known: {known}. Give answers to make it."
        )
    if answers is not None:
        settings = _whole({**(stored or {}), **_plain(given)}, answers)
        rows = _comparisons(answers, settings)
        store.register(answers)
        if stored is None:
            stored = _made(store, name, settings, rows)
        _compare_rows(store, name, rows)
    _compare(name, stored, _plain(given))
    return Project(store, name, stored)


def overview(store: RatingStore) -> pd.DataFrame:
    """One row a project: project, comparisons, overlap, raters, votes, done (comparisons with enough votes)."""
    import pandas as pd

    table = tables.projects.c
    votes = sa.select(_of.project, _of.comparison, sa.func.count().label("votes")).where(_of.voted)
    votes = votes.group_by(_of.project, _of.comparison).subquery()
    done = sa.func.sum(sa.case((votes.c.votes >= table.overlap, 1), else_=0))
    sums = sa.select(votes.c.project, sa.func.sum(votes.c.votes).label("votes"), done.label("done"))
    sums = (
        sums.join_from(votes, tables.projects, table.name == votes.c.project)
        .group_by(votes.c.project)
        .subquery()
    )
    raters = (
        sa.select(sa.func.count(sa.distinct(_of.rater))).where(_of.project == table.name).scalar_subquery()
    )
    size = sa.select(sa.func.count()).where(_has.project == table.name).scalar_subquery()
    query = sa.select(table.name, size, table.overlap, raters, sums.c.votes, sums.c.done)
    query = query.join_from(tables.projects, sums, sums.c.project == table.name, isouter=True)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(table.created)).all()
    names = ["project", "comparisons", "overlap", "raters", "votes", "done"]
    frame = pd.DataFrame([tuple(value or 0 for value in row) for row in rows], columns=names)
    return frame.astype(dict.fromkeys(names[1:], "int64"))


def _check(name: Any, given: dict[str, Any]) -> None:
    faults = []
    if not isinstance(name, str) or not name.strip():
        faults.append(Fault("name", f"must be text and not empty, not {name!r}."))
    if unknown := set(given) - set(DEFAULTS):
        faults += [
            Fault(key, "is no setting of a project.", f"Known: {', '.join(DEFAULTS)}.") for key in unknown
        ]
    bounds = {"overlap": (1, 1000), "across": (2, MOST_ACROSS), "repeats": (0, 1), "checks": (0, 1)}
    bounds["lease_minutes"] = (0.01, 7 * 24 * 60)
    for key, (low, high) in bounds.items():
        value, whole = given.get(key, low), key in ("overlap", "across")
        kind = Integral if whole else Real
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            what = "a whole number" if whole else "a number"
            faults.append(Fault(key, f"{value!r} is not {what} from {low} to {high}."))
    if isinstance(given.get("seed", 0), bool) or not isinstance(given.get("seed", 0), Integral):
        faults.append(Fault("seed", f"{given['seed']!r} is not a whole number."))
    if given.get("strategy", "unrated") not in STRATEGIES:
        faults.append(Fault("strategy", f"{given['strategy']!r} is none of {', '.join(STRATEGIES)}."))
    text = given.get("instructions", "")
    if not isinstance(text, str):
        faults.append(Fault("instructions", f"are {type(text).__name__}.", "Give text, in Markdown."))
    elif len(text) > LONGEST_INSTRUCTIONS:
        faults.append(
            Fault("instructions", f"have {len(text):,} characters.", f"Keep to {LONGEST_INSTRUCTIONS:,}.")
        )
    if odd := [d for d in given.get("dimensions", ()) if not isinstance(d, Dimension)]:
        faults.append(Fault("dimensions", f"holds {odd[0]!r}.", "Give sk.Dimension objects."))
    if faults:
        raise ConfigError(faults)


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """The settings as the store gives them back."""
    plain = dict(given)
    if "dimensions" in given:
        plain["dimensions"] = [asdict(dimension) for dimension in given["dimensions"]]
    if "models" in given:
        plain["models"] = list(dict.fromkeys(given["models"]))
    return tables.stored_json(plain)


def _whole(settings: dict[str, Any], answers: Generations) -> dict[str, Any]:
    settings = {**DEFAULTS, **settings}
    settings["models"] = settings["models"] or list(answers.models)
    count = len(settings["models"])
    settings["across"] = settings["across"] or (count if 2 <= count <= MOST_ACROSS else 2)
    if settings["across"] > max(count, 2):
        raise ConfigError([Fault("across", f"is {settings['across']}, and there are {count} models.")])
    return settings


def _rubric(stored: list[dict[str, Any]] | None) -> list[Dimension]:
    if stored is None:
        return list(DIMENSIONS)
    return [Dimension(**{**d, "anchors": {int(k): v for k, v in d["anchors"].items()}}) for d in stored]


def _settings(store: RatingStore, name: str) -> dict[str, Any] | None:
    with store.reading() as connection:
        return connection.scalar(sa.select(tables.projects.c.settings).where(tables.projects.c.name == name))


def _comparisons(answers: Generations, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The project's comparisons, the same for all raters: which side each answer stands on differs, the ids do not."""
    found = comparisons(answers, "", settings["models"], settings["seed"], across=settings["across"])
    if not found:
        raise StoreError(f"No prompt has answers of two of the models {', '.join(settings['models'])}.")
    return [
        {"comparison": c.id, "place": place, "prompt_id": c.prompt_id, "models": sorted(c.models)}
        for place, c in enumerate(found)
    ]


def _made(store: RatingStore, name: str, settings: dict[str, Any], rows: list[dict]) -> dict[str, Any]:
    """Write the project, unless another process was faster; what is stored then counts."""
    with store.writing() as connection:
        project = inserting(connection.dialect.name, tables.projects).values(
            name=name, created=now(), overlap=settings["overlap"], settings=settings,
            lease_seconds=60 * settings["lease_minutes"],
        )  # fmt: skip
        made = project.on_conflict_do_nothing().returning(tables.projects.c.name)
        if connection.execute(made).first() is not None:  # a row count is not always known
            connection.execute(tables.comparisons.insert(), [{"project": name, **row} for row in rows])
            known = sa.select(tables.ratings).where(tables.ratings.c.project == name)
            assignments.record(connection, connection.execute(known.order_by(tables.ratings.c.id)).all())
    return _settings(store, name)


def _compare_rows(store: RatingStore, name: str, rows: list[dict]) -> None:
    with store.reading() as connection:
        stored = set(connection.scalars(sa.select(_has.comparison).where(_has.project == name)))
    mine = {row["comparison"] for row in rows}
    if stored != mine:
        raise StoreError(
            f"Project {name!r} holds {len(stored)} comparisons, these answers make {len(mine)}, of which "
            f"{len(mine & stored)} are the same. Open it without answers, or give these a project of their own."
        )


def _compare(name: str, stored: dict[str, Any], given: dict[str, Any]) -> None:
    stored = {**DEFAULTS, **stored}
    if differ := [key for key, value in given.items() if stored[key] != value]:
        words = "; ".join(f"{key} is {_short(stored[key])}, not {_short(given[key])}" for key in differ)
        raise StoreError(
            f"Project {name!r} was made with other settings: {words}. Leave them out, or make another project."
        )


def _short(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return str([one["name"] for one in value])
    return repr(value) if len(repr(value)) <= 100 else f"{repr(value)[:100]}…"
