"""The report as HTML, for a notebook cell and as one file that opens offline.

No script and nothing loaded from anywhere; prompts, answers and names are hostile and escaped by jinja2 (autoescape). A
figure with examples behind it is a link to them, further down in the file; in a notebook, which keeps such links to itself, it
opens them over the page (HTML's popover).
"""

from __future__ import annotations

import datetime
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jinja2

from sftkit.errors import ReportError
from sftkit.ratings.rating import SIMULATED
from sftkit.report import words
from sftkit.report.examples import Example, absent, find, title_of
from sftkit.report.parts import PARTS, sections
from sftkit.report.shown import WIDTH, Cell, Section, Where, cells, how
from sftkit.wording import in_language, listed, say

PAGE = "page.html.jinja"
EACH = 2  # comparisons behind a figure on a page; the widget has more
MOST = 160  # figures on a page that have examples
SIZE = 1_500_000  # characters of all examples on a page
CELL_SIZE = 50_000  # in a notebook, which keeps them in its file


@lru_cache(maxsize=8)
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


def fragment(report: Any, lang: str = "en") -> str:
    """For a notebook cell; takes its colours from the theme."""
    return template(PAGE).render(whole=False, **_content(report, lang, popover=True))


def whole_page(report: Any, lang: str = "en") -> str:
    """A file of its own; light or dark as the reader's system is."""
    return template(PAGE).render(whole=True, **_content(report, lang))


def section_html(made: list[Section], places: Places, lang: str) -> str:
    """Sections alone, for the widget."""
    return template("sections.html.jinja").module.sections(made, Words(lang), places)


def examples_html(title: str, found: list[Example], lang: str) -> str:
    """Examples alone, for the widget."""
    return template("sections.html.jinja").module.examples(title, found, Words(lang))


def head_html(report: Any, lang: str) -> str:
    """Alarms, headline and facts alone, for the widget."""
    return template("sections.html.jinja").module.head(*_head(report), Words(lang))


class Words:
    """Says the page's own sentences in a language; what was never said by `say` stays as it is."""

    width = WIDTH

    def __init__(self, lang: str):
        if lang not in ("en", "zh"):
            raise ReportError(f"no report in {lang!r}; languages: en, zh")
        self.lang = lang

    def __call__(self, text: Any) -> str:
        return in_language(text, self.lang) if isinstance(text, str) else str(text)

    @staticmethod
    def row_tip(row: list[Cell]) -> str:
        """The tooltip that most cells of a row share: written once, since a cell without one shows that of its row."""
        tips = Counter(cell.tip for cell in row if cell.tip)
        tip, count = tips.most_common(1)[0] if tips else ("", 0)
        return tip if count > 1 else ""

    def absent(self, model: str) -> str:
        """In the place of an answer that is not known."""
        return self(absent(model))

    def own(self, name: str) -> str:
        """One of OWN."""
        return self(OWN[name])


OWN = {
    "empty": say("(empty answer)"),
    "won": how("win_rates"),
    "how": say("How it is made"),
    "prompt": say("prompt"),
    "reference": say("reference"),
    "said": say("who said what"),
    "none": say("No such comparison is known."),
    "examples": say("Examples"),
    "about": say("The comparisons behind the figures that are links."),
    "others": say("All raters and models in words"),
    "legend": say("Bars: blue won, orange lost, grey no clear difference; the line is the 95 % interval."),
}


class Places:
    """A name on the page for every set of comparisons: the anchor of its examples, and what the widget asks for."""

    def __init__(self, allowed: set[Where] | None = None, popover: bool = False):
        self._allowed, self._prefix, self.popover = allowed, f"x{uuid.uuid4().hex[:6]}", popover
        self.all: dict[Where, str] = {}

    def __call__(self, where: Where | None) -> str:
        """The name; "" where there is nothing to see."""
        if where is None or (self._allowed is not None and where not in self._allowed):
            return ""
        return self.all.setdefault(where, f"{self._prefix}-{len(self.all)}")

    def where(self, name: str) -> Where | None:
        """What a name stands for."""
        return next((where for where, known in self.all.items() if known == name), None)


def _head(report: Any) -> tuple[list[str], str, list[str], str]:
    """Alarms, the first sentence, the others, and what they rest on."""
    lines = report.headlines
    return report.alarms, lines[0], lines[1:], facts(report) if len(report.votes) else ""


def facts(report: Any) -> str:
    """How much the report rests on."""
    votes = report.votes
    raters = votes["rater"].astype(str).unique()
    judges = sum(r.startswith("judge:") for r in raters)
    return say(
        "{votes} by {humans} and {judges} on {prompts}, {unscored} unscored.",
        votes=words.count(len(votes), say("{n} vote", n=1), say("{n} votes", n=f"{len(votes):,}")),
        humans=_people(raters),
        judges=words.count(judges, say("{n} judge", n=1), say("{n} judges", n=judges)),
        prompts=words.count(prompts := votes["prompt_id"].nunique(), say("{n} prompt", n=1), say("{n} prompts", n=f"{prompts:,}")),
        unscored=f"{int(votes['outcome'].isna().sum()):,}",
    )  # fmt: skip


def _people(raters: Iterable[str]) -> str:
    """How many humans; raters that are simulated are counted as what they are."""
    made = sum(r.startswith(SIMULATED) for r in raters)
    humans = sum(r.startswith("human:") for r in raters) - made
    people = words.count(humans, say("{n} human", n=1), say("{n} humans", n=humans))
    if not made:
        return people
    rules = words.count(made, say("{n} simulated rater", n=1), say("{n} simulated raters", n=made))
    return listed([people, rules]) if humans else rules


def title(report: Any) -> str:
    """Which models against which."""
    models = list(dict.fromkeys(report.win_rates["model"]))
    if not models:
        return say("No votes yet")
    return say("{models} against {baseline}", models=", ".join(map(str, models)), baseline=report.baseline)


def _content(report: Any, lang: str, popover: bool = False) -> dict[str, Any]:
    parts = [(name, PARTS[name][0], sections(report, name)) for name in PARTS] if len(report.votes) else []
    shown = [section for *_, made in parts for section in made]
    examples = _examples(report, shown, 1, CELL_SIZE) if popover else _examples(report, shown, EACH, SIZE)
    places = Places(set(examples), popover)
    for where in examples:
        places(where)
    alarms, first, others, rests = _head(report)
    return {
        "title": title(report),
        "alarms": alarms,
        "headline": first,
        "others": others,
        "facts": rests,
        "parts": parts,
        "examples": [(places(where), title_of(where), found) for where, found in examples.items()],
        "places": places,
        "said": Words(lang),
        "made": say("Made {day} by sftkit.", day=datetime.date.today().isoformat()),
    }


def _examples(report: Any, made: list[Section], each: int, room: int) -> dict[Where, list[Example]]:
    """Examples of the first figures, as many as there is room for (characters)."""
    found: dict[Where, list[Example]] = {}
    if report.answers.empty:
        return found
    for where in dict.fromkeys(cell.where for cell in cells(made) if cell.where):
        some = find(report, where, each)
        room -= sum(map(_size, some))
        if room < 0 or len(found) >= MOST:
            break
        if some:
            found[where] = some
    return found


def _size(one: Example) -> int:
    """Characters of its HTML, about."""
    said = sum(120 + len(who.rater) + len(who.scores) + len(who.note) for who in one.said)
    return 600 + len(one.prompt) + len(one.reference) + sum(len(text or "") for _, text in one.answers) + said
