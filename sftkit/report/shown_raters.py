"""Sections on the raters: agreement, reliability, each rater's card, the judges' biases, and their calibration."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sftkit.errors import ReportError
from sftkit.report import words
from sftkit.report.alarms import RED
from sftkit.report.notes import said
from sftkit.report.shown import (
    Cell,
    Section,
    Strip,
    Table,
    Where,
    name_cell,
    note_cell,
    plain,
    points,
    share_cells,
    share_columns,
    tip,
    who_cell,
)
from sftkit.report.shown_models import dimension, folded
from sftkit.wording import say


def agreement(report: Any) -> Section:
    """Who agrees with whom, the humans' own agreement as the ceiling."""
    rows = []
    for r in report.agreement.itertuples():
        known = not math.isnan(r.ceiling)
        where = Where("apart", r.rater_x, against=r.rater_y)
        row = share_cells(r, "agreement", where, "agreement", None, r.ceiling if known else None)
        rest = say("{share} of {n}", share=words.percent(r.without_ties), n=r.n_without_ties) if r.n_without_ties else say("all ties")  # fmt: skip
        kappa = "" if math.isnan(r.kappa) else f"{r.kappa:.2f}"
        kappa_span = words.between(r.kappa_low, r.kappa_high, ".2f")
        rows.append([who_cell(r.rater_x), who_cell(r.rater_y), *row, plain(words.percent(r.ceiling) if known else ""), plain(rest), Cell(kappa, kappa_span)])  # fmt: skip
    columns = [say("rater"), say("and"), *share_columns(say("agreement")), say("human ceiling"), say("without ties"), say("kappa")]  # fmt: skip
    about = say("Share of comparisons on which both give the same verdict. The mark on a judge's bar is how far humans agree among themselves.")  # fmt: skip
    why = say(
        "Nobody else has rated the same comparisons: agreement needs two raters, and the ceiling two humans."
    )
    return Section("agreement", say("Agreement"), about, folded(columns, rows), empty="" if rows else why)


def score_agreement(report: Any) -> Section:
    """Agreement on scores, dimension by dimension."""
    table = report.score_agreement
    rows = []
    for r in table.itertuples():
        span = words.between(r.low, r.high, ".2f")
        kappa = note_cell(r.note) if math.isnan(r.kappa) else Cell(f"{r.kappa:.2f}", tip("score_agreement", f"{r.kappa:.2f}", r, span=span))  # fmt: skip
        rows.append([name_cell(say("{a} and {b}", a=who_cell(r.rater_x).text, b=who_cell(r.rater_y).text)), name_cell(dimension(r.dimension)), kappa, plain(span), plain(words.percent(r.same)), plain(r.n)])  # fmt: skip
    columns = [
        say("raters"),
        say("dimension"),
        say("quadratic kappa"),
        say("95 % interval"),
        say("same score"),
        "n",
    ]
    about = say("Scores 1 to 5 of two raters on the same answers: 0 is chance, 1 the same scores.")
    return Section("score_agreement", say("Agreement on scores"), about, folded(columns, rows))


def reliability(report: Any) -> Section:
    """Krippendorff's alpha of groups of raters."""
    rows = []
    names = {"human:*": say("all humans"), "judge:*": say("all judges"), "*": say("everybody")}
    for r in report.reliability.itertuples():
        span = words.between(r.low, r.high, ".2f")
        alpha = note_cell(r.note) if math.isnan(r.alpha) else Cell(f"{r.alpha:.2f}", tip("reliability", f"{r.alpha:.2f}", r, span=span))  # fmt: skip
        rows.append([name_cell(names.get(r.raters, r.raters)), name_cell(dimension(r.dimension)), alpha, plain(span), plain(r.count), plain(r.n)])  # fmt: skip
    columns = [
        say("raters"),
        say("dimension"),
        say("alpha"),
        say("95 % interval"),
        say("raters, number"),
        "n",
    ]
    about = say("Krippendorff's alpha: 0 is chance, 1 perfect agreement; below 0.67 conclusions are weak.")
    return Section("reliability", say("Reliability of scores"), about, folded(columns, rows))


def rater_cards(report: Any) -> Section:
    """Each rater: how much, how harsh, how consistent, how close to the humans."""
    rows = []
    for r in report.rater_cards.itertuples():
        rows.append(
            [
                who_cell(r.rater),
                plain(r.n),
                plain(r.unscored),
                plain(words.percent(r.ties) if not math.isnan(r.ties) else ""),
                _figure(r.severity, r.severity_low, r.severity_high, r.severity_n),
                _share(r.consistency, r.consistency_low, r.consistency_high, r.consistency_n),
                _share(r.humans, r.humans_low, r.humans_high, r.humans_n),
                plain("" if math.isnan(r.seconds) else f"{r.seconds:.0f}"),
            ]
        )
    columns = [say("rater"), say("votes"), say("unscored"), say("ties"), say("severity, points"), say("consistent with itself"), say("agrees with humans"), say("seconds a vote")]  # fmt: skip
    about = say("Severity above 0 is harsher than the others on the same answers. Consistency: the same verdict when asked again or in the other order.")  # fmt: skip
    return Section("rater_cards", say("Each rater"), about, folded(columns, rows))


def _figure(value: float, low: float, high: float, n: float) -> Cell:
    if math.isnan(value):
        return plain("")
    span = words.between(low, high, "+.2f")
    return Cell(f"{value:+.2f}", say("95 % interval {span}, n = {n}", span=span, n=f"{n:.0f}"))


def _share(value: float, low: float, high: float, n: float) -> Cell:
    if math.isnan(value):
        return plain("")
    return Cell(
        words.percent(value), say("95 % interval {span}, n = {n}", span=words.span(low, high), n=f"{n:.0f}")
    )


HUMANS = 5  # whose cards are shown beside the judges'

BIASES = {
    "first": (say("for the answer shown first"), True),
    "length": (say("for the longer answer"), False),
    "lists": (say("for lists"), False),
    "markdown": (say("for Markdown"), False),
    "family": (say("for its own family of models"), False),
    "flips": (say("verdict turns with the order"), True),
    "unscored": (say("judgements that failed"), True),
    "flagged": (say("flagged"), True),
    "canaries": (say("won by answers that must not win"), True),
}
BEHIND = {"first": "votes", "flips": "flips", "unscored": "unscored", "canaries": "canaries"}


def bias_card(report: Any) -> Section:
    """A card for each rater, judges first: every leaning, how much it moves, and the ranking without it."""
    card = report.bias_card
    most = card.groupby("rater")["n"].max()
    raters = sorted(most.index, key=lambda r: (not r.startswith("judge:"), -most[r], r))
    humans = [rater for rater in raters if not rater.startswith("judge:")]
    raters = [rater for rater in raters if rater not in humans[HUMANS:]]
    columns = [say("leaning"), say("figure"), say("95 % interval"), "n", say("effect, points"), "", say("moves win rates by"), say("ranking without it")]  # fmt: skip
    made = []
    for rater in raters:
        rows = [_bias(r) for r in card[card["rater"] == rater].itertuples()]
        made.append(Table(columns, rows, words.describe(rater), open=rater.startswith("judge:") or not made))
    about = say("Every leaning that can be measured; red where answers that must not win did so in more than {red} %.", red=round(100 * RED))  # fmt: skip
    left = len(humans) - HUMANS
    notes = [say("{n} more raters are in report.bias_card.", n=left)] * (left > 0)
    return Section("bias_card", say("Biases"), about, made, notes, empty="" if made else say("No votes yet."))


def _bias(r: Any) -> list[Cell]:
    name, share = BIASES[r.bias]
    if math.isnan(r.value):
        return [name_cell(name), Cell("–", said(r.note)), plain(""), plain(""), Cell(number=False), plain(""), plain(""), note_cell(r.note)]  # fmt: skip
    red = r.bias == "canaries" and r.value > RED
    figure = words.percent(r.value) if share else say("{points} points", points=points(r.value))
    span = words.span(r.low, r.high) if share else (words.between(r.low, r.high, "+.1f"))
    text = tip("bias_card", figure, r, span=span)
    where = Where(BEHIND[r.bias], r.rater) if r.bias in BEHIND else None
    known = not math.isnan(r.effect)
    strip = (
        (Strip(r.effect, r.effect_low, r.effect_high, (-25.0, 25.0), zero=0.0, flaw=True),) if known else ()
    )
    order = note_cell(r.note) if r.without is None else note_cell(_ranking(r))
    moves = "" if math.isnan(r.moves) else say("{points} points", points=f"{r.moves:.1f}")
    return [name_cell(name), Cell(figure, text, where=where, red=red), Cell(span, text), plain(int(r.n)), Cell(tip=text, strips=strip), plain(points(r.effect)), plain(moves), order]  # fmt: skip


def _ranking(r: Any) -> str:
    swaps = 0 if pd.isna(r.swaps) else int(r.swaps)
    return say("the same") if not swaps else say("{swaps} swapped: {order}", swaps=swaps, order=" > ".join(map(str, r.without)))  # fmt: skip


def calibration(report: Any) -> Section:
    """The judge's raw win rate, the humans' and the calibrated one, with the votes still needed."""
    rows = []
    for r in report.calibration.itertuples():
        strips = [Strip(r.judge, r.judge_low, r.judge_high), Strip(r.human, r.human_low, r.human_high), Strip(r.calibrated, r.low, r.high)]  # fmt: skip
        known = tuple(s for s in strips if not math.isnan(s.value))
        said_so = words.percent(r.calibrated) if not math.isnan(r.calibrated) else "–"
        text = tip("calibration", said_so, r)
        more = "" if pd.isna(r.more_votes) else str(int(r.more_votes))
        where = Where("apart", "human:*", r.model, r.rater)
        rows.append(
            [
                who_cell(r.rater),
                name_cell(r.model),
                Cell(tip=text, strips=known if len(known) == 3 else (), where=where),
                Cell(words.percent(r.judge), say("n = {n}", n=int(r.judge_n))),
                Cell(words.percent(r.human), say("n = {n}", n=int(r.human_n))),
                Cell(said_so, text, where=where),
                Cell(words.span(r.low, r.high), text),
                plain("" if math.isnan(r.correlation) else f"{r.correlation:.2f}"),
                Cell(more or "–", said(r.note)),
            ]
        )
    columns = [say("judge"), say("model"), say("judge, humans, calibrated"), say("judge raw"), say("humans"), say("calibrated"), say("95 % interval"), say("correlation"), say("votes still needed")]  # fmt: skip
    about = say("The judge's win rate set right by the humans' votes: as unbiased as theirs, narrower as far as the judge is good. Votes still needed for an interval 10 points wide.")  # fmt: skip
    notes = [say("{model}: {note}", model=r.model, note=said(r.note)) for r in report.calibration.itertuples() if r.note][:8]  # fmt: skip
    why = say("Calibration needs a judge and humans on the same comparisons.")
    return Section(
        "calibration", say("Calibration"), about, folded(columns, rows), notes, empty="" if rows else why
    )


def all_sources(report: Any) -> Section:
    """Humans and judges in one model, beside the calibrated figure that assumes nothing."""
    title, about = say("All raters in one model"), say("Win rates from humans and judges together, each judge's leanings taken out; beside it the calibrated figure, which assumes nothing.")  # fmt: skip
    try:
        found = report.sources
    except ReportError as refused:
        return Section("sources", title, about, empty=said(str(refused)))
    rows = []
    for r in found.win_rates.itertuples():
        span = words.span(r.low, r.high)
        text = say("95 % interval {span}", span=span)
        calibrated = words.percent(r.calibrated) if not math.isnan(r.calibrated) else "–"
        strip = (Strip(r.win_rate, r.low, r.high),) if not math.isnan(r.win_rate) else ()
        rows.append([name_cell(r.model), Cell(tip=text, strips=strip), Cell(words.percent(r.win_rate), text), plain(span), plain(r.human_n), plain(r.judge_n), Cell(calibrated, words.span(r.calibrated_low, r.calibrated_high))])  # fmt: skip
    columns = [say("model"), say("0 to 100 %"), say("win rate"), say("95 % interval"), say("human votes"), say("judge votes"), say("calibrated")]  # fmt: skip
    return Section("sources", title, about, folded(columns, rows), [said(found.note)] if found.note else [])
