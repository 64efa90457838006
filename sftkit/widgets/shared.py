"""One Layout, and one style for each kind of widget, for all widgets of a form: models of their own would double what the
browser has to build."""

from __future__ import annotations

from typing import Any

from ipywidgets import Layout


class Shared:
    """`make(kind, …)`: an ipywidget of that kind with the layout and the style of the others."""

    def __init__(self) -> None:
        self.layout = Layout()
        self._styles: dict[type, Any] = {}

    def make(self, kind: type, *children: Any, css: str = "", **about: Any) -> Any:
        """`css`: class names; given here they cost no message of their own."""
        if kind in self._styles:
            about["style"] = self._styles[kind]
        if css:
            about["_dom_classes"] = tuple(css.split())
        made = kind(*children, layout=self.layout, **about)
        if made.has_trait("style"):
            self._styles.setdefault(kind, made.style)
        return made
