"""The end of a run's log, and a search through all of it that filters while one types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any

from ipywidgets import HTML, HBox, Text, VBox

from sftkit.runs import Run
from sftkit.runs import folder as disk
from sftkit.runs.log_search import LogSearch, plain
from sftkit.widgets.background import Debounced, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label

LINES = 300  # lines sent to the browser
TYPING = 0.25  # seconds without a key after which what was typed is searched for


@dataclass(frozen=True)
class Lines:
    """What there is to show: lines of the log, numbered where they were searched for."""

    words: str
    lines: list[tuple[int | None, str]]
    count: int = 0
    total: int = 0


class LogPane(VBox):
    """The log of `run`: its last lines, or those with the words in `.search`, of the whole file."""

    def __init__(self, run: Run, errors: ErrorRoom, lang: str | None = None):
        self.errors, self._lang = errors, lang
        self.search = Text(placeholder=label("monitor.log_search", lang), continuous_update=True)
        self.search.add_class("sft-search")
        self.count, self.page = HTML(), HTML()
        self._typed = Debounced(self.refresh, TYPING)
        self.follow(run)
        self.search.observe(lambda _change: self._on_typed(), "value")
        super().__init__([HBox([self.search, self.count]), self.page])

    def follow(self, run: Run) -> None:
        """Show the log of this run from now on."""
        self.run, self._searched, self._known = run, None, None

    def read(self) -> Lines | None:
        """What there is to show; None when it is shown already. In any thread."""
        path, words = self.run.folder / disk.LOG, self.search.value.strip()
        file = path.stat() if path.is_file() else None
        key = (path, words, file and (file.st_size, file.st_mtime_ns))
        if key == self._known:
            return None
        self._known = key
        if not words:
            text = plain(disk.tail(path, LINES))
            return Lines("", [(None, line) for line in text.split("\n")] if text else [])
        search = self._searched
        if search is None or search.words != words or search.path != path:
            self._searched = search = LogSearch(path, words, LINES)
        search.go_on()
        return Lines(words, list(search.lines), search.count, search.total)

    def show(self, read: Lines | None) -> None:
        """Show what `read` gave, unless other words have been typed since. On the kernel's loop."""
        if read is None or read.words != self.search.value.strip():
            return
        self.count.value = f"<span class='sft-help' role='status'>{escape(self._count(read))}</span>"
        lines = "".join(f"{_number(number)}{_marked(line, read.words)}\n" for number, line in read.lines)
        empty = "monitor.log_none" if read.words else "monitor.log_empty"
        lines = lines or escape(label(empty, self._lang))
        self.page.value = f"<div class='sft-log' tabindex='0'><pre>{lines}</pre></div>"

    def _count(self, read: Lines) -> str:
        if not read.words:
            return ""
        words = label("monitor.log_count", self._lang, n=f"{read.count:,}", total=f"{read.total:,}")
        return words + (
            label("monitor.log_last", self._lang, n=LINES) if read.count > len(read.lines) else ""
        )

    def refresh(self) -> None:
        """Look now, in a thread."""
        in_background(self.read, self.show, self.errors.show)

    @shown
    def _on_typed(self, _change: Any = None) -> None:
        if self.search.value.strip():
            words = escape(label("monitor.log_searching", self._lang))
            self.count.value = f"<span class='sft-help' role='status'>{words}</span>"
        self._typed.request()


def _number(number: int | None) -> str:
    return "" if number is None else f"<span class='sft-line'>{number}</span>"


def _marked(line: str, words: str) -> str:
    """A line with the words in it marked. Each part is escaped by itself: what is marked is never half an entity."""
    if not words:
        return escape(line)
    parts = re.split(f"({re.escape(words)})", line, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{escape(part)}</mark>" if place % 2 else escape(part) for place, part in enumerate(parts)
    )
