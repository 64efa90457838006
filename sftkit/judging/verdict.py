"""What a judge must reply: the JSON schema that is sent along, and the strict reading of the reply.

Nothing is guessed from free text. A reply that is not exactly what was asked for has no verdict (Unscorable).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, field_validator

from sftkit.ratings.dimensions import DIMENSIONS, Dimension


class Unscorable(Exception):
    """This reply holds no verdict; the message says why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Score(_Strict):
    """Evidence comes first, so that the score follows from it."""

    evidence: str
    score: Literal[1, 2, 3, 4, 5]

    @field_validator("score", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if type(value) is not int:  # true == 1 and 5.0 == 5 would pass for the literal
            raise ValueError("not a whole number")
        return value


class Scores(_Strict):
    answer_1: Score
    answer_2: Score


@dataclass(frozen=True)
class Verdict:
    """A reply that was understood, in terms of a and b: verdict "a", "b" or "tie"; scores and quotes by dimension."""

    verdict: str
    scores: dict[str, dict[str, int]]
    quotes: dict[str, dict[str, str]]


@lru_cache(maxsize=16)
def _reply_model(names: tuple[str, ...]) -> type[BaseModel]:
    scores = create_model("Dimensions", __base__=_Strict, **dict.fromkeys(names, (Scores, ...)))
    overall = Literal["answer_1", "answer_2", "tie"]
    return create_model("Reply", __base__=_Strict, scores=(scores, ...), verdict=(overall, ...))


def response_format(dimensions: Sequence[Dimension] = DIMENSIONS) -> dict[str, Any]:
    """The `response_format` of a chat completion: a strict JSON schema, every field required, none beside them."""
    schema = _reply_model(tuple(d.name for d in dimensions)).model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def read_verdict(
    reply: str | None, shown_first: str, dimensions: Sequence[Dimension] = DIMENSIONS
) -> Verdict:
    """The verdict in a judge's reply. `shown_first`: which of "a" and "b" stood as answer_1. Raises Unscorable."""
    if not reply or not reply.strip():
        raise Unscorable("the reply is empty")
    try:
        data = json.loads(reply, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise Unscorable(f"the reply is not one JSON object: {error}") from error
    try:
        parsed = _reply_model(tuple(d.name for d in dimensions)).model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise Unscorable(f"the reply does not fit the schema: {place}: {first['msg']}") from error
    second = "b" if shown_first == "a" else "a"
    names = {"answer_1": shown_first, "answer_2": second, "tie": "tie"}
    sides = {
        d.name: {shown_first: both.answer_1, second: both.answer_2}
        for d in dimensions
        for both in [getattr(parsed.scores, d.name)]
    }
    return Verdict(
        names[parsed.verdict],
        {name: {side: cell.score for side, cell in sorted(both.items())} for name, both in sides.items()},
        {name: {side: cell.evidence for side, cell in sorted(both.items())} for name, both in sides.items()},
    )


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json.loads keeps the last of two equal keys in silence: a reply with two verdicts would have one."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)
