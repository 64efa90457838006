"""RunMonitor: a run as its folder tells it, moving while no cell runs: state, progress, figures, curve, log, buttons.

sk.RunMonitor(sk.load_run("runs/…"))      # from any notebook, after any restart
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Accordion, Button, HBox, VBox

from sftkit.runs import Run, Status
from sftkit.runs import folder as disk
from sftkit.widgets.background import Poll, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label
from sftkit.widgets.style import Style

POLL = 0.5  # seconds between two looks at the folder
LOG_LINES, LOG_WIDTH = 300, 2_000  # what of the log is sent to the browser
RECENT = 20  # logged points that the time left is judged by
CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n|$)", re.MULTILINE
)  # colours; what a progress bar overwrote
LEAVING = 20.0  # seconds that Resume waits for a stopped run's processes to leave
FIGURES = {
    "loss": ("monitor.loss", "{:.4f}"),
    "eval_loss": ("monitor.eval_loss", "{:.4f}"),
    "learning_rate": ("monitor.learning_rate", "{:.3g}"),
    "grad_norm": ("monitor.grad_norm", "{:.3g}"),
    "tokens_per_second": ("monitor.tokens_per_second", "{:,.0f}"),
    "memory_mb": ("monitor.memory", "{:,.0f} MiB"),
}


@dataclass(frozen=True)
class Seen:
    """What one look at a run's folder found."""

    status: Status
    figures: dict[str, float]  # the newest value of each of FIGURES
    points: int  # logged points
    left: float | None  # seconds to the end, where that can be told
    spent: float | None  # seconds since this start of the run
    stop_asked: bool
    resumable: bool
    model: Path | None
    log: str | None  # None: not looked at
    curves: list | None  # None: nothing new to draw


class RunMonitor(VBox):
    """A live view of one run; what it shows is what is on disk. `run`: a Run or the path of its folder.

    It follows the files, about twice a second, until the run is over or `close()` is called; the run itself does not
    notice. `.stop()` and `.resume()` are its buttons.
    """

    def __init__(self, run: Run | str | Path, *, lang: str | None = None):
        self.errors = ErrorRoom(lang)
        self._poll = Poll(self._look, self._show, self.errors.show, POLL)
        self.run = run if isinstance(run, Run) else Run(run)
        self._lang = lang
        self._head, self._numbers = HTML(), HTML()
        self._stop = Button(description=self._("monitor.stop"), icon="stop")
        self._stop.on_click(lambda _button: self.stop())
        self._resume = Button(description=self._("monitor.resume"), icon="play")
        self._resume.on_click(lambda _button: self.resume())
        self._log = HTML()
        self._fold = Accordion([self._log], titles=(self._("monitor.log"),))
        self._fold.add_class("sft-folds")
        self._fold.observe(self._log_opened, "selected_index")
        self.curve, self._drawn = self._make_curve(), -1
        super().__init__([Style(), self._head, self._numbers, self.curve, HBox([self._stop, self._resume]), self._fold, self.errors])  # fmt: skip
        self.add_class("sft-monitor")
        self._show(self._look())  # the state is there from the first moment
        self._poll.start()

    def _make_curve(self) -> Any:
        from sftkit.widgets.loss_curves import LossCurves  # plotly: only when it is needed

        return LossCurves([self.run], live=False, lang=self._lang)  # one poll, ours, drives both

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    # buttons

    @shown
    def stop(self) -> None:
        """Ask the run to write a checkpoint and leave at its next step."""
        self.run.stop()
        self._show(self._look())

    @shown
    def resume(self) -> None:
        """Go on from the newest checkpoint."""
        self._resume.disabled = True
        in_background(self._do_resume, self._resumed, self._not_resumed)

    def _do_resume(self) -> None:
        self.run.wait(LEAVING)  # a run that has just stopped may still be leaving
        self.run.resume()

    def _resumed(self, _nothing: None) -> None:
        self._resume.disabled = False
        self._poll.start()

    def _not_resumed(self, error: Exception) -> None:
        self._resume.disabled = False
        self.errors.show(error)

    @shown
    def _log_opened(self, _change: Any) -> None:
        if not self._poll.running:
            self._show(self._look())

    def close(self) -> None:
        """Stop looking, and take the monitor off the page. The run goes on."""
        self._poll.stop()
        for part in self.children:
            part.close()
        super().close()

    def __repr__(self) -> str:
        status = self.run.status
        return f"RunMonitor({self.run.id}: {status.state}, step {status.step} of {status.total_steps or '?'})"

    # a look at the folder, in a thread

    def _look(self) -> Seen:
        run, status = self.run, self.run.status
        points = run.metrics()
        record = run.record
        return Seen(
            status=status,
            figures={name: values.iloc[-1] for name in FIGURES if len(values := points[name].dropna())},
            points=len(points),
            left=_time_left(points, status),
            spent=_time_spent(record, status),
            stop_asked=(run.folder / disk.STOP).exists(),
            resumable=status.state in ("stopped", "failed")
            and bool(record.get("config"))
            and disk.newest_checkpoint(run.checkpoints) is not None,
            model=run.model_path.resolve() if status.state == "finished" and record.get("config") else None,
            log=run.log(LOG_LINES) if self._fold.selected_index == 0 else None,
            curves=self.curve.read() if len(points) != self._drawn else None,
        )

    # showing it, on the kernel's loop

    def _show(self, seen: Seen) -> bool:
        """Show what was seen; whether there will be more."""
        status = seen.status
        self._head.value = self._head_html(seen)
        self._numbers.value = self._numbers_html(seen)
        _shown_if(self._stop, not status.ended)
        self._stop.disabled = seen.stop_asked or status.state == "stopping"
        _shown_if(self._resume, seen.resumable)
        if seen.log is not None:
            self._log.value = f"<div class='sft-log'><pre>{escape(_plain(seen.log)) or escape(self._('monitor.log_empty'))}</pre></div>"  # fmt: skip
        if seen.curves is not None:
            self.curve.show(seen.curves)
            self._drawn = seen.points
        return not status.ended

    def _head_html(self, seen: Seen) -> str:
        status = seen.status
        words = self._(f"monitor.state.{status.state}")
        if seen.stop_asked and status.state in ("queued", "starting", "running"):
            words = self._("monitor.stop_asked")
        share = min(1.0, status.step / status.total_steps) if status.total_steps else 0.0
        facts = [self._("monitor.step", step=f"{status.step:,}", total=f"{status.total_steps or '?':,}" if status.total_steps else "?")]  # fmt: skip
        if seen.spent is not None:
            key = "monitor.took" if status.ended else "monitor.elapsed"
            facts.append(self._(key, time=self._duration(seen.spent)))
        if seen.left is not None:
            facts.append(self._("monitor.left", time=self._duration(seen.left)))
        reason = escape(status.reason)
        level = "stop" if status.state == "failed" else "help"
        return (
            f"<div class='sft-head sft-is-{status.state}'><span class='sft-dot'></span>"
            f"<b class='sft-state' role='status'>{escape(words)}</b>"
            f"<span class='sft-run'>{escape(self.run.id)}</span></div>"
            f"<div class='sft-bar sft-is-{status.state}' role='progressbar' aria-valuemin='0' aria-valuemax='100' "
            f"aria-valuenow='{share * 100:.0f}'><div style='width:{share * 100:.1f}%'></div></div>"
            f"<div class='sft-facts'>{escape(' · '.join(facts))}</div>"
            + (f"<div class='sft-reason sft-{level}'>{reason}</div>" if reason else "")
        )

    def _numbers_html(self, seen: Seen) -> str:
        cells = "".join(
            f"<div><span>{escape(self._(key))}</span><b>{escape(form.format(seen.figures[name]))}</b></div>"
            for name, (key, form) in FIGURES.items()
            if name in seen.figures
        )
        if not cells:
            return f"<div class='sft-facts'>{escape(self._('monitor.nothing_yet'))}</div>"
        model = self._("monitor.model", path=seen.model) if seen.model else ""
        return f"<div class='sft-numbers'>{cells}</div>" + (f"<div class='sft-facts'>{escape(model)}</div>" if model else "")  # fmt: skip

    def _duration(self, seconds: float) -> str:
        if seconds < 60:
            return self._("monitor.seconds", n=math.ceil(seconds))
        minutes = round(seconds / 60)
        if minutes < 60:
            return self._("monitor.minutes", n=minutes)
        return self._("monitor.hours", h=minutes // 60, m=minutes % 60)


def _time_left(points: Any, status: Status) -> float | None:
    """Seconds to the last step, by the pace of the newest points; None while that cannot be told."""
    steps = points[["step", "seconds"]].dropna()[-RECENT:]
    if status.state != "running" or len(steps) < 2 or not status.total_steps:
        return None
    done = steps["step"].iloc[-1] - steps["step"].iloc[0]
    pace = (steps["seconds"].iloc[-1] - steps["seconds"].iloc[0]) / done if done > 0 else math.nan
    left = pace * (status.total_steps - status.step)
    return left if math.isfinite(left) and left >= 0 else None


def _time_spent(record: dict[str, Any], status: Status) -> float | None:
    """Seconds since this start of the run (a resumed one starts again), to its last word when it is over."""
    try:
        began = float(record.get("pid_started") or datetime.fromisoformat(record["created"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, (status.updated if status.ended else time.time()) - began)


def _plain(log: str) -> str:
    """Log text without terminal colours and overwritten progress bars, lines cut to LOG_WIDTH."""
    return "\n".join(line[:LOG_WIDTH] for line in CONTROL.sub("", log).split("\n"))


def _shown_if(widget: Any, shown: bool) -> None:
    (widget.remove_class if shown else widget.add_class)("sft-hidden")
