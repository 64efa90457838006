"""Errors in callbacks, shown under the widget they happened in instead of being lost in the server's log.

class Thing(VBox):
    def __init__(self):
        self.errors = ErrorRoom()

    @shown
    def _on_click(self, _button): ...
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from functools import cached_property
from html import escape
from typing import Any

from ipywidgets import HTML, Button, VBox

from sftkit.errors import SftkitError
from sftkit.widgets.labels import label

KEPT = 3  # errors shown at a time; older ones are in the log
_log = logging.getLogger(__name__)


class ErrorRoom(VBox):
    """The last errors of a widget, newest first, each with its traceback one click away; empty while all is well."""

    def __init__(self, lang: str | None = None):
        self._lang, self._seen = lang, {}  # words and traceback -> how often
        super().__init__(_dom_classes=("sft-errors",))

    @cached_property
    def _text(self) -> HTML:
        return HTML()

    @cached_property
    def _dismiss(self) -> Button:
        button = Button(description=label("error.dismiss", self._lang))
        button.on_click(lambda _button: self.clear())
        return button

    @property
    def messages(self) -> list[str]:
        """The words of the errors shown, newest first."""
        return [words for words, _ in self._seen]

    def show(self, error: Exception) -> None:
        """Show an error; the same one again is counted."""
        _log.error("in a widget's callback", exc_info=error)
        name = "" if isinstance(error, SftkitError) else f"{type(error).__name__}: "
        key = (f"{name}{error}", "".join(traceback.format_exception(error)))
        self._seen = {key: self._seen.pop(key, 0) + 1, **self._seen}
        self._seen = dict(list(self._seen.items())[:KEPT])
        self._text.value = "".join(self._card(*key, count) for key, count in self._seen.items())
        self.children = (self._text, self._dismiss)

    def clear(self) -> None:
        """Take what is shown away."""
        self._seen, self.children = {}, ()

    def _card(self, words: str, trace: str, count: int) -> str:
        times = f" ({label('error.times', self._lang, n=count)})" if count > 1 else ""
        return (
            f"<div class='sft-error' role='alert'><b>{escape(label('error.title', self._lang))}{escape(times)}</b>"
            f"<div class='sft-words'>{escape(words)}</div>"
            f"<details><summary>{escape(label('error.traceback', self._lang))}</summary>"
            f"<pre>{escape(trace)}</pre></details></div>"
        )


def shown(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose exceptions go to `self.errors` (an ErrorRoom) instead of out of it; it then returns None."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.errors.show(error)
            return None

    return guarded
