"""What the `sftkit` command writes to a terminal: a terminal obeys control characters, and a model's answer, a run's last
words or a project's name may hold some (another title, a line drawn over, keys typed for the user)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)  # C0 and C1; text turned round
_PASSWORD = re.compile(r"\w://[^/\s:@]*:[^/\s@]+@")


def harmless(text: str) -> str:
    """The text without what a terminal would obey; line ends and tabs stay."""
    return _CONTROLS.sub("�", text)


class _Harmless:
    """Something to show, its words made harmless; rich's own colours are made after that."""

    def __init__(self, shown: ConsoleRenderable):
        self.shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in console.render(self.shown, options):
            yield part if part.control else Segment(harmless(part.text), part.style)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(shown) for shown in renderables]


def console_of(**options: Any) -> Console:
    """A console that shows texts as they are: no markup (a folder may be called [red]), no control characters."""
    console = Console(highlight=False, markup=False, **options)
    console.push_render_hook(_Hook())
    return console


def warn_of_passwords(words: Iterable[str] | None = None) -> None:
    """Say so where the command line holds a password: every user of this machine can read it there."""
    if any(_PASSWORD.search(word) for word in (sys.argv[1:] if words is None else words)):
        console_of(stderr=True).print(
            "Warning: the password in that address can be read by everybody on this machine while the command runs. "
            "Leave it out: PostgreSQL takes it from PGPASSWORD or ~/.pgpass, the judge's endpoint from OPENAI_BASE_URL.",
            style="yellow",
        )
