"""Frames to the browser, one at a time: the next is sent when a page has taken in the last, so that a slow connection
drops frames and neither the kernel nor the line fills up with them.

    pace = Pace()                  # a child of the widget it is for
    if pace.free:
        …                          # set traits, send messages: a frame
        pace.sent()
"""

from __future__ import annotations

import time
from typing import Any

import anywidget
import traitlets

UNANSWERED = 1.0  # seconds between frames as long as no page has ever answered (a script, nbconvert, a page that loads)


class Pace(anywidget.AnyWidget):
    """Counts frames, and hears from the pages which of them they have taken in and whether anybody has them in view.

    A page handles messages in their order: when it sees the new number, all that was sent before it is done. Several
    pages may show the same widget; the quickest sets the pace.
    """

    _esm = """
    export default {
      initialize: ({ model }) => model.on("change:frame", () => model.send({ seen: model.get("frame") })),
      render: ({ model, el }) => {
        const view = crypto.randomUUID?.() ?? String(Math.random());
        el.style.display = "none";
        model.send({ seen: model.get("frame"), view, shown: true });
        return () => model.send({ view, shown: false });
      },
    };
    """
    frame = traitlets.Int(0).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._seen: int | None = None  # the newest frame that a page has taken in
        self._views: set[str] = set()
        self._sent_at = 0.0
        self.on_msg(self._heard)

    @property
    def free(self) -> bool:
        """Whether the next frame may be sent: the last one was taken in, and somebody has it in view."""
        if self._seen is None:
            return time.monotonic() - self._sent_at >= UNANSWERED
        return self._seen >= self.frame and bool(self._views)

    def sent(self) -> None:
        """A frame has been sent; call it after all of its parts."""
        self._sent_at = time.monotonic()
        self.frame += 1

    def _heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if isinstance(seen := content.get("seen"), int):
            self._seen = max(self._seen or 0, min(seen, self.frame))
        if view := content.get("view"):
            (self._views.add if content.get("shown") else self._views.discard)(str(view))
