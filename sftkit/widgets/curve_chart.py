"""The chart of LossCurves, kernel half: what is to be seen as synced traits, points as binary frames, questions answered.

The browser half is widgets/src/curves.ts, which draws with uPlot. A FigureWidget of plotly sends whole lines at every
update (960 kB for 20 runs) after 5 MB of JavaScript for every instance; here an update is what is new, after 80 kB.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sftkit.report.lines import AXES, View
from sftkit.widgets.curve_feed import Frame

PATIENCE = 10.0  # seconds after which a frame counts as lost: its page has gone
_STATIC = Path(__file__).parent / "static"


class CurveChart(anywidget.AnyWidget):
    """Draws the frames given to `draw`. `seen` is called when the page is ready for one, and when it wants another view.

    `axis` ("step", "tokens", "seconds"), `log`, `smoothing` (0 to below 1), `evals` ("" and task types) and `span` ([] or
    [low, high] of the x axis) may be set from here and from the page. `setup`: names, colours, dashes, differences.
    """

    _esm = _STATIC / "curves.js"
    _css = _STATIC / "curves.css"
    _labels = traitlets.Dict().tag(sync=True)
    setup = traitlets.Dict().tag(sync=True)
    axis = traitlets.Enum(AXES, "step").tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    smoothing = traitlets.Float(0.0, min=0.0, max=0.999).tag(sync=True)
    evals = traitlets.List(traitlets.Unicode(), [""]).tag(sync=True)
    span = traitlets.List(traitlets.Float(), []).tag(sync=True)

    def __init__(self, points: int, answer: Callable[[dict[str, Any]], None], **traits: Any):
        self._points, self._answer = points, answer
        self.watched, self._sent = (
            False,
            0.0,
        )  # whether a page is there; when the frame on its way was sent (0: none is)
        self.seen: Callable[[bool], None] = lambda again: None
        super().__init__(**traits)
        self.on_msg(self._receive)
        self.observe(lambda _change: self.seen(True), ["axis", "smoothing", "evals", "span"])

    @property
    def view(self) -> View:
        """What is to be seen."""
        low, high = self.span if len(self.span) == 2 else (None, None)
        return View(self.axis, self.smoothing, low, high, tuple(self.evals), self._points)

    @property
    def free(self) -> bool:
        """Whether the page has painted all it was sent."""
        return self.watched and not (self._sent and time.monotonic() - self._sent < PATIENCE)

    def draw(self, frame: Frame) -> None:
        """Send a frame. On the kernel's main thread only."""
        self._sent = time.monotonic()
        self.send(frame.content, buffers=[frame.buffer])

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        kind = content.get("kind")
        if kind == "hello":  # a page has opened: whatever was on its way to another is of no account
            self.watched, self._sent = True, 0.0
            self.seen(True)
        elif kind == "painted":
            self._sent = 0.0
            self.seen(False)
        else:
            self._answer(content)
