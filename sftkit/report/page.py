"""The report as HTML, for a notebook cell and as one file that opens offline (about 15 kB and the examples' texts).

No script and nothing loaded from anywhere; prompts, answers and names are hostile and escaped by jinja2 (autoescape).
"""

from __future__ import annotations

import datetime
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jinja2

from sftkit.generation.table import prompt_text
from sftkit.report import words
from sftkit.report.tables import of_rater

PAGE = "page.html.jinja"
EXAMPLES = 3  # of each result
LONGEST = 4000  # characters of a text shown in an example


@lru_cache(maxsize=2)
def template(name: str) -> jinja2.Template:
    """A page of this folder. What is put into it is escaped; what it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sftkit.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: b64encode(data).decode()
    return environment.get_template(name)


def fragment(report: Any) -> str:
    """For a notebook cell; takes its colours from the theme."""
    return template(PAGE).render(whole=False, **_content(report))


def whole_page(report: Any) -> str:
    """A file of its own; light or dark as the reader's system is."""
    return template(PAGE).render(whole=True, **_content(report))


def _content(report: Any) -> dict[str, Any]:
    models = list(dict.fromkeys(report.win_rates["model"]))
    return {
        "title": f"{', '.join(models)} against {report.baseline}" if models else "No votes yet",
        "alarms": report.alarms,
        "headlines": report.headlines,
        "sections": [_section(report, *section) for section in words.sections(report)],
        "examples": list(_examples(report)),
        "made": f"Made {datetime.date.today().isoformat()} by sftkit.",
    }


def _section(
    report: Any, title: str, about: str, columns: list[str], rows: list[list[str]]
) -> dict[str, Any]:
    source = {"Win rate": report.win_rates, "By task": report.by_task}.get(title)
    return {
        "title": title,
        "about": about,
        "columns": columns,
        "rows": rows,
        "numeric": set(columns) - words.TEXT_COLUMNS,
        "strips": [_strip(row) for row in source.itertuples()] if source is not None else None,
    }


def _strip(row: Any) -> dict[str, Any] | None:
    """Where point and interval stand on a strip 120 wide."""
    if not row.n:
        return None
    at = {"value": row.win_rate, "low": row.low, "high": row.high}
    interval = f"{words.percent(row.win_rate)}, 95 % interval {words.span(row.low, row.high)}"
    said = f"{interval}, n = {row.n}, {words.describe(row.rater)}"
    return {name: round(120 * share, 1) for name, share in at.items()} | {"words": said}


def _examples(report: Any) -> Iterator[dict[str, Any]]:
    """The first few comparisons of each result, by the best supported rater, of the model in the headline."""
    leader = report.leader
    if leader is None or report.answers.empty:
        return
    votes, names = of_rater(report.votes, leader.rater), [leader.model, leader.baseline]
    votes = votes[votes["model_a"].isin(names) & votes["model_b"].isin(names)]
    known = {(r.prompt_id, r.model): r for r in report.answers.itertuples()}
    results = {1.0: "{a} wins", 0.0: "{b} wins", 0.5: "tie"}
    for outcome, result in results.items():
        for vote in (
            votes[votes["outcome"] == outcome].drop_duplicates("prompt_id").head(EXAMPLES).itertuples()
        ):
            both = [known.get((vote.prompt_id, name)) for name in (vote.model_a, vote.model_b)]
            if None not in both:
                yield _example(result.format(a=vote.model_a, b=vote.model_b), both)


def _example(result: str, both: list[Any]) -> dict[str, Any]:
    first = both[0]
    return {
        "result": result,
        "task": first.task if isinstance(first.task, str) else None,
        "prompt": prompt_text(first.prompt)[:LONGEST],
        "reference": first.reference[:LONGEST] if isinstance(first.reference, str) else None,
        "answers": [(one.model, one.response[:LONGEST]) for one in both],
    }
