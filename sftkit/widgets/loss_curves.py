"""The loss curves of any number of runs, alive, and there again after a kernel restart.

    curves = sk.LossCurves([run, other])     # last line of a cell; or {"warm": run, "cold": other}
    curves.freeze()                          # a picture in its place, for a notebook that is saved or sent on

What is shown is what is on disk: the widget keeps nothing that the runs' folders do not hold. Of runs that are over it
leaves a picture in the notebook by itself, beside the living view.
"""

from __future__ import annotations

import asyncio
import io
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import pandas as pd
import scipy.signal  # noqa: F401  by name: loaded here (0.5 s), not at the first curve
import tsdownsample  # noqa: F401
from IPython.display import Image, display
from ipywidgets import VBox

from sftkit.errors import RunError
from sftkit.report import curves
from sftkit.report.lines import SMOOTHING, RunLines, View, points_each
from sftkit.runs import Run, load_run
from sftkit.runs.points_reader import Reader
from sftkit.widgets.background import Poll, in_background
from sftkit.widgets.batch_rows import BatchRows
from sftkit.widgets.curve_chart import CurveChart
from sftkit.widgets.curve_feed import Feed, Frame
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label, table
from sftkit.widgets.style import Style

SECONDS = 0.5  # between two looks at the disk
READING = 0.8  # seconds of a look that may be spent on reading a huge file
HUGE = 64 << 20  # bytes from which a process of its own reads them
PIECE = 4 << 20  # bytes of it between two chances for the page to ask something


class LossCurves(VBox):
    """Logged loss (thin), smoothed loss, eval points and checkpoints, one colour a run.

    runs: a Run, several, or {name to show: Run}. smoothing: 0 (none) to 0.999; axis: "step", "tokens" or "seconds"; log: a logarithmic loss
    axis; evals: which eval lines, "" for all tasks together, else task types; all of these are on the page too. live:
    look at the disk twice a second as long as any run is alive; False: whoever made it calls `refresh`, or `read` in a
    thread and `show` on the kernel's loop. lang: "en", "zh" or None for the language of `sk.set_language`.

    A huge file that is seen for the first time is shown from samples at once, and as it is when it has been read.
    """

    def __init__(
        self,
        runs: Any,
        *,
        smoothing: float = SMOOTHING,
        axis: str = "step",
        log: bool = False,
        evals: Iterable[str] = ("",),
        live: bool = True,
        lang: str | None = None,
    ):
        # Readers of our own: a Run remembers how far it has read, and ours are read in another thread.
        given = runs.values() if isinstance(runs, Mapping) else curves.as_list(runs)
        self._runs = [load_run(getattr(run, "folder", run)) for run in given]  # None: no run yet
        names = [str(name) for name in runs] if isinstance(runs, Mapping) else [run.id for run in self._runs]
        self._lines = [RunLines(run, name) for run, name in zip(self._runs, names)]
        self._feed, self._turn, self._pictures = Feed(self._lines), Lock(), []
        self._batches, self._lang = BatchRows(), lang
        self._making, self._again = False, False
        self._reader: Reader | None = None
        self.errors = ErrorRoom(lang)
        self.chart = CurveChart(
            points_each(len(self._runs)),
            self._asked,
            setup=self._setup(),
            axis=axis,
            log=log,
            smoothing=smoothing,
            evals=list(evals),
            _labels={key: label(key, lang) for key in table() if key.startswith("curves.")},
        )
        for lines in self._lines:
            lines.read(0)  # what is small, and what is known already
        self._first: Frame | None = self._feed.whole(self.chart.view)
        self.chart.seen = self._page_is_ready
        super().__init__([Style(), self.chart, self.errors])
        self.add_class("sft-curves")
        self._poll = Poll(self._look, self._show_look, self.errors.show, SECONDS)
        if live and not (all(run.status.ended for run in self._runs) and self._feed.reading is None):
            self._poll.start()

    @property
    def differences(self) -> pd.DataFrame:
        """The settings in which the runs differ, a row a run."""
        settings = [run.record.get("config") or {} for run in self._runs]
        names = dict.fromkeys(name for one in settings for name in one)
        differ = [n for n in names if any(one.get(n) != settings[0].get(n) for one in settings)]
        rows = [[one.get(name) for name in differ] for one in settings]
        return pd.DataFrame(rows, index=[lines.name for lines in self._lines], columns=differ, dtype=object)

    @property
    def last(self) -> pd.DataFrame:
        """Where each run stands, a row a run: state, step, loss and eval_loss (the last ones, NaN: none yet)."""
        self._read_all()
        rows = []
        for lines in self._lines:
            with self._turn:
                row = lines.row_at("step", float("inf"))
                found = {} if row is None else lines.values(row, View())
            losses = {name: found.get(name, float("nan")) for name in ("loss", "eval_loss")}
            rows.append({"state": lines.run.status.state, "step": lines.run.status.step, **losses})
        return pd.DataFrame(rows, index=[lines.name for lines in self._lines])

    async def finished(self) -> pd.DataFrame:
        """Wait until every run is over, then `freeze`; returns `last`.

        `await curves.finished()`, in a cell of its own, leaves the kernel free: the curves go on moving.
        """
        for run in self._runs:
            await asyncio.to_thread(run.wait)
        self.freeze()
        return self.last

    # reading, in a thread

    def read(self) -> Frame | None:
        """Read on, and what of it the page is to be told; None for nothing. May be called in any thread."""
        deadline, piece = time.monotonic() + READING, 0 if self._read_elsewhere() else PIECE
        for lines in self._lines:
            while time.monotonic() < deadline:
                with self._turn:
                    if not lines.read(piece) or not piece:
                        break
                time.sleep(0.001)  # a lock just given back is not taken again before who waits for it has it
        with self._turn:
            return self._feed.news(self.chart.view) if self.chart.free and self._first is None else None

    def _read_elsewhere(self) -> bool:
        """Whether a process reads what is huge and was never read, which then leaves the kernel to the page."""
        if self._reader is None:
            huge = [run.folder for run, lines in zip(self._runs, self._lines) if lines.points.left > HUGE]
            self._reader = Reader(huge) if huge else None
        return self._reader is not None and self._reader.running

    def _whole(self) -> Frame:
        with self._turn:
            return self._feed.whole(self.chart.view)

    def _look(self) -> tuple[Frame | None, bool]:
        """The news, and whether more may come. The state is read first: nothing is written after the end."""
        over = all(run.status.ended for run in self._runs)
        frame = self.read()
        return frame, not over or self._feed.reading is not None or self._is_behind

    @property
    def _is_behind(self) -> bool:
        """Whether the page, if there is one, is still to be told something."""
        return self.chart.watched and not (self.chart.free and self._feed.complete)

    # showing, on the kernel's loop

    def show(self, read: Frame | None) -> None:
        """Draw what `read` gave. On the kernel's main thread only."""
        if read is not None:
            self.chart.draw(read)

    def refresh(self) -> None:
        """Read all that is new and draw it."""
        self._read_all()
        if self.chart.watched:
            self._make()

    def _show_look(self, look: tuple[Frame | None, bool]) -> bool:
        self.show(look[0])
        return look[1]

    def _page_is_ready(self, again: bool) -> None:
        """The page can take a frame; `again`: it wants another view, or knows nothing yet."""
        self._again |= again
        if not self._again or not self.chart.free or self._making:
            return
        if self._first is not None and self._first.view == self.chart.view and self._feed.complete:
            self._again, first, self._first = False, self._first, None
            self.chart.draw(first)
        else:
            self._make()

    def _make(self) -> None:
        """Every line anew, made in a thread, in the view of the moment."""
        self._making, self._again, self._first = True, False, None
        in_background(self._whole, self._made, self._failed)

    def _made(self, frame: Frame) -> None:
        self._making = False
        self.chart.draw(frame)

    def _failed(self, error: Exception) -> None:
        self._making = False
        self.errors.show(error)

    # questions of the page

    @shown
    def _asked(self, content: dict[str, Any]) -> None:
        asked, run = content.get("ask"), content.get("run")
        work = {
            "values": lambda: self._values(content["x"]),
            "rows": lambda: self._rows(int(run), content["x"]),
        }
        in_background(
            work[content["kind"]],
            lambda answer: self.chart.send({"ask": asked, **answer}),
            lambda error: (
                self.chart.send({"ask": asked, "error": str(error)})
                if isinstance(error, RunError)
                else self.errors.show(error)
            ),
        )

    def _values(self, x: float | None) -> dict[str, Any]:
        """What every run logged at the step nearest to `x` (None: at its last)."""
        with self._turn:
            return {"values": [self._values_of(lines, x) for lines in self._lines]}

    def _values_of(self, lines: RunLines, x: float | None) -> dict[str, float]:
        row = lines.row_at(self.chart.axis, float("inf") if x is None else x)
        return {} if row is None else lines.values(row, self.chart.view)

    def _rows(self, run: int, x: float) -> dict[str, Any]:
        lines = self._lines[run]
        with self._turn:
            row = lines.row_at(self.chart.axis, x)
            if row is None:
                raise RunError(label("curves.no_step", self._lang))
            step = int(lines.points.steps.column("step")[row])
        return {"run": run, **self._batches.of(lines.run, step)}

    def _setup(self) -> dict[str, Any]:
        differ = self.differences
        values = [[_short(value) for value in row] for row in differ.itertuples(index=False, name=None)]
        count = len(curves.COLOURS)
        return {
            "names": [lines.name for lines in self._lines],
            "colours": [curves.COLOURS[run % count] for run in range(len(self._lines))],
            "dashed": [run >= count for run in range(len(self._lines))],
            "settings": list(differ.columns),
            "values": values,
        }

    # pictures

    def picture(self) -> Image:
        """The curves as they are now, as a PNG that needs no kernel and no widget to be seen."""
        self._read_all()
        view, words = self.chart.view, {word: label(f"curves.{word}", self._lang) for word in curves.WORDS}
        with self._turn:
            drawn = [lines.drawn(view) for lines in self._lines]
        names, span = [lines.name for lines in self._lines], (view.low, view.high)
        png = curves.picture(
            names, drawn, axis=view.axis, log=self.chart.log, span=span, dpi=100, words=words
        )
        return Image(_with_a_palette(png), width=800)

    def freeze(self) -> None:
        """Put the picture in the place of every live view: it survives saving, reopening and converting the notebook."""
        still = {"image/png": self._encoded(), "text/plain": repr(self)}
        for handle in self._pictures:
            handle.update(still, raw=True)

    def _encoded(self) -> str:
        return b64encode(self.picture().data).decode()

    def _read_all(self) -> None:
        for lines in self._lines:
            with self._turn:
                lines.read()

    def close(self) -> None:
        """Stop looking at the disk and leave the page."""
        for part in (
            getattr(self, "_poll", None),
            getattr(self, "_reader", None),
        ):  # none where a run was none
            if part is not None:
                part.stop()
        super().close()

    def _ipython_display_(self) -> None:
        # By hand instead of by the bundle that IPython would ask for: only so is there a handle to put the picture in.
        bundle = dict(self._repr_mimebundle_())
        if all(
            run.status.ended for run in self._runs
        ):  # nothing will change: whoever reads without a kernel sees it
            bundle["image/png"] = self._encoded()
        self._pictures.append(display(bundle, raw=True, display_id=True))

    def __repr__(self) -> str:
        told = (_told(lines.name, run) for lines, run in zip(self._lines, self._runs))
        return f"LossCurves({', '.join(told)})"


def _told(name: str, run: Run) -> str:
    status = run.status
    return f"{name}: {status.state}, step {status.step}"


def _with_a_palette(png: bytes) -> bytes:
    """The picture in 256 colours, a quarter of its size: a notebook with ten of them stays small."""
    from PIL import Image as Picture

    small = io.BytesIO()
    Picture.open(io.BytesIO(png)).quantize(256, method=Picture.Quantize.FASTOCTREE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
