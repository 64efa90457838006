"""What judges said of one comparison, for a rater who has voted on it: verdict, scores with their quotes, request, reply.

Sides are the page's: "a" is the leftmost answer. No model's name is in it, a judge's own apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa

from sftkit.generation.table import Generations
from sftkit.judging.asked import asked, calls_behind
from sftkit.ratings import RatingStore, tables
from sftkit.ratings.votes import combine
from sftkit.ratings.worth import is_judge
from sftkit.widgets.grid_votes import LETTERS

_VERDICTS = ("a", "b", "tie", "unscored")


def verdicts_on(store: RatingStore, prompt_id: str, models: Collection[str]) -> pd.DataFrame:
    """The current verdicts of judges on two of these answers; repeats and masked answers are not among them."""
    frame = store.frame(prompt_id=prompt_id)
    judges = frame["rater"].map(is_judge).astype(bool)
    here = frame["model_a"].isin(models) & frame["model_b"].isin(models)
    return frame[judges & here & frame["current"] & frame["verdict"].isin(_VERDICTS)]


def count(store: RatingStore, prompt_id: str, models: Collection[str]) -> int:
    """How many judges those are. Asked at every vote, so the store is asked first whether there is any judge at all."""
    column = tables.ratings.c
    any_judge = sa.select(column.id).where(
        column.prompt_id == tables.storable(prompt_id), column.rater.like("judge:%")
    )
    with store.reading() as connection:
        if connection.scalar(any_judge.limit(1)) is None:
            return 0
    return int(verdicts_on(store, prompt_id, models)["rater"].nunique())


def shown(
    rows: pd.DataFrame, models: Sequence[str], answers: Generations, store: RatingStore
) -> list[dict[str, Any]]:
    """One entry a judge and pair, for the page. rows: what `verdicts_on` gave; models: left to right; answers: theirs, to
    that prompt."""
    places = dict(zip(models, LETTERS))
    found = []
    pairs = rows.assign(
        pair=[tuple(sorted((a, b), key=models.index)) for a, b in zip(rows["model_a"], rows["model_b"])]
    )
    for (rater, pair), mine in pairs.groupby(["rater", "pair"], sort=False):
        [vote] = combine(mine, list(pair)).itertuples()
        orders = [_order(row, places, answers, store) for row in mine.itertuples()]
        sides = [places[model] for model in pair]
        found.append({"rater": rater, "sides": sides, "verdict": _verdict(vote, sides), "orders": orders})
    return found


def _verdict(vote: Any, sides: Sequence[str]) -> str:
    if vote.outcome != vote.outcome:
        return "unscored"
    if vote.flip is not pd.NA and vote.flip:
        return "inconsistent"
    return {1.0: sides[0], 0.0: sides[1]}.get(vote.outcome, "tie")


def _order(row: Any, places: dict[str, str], answers: Generations, store: RatingStore) -> dict[str, Any]:
    """One call: what was said when one of the answers stood first."""
    sides = {"a": places[row.model_a], "b": places[row.model_b]}

    def turn(side: str) -> str:
        return sides.get(side, side)

    kept = row.evidence if isinstance(row.evidence, dict) else {}
    quotes = kept.get("quotes") or {}
    labels = (kept.get("shape") or {}).get("labels") or {}
    calls = dict(sorted((turn(side), call) for side, call in calls_behind(row, store).items()))
    return {
        "first": turn(row.shown_first) if row.shown_first in sides else None,
        "verdict": turn(row.verdict),
        "reason": row.reason or "",
        "scores": {name: _cells(score, quotes.get(name) or {}, turn) for name, score in row.scores.items()},
        "why": {turn(side): str(kept[side]) for side in "ab" if isinstance(kept.get(side), str)},
        "flags": {turn(side): [str(flag.get("text", "")) for flag in kept["flags"][side]] for side in kept.get("flags") or {}},
        "labels": {str(name): turn(side) for name, side in labels.items()} if len(labels) > 1 else {},
        "reasoning": str(kept.get("reasoning") or ""),
        "request": _request(calls, answers, store),
        "reply": _replies(calls),
        "facts": _facts(calls),
    }  # fmt: skip


def _cells(score: Any, quotes: dict[str, Any], turn: Any) -> dict[str, Any]:
    if not isinstance(score, dict):
        return {}
    return {
        turn(side): {"score": value, "quote": str(quotes.get(side) or "")} for side, value in score.items()
    }


def _request(calls: dict[str, Any], answers: Generations, store: RatingStore) -> list[dict[str, str]] | None:
    """The messages of the call; of two calls, those of each answer under its letter."""
    found = []
    for side, call in calls.items():
        if (messages := asked(call, answers, store)) is None:
            return None
        of = f" ({side.upper()})" if side else ""
        found += [{**message, "role": message["role"] + of} for message in messages]
    return found or None


def _replies(calls: dict[str, Any]) -> str | None:
    texts = [(side.upper(), _pretty(call.raw_reply)) for side, call in calls.items()]
    return "\n\n".join(f"{side}: {text or '–'}" if side else text or "" for side, text in texts) or None


def _facts(calls: dict[str, Any]) -> dict[str, Any]:
    """Tokens and price of all calls together, and who answered."""
    rows = list(calls.values())
    sums = {
        name: sum(values) if (values := [v for row in rows if pd.notna(v := getattr(row, name))]) else None
        for name in ("tokens_in", "tokens_out", "price")
    }
    counts = {name: None if sums[name] is None else int(sums[name]) for name in ("tokens_in", "tokens_out")}
    price = None if sums["price"] is None else round(float(sums["price"]), 6)
    served = {by for row in rows if isinstance(by := (row.evidence or {}).get("served_by"), str)}
    return {**counts, "price": price, "served_by": ", ".join(sorted(served)) or None}


def _pretty(reply: str | None) -> str | None:
    """JSON over several lines; anything else as it came."""
    try:
        return json.dumps(json.loads(reply), ensure_ascii=False, indent=1) if reply else reply
    except ValueError:
        return reply
