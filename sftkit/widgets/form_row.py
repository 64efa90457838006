"""An input of a form with what is said of it."""

from __future__ import annotations

from html import escape
from typing import Any

from ipywidgets import HTML, Box


class Row(Box):
    """An input with its help beside it, and faults under that."""

    def __init__(self, made: Any, words: str):
        self.input, self._help = made, words
        self._note = HTML()
        super().__init__([made, self._note])
        self.add_class("sft-row")
        self.show([])

    def show(self, faults: list[str], more: str = "") -> None:
        notes = "".join(
            f"<span class='sft-note sft-stop' role='alert'>{escape(words)}</span>" for words in faults
        )
        self._note.value = f"{notes}{more}<span class='sft-help'>{escape(self._help)}</span>"
        (self.add_class if faults else self.remove_class)("sft-has-stop")
