"""LaunchForm: the settings of a run as a form, checked while one types, and the button that starts it.

form = sk.LaunchForm(sk.SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl"))
form                      # shown; after Launch, form.run is the run and its monitor stands below
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Accordion, Button, HBox, Layout, Textarea, VBox
from traitlets import TraitError

from sftkit import command
from sftkit.config import GROUPS, SFTConfig
from sftkit.errors import ConfigError, LaunchError
from sftkit.runs import Finding, Run, hardware, launch, preflight
from sftkit.widgets.background import Debounced, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.labels import label
from sftkit.widgets.run_monitor import RunMonitor
from sftkit.widgets.setting_rows import PATHS, SettingRow, fix_button, note_html, suggestions
from sftkit.widgets.style import Style

TYPING = 0.3  # seconds without a key after which what was typed is checked


class LaunchForm(VBox):
    """A form for SFTConfig. `config`: what it begins with; `runs_dir`: where runs are written; `lang`: "en" or "zh".

    `.rows[name].input` is the ipywidget of a setting, `.findings` what preflight last said, `.run` the run that was
    launched last (None before), `.monitor` its RunMonitor.
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
        self._asked = 0  # number of the newest check: answers to older ones are dropped
        self._check = Debounced(self._start_check, TYPING)
        # One Layout for all: a model of its own for every row would double what the browser has to build.
        shared = Layout()
        self.rows = {name: SettingRow(name, shared, self.fill, lang) for name in SFTConfig.model_fields}
        super().__init__(self._build())
        self.add_class("sft-form")
        if config is not None:
            self.fill(config.to_dict())
        for row in self.rows.values():
            row.input.observe(self._changed, "value")
        self._check.request()
        in_background(hardware.gpus, self._show_gpus, self.errors.show)

    # what stands where

    def _build(self) -> list[Any]:
        common = sorted((row for row in self.rows.values() if row.common), key=lambda row: not row.required)
        rarer = [row for row in self.rows.values() if not row.common]
        groups = {group: [row for row in rarer if row.group == group] for group in GROUPS}
        self._groups = {group: rows for group, rows in groups.items() if rows}
        self._folds = Accordion([VBox(rows) for rows in self._groups.values()])
        self._folds.add_class("sft-folds")
        self._title_groups()
        self._hint, self._status, self._figures = HTML(), HTML(), HTML()
        self._general = VBox()
        self._button = Button(description=self._("form.launch"), button_style="primary", icon="play")
        self._button.on_click(self._on_launch)
        self._below = VBox()
        return [
            Style(),
            HTML(f"<h3>{escape(self._('form.title'))}</h3>"),
            self._hint,
            self._paste_fold(),
            HTML(f"<h4>{escape(self._('form.common'))}</h4>"),
            VBox(common),
            self._folds,
            self._figures,
            self._general,
            _classed(HBox([self._button, self._status]), "sft-launch"),
            self._code_fold(),
            self.errors,
            self._below,
        ]

    def _paste_fold(self) -> Accordion:
        self._command = Textarea(placeholder=self._("form.paste_hint"), rows=6, layout=Layout(width="auto"))
        self._fill_button = Button(description=self._("form.fill"))
        self._fill_button.on_click(self._on_fill)
        self._pasted = HTML()
        content = VBox([self._command, HBox([self._fill_button]), self._pasted])
        return _classed(Accordion([content], titles=(self._("form.paste"),)), "sft-folds")

    def _code_fold(self) -> Accordion:
        self._code = HTML()
        return _classed(Accordion([self._code], titles=(self._("form.code"),)), "sft-folds")

    def _title_groups(self) -> None:
        """Each group's name with the number of its settings that need a look, since it may be closed."""
        titles = []
        for group, rows in self._groups.items():
            title = self._(f"group.{group}")
            names = {row.name for row in rows}
            levels = [finding.level for finding in self.findings if finding.field in names]
            for level, words in (("stop", "form.to_mend"), ("warn", "form.to_note")):
                if count := levels.count(level):
                    title += " · " + self._(words, n=count)
            titles.append(title)
        self._folds.titles = tuple(titles)

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    # settings in and out

    @property
    def settings(self) -> dict[str, Any]:
        """What is entered, sound or not; a required setting that is empty is left out."""
        return {name: row.setting for name, row in self.rows.items() if not (row.required and row.empty)}

    @property
    def config(self) -> SFTConfig:
        """What is entered, as a config. Raises ConfigError with every fault."""
        return SFTConfig(**self.settings)

    def to_code(self) -> str:
        """Python that evaluates to these settings, given `import sftkit as sk`. Raises ConfigError with every fault."""
        return self.config.to_code()

    def fill(self, settings: dict[str, Any]) -> None:
        """Enter settings by name; the others stay as they are."""
        for name, value in settings.items():
            self.rows[name].setting = value

    def __repr__(self) -> str:
        stops = sum(finding.level == "stop" for finding in self.findings)
        about = self.run.id if self.run else f"{stops} in the way" if stops else "ready"
        return f"LaunchForm({about})"

    # checking

    def _changed(self, _change: Any) -> None:
        self._check.request()

    def _start_check(self) -> None:
        self._asked += 1
        number, settings = self._asked, self.settings
        self._status.value = f"<span class='sft-help'>{escape(self._('form.checking'))}</span>"
        typed = {name: self.rows[name].input.value for name in PATHS}

        def look() -> tuple[list[Finding], dict[str, list[str]]]:
            offers = {name: suggestions(text) for name, text in typed.items()}
            return preflight(settings, self.runs_dir), offers

        def show(seen: tuple[list[Finding], dict[str, list[str]]]) -> None:
            if number == self._asked:
                self._show(seen[0])
                for name, offered in seen[1].items():
                    self.rows[name].input.options = tuple(offered)

        in_background(look, show, self.errors.show)

    def _show(self, findings: list[Finding]) -> None:
        self.findings = findings
        figures = [finding for finding in findings if self._is_figure(finding)]
        for name, row in self.rows.items():
            row.show([finding for finding in findings if finding.field == name and finding not in figures])
        general = [finding for finding in findings if finding.field not in self.rows]
        self._general.children = tuple(
            part
            for finding in general
            for part in (HTML(note_html(finding)), *([fix_button(finding, self.fill)] if finding.fix else []))
        )
        self._title_groups()
        self._show_figures(figures)
        self._show_status()
        self._show_code()
        empty = all(row.empty for row in self.rows.values() if row.required)
        self._hint.value = f"<p class='sft-hint'>{escape(self._('form.empty'))}</p>" if empty else ""

    def _is_figure(self, finding: Finding) -> bool:
        """Derived figures stand together; what informs about a rarer setting stays beside it."""
        row = self.rows.get(finding.field)
        return finding.level == "inform" and (row is None or row.common)

    def _show_figures(self, figures: list[Finding]) -> None:
        lines = "".join(f"<li>{escape(finding.message)}</li>" for finding in figures)
        title = escape(self._("form.figures"))
        self._figures.value = (
            f"<div class='sft-figures'><b>{title}</b><ul>{lines}</ul></div>" if lines else ""
        )

    def _show_status(self) -> None:
        stops = [finding for finding in self.findings if finding.level == "stop"]
        warns = [finding for finding in self.findings if finding.level == "warn"]
        self._button.disabled = bool(stops) or self._clicked is not None
        if stops:
            names = dict.fromkeys(
                label(f"field.{f.field}", self._lang) for f in stops if f.field in self.rows
            )
            key = "form.stops_one" if len(stops) == 1 else "form.stops"
            level, words = "stop", self._(key, n=len(stops), fields=", ".join(names)).rstrip(": ：")
        elif warns:
            level, words = "warn", self._("form.ready_warn", n=len(warns))
        else:
            level, words = "good", self._("form.ready")
        if level == "stop" and all(row.empty for row in self.rows.values() if row.required):
            level = "help"  # nothing entered yet: nothing to blame
        self._status.value = f"<span class='sft-{level}' role='status'>{escape(words)}</span>"

    def _show_code(self) -> None:
        try:
            words = f"<pre class='sft-code'>{escape(self.to_code())}</pre>"
        except ConfigError:
            words = f"<span class='sft-help'>{escape(self._('form.code_faults'))}</span>"
        self._code.value = words

    def _show_gpus(self, cards: list[hardware.GPU]) -> None:
        row = self.rows["gpus"]
        lines = [
            self._("form.gpu", id=card.id, name=card.name, free=(card.memory_mb - card.used_mb) // 1024, total=card.memory_mb // 1024)
            for card in cards
        ]  # fmt: skip
        row.add_help(lines or [self._("form.no_gpu")])
        row.input.disabled = not cards and row.empty  # without a card there is nothing to choose

    # a pasted command

    @shown
    def _on_fill(self, _button: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            notes = [*self._fill_from(self._command.value), *(("warn", str(each.message)) for each in caught)]
        lines = (f"<span class='sft-note sft-{level}'>{escape(words)}</span>" for level, words in notes)
        self._pasted.value = "".join(lines)

    def _fill_from(self, text: str) -> Iterator[tuple[str, str]]:
        """Enter a command's settings, faulty ones too as far as their inputs can show them; what there is to say."""
        try:
            found = command.translate(text)
        except ConfigError as error:
            yield from (("stop", str(fault)) for fault in error.faults)
            return
        if found.faults:
            yield from (("stop", str(fault)) for fault in found.faults)
            return
        if found.unused:
            yield "warn", f"sftkit has no setting for {', '.join(found.unused)}; left out."
        settings = found.settings
        faults = []
        try:
            settings = SFTConfig(**settings).to_dict()
        except ConfigError as error:
            faults = error.faults
        defaults = {name: field.get_default() for name, field in SFTConfig.model_fields.items() if name not in settings}  # fmt: skip
        self.fill({name: value for name, value in defaults.items() if not self.rows[name].required})
        for name, value in settings.items():
            with suppress(TraitError):  # no choice of its list: told as a fault
                self.rows[name].setting = value
        given = [
            name for name, value in settings.items() if value != SFTConfig.model_fields[name].get_default()
        ]
        yield "good", self._("form.filled", n=len(given))
        yield from (("stop", str(fault)) for fault in faults)

    # launching

    def launch(self) -> Run:
        """Start the run as entered and show its monitor; while a click on Launch is starting one, wait for that one.

        Raises ConfigError or LaunchError when that cannot be.
        """
        clicked = self._clicked
        run = clicked.result() if clicked else launch(self.config, self.runs_dir)
        self._launched(run)
        return run

    @shown
    def _on_launch(self, _button: Any) -> None:
        if self._clicked is not None:
            return  # the second half of a double click
        config = self.config
        self._clicked = clicked = Future()  # a cell may call launch() in the meantime
        self._button.disabled, self._button.description = True, self._("form.launching")

        def start() -> Run:  # hashing the data may take a while, and so does the first import of plotly
            try:
                clicked.set_result(launch(config, self.runs_dir))
            except Exception as error:
                clicked.set_exception(error)
            import_module("sftkit.widgets.loss_curves")
            return clicked.result()

        in_background(start, self._launched, self._not_launched)

    def _launched(self, run: Run) -> None:
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
        if self.monitor is not None:
            self.monitor.close()
        super().close()


def _classed(widget: Any, name: str) -> Any:
    widget.add_class(name)
    return widget
