"""A section that a button opens and closes. ipywidgets' own Accordion cannot be opened by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import ToggleButton, VBox, Widget

from sftkit.widgets.shared import Shared


class Fold(VBox):
    """`title` as a button, `content` below it while it is open. `opened()` is called whenever it has been opened.

    `content` may be a function that makes it: called when it is first opened, so what stays closed costs nothing.
    """

    def __init__(
        self,
        title: str,
        content: Any,
        opened: Callable[[], None] | None = None,
        *,
        shared: Shared | None = None,
    ):
        shared = shared or Shared()
        self._button = shared.make(
            ToggleButton, description=title, icon="caret-right", tooltip="", css="sft-fold-title"
        )
        self._opened, self._make = opened, None if isinstance(content, Widget) else content
        self.content = content if self._make is None else None
        if self.content is not None:
            self.content.add_class("sft-hidden")
        shown = [self._button, *([self.content] if self.content is not None else [])]
        super().__init__(shown, layout=shared.layout, _dom_classes=("sft-fold",))
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
        if self.is_open and self.content is None:
            self.content = self._make()
            self.children = (self._button, self.content)
        if self.content is not None:
            (self.content.remove_class if self.is_open else self.content.add_class)("sft-hidden")
        if self.is_open and self._opened:
            self._opened()
