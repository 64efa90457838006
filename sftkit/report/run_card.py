"""The run card: all that a run is and was, as one page that opens offline, as Markdown, and in a notebook cell.

    card = sk.RunCard(run)               # or: sftkit card runs/2026… --html card.html --md card.md
    card.to_html("card.html"); card.to_markdown("card.md")

Settings, data with hashes and counts, versions, machine, times, the curve, eval loss by task, answers, why it failed if
it did, and a cell that launches the run anew. No script, nothing loaded from anywhere, no secrets; every text that came
from data or a model is escaped.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftkit.report.page import template
from sftkit.report.run_facts import Answers, Section, Table, sections, summary
from sftkit.report.scrub import Scrub
from sftkit.report.words import visible
from sftkit.wording import in_language, say

# What Markdown would take for its own: anywhere, at the beginning of a line, and in what it makes links of unasked.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~$&@!]|^[-+=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|:(?=//)|(?<=mailto):|(?<=xmpp):|(?<=www)\.)", re.IGNORECASE)  # fmt: skip

PAGE = "run_card.html.jinja"


class RunCard:
    """The card of `run` in "en" or "zh", as its folder is at this moment; of a run that still trains, so far.

    Raises `RunError` when the run's folder is damaged.
    """

    def __init__(self, run: Any, lang: str = "en"):
        self.run, self._lang = run, lang
        scrub = Scrub(run.record.get("cwd") or ".")
        self.title = in_language(say("Run {name}", name=run.id), lang)
        self.summary = summary(run, scrub, lang)
        self.sections = sections(run, scrub, lang)

    def to_html(self, path: str | Path) -> Path:
        """One self-contained file. Returns its path."""
        return _write(path, self.html())

    def to_markdown(self, path: str | Path) -> Path:
        """A Markdown file, and the curve as a PNG beside it. Returns the path of the first."""
        path = Path(path)
        pictures = [section.picture for section in self.sections if section.picture]
        name = f"{path.stem}-loss.png"
        _write(path, self.markdown(name))
        for picture in pictures:
            path.with_name(name).write_bytes(picture)
        return path

    def html(self) -> str:
        """The page of `to_html`."""
        return template(PAGE).render(whole=True, **self._content())

    def markdown(self, picture: str = "") -> str:
        """The text of `to_markdown`; `picture`: the file of the curve, none: without it."""
        head = [f"# {plain(self.title)}", *map(plain, self.summary)]
        body = [part for section in self.sections for part in _markdown(section, picture, self._said)]
        return "\n\n".join([*head, *body, plain(self._made())]) + "\n"

    def _repr_html_(self) -> str:
        return template(PAGE).render(whole=False, **self._content())

    def __repr__(self) -> str:
        return f"RunCard({self.run.id!r}: {', '.join(section.title for section in self.sections)})"

    def _said(self, words: str, **values: str) -> str:
        """A sentence of the card's own, in its language."""
        return in_language(say(words, **values), self._lang)

    def _made(self) -> str:
        return in_language(say("Made {day} by sftkit.", day=datetime.date.today().isoformat()), self._lang)

    def _content(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "summary": self.summary,
            "sections": self.sections,
            "made": self._made(),
            "said": self._said,
            "lang": self._lang,
        }


def _write(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Markdown


def plain(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML any more, and nothing steers a terminal."""
    return _MARKS.sub(r"\\\1", visible(" ".join(text.split())))


def fenced(text: str, kind: str = "") -> str:
    """Text in a fence longer than any in it; as it stands, but for signs that steer a terminal."""
    text = "\n".join(visible(line) for line in text.expandtabs().split("\n"))
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def _markdown(section: Section, picture: str, said: Callable[[str], str]) -> list[str]:
    parts = [f"## {plain(section.title)}"]
    parts += [plain(section.about)] if section.about else []
    for table in section.tables:
        shown = _table(table)
        parts.append(f"<details><summary>{plain(table.fold)}</summary>\n\n{shown}\n\n</details>" if table.fold else shown)  # fmt: skip
    if section.picture and picture:
        parts.append(f"![{plain(section.alt)}]({picture})")
    elif section.picture:
        parts.append(plain(section.alt))
    parts += [fenced(section.text, "text")] if section.text else []
    parts += [part for one in section.answers for part in _answers(one, said)]
    return [*parts, fenced(section.code, "python")] if section.code else parts


def _table(table: Table) -> str:
    aligned = ["---:" if place in table.numeric else "---" for place in range(len(table.columns))]
    lines = [[plain(cell) or " " for cell in row] for row in (table.columns, *table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], aligned, *lines[1:]))


def _answers(one: Answers, said: Callable[[str], str]) -> list[str]:
    parts = [f"**{said('Prompt')}**{f' ({plain(one.task)})' if one.task else ''}", fenced(one.prompt, "text")]
    if one.reference:
        parts += [said("Reference"), fenced(one.reference, "text")]
    for name, answer in one.answers:
        parts += [plain(name), fenced(answer or said("(empty answer)"), "text")]
    return parts
