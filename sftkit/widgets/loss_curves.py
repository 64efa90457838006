"""The loss curve, alive: one plotly figure that moves while runs train, and is there again after a kernel restart.

    curves = sk.LossCurves(run)          # or a list of runs; last line of a cell
    curves.freeze()                      # a picture in its place, for a notebook that is saved or sent on

What is shown is what is on disk: the widget keeps nothing that the run's folder does not hold.
"""

from __future__ import annotations

from base64 import b64encode
from threading import Lock
from typing import Any

from IPython.display import Image, display
from ipywidgets import FloatSlider, Layout, VBox
from plotly.graph_objects import FigureWidget  # by name: loaded here (1.5 s), not at the first figure

from sftkit.report import curves
from sftkit.runs import load_run
from sftkit.widgets.background import Poll
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label
from sftkit.widgets.style import Style

SECONDS = 0.5  # between two looks at the disk
STRONGEST = 0.99  # the smoothing slider's end


class LossCurves(VBox):
    """Logged loss (thin), smoothed loss and eval points by step, one colour a run; hover for the values.

    runs: a Run or several. smoothing: 0 (none) to 0.99, where the slider stands at first. live: look at the disk twice
    a second as long as any run is alive; False: whoever made it calls `refresh`. lang: "en", "zh" or None for the
    language of `sk.set_language`.
    """

    def __init__(
        self, runs: Any, *, smoothing: float = curves.SMOOTHING, live: bool = True, lang: str | None = None
    ):
        # Readers of our own: a Run remembers how far it has read, and ours are read in another thread.
        self._runs = [load_run(run.folder) for run in curves.as_list(runs)]
        self._reading, self._pictures = Lock(), []
        words = {word: label(f"curves.{word}", lang) for word in curves.WORDS}
        self.figure = FigureWidget(curves.loss_figure(self._runs, smoothing, words))
        self.figure._config = self.figure._config | curves.CONFIG
        self.smoothing = FloatSlider(
            value=smoothing,
            max=STRONGEST,
            step=0.01,
            description=label("curves.smoothing", lang),
            layout=Layout(width="24em"),
        )
        self.errors = ErrorRoom(lang)
        super().__init__([Style(), self.figure, self.smoothing, self.errors])
        self.add_class("sft-curves")
        self.smoothing.observe(self._smoothed, "value")
        self._poll = Poll(self._look, self._show_look, self.errors.show, SECONDS)
        if live and not all(run.status.ended for run in self._runs):
            self._poll.start()

    def read(self) -> list[curves.Curve]:
        """The curves as they are on disk now. May be called in any thread."""
        with self._reading:
            return [curves.curve_of(run, self.smoothing.value) for run in self._runs]

    def show(self, read: list[curves.Curve]) -> None:
        """Draw what `read` gave, in one message. On the kernel's main thread only."""
        with self.figure.batch_update():
            for number, curve in enumerate(read):
                for place, part in enumerate(curves.PARTS, number * len(curves.PARTS)):
                    self.figure.data[place].update(curves.points(curve, part), overwrite=True)
            if self.figure.layout.annotations and any(len(curve.step) for curve in read):
                self.figure.layout.annotations = ()  # "no loss logged yet" is true no more

    def refresh(self) -> None:
        """Read what is new and draw it."""
        self.show(self.read())

    def picture(self) -> Image:
        """The curve as it is now, as a PNG that needs no kernel and no widget to be seen."""
        with self._reading:
            return Image(curves.png_bytes(self._runs, self.smoothing.value, dpi=100), width=800)

    def freeze(self) -> None:
        """Put the picture in the place of every live view: it survives saving, reopening and converting the notebook."""
        png = b64encode(self.picture().data).decode()
        picture = {"image/png": png, "text/plain": repr(self)}
        for handle in self._pictures:
            handle.update(picture, raw=True)

    def close(self) -> None:
        """Stop looking at the disk and leave the page."""
        self._poll.stop()
        super().close()

    def _look(self) -> tuple[list[curves.Curve], bool]:
        """The curves, and whether more may come. The state is read first: nothing is written after the end."""
        over = all(run.status.ended for run in self._runs)
        return self.read(), not over

    def _show_look(self, look: tuple[list[curves.Curve], bool]) -> bool:
        self.show(look[0])
        return look[1]

    @shown
    def _smoothed(self, _change: Any) -> None:
        self.refresh()

    def _ipython_display_(self) -> None:
        # By hand instead of by the bundle that IPython would ask for: only so is there a handle to put the picture in.
        self._pictures.append(display(self._repr_mimebundle_(), raw=True, display_id=True))

    def __repr__(self) -> str:
        told = ", ".join(f"{run.id}: {run.status.state}, step {run.status.step}" for run in self._runs)
        return f"LossCurves({told})"
