"""The report in parts, as a notebook shows it in tabs and a page one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sftkit.report import shown_models, shown_raters, shown_weights
from sftkit.report.shown import Section
from sftkit.wording import say

Make = Callable[[Any], Section]


def _scores(report: Any) -> list[Section]:
    made = [shown_models.mean_scores(report), shown_weights.weights(report)]
    return [*made, *([shown_models.by_dimension(report)] if len(report.by_dimension) else [])]


def _raters(report: Any) -> list[Section]:
    made = [shown_raters.agreement(report)]
    if len(report.score_agreement):
        made += [shown_raters.score_agreement(report), shown_raters.reliability(report)]
    return [*made, *([shown_raters.rater_cards(report)] if len(report.rater_cards) else [])]


def _judges(report: Any) -> list[Section]:
    return [
        shown_raters.bias_card(report),
        shown_raters.calibration(report),
        shown_raters.all_sources(report),
    ]


def _plan(report: Any) -> list[Section]:
    return [shown_weights.planning(report)]


# name: title, what makes its sections
PARTS: dict[str, tuple[str, Callable[[Any], list[Section]]]] = {
    "result": (say("Who won"), shown_models.result),
    "scores": (say("Scores and weights"), _scores),
    "raters": (say("Raters"), _raters),
    "judges": (say("Judges"), _judges),
    "plan": (say("Planning"), _plan),
}


def sections(report: Any, name: str) -> list[Section]:
    """The sections of a part."""
    return PARTS[name][1](report)
