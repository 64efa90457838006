"""The style sheet of form and monitor, from forms.css: JupyterLab's own colours, so that light and dark follow its theme."""

from __future__ import annotations

from functools import cache
from importlib import resources

from ipywidgets import HTML


def style_sheet() -> HTML:
    """An empty widget that carries the style sheet onto the page."""
    sheet = HTML(f"<style>{_css()}</style>")
    sheet.add_class("sft-hidden")
    return sheet


@cache
def _css() -> str:
    return resources.files("sftkit.widgets").joinpath("forms.css").read_text(encoding="utf-8")
