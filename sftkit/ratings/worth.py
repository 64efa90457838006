"""What a human vote on each comparison is worth, by what judges and humans have said so far.

Four tiers, the first that fits: a judge's verdict flips with the order; it is near even; it goes against the humans'; all
others, by how much a vote would narrow the ranking. GPT-4 on MT-Bench agrees with a human vote in 38 % of the flips, in
about half of its ties, in 73 % of the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sftkit.ratings.votes import combine, of_models

if TYPE_CHECKING:
    from sftkit.ratings.blind import Comparison

FLIP, EVEN, AGAINST, NARROW = range(4)
HALF = 0.5  # of the way from a sure verdict to an even one; of the way from a win to a loss
_SPREAD = 2.0  # prior standard deviation of a log-strength: e^2, 7 wins to 1, is common

Pair = tuple[str, str, str]  # prompt_id and two models, sorted by name


@dataclass
class _Said:
    """On one pair of answers; outcomes are those of the model first by name (1 wins, 0 loses)."""

    flip: bool = False
    judges: list[float] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)  # the judges' probability of winning, a tie being half
    humans: list[float] = field(default_factory=list)


def pair_of(prompt_id: str, one: str, two: str) -> Pair:
    return (prompt_id, one, two) if one < two else (prompt_id, two, one)


def pairs_of(row: Comparison) -> list[Pair]:
    """Every pair of models side by side in the comparison."""
    return [pair_of(row.prompt_id, one, two) for one, two in combinations(row.models, 2)]


def is_judge(rater: str) -> bool:
    """A judge on the pair itself: "…+masked", "…#2" and "…@…" are other readings of it."""
    return rater.startswith("judge:") and not any(sign in rater.rpartition("/")[2] for sign in "+#@")


def worth(rows: Sequence[Comparison], current: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The tier (0 to 3) of each comparison and its value within the tier (above 0, more is better).

    current: the current rows of `store.frame()`. Of more than two models side by side the pair that matters most counts,
    and for the ranking the sum over the pairs. value: 1 in FLIP; 1 - |2p - 1| in EVEN with p the judges' mean probability
    of winning (the verdict itself where none is stored); in AGAINST the distance of the mean outcomes; in NARROW `gains`.
    """
    said = _said(current)
    gain = gains({name for row in rows for name in row.models}, said)
    found = [_of_row(pairs_of(row), said, gain) for row in rows]
    return np.array([tier for tier, _ in found], dtype=int), np.array(
        [value for _, value in found], dtype=float
    )


def _of_row(
    pairs: list[Pair], said: dict[Pair, _Said], gain: dict[tuple[str, str], float]
) -> tuple[int, float]:
    known = [said[pair] for pair in pairs if pair in said]
    if any(one.flip for one in known):
        return FLIP, 1.0
    if (even := max((_evenness(one) for one in known), default=0.0)) >= HALF:
        return EVEN, even
    if (against := max((_distance(one) for one in known), default=0.0)) >= HALF:
        return AGAINST, against
    return NARROW, sum(gain[one, two] for _, one, two in pairs)


def _evenness(said: _Said) -> float:
    return 1 - abs(2 * _mean(said.chances) - 1) if said.chances else 0.0


def _distance(said: _Said) -> float:
    if not said.judges or not said.humans:
        return 0.0
    return abs(_mean(said.judges) - _mean(said.humans))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _said(current: pd.DataFrame) -> dict[Pair, _Said]:
    said: dict[Pair, _Said] = defaultdict(_Said)
    rows = of_models(current)
    chances = _chances(rows)
    votes = combine(rows, []).dropna(subset=["outcome"])
    names = ("prompt_id", "model_a", "model_b", "rater", "outcome", "flip")
    judges = set(filter(is_judge, votes["rater"].unique()))
    for prompt_id, one, two, rater, outcome, flip in zip(*(votes[name].tolist() for name in names)):
        pair = (prompt_id, one, two)  # `combine` sorts by name where no order of models is given
        if rater in judges:
            said[pair].flip |= flip is not pd.NA and bool(flip)
            said[pair].judges.append(outcome)
            said[pair].chances.append(_mean(chances.get((rater, *pair), [outcome])))
        elif not rater.startswith("judge:"):
            said[pair].humans.append(outcome)
    return said


def _chances(rows: pd.DataFrame) -> dict[tuple[str, ...], list[float]]:
    """(rater, *pair) -> the probability, in each order, that the model first by name wins; a tie counts half."""
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    columns = (rows[name].tolist() for name in ("rater", "prompt_id", "model_a", "model_b", "evidence"))
    judges = set(filter(is_judge, rows["rater"].unique()))
    for rater, prompt_id, a, b, evidence in zip(*columns):
        shares = evidence.get("probabilities") if isinstance(evidence, dict) else None
        if shares and rater in judges:
            chance = float(shares.get("a", 0)) + float(shares.get("tie", 0)) / 2
            found[rater, *pair_of(prompt_id, a, b)].append(chance if a < b else 1 - chance)
    return found


def gains(models: Iterable[str], said: dict[Pair, Any]) -> dict[tuple[str, str], float]:
    """By how much one more human vote on two models would reduce the summed variance of all models' log-strengths.

    Bradley and Terry's model (1952) with a normal prior of standard deviation 2 on each log-strength. A vote on i and j
    has Fisher information w = p(1 - p) along d = e_i - e_j, p being the probability that i wins. With the posterior
    covariance S (Laplace) one more vote takes w |S d|^2 / (1 + w d'S d) off its trace (Sherman and Morrison 1950):
    A-optimality of Bayesian design (Chaloner and Verdinelli, Statistical Science 10 (1995) 273). p comes from all votes,
    S from the humans' only, whose ranking it is.
    """
    names = sorted(set(models) | {name for _, one, two in said for name in (one, two)})
    place = {name: index for index, name in enumerate(names)}
    n = len(names)
    wins, humans = np.zeros((n, n)), np.zeros((n, n))
    for (_, one, two), pair in said.items():
        i, j = place[one], place[two]
        for outcome in (*pair.judges, *pair.humans):
            wins[i, j] += outcome
            wins[j, i] += 1 - outcome
        humans[i, j] += len(pair.humans)
        humans[j, i] += len(pair.humans)
    strength = _strengths(wins)
    p = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    information = p * (1 - p)
    spread = np.linalg.inv(_precision(humans * information))
    found = {}
    for i, j in combinations(range(n), 2):
        along = spread[:, i] - spread[:, j]  # S d
        w = information[i, j]
        found[names[i], names[j]] = float(w * (along @ along) / (1 + w * (along[i] - along[j])))
    return found


def _strengths(wins: np.ndarray) -> np.ndarray:
    """Log-strengths at the mode of the posterior, by Newton's method (the objective is strictly concave)."""
    strength = np.zeros(len(wins))
    games = wins + wins.T
    for _ in range(50):
        p = 1 / (1 + np.exp(np.clip(strength[None, :] - strength[:, None], -500, 500)))
        slope = wins.sum(1) - (games * p).sum(1) - strength / _SPREAD**2
        step = np.linalg.solve(_precision(games * p * (1 - p)), slope)
        strength = strength + np.clip(step, -2, 2)  # a full step from far off may overshoot
        if np.abs(step).max(initial=0.0) < 1e-8:
            break
    return strength


def _precision(weights: np.ndarray) -> np.ndarray:
    """The prior's precision plus the Laplacian of the information between each two models."""
    return np.eye(len(weights)) / _SPREAD**2 + np.diag(weights.sum(1)) - weights
