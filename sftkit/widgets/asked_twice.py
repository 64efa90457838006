"""A button for what cannot be undone: the first press asks, beside it, and only the second one acts."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any

from ipywidgets import HTML, Button, HBox

from sftkit.widgets.background import Debounced, running_loop
from sftkit.widgets.labels import label

TOO_SOON = 0.5  # seconds: a second press within them is the other half of a double click, or a key held down
GIVEN_UP = 20.0  # seconds after which a question that nobody answers is withdrawn


class AskedTwice(HBox):
    """`words` on the button; pressed, it says `sure` and shows `question()` beside; pressed again it calls `action()`.

    The same button asks and acts, so that the keyboard's focus stays where it is. `.disabled` as of a button. needed:
    where it returns False, the first press acts.
    """

    def __init__(
        self,
        words: str,
        sure: str,
        question: Callable[[], str],
        action: Callable[[], None],
        *,
        icon: str = "",
        lang: str | None = None,
        needed: Callable[[], bool] | None = None,
    ):
        self._words, self._sure, self._question, self._action = words, sure, question, action
        self._needed = needed
        self.button = Button(description=words, icon=icon)
        self.button.on_click(self._pressed)
        self._asked = HTML()
        self.no = Button(description=label("twice.no", lang))
        self.no.on_click(lambda _button: self.withdraw())
        self._asked_at: float | None = None
        self._give_up = Debounced(self.withdraw, GIVEN_UP)
        super().__init__([self.button])
        self.add_class("sft-twice")

    @property
    def asking(self) -> bool:
        """Whether the question stands."""
        return self._asked_at is not None

    @property
    def disabled(self) -> bool:
        return self.button.disabled

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self.button.disabled = value

    def withdraw(self) -> None:
        """Take the question back."""
        self._give_up.cancel()
        self._asked_at = None
        self.button.description, self.button.button_style = self._words, ""
        self.children = (self.button,)

    def _pressed(self, _button: Any) -> None:
        if self._asked_at is None:
            self._ask() if self._needed is None or self._needed() else self._action()
        elif time.monotonic() - self._asked_at >= TOO_SOON:
            self.withdraw()
            self._action()

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._asked.value = f"<span role='alert'>{escape(self._question())}</span>"
        self.button.description, self.button.button_style = self._sure, "danger"
        self.children = (self.button, self.no, self._asked)
        if running_loop() is not None:
            self._give_up.request()
