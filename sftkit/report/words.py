"""The report in plain words: who a rater is, who won, and tables for a terminal. Text only, nothing is escaped here."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd

from sftkit.ratings.rating import SIMULATED
from sftkit.report.tables import HUMANS
from sftkit.wording import say

TEXT_COLUMNS = {"rater", "and", "task", "dimension", "model", "baseline"}  # all others hold figures
NOTHING = say("No ratings yet. Rate in the grid, or run ReferenceJudge().rate(answers, store=store).")


def describe(rater: str, simulated: bool = False) -> str:
    """Who a rater is, so that no rule passes for a person and no model for a fact.

    simulated: all human raters are (judging.simulated)."""
    if rater == HUMANS:
        return say("all simulated raters together, rules and no people") if simulated else say("all human raters together")  # fmt: skip
    kind, _, name = rater.partition(":")
    if rater.startswith(SIMULATED):
        return say("the simulated rater {name}, a rule and no person", name=name)
    if kind == "human":
        return say("the human rater {name}", name=name)
    if name.startswith("reference/"):
        return say(
            "{rater}, a rule that compares answers with references, no GPT-4 and no human", rater=rater
        )
    if "fake" in name.casefold():
        return say("{rater}, a fake judge for trying things out: no language model, no human", rater=rater)
    if kind == "judge":
        return say("{rater}, a language model, no human", rater=rater)
    return rater


def says(rater: str, simulated: bool = False) -> str:
    """Who says so, after a figure; "" for nobody."""
    if not rater:
        return ""
    who = describe(rater, simulated)
    return say(", say {who}", who=who) if rater == HUMANS else say(", says {who}", who=who)


def only_simulated(raters: Iterable[Any]) -> bool:
    """Whether there are human raters, and all of them are simulated."""
    people = {name for name in map(str, raters) if name.startswith("human:") and name != HUMANS}
    return bool(people) and all(name.startswith(SIMULATED) for name in people)


def by_support(win_rates: pd.DataFrame, beaten: Collection[str] = ()) -> pd.DataFrame:
    """The raters with the most scored votes first, humans before judges at equal counts; the best model of each first.

    beaten: raters that come last, however many their votes: judges that canaries have beaten."""
    rows = win_rates.assign(
        most=win_rates.groupby("rater")["n"].transform("sum"),
        human=win_rates["rater"].str.startswith("human:"),
        known=win_rates["n"] > 0,
        rate=win_rates["win_rate"].fillna(-1.0),
        beaten=win_rates["rater"].isin(list(beaten)),
    )
    order = rows.sort_values(["beaten", "most", "human", "rater", "known", "rate"], ascending=[True, False, False, True, False, False], kind="stable")  # fmt: skip
    return order.drop(columns=["most", "rate", "known", "beaten"])


def headlines(win_rates: pd.DataFrame, beaten: Collection[str] = ()) -> list[str]:
    """A sentence for every row, the best supported first."""
    simulated = only_simulated(win_rates["rater"])
    return [_sentence(row, simulated) for row in by_support(win_rates, beaten).itertuples()]


def _sentence(row: Any, simulated: bool) -> str:
    who = describe(row.rater, simulated)
    if not row.n:
        return say("{who}: none of {n} comparisons of {model} with {baseline} has a verdict.", who=who, n=row.unscored, model=row.model, baseline=row.baseline)  # fmt: skip
    both = {"model": row.model, "baseline": row.baseline}
    if row.low > 0.5:
        result = say("{model} beats {baseline}", **both)
    elif row.high < 0.5:
        result = say("{model} loses to {baseline}", **both)
    else:
        result = say("No clear difference between {model} and {baseline}", **both)
    return say(
        "{result}: win rate {rate} (95 % interval {span}), with {wins}, {ties} and {losses} in {votes}{left}{says}.",
        result=result,
        rate=percent(row.win_rate),
        span=span(row.low, row.high),
        wins=count(row.wins, say("{n} win", n=row.wins), say("{n} wins", n=row.wins)),
        ties=count(row.ties, say("{n} tie", n=row.ties), say("{n} ties", n=row.ties)),
        losses=count(row.losses, say("{n} loss", n=row.losses), say("{n} losses", n=row.losses)),
        votes=count(row.n, say("{n} vote", n=row.n), say("{n} votes", n=row.n)),
        left=say(" ({n} more unscored)", n=row.unscored) if row.unscored else "",
        says=says(row.rater, simulated),
    )


def percent(share: float) -> str:
    return say("no votes") if math.isnan(share) else f"{100 * share:.0f} %"


def span(low: float, high: float) -> str:
    return "" if math.isnan(low) else say("{low} to {high}", low=f"{100 * low:.0f}", high=f"{100 * high:.0f}")


def between(low: float, high: float, form: str = ".2f") -> str:
    """An interval of figures that are no shares; "" where there is none."""
    return "" if math.isnan(low) else say("{low} to {high}", low=format(low, form), high=format(high, form))


def count(n: int, one: str, many: str) -> str:
    return one if n == 1 else many


def sections(report: Any) -> list[tuple[str, str, list[str], list[list[str]]]]:
    """(title, what it shows, column names, rows of text) for every table that has something to say.

    A rater's name stands in its first row only, and the models only where there are more than two.
    """
    pair = f"{', '.join(map(str, dict.fromkeys(report.win_rates['model'])))} against {report.baseline}"
    found = [
        ("Win rate", f"Share of votes won, {pair}; a tie is half a win.", _wins(report.win_rates)),
        ("By task", "The same, task by task.", _wins(report.by_task, "task")),
        ("By dimension", f"Mean score 1 to 5 on the same prompts, {pair}.", _dimensions(report.by_dimension)),
        (
            "Agreement",
            "Share of comparisons on which two raters give the same verdict.",
            _agreement(report.agreement),
        ),
        (
            "How each rater leans",
            "Verdicts for the answer shown first (ties apart; 50 % is no leaning), verdicts that turn with the order, "
            "ties, failures.",
            _bias(report.bias),
        ),
    ]
    several = report.win_rates["model"].nunique() > 1
    return [(title, about, *_columns(rows, several)) for title, about, rows in found if rows]


def _columns(rows: list[dict[str, str]], several: bool) -> tuple[list[str], list[list[str]]]:
    names = [name for name in rows[0] if several or name not in ("model", "baseline")]
    lines = [[row[name] for name in names] for row in rows]
    for line, before in reversed(list(zip(lines[1:], lines))):
        if line[0] == before[0]:
            line[0] = ""
    return names, lines


def _wins(table: pd.DataFrame, *extra: str) -> list[dict[str, str]]:
    return [
        {"rater": r.rater}
        | {name: str(getattr(r, name)) for name in extra}
        | {
            "model": r.model,
            "baseline": r.baseline,
            "win rate": percent(r.win_rate),
            "interval": span(r.low, r.high),
        }
        | {
            "won": str(r.wins),
            "tied": str(r.ties),
            "lost": str(r.losses),
            "n": str(r.n),
            "unscored": str(r.unscored),
        }
        for r in table.itertuples()
    ]


def _dimensions(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "rater": r.rater,
            "dimension": r.dimension.replace("_", " "),
            "model": r.model,
            "baseline": r.baseline,
            "score": f"{r.mean:.2f}",
            "of baseline": f"{r.mean_baseline:.2f}",
            "difference": f"{r.difference:+.2f}",
            "interval": f"{r.low:+.2f} to {r.high:+.2f}",
            "n": str(r.n),
        }
        for r in table.itertuples()
    ]


def _agreement(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "rater": r.rater_x,
            "and": r.rater_y,
            "agreement": percent(r.agreement),
            "interval": span(r.low, r.high),
            "n": str(r.n),
            "without ties": f"{percent(r.without_ties)} of {r.n_without_ties}"
            if r.n_without_ties
            else "all ties",
        }
        for r in table.itertuples()
    ]


def _bias(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "rater": r.rater,
            "for the first": percent(r.first) if r.n else "no order kept",
            "interval": span(r.low, r.high),
            "n": str(r.n or ""),
            "turned": f"{percent(r.flips)} of {r.flips_n}" if r.flips_n else "not known",
            "ties": percent(r.ties),
            "unscored": f"{percent(r.unscored)} of {r.verdicts}",
        }
        for r in table.itertuples()
    ]


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal, columns two blanks apart. Control characters in names are shown, not obeyed.

    Where a rater has several rows, its name stands above them: beside them the table outgrows 80 columns.
    """
    if columns[0] == "rater" and any(not row[0] for row in rows):
        starts = [place for place, row in enumerate(rows) if row[0]]
        groups = [rows[start:stop] for start, stop in zip(starts, [*starts[1:], len(rows)])]
        tables = [(group[0][0], text_table(columns[1:], [row[1:] for row in group])) for group in groups]
        return "\n\n".join(f"{visible(rater)}\n{table}" for rater, table in tables)
    lines = [list(columns), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines)


def visible(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
