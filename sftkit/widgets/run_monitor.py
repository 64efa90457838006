"""RunMonitor: a run as its folder tells it, moving while no cell runs: state, progress, figures, curve, answers, log,
buttons; why it failed, and the change that mends it.

sk.RunMonitor(sk.load_run("runs/…"))      # from any notebook, after any restart
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Button, HBox, VBox

from sftkit.config import SFTConfig
from sftkit.errors import LaunchError
from sftkit.runs import Finding, Run, hardware, process
from sftkit.widgets import run_page
from sftkit.widgets.background import Poll, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.fold import Fold
from sftkit.widgets.labels import label, language
from sftkit.widgets.pace import Pace
from sftkit.widgets.run_buttons import RunButtons
from sftkit.widgets.run_log import LogPane
from sftkit.widgets.run_look import Seen, first_look, look
from sftkit.widgets.run_samples import SamplesPane
from sftkit.widgets.style import RunStyle, Style

POLL = 0.5  # seconds between two looks at the folder
IDLE = 3.0  # and once the run is over, since it may be resumed from elsewhere
DEVICES = 2.0  # seconds between two questions about devices: nvidia-smi takes up to 2 s itself
LEAVING = 20.0  # seconds that Resume waits for a stopped run's processes to leave


class RunMonitor(VBox):
    """A live view of one run; what it shows is what is on disk. `run`: a Run or the path of its folder.

    It follows the files, about twice a second, until `close()` is called; the run itself does not notice. A browser
    that is slow gets fewer frames. `.stop()`, `.stop_now()`, `.resume()`, `.duplicate()` and `.delete()` are its
    buttons; the last one does not ask.
    """

    def __init__(self, run: Run | str | Path, *, lang: str | None = None):
        self._lang, self.errors, self._pace = lang, ErrorRoom(lang), Pace()
        self._device_poll = Poll(self._read_devices, self._keep_devices, self.errors.show, DEVICES)
        self._poll = Poll(self._look, self._show, self.errors.show, POLL)
        self.run = run if isinstance(run, Run) else Run(run)
        self._head, self._numbers, self._devices = HTML(), HTML(), HTML()
        self._why, self._fixes, self._below = HTML(), HBox(), VBox()
        self._fixes.add_class("sft-actions")
        self._diagnosed: Any = None  # the diagnosis that is shown
        self._device_list: list[hardware.Device] = []
        self._again = 0.0  # when to look at an ended run again
        self.buttons = RunButtons(self, lang)
        self.log_pane = LogPane(self.run, self.errors, lang)
        self.samples = SamplesPane(self.run, lang)
        self._log_fold = Fold(label("monitor.log", lang), self.log_pane, self._opened)
        self._samples_fold = Fold(label("monitor.samples", lang), self.samples, self._opened)
        self.curve = self._make_curve()
        super().__init__(self._parts())
        self.add_class("sft-monitor")
        self._show_first(first_look(self.run))  # the state is there from the first moment
        self._device_poll.start()
        self._poll.start()

    def _parts(self) -> list[Any]:
        folds = [self._samples_fold, self._log_fold]
        about = [self._head, self._why, self._fixes, self._numbers, self._devices, self.curve]
        return [Style(), RunStyle(), self._pace, *about, self.buttons, self.errors, self._below, *folds]

    def _make_curve(self) -> Any:
        from sftkit.widgets.loss_curves import LossCurves  # only when it is needed

        return LossCurves([self.run], live=False, lang=self._lang)  # one poll, ours, drives both

    # what the buttons do

    @shown
    def stop(self) -> None:
        """Ask the run to write a checkpoint and leave at its next step."""
        self.run.stop()
        self._show_first(first_look(self.run))

    def stop_now(self) -> None:
        """End the run's processes at once; what was done since the last checkpoint is lost."""
        self.work(self.run.kill)

    def resume(self) -> None:
        """Go on from the newest checkpoint."""
        self.work(self._resume)

    def _resume(self) -> None:
        self.run.wait(LEAVING)  # a run that has just stopped may still be leaving
        self.run.resume()

    @shown
    def duplicate(self, **changes: Any) -> None:
        """Open a form below with the settings of this run, changed by `changes`, to launch another one."""
        self._open_form(self.run.settings_for_copy(**changes))

    def delete(self) -> None:
        """Delete the run's folder, with its checkpoints and its model, for good."""
        self.work(lambda: self.run.delete(confirm=self.run.id), self._deleted)

    def work(self, what: Callable[[], Any], then: Callable[[Any], None] | None = None) -> None:
        """Do something to the run in a thread, buttons off, then show what has become of it."""

        def done(result: Any) -> None:
            self.buttons.busy = False
            (then or (lambda _result: self._show_first(first_look(self.run))))(result)

        def failed(error: Exception) -> None:
            self.buttons.busy = False
            self.errors.show(error)

        self.buttons.busy = True
        in_background(what, done, failed)

    def _deleted(self, deleted: Any) -> None:
        self._stop_looking()
        self._head.value = run_page.gone_html(str(deleted), self._lang)
        self.children = (*self.children[:4], self.errors)

    def follow(self, run: Run) -> None:
        """Show another run in this place."""
        self.run, self._again, old = run, 0.0, self.curve
        self.log_pane.follow(run)
        self.samples.follow(run)
        self.curve = self._make_curve()
        self._below.children = ()
        self.children = self._parts()
        self._numbers.value = ""
        old.close()
        self._show_first(first_look(run))
        self._poll.start()

    def _open_form(self, settings: SFTConfig) -> None:
        from sftkit.widgets.launch_form import LaunchForm  # which imports this module

        form = LaunchForm(settings, self.run.copies_lie_in, lang=self._lang)
        self._below.children = (HTML(run_page.copy_html(self.run.id, self._lang)), form)

    # a failed run

    def _show_diagnosis(self, seen: Seen) -> None:
        if seen.diagnosis == self._diagnosed:
            return
        self._diagnosed = found = seen.diagnosis
        self._why.value = run_page.diagnosis_html(found, self._lang) if found else ""
        fixes = [self._fix_button(fix) for fix in found.fixes if fix.fix] if found else []
        for button in fixes[:1]:  # the one to try first
            button.button_style = "primary"
        if found:
            log = Button(description=label("monitor.show_log", self._lang), icon="file-text-o")
            log.on_click(lambda _button: self._show_log())
            fixes.append(log)
        self._fixes.children = fixes

    def _show_log(self) -> None:
        self._log_fold.is_open = True
        self.log_pane.search.focus()  # which brings it into view

    def _fix_button(self, fix: Finding) -> Button:
        lang = self._lang or language()
        button = Button(description=fix.label_in(lang), tooltip=fix.message_in(lang), icon="wrench")
        button.on_click(lambda _button: self.mend(fix))
        return button

    def mend(self, fix: Finding) -> None:
        """Launch this run again with a change, and follow that one; where it cannot start, the form says why."""

        def launch() -> Run | SFTConfig:
            try:
                return self.run.duplicate(**fix.fix)
            except LaunchError as error:
                if error.findings:
                    return self.run.settings_for_copy(**fix.fix)
                raise

        self.work(launch, lambda got: self.follow(got) if isinstance(got, Run) else self._open_form(got))

    # looking, in threads

    def _look(self) -> tuple[Run, Seen, Any, Any, Any] | None:
        """What is on disk; None when it is no time to look, or the last frame is still on its way."""
        if not self._pace.free or time.monotonic() < self._again:
            return None
        run = self.run
        log = self.log_pane.read() if self._log_fold.is_open else None
        samples = self.samples.read() if self._samples_fold.is_open else None
        return run, look(run), self.curve.read(), log, samples

    def _read_devices(self) -> list[hardware.Device]:
        if not self._pace.free or not process.is_here(self.run.record) or self.run.status.ended:
            return []
        return hardware.usage()

    # showing it, on the kernel's loop

    def _keep_devices(self, devices: list[hardware.Device]) -> bool:
        self._device_list = devices
        return True

    def _show(self, found: tuple[Run, Seen, Any, Any, Any] | None) -> bool:
        if found is None or found[0] is not self.run:
            return True
        _, seen, curve, log, samples = found
        gone = seen.status.ended and seen.can != {
            "duplicate"
        }  # its processes have left, so the buttons are right
        self._again = time.monotonic() + IDLE if gone else 0.0
        self._show_diagnosis(seen)
        self._show_first(seen)
        self._numbers.value = run_page.numbers_html(seen, self._lang)
        alive = not seen.status.ended
        self._devices.value = run_page.devices_html(self._device_list, self._lang) if alive else ""
        self.curve.show(curve)
        nothing = seen.status.ended and not seen.figures  # and nothing will come: room for what matters
        (self.curve.add_class if nothing else self.curve.remove_class)("sft-hidden")
        self.log_pane.show(log)
        self.samples.show(samples)
        self._pace.sent()
        return True

    def _show_first(self, seen: Seen) -> None:
        """State, progress and buttons."""
        if not seen.status.ended:
            self._again = 0.0
        if self._diagnosed and seen.status.state != "failed":
            self._show_diagnosis(seen)
        self._head.value = run_page.head_html(self.run.id, seen, self._lang)
        self.buttons.show(seen)

    @shown
    def _opened(self) -> None:
        """A fold is open: fill it now, whatever the pace."""
        for pane, fold in ((self.log_pane, self._log_fold), (self.samples, self._samples_fold)):
            if fold.is_open:
                in_background(pane.read, pane.show, self.errors.show)

    def _stop_looking(self) -> None:
        self._poll.stop()
        self._device_poll.stop()

    def close(self) -> None:
        """Stop looking, and take the monitor off the page. The run goes on."""
        self._stop_looking()
        for part in self.children:
            part.close()
        super().close()

    def __repr__(self) -> str:
        status = self.run.status
        return f"RunMonitor({self.run.id}: {status.state}, step {status.step} of {status.total_steps or '?'})"
