"""Preflight beside a form that is being filled in: what can be said at once, then what takes longer.

Both run in threads; answers to questions that are no longer asked are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.config import SFTConfig
from sftkit.widgets.background import in_background, running_loop

if TYPE_CHECKING:
    from sftkit.runs import Finding


def preflight(*about: Any) -> list[Finding]:
    """sftkit.runs.preflight, imported by the thread that makes the first check: the form is on the page by then."""
    from sftkit.runs import preflight as look

    return look(*about)


SUGGESTED = 40  # names offered at a time

Show = Callable[[list["Finding"], bool], None]


class FormCheck:
    """`ask(settings, typed)`: `show(findings, final)` is called with the first findings, and again with all of them.

    The first ones come with those that only the last thorough check could make, as far as they are about settings that
    are still the same: so nothing flickers, and nothing is shown of what has changed. `offer(names)` gets, for each path
    in `typed`, the files and folders that begin so.
    """

    def __init__(self, runs_dir: str | Path, show: Show, offer: Callable[[dict], None], failed: Callable):
        self._runs_dir, self._show, self._offer, self._failed = runs_dir, show, offer, failed
        self._asked = 0  # number of the newest question
        self._slow: list[Finding] = []  # what only the last thorough check found
        self._settings: dict[str, Any] = {}  # and of which settings

    def ask(self, settings: dict[str, Any], typed: dict[str, str]) -> None:
        """Look at settings, which may be unsound."""
        self._asked += 1
        number = self._asked

        def first() -> tuple[list[Finding], dict[str, list[str]]]:
            offers = {name: suggestions(text) for name, text in typed.items()}
            return preflight(settings, self._runs_dir, "instant"), offers

        def then(seen: tuple[list[Finding], dict[str, list[str]]]) -> None:
            if number != self._asked:
                return
            quick, offers = seen
            self._offer(offers)
            if running_loop() is not None:  # else the whole answer is there in a moment
                self._show([*quick, *self._still_true(settings, quick)], False)
            in_background(lambda: preflight(settings, self._runs_dir), lambda all_: last(all_, quick), self._failed)  # fmt: skip

        def last(found: list[Finding], quick: list[Finding]) -> None:
            if number == self._asked:
                self._slow, self._settings = [each for each in found if each not in quick], settings
                self._show(found, True)

        in_background(first, then, self._failed)

    def _still_true(self, settings: dict[str, Any], quick: list[Finding]) -> list[Finding]:
        changed = {name for name in SFTConfig.model_fields if settings.get(name) != self._settings.get(name)}
        return [each for each in self._slow if each.field not in changed and each not in quick]


def suggestions(typed: str) -> list[str]:
    """Files and folders whose path begins as `typed` does, for the list under a path's input."""
    start = Path(typed or ".").expanduser()
    folder = start if typed.endswith(("/", os.sep)) or not typed else start.parent
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    offered = [f"{path}/" if path.is_dir() else str(path) for path in names]
    return [path for path in offered if path.startswith(typed) and path != typed][:SUGGESTED]
