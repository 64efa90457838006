"""RunsTable: all runs of a folder in one table that moves: sort, filter, select, compare, stop, resume, copy, delete.

sk.RunsTable("runs")

The browser half is widgets/src/runs.ts. What is shown is what is on disk, looked at once a second in a thread; only rows
that have changed are sent, and none before the page has taken in the last ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets
from ipywidgets import Button, HBox, VBox

from sftkit.errors import RunError
from sftkit.runs import Run
from sftkit.runs.overview import Overview, Overviews
from sftkit.widgets import why
from sftkit.widgets.background import Poll, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label, table
from sftkit.widgets.pace import Pace
from sftkit.widgets.style import RunStyle, Style

SECONDS = 1.0  # between two looks at the disk
LEAVING = 20.0  # seconds that a resume waits for a stopped run's processes to leave
_STATIC = Path(__file__).parent / "static"
_WORDS = ("runs.", "monitor.seconds", "monitor.minutes", "monitor.hours", "monitor.days", "monitor.delete_sure", "twice.no")  # fmt: skip

Rows = dict[str, dict[str, Any]]


class RunsGrid(Pace):
    """The table on the page: told rows, it tells what a person does with them."""

    _esm = _STATIC / "runs.js"
    _css = _STATIC / "runs.css"
    _labels = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, on_act: Callable[[str, list[str]], None], lang: str | None):
        super().__init__(_labels={key: label(key, lang) for key in table() if key.startswith(_WORDS)})
        self._on_act, self._told = on_act, {}

    def tell(self, rows: Rows, *, all_of_them: bool = False) -> None:
        """Send the rows that the page does not know yet, if there are any."""
        known = {} if all_of_them else self._told
        changed = [row for name, row in rows.items() if known.get(name) != row]
        gone = [name for name in known if name not in rows]
        self._told = rows
        if changed or gone or all_of_them:
            self.send({"rows": changed, "gone": gone, "all": all_of_them})
            self.sent()

    def _heard(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        super()._heard(widget, content, buffers)
        if content.get("kind") == "hello":
            self.tell(self._told, all_of_them=True)
        elif content.get("kind") == "act":
            self._on_act(str(content.get("act")), [str(name) for name in content.get("ids") or ()])


class RunsTable(VBox):
    """A live table of the runs under `runs_dir`. `lang`: "en" or "zh".

    With a `*` in it `runs_dir` names the folders of many people, such as "/srv/class/runs/*": then the table only looks,
    for a teacher, say; an id is the path of a run below the first `*`.

    `.selected` are the ids of the selected runs, `.frame` is the table as a DataFrame. `.monitor`, `.compare`,
    `.duplicate`, `.stop`, `.resume` and `.delete` do what the buttons do; `delete` does not ask. What they open stands
    below the table, in `.below`.
    """

    def __init__(self, runs_dir: str | Path = "runs", *, lang: str | None = None):
        self.only_looks = "*" in str(runs_dir)
        self._overview: Any = Overviews(runs_dir) if self.only_looks else Overview(runs_dir)
        self.runs_dir = self._overview.root if self.only_looks else self._overview.runs_dir
        self._lang, self.errors, self._rows = lang, ErrorRoom(lang), {}
        self.grid = RunsGrid(self._act, lang)
        self.below: Any = None
        self._place = VBox()
        super().__init__([Style(), RunStyle(), self.grid, self.errors, self._place])
        self.add_class("sft-runs")
        if self.only_looks:
            self.add_class("sft-only-looks")
        self._poll = Poll(self._look, self._show, self.errors.show, SECONDS)
        self._poll.start()

    @property
    def selected(self) -> list[str]:
        """Ids of the runs selected on the page."""
        return list(self.grid.selected)

    @property
    def frame(self) -> pd.DataFrame:
        """What the table shows, newest run first."""
        rows = pd.DataFrame(list(self._rows.values()))
        return rows if rows.empty else rows.sort_values(["created", "id"], ascending=False, ignore_index=True)

    # looking

    def _look(self) -> Rows | None:
        return self._read() if self.grid.free else None

    def _read(self) -> Rows:
        rows = self._overview.read()
        return {row["id"]: row | {"why": why.title(row["why"], self._lang)} for row in rows}

    def _show(self, rows: Rows | None) -> bool:
        if rows is not None:
            self._rows = rows
            self.grid.tell(rows)
        return True

    # what the buttons do

    @shown
    def _act(self, act: str, ids: list[str]) -> None:
        if self.only_looks and act not in ("compare", "open"):
            raise RunError(label("runs.only_looks", self._lang))
        many = {"compare": self.compare, "stop": self.stop, "resume": self.resume, "delete": self.delete}
        one = {"open": self.monitor, "duplicate": self.duplicate}
        if act == "new":
            self.new()
        elif act in many:
            many[act](*ids)
        elif act in one and ids:
            one[act](ids[0])

    def monitor(self, name: str) -> None:
        """Show the monitor of a run below the table."""
        from sftkit.widgets.run_monitor import RunMonitor

        self._open(RunMonitor(self._run(name), lang=self._lang))

    def compare(self, *names: str) -> None:
        """Lay the loss curves of runs over each other, below the table."""
        from sftkit.widgets.loss_curves import LossCurves

        self._open(LossCurves([self._run(name) for name in names], lang=self._lang))

    def duplicate(self, name: str) -> None:
        """Open a form below with the settings of a run, to change and launch."""
        self._form(self._run(name).settings_for_copy())

    def new(self) -> None:
        """Open an empty form below."""
        self._form(None)

    def _form(self, settings: Any) -> None:
        from sftkit.widgets.launch_form import LaunchForm

        self._open(LaunchForm(settings, self.runs_dir, lang=self._lang))

    def stop(self, *names: str) -> None:
        """Ask runs to write a checkpoint and leave at their next step."""
        self._each(names, lambda run: run.stop())

    def resume(self, *names: str) -> None:
        """Go on with runs from their newest checkpoints."""

        def resume(run: Run) -> None:
            run.wait(LEAVING)
            run.resume()

        self._each(names, resume)

    def delete(self, *names: str) -> None:
        """Delete the folders of runs for good."""
        self._each(names, lambda run: run.delete(confirm=run.id))

    def _each(self, names: Iterable[str], what: Callable[[Run], Any]) -> None:
        """Do it to each in a thread; one that fails does not keep the others from it."""

        def work() -> list[Exception]:
            failed = []
            for name in names:
                try:
                    what(self._run(name))
                except Exception as error:
                    failed.append(error)
            return failed

        in_background(work, self._done, self.errors.show)

    def _done(self, failed: list[Exception]) -> None:
        for error in failed:
            self.errors.show(error)
        in_background(self._read, self._show, self.errors.show)

    def _run(self, name: str) -> Run:
        ours = Path(name).name == name and name not in ("", ".", "..")
        if not (name in self._rows if self.only_looks else ours):  # a page may say anything
            raise RunError(f"{name!r} is no run of {self.runs_dir}.")
        return Run(self.runs_dir / name)

    # what stands below

    def _open(self, widget: Any) -> None:
        self._shut()
        self.below = widget
        close = Button(description=label("runs.close", self._lang), icon="times")
        close.on_click(lambda _button: self._shut())
        bar = HBox([close])
        bar.add_class("sft-actions")
        self._place.children = (bar, widget)

    def _shut(self) -> None:
        below, self.below = self.below, None
        self._place.children = ()
        if below is not None:
            below.close()

    def close(self) -> None:
        """Stop looking, and take the table off the page. The runs go on."""
        self._poll.stop()
        self._shut()
        super().close()

    def __repr__(self) -> str:
        return f"RunsTable({self.runs_dir}: {len(self._rows)} runs)"
