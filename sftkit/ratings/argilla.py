"""Ratings as records of Argilla 2 (`dataset.records.to_json`, `.from_json`, `.to_list`, `.to_dict`).

Written: one record a comparison and order, fields prompt, reference, response_a and response_b (which model is which
stands in the metadata), each rater's word as responses, judges' as suggestions of agents. Argilla knows users by UUID:
a rater's is uuid5 of its name, and the metadata says whose it is. The dataset needs the questions of `settings`.

Read: that, and datasets of others with two answers: a label, a ranking or the answer's name as the verdict, ratings of
1 to 5, texts as notes, lists as tags; nested, flattened, or by column. A question that is none of these is kept in
the rating's evidence.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sftkit.errors import Fault
from sftkit.ratings import foreign
from sftkit.ratings.foreign import Opinion, Shown

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations

_RATERS = uuid.UUID("6f1c1f0e-6f0f-5c8e-9d0c-2f6b7d1d5a10")  # the name space of raters' user ids
_STATUS = {"discarded": "skipped", "draft": "open"}
_PARTS = ("id", "fields", "metadata", "suggestions", "responses", "vectors", "_server_id", "status", "score")


def written(frame: pd.DataFrame, answers: Generations) -> list[dict[str, Any]]:
    """The list of records that Argilla's `dataset.records.from_json` reads."""
    return [_record(one) for one in foreign.shown(frame, answers)]


def read(data: Any) -> tuple[Iterator, Generations | None, list[Fault]]:
    """(rows for exchange, answers to register, faults) of what `to_json`, `to_list` or `to_dict` gave."""
    found = [
        (f"row {number}", *foreign.shaped(_understood, record, "Argilla"))
        for number, record in enumerate(_records(data), start=1)
    ]
    good = [one for _, one, faults in found if not faults]
    return foreign.rows(found), foreign.registered(good), []


def _record(one: Shown) -> dict[str, Any]:
    from sftkit.generation.table import prompt_text

    responses: dict[str, list[dict[str, Any]]] = {}
    suggestions: dict[str, dict[str, Any]] = {}
    raters = {}
    for opinion in one.opinions:
        said = dict(_said(opinion))
        if (
            opinion.rater.startswith("judge:") and not suggestions
        ):  # Argilla has room for one agent a question
            suggestions = {name: {"value": value, "score": None, "agent": opinion.rater} for name, value in said.items()}  # fmt: skip
            continue
        user = str(uuid.uuid5(_RATERS, opinion.rater))
        raters[user] = opinion.rater
        for name, value in said.items():
            responses.setdefault(name, []).append({"value": value, "user_id": user})
    about = foreign.about(one)
    about |= {"raters": json.dumps(raters, ensure_ascii=False)} if raters else {}
    fields = {"prompt": prompt_text(one.prompt) if one.prompt else "", "response_a": one.text_left or ""}
    fields |= {"response_b": one.text_right or ""} | ({"reference": one.reference} if one.reference else {})
    return {
        "id": foreign.content_key("sftkit", one.prompt_id, one.left, one.right, one.known),
        "fields": fields, "metadata": about, "suggestions": suggestions, "responses": responses, "vectors": {},
    }  # fmt: skip


def _said(opinion: Opinion) -> Iterator[tuple[str, Any]]:
    yield "verdict", opinion.verdict
    for name, side, value in foreign.sided(opinion.scores):
        yield f"{name}_{side}" if side else name, value
    for name in ("note", "reason", "tags"):
        if value := getattr(opinion, name):
            yield name, value


def _records(data: Any) -> list[Any]:
    """A list of records, whichever of Argilla's shapes it came in."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict) or not data:
        raise ValueError("it holds no records; give what dataset.records.to_json wrote")
    if all(isinstance(value, list) for value in data.values()):  # by column
        size = {len(value) for value in data.values()}
        if len(size) != 1:
            raise ValueError(f"its columns have different lengths: {sorted(size)}")
        return [dict(zip(data, values)) for values in zip(*data.values())]
    return list(data.values())  # by id


def _understood(record: Any) -> tuple[Shown | None, list[Fault]]:
    if not isinstance(record, dict):
        return None, [Fault("", f"is no record but {type(record).__name__}.")]
    fields, about = record.get("fields"), record.get("metadata") or {}
    if not isinstance(fields, dict):  # flattened: fields and metadata stand side by side
        fields = {name: value for name, value in record.items() if name not in _PARTS and "." not in name}
        about = {**fields, **(about if isinstance(about, dict) else {})}
    one, sides, faults = foreign.understood(fields, about)
    if one is None:
        return None, faults
    try:
        raters = json.loads(about.get("raters") or "{}")
    except ValueError:
        return None, [Fault("raters", "is no JSON.")]
    for user, answers in _answers(record).items():
        opinion = Opinion(user if user.startswith("judge:") else raters.get(user, f"human:{user}"))
        for question, value in answers.items():
            _take(opinion, question, value, sides)
        opinion.key = foreign.content_key("argilla", one.prompt_id, one.left, one.right, user, answers)
        one.opinions.append(opinion)
    return one, []


def _answers(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{user or judge: {question: value}}; the user's status as the question "status"."""
    found: dict[str, dict[str, Any]] = {}
    for name, given in (record.get("responses") or {}).items():
        for one in given or []:
            found.setdefault(str(one.get("user_id")), {})[name] = one.get("value")
            if one.get("status"):
                found[str(one.get("user_id"))]["status"] = one["status"]
    for name, one in (record.get("suggestions") or {}).items():
        found.setdefault(_judge(one.get("agent")), {})[name] = one.get("value")
    for column, values in record.items():  # flattened
        if column.endswith(".responses"):
            users = record.get(f"{column}.users") or []
            states = record.get(f"{column}.status") or [None] * len(users)
            for user, value, state in zip(users, values or [], states):
                found.setdefault(str(user), {})[column.removesuffix(".responses")] = value
                found[str(user)] |= {"status": state} if state else {}
        elif column.endswith(".suggestion") and values is not None:
            agent = record.get(f"{column}.agent")
            found.setdefault(_judge(agent), {})[column.removesuffix(".suggestion")] = values
    return found


def _judge(agent: str | None) -> str:
    return agent if agent and agent.startswith("judge:") else f"judge:{agent or 'argilla'}"


def _take(opinion: Opinion, question: str, value: Any, sides: tuple[str, str]) -> None:
    verdict = _ranked(value, sides) or foreign.verdict_of(value, sides)
    if question == "status":
        if value in _STATUS:
            opinion.verdict = _STATUS[value]
            opinion.reason = opinion.reason or ("discarded in Argilla" if value == "discarded" else "")
    elif question in ("note", "reason"):
        setattr(opinion, question, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    elif verdict is not None or question == "verdict":
        opinion.verdict = verdict or str(value)
    elif isinstance(value, (int, float)):
        foreign.take_score(opinion, question, value)
    elif isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        opinion.tags = [*opinion.tags, *value]
    elif isinstance(value, str):
        opinion.note = f"{opinion.note}\n{question}: {value}".strip()
    elif value is not None:
        opinion.evidence.setdefault("argilla", {})[question] = value


def _ranked(value: Any, sides: tuple[str, str]) -> str | None:
    """The verdict of a ranking question: a list of the answers' names, best first, or of {"value", "rank"}."""
    if not isinstance(value, list) or len(value) < 2:
        return None
    if all(isinstance(one, str) for one in value):
        value = [{"value": name, "rank": place} for place, name in enumerate(value)]
    if not all(isinstance(one, dict) for one in value):
        return None
    ranks = {one.get("value"): one.get("rank") for one in value}
    if not set(sides) <= set(ranks) or None in (ranks[sides[0]], ranks[sides[1]]):
        return None
    left, right = ranks[sides[0]], ranks[sides[1]]
    return "tie" if left == right else "a" if left < right else "b"
