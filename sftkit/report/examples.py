"""The comparisons behind a figure: prompt, both answers, and who said what. Plain text; whoever shows it escapes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sftkit.generation.table import prompt_text
from sftkit.ratings.rating import CANARY
from sftkit.report import words
from sftkit.report.shown import Where
from sftkit.report.shown_models import dimension
from sftkit.report.tables import HUMANS
from sftkit.wording import say

LONGEST = 4000  # characters of a text
SAYINGS = 12  # raters named on one comparison


@dataclass(frozen=True)
class Saying:
    """What one rater said: verdict, scores, reason or note."""

    rater: str
    verdict: str
    scores: str
    note: str


@dataclass(frozen=True)
class Example:
    """One comparison. answers: (model, text) of both, text None where it is not known."""

    title: str
    prompt_id: str
    prompt: str
    task: str
    reference: str
    answers: list[tuple[str, str | None]]
    said: list[Saying]


def find(report: Any, where: Where, limit: int = 3) -> list[Example]:
    """At most `limit` comparisons behind a cell, of every result some; [] where there are none."""
    rows = _KINDS[where.kind](report, where)
    picked = _spread(rows, limit)
    return [
        _example(report, *row) for row in picked[["prompt_id", "model_a", "model_b"]].itertuples(index=False)
    ]


# Answers made to catch a rater are in no store: what stands in their place, by kind (after CANARY).
MADE = {
    "constant": say("(an answer made to catch a judge: the same text for every prompt, code and a forged end of the data, which answers nothing)"),
    "empty": say("(an answer made to catch a judge: nothing at all)"),
    "brackets": say("(an answer made to catch a judge: only the sign by which a judge names a winner)"),
    "copy": say("(an answer made to catch a judge: the other answer, letter for letter; only a tie is right)"),
    "padded": say("(an answer made to catch a judge: the other answer between phrases that say nothing)"),
    "cut": say("(an answer made to catch a judge: the first half of the other answer)"),
    "whole": say("(the reference in full; beside it stands its first half)"),
    "elsewhere": say("(an answer made to catch a careless rater: a whole answer, but to another prompt)"),
    "stub": say("(an answer made to catch a careless rater: the first few words of the other answer)"),
}  # fmt: skip


def absent(model: str) -> str:
    """What to say in the place of an answer that is not in the store."""
    if not str(model).startswith(CANARY):
        return say("(the answer is not in the store)")
    return MADE.get(str(model).removeprefix(CANARY), say("(an answer made to catch a judge)"))


def title_of(where: Where) -> str:
    """What the examples are of."""
    rater = words.describe(where.rater)
    if where.kind in ("flips", "unscored", "canaries"):
        return {"flips": say("Verdicts of {rater} that turned with the order", rater=rater), "unscored": say("Judgements of {rater} that failed", rater=rater), "canaries": say("Answers that must not win, before {rater}", rater=rater)}[where.kind]  # fmt: skip
    if where.kind == "apart":
        return say("Where {rater} and {other} disagree", rater=rater, other=words.describe(where.against))
    if where.kind == "scores":
        return say("{model}, {dimension}: lowest and highest scores of {rater}", model=where.model, dimension=dimension(where.dimension), rater=rater)  # fmt: skip
    pair = say("{model} against {baseline}", model=where.model, baseline=where.against) if where.against else where.model  # fmt: skip
    task = say(", task {task}", task=where.task) if where.task else ""
    return say("{pair}{task}, by {rater}", pair=pair or say("All models"), task=task, rater=rater)


def _spread(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The first of each result, then the second of each, until `limit`; a prompt once for each pair."""
    rows = rows.drop_duplicates(["prompt_id", "model_a", "model_b"])
    return rows.assign(turn=rows.groupby("result").cumcount()).sort_values(["turn", "result"], ascending=[True, False], kind="stable").head(limit)  # fmt: skip


def _of(frame: pd.DataFrame, rater: str) -> pd.Series:
    names = frame["rater"].astype(str)
    return names.str.startswith("human:") if rater == HUMANS else names == rater


def _votes(report: Any, where: Where) -> pd.DataFrame:
    votes = report.votes
    kept = _of(votes, where.rater) & votes["outcome"].notna()
    a, b = votes["model_a"], votes["model_b"]
    if where.model and where.against:
        kept &= ((a == where.model) & (b == where.against)) | ((b == where.model) & (a == where.against))
    elif where.model:
        kept &= (a == where.model) | (b == where.model)
    if where.task and "task" in votes:
        kept &= votes["task"] == where.task
    found = votes[kept]
    own = found["outcome"].where(found["model_a"] == where.model, 1 - found["outcome"])
    return found.assign(result=own)


def _scores(report: Any, where: Where) -> pd.DataFrame:
    rows = report.ratings
    rows = rows[_of(rows, where.rater) & rows["current"].astype(bool) & ((rows["model_a"] == where.model) | (rows["model_b"] == where.model))]  # fmt: skip
    sides = ["a" if a == where.model else "b" for a in rows["model_a"]]
    marks = [_mark(scores, where.dimension, side) for scores, side in zip(rows["scores"], sides)]
    found = rows.assign(mark=marks).dropna(subset=["mark"]).sort_values("mark", kind="stable")
    lowest, highest = found.head(2), found.tail(1)
    return pd.concat([lowest, highest]).assign(result=0)


def _mark(scores: Any, name: str, side: str) -> float | None:
    given = (scores or {}).get(name)
    return given.get(side) if isinstance(given, dict) else given


def _apart(report: Any, where: Where) -> pd.DataFrame:
    keys = ["prompt_id", "model_a", "model_b"]
    votes = report.votes[report.votes["outcome"].notna()]
    if where.model:  # of the calibration: model, judge in `against`
        votes = votes[(votes["model_a"] == where.model) | (votes["model_b"] == where.model)]
    x, y = votes[_of(votes, where.rater)], votes[_of(votes, where.against)]
    both = x.merge(y, on=keys, suffixes=("", "_y"))
    both = both[(both["rater"] != both["rater_y"]) & (both["outcome"] != both["outcome_y"])]
    return both.assign(result=(both["outcome"] - both["outcome_y"]).abs())


def _flips(report: Any, where: Where) -> pd.DataFrame:
    votes = report.votes
    turned = (
        votes["flip"].eq(True).fillna(False).astype(bool)
        if "flip" in votes
        else pd.Series(False, votes.index)
    )
    return votes[_of(votes, where.rater) & turned].assign(result=0)


def _unscored(report: Any, where: Where) -> pd.DataFrame:
    votes = report.votes
    return votes[_of(votes, where.rater) & votes["outcome"].isna()].assign(result=0)


def _canaries(report: Any, where: Where) -> pd.DataFrame:
    rows = report.frame
    sung = rows["model_b"].astype(str).str.startswith(CANARY)
    mine = rows[sung & (rows["rater"].astype(str) == where.rater) & rows["current"].astype(bool)]
    return mine[mine["verdict"].isin(["b", "tie"])].assign(result=mine["verdict"].eq("b").astype(int))


_KINDS: dict[str, Callable[[Any, Where], pd.DataFrame]] = {
    "votes": _votes, "scores": _scores, "apart": _apart, "flips": _flips, "unscored": _unscored, "canaries": _canaries,
}  # fmt: skip


def _example(report: Any, prompt_id: str, model_a: str, model_b: str) -> Example:
    known = [report.answer(prompt_id, model) for model in (model_a, model_b)]
    first = next((row for row in known if row is not None), None)
    return Example(
        title=say("{a} and {b}", a=model_a, b=model_b),
        prompt_id=str(prompt_id),
        prompt=_text(prompt_text(first.prompt)) if first is not None else "",
        task=_text(first.task) if first is not None else "",
        reference=_text(first.reference) if first is not None else "",
        answers=[(name, None if row is None else row.response[:LONGEST]) for name, row in zip((model_a, model_b), known)],
        said=_sayings(report, prompt_id, model_a, model_b),
    )  # fmt: skip


def _text(value: Any) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def _sayings(report: Any, prompt_id: str, model_a: str, model_b: str) -> list[Saying]:
    """Ratings where there are any, each order by itself; else the votes."""
    rows = report.ratings_of(prompt_id)
    names = {model_a, model_b}
    rows = [r for r in rows if {r.model_a, r.model_b} == names and r.current]
    if rows:
        return [_saying(r) for r in rows[:SAYINGS]]
    votes = report.votes_of(prompt_id)
    return [Saying(str(v.rater), _outcome(v), "", "") for v in votes if {v.model_a, v.model_b} == names][
        :SAYINGS
    ]


def _saying(r: Any) -> Saying:
    shown = {"a": r.model_a, "b": r.model_b}
    verdict = say("{model} is better", model=shown[r.verdict]) if r.verdict in shown else VERDICTS.get(r.verdict, r.verdict)  # fmt: skip
    if r.shown_first in shown:
        verdict = say("{verdict} ({model} shown first)", verdict=verdict, model=shown[r.shown_first])
    note = " · ".join(text for text in (getattr(r, "note", ""), getattr(r, "reason", "")) if isinstance(text, str) and text)  # fmt: skip
    return Saying(str(r.rater), verdict, _scores_told(r), note[:LONGEST])


VERDICTS = {
    "tie": say("tie"),
    "both_bad": say("both bad"),
    "unscored": say("unscored"),
    "skipped": say("skipped"),
    "open": say("no verdict yet"),
}


def _scores_told(r: Any) -> str:
    """dimension 4 : 2, in the order of the models."""
    told = []
    for name, given in (r.scores or {}).items():
        told.append(f"{dimension(name)} {given.get('a', '–')} : {given.get('b', '–')}" if isinstance(given, dict) else f"{dimension(name)} {given}")  # fmt: skip
    return ", ".join(told)


def _outcome(v: Any) -> str:
    if pd.isna(v.outcome):
        return VERDICTS["unscored"]
    if v.outcome == 0.5:
        return VERDICTS["tie"]
    return say("{model} is better", model=v.model_a if v.outcome > 0.5 else v.model_b)
