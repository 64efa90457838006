"""How the store's connections are opened, the same on SQLite and PostgreSQL.

SQLite: WAL, so that readers never wait for the writer; synchronous=FULL, so that a committed vote survives a power cut
(in WAL mode NORMAL would not); a busy timeout, so that writers queue. WAL needs a local disk, not a network share.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool

from sftkit.errors import StoreError
from sftkit.ratings import migrations
from sftkit.ratings.tables import SCHEMA_VERSION, metadata, schema

BUSY_MS = 30_000  # how long a SQLite writer waits for another one
FILES = (".db", ".sqlite", ".sqlite3")  # names that say by themselves that they are a store's file
_FASTEST, _SLOWEST = 0.002, 0.01  # seconds between two tries of a writer who waits
_PATIENCE = 0.08  # seconds waited, from which on the tries get denser
_LOCK = 0x5F7_1C17  # PostgreSQL: the advisory lock that creating and migrating take


def open_engine(url: str | os.PathLike[str]) -> sa.Engine:
    """An engine with the store's tables in place. StoreError says what is wrong with the URL or the database."""
    parsed = _parsed(url)
    try:
        engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(
            f"No driver for {parsed.drivername}: {error}. Install one (PostgreSQL: psycopg)."
        ) from error
    try:
        _create(engine)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        engine.dispose()
        raise StoreError(f"Cannot open the rating store {engine.url!r}: {_cause(error)}") from error
    return engine


def write(engine: sa.Engine, durable: bool = True) -> Any:
    """A transaction that writes. SQLite takes the write lock at once: a read that turns into a write cannot wait.

    durable: on disk when it ends. Without, a power cut may take it (whole); whatever is durable later keeps it too.
    """
    return engine.execution_options(sftkit_writes="FULL" if durable else "NORMAL").begin()


def _parsed(url: str | os.PathLike[str]) -> sa.URL:
    if isinstance(url, os.PathLike) or ("://" not in url and Path(url).suffix in FILES):
        return sa.URL.create("sqlite", database=os.fspath(url))
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        shown = "What was given" if "@" in str(url) else repr(url)  # before an @ there may be a password
        raise StoreError(
            f"{shown} is not a store's URL. Write sqlite:///ratings.db or postgresql://…"
        ) from None
    if parsed.drivername == "postgresql" and parsed.get_dialect().driver == "psycopg2":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def _sqlite(url: sa.URL) -> sa.Engine:
    memory = url.database in (None, "", ":memory:")
    if not memory:
        folder = Path(url.database).parent
        if not folder.is_dir():
            raise StoreError(
                f"Cannot open {url.database}: there is no folder {folder}. Make it, or mend the path."
            )
    # in memory there is one database per connection, so threads take turns with one
    size = {"pool_size": 1, "max_overflow": 0} if memory else {}
    engine = sa.create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False}, **size)

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        # trusted_schema: what stands in a file's schema may call no function that reaches further than its value
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        raw, synchronous = (
            connection.connection.dbapi_connection,
            connection.get_execution_options().get("sftkit_writes"),
        )
        if synchronous is None:
            raw.execute("BEGIN")
            return
        raw.execute(f"PRAGMA synchronous={synchronous}")
        _take_turn(raw)

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_pre_ping=True)  # a connection that the server closed is replaced

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("sftkit_writes") == "NORMAL":
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")

    return engine


def _take_turn(connection: Any) -> None:
    """BEGIN IMMEDIATE, with a wait that is fair. SQLite's own waits longer the longer it has waited, so that under many
    writers some starve; this one asks the more often the longer it has waited."""
    start, pause = time.monotonic(), 0.0005
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - start
                if waited * 1000 > BUSY_MS or "locked" not in str(error):
                    raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, error) from error
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, _SLOWEST) if waited < _PATIENCE else max(pause / 2, _FASTEST)
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _create(engine: sa.Engine) -> None:
    """Tables for a new database, today's tables for an older one; a newer or a foreign one is left alone."""
    with write(engine) as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write lock already keeps others out
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _refuse_programs(connection)
        present = set(sa.inspect(connection).get_table_names())
        if "sftkit_schema" not in present and present & set(metadata.tables):
            raise StoreError(
                f"{engine.url!r} holds tables of another program. Give the store a database of its own."
            )
        if "sftkit_schema" not in present:
            metadata.create_all(connection)
            connection.execute(schema.insert().values(version=SCHEMA_VERSION))
        version = connection.scalar(sa.select(sa.func.max(schema.c.version)))
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{engine.url!r} has schema version {version}, this sftkit knows {SCHEMA_VERSION}. "
                "Use the newer sftkit."
            )
        if version < SCHEMA_VERSION:
            migrations.migrate(connection, version)


def _refuse_programs(connection: sa.Connection) -> None:
    """A trigger would change or drop ratings behind our back, a view under a table's name show others: never ours."""
    if connection.dialect.name != "sqlite":
        return  # a server's owner decides what is in it; a file may have come by mail
    found = connection.execute(sa.text("SELECT type, name, tbl_name FROM sqlite_master WHERE type IN ('trigger', 'view')"))  # fmt: skip
    if bad := [f"{kind} {name}" for kind, name, of in found if kind == "trigger" or of in metadata.tables]:
        raise StoreError(
            f"{connection.engine.url!r} holds {', '.join(bad[:5])}, which is none of sftkit's and could change ratings unseen. "
            "Look at it with `sqlite3 FILE .schema`, and drop it if you know whose it is."
        )


class Told:
    """Turns a database's error into a StoreError that says what was tried and where."""

    def __init__(self, deed: str, engine: sa.Engine):
        self.message = f"Cannot {deed} the rating store {engine.url!r}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, sa.exc.SQLAlchemyError):
            raise StoreError(f"{self.message}: {_cause(error)}") from error


class now(sa.sql.functions.FunctionElement):  # a SQL function is written small
    """Unix seconds by the database's own clock, because raters' machines differ. SQLite's is this machine's: its file
    lies on a local disk, so all its raters share it; it counts milliseconds."""

    type = sa.Float()
    inherit_cache = True


@compiles(now, "sqlite")
def _(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _(*_: Any, **__: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS FLOAT)"


def inserting(dialect: str, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, which SQLAlchemy keeps in each dialect."""
    from sqlalchemy.dialects import postgresql, sqlite

    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
