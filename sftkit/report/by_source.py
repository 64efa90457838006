"""Tables of one voice at a time: all humans together, each judge, each human where there is only one.

What mixes raters (strength of several models, every pair, other ways to rank, length control) is told for each of these
by itself, in a column `rater`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from sftkit.errors import ReportError
from sftkit.report.estimates import against
from sftkit.report.length import ALPACA_PRIOR, of_oriented
from sftkit.report.scores import HUMANS, of_rater, raters
from sftkit.report.strength import bradley_terry, pair_matrix, rankings

LENGTH = ["rater", "model", "baseline", "prior", "win_rate", "low", "high", "n", "unscored", "note"]
FEW_MODELS = 10  # up to which a judge's length control is also told with AlpacaEval's prior


def voices(votes: pd.DataFrame) -> list[str]:
    """Whose votes are told by themselves."""
    names = raters(votes)
    if HUMANS in names:
        return [HUMANS, *(name for name in names if not name.startswith("human:"))]
    return names


def _each(votes: pd.DataFrame, table: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    parts = [table(of_rater(votes, name)).assign(rater=name) for name in voices(votes)]
    whole = pd.concat(parts, ignore_index=True) if parts else table(votes).assign(rater=None)
    return whole[["rater", *(column for column in whole.columns if column != "rater")]]


def strengths(votes: pd.DataFrame) -> pd.DataFrame:
    """`strength.bradley_terry` of each voice, with a column rater."""
    return _each(votes, bradley_terry)


def pairs(votes: pd.DataFrame) -> pd.DataFrame:
    """`strength.pair_matrix` of each voice, with a column rater."""
    return _each(votes, pair_matrix)


def ranked(votes: pd.DataFrame) -> pd.DataFrame:
    """`strength.rankings` of each voice, with a column rater."""
    return _each(votes, rankings)


def length_controlled(votes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """`length.length_controlled_win_rate` of each voice and model: columns rater, model, baseline, prior, win_rate, low,
    high, n, unscored, note. A refusal is a row without figures and with the reason. prior: "none", and for judges of few
    models also "AlpacaEval" (ALPACA_PRIOR), which halves the error on GPT-4 as a judge of a single model."""
    rows = []
    for name in voices(votes):
        parts = list(against(of_rater(votes, name), baseline).groupby("model_a", sort=False))
        few = name.startswith("judge:") and len(parts) <= FEW_MODELS
        for model, mine in parts:
            for prior in (None, ALPACA_PRIOR) if few else (None,):
                rows.append(
                    [
                        name,
                        model,
                        baseline,
                        "AlpacaEval" if prior else "none",
                        *_controlled(mine, model, baseline, prior),
                    ]
                )
    return pd.DataFrame(rows, columns=LENGTH)


def _controlled(rows: pd.DataFrame, model: str, baseline: str, prior: Any) -> Iterator[Any]:
    try:
        found = of_oriented(rows, model, baseline, prior=prior)
    except ReportError as error:
        return iter([float("nan")] * 3 + [0, 0, str(error)])
    return iter([found.value, found.low, found.high, found.n, found.unscored, found.note])
