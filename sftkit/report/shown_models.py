"""Sections on the models: win rates, strengths, pairs, tasks, lengths, and the scores by dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from sftkit.report import words
from sftkit.report.notes import said
from sftkit.report.shown import (
    SHOWN,
    Cell,
    Section,
    Strip,
    Table,
    Where,
    heat_cell,
    name_cell,
    note_cell,
    plain,
    share_cells,
    share_columns,
    tip,
    who_cell,
)
from sftkit.wording import say


def result(report: Any) -> list[Section]:
    """Who won: overall, on one scale, pair by pair, task by task, and at equal length."""
    several = report.strengths["model"].nunique() > 2
    return [
        win_rates(report),
        *([strengths(report), pairs(report)] if several else []),
        _slices(report, "by_task", "task", say("By task"), say("Share of votes won, task by task.")),
        _slices(report, "by_length", "length", say("By length"), say("Share of votes won where the answer is shorter than, similar to, or longer than the baseline's.")),
        length_controlled(report),
    ]  # fmt: skip


def win_rates(report: Any) -> Section:
    """Every rater's win rate of every model against the baseline, the best supported rater first."""
    table = words.by_support(report.win_rates, report.beaten)
    about = say("Share of votes won against {baseline}. A tie is half a win.", baseline=report.baseline)
    columns = [say("rater"), say("model"), *share_columns(say("win rate")), say("won, tied, lost"), say("unscored")]  # fmt: skip
    alone = ~table["rater"].isin(_heard(report))  # one human of several: one click away
    made = folded(columns, [_win_rate(r) for r in table[~alone].itertuples()])
    own = [_win_rate(r) for r in table[alone].itertuples()]
    made += [Table(columns, once(own), say("Each human alone"), open=False)] * bool(own)
    return Section("win_rates", say("Win rate"), about, made, empty="" if made else words.NOTHING)


def _win_rate(r: Any) -> list[Cell]:
    cells = share_cells(r, "win_rates", Where("votes", r.rater, r.model, r.baseline))
    text = cells[-1].tip
    return [who_cell(r.rater), name_cell(r.model), *cells, plain(f"{r.wins}, {r.ties}, {r.losses}", text), plain(r.unscored, text)]  # fmt: skip


def folded(columns: list[str], rows: list[list[Cell]]) -> list[Table]:
    """The first rows in view, the rest one click away; a name that repeats the one above it is left out, and so is a column
    with nothing in it."""
    if not rows:
        return []
    used = [i for i in range(len(columns)) if any(row[i].text or row[i].strips for row in rows)]
    columns, rows = [columns[i] for i in used], [[row[i] for i in used] for row in rows]
    first = Table(columns, once(rows[:SHOWN]))
    rest = rows[SHOWN:]
    return [first, *([Table(columns, once(rest), say("{n} more", n=len(rest)), open=False)] if rest else [])]


def once(rows: list[list[Cell]]) -> list[list[Cell]]:
    shown, before = [], None
    for row in rows:
        shown.append([Cell(number=False), *row[1:]] if row[0].text == before else row)
        before = row[0].text
    return shown


def strengths(report: Any) -> Section:
    """All models on one scale, for each voice."""

    def of(voice: str, rows: pd.DataFrame) -> list[list[Cell]]:
        known = rows.dropna(subset=["log_strength"])
        ends = (float(known["low"].min()), float(known["high"].max())) if len(known) else (0.0, 1.0)
        return [_strength(r, ends) for r in rows.itertuples()]

    columns = [say("rank"), say("model"), say("strength, log-odds"), "", say("95 % interval"), "n"]
    about = say(
        "All models on one scale from every pair of them; ranks in brackets are as sure as the interval."
    )
    return Section("strengths", say("Strength"), about, by_voice(report.strengths, columns, of))


def _strength(r: Any, ends: tuple[float, float]) -> list[Cell]:
    if math.isnan(r.log_strength):
        why = tip("strengths", said(r.note), r)
        return [plain(""), name_cell(r.model), note_cell(r.note), plain(""), plain(""), plain(r.n, why)]
    span = words.between(r.low, r.high, "+.2f")
    text = tip("strengths", f"{r.log_strength:+.2f}", r, span=span)
    rank = (
        f"{r.rank}"
        if r.rank_low == r.rank_high
        else say("{rank} ({low} to {high})", rank=r.rank, low=r.rank_low, high=r.rank_high)
    )
    where = Where("votes", r.rater, r.model)
    low, high = ends if ends[1] > ends[0] else (ends[0] - 1, ends[1] + 1)
    strip = Strip(r.log_strength, r.low, r.high, (low, high), zero=None)
    return [plain(rank, text), name_cell(r.model), Cell(tip=text, strips=(strip,), where=where), Cell(f"{r.log_strength:+.2f}", text, where=where), Cell(span, text), plain(r.n, text)]  # fmt: skip


def by_voice(
    table: pd.DataFrame, columns: list[str], of: Callable[[str, pd.DataFrame], list[list[Cell]]], matrix: bool = False
) -> list[Table]:  # fmt: skip
    """A table for each voice, the one with the most votes in view and the others one click away."""
    made = []
    for voice in voices(table):
        rows = of(voice, table[table["rater"] == voice])
        made.append(Table(columns, rows, words.describe(voice), open=not made, matrix=matrix))
    return made


def voices(table: pd.DataFrame) -> list[str]:
    """Its raters, all humans together first, then by n."""
    if table.empty:
        return []
    n = table.groupby("rater")["n"].sum()
    return sorted(n.index, key=lambda rater: (rater != "human:*", -n[rater], rater))


def pairs(report: Any) -> Section:
    """The matrix of every model against every other; the SHOWN strongest."""
    order = {v: g["model"].tolist()[:SHOWN] for v, g in report.strengths.groupby("rater")}
    made = []
    for voice in voices(report.pairs):
        rows = report.pairs[report.pairs["rater"] == voice]
        found = {(r.model, r.against): r for r in rows.itertuples()}
        models = order.get(voice) or sorted({*rows["model"]})[:SHOWN]
        lines = [
            [name_cell(m), *(_pair(found.get((m, other)), m, other) for other in models)] for m in models
        ]
        made.append(Table([say("row against column"), *models], lines, words.describe(voice), not made, True))
    left = report.strengths["model"].nunique() - SHOWN
    notes = [say("The {shown} strongest; {n} more are in report.pairs.", shown=SHOWN, n=left)] * (left > 0)
    about = say("How often the row's answer was preferred to the column's, in per cent. A tie is half a win.")
    return Section("pairs", say("Every pair"), about, made, notes)


def _pair(row: Any, model: str, other: str) -> Cell:
    if model == other:
        return Cell("–", say("the model itself"))
    if row is None:
        return Cell("·", say("no votes"))
    return heat_cell(row, "pairs", Where("votes", row.rater, model, other))


def _slices(report: Any, name: str, column: str, title: str, about: str) -> Section:
    """Win rates of parts of the prompts: bars for one model, a coloured matrix for several."""
    table = getattr(report, name)
    table = table[table["rater"].isin(_heard(report))]
    models = list(dict.fromkeys(table["model"]))[:SHOWN]

    def of(voice: str, rows: pd.DataFrame) -> list[list[Cell]]:
        found = {(getattr(r, column), r.model): r for r in rows.itertuples()}
        parts = list(dict.fromkeys(rows[column]))
        if len(models) == 1:
            return [[name_cell(_part(p, column)), *share_cells(found[p, models[0]], name, _where(found[p, models[0]], p, column))] for p in parts]  # fmt: skip
        return [[name_cell(_part(p, column)), *(_slice(found.get((p, m)), name, p, column) for m in models)] for p in parts]  # fmt: skip

    head = _part_title(column)
    columns = [head, *share_columns(say("win rate"))] if len(models) == 1 else [head, *models]
    why = {"by_task": say("No task is known of the prompts: give the answers a column task."), "by_length": say("The lengths of the answers are not known.")}  # fmt: skip
    return Section(name, title, about, by_voice(table, columns, of, len(models) > 1), empty="" if len(table) else why[name])  # fmt: skip


def _part_title(column: str) -> str:
    return say("task") if column == "task" else say("length")


LENGTHS = {"shorter": say("shorter"), "similar": say("similar"), "longer": say("longer")}


def _part(part: str, column: str) -> str:
    return LENGTHS.get(part, part) if column == "length" else str(part)


def _where(row: Any, part: str, column: str) -> Where:
    return Where("votes", row.rater, row.model, row.baseline, task=part if column == "task" else "")


def _slice(row: Any, name: str, part: str, column: str) -> Cell:
    return Cell("·", say("no votes")) if row is None else heat_cell(row, name, _where(row, part, column))


def _heard(report: Any) -> set[str]:
    """The voices: all humans together where there are several."""
    raters = set(report.win_rates["rater"])
    return {r for r in raters if not r.startswith("human:")} | (
        {"human:*"} & raters or {r for r in raters if r.startswith("human:")}
    )


def length_controlled(report: Any) -> Section:
    """Win rates as they would be at equal length, or why that cannot be said."""
    table = report.length_controlled
    rows = []
    for r in table.itertuples():
        prior = say("AlpacaEval's") if r.prior != "none" else say("none")
        tail = share_cells(r, "length_controlled") if not math.isnan(r.win_rate) else [note_cell(r.note), Cell(), Cell(), plain(r.n, tip("length_controlled", said(r.note), r, r.unscored))]  # fmt: skip
        rows.append([who_cell(r.rater), name_cell(r.model), name_cell(prior), *tail])
    columns = [say("rater"), say("model"), say("prior"), *share_columns(say("win rate"))]
    about, title = say("Win rate if both answers were of the same length."), say("At equal length")
    if table["win_rate"].isna().all():  # one reason is enough
        why = table["note"].iloc[0] if len(table) else say("The lengths of the answers are not known.")
        return Section("length_controlled", title, about, empty=said(why))
    return Section("length_controlled", title, about, folded(columns, rows))


def mean_scores(report: Any) -> Section:
    """The heat map: dimensions x models, for each voice."""
    table = report.mean_scores
    table = table[table["rater"].isin(_scorers(table))] if len(table) else table
    models = list(dict.fromkeys(table["model"]))[:SHOWN] if len(table) else []

    def of(voice: str, rows: pd.DataFrame) -> list[list[Cell]]:
        found = {(r.dimension, r.model): r for r in rows.itertuples()}
        return [
            [name_cell(dimension(d)), *(_score(found.get((d, m))) for m in models)]
            for d in dict.fromkeys(rows["dimension"])
        ]

    about = say("Mean score of every model, 1 to 5.")
    empty = (
        ""
        if len(table)
        else say("No scores yet: give 1 to 5 on the dimensions in the grid, or let a judge do so.")
    )
    return Section("mean_scores", say("Scores by dimension"), about, by_voice(table, [say("dimension"), *models], of, True), empty=empty)  # fmt: skip


def _scorers(table: pd.DataFrame) -> set[str]:
    raters = set(table["rater"])
    humans = {"human:*"} if "human:*" in raters else {r for r in raters if r.startswith("human:")}
    return {r for r in raters if not r.startswith("human:")} | humans


def _score(row: Any) -> Cell:
    if row is None or math.isnan(row.mean):
        return Cell("·", say("no scores"))
    span = words.between(row.low, row.high, ".2f")
    where = Where("scores", row.rater, row.model, dimension=row.dimension)
    return Cell(f"{row.mean:.2f}", tip("mean_scores", f"{row.mean:.2f}", row, span=span), heat=max(-1.0, min(1.0, (row.mean - 3) / 1.5)), where=where)  # fmt: skip


DIMENSIONS = {
    "helpfulness": say("helpfulness"),
    "honesty": say("honesty"),
    "harmlessness": say("harmlessness"),
    "instruction_following": say("instruction following"),
    "content_accuracy": say("content accuracy"),
    "safety": say("safety"),
}


def dimension(name: str) -> str:
    return DIMENSIONS.get(name, name.replace("_", " "))


def by_dimension(report: Any) -> Section:
    """Differences of mean scores on the same prompts."""
    table = report.by_dimension
    table = table[table["rater"].isin(_scorers(table))] if len(table) else table
    columns = [say("dimension"), say("model"), say("difference in points"), "", say("95 % interval"), "n"]

    def of(voice: str, rows: pd.DataFrame) -> list[list[Cell]]:
        reach = float(rows[["low", "high", "difference"]].abs().max(axis=None)) or 1.0
        reach = 1.0 if math.isnan(reach) else reach
        return once([_difference(r, reach) for r in rows.itertuples()])

    about = say("Mean score less that of {baseline}, on the same prompts.", baseline=report.baseline)
    return Section("by_dimension", say("Difference by dimension"), about, by_voice(table, columns, of))


def _difference(r: Any, reach: float) -> list[Cell]:
    span = words.between(r.low, r.high, "+.2f")
    text = tip("by_dimension", f"{r.difference:+.2f}", r, span=span)
    where = Where("scores", r.rater, r.model, dimension=r.dimension)
    strip = Strip(r.difference, r.low, r.high, (-reach, reach), zero=0.0)
    return [name_cell(dimension(r.dimension)), name_cell(r.model), Cell(tip=text, strips=(strip,), where=where), Cell(f"{r.difference:+.2f}", text, where=where), Cell(span, text), plain(r.n, text)]  # fmt: skip
