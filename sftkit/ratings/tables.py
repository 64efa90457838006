"""The store's tables, as a new database gets them (an older one: migrations). SQLAlchemy Core, SQLite and PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sftkit.errors import StoreError

SCHEMA_VERSION = 2

# UTF-8 has no lone surrogates and PostgreSQL's text no NUL; models write both
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_written = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each value


def storable(text: str) -> str:
    """The text as the store will give it back: what cannot be stored becomes U+FFFD."""
    if text.isascii() and "\x00" not in text:  # tens of thousands of answers pass through here
        return text
    return _UNSTORABLE.sub("�", text)


def json_text(value: Any) -> str:
    """The value as it is written."""
    return storable(_written(value))


def stored_json(value: Any) -> Any:
    """The value as the store will give it back."""
    return json.loads(json_text(value))


def parsed(text: str) -> Any:
    """The value of a stored JSON text. Raises StoreError: a database may have come from anywhere."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"The store holds a value that is no JSON: {type(error).__name__}") from None


def parsed_all(texts: Sequence[str]) -> list[Any]:
    """The values of many, in one call instead of one a row: half the time."""
    try:
        values = json.loads(f"[{','.join(texts)}]")
    except (ValueError, TypeError, RecursionError):
        values = []
    return values if len(values) == len(texts) else [parsed(text) for text in texts]


class StoredText(sa.types.TypeDecorator):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else storable(value)


class StoredJson(sa.types.TypeDecorator):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else parsed(value)


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
    sa.Column("prompt_id", StoredText, nullable=False, index=True),
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
    sa.Column("tags", StoredJson, nullable=False, server_default="[]"),
    sa.Column("flag", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("project", StoredText),
    sa.Column("probability", sa.Float),
    sqlite_autoincrement=True,  # an id is never given twice
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("name", StoredText, primary_key=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("overlap", sa.Integer, nullable=False),
    sa.Column("lease_seconds", sa.Float, nullable=False),
    sa.Column("settings", StoredJson, nullable=False),  # projects.Settings, whole
)

comparisons = sa.Table(
    "comparisons",
    metadata,
    sa.Column("project", StoredText, primary_key=True),
    sa.Column("comparison", StoredText, primary_key=True),  # blind.Comparison.id
    sa.Column("place", sa.Integer, nullable=False),  # their order in the project
    sa.Column("prompt_id", StoredText, nullable=False),
    sa.Column("models", StoredJson, nullable=False),  # by name: a rating is matched to its comparison by them
    sa.Index("comparisons_of_prompt", "project", "prompt_id"),
)

# Who has which comparison. It follows from leases and ratings and is written with them, in one transaction.
assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("project", StoredText, primary_key=True),
    sa.Column("comparison", StoredText, primary_key=True),
    sa.Column("rater", StoredText, primary_key=True),
    sa.Column("expires", sa.Float, nullable=False),  # of the lease: unix seconds, the database's clock
    sa.Column("voted", sa.Boolean, nullable=False),  # True: a current vote stands, and no lease is needed
    sa.Column("seconds", sa.Float),  # what the vote took
    sa.Column("at", sa.Float, nullable=False),  # of the lease or vote: unix seconds, the database's clock
    sa.Index("assignments_of_rater", "project", "rater", "voted", "at"),
)
