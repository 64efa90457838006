"""What a judge must reply: the JSON schema that is sent along, and the strict reading of the reply.

Nothing is guessed from free text. A reply that is not exactly what was asked for has no verdict (Unscorable).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from sftkit.judging.protocol import Protocol

ALONE = "a"  # the side of an answer that is scored alone
MOST_QUESTIONS = 3


class Unscorable(Exception):
    """This reply holds no verdict. `reason` is its kind (bad_json, schema, empty, …), the message says more."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: Any) -> Any:
    if type(value) is not int:  # true == 1 and 5.0 == 5 would pass for the literal
        raise ValueError("not a whole number")
    return value


Mark = Annotated[Literal[1, 2, 3, 4, 5], BeforeValidator(_whole)]


class Score(_Strict):
    score: Mark


class QuotedScore(_Strict):
    """Evidence comes first, so that the score follows from it."""

    evidence: str
    score: Mark


class Questions(_Strict):
    questions: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=MOST_QUESTIONS)
    ]


@dataclass(frozen=True)
class Shape:
    """The form of one reply, kept with the rating so that it can be read again.

    labels: ((name in the request, "a" or "b"), …) in the order shown; one for an answer judged alone.
    """

    mode: str
    labels: tuple[tuple[str, str], ...]
    dimensions: tuple[str, ...]
    evidence: bool = True
    reasoning: bool = False

    @classmethod
    def of(
        cls, protocol: Protocol, labels: tuple[tuple[str, str], ...], dimensions: tuple[str, ...]
    ) -> Shape:
        return cls(protocol.mode, labels, dimensions, protocol.evidence, protocol.chain_of_thought)

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "labels": dict(self.labels),
            "dimensions": list(self.dimensions),
            "evidence": self.evidence,
            "reasoning": self.reasoning,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Shape:
        labels, dimensions = tuple(kept["labels"].items()), tuple(kept["dimensions"])
        return cls(kept["mode"], labels, dimensions, kept["evidence"], kept["reasoning"])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.labels)


@dataclass(frozen=True)
class Verdict:
    """A reply that was understood, in terms of a and b: verdict "a", "b", "tie", or "open" for an answer alone.

    scores and quotes: {dimension: {"a": …, "b": …}}.
    """

    verdict: str
    scores: dict[str, dict[str, int]] = field(default_factory=dict)
    quotes: dict[str, dict[str, str]] = field(default_factory=dict)
    reasoning: str = ""


@lru_cache(maxsize=256)
def _reply_model(shape: Shape) -> type[BaseModel]:
    """The fields in the order in which they are to be written: reasoning, scores, verdict."""
    cell = QuotedScore if shape.evidence else Score
    inner = cell
    if shape.mode == "pairwise":
        inner = create_model("Scores", __base__=_Strict, **dict.fromkeys(shape.names, (cell, ...)))
    parts: dict[str, Any] = {"reasoning": (str, ...)} if shape.reasoning else {}
    if shape.dimensions:
        every = create_model("Dimensions", __base__=_Strict, **dict.fromkeys(shape.dimensions, (inner, ...)))
        parts["scores"] = (every, ...)
    if shape.mode == "pairwise":
        parts["verdict"] = (Literal[(*shape.names, "tie")], ...)
    return create_model("Reply", __base__=_Strict, **parts)


@lru_cache(maxsize=256)
def schema_of(shape: Shape | None) -> dict[str, Any]:
    """The strict JSON schema of a reply, not to be changed; of the questions where no shape is given."""
    schema = (_reply_model(shape) if shape else Questions).model_json_schema()
    if shape is None:  # strict schemas know neither lengths nor item counts; read_questions checks both
        schema["properties"]["questions"] = {"type": "array", "items": {"type": "string"}}
    return schema


@lru_cache(maxsize=256)
def schema_tokens(shape: Shape | None) -> int:
    """About how many tokens the schema takes."""
    return len(json.dumps(schema_of(shape))) // 4


def read_verdict(reply: str | None, shape: Shape) -> Verdict:
    """The verdict in a judge's reply. Raises Unscorable."""
    parsed = _validated(reply, _reply_model(shape))
    sides = dict(shape.labels)
    scores: dict[str, dict[str, int]] = {}
    quotes: dict[str, dict[str, str]] = {}
    for name in shape.dimensions:
        cell = getattr(parsed.scores, name)
        pairwise = shape.mode == "pairwise"
        cells = {side: getattr(cell, label) for label, side in shape.labels} if pairwise else {ALONE: cell}
        scores[name] = {side: cells[side].score for side in sorted(cells)}
        if shape.evidence:
            quotes[name] = {side: cells[side].evidence for side in sorted(cells)}
    verdict = sides.get(parsed.verdict, "tie") if shape.mode == "pairwise" else "open"
    return Verdict(verdict, scores, quotes, getattr(parsed, "reasoning", ""))


def read_questions(reply: str | None) -> list[str]:
    """At most three questions. Raises Unscorable."""
    return _validated(reply, Questions).questions


def _validated(reply: str | None, model: type[BaseModel]) -> Any:
    if not reply or not reply.strip():
        raise Unscorable("empty", "the reply is empty")
    try:
        data = json.loads(reply, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise Unscorable("bad_json", f"the reply is not one JSON object: {error}") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise Unscorable("schema", f"the reply does not fit the schema: {place}: {first['msg']}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json.loads keeps the last of two equal keys in silence: a reply with two verdicts would have one."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)
