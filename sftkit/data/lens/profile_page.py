"""A profile as HTML: tables, and pictures drawn as SVG in it. No scripts; every text of the data is escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sftkit.data.lens.kinds import name_of
from sftkit.errors import DataError
from sftkit.wording import in_language, said_of, say

if TYPE_CHECKING:
    import jinja2

    from sftkit.data.lens.profile import Profile

SHOWN = 10  # task types, languages and turns, before "others"
EXAMPLES = 3  # rows shown of a kind
BINS = 36
WIDTH, HEIGHT = 340, 96  # of a histogram, in its own units


class Bar(NamedTuple):
    """A bar of a histogram: where it stands, its size, and what it says."""

    x: float
    y: float
    width: float
    height: float
    title: str


class Histogram(NamedTuple):
    """`ticks`: (x, text); `line`: x of max_len, None where that is off the scale."""

    title: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]
    line: float | None
    line_text: str
    summary: str


def page(profile: Profile, lang: str, *, whole: bool) -> str:
    """The page in "en" or "zh"; `whole`: as a file of its own, else for a notebook cell."""

    def said(words: str) -> str:
        return in_language(words, lang)

    return _template().render(
        whole=whole,
        lang=lang,
        title=said(say("What is in the data")),
        figures=_figures(profile, said),
        findings=_findings(profile, lang),
        none=said(say("Nothing stands out.")),
        histograms=[_histogram(profile, part, said) for part in ("prompt", "answer", "whole")],
        estimated=_estimated(profile, said),
        shares=_shares(profile, said),
        sources=profile.sources.to_dict("records"),
        source_heads=[said(one) for one in _source_heads()],
    )


def _estimated(profile: Profile, said: Any) -> str:
    words = say("Tokens are estimated, at 4 bytes a token: name a tokenizer to count them.")
    return said(words) if profile.estimated else ""


def _source_heads() -> list[str]:
    return [say("source"), say("rows"), say("used"), say("left out by the patch"), say("edited by the patch")]


def _figures(profile: Profile, said: Any) -> list[tuple[str, str]]:
    """What the profile comes to, as (number, name)."""
    about = "≈ " if profile.estimated else ""
    tokens = profile.lengths["sum"]
    told = [
        (f"{profile.rows:,}", say("rows")),
        (f"{about}{profile.trained:,}", say("trained")),
        (f"{about}{profile.cut:,}", say("cut at max_len {max_len:,}", max_len=profile.max_len)),
        (f"{about}{profile.filtered:,}", say("left out of training")),
        (f"{profile.exact_duplicates:,}", say("exact duplicates")),
        (f"{profile.near_duplicates:,}" if profile.facts["near"] else "–", say("near duplicates")),
        (f"{about}{_short(tokens['whole'])}", say("tokens, {share:.0%} of them answers", share=tokens["answer"] / max(1, tokens["whole"]))),
    ]  # fmt: skip
    return [(number, said(words)) for number, words in told]


def _short(number: float) -> str:
    """1,234,567 as 1.2 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            return f"{number / min(size, 1e3 if unit == 'k' else size):.1f} {unit}"
    return f"{number:,.0f}"


def _findings(profile: Profile, lang: str) -> list[dict[str, Any]]:
    found = []
    for one in profile.findings.to_dict("records"):
        try:
            examples = profile.rows_of(one["key"], limit=EXAMPLES).to_dict("records")
        except DataError as error:  # the file has gone or changed: the counts are still true of what it was
            examples = [{"row": "", "source": "", "excerpt": in_language(said_of(error), lang), "repeats": "", "problem": ""}]  # fmt: skip
        name = in_language(name_of(one["key"]), lang)
        text = profile.said(one["key"], lang).partition("：" if lang == "zh" else ": ")[2]
        found.append({**one, "name": name, "text": text, "examples": examples})
    return found


def _histogram(profile: Profile, part: str, said: Any) -> Histogram:
    """Rows by their tokens, on a scale of logarithms."""
    titles = {"prompt": say("Prompts"), "answer": say("Answers"), "whole": say("Whole rows")}
    values = profile.column("prompt_tokens") + profile.column("answer_tokens") if part == "whole" else profile.column(f"{part}_tokens")  # fmt: skip
    values = values[values > 0]
    top = max(float(values.max(initial=1)), profile.max_len if part == "whole" else 1, 10)
    low = max(1.0, float(values.min(initial=10**9)) / 1.3) if len(values) else 1.0
    span = np.log(top * 1.1 / low)
    edges = low * np.exp(np.linspace(0, span, BINS + 1))
    counts, _ = np.histogram(values, edges)
    tallest, step = max(1, counts.max()), WIDTH / BINS
    bars = []
    for place, count in enumerate(counts):
        if count:
            height = max(1.5, HEIGHT * count / tallest)
            words = said(say("{n:,} rows of {low:,.0f} to {high:,.0f} tokens", n=int(count), low=np.ceil(edges[place]), high=edges[place + 1]))  # fmt: skip
            bars.append(Bar(place * step, HEIGHT - height, step - 1, height, words))

    def x(value: float) -> float:
        return float(np.log(value / low) / span * WIDTH)

    ticks = [(x(value), f"{value:,}") for value in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000) if low <= value <= top]  # fmt: skip
    lengths = profile.lengths.loc[part]
    summary = said(say("median {median:,.0f}, 95% up to {most:,.0f}, longest {longest:,.0f} tokens", median=lengths["p50"], most=lengths["p95"], longest=lengths["max"]))  # fmt: skip
    line = x(profile.max_len) if part == "whole" else None
    return Histogram(said(titles[part]), bars, ticks, line, f"max_len {profile.max_len:,}", summary)


def _shares(profile: Profile, said: Any) -> list[dict[str, Any]]:
    """Lists of names with their counts: task types, languages, turns, roles."""
    lists = {
        say("Task types"): {name or said(say("(none)")): count for name, count in profile.tasks.items()},
        say("Languages of the answers"): {said(_language(name)): count for name, count in profile.languages.items()},
        say("Messages in a conversation"): {str(turns): count for turns, count in profile.turns.items()},
        say("Roles (messages)"): profile.roles,
    }  # fmt: skip
    found = []
    for title, counts in lists.items():
        first, rest = list(counts.items())[:SHOWN], list(counts.values())[SHOWN:]
        if rest:
            first.append((said(say("{n} others", n=len(rest))), sum(rest)))
        total = max(1, sum(counts.values()))
        lines = [{"name": name, "count": f"{count:,}", "share": 100 * count / total} for name, count in first]
        found.append({"title": said(title), "lines": lines})
    return found


def _language(name: str) -> str:
    named = {"en": say("English"), "zh": say("Chinese"), "unknown": say("not told")}
    return named.get(name, name)


@cache
def _template() -> jinja2.Template:
    import jinja2

    source = resources.files("sftkit.data.lens").joinpath("profile.html.jinja").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
