"""The buttons of one run: stop and save, stop now, resume, duplicate, delete; those that make sense now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipywidgets import Button, HBox

from sftkit.runs import folder as disk
from sftkit.widgets.asked_twice import AskedTwice
from sftkit.widgets.labels import label
from sftkit.widgets.run_look import Seen

if TYPE_CHECKING:
    from sftkit.widgets.run_monitor import RunMonitor


class RunButtons(HBox):
    """Buttons for the methods of a monitor. `show(seen)` hides those that make no sense; `busy` turns all off."""

    def __init__(self, monitor: RunMonitor, lang: str | None = None):
        self._monitor, self._lang, self._busy, self._seen = monitor, lang, False, None
        self.stop = self._button("monitor.stop", "stop", monitor.stop)
        self.kill = self._twice(
            "monitor.kill", "monitor.kill_sure", "monitor.kill_ask", "bolt", monitor.stop_now
        )
        self.resume = self._button("monitor.resume", "play", monitor.resume)
        self.duplicate = self._button("monitor.duplicate", "clone", monitor.duplicate)
        self.delete = self._twice("monitor.delete", "monitor.delete_sure", "monitor.delete_ask", "trash", monitor.delete)  # fmt: skip
        super().__init__([self.stop, self.kill, self.resume, self.duplicate, self.delete])
        self.add_class("sft-actions")

    def _button(self, words: str, icon: str, action: Any) -> Button:
        button = Button(description=label(words, self._lang), icon=icon)
        button.on_click(lambda _button: action())
        return button

    def _twice(self, words: str, sure: str, ask: str, icon: str, action: Any) -> AskedTwice:
        def question() -> str:
            run = self._monitor.run
            count = len(disk.complete_checkpoints(run.checkpoints))
            size = disk.size_words(disk.size_of(run.folder))
            return label(ask, self._lang, checkpoints=count, size=size)

        words, sure = label(words, self._lang), label(sure, self._lang)
        return AskedTwice(words, sure, question, action, icon=icon, lang=self._lang)

    @property
    def busy(self) -> bool:
        """Whether something is being done to the run."""
        return self._busy

    @busy.setter
    def busy(self, value: bool) -> None:
        self._busy = value
        self._turn_off()

    def show(self, seen: Seen) -> None:
        """Show the buttons that make sense now."""
        self._seen = seen
        for name in ("stop", "kill", "resume", "duplicate", "delete"):
            button = getattr(self, name)
            (button.remove_class if name in seen.can else button.add_class)("sft-hidden")
            if isinstance(button, AskedTwice) and button.asking and name not in seen.can:
                button.withdraw()
        self._turn_off()

    def _turn_off(self) -> None:
        seen = self._seen
        asked = seen is not None and (seen.stop_asked or seen.status.state == "stopping")
        for button in (self.kill, self.resume, self.duplicate, self.delete):
            button.disabled = self._busy
        self.stop.disabled = self._busy or (asked and seen.status.state != "stopped")
