"""Verdicts read again from the replies in the store, without a call; and what changed between two raters.

replay(store)                                    # do today's rules read every reply as they did then?
diff(store, "judge:m/pairwise-v2", "judge:m/pairwise-v2.3fa9c1")     # which verdicts a rule changed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.errors import JudgeError
from sftkit.judging.verdict import Shape, Unscorable, read_verdict

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.ratings.store import RatingStore

WORDS = {1.0: "a wins", 0.0: "b wins", 0.5: "tie"}


def replay(store: RatingStore, rater: str | None = None) -> pd.DataFrame:
    """Every stored verdict of a judge (of all, if none is named) read anew from its raw reply.

    Columns id, rater, prompt_id, model_a, model_b, shown_first, verdict (as stored), replayed, reason (why there is
    none), same (verdict and scores). A reply that the endpoint cut, refused or never sent stays unscored.
    """
    import pandas as pd

    frame = store.frame(rater)
    known = frame[[isinstance(kept, dict) and "shape" in kept for kept in frame["evidence"]]]
    rows = []
    for row in known.itertuples():
        verdict, scores, reason = _read(row)
        same = verdict == row.verdict and (scores == row.scores or verdict == "unscored")
        who = (row.id, row.rater, row.prompt_id, row.model_a, row.model_b, row.shown_first)
        rows.append([*who, row.verdict, verdict, reason, same])
    names = [
        "id",
        "rater",
        "prompt_id",
        "model_a",
        "model_b",
        "shown_first",
        "verdict",
        "replayed",
        "reason",
        "same",
    ]
    return pd.DataFrame(rows, columns=names)


def _read(row: Any) -> tuple[str, dict[str, Any], str]:
    if row.verdict == "unscored" and not row.reason.startswith(("bad_json:", "schema:")):
        return "unscored", {}, row.reason  # the fault lay in the call, not in the words
    try:
        found = read_verdict(row.raw_reply, Shape.from_json(row.evidence["shape"]))
    except Unscorable as error:
        return "unscored", {}, f"{error.reason}: {error}"
    return found.verdict, found.scores, ""


def votes_by(
    store: RatingStore, *, safety_gate: bool | None = None, both_orders: bool = True, rater: str | None = None
) -> pd.DataFrame:
    """The store's votes as other rules of counting would make them, without a call.

    safety_gate: True or False whatever each rating says; None leaves it. both_orders False counts the first order
    alone of each comparison (the one stored first). Columns as RatingStore.votes().
    """
    from sftkit.ratings.votes import combine, describe, of_models

    frame = of_models(store.frame(rater))
    frame = frame[frame["current"]]
    if safety_gate is not None:
        gated = {"protocol": {"safety_gate": safety_gate}}
        frame = frame.assign(evidence=[gated] * len(frame))
    if not both_orders:
        frame = frame.drop_duplicates(["rater", "prompt_id", "model_a", "model_b"])
    answers = store.answers()
    return describe(combine(frame, answers.models), answers.frame)


def diff(store: RatingStore, rater_x: str, rater_y: str) -> pd.DataFrame:
    """The comparisons on which two raters (two judges, two protocols of one, judge and human) say different things.

    Columns prompt_id, task, model_a, model_b, verdict_x, verdict_y: "a wins", "b wins", "tie", "inconsistent" (the two
    orders disagree) or "unscored". Raises JudgeError for a rater without a vote.
    """
    votes = store.votes()
    sides = []
    for rater in (rater_x, rater_y):
        mine = votes[votes["rater"] == rater]
        if mine.empty:
            raise JudgeError(
                f"no votes of {rater!r} in the store; raters: {', '.join(sorted(set(votes['rater'])))}"
            )
        said = [_words(outcome, flip) for outcome, flip in zip(mine["outcome"], mine["flip"])]
        sides.append(mine.assign(verdict=said)[["prompt_id", "task", "model_a", "model_b", "verdict"]])
    both = sides[0].merge(
        sides[1].drop(columns="task"), on=["prompt_id", "model_a", "model_b"], suffixes=("_x", "_y")
    )
    return both[both["verdict_x"] != both["verdict_y"]].reset_index(drop=True)


def _words(outcome: float, flip: Any) -> str:
    if outcome != outcome:
        return "unscored"
    turned = isinstance(flip, (bool, np.bool_)) and bool(flip)  # missing where one order alone was seen
    return "inconsistent" if turned else WORDS[outcome]
