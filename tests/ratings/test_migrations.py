"""Version 1, as it was released, becomes today's: nothing lost, a backup first, and a kill in the middle leaves it whole."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from sftkit.errors import StoreError
from sftkit.ratings import Rating, RatingStore, migrations, tables

# What version 1 wrote, word for word. {id}: SQLite's or PostgreSQL's way to number rows.
VERSION_1 = """
CREATE TABLE sftkit_schema (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE prompts (id {id}, prompt_id TEXT NOT NULL, prompt TEXT NOT NULL, task TEXT, reference TEXT, UNIQUE (prompt_id));
CREATE TABLE answers (id {id}, prompt_id TEXT NOT NULL, model TEXT NOT NULL, response TEXT NOT NULL, finish_reason TEXT,
  tokens INTEGER, seconds FLOAT, sampling TEXT, fingerprint TEXT, UNIQUE (prompt_id, model));
CREATE TABLE ratings (id {id}, created FLOAT NOT NULL, rater TEXT NOT NULL, prompt_id TEXT NOT NULL, model_a TEXT NOT NULL,
  model_b TEXT NOT NULL, verdict VARCHAR(16) NOT NULL, scores TEXT NOT NULL, note TEXT NOT NULL, reason TEXT NOT NULL,
  shown_first VARCHAR(1), seconds FLOAT, request_hash TEXT, raw_reply TEXT, tokens_in INTEGER, tokens_out INTEGER,
  price FLOAT, evidence TEXT NOT NULL, key TEXT, UNIQUE (key));
CREATE INDEX ix_ratings_rater ON ratings (rater);
INSERT INTO sftkit_schema (version) VALUES (1);
INSERT INTO prompts (prompt_id, prompt, task) VALUES ('p1', '[{"role": "user", "content": "Q"}]', 'qa');
INSERT INTO answers (prompt_id, model, response, sampling) VALUES ('p1', 'base', 'abc', '{}'), ('p1', 'tuned', '你好', '{}');
"""
RATING = (
    "INSERT INTO ratings (created, rater, prompt_id, model_a, model_b, verdict, scores, note, reason, seconds, evidence, key) "
    "VALUES (1764000000.25, '{rater}', 'p1', 'base', 'tuned', 'b', '{{\"safety\": {{\"a\": 3}}}}', '因为', '', 2.5, '{{}}', '{key}')"
)
COUNT = 50


def version_1(url: str) -> None:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with sqlite3.connect(parsed.database) as connection:
            connection.executescript(VERSION_1.replace("{id}", "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"))
            for n in range(COUNT):
                connection.execute(RATING.format(rater=f"human:{n}", key=f"k{n}"))
        connection.close()
        return
    engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for statement in VERSION_1.replace("{id}", "SERIAL PRIMARY KEY").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for n in range(COUNT):
            connection.exec_driver_sql(RATING.format(rater=f"human:{n}", key=f"k{n}"))
    engine.dispose()


def columns(url: str) -> dict[str, dict]:
    store = RatingStore(url)
    found = sa.inspect(store._engine)
    shape = {
        table: {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table)}
        for table in tables.metadata.tables
    }
    shape["indexes"] = {i["name"]: i["column_names"] for t in tables.metadata.tables for i in found.get_indexes(t) if not i.get("duplicates_constraint")}  # fmt: skip
    store.close()
    return shape


def whole_version_1(path: Path) -> bool:
    connection = sqlite3.connect(path)
    version = connection.execute("SELECT max(version) FROM sftkit_schema").fetchone()[0]
    names = {row[1] for row in connection.execute("PRAGMA table_info(ratings)")}
    count = connection.execute("SELECT count(*) FROM ratings").fetchone()[0]
    tables_ = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return version == 1 and "tags" not in names and count == COUNT and "projects" not in tables_


def test_version_1_becomes_today_s_with_nothing_lost(url):
    version_1(url)
    store = RatingStore(url)
    frame = store.frame()
    assert len(frame) == COUNT and frame["id"].tolist() == list(range(1, COUNT + 1))
    row = frame.iloc[7]
    assert (row["rater"], row["note"], row["scores"], row["seconds"]) == (
        "human:7",
        "因为",
        {"safety": {"a": 3}},
        2.5,
    )
    assert row["created"].timestamp() == 1764000000.25
    assert (row["tags"], row["flag"], row["project"], row["probability"] is None or row["probability"] != row["probability"]) == ([], False, None, True)  # fmt: skip
    assert len(store.votes()) == COUNT and store.votes()["len_b"].tolist() == [2.0] * COUNT
    assert store.add(Rating("human:7", "p1", "base", "tuned", "b", key="k7")) == 8  # keys still work
    project = store.project("pilot", store.answers())
    store.add(Rating("human:x", "p1", "base", "tuned", "both_bad", project="pilot", tags=["t"], flag=True))
    assert project.progress()["votes"].tolist() == [1] and len(store.frame()) == COUNT + 1


def test_a_migrated_database_has_the_shape_of_a_new_one(url, another_url):
    version_1(url)
    assert columns(url) == columns(another_url)


def test_a_backup_stands_beside_the_file_before_anything_changes(tmp_path):
    path = tmp_path / "ratings.db"
    version_1(f"sqlite:///{path}")
    RatingStore(path).close()
    (backup,) = tmp_path.glob("ratings.db.backup-*")
    assert re.fullmatch(r"ratings\.db\.backup-v1-\d{8}T\d{6}Z", backup.name) and whole_version_1(backup)
    RatingStore(path).close()
    assert len(list(tmp_path.glob("ratings.db.backup-*"))) == 1  # once


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_postgresql_keeps_the_old_ratings_in_a_table_named_so(url):
    version_1(url)
    store = RatingStore(url)
    kept = [
        name for name in sa.inspect(store._engine).get_table_names() if name.startswith("ratings_backup_v1_")
    ]
    with store.reading() as connection:
        assert connection.exec_driver_sql(f"SELECT count(*) FROM {kept[0]}").scalar() == COUNT
    store.close()


def test_a_step_that_fails_leaves_version_1(url, monkeypatch):
    version_1(url)
    monkeypatch.setitem(migrations.STEPS, 1, [*migrations.STEPS[1], "CREATE TABLE projects (x TEXT)"])
    with pytest.raises(StoreError, match=r"Cannot open.*projects"):
        RatingStore(url)
    if url.startswith("sqlite"):
        assert whole_version_1(Path(sa.make_url(url).database))
    monkeypatch.undo()
    assert len(RatingStore(url).frame()) == COUNT


def test_a_backup_that_cannot_be_written_stops_the_migration(tmp_path, monkeypatch):
    path = tmp_path / "ratings.db"
    version_1(f"sqlite:///{path}")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrations.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        RatingStore(path)
    assert whole_version_1(path)


KILLED = """
import os, signal, sys
from sftkit.ratings import RatingStore, migrations

class Steps(list):
    def __iter__(self):
        for number, step in enumerate(list.__iter__(self)):
            if number == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield step
        if int(sys.argv[2]) >= len(self):
            os.kill(os.getpid(), signal.SIGKILL)

migrations.STEPS[1] = Steps(migrations.STEPS[1])
RatingStore(sys.argv[1])
"""


@pytest.mark.parametrize("step", [7, 99])
def test_a_kill_in_the_middle_leaves_version_1_whole(url, step):
    version_1(url)
    dead = subprocess.run([sys.executable, "-c", KILLED, url, str(step)], check=False)
    assert dead.returncode == -signal.SIGKILL
    if url.startswith("sqlite"):
        path = Path(sa.make_url(url).database)
        assert whole_version_1(path) and len(list(path.parent.glob("*.backup-v1-*"))) == 1
    store = RatingStore(url)
    assert len(store.votes()) == COUNT
    store.close()


def test_a_kill_while_the_backup_is_written_leaves_none_that_looks_whole(tmp_path):
    path = tmp_path / "ratings.db"
    version_1(f"sqlite:///{path}")
    code = "import os, sys\nfrom sftkit.ratings import RatingStore, migrations\nmigrations.os.fsync = lambda _: os.kill(os.getpid(), 9)\nRatingStore(sys.argv[1])"
    assert subprocess.run([sys.executable, "-c", code, f"sqlite:///{path}"], check=False).returncode == -9
    assert whole_version_1(path) and [p.suffix for p in tmp_path.glob("*.backup-*")] == [".part"]
    assert len(RatingStore(path).frame()) == COUNT


def test_two_that_open_an_old_store_at_once_migrate_it_once(url):
    version_1(url)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(RatingStore(url).frame()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [COUNT] * 4
    if url.startswith("sqlite"):
        folder = Path(sa.make_url(url).database).parent
        assert len([name for name in os.listdir(folder) if "backup-v1" in name]) == 1


def test_old_code_that_is_still_running_can_go_on_writing(url):
    """A notebook opened before the migration inserts without the new columns: they have defaults."""
    version_1(url)
    store = RatingStore(url)
    with store.writing() as connection:
        connection.exec_driver_sql(RATING.format(rater="human:old", key="old"))
    assert store.frame(rater="human:old")["tags"].tolist() == [[]]
    store.close()


def test_a_newer_store_is_refused_and_left_alone(url):
    store = RatingStore(url)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE sftkit_schema SET version = 99")
    with pytest.raises(StoreError, match=r"schema version 99, this sftkit knows 2\. Use the newer sftkit\."):
        RatingStore(url)
