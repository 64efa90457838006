"""LaunchForm: the settings of a run as a form, checked while one types, and the button that starts it.

form = sk.LaunchForm(sk.SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl"))
form                      # shown; after Launch, form.run is the run and its monitor stands below
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, HBox, VBox

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault, LaunchError
from sftkit.widgets.background import Debounced, in_background
from sftkit.widgets.dry_run_panel import DryRunPanel
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.fold import Fold
from sftkit.widgets.form_check import FormCheck
from sftkit.widgets.history import History
from sftkit.widgets.labels import label, language
from sftkit.widgets.launch_form_row import LaunchRow
from sftkit.widgets.setting import is_empty, settings
from sftkit.widgets.setting_groups import SettingGroups
from sftkit.widgets.setting_rows import PATHS, Rows, note_and_fix
from sftkit.widgets.setting_why import lesson_html
from sftkit.widgets.shared import Shared
from sftkit.widgets.style import Style

if TYPE_CHECKING:
    from sftkit.runs import Finding, Run
    from sftkit.runs.hardware import GPU
    from sftkit.widgets.export_panel import ExportPanel
    from sftkit.widgets.paste_panel import PastePanel
    from sftkit.widgets.run_monitor import RunMonitor


def launch(config: SFTConfig, runs_dir: str | Path, queue: bool) -> Run:
    """sftkit.runs.launch, imported when it is needed: an open form does without pandas."""
    from sftkit.runs import launch as start

    return start(config, runs_dir, queue)


TYPING = 0.3  # seconds without a key after which what was typed is checked


class LaunchForm(VBox):
    """A form for SFTConfig. `config`: what it begins with; `runs_dir`: where runs are written; `lang`: "en" or "zh".

    `.rows[name].input` is the ipywidget of a setting, `.findings` what preflight last said, `.run` the run that was
    launched last (None before), `.monitor` its RunMonitor, `.rehearsal` the dry run's panel.
    """

    def __init__(
        self, config: SFTConfig | None = None, runs_dir: str | Path = "runs", *, lang: str | None = None
    ):
        self.runs_dir, self._lang = runs_dir, lang
        self.run: Run | None = None
        self.monitor: RunMonitor | None = None
        self.findings: list[Finding] = []
        self.errors = ErrorRoom(lang)
        self._clicked: Future[Run] | None = None  # the run that a click is starting
        self._look = FormCheck(runs_dir, self._show, self._offer, self.errors.show)
        self._held = False  # while many fields change at once
        self._check = Debounced(self._start_check, TYPING)
        self._shared = Shared()
        self.rows = Rows(self._shared, self.fill, self._changed, lang)
        self._held = True
        self._enter(config.to_dict() if config is not None else {})
        self._history = History(self.rows.typed)
        super().__init__(self._build(), layout=self._shared.layout, _dom_classes=("sft-form",))
        self._held = False
        self._check.request()
        in_background(lambda: import_module("sftkit.runs.hardware").gpus(), self._show_gpus, self.errors.show)

    # what stands where

    def _build(self) -> list[Any]:
        make = self._shared.make
        common = sorted((one for one in settings().values() if one.common), key=lambda one: not one.required)
        self._groups = SettingGroups(self.rows, self._shared, self._lang)
        self._style = Style()
        self._hint, self._figures = make(HTML), make(HTML)
        self._general, self._below = make(VBox), make(VBox)
        self.rehearsal = DryRunPanel(self.runs_dir, self.fill, self._buttons, self.errors, self._lang)
        return [
            self._style,
            self._head(),
            make(HTML, value=lesson_html(self._lang)),
            self._hint,
            self._fold(self._("form.paste"), lambda: self.paste),
            make(HTML, value=f"<h4>{escape(self._('form.common'))}</h4>"),
            make(VBox, [self.rows[one.name] for one in common]),
            *self._groups.folds.values(),
            self._figures,
            self._general,
            self._launch_row(),
            self.rehearsal,
            self._fold(self._("form.export"), lambda: self.export),
            self.errors,
            self._below,
        ]

    def _fold(self, title: str, content: Callable[[], Any]) -> Fold:
        return Fold(title, content, shared=self._shared)

    @cached_property
    def paste(self) -> PastePanel:
        """The room for a pasted command."""
        from sftkit.widgets.paste_panel import PastePanel

        return PastePanel(self._use, self.undo, self._lang)

    @cached_property
    def export(self) -> ExportPanel:
        """The settings as code."""
        from sftkit.widgets.export_panel import ExportPanel

        panel = ExportPanel(self._lang)
        panel.show(self._config)
        return panel

    def _head(self) -> HBox:
        make = self._shared.make
        self._undo = make(Button, description=self._("form.undo"), icon="undo", disabled=True)
        self._redo = make(Button, description=self._("form.redo"), icon="repeat", disabled=True)
        self._undo.on_click(lambda _button: self.undo())
        self._redo.on_click(lambda _button: self.redo())
        title = f"<h3>{escape(self._('form.title'))}</h3>"
        return make(HBox, [make(HTML, value=title), self._undo, self._redo], css="sft-title")

    def _launch_row(self) -> LaunchRow:
        row = LaunchRow(self._shared, self._lang)
        self._button, self._dry, self.queue, self._status = row.launch, row.dry, row.queue, row.status
        self._button.on_click(self._on_launch)
        self._dry.on_click(self._on_dry_run)
        return row

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    # settings in and out

    @property
    def settings(self) -> dict[str, Any]:
        """What is entered, sound or not; a required setting that is empty is left out."""
        return {
            name: setting.value(typed)
            for (name, typed), setting in zip(self.rows.typed.items(), settings().values(), strict=True)
            if not (setting.required and is_empty(typed))
        }

    @property
    def config(self) -> SFTConfig:
        """What is entered, as a config. Raises ConfigError with every fault."""
        return SFTConfig(**self.settings)

    def to_code(self) -> str:
        """Python that evaluates to these settings, given `import sftkit as sk`. Raises ConfigError with every fault."""
        return self.config.to_code()

    def fill(self, settings: dict[str, Any]) -> None:
        """Enter settings by name; the others stay as they are. One step for `undo`."""
        with self._one_step():
            self._enter(settings)

    def _enter(self, settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            self.rows.enter(name, value)

    @contextmanager
    def _one_step(self) -> Iterator[None]:
        """Many fields change; it is one edit, and one check."""
        self._history.note(self.rows.typed)
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._history.note(self.rows.typed)
            self._check.request()

    def _use(self, given: dict[str, Any]) -> list[Fault]:
        """Enter a command's settings, all others at their defaults; what is faulty as far as its input can show it."""
        faults = []
        try:
            given = SFTConfig(**given).to_dict()
        except ConfigError as error:
            faults = error.faults
        with self._one_step():
            for name, field in SFTConfig.model_fields.items():
                if name in given or not field.is_required():
                    with suppress(ValueError):  # no choice of its list: told as a fault
                        self.rows.enter(name, given.get(name, field.default))
        return faults

    def undo(self) -> None:
        """Take the last edit back."""
        self._history.note(self.rows.typed)
        self._go_to(self._history.undo())

    def redo(self) -> None:
        """Make the edit again that was taken back."""
        self._history.note(self.rows.typed)
        self._go_to(self._history.redo())

    def _go_to(self, entered: dict[str, Any] | None) -> None:
        self._held = True
        self.rows.type_in(entered or {})
        self._held = False
        self._check.request()

    def __repr__(self) -> str:
        stops = sum(finding.level == "stop" for finding in self.findings)
        about = self.run.id if self.run else f"{stops} in the way" if stops else "ready"
        return f"LaunchForm({about})"

    # checking

    def _changed(self, _change: Any) -> None:
        if not self._held:
            self._check.request()

    def _start_check(self) -> None:
        self._history.note(self.rows.typed)
        self._buttons()
        self._status.value = f"<span class='sft-help'>{escape(self._('form.checking'))}</span>"
        typed = self.rows.typed
        self._look.ask(self.settings, {name: typed[name] for name in PATHS if name in self.rows.built})

    def _offer(self, paths: dict[str, list[str]]) -> None:
        for name, offered in paths.items():
            self.rows[name].input.options = tuple(offered)

    def _show(self, findings: list[Finding], final: bool = True) -> None:
        self.findings = findings
        figures = [finding for finding in findings if self._is_figure(finding)]
        beside: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.field in self.rows and finding not in figures:
                beside.setdefault(finding.field, []).append(finding)
        self.rows.show(beside)
        general = [
            finding for finding in findings if finding.field not in self.rows and finding not in figures
        ]
        self._general.children = tuple(
            part for finding in general for part in note_and_fix(finding, self.fill, self._lang)
        )
        self._groups.count(findings)
        self._show_figures(figures)
        self._show_status(final)
        self._show_config()
        self._hint.value = (
            f"<p class='sft-hint'>{escape(self._('form.empty'))}</p>" if self._nothing_yet else ""
        )
        if final:
            self._style.seen += 1

    def _is_figure(self, finding: Finding) -> bool:
        """Derived figures stand together; what informs about a rarer setting stays beside it."""
        about = settings().get(finding.field)
        return finding.level == "inform" and not finding.fix and (about is None or about.common)

    @property
    def _nothing_yet(self) -> bool:
        return all(self.rows.empty(name) for name, setting in settings().items() if setting.required)

    def _show_figures(self, figures: list[Finding]) -> None:
        said = [finding.message_in(self._lang or language()) for finding in figures]
        lines = "".join(f"<li>{escape(words)}</li>" for words in said)
        title = escape(self._("form.figures"))
        self._figures.value = (
            f"<div class='sft-figures'><b>{title}</b><ul>{lines}</ul></div>" if lines else ""
        )

    def _show_status(self, final: bool = True) -> None:
        stops = [finding for finding in self.findings if finding.level == "stop"]
        warns = [finding for finding in self.findings if finding.level == "warn"]
        self._buttons()
        if stops:
            names = dict.fromkeys(
                label(f"field.{f.field}", self._lang) for f in stops if f.field in self.rows
            )
            key = "form.stops_one" if len(stops) == 1 else "form.stops"
            level, words = "stop", self._(key, n=len(stops), fields=", ".join(names)).rstrip(": ：")
        elif not final:
            level, words = "help", self._("form.checking")
        elif warns:
            level, words = "warn", self._("form.ready_warn", n=len(warns))
        else:
            level, words = "good", self._("form.ready")
        if level == "stop" and self._nothing_yet:
            level = "help"  # nothing entered yet: nothing to blame
        self._status.value = f"<span class='sft-{level}' role='status'>{escape(words)}</span>"

    def _buttons(self) -> None:
        """Which buttons make sense now."""
        barred = any(finding.level == "stop" for finding in self.findings)
        self._button.disabled = barred or self._clicked is not None
        self._dry.disabled = barred or self.rehearsal.running
        self._undo.disabled, self._redo.disabled = not self._history.past, not self._history.future

    @property
    def _config(self) -> SFTConfig | None:
        try:
            return self.config
        except ConfigError:
            return None

    def _show_config(self) -> None:
        config = self._config
        if "export" in vars(self):
            self.export.show(config)
        self.rehearsal.compare(config)

    def _show_gpus(self, cards: list[GPU]) -> None:
        lines = [
            self._("form.gpu", id=card.id, name=card.name, free=(card.memory_mb - card.used_mb) // 1024, total=card.memory_mb // 1024)
            for card in cards
        ]  # fmt: skip
        self.rows.tell("gpus", lines or [self._("form.no_gpu")])
        self.rows.bar(
            "gpus", not cards and self.rows.empty("gpus")
        )  # without a card there is nothing to choose

    # launching

    @shown
    def _on_dry_run(self, _button: Any) -> None:
        self.rehearsal.start(self.config)
        self._buttons()

    def launch(self) -> Run:
        """Start the run as entered and show its monitor; while a click on Launch is starting one, wait for that one.

        Raises ConfigError or LaunchError when that cannot be.
        """
        clicked = self._clicked
        run = clicked.result() if clicked else launch(self.config, self.runs_dir, self.queue.value)
        self._launched(run)
        return run

    @shown
    def _on_launch(self, _button: Any) -> None:
        if self._clicked is not None:
            return  # the second half of a double click
        config, queue = self.config, self.queue.value
        self._clicked = clicked = Future()  # a cell may call launch() in the meantime
        self._button.disabled, self._button.description = True, self._("form.launching")

        def start() -> Run:  # hashing the data may take a while, and so does the first import of the monitor
            try:
                clicked.set_result(launch(config, self.runs_dir, queue))
            except Exception as error:
                clicked.set_exception(error)
            import_module("sftkit.widgets.run_monitor")
            import_module("sftkit.widgets.loss_curves")
            return clicked.result()

        in_background(start, self._launched, self._not_launched)

    def _launched(self, run: Run) -> None:
        from sftkit.widgets.run_monitor import RunMonitor  # half a second that an open form does without

        if run is self.run:
            return  # the click's run, shown by launch() already
        self.run = run
        self._ready_again("form.launch_again")
        if self.monitor is not None:
            self.monitor.close()  # the run goes on; form.run and its folder are how to see it again
        self.monitor = RunMonitor(run, lang=self._lang)
        words = escape(self._("form.launched", id=run.id))
        note = HTML(f"<span class='sft-good' role='status'>{words}</span>")
        self._below.children = (note, self.monitor)

    def _not_launched(self, error: Exception) -> None:
        self._ready_again("form.launch")
        if isinstance(error, LaunchError) and error.findings:
            self._show(error.findings)  # the world has changed since the last check: say it where it belongs
        else:
            self.errors.show(error)

    def _ready_again(self, words: str) -> None:
        self._clicked, self._button.disabled, self._button.description = None, False, self._(words)

    def close(self) -> None:
        """Take the form, and its monitor, off the page. A run goes on."""
        self._check.cancel()
        self.rehearsal.cancel()
        if self.monitor is not None:
            self.monitor.close()
        super().close()
