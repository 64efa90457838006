"""How far a person's ratings can be trusted, by his own: does he say the same when the answers come the other way round,
and does he see it when one was made worse on purpose?

consistency(store.frame())     # rater, repeats, agree, rate, low, high, checks, passed
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sftkit.ratings.rating import CANARY
from sftkit.ratings.votes import OUTCOMES
from sftkit.ratings.worth import pair_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["rater", "repeats", "agree", "rate", "low", "high", "checks", "passed"]
_Z = 1.959964  # of a 95 % interval
_SCORED = {verdict: outcome for verdict, outcome in OUTCOMES.items() if verdict != "unscored"}

Key = tuple[str, tuple[str, ...]]  # prompt_id and all models that stood side by side, sorted by name


def consistency(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a rater who has met a repeat or a check, in the order of their first rating.

    frame: `store.frame()`. repeats: comparisons with a vote at both showings. agree: those with the same verdict, of more
    than two answers the same verdict on every two of them. rate: agree / repeats, with Wilson's 95 % interval (Wilson,
    JASA 22 (1927) 209) from low to high; NaN without repeats. checks: comparisons with an answer made worse that have a
    vote. passed: those in which it lost to each answer beside it.
    """
    import pandas as pd

    votes = frame[frame["current"].astype(bool) & frame["verdict"].isin(list(_SCORED))]
    rows = []
    for rater, mine in votes.groupby("rater", sort=False):
        first, again, checks = _showings(mine)
        both = [key for key in again if key in first]
        agree = sum(first[key] == again[key] for key in both)
        if both or checks:
            passed = sum(max(outcomes) == 0 for outcomes in checks.values())
            rows.append([rater, len(both), agree, *_wilson(agree, len(both)), len(checks), passed])
    return pd.DataFrame(rows, columns=COLUMNS)


def _showings(mine: pd.DataFrame) -> tuple[dict[Key, dict], dict[Key, dict], dict[Key, list[float]]]:
    """First showings and repeats as {comparison: {two models: outcome}}; checks as {comparison: [of the worse answer]}."""
    first: dict[Key, dict] = {}
    again: dict[Key, dict] = {}
    checks: dict[Key, list[float]] = {}
    for prompt, a, b, outcome, evidence in _lines(mine):
        key = _key(prompt, a, b, evidence)
        if a.startswith(CANARY) or b.startswith(CANARY):
            checks.setdefault(key, []).append(outcome if a.startswith(CANARY) else 1 - outcome)
        else:
            pair = pair_of(prompt, a, b)
            showing = again if evidence.get("repeat") else first
            showing.setdefault(key, {})[pair] = outcome if pair[1] == a else 1 - outcome
    return first, again, checks


def _lines(mine: pd.DataFrame) -> Iterator[tuple[str, str, str, float, dict[str, Any]]]:
    columns = (mine[name].tolist() for name in ("prompt_id", "model_a", "model_b", "verdict", "evidence"))
    for prompt, a, b, verdict, evidence in zip(*columns):
        yield prompt, a, b, _SCORED[verdict], evidence if isinstance(evidence, dict) else {}


def _key(prompt: str, a: str, b: str, evidence: dict[str, Any]) -> Key:
    return prompt, tuple(sorted((evidence.get("ranking") or {}).get("models") or (a, b)))


def _wilson(hits: int, n: int) -> tuple[float, float, float]:
    """Share, low, high."""
    if not n:
        return math.nan, math.nan, math.nan
    p, z2 = hits / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return p, max(0.0, centre - half), min(1.0, centre + half)
