"""Every verdict, human and machine, in one append-only database.

store = RatingStore("sqlite:///ratings.db")
store.register(answers)                       # prompts and answers, so that a report needs the store alone
store.add(Rating("human:ana", "p1", "base", "tuned", "b"))
store.frame(); store.votes(); store.answers()
store.project("pilot", answers, overlap=2)    # several raters, who get no comparison more often than the overlap says
store.export("ratings.csv"); store.load("tasks.json", format="label-studio")
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sftkit.errors import StoreError
from sftkit.ratings import records, registered, tables
from sftkit.ratings.database import Told, open_engine, write
from sftkit.ratings.rating import Rating

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations
    from sftkit.ratings.dimensions import Dimension
    from sftkit.ratings.projects import Project


class RatingStore:
    """Ratings in SQLite (`sqlite:///ratings.db`) or PostgreSQL (`postgresql://…`, needs psycopg), by the same code.

    Append-only: a change of mind is a new row and an undo is a row with verdict "retracted"; no row is ever changed
    or dropped. When `add` returns, the rating is on disk. Safe from several threads and processes at once; a forked
    or unpickled store opens connections of its own. Every failure is a StoreError.

        store = sk.RatingStore("sqlite:///ratings.db")
        store.register(answers)
        store.votes()               # a DataFrame, empty as yet
    """

    def __init__(self, url: str | os.PathLike[str]):
        self.url = url
        self._engine_of = (os.getpid(), open_engine(url))
        self._registered: Callable[[], Generations | None] = lambda: None  # the answers registered last

    @property
    def _engine(self) -> sa.Engine:
        pid, engine = self._engine_of
        if pid != os.getpid():  # after a fork: the parent's connections are not ours to use or to close
            engine.dispose(close=False)
            self._engine_of = (os.getpid(), engine)
        return engine

    def add(self, rating: Rating) -> int:
        """Store one rating and return its id, once it is on disk. A `key` seen before returns the first one's id."""
        return self.add_many([rating])[0]

    def add_many(self, ratings: Iterable[Rating]) -> list[int]:
        """Store all of them or none, and return their ids."""
        ratings = list(ratings)
        for rating in ratings:
            if not isinstance(rating, Rating):
                raise StoreError(f"The store takes sk.Rating, not {type(rating).__name__}.")
        rows = [records.as_row(rating) for rating in ratings]
        return self._written(lambda connection: records.insert(connection, rows))

    def _written(self, work: Callable[[sa.Connection], Any]) -> Any:
        """What `work` gives, in one transaction. PostgreSQL: once more if another process wrote the same key, prompt or
        answer between its look and its insert."""
        for last in (False, True):
            try:
                with self.writing() as connection:
                    return work(connection)
            except StoreError as error:
                if last or not isinstance(error.__cause__, sa.exc.IntegrityError):
                    raise
        raise AssertionError("unreachable")

    def _imported(self, rows: list[dict[str, Any]], answers: Generations | None) -> int:
        """Store the rows that are new, with the answers that came with them; how many were new."""

        def work(connection: sa.Connection) -> int:
            if answers is not None:
                registered.register(connection, answers)
            return records.insert_new(connection, rows)

        return self._written(work)

    def register(self, answers: Generations) -> None:
        """Keep prompts and answers. The same ones again change nothing.

        An answer that was rated cannot be replaced, or its ratings would speak of a text that nobody saw: StoreError
        names the models. One that was not rated yet is replaced.
        """
        if (
            self._registered() is not answers
        ):  # a second grid of the same answers need not look at each of them
            self._written(lambda connection: registered.register(connection, answers))
            self._registered = weakref.ref(answers)

    def frame(
        self, rater: str | None = None, *, prompt_id: str | None = None, project: str | None = None
    ) -> pd.DataFrame:
        """Every rating, oldest first, one row each: id, created (UTC), the fields of Rating, and `current`.

        current: the newest of that rater on that comparison and shown order, and not retracted. scores and evidence
        are dicts, tags lists. `rater` keeps one rater's rows only, `prompt_id` those on one prompt, `project` its own.
        """
        from sftkit.ratings.votes import mark_current

        query = sa.select(tables.ratings.c.id)
        for column, value in (("rater", rater), ("prompt_id", prompt_id), ("project", project)):
            if value is not None:
                query = query.where(tables.ratings.c[column] == tables.storable(value))
        with self.reading() as connection:
            frame = records.frame(connection, query.whereclause)
        return frame.assign(current=mark_current(frame).astype(bool))

    def history(self, prompt_id: str, model_a: str, model_b: str, rater: str | None = None) -> pd.DataFrame:
        """Every rating of one comparison, oldest first, whichever of the two was called a: a changed mind is visible.

        The columns are those of `frame`; `rater` keeps one rater's rows.
        """
        frame = self.frame(rater, prompt_id=prompt_id)
        pair = {model_a, model_b}
        same = [{a, b} == pair for a, b in zip(frame["model_a"], frame["model_b"])]
        return frame[same].reset_index(drop=True)

    def project(
        self, name: str, answers: Generations | None = None, *, models: Sequence[str] | None = None,
        overlap: int | None = None, across: int | None = None, seed: int | None = None, strategy: str | None = None,
        repeats: float | None = None, checks: float | None = None,
        dimensions: Sequence[Dimension] | None = None, lease_minutes: float | None = None,
        instructions: str | None = None,
    ) -> Project:  # fmt: skip
        """Open the project, or make it from `answers` where there is none.

        models: the baseline first (default: all of the answers). overlap: votes wanted of each comparison (1).
        across: how many answers side by side, 2 to 6 (default: all models where there are up to 6, else 2). seed (0)
        and strategy ("unrated", "overlap", "value", "random") of the queue. repeats, checks: shares of comparisons shown again and
        of attention checks (0.0). dimensions: the rubric (the six). lease_minutes: how long one is held (20).
        instructions: what raters are told before they begin, and whenever they ask for it, in Markdown ("").

        What is given for a project that exists must be what it was made with, or StoreError names the difference.
        ConfigError lists every setting that cannot work.
        """
        from sftkit.ratings.projects import opened

        given = {"models": models, "overlap": overlap, "across": across, "seed": seed, "strategy": strategy}
        given |= {
            "repeats": repeats,
            "checks": checks,
            "dimensions": dimensions,
            "lease_minutes": lease_minutes,
            "instructions": instructions,
        }
        return opened(self, name, answers, given)

    def projects(self) -> pd.DataFrame:
        """One row a project: project, comparisons, overlap, raters, votes, done (comparisons with enough votes)."""
        from sftkit.ratings.projects import overview

        return overview(self)

    def export(
        self, path: str | os.PathLike[str], format: str | None = None, project: str | None = None
    ) -> Path:
        """Write the ratings to a file and return its path.

        project: only what was rated in that project; StoreError when there is none of that name. By suffix .csv, .jsonl
        or .parquet: every row, nothing lost; those where `current` is true count. format="argilla" or "label-studio":
        JSON as those tools import it, with prompts and answers and what stands of each rater. The file is whole or not there.
        """
        from sftkit.ratings.exchange import export

        return export(self, os.fspath(path), format, project)

    def load(
        self, path: str | os.PathLike[str], format: str | None = None, project: str | None = None
    ) -> int:
        """Store the ratings of a file in any format of `export` and return how many were new; nothing is stored twice.

        project: make them part of that project, whatever the file says. RatingsFileError names every fault by row and
        field (in CSV the head is row 1), and nothing is stored then.
        """
        from sftkit.ratings.exchange import load

        return load(self, os.fspath(path), format, project)

    def votes(self, project: str | None = None) -> pd.DataFrame:
        """One row a rater and comparison: prompt_id, model_a, model_b, rater, outcome, flip, task, len_a, len_b.

        outcome 1 = a wins, 0.5 = tie or the judge's two orders disagree (flip is True), 0 = b wins, NaN = unscored.
        model_a is the baseline (the model registered first). "open" and retracted ratings are no votes, and canaries
        are no models. `project` keeps what was rated in it.
        """
        from sftkit.ratings import votes

        frame, answers = self.frame(project=project), self._answer_frame()
        models = list(dict.fromkeys(answers["model"]))
        return votes.describe(votes.combine(votes.of_models(frame[frame["current"]]), models), answers)

    def answers(self) -> Generations:
        """Every prompt and answer registered, in the order of registration."""
        from sftkit.generation.table import Generations

        return Generations.from_frame(self._answer_frame())

    def _answer_frame(self) -> pd.DataFrame:
        with self.reading() as connection:
            return registered.frame(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads."""
        with Told("read", self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that writes; on disk once it is left, if durable."""
        with Told("write to", self._engine), write(self._engine, durable) as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back. The store may be used again; it then opens new ones."""
        self._engine.dispose()

    def __reduce__(self) -> tuple[Any, ...]:
        return RatingStore, (self.url,)

    def __repr__(self) -> str:
        with self.reading() as connection:
            count, raters = connection.execute(
                sa.select(sa.func.count(), sa.func.count(sa.distinct(tables.ratings.c.rater))).select_from(
                    tables.ratings
                )
            ).one()
        return f"RatingStore({self._engine.url!r}: {count} ratings, {raters} raters)"
