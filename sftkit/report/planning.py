"""How many prompts and votes it takes, before any money is spent; and how small a difference what one has can show.

plan(5)                                  # a win rate 5 points from 50 %, at 80 % power
plan(5, ties=0.3, votes_per_prompt=3, correlation=0.7)
detectable(prompts=500)                  # points
pilot(votes, "tuned", "base")            # ties, alikeness and correlation, from votes there are
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from sftkit.errors import ConfigError, Fault
from sftkit.report.agreement import matches
from sftkit.report.estimates import LEVEL, oriented

POWER = 0.8
TIES, ALIKE = 0.2, 0.5  # where nothing is known: share of ties; correlation of two votes on one prompt


@dataclass(frozen=True)
class Plan:
    """What shows a win rate `points` from 50 %. prompts: with votes_per_prompt human votes each, no judge; votes: of
    humans, in all. judged, calibrated: prompts for the judge, and how many of these need a human vote, where the judge
    is calibrated by humans; None without a judge. sd: of one prompt's mean outcome. str() says it in words."""

    points: float
    power: float
    prompts: int
    votes_per_prompt: int
    votes: int
    judged: int | None
    calibrated: int | None
    sd: float

    def __str__(self) -> str:
        each = (
            f" with {self.votes_per_prompt} votes each ({self.votes} votes)"
            if self.votes_per_prompt > 1
            else ""
        )
        said = (
            f"To show a win rate of {50 + self.points:g} % against 50 % with a probability of {100 * self.power:.0f} %: "
            f"{self.prompts} prompts{each} by humans alone"
        )
        if self.judged is None:
            return said + "."
        return said + f"; or {self.judged} prompts by the judge and human votes on {self.calibrated} of them."


def plan(
    points: float,
    *,
    power: float = POWER,
    ties: float = TIES,
    votes_per_prompt: int = 1,
    alike: float = ALIKE,
    correlation: float | None = None,
    judged: int | None = None,
) -> Plan:
    """Prompts and votes for a difference of `points` (the win rate is 50 + points %, two-sided test at 5 %).

    n = (z(0.975) + z(power))^2 * sd^2 / d^2 (Cohen 1988; Miller 2024, "Adding Error Bars to Evals", section 5).
    sd^2 of a vote: p (1 - p) - ties / 4; of the mean of m votes on a prompt: sd^2 (1 + (m - 1) alike) / m, alike being
    the correlation of two votes on one prompt (Kish 1965). correlation: of judge and human outcomes, prompt by prompt;
    then the error of PPI++ is sd^2 ((1 - r^2) / n + r^2 / N) for n human-voted of N `judged` prompts; judged: four times
    the prompts that humans alone would need, unless given.
    ConfigError names every argument that cannot be.
    """
    _check(points, power, ties, votes_per_prompt, alike, correlation, judged)
    d = points / 100
    of_mean = _of_mean(_variance(0.5 + d, ties), votes_per_prompt, alike)
    wanted = (d / _z(power)) ** 2  # the squared error that shows d
    prompts = max(2, math.ceil(of_mean / wanted))
    found = Plan(
        points, power, prompts, votes_per_prompt, prompts * votes_per_prompt, None, None, math.sqrt(of_mean)
    )
    if correlation is None:
        return found
    everything = judged or 4 * prompts
    signal = correlation**2 * of_mean
    noise = of_mean - signal  # what the judge cannot tell of a prompt's human outcome
    room = wanted - signal / everything
    if room <= 0 or noise / room > everything:
        least = math.ceil(of_mean / wanted)
        raise ConfigError(
            [
                Fault(
                    "judged",
                    f"{everything} prompts are too few for {points:g} points.",
                    f"Judge {least} or more.",
                )
            ]
        )
    calibrated = min(max(2, math.ceil(noise / room)), everything)
    return Plan(points, power, prompts, votes_per_prompt, found.votes, everything, calibrated, found.sd)


def detectable(
    prompts: int,
    *,
    power: float = POWER,
    ties: float = TIES,
    votes_per_prompt: int = 1,
    alike: float = ALIKE,
    correlation: float | None = None,
    judged: int | None = None,
) -> float:
    """The smallest difference from 50 %, in points, that shows: the reverse of `plan`. prompts: with human votes; with a
    judge (correlation, judged) these are some of the judged prompts."""
    _check(5, power, ties, votes_per_prompt, alike, correlation, judged)
    if prompts < 2:
        raise ConfigError([Fault("prompts", f"{prompts!r} is not 2 or more.")])
    of_mean = _of_mean(0.25 - ties / 4, votes_per_prompt, alike)
    error = of_mean / prompts
    if correlation is not None:
        signal = correlation**2 * of_mean
        error = (of_mean - signal) / prompts + signal / max(judged or prompts, prompts)
    return min(100 * _z(power) * math.sqrt(error), 50.0)


def plan_table(points: tuple[float, ...] = (2, 3, 5, 7.5, 10, 15), **known: float) -> pd.DataFrame:
    """`plan` for several differences: columns points, prompts, votes, judged, calibrated. known: as of `plan`."""
    plans = [plan(p, **known) for p in points]
    table = pd.DataFrame([[p.points, p.prompts, p.votes, p.judged, p.calibrated] for p in plans])
    table = table.set_axis(["points", "prompts", "votes", "judged", "calibrated"], axis=1)
    return table.astype({"judged": "Int64", "calibrated": "Int64"})


def pilot(
    votes: pd.DataFrame, model: str, baseline: str, judge: str | None = None, humans: str = "human:*"
) -> dict:
    """What `plan` needs to know, from votes there are: {"ties", "alike", "correlation"}; what is not known is left out.

    alike: intraclass correlation of human votes on one prompt (one-way, Fleiss 1986), from prompts with two or more;
    correlation: of the judge's and the humans' mean outcome on the prompts of both, ten at least.
    """
    rows = oriented(votes, model, baseline)
    rows = rows[rows["outcome"].notna()]
    mine = rows[matches(rows["rater"].astype(str), humans)]
    known: dict[str, float] = {}
    if len(mine) >= 10:
        known["ties"] = float((mine["outcome"] == 0.5).mean())
    several = mine[mine.groupby("prompt_id")["outcome"].transform("size") > 1]
    if several["prompt_id"].nunique() >= 10:
        known["alike"] = _alike(several["outcome"].to_numpy(float), several["prompt_id"])
    if judge is not None:
        said = rows[matches(rows["rater"].astype(str), judge)].groupby("prompt_id")["outcome"].mean()
        both = pd.concat(
            [mine.groupby("prompt_id")["outcome"].mean(), said], axis=1, keys=["human", "judge"]
        ).dropna()
        if len(both) >= 10 and both["human"].std() > 0 and both["judge"].std() > 0:
            known["correlation"] = float(np.clip(both["human"].corr(both["judge"]), 0, 1))
    return known


def _alike(y: np.ndarray, prompts: pd.Series) -> float:
    """Intraclass correlation of votes on one prompt, within 0..1."""
    code, names = pd.factorize(prompts)
    size, g, n = np.bincount(code), len(names), len(y)
    mean = np.bincount(code, weights=y) / size
    within = ((y - mean[code]) ** 2).sum() / (n - g)
    between = (size * (mean - y.mean()) ** 2).sum() / (g - 1)
    typical = (n - (size**2).sum() / n) / (g - 1)
    total = between + (typical - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else ALIKE


def _of_mean(variance: float, votes: int, alike: float) -> float:
    """The variance of the mean of several votes on one prompt, from that of one."""
    return variance * (1 + (votes - 1) * alike) / votes


def _variance(p: float, ties: float) -> float:
    """Of one vote: wins p - ties / 2 and ties, worth 1 and 1/2."""
    return max(p * (1 - p) - ties / 4, 1e-4)


def _z(power: float) -> float:
    return float(ndtri((1 + LEVEL) / 2) + ndtri(power))


def _check(points, power, ties, votes_per_prompt, alike, correlation, judged) -> None:
    wrong = [
        ("points", 0 < points <= 50, f"{points!r} is not above 0 and at most 50."),
        ("power", 0.5 <= power < 1, f"{power!r} is not from 0.5 to below 1."),
        ("ties", 0 <= ties < 1, f"{ties!r} is not from 0 to below 1."),
        ("votes_per_prompt", votes_per_prompt >= 1, f"{votes_per_prompt!r} is not 1 or more."),
        ("alike", 0 <= alike <= 1, f"{alike!r} is not from 0 to 1."),
        ("correlation", correlation is None or 0 <= correlation <= 1, f"{correlation!r} is not from 0 to 1."),
        ("judged", judged is None or judged >= 2, f"{judged!r} is not 2 or more."),
    ]
    if faults := [Fault(name, why) for name, fine, why in wrong if not fine]:
        raise ConfigError(faults)
