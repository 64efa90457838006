"""A section that a button opens and closes. ipywidgets' own Accordion cannot be opened by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import ToggleButton, VBox


class Fold(VBox):
    """`title` as a button, `content` below it while it is open. `opened()` is called whenever it has been opened.

    `late`: the browser builds the content when it is first opened, not before.
    """

    def __init__(
        self, title: str, content: Any, opened: Callable[[], None] | None = None, *, late: bool = False
    ):
        self._button = ToggleButton(description=title, icon="caret-right", tooltip="")
        self._button.add_class("sft-fold-title")
        self.content, self._opened = content, opened
        content.add_class("sft-hidden")
        super().__init__([self._button] if late else [self._button, content])
        self.add_class("sft-fold")
        self._button.observe(self._turned, "value")

    @property
    def is_open(self) -> bool:
        """Whether the content is in view; set it to open or close."""
        return self._button.value

    @is_open.setter
    def is_open(self, value: bool) -> None:
        self._button.value = value

    @property
    def title(self) -> str:
        """The words on the button."""
        return self._button.description

    @title.setter
    def title(self, words: str) -> None:
        self._button.description = words

    def _turned(self, _change: Any) -> None:
        self._button.icon = "caret-down" if self.is_open else "caret-right"
        if self.is_open:
            self.children = (self._button, self.content)
        (self.content.remove_class if self.is_open else self.content.add_class)("sft-hidden")
        if self.is_open and self._opened:
            self._opened()
