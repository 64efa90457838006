"""From an older schema to today's: forward only, all steps in one transaction, after a backup.

SQLite: the whole file is copied beside itself, `ratings.db.backup-v1-20260131T120000Z`, by SQLite's own backup API.
PostgreSQL: DDL is transactional there too, and the ratings as they were stay in the table
`ratings_backup_v1_20260131t120000z`. Whatever fails on the way, a kill included, leaves the old database as it was.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa

# What leads from the version to the next one. Frozen as it was released: never written with today's tables.
STEPS: dict[int, list[str]] = {
    1: [
        "ALTER TABLE ratings ADD COLUMN tags TEXT DEFAULT '[]' NOT NULL",
        "ALTER TABLE ratings ADD COLUMN flag BOOLEAN DEFAULT false NOT NULL",
        "ALTER TABLE ratings ADD COLUMN project TEXT",
        "ALTER TABLE ratings ADD COLUMN probability FLOAT",
        "CREATE INDEX ix_ratings_prompt_id ON ratings (prompt_id)",
        "CREATE TABLE projects (name TEXT NOT NULL, created FLOAT NOT NULL, overlap INTEGER NOT NULL, "
        "lease_seconds FLOAT NOT NULL, settings TEXT NOT NULL, PRIMARY KEY (name))",
        "CREATE TABLE comparisons (project TEXT NOT NULL, comparison TEXT NOT NULL, place INTEGER NOT NULL, "
        "prompt_id TEXT NOT NULL, models TEXT NOT NULL, PRIMARY KEY (project, comparison))",
        "CREATE INDEX comparisons_of_prompt ON comparisons (project, prompt_id)",
        "CREATE TABLE assignments (project TEXT NOT NULL, comparison TEXT NOT NULL, rater TEXT NOT NULL, "
        "expires FLOAT NOT NULL, voted BOOLEAN NOT NULL, seconds FLOAT, at FLOAT NOT NULL, PRIMARY KEY (project, comparison, rater))",
        "CREATE INDEX assignments_of_rater ON assignments (project, rater, voted, at)",
    ]
}


def migrate(connection: sa.Connection, version: int) -> None:
    """Bring the database from `version` to today's, inside the caller's transaction, which holds the write lock."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    if connection.dialect.name == "sqlite":
        _copy_file(connection, f"backup-v{version}-{stamp}")
    else:
        connection.exec_driver_sql(f"CREATE TABLE ratings_backup_v{version}_{stamp.lower()} AS TABLE ratings")
    while version in STEPS:
        for statement in STEPS[version]:
            connection.exec_driver_sql(statement)
        version += 1
    connection.execute(sa.text("UPDATE sftkit_schema SET version = :version"), {"version": version})


def _copy_file(connection: sa.Connection, suffix: str) -> None:
    """The last commit, through a connection of its own. Under its name only when whole: a kill leaves `.part`."""
    database = connection.engine.url.database
    if database in (None, "", ":memory:"):
        return
    part, kept = Path(f"{database}.{suffix}.part"), Path(f"{database}.{suffix}")
    part.unlink(missing_ok=True)
    source, target = sqlite3.connect(database), sqlite3.connect(part)
    try:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
    finally:
        target.close()
        source.close()
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, kept)
