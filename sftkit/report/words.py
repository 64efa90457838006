"""The report in plain words: who a rater is, who won, and tables for a terminal. Text only, nothing is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from sftkit.report.tables import HUMANS

TEXT_COLUMNS = {"rater", "and", "task", "dimension", "model", "baseline"}  # all others hold figures
NOTHING = "No ratings yet. Rate in the grid, or run ReferenceJudge().rate(answers, store=store)."


def describe(rater: str) -> str:
    """Who a rater is, so that no rule passes for a person and no model for a fact."""
    if rater == HUMANS:
        return "all human raters together"
    kind, _, name = rater.partition(":")
    if kind == "human":
        return f"the human rater {name}"
    if name.startswith("reference/"):
        return f"{rater}, a rule that compares answers with references, no GPT-4 and no human"
    if "fake" in name.casefold():
        return f"{rater}, a fake judge for trying things out: no language model, no human"
    if kind == "judge":
        return f"{rater}, a language model, no human"
    return rater


def by_support(win_rates: pd.DataFrame) -> pd.DataFrame:
    """The rows with the most scored votes first, humans before judges at equal counts."""
    rows = win_rates.assign(human=win_rates["rater"].str.startswith("human:"))
    return rows.sort_values(["n", "human"], ascending=False, kind="stable")


def headlines(win_rates: pd.DataFrame) -> list[str]:
    """A sentence for every row, the best supported first."""
    return [_sentence(row) for row in by_support(win_rates).itertuples()]


def _sentence(row: Any) -> str:
    if not row.n:
        return f"{describe(row.rater)}: none of {row.unscored} comparisons of {row.model} with {row.baseline} has a verdict."
    if row.low > 0.5:
        result = f"{row.model} beats {row.baseline}"
    elif row.high < 0.5:
        result = f"{row.model} loses to {row.baseline}"
    else:
        result = f"No clear difference between {row.model} and {row.baseline}"
    left = f" ({row.unscored} more unscored)" if row.unscored else ""
    return (
        f"{result}: win rate {percent(row.win_rate)} (95 % interval {span(row.low, row.high)}), with "
        f"{count(row.wins, 'win')}, {count(row.ties, 'tie')} and {count(row.losses, 'loss', 'losses')} in "
        f"{count(row.n, 'vote')}{left}, says {describe(row.rater)}."
    )


def percent(share: float) -> str:
    return "no votes" if math.isnan(share) else f"{100 * share:.0f} %"


def span(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{100 * low:.0f} to {100 * high:.0f}"


def count(n: int, thing: str, many: str = "") -> str:
    return f"{n} {thing if n == 1 else many or thing + 's'}"


def sections(report: Any) -> list[tuple[str, str, list[str], list[list[str]]]]:
    """(title, what it shows, column names, rows of text) for every table that has something to say.

    A rater's name stands in its first row only, and the models only where there are more than two.
    """
    pair = f"{', '.join(dict.fromkeys(report.win_rates['model']))} against {report.baseline}"
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
