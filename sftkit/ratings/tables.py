"""The store's tables, and how its connections are opened. SQLAlchemy Core, the same on SQLite and PostgreSQL.

SQLite: WAL, so that readers never wait for the writer; synchronous=FULL, so that a committed vote survives a power cut
(in WAL mode NORMAL would not); a busy timeout, so that writers queue. WAL needs a local disk, not a network share.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from sftkit.errors import StoreError

SCHEMA_VERSION = 1
BUSY_MS = 30_000  # how long a SQLite writer waits for another one

# UTF-8 has no lone surrogates and PostgreSQL's text no NUL; models write both
_UNSTORABLE = dict.fromkeys((0, *range(55296, 57344)), "�")


def storable(text: str) -> str:
    """The text as the store will give it back: what cannot be stored becomes U+FFFD."""
    return text.translate(_UNSTORABLE)


def stored_json(value: Any) -> Any:
    """The value as the store will give it back."""
    return json.loads(storable(json.dumps(value, ensure_ascii=False)))


class StoredText(sa.types.TypeDecorator):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else storable(value)


class StoredJson(sa.types.TypeDecorator):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else storable(json.dumps(value, ensure_ascii=False))

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else json.loads(value)


metadata = sa.MetaData()

schema = sa.Table("sftkit_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))

prompts = sa.Table(
    "prompts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("prompt_id", StoredText, nullable=False, unique=True),
    sa.Column("prompt", StoredJson, nullable=False),  # list of {"role", "content"}
    sa.Column("task", StoredText),
    sa.Column("reference", StoredText),
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column(
        "id", sa.Integer, primary_key=True
    ),  # its order is the order of the models: the first is the baseline
    sa.Column("prompt_id", StoredText, nullable=False),
    sa.Column("model", StoredText, nullable=False),
    sa.Column("response", StoredText, nullable=False),
    sa.Column("finish_reason", StoredText),
    sa.Column("tokens", sa.Integer),
    sa.Column("seconds", sa.Float),
    sa.Column("sampling", StoredJson),
    sa.Column("fingerprint", StoredText),
    sa.UniqueConstraint("prompt_id", "model"),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created", sa.Float, nullable=False),  # unix seconds
    sa.Column("rater", StoredText, nullable=False, index=True),
    sa.Column("prompt_id", StoredText, nullable=False),
    sa.Column("model_a", StoredText, nullable=False),
    sa.Column("model_b", StoredText, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("scores", StoredJson, nullable=False),
    sa.Column("note", StoredText, nullable=False),
    sa.Column("reason", StoredText, nullable=False),
    sa.Column("shown_first", sa.String(1)),
    sa.Column("seconds", sa.Float),
    sa.Column("request_hash", StoredText),
    sa.Column("raw_reply", StoredText),
    sa.Column("tokens_in", sa.Integer),
    sa.Column("tokens_out", sa.Integer),
    sa.Column("price", sa.Float),
    sa.Column("evidence", StoredJson, nullable=False),
    sa.Column("key", StoredText, unique=True),
    sqlite_autoincrement=True,  # an id is never given twice
)


def open_engine(url: str | os.PathLike[str]) -> sa.Engine:
    """An engine with the store's tables in place. StoreError says what is wrong with the URL or the database."""
    parsed = _parsed(url)
    try:
        engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else sa.create_engine(parsed)
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(
            f"No driver for {parsed.drivername}: {error}. Install one (PostgreSQL: psycopg)."
        ) from error
    for last in (
        False,
        False,
        True,
    ):  # two processes may create the tables at once; the second look finds them
        try:
            _create(engine)
            return engine
        except sa.exc.SQLAlchemyError as error:
            if last:
                raise StoreError(f"Cannot open the rating store {engine.url!r}: {_cause(error)}") from error
    raise AssertionError("unreachable")


def write(engine: sa.Engine) -> Any:
    """A transaction that writes. SQLite takes the write lock at once: a read that turns into a write cannot wait."""
    return engine.execution_options(sftkit_begin="BEGIN IMMEDIATE").begin()


def _parsed(url: str | os.PathLike[str]) -> sa.URL:
    if isinstance(url, os.PathLike):
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
        for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sftkit_begin", "BEGIN"))

    return engine


def _create(engine: sa.Engine) -> None:
    with write(engine) as connection:
        present = set(sa.inspect(connection).get_table_names())
        if "sftkit_schema" not in present and present & set(metadata.tables):
            raise StoreError(
                f"{engine.url!r} holds tables of another program. Give the store a database of its own."
            )
        if "sftkit_schema" not in present:
            metadata.create_all(connection)
            connection.execute(schema.insert().values(version=SCHEMA_VERSION))
        version = connection.scalar(sa.select(sa.func.max(schema.c.version)))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{engine.url!r} has schema version {version}, this sftkit knows {SCHEMA_VERSION}. Use the newer sftkit."
        )


def _cause(error: sa.exc.SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error)
