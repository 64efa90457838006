"""The form's dry run: three real steps, what they took, and what would mend them where they fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, HBox, VBox

from sftkit.config import SFTConfig
from sftkit.errors import DryRunError
from sftkit.widgets.background import in_background, on_loop
from sftkit.widgets.errors import ErrorRoom
from sftkit.widgets.labels import label
from sftkit.widgets.setting_rows import Fix, fix_button

if TYPE_CHECKING:
    from sftkit.runs.dry_run import DryRun

PACE = 0.3  # seconds between two lines shown


class DryRunPanel(VBox):
    """Empty until `start(config)`; then the last line said, a button that cancels, and at the end the figures.

    `.result` is the DryRun that is shown, `.running` whether one is being made. `ended()` is called at its end.
    """

    def __init__(
        self, runs_dir: str | Path, fix: Fix, ended: Callable[[], None], errors: ErrorRoom, lang: str | None
    ):
        self._runs_dir, self._fix, self._ended, self._errors, self._lang = runs_dir, fix, ended, errors, lang
        self.result: DryRun | None = None
        self.config: SFTConfig | None = None  # that of the dry run shown
        self.running = False
        self._stop = threading.Event()
        super().__init__(_dom_classes=("sft-dry-run",))

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    @cached_property
    def _page(self) -> HTML:
        return HTML()

    @cached_property
    def _fixes(self) -> HBox:
        return HBox()

    @cached_property
    def cancel_button(self) -> Button:
        """There while one is being made."""
        button = Button(description=self._("form.dry_cancel"), icon="stop")
        button.on_click(lambda _button: self.cancel())
        return button

    def start(self, config: SFTConfig) -> None:
        """Begin, unless one is being made."""
        if self.running:
            return
        self.running, self.result, self.config = True, None, config
        self._stop, begun, shown = threading.Event(), time.monotonic(), [0.0]
        say = on_loop(lambda line: self._progress(line, begun))

        def progress(line: str) -> None:  # from the thread, and from a run that may say much at once
            if time.monotonic() - shown[0] > PACE:
                shown[0] = time.monotonic()
                say(line)

        def work() -> DryRun:
            from sftkit.runs.dry_run import dry_run

            return dry_run(config, self._runs_dir, progress=progress, cancel=self._stop)

        self._progress(self._("form.dry_start"), begun)
        self.children = (self._page, self.cancel_button)
        in_background(work, self._done, self._failed)

    def cancel(self) -> None:
        """End the one that is being made; its processes are killed."""
        self._stop.set()

    def _progress(self, line: str, begun: float) -> None:
        if self.running:
            words = self._("form.dry_running", seconds=round(time.monotonic() - begun), line=line)
            self._page.value = f"<span class='sft-help' role='status'>{escape(words)}</span>"

    def _done(self, result: DryRun) -> None:
        self.result = result
        self._finish(self._table(result), [])

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, DryRunError):
            self._finish("", [])
            self._errors.show(error)
        elif self._stop.is_set():
            self._finish(self._note("inform", self._("form.dry_cancelled")), [])
        else:
            from sftkit.widgets.why import words as words_of  # knows every failure: numpy and all

            cause = error.diagnosis
            words = ". ".join(words_of(cause, self._lang)) if cause else str(error)
            details = f"<details><summary>{escape(self._('error.traceback'))}</summary><pre>{escape(str(error))}</pre></details>"  # fmt: skip
            title = f"<b>{escape(self._('form.dry_failed'))}</b>"
            page = (
                f"<div class='sft-error'>{title}<div class='sft-words'>{escape(words)}</div>{details}</div>"
            )
            self._finish(page, list(cause.fixes) if cause else [])

    def _finish(self, page: str, fixes: list[Any]) -> None:
        self.running = False
        self._page.value = page
        self._fixes.children = [
            fix_button(finding, self._fix, self._lang) for finding in fixes if finding.fix
        ]
        self.children = (self._page, self._fixes) if page else ()
        self._ended()

    def compare(self, config: SFTConfig | None) -> None:
        """Say so where the figures shown are not those of `config`."""
        if self.result is not None:
            old = self._note("warn", self._("form.dry_others")) if config != self.config else ""
            self._page.value = old + self._table(self.result)

    def _note(self, level: str, words: str) -> str:
        return f"<span class='sft-note sft-{level}' role='status'>{escape(words)}</span>"

    def _table(self, result: DryRun) -> str:
        sizes = result.sizes
        rows = {
            "form.dry_device": f"{result.device} × {result.processes}",
            "form.dry_memory": self._("form.dry_memory_of", used=sizes["used"], total=sizes["total"]),
            "form.dry_step": self._(
                "form.dry_step_is",
                seconds=f"{result.seconds_per_step:.3g}",
                tokens=f"{result.tokens_per_second:,.0f}",
            ),
            "form.dry_all": self._(
                "form.dry_all_is",
                steps=f"{result.total_steps:,}",
                tokens=f"{result.tokens:,}",
                time=self._time(result.seconds_total),
            ),
            "form.dry_checkpoint": sizes["checkpoint"],
        }
        cells = "".join(
            f"<dt>{escape(self._(key))}</dt><dd>{escape(words)}</dd>" for key, words in rows.items()
        )
        return f"<div class='sft-figures'><b>{escape(self._('form.dry_run'))}</b><dl>{cells}</dl></div>"

    def _time(self, seconds: float) -> str:
        if seconds < 120:
            return self._("form.seconds", n=f"{seconds:.0f}")
        if seconds < 7200:
            return self._("form.minutes", n=f"{seconds / 60:.0f}")
        return self._("form.hours", n=f"{seconds / 3600:.1f}")
