"""The judge's bias card: every leaning with its size, and what the ranking would be without it.

bias_card(votes, ratings, answers)        # ratings: RatingStore.frame(), canaries included
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from sftkit.ratings.rating import ASIDE, CANARY, EXAM
from sftkit.ratings.votes import combine, of_models
from sftkit.report.estimates import Estimate, by_name, estimate_mean
from sftkit.report.leanings import TERMS, leaning, verdict_rows
from sftkit.report.strength import strengths

BIASES = (*TERMS, "family", "flips", "unscored", "flagged", "canaries")
CARD = ["rater", "bias", "value", "low", "high", "n", "effect", "effect_low", "effect_high"]
CARD += ["moves", "ranking", "without", "swaps", "note"]
FAMILIES = {
    "gpt": r"gpt|chatgpt|openai|o[134](?=$|[-_ ])|davinci",
    "claude": r"claude|anthropic",
    "gemini": r"gemini|gemma|palm|bard",
    "llama": r"llama|vicuna|alpaca",
    "mistral": r"mistral|mixtral|ministral|codestral",
    "qwen": r"qwen|qwq|tongyi",
    "deepseek": r"deepseek",
    "grok": r"grok",
    "command": r"command|cohere|aya",
    "phi": r"phi",
    "glm": r"(?:chat)?glm",
}


def family_of(name: str) -> str | None:
    """The family a model's name speaks of ("judge:gpt-4.1/pairwise-v1" is "gpt"), None if none is known."""
    plain = name.removeprefix("judge:").casefold()
    return next((f for f, p in FAMILIES.items() if re.search(rf"(?:^|[^a-z])(?:{p})", plain)), None)


def bias_card(
    votes: pd.DataFrame, ratings: pd.DataFrame, answers: pd.DataFrame | None = None
) -> pd.DataFrame:
    """How each rater leans, and what would be without it: one row a rater and bias.

    Columns rater, bias (BIASES); value, low, high, n; effect, effect_low, effect_high (points of win rate that an answer
    gains by it); moves (the most that any model's win rate would change without it, in points), ranking and without
    (lists of models, best first, now and without the bias), swaps (pairs of models in another order), note.

    votes: prompt_id, model_a, model_b, rater, outcome (1, 0.5, 0 or missing). ratings: RatingStore.frame(), canaries
    included; may be empty. answers: prompt_id, model, response, for length, lists and markdown.

    value: first: share of decided verdicts for the answer shown first; length, lists, markdown: the effect itself
    (one sd longer; has it while the other has not), by least squares of the outcome on all four within every pair of
    models, errors clustered by prompt; family: what the judge gives models of its own
    family more than humans do on the same comparisons, in points; flips, unscored, flagged, canaries: shares of the
    comparisons. Without: the effect subtracted from every verdict; flips and flagged verdicts left out; unscored ones
    given to the lower-ranked model, the worst that could be. Canaries are in no ranking.
    """
    rows = verdict_rows(votes, of_models(ratings) if len(ratings) else ratings, answers)
    told = by_name(votes)
    out = []
    who, whose = (frame["rater"].astype(str).to_numpy(object) for frame in (rows, told))
    for rater in sorted(map(str, votes["rater"].unique())):
        mine, own = rows[who == rater].reset_index(drop=True), told[whose == rater].reset_index(drop=True)
        card = _Card(rater, mine, own)
        card.leanings()
        card.family(told)
        card.flips()
        card.unscored()
        card.flagged()
        card.canaries(ratings)
        out += card.rows
    return pd.DataFrame(out, columns=CARD)


class _Card:
    """The rows of one rater. rows: verdicts in each order; votes: one a comparison."""

    def __init__(self, rater: str, rows: pd.DataFrame, votes: pd.DataFrame):
        self.rater, self.verdicts, self.votes, self.rows = rater, rows, votes, []
        self.names = sorted({*votes["model_a"], *votes["model_b"]}, key=str)
        self._place = {name: i for i, name in enumerate(self.names)}
        self.now = self._standing(votes, votes["outcome"].to_numpy(float))

    def _standing(self, frame: pd.DataFrame, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Strength and mean win rate of every model."""
        a, b = (frame[side].map(self._place).to_numpy(int) for side in ("model_a", "model_b"))
        kept = ~np.isnan(outcome)
        a, b, y, k = a[kept], b[kept], np.clip(outcome[kept], 0, 1), len(self.names)
        n = np.bincount(np.r_[a, b], minlength=k)
        won = np.bincount(np.r_[a, b], weights=np.r_[outcome[kept], 1 - outcome[kept]], minlength=k)
        rate = np.where(n > 0, won / np.maximum(n, 1), np.nan)
        return (strengths(a, b, y, k) if len(y) else np.full(k, np.nan)), rate

    def _order(self, strength: np.ndarray) -> list[str]:
        return [self.names[i] for i in np.lexsort([range(len(strength)), -strength.round(9)])]

    def add(
        self,
        bias: str,
        value: Estimate,
        without: tuple[pd.DataFrame, np.ndarray] | None,
        effect: Estimate | None = None,
        note: str = "",
        start: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """One row; `without`: verdicts and their outcomes as they would be; start: the standing it is compared with."""
        told = [effect.value, effect.low, effect.high] if effect is not None else [np.nan] * 3
        moves, then, swaps = np.nan, None, pd.NA
        strength, rate = start or self.now
        if without is not None and not np.isnan(strength).any():
            changed, new = self._standing(*without)
            if not np.isnan(changed).any():
                gap = [np.sign((s[:, None] - s[None, :]).round(9)) for s in (strength, changed)]
                swaps = int((gap[0] * gap[1] < 0).sum() // 2)
                moves, then = float(np.nanmax(np.abs(new - rate), initial=0) * 100), self._order(changed)
        ranking = None if np.isnan(strength).any() else self._order(strength)
        figures = [value.value, value.low, value.high, value.n, *told, moves, ranking, then, swaps]
        why = [note, getattr(effect, "note", ""), value.note]
        self.rows.append([self.rater, bias, *figures, next(filter(None, why), "")])

    def leanings(self) -> None:
        rows = self.verdicts
        found = leaning(rows)
        outcome = rows["outcome"].to_numpy(float)
        start = self._standing(rows, outcome) if len(rows) else None
        for term in TERMS:
            effect = value = found.effect[term]
            if term == "first":
                decided = rows[(rows["outcome"] != 0.5) & rows["outcome"].notna() & rows["first"].notna()]
                chosen = (decided["outcome"] > 0.5) == (decided["first"] > 0)
                value = estimate_mean(chosen, decided["prompt_id"])
            known = not np.isnan(effect.value)
            self.add(term, value, (rows, outcome - found.lean[term]) if known else None, effect, start=start)

    def family(self, told: pd.DataFrame) -> None:
        """What the judge gives its own family more than humans do."""
        own = family_of(self.rater) if self.rater.startswith("judge:") else None
        kin = {name: float(own is not None and family_of(str(name)) == own) for name in self.names}
        tilt = (self.votes["model_a"].map(kin) - self.votes["model_b"].map(kin)).to_numpy(float)
        if own is None or not tilt.any():
            why = (
                f"no model of the family {own!r} against another" if own else "not a model of a known family"
            )
            return self.add("family", Estimate.unknown(why), None)
        keys = ["prompt_id", "model_a", "model_b"]
        humans = told[told["rater"].astype(str).str.startswith("human:")].groupby(keys)["outcome"].mean()
        said = humans.reindex(pd.MultiIndex.from_frame(self.votes[keys])).to_numpy(float)
        gap = (self.votes["outcome"].to_numpy(float) - said) * tilt
        known = ~np.isnan(gap) & (tilt != 0)
        if not known.any():
            return self.add("family", Estimate.unknown("no human vote on the same comparisons"), None)
        share = estimate_mean(gap[known], self.votes["prompt_id"][known], bounds=(-1, 1))
        value = Estimate(*(100 * f for f in (share.value, share.se, share.low, share.high)), share.n, 0, share.method, share.note)  # fmt: skip
        without = self.votes, self.votes["outcome"].to_numpy(float) - share.value * tilt
        self.add("family", value, without, value)

    def flips(self) -> None:
        votes = self.votes
        flip = votes["flip"] if "flip" in votes else pd.Series(pd.NA, votes.index)
        known = flip.notna()
        if not known.any():
            return self.add("flips", Estimate.unknown("no comparison was seen in both orders"), None)
        turned = known & flip.where(known, False).astype(bool)
        value = estimate_mean(turned[known], votes["prompt_id"][known])
        self.add("flips", value, (votes[~turned], votes["outcome"][~turned].to_numpy(float)))

    def unscored(self) -> None:
        votes, outcome = self.votes, self.votes["outcome"].to_numpy(float)
        missing = np.isnan(outcome)
        strength = dict(zip(self.names, self.now[0]))
        a, b = (votes[side].map(strength).to_numpy(float) for side in ("model_a", "model_b"))
        worst = np.where(missing, (a < b).astype(float), outcome)
        self.add("unscored", estimate_mean(missing, votes["prompt_id"]), (votes, worst))

    def flagged(self) -> None:
        rows = self.verdicts
        marked = rows["flagged"].to_numpy(bool)
        outcome = rows["outcome"].to_numpy(float)
        start = self._standing(rows, outcome) if len(rows) else None
        self.add(
            "flagged",
            estimate_mean(marked, rows["prompt_id"]),
            (rows[~marked], outcome[~marked]),
            start=start,
        )

    def canaries(self, ratings: pd.DataFrame) -> None:
        """How often an answer that must not win did."""
        found = canaries_of(ratings, self.rater)
        if not len(found):
            return self.add("canaries", Estimate.unknown("no canaries were judged"), None)
        scored = found[found["won"].notna()]
        value = estimate_mean(scored["won"] > 0.5, scored["prompt_id"], unscored=len(found) - len(scored))
        self.add("canaries", value, None, note=value.note or "canaries are in no ranking")


def canaries_of(ratings: pd.DataFrame, rater: str) -> pd.DataFrame:
    """prompt_id and won (1, 0.5, 0; NaN unscored) of every canary that the rater judged."""
    if not len(ratings):
        return pd.DataFrame(columns=["prompt_id", "won"])
    mine = ratings[ratings["current"].astype(bool) & (ratings["rater"].astype(str) == rater)]
    mine = mine[mine["model_b"].astype(str).str.startswith(CANARY)]
    mine = mine[~mine["model_a"].astype(str).str.startswith((ASIDE, EXAM))]
    whole = CANARY + "whole"
    votes = combine(
        mine, [*dict.fromkeys(m for m in mine["model_a"] if m == whole or not str(m).startswith(CANARY))]
    )
    return pd.DataFrame({"prompt_id": votes["prompt_id"], "won": 1 - votes["outcome"]})
