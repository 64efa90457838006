"""What judges said of one comparison, for a rater who has voted on it: verdict, scores with their quotes, request, reply.

Sides are the page's: "a" is the left answer. No model's name is in it, a judge's own apart.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from sftkit.generation.table import Generations
from sftkit.judging.asked import asked
from sftkit.ratings import RatingStore
from sftkit.ratings.votes import combine

_OTHER = {"a": "b", "b": "a"}
_VERDICTS = ("a", "b", "tie", "unscored")


def verdicts_on(store: RatingStore, prompt_id: str, left: str, right: str) -> pd.DataFrame:
    """The current verdicts of judges on these two answers; repeats and masked answers are not among them."""
    frame = store.frame(prompt_id=prompt_id)
    pair = [{a, b} == {left, right} for a, b in zip(frame["model_a"], frame["model_b"])]
    judges = [name.startswith("judge:") and not _aside(name) for name in frame["rater"]]
    kept = frame["current"] & frame["verdict"].isin(_VERDICTS)
    return frame[kept & pd.Series(pair, index=frame.index, dtype=bool) & pd.Series(judges, index=frame.index, dtype=bool)]  # fmt: skip


def _aside(rater: str) -> bool:
    """Another question than the pair itself: "…+masked" and "…#2" are other readings of it."""
    tail = rater.rpartition("/")[2]
    return "+" in tail or "#" in tail or "@" in tail


def shown(rows: pd.DataFrame, left: str, answers: Generations, store: RatingStore) -> list[dict[str, Any]]:
    """One entry a judge, for the page. rows: what `verdicts_on` gave; answers: those two, of that prompt."""
    votes = combine(rows, [left]).set_index("rater")
    found = []
    for rater, mine in rows.groupby("rater", sort=False):
        outcome, flip = votes.loc[rater, ["outcome", "flip"]]
        orders = [_order(row, left, answers, store) for row in mine.itertuples()]
        found.append(
            {"rater": rater, "sides": ["a", "b"], "verdict": _verdict(outcome, flip), "orders": orders}
        )
    return found


def _verdict(outcome: float, flip: Any) -> str:
    if outcome != outcome:
        return "unscored"
    if flip is not pd.NA and flip:
        return "inconsistent"
    return {1.0: "a", 0.0: "b"}.get(outcome, "tie")


def _order(row: Any, left: str, answers: Generations, store: RatingStore) -> dict[str, Any]:
    """One call: what was said when one of the answers stood first."""
    turn = (lambda side: side) if row.model_a == left else (lambda side: _OTHER.get(side, side))
    kept = row.evidence if isinstance(row.evidence, dict) else {}
    quotes = kept.get("quotes") or {}
    labels = (kept.get("shape") or {}).get("labels") or {}
    return {
        "first": turn(row.shown_first) if row.shown_first in _OTHER else None,
        "verdict": turn(row.verdict),
        "reason": row.reason or "",
        "scores": {name: _cells(score, quotes.get(name) or {}, turn) for name, score in row.scores.items()},
        "why": {turn(side): str(kept[side]) for side in "ab" if isinstance(kept.get(side), str)},
        "flags": {turn(side): [str(flag.get("text", "")) for flag in kept["flags"][side]] for side in kept.get("flags") or {}},
        "labels": {str(name): turn(side) for name, side in labels.items()} if len(labels) > 1 else {},
        "reasoning": str(kept.get("reasoning") or ""),
        "request": asked(row, answers, store),
        "reply": _pretty(row.raw_reply),
        "facts": _facts(row, kept),
    }  # fmt: skip


def _cells(score: Any, quotes: dict[str, Any], turn: Any) -> dict[str, Any]:
    if not isinstance(score, dict):
        return {}
    return {
        turn(side): {"score": value, "quote": str(quotes.get(side) or "")} for side, value in score.items()
    }


def _facts(row: Any, kept: dict[str, Any]) -> dict[str, Any]:
    counts = {n: None if pd.isna(v := getattr(row, n)) else int(v) for n in ("tokens_in", "tokens_out")}
    price = None if pd.isna(row.price) else round(float(row.price), 6)
    served = kept.get("served_by")
    return {**counts, "price": price, "served_by": served if isinstance(served, str) else None}


def _pretty(reply: str | None) -> str | None:
    """JSON over several lines; anything else as it came."""
    try:
        return json.dumps(json.loads(reply), ensure_ascii=False, indent=1) if reply else reply
    except ValueError:
        return reply
