"""What makes a report red: votes that no person gave, and a judge whom an answer that must not win has beaten.

Canaries are answers without merit that are judged among the others in every run (an empty one, a constant string, a padded
copy …). A judge that lets one kind of them win in more than 5 % can be fooled, and its other verdicts mean little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftkit.ratings.rating import CANARY, SIMULATED
from sftkit.report.bias import canaries_of
from sftkit.wording import listed, say

if TYPE_CHECKING:
    import pandas as pd

RED = 0.05  # the share of a kind's comparisons that it may win


def alarms(ratings: pd.DataFrame) -> list[str]:
    """One sentence on simulated raters, one for each judge that a kind of canary beat in more than 5 %.

    ratings: RatingStore.frame(), whole."""
    found = [_no_people(made)] if (made := _simulated(ratings)) else []
    sung = ratings[ratings["model_b"].astype(str).str.startswith(CANARY)]
    for rater in sorted(map(str, sung["rater"].unique())):
        kinds = []
        for model in sorted(map(str, sung.loc[sung["rater"].astype(str) == rater, "model_b"].unique())):
            won = canaries_of(sung[sung["model_b"].astype(str) == model], rater)["won"].dropna()
            if len(won) and (rate := float((won > 0.5).mean())) > RED:
                kinds.append(say("{kind} in {share} % of {n}", kind=model.removeprefix(CANARY), share=f"{100 * rate:.0f}", n=len(won)))  # fmt: skip
        if kinds:
            found.append(say("{rater} can be fooled: answers that must not win did ({kinds}). Do not rely on its verdicts.", rater=rater, kinds=listed(kinds)))  # fmt: skip
    return found


def _simulated(ratings: pd.DataFrame) -> list[str]:
    names = sorted(map(str, ratings["rater"].unique()))
    return [name for name in names if name.startswith(SIMULATED)]


def _no_people(raters: list[str]) -> str:
    return say("Simulated: the votes of {raters} were made by a rule, no person gave them. What stands below of human raters is only practice in reading votes.", raters=listed(raters))  # fmt: skip
