"""What a rater said in the grid, as the store keeps it and as the page shows it.

The page speaks of places ("a" is the leftmost answer, see widgets/src/protocol.ts), the store of models. A pair is one
Rating; a ranking of more is one Rating for each two of its models, written together, with the whole ranking in their
evidence: {"ranking": {"models": [left to right], "ranks": [1 is best; equal is a tie; None not placed yet]}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pandas as pd

from sftkit.ratings import Rating
from sftkit.ratings.blind import RULE, Comparison

LETTERS = "abcdef"  # the places, left to right
PAIR = ("a", "tie", "b", "both_bad")  # verdicts on a pair that are votes
STATES = {"a": "a", "b": "b", "tie": "t", "both_bad": "n", "skipped": "s"}
NOTHING: dict[str, Any] = {
    "verdict": None, "ranking": {}, "scores": {}, "note": "", "tags": [], "flag": False, "reason": None,
}  # fmt: skip

Opinion = dict[
    str, Any
]  # with the fields of NOTHING: scores {dimension: {place: 1..5}}, ranking {place: 1..k}
_OTHER = {"a": "b", "b": "a"}


@dataclass(frozen=True)
class Said:
    """The newest opinion on one comparison. shown: the models left to right when it was given; id, key: in the store."""

    opinion: Opinion
    shown: tuple[str, ...]
    id: int
    key: str | None
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def is_vote(self) -> bool:
        return is_vote(self.opinion, len(self.shown))


def is_vote(opinion: Opinion, answers: int) -> bool:
    """Whether it decides the comparison: a verdict on a pair, every place of a ranking."""
    if opinion["verdict"] == "skipped":
        return False
    return opinion["verdict"] in PAIR if answers == 2 else len(opinion["ranking"]) == answers


def is_empty(opinion: Opinion) -> bool:
    return not any(opinion[name] for name in NOTHING)


def state_of(said: Said | None) -> str:
    """One character, a State of protocol.ts."""
    if said is None or is_empty(said.opinion):
        return "."
    if verdict := said.opinion["verdict"]:
        return STATES[verdict]
    return "r" if said.is_vote else "o"


# to the store


def ratings_of(opinion: Opinion, comparison: Comparison, shown: Sequence[str], empty: str, **facts: Any) -> list[Rating]:  # fmt: skip
    """The rows that keep `opinion`: all of them are stored or none. facts: rater, key, seconds, evidence and so on.

    empty: the verdict that stands for no opinion at all. Of a comparison with a canary only the pairs with it are kept:
    the others are asked for elsewhere, with all of their answers.
    """
    key, evidence = facts.pop("key"), facts.pop("evidence")
    if len(shown) == 2:
        return [_rating(opinion, comparison.models, shown, _pair_verdict(opinion, empty), key=key, evidence=evidence, **facts)]  # fmt: skip
    ranks = [opinion["ranking"].get(place) for place in LETTERS[: len(shown)]]
    evidence = {**evidence, "ranking": {"models": list(shown), "ranks": ranks}}
    canary = comparison.models[-1] if comparison.check else None
    pairs = [pair for pair in combinations(comparison.models, 2) if canary is None or canary in pair]
    return [
        _rating(opinion, pair, shown, _ranked(opinion, pair, shown, empty), key=f"{key}:{n}", evidence=evidence, **facts)
        for n, pair in enumerate(pairs)
    ]  # fmt: skip


def _rating(opinion: Opinion, pair: Sequence[str], shown: Sequence[str], verdict: str, **facts: Any) -> Rating:  # fmt: skip
    """One row. `verdict` is in the places of a pair: "a" is whichever of the two stood further left."""
    first = min(pair, key=list(shown).index)
    places = {LETTERS[list(shown).index(model)]: side for side, model in zip("ab", pair)}
    scores = {
        name: {places[place]: score for place, score in given.items() if place in places}
        for name, given in opinion["scores"].items()
    }
    return Rating(
        model_a=pair[0],
        model_b=pair[1],
        verdict=verdict if first == pair[0] else _OTHER.get(verdict, verdict),
        scores={name: given for name, given in scores.items() if given},
        note=opinion["note"],
        tags=opinion["tags"],
        flag=opinion["flag"],
        reason=opinion["reason"] or "",
        shown_first="a" if first == pair[0] else "b",
        **facts,
    )


def _pair_verdict(opinion: Opinion, empty: str) -> str:
    return empty if is_empty(opinion) else opinion["verdict"] or "open"


def _ranked(opinion: Opinion, pair: Sequence[str], shown: Sequence[str], empty: str) -> str:
    """The verdict on two of the ranked, "a" for the one further left."""
    if is_empty(opinion) or opinion["verdict"] == "skipped":
        return _pair_verdict(opinion, empty)
    if not is_vote(opinion, len(shown)):
        return "open"
    left, right = (opinion["ranking"][LETTERS[n]] for n in sorted(list(shown).index(model) for model in pair))
    return "a" if left < right else "b" if right < left else "tie"


# and back


def read(frame: pd.DataFrame, comparisons: Sequence[Comparison]) -> dict[int, Said]:
    """What one rater said, by row of `comparisons`. frame: his rows of the store, oldest first."""
    said = {row: one for row, one, _ in opinions(frame[frame["current"]], comparisons)}
    return {row: one for row, one in said.items() if not is_empty(one.opinion)}


def opinions(
    frame: pd.DataFrame, comparisons: Sequence[Comparison]
) -> Iterator[tuple[int, Said, pd.Timestamp]]:
    """Each opinion of one rater as it was stored, oldest first, an empty one where all was taken back: (row of
    `comparisons`, opinion, when)."""
    rows = {_name(c.prompt_id, c.models, c.repeat): n for n, c in enumerate(comparisons)}
    found: dict[tuple[int, Any], list[dict[str, Any]]] = {}
    for rating in frame.to_dict("records"):
        ranking = (rating["evidence"] or {}).get("ranking")
        repeat = bool((rating["evidence"] or {}).get("repeat"))
        names = [(rating["model_a"], rating["model_b"])] + ([tuple(ranking["models"])] if ranking else [])
        for models in names:
            row = rows.get(_name(rating["prompt_id"], models, repeat))
            if row is not None:
                ranked = len(comparisons[row].models) > 2  # stored as several rows, under one key
                found.setdefault((row, _batch(rating["key"]) if ranked else rating["id"]), []).append(rating)
    for (row, _), ratings in found.items():
        yield row, _said(ratings, len(comparisons[row].models)), ratings[-1]["created"]


def _name(prompt_id: str, models: Iterable[str], repeat: bool) -> tuple[str, frozenset[str], bool]:
    return prompt_id, frozenset(models), repeat


def _said(ratings: list[dict[str, Any]], answers: int) -> Said:
    newest = ratings[-1]
    key = newest["key"]
    if answers == 2:
        first = newest["shown_first"] if newest["shown_first"] in _OTHER else "a"
        shown = (newest[f"model_{first}"], newest[f"model_{_OTHER[first]}"])
        batch, ranking = [newest], {}
    else:
        key = _batch(key)
        kept = newest["evidence"]["ranking"]
        shown = tuple(kept["models"])
        batch = [rating for rating in ratings if _batch(rating["key"]) == key]
        ranking = {LETTERS[n]: rank for n, rank in enumerate(kept["ranks"]) if rank is not None}
    verdict = _shown_verdict(newest, shown) if answers == 2 or newest["verdict"] == "skipped" else None
    opinion = {
        "verdict": verdict, "ranking": ranking, "scores": _scores(batch, shown), "note": newest["note"],
        "tags": list(newest["tags"] or []), "flag": bool(newest["flag"]), "reason": newest["reason"] or None,
    }  # fmt: skip
    return Said(opinion, shown, newest["id"], key, newest["evidence"] or {})


def _batch(key: str | None) -> str | None:
    """The key under which the page sent what was stored as several rows."""
    return key.rpartition(":")[0] if key else key


def _shown_verdict(rating: dict[str, Any], shown: Sequence[str]) -> str | None:
    verdict = rating["verdict"]
    if verdict not in STATES:
        return None
    return verdict if rating["model_a"] == shown[0] else _OTHER.get(verdict, verdict)


def _scores(batch: Iterable[dict[str, Any]], shown: Sequence[str]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for name, model, score in _each_score(batch):
        if model in shown:
            scores.setdefault(name, {})[LETTERS[list(shown).index(model)]] = score
    return scores


def _each_score(batch: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, float]]:
    for rating in batch:
        for name, score in rating["scores"].items():
            if isinstance(score, dict):
                yield from ((name, rating[f"model_{side}"], value) for side, value in score.items())


def evidence_of(comparison: Comparison, seed: int, **more: bool | str) -> dict[str, Any]:
    """Under which rule and circumstances an opinion was given; of `more`, what is so."""
    more |= {"repeat": comparison.repeat, "check": comparison.check}
    return {"sides": RULE, "seed": seed, **{name: so for name, so in more.items() if so}}
