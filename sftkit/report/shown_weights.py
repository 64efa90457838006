"""Sections on what the reader decides: weights of the dimensions with the ranking they give, and how much more to rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sftkit.errors import ConfigError, ReportError
from sftkit.report import words
from sftkit.report.notes import said
from sftkit.report.planning import pilot, plan, plan_table
from sftkit.report.shown import Cell, Section, Strip, Table, name_cell, note_cell, plain, told
from sftkit.report.shown_models import dimension, voices
from sftkit.report.weights import GATE, rank_probabilities, ranking, smallest_swap, weights_of
from sftkit.wording import say

RANKS = 8  # columns of probabilities at most
POINTS = (2.0, 3.0, 5.0, 10.0)


def scorers(report: Any) -> list[str]:
    """Voices that have scored, the best supported first."""
    return voices(report.mean_scores)


def weights(
    report: Any, voice: str = "", weights: Mapping[str, float] | None = None, gate: Mapping[str, float] | None = GATE
) -> Section:  # fmt: skip
    """The ranking under weights (equal ones unless given), the probability of each rank, and the smallest swap."""
    title = say("Ranking by weights")
    known = scorers(report)
    if not known:
        return Section(
            "weights", title, "", empty=say("No scores yet: weights need scores on the dimensions.")
        )
    voice = voice if voice in known else known[0]
    means, errors = _means(report, voice)
    table = ranking(means, weights, gate)
    chances = rank_probabilities(means, weights=weights, gate=gate, errors=errors)
    chances = chances.pivot(index="model", columns="rank", values="probability")
    ranks = list(chances.columns)[:RANKS]
    n = _scores_given(report, voice, weights_of(means, weights, gate), gate)
    rows = [
        _ranked(r, chances.loc[r.model], ranks, n.get(r.model, 0), words.says(voice))
        for r in table.itertuples()
    ]
    if not any(row[-1].text for row in rows):
        rows = [row[:-1] for row in rows]
    columns = [say("rank"), say("model"), say("weighted score, 1 to 5"), "", *(say("chance of rank {n}", n=n) for n in ranks), *[""] * (len(rows[0]) - 4 - len(ranks))]  # fmt: skip
    about = say("Weighted mean of the scores. {weights}. The chances: each rank's probability if the weights are not known (any are as likely, around these) and the scores are as uncertain as they are.", weights=_told(weights_of(means, weights, gate), gate, means))  # fmt: skip
    made = [Table(columns, rows, words.describe(voice), matrix=True)]
    return Section("weights", title, about, made, _notes(report, means, table, weights, gate))


def _means(report: Any, voice: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean scores and their standard errors, models x dimensions."""
    rows = report.mean_scores[report.mean_scores["rater"] == voice]
    rows = rows.assign(se=(rows["high"] - rows["low"]).fillna(0) / (2 * 1.96))
    means = report.score_table(voice)
    errors = rows.pivot(index="model", columns="dimension", values="se")
    return means, errors.reindex(index=means.index, columns=means.columns).fillna(0.0)


def _scores_given(
    report: Any, voice: str, weight: pd.Series, gate: Mapping[str, float] | None
) -> dict[str, int]:
    """How many scores each model's place rests on: of the dimensions that weigh, and of the gate's."""
    rows = report.mean_scores[report.mean_scores["rater"] == voice]
    used = {*weight.index[weight > 0], *(gate or {})}
    return rows[rows["dimension"].isin(used)].groupby("model")["n"].sum().to_dict()


def _told(weight: pd.Series, gate: Mapping[str, float] | None, means: pd.DataFrame) -> str:
    used = weight[weight > 0]
    gates = [(name, least) for name, least in (gate or {}).items() if name in means]
    held = say(", {name} a gate at {least}", name=dimension(gates[0][0]), least=f"{gates[0][1]:g}") if gates else ""  # fmt: skip
    if np.allclose(used, used.iloc[0]):
        return say("Equal weights on {n} dimensions{held}", n=len(used), held=held)
    return say("Weights as set{held}", held=held)


def _ranked(r: Any, chances: pd.Series, ranks: list[int], n: int, who: str) -> list[Cell]:
    """n: scores of the model; who: gave them."""
    rank = "–" if pd.isna(r.rank) else str(r.rank)
    known = not np.isnan(r.score)
    strip = (Strip(r.score, float("nan"), float("nan"), (1.0, 5.0), zero=None),) if known else ()
    score = f"{r.score:.2f}" if known else "–"
    text = told("weights", score, n, "", who) if known else said(r.note)
    cells = [plain(rank, text), name_cell(r.model), Cell(tip=text, strips=strip), plain(score, text)]
    cells += [_chance(float(chances[place]), n, who) for place in ranks]
    return [*cells, note_cell(r.note)]


def _chance(p: float, n: int, who: str) -> Cell:
    if np.isnan(p):
        return Cell("·", say("no scores"))
    return Cell(words.percent(p), told("rank_probabilities", words.percent(p), n, "", who), heat=p)


def _notes(report: Any, means: pd.DataFrame, table: pd.DataFrame, given: Any, gate: Any) -> list[str]:
    ranked = table.dropna(subset=["rank"])
    notes = []
    passing = ranked[ranked["passes"]]
    if len(passing) > 1:
        first, second = passing["model"].iloc[:2]
        notes.append(said(str(smallest_swap(means, first, second, given, gate))))
    return [*notes, said(str(report.learned_weights))]


# planning


def planning(report: Any, points: float | None = None, power: float = 0.8, per_prompt: int = 1) -> Section:
    """How many prompts and votes show a difference, from what the votes so far tell of ties and agreement."""
    known = _pilot(report)
    heads = [say("difference, points"), say("prompts"), say("human votes"), say("judged prompts"), say("with human votes on")]  # fmt: skip
    about = say("Prompts and votes that show a win rate so many points from 50 % with a probability of {power} %.", power=round(100 * power))  # fmt: skip
    lead = []
    try:
        if points is not None:
            asked = plan(points, power=power, votes_per_prompt=per_prompt, **known)
            lead = [said(str(asked))]
        n = _seen(report) if known else 0
        rows = [_planned(r, n) for r in plan_table(POINTS, power=power, votes_per_prompt=per_prompt, **known).itertuples()]  # fmt: skip
    except ConfigError as error:
        return Section("plan", say("How much to rate"), about, empty=said(str(error)))
    return Section("plan", say("How much to rate"), about, [Table(heads, rows)], [_basis(known)], lead=lead)


def _planned(r: Any, n: int) -> list[Cell]:
    """n: votes from which ties and agreement are known. The points asked for are no figure and have no tooltip."""
    figures = (r.prompts, r.votes, r.judged, r.calibrated)
    return [plain(f"{r.points:g}"), *(plain("–", say("no judge, or out of its reach")) if pd.isna(v) else plain(f"{v:,}", told("plan", f"{v:,}", n)) for v in figures)]  # fmt: skip


def _seen(report: Any) -> int:
    """Scored votes on the headline's two models."""
    pair, votes = {report.leader.model, report.leader.baseline}, report.votes
    return int((votes["model_a"].isin(pair) & votes["model_b"].isin(pair) & votes["outcome"].notna()).sum())


def _pilot(report: Any) -> dict[str, float]:
    """What the votes so far tell, of the best supported model and judge."""
    leader = report.leader
    if leader is None:
        return {}
    judges = report.win_rates[report.win_rates["rater"].str.startswith("judge:")].sort_values("n")
    judge = judges["rater"].iloc[-1] if len(judges) else None
    try:
        return pilot(report.votes, leader.model, leader.baseline, judge)
    except ReportError:
        return {}


def _basis(known: Mapping[str, float]) -> str:
    if not known:
        return say("Too few votes to learn from: 20 % ties and half-alike votes on a prompt are taken.")
    ties = words.percent(known["ties"]) if "ties" in known else "20 %"
    if "correlation" in known:
        return say("From the votes so far: {ties} ties, judge and humans correlate {correlation}.", ties=ties, correlation=f"{known['correlation']:.2f}")  # fmt: skip
    return say("From the votes so far: {ties} ties.", ties=ties)
