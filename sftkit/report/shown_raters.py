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
    told,
    who_cell,
)
from sftkit.report.shown_models import dimension, folded
from sftkit.report.tables import HUMANS
from sftkit.wording import say


def agreement(report: Any) -> Section:
    """Who agrees with whom, the humans' own agreement as the ceiling."""
    rows = []
    humans = {(r.rater_x, r.rater_y): r for r in report.agreement.itertuples()}.get((HUMANS, HUMANS))
    for r in report.agreement.itertuples():
        known = not math.isnan(r.ceiling)
        where = Where("apart", r.rater_x, against=r.rater_y)
        row = share_cells(r, "agreement", where, "agreement", None, r.ceiling if known else None)
        rows.append(
            [
                who_cell(r.rater_x),
                who_cell(r.rater_y),
                *row,
                _ceiling(r.ceiling, humans),
                _decided(r),
                _kappa(r),
            ]
        )
    columns = [say("rater"), say("and"), *share_columns(say("agreement")), say("human ceiling"), say("without ties"), say("kappa")]  # fmt: skip
    about = say("Share of comparisons on which both give the same verdict. The mark on a judge's bar is how far humans agree among themselves.")  # fmt: skip
    why = say(
        "Nobody else has rated the same comparisons: agreement needs two raters, and the ceiling two humans."
    )
    return Section("agreement", say("Agreement"), about, folded(columns, rows), empty="" if rows else why)


def _ceiling(share: float, humans: Any) -> Cell:
    """humans: their row among themselves."""
    if math.isnan(share) or humans is None:
        return plain("")
    return Cell(words.percent(share), tip("agreement", words.percent(share), humans))


def _decided(r: Any) -> Cell:
    if not r.n_without_ties:
        return plain(say("all ties"), told("agreement", say("all ties"), r.n))
    share, span = words.percent(r.without_ties), words.span(r.without_low, r.without_high)
    return Cell(
        say("{share} of {n}", share=share, n=r.n_without_ties),
        told("agreement", share, r.n_without_ties, span),
    )


def _kappa(r: Any) -> Cell:
    if math.isnan(r.kappa):
        return plain("", said(r.note))
    span = words.between(r.kappa_low, r.kappa_high, ".2f")
    return Cell(f"{r.kappa:.2f}", told("agreement", say("kappa {kappa}", kappa=f"{r.kappa:.2f}"), r.n, span))


def score_agreement(report: Any) -> Section:
    """Agreement on scores, dimension by dimension."""
    table = report.score_agreement
    rows = []
    for r in table.itertuples():
        span = words.between(r.low, r.high, ".2f")
        text = tip("score_agreement", said(r.note) if math.isnan(r.kappa) else f"{r.kappa:.2f}", r, span=span)
        kappa = note_cell(r.note) if math.isnan(r.kappa) else Cell(f"{r.kappa:.2f}", text)
        same = Cell(words.percent(r.same), told("score_agreement", words.percent(r.same), r.n))
        rows.append([name_cell(say("{a} and {b}", a=who_cell(r.rater_x).text, b=who_cell(r.rater_y).text)), name_cell(dimension(r.dimension)), kappa, plain(span, text), same, plain(r.n, text)])  # fmt: skip
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
        text = tip("reliability", said(r.note) if math.isnan(r.alpha) else f"{r.alpha:.2f}", r, span=span)
        alpha = note_cell(r.note) if math.isnan(r.alpha) else Cell(f"{r.alpha:.2f}", text)
        rows.append([name_cell(names.get(r.raters, r.raters)), name_cell(dimension(r.dimension)), alpha, plain(span, text), plain(r.count, text), plain(r.n, text)])  # fmt: skip
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
    timed = _timed(report.ratings)
    for r in report.rater_cards.itertuples():
        ties = say("{share} ties", share=words.percent(r.ties)) if r.n else say("no votes")
        votes = told("rater_cards", ties, r.n, "", words.says(r.rater), r.unscored)
        rows.append(
            [
                who_cell(r.rater),
                plain(r.n, votes),
                plain(r.unscored, votes),
                plain(words.percent(r.ties) if not math.isnan(r.ties) else "", votes),
                _figure(r.severity, r.severity_low, r.severity_high, r.severity_n),
                _share(r.consistency, r.consistency_low, r.consistency_high, r.consistency_n),
                _share(r.humans, r.humans_low, r.humans_high, r.humans_n),
                _seconds(r.seconds, timed.get(r.rater, 0)),
            ]
        )
    columns = [say("rater"), say("votes"), say("unscored"), say("ties"), say("severity, points"), say("consistent with itself"), say("agrees with humans"), say("seconds a vote")]  # fmt: skip
    about = say("Severity above 0 is harsher than the others on the same answers. Consistency: the same verdict when asked again or in the other order.")  # fmt: skip
    return Section("rater_cards", say("Each rater"), about, folded(columns, rows))


def _figure(value: float, low: float, high: float, n: float) -> Cell:
    if math.isnan(value):
        return plain("")
    span = words.between(low, high, "+.2f")
    return Cell(f"{value:+.2f}", told("rater_cards", f"{value:+.2f}", n, span))


def _share(value: float, low: float, high: float, n: float) -> Cell:
    if math.isnan(value):
        return plain("")
    return Cell(words.percent(value), told("rater_cards", words.percent(value), n, words.span(low, high)))


def _seconds(value: float, n: int) -> Cell:
    if math.isnan(value):
        return plain("")
    return Cell(f"{value:.0f}", told("rater_cards", say("{n} seconds", n=f"{value:.0f}"), n))


def _timed(ratings: pd.DataFrame) -> dict[str, int]:
    """How many ratings of each rater tell their seconds."""
    if "seconds" not in ratings:
        return {}
    rows = ratings[ratings["current"].astype(bool) & ratings["seconds"].notna()]
    return rows["rater"].astype(str).value_counts().to_dict()


SHOWN_HUMANS = 5  # whose cards are shown beside the judges'

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
    raters = [rater for rater in raters if rater not in humans[SHOWN_HUMANS:]]
    columns = [say("leaning"), say("figure"), say("95 % interval"), "n", say("effect, points"), "", say("moves win rates by"), say("ranking without it")]  # fmt: skip
    made = []
    for rater in raters:
        rows = [_bias(r) for r in card[card["rater"] == rater].itertuples()]
        made.append(Table(columns, rows, words.describe(rater), open=rater.startswith("judge:") or not made))
    about = say("Every leaning that can be measured; red where answers that must not win did so in more than {red} %.", red=round(100 * RED))  # fmt: skip
    left = len(humans) - SHOWN_HUMANS
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
    effect = tip("bias_card", say("{points} points", points=points(r.effect)), r, span=words.between(r.effect_low, r.effect_high, "+.1f")) if known else ""  # fmt: skip
    moved = told("bias_card", moves, r.n, "", words.says(r.rater)) if moves else ""
    return [name_cell(name), Cell(figure, text, where=where, red=red), Cell(span, text), plain(int(r.n), text), Cell(tip=effect if known else "", strips=strip), plain(points(r.effect), effect), plain(moves, moved), order]  # fmt: skip


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
        where = Where("apart", HUMANS, r.model, r.rater)
        rows.append(
            [
                who_cell(r.rater),
                name_cell(r.model),
                Cell(tip=text, strips=known if len(known) == 3 else (), where=where),
                _raw(r.judge, r.judge_low, r.judge_high, r.judge_n, r.rater),
                _raw(r.human, r.human_low, r.human_high, r.human_n, HUMANS),
                Cell(said_so, text, where=where),
                Cell(words.span(r.low, r.high), text),
                _correlation(r),
                _more(r),
            ]
        )
    columns = [say("judge"), say("model"), say("judge, humans, calibrated"), say("judge raw"), say("humans"), say("calibrated"), say("95 % interval"), say("correlation"), say("votes still needed")]  # fmt: skip
    about = say("The judge's win rate set right by the humans' votes: as unbiased as theirs, narrower as far as the judge is good. Votes still needed for an interval 10 points wide.")  # fmt: skip
    notes = [say("{model}: {note}", model=r.model, note=said(r.note)) for r in report.calibration.itertuples() if r.note][:8]  # fmt: skip
    why = say("Calibration needs a judge and humans on the same comparisons.")
    return Section(
        "calibration", say("Calibration"), about, folded(columns, rows), notes, empty="" if rows else why
    )


def _raw(share: float, low: float, high: float, n: int, rater: str) -> Cell:
    """A win rate of humans or judge alone."""
    return Cell(
        words.percent(share),
        told("win_rates", words.percent(share), n, words.span(low, high), words.says(rater)),
    )


def _correlation(r: Any) -> Cell:
    if math.isnan(r.correlation):
        return plain("")
    figure = say("correlation {r}", r=f"{r.correlation:.2f}")
    return Cell(f"{r.correlation:.2f}", told("calibration", figure, r.n))


def _more(r: Any) -> Cell:
    """Votes still needed, or why that is not known."""
    if pd.isna(r.more_votes):
        return Cell("–", said(r.note))
    return Cell(str(r.more_votes), told("calibration", say("{n} more votes", n=r.more_votes), r.n))


def all_sources(report: Any) -> Section:
    """Humans and judges in one model, beside the calibrated figure that assumes nothing."""
    title, about = say("All raters in one model"), say("Win rates from humans and judges together, each judge's leanings taken out; beside it the calibrated figure, which assumes nothing.")  # fmt: skip
    try:
        found = report.sources
    except ReportError as refused:
        return Section("sources", title, about, empty=said(str(refused)))
    both = {(r.rater, r.model): r.n for r in report.calibration.itertuples()}
    rows = [_source(r, both.get((r.judge, r.model), 0)) for r in found.win_rates.itertuples()]
    columns = [say("model"), say("0 to 100 %"), say("win rate"), say("95 % interval"), say("human votes"), say("judge votes"), say("calibrated")]  # fmt: skip
    return Section("sources", title, about, folded(columns, rows), [said(found.note)] if found.note else [])


def _source(r: Any, both: int) -> list[Cell]:
    """both: prompts with votes of humans and of the judge that calibrates the model."""
    span, rate = words.span(r.low, r.high), words.percent(r.win_rate)
    who = say(", {humans} of humans and {judges} of judges", humans=r.human_n, judges=r.judge_n)
    text = told("sources", rate, r.human_n + r.judge_n, span, who)
    strip = (Strip(r.win_rate, r.low, r.high),) if not math.isnan(r.win_rate) else ()
    calibrated = Cell("–", said(r.note))
    if not math.isnan(r.calibrated):
        share = words.percent(r.calibrated)
        calibrated = Cell(share, told("calibration", share, both, words.span(r.calibrated_low, r.calibrated_high), words.says(r.judge)))  # fmt: skip
    return [name_cell(r.model), Cell(tip=text, strips=strip), Cell(rate, text), plain(span, text), plain(r.human_n, text), plain(r.judge_n, text), calibrated]  # fmt: skip
