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
    _register_prompts(connection, answers)
    _register_answers(connection, answers)


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


def _register_prompts(connection: sa.Connection, answers: Generations) -> None:
    table = tables.prompts
    text = sa.type_coerce(
        table.c.prompt, sa.Text
    )  # compared as it is stored: reading 10,000 of them as JSON takes longer
    known = dict(connection.execute(sa.select(table.c.prompt_id, text)).tuples().all())
    columns = _columns(answers, "prompt_id", "prompt", "task", "reference")
    mine: dict[str, dict[str, Any]] = {}
    for prompt_id, prompt, task, reference in zip(*columns):
        if prompt_id not in mine:
            mine[prompt_id] = {"prompt_id": prompt_id, "prompt": prompt, "task": task, "reference": reference}
    both = [(prompt_id, row["prompt"]) for prompt_id, row in mine.items() if prompt_id in known]
    if clash := [prompt_id for prompt_id, prompt in both if known[prompt_id] != tables.json_text(prompt)]:
        raise StoreError(
            f"The store holds other prompts under {_some(clash)}. Give these prompts ids of their own."
        )
    if new := [row for prompt_id, row in mine.items() if prompt_id not in known]:
        connection.execute(table.insert(), new)


def _register_answers(connection: sa.Connection, answers: Generations) -> None:
    table, rated = tables.answers, tables.ratings
    names = [
        (prompt_id, tables.storable(model))
        for prompt_id, model in zip(*_columns(answers, "prompt_id", "model"))
    ]
    texts = [tables.storable(text) for text in answers.frame["response"]]
    stored = sa.select(table.c.prompt_id, table.c.model, table.c.response)
    known = {(prompt_id, model): text for prompt_id, model, text in connection.execute(stored).tuples()}
    changed = [n for n, name in enumerate(names) if known.get(name, texts[n]) != texts[n]]
    if changed:
        pairs = sa.select(rated.c.prompt_id, rated.c.model_a, rated.c.model_b)
        seen = {(r[0], model) for r in connection.execute(pairs) for model in r[1:]}
        if clash := [names[n] for n in changed if names[n] in seen]:
            raise StoreError(
                f"{len(clash)} answers of {_some({model for _, model in clash})} differ from those that were rated. "
                "Give the new model another name, or use a new store."
            )
    for n, row in zip(changed, _answer_rows(answers, changed)):
        same = (table.c.prompt_id == names[n][0]) & (table.c.model == names[n][1])
        connection.execute(table.update().where(same).values(**row))
    if new := [n for n, name in enumerate(names) if name not in known]:
        connection.execute(table.insert(), _answer_rows(answers, new))


def _answer_rows(answers: Generations, wanted: list[int]) -> list[dict[str, Any]]:
    """These answers, by their number in the frame, as rows of the table."""
    names = [column.name for column in tables.answers.columns if column.name != "id"]
    frame = answers.frame if len(wanted) == len(answers.frame) else answers.frame.iloc[wanted]
    rows = [dict(zip(names, row)) for row in zip(*(frame[name].tolist() for name in names))]
    for row in rows:
        for name in ("finish_reason", "seconds", "fingerprint"):
            row[name] = None if row[name] != row[name] else row[name]  # NaN
        row["tokens"] = int(row["tokens"]) if isinstance(row["tokens"], (int, float)) else None
    return rows


def _columns(answers: Generations, *names: str) -> list[list[Any]]:
    return [answers.frame[name].tolist() for name in names]


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(map(repr, listed[:3])) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
