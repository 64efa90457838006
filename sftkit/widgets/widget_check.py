"""Do widgets work here? A line that says so, by the one means that proves it: page and kernel answer each other.

sk.WidgetCheck()            # a green line: all is well; this text instead: what is missing, and what to do
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sftkit.widgets.labels import label

_FOLDER = Path(__file__).parent


class WidgetCheck(anywidget.AnyWidget):
    """Shows whether this page draws widgets and its kernel answers them, and in how many milliseconds.

    `.answered`: whether a page has asked, which it does once no cell is running. Where the page draws no widgets it shows
    what to install instead. lang: "en", "zh" or None for the language of `sk.set_language`.
    """

    _esm = _FOLDER / "widget_check.js"
    _css = _FOLDER / "widget_check.css"
    _labels = traitlets.Dict().tag(sync=True)

    def __init__(self, lang: str | None = None):
        self.answered, self._lang = False, lang
        super().__init__(_labels={key: label(key, lang) for key in ("check.asking", "check.works")})
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, _content: Any, _buffers: Any) -> None:
        self.answered = True
        self.send({"kind": "yes"})

    def __repr__(self) -> str:
        return label("check.text", self._lang)
