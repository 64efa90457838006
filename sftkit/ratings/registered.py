"""Prompts and answers in the store: written once, never changed under a rating."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sftkit.errors import StoreError
from sftkit.ratings import tables

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations


def register(connection: sa.Connection, answers: Generations) -> None:
    """Write what is new of them; StoreError where a prompt or a rated answer differs from what is stored."""
    models = [tables.storable(model) for model in answers.frame["model"]]
    rows = [_answer_row(row, model) for row, model in zip(answers.frame.to_dict("records"), models)]
    prompts = [
        {**row, "prompt": tables.stored_json(row["prompt"])} for row in answers.prompts.to_dict("records")
    ]
    _register_prompts(connection, prompts)
    _register_answers(connection, rows)


def frame(connection: sa.Connection) -> pd.DataFrame:
    """Every answer with its prompt, in the columns of Generations, in the order of registration."""
    import pandas as pd

    a, p = tables.answers.c, tables.prompts.c
    columns = [p.prompt_id, p.prompt, p.task, p.reference, a.model, a.response, a.finish_reason, a.tokens]
    columns += [a.seconds, a.sampling, a.fingerprint]
    query = sa.select(*columns).join_from(tables.answers, tables.prompts, a.prompt_id == p.prompt_id)
    rows = connection.execute(query.order_by(a.id)).all()
    values = list(zip(*rows)) if rows else [()] * len(columns)
    return pd.DataFrame({c.name: pd.Series(list(v), dtype=object) for c, v in zip(columns, values)})


def _answer_row(row: dict[str, Any], model: str) -> dict[str, Any]:
    names = [c.name for c in tables.answers.columns if c.name != "id"]
    kept = {
        name: None if row[name] is None or row[name] != row[name] else row[name]
        for name in names
        if name != "tokens"
    }
    kept["tokens"] = int(row["tokens"]) if isinstance(row["tokens"], (int, float)) else None
    kept["response"], kept["model"] = tables.storable(row["response"]), model
    return kept


def _register_prompts(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    table = tables.prompts
    known = {
        row.prompt_id: row.prompt for row in connection.execute(sa.select(table.c.prompt_id, table.c.prompt))
    }
    if clash := [r["prompt_id"] for r in rows if known.get(r["prompt_id"], r["prompt"]) != r["prompt"]]:
        raise StoreError(
            f"The store holds other prompts under {_some(clash)}. Give these prompts ids of their own."
        )
    if new := [row for row in rows if row["prompt_id"] not in known]:
        connection.execute(table.insert(), new)


def _register_answers(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    table, rated = tables.answers, tables.ratings
    known = {(r.prompt_id, r.model): r.response for r in connection.execute(sa.select(table))}
    changed = [r for r in rows if known.get((r["prompt_id"], r["model"]), r["response"]) != r["response"]]
    if changed:
        names = sa.select(rated.c.prompt_id, rated.c.model_a, rated.c.model_b)
        seen = {(r[0], model) for r in connection.execute(names) for model in r[1:]}
        if clash := [row for row in changed if (row["prompt_id"], row["model"]) in seen]:
            raise StoreError(
                f"{len(clash)} answers of {_some({r['model'] for r in clash})} differ from those that were rated. "
                "Give the new model another name, or use a new store."
            )
    for row in changed:
        same = (table.c.prompt_id == row["prompt_id"]) & (table.c.model == row["model"])
        connection.execute(table.update().where(same).values(**row))
    if new := [row for row in rows if (row["prompt_id"], row["model"]) not in known]:
        connection.execute(table.insert(), new)


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(map(repr, listed[:3])) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
