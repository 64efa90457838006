"""What form and monitor bring to the page besides ipywidgets: a style sheet (forms.css) and a guard of keys (forms.js).

The colours are JupyterLab's own variables, so light and dark follow its theme.
"""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_FOLDER = Path(__file__).parent


class Style(anywidget.AnyWidget):
    """An empty widget that carries both onto the page; put it into the box they are for."""

    _esm = _FOLDER / "forms.js"
    _css = _FOLDER / "forms.css"
    # Counts what the kernel has taken note of; until it moves, the page shows that it is waiting for the kernel.
    seen = traitlets.Int(0).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("sft-hidden")


class RunStyle(anywidget.AnyWidget):
    """As Style, for what shows runs (run_monitor.css)."""

    _esm = "export default {}"
    _css = _FOLDER / "run_monitor.css"

    def __init__(self) -> None:
        super().__init__()
        self.add_class("sft-hidden")
