"""JudgePanel: a judge's model, endpoint, rules, cost, exam, run and results in one place. Nothing in it blocks the kernel.

sk.JudgePanel(answers, store=store)
sk.JudgePanel(answers, store=store, judge=sk.Judge("my-model", base_url="http://localhost:8000/v1"))

What it shows of results is read from the store, so it is right after the cell, or the kernel, was started anew; a run
under way in this kernel is found again too.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Button, Combobox, HBox, Text, VBox

from sftkit.errors import ConfigError, Fault, JudgeError, SftkitError
from sftkit.generation.table import Generations
from sftkit.judging import Judge
from sftkit.judging.exam import Sitting
from sftkit.judging.fake_server import MODEL as FAKE
from sftkit.judging.protocol import Protocol
from sftkit.ratings import RatingStore
from sftkit.widgets import judge_job
from sftkit.widgets.background import Debounced, in_background
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.fold import Fold
from sftkit.widgets.judge_job import Job
from sftkit.widgets.judge_look import Look, Pages, look
from sftkit.widgets.judge_rules import Row, RulesForm
from sftkit.widgets.labels import label
from sftkit.widgets.setting_rows import as_text
from sftkit.widgets.style import RunStyle, Style

WAIT = 0.4  # seconds after the last edit before anything is read anew
NUMBERS = {"limit": int, "spend": float, "at_once": int, "rpm": float, "tpm": float}  # all above 0
MODELS = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini")  # offered while one types; any other will do


class JudgeStyle(RunStyle):
    _css = Path(__file__).with_name("judge.css")


class JudgePanel(VBox):
    """Set up a judge, see what it takes, let it sit its exam, run it on `answers`, stop it, see how it fared.

    store: where verdicts go and results come from. judge: what the fields begin with, and whose timeout, retries and
    prices are kept. lang: "en", "zh" or None for the language of `sk.set_language`.

    `.judge` is the judge as entered (raises JudgeError or ConfigError), `.job` what is under way, `.seen` what is shown.

        sk.JudgePanel(answers, store=store, judge=judge)    # in the notebook: set up, see the price, exam, run
    """

    seen: Look | None = None
    job: Job | None = None
    _look_later: Debounced | None = None  # there is none in a panel whose making was refused

    def __init__(
        self, answers: Generations, *, store: RatingStore, judge: Judge | None = None, lang: str | None = None
    ):
        if len(answers.models) < 2:
            raise JudgeError(
                f"a comparison needs two models; these answers are of: {', '.join(answers.models)}"
            )
        self.answers, self.store, self._lang = answers, store, lang
        self._given = judge if judge is not None else Judge(MODELS[0])
        self._pages, self.errors = Pages(lang), ErrorRoom(lang)
        self._asked = 0  # looks asked for; only the last one is shown
        self._build()
        self._look_later = Debounced(self.refresh, WAIT)
        for row in [*self.rows.values(), *self.rules.rows.values()]:
            row.input.observe(lambda _change: self._edited(), "value")
        if (job := judge_job.running(store)) is not None:
            self._take_up(job)
        self.refresh()

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    # what it is made of

    def _build(self) -> None:
        self.rows = self._fields()
        self.rules = RulesForm(self._given.protocol, self._lang)
        self._fold = Fold(self._("judge.rules"), self.rules)
        self._style, self._key = Style(), HTML()
        self._estimate, self._status, self._progress = HTML(), HTML(), HTML()
        self._card, self._results = HTML(), HTML()
        self.exam_button = self._button("judge.exam", "graduation-cap", self._on_exam)
        self.run_button = self._button("judge.run", "play", self._on_run)
        self.run_button.button_style = "primary"
        self.stop_button = self._button("judge.stop", "stop", self._on_stop)
        buttons = HBox([self.run_button, self.exam_button, self.stop_button, self._status])
        self._status.add_class("sft-status")
        buttons.add_class("sft-launch")
        title = HTML(f"<h3>{escape(self._('judge.title'))}</h3>")
        places = [self._estimate, buttons, self._progress, self.errors, self._results, self._card]
        fields = [self.rows["model"], self.rows["base_url"], self.rows["key_env"], self._key]
        fields += [self.rows[name] for name in NUMBERS]
        super().__init__([self._style, JudgeStyle(), title, *fields, self._fold, *places])
        for name in ("sft-form", "sft-judge"):
            self.add_class(name)

    def _fields(self) -> dict[str, Row]:
        given = self._given
        model = Combobox(
            value=given.model, options=MODELS, ensure_option=False, continuous_update=False, description=self._("judge.model")
        )  # fmt: skip
        url = given.base_url
        if url == os.environ.get(
            "OPENAI_BASE_URL"
        ):  # it may hold a password, and a field may be kept with the notebook
            url = None
        texts = {"base_url": url, "key_env": given.api_key_env, "limit": None, "spend": None}
        texts |= {
            "at_once": given.max_concurrency,
            "rpm": given.requests_per_minute,
            "tpm": given.tokens_per_minute,
        }
        helps = {"key_env": "", "rpm": self._("judge.limits_help"), "tpm": self._("judge.limits_help")}
        helps["limit"] = self._("judge.limit_help", n=f"{len(self.answers.prompts):,}")
        rows = {"model": Row(model, self._("judge.model_help"))}
        for name, value in texts.items():
            text = "" if value is None else as_text(value)
            made = Text(value=text, continuous_update=False, description=self._(f"judge.{name}"))
            rows[name] = Row(made, helps[name] if name in helps else self._(f"judge.{name}_help"))
        return rows

    def _button(self, words: str, icon: str, action: Any) -> Button:
        button = Button(description=self._(words), icon=icon)
        button.on_click(action)
        return button

    # what is entered

    def _text(self, name: str) -> str:
        return str(self.rows[name].input.value or "").strip()

    def _numbers(self) -> dict[str, Any]:
        """The number fields; ConfigError names every one that is no number above 0."""
        found: dict[str, Any] = {}
        faults = []
        for name, kind in NUMBERS.items():
            text = self._text(name)
            try:
                found[name] = kind(text.replace(",", "").replace("_", "")) if text else None
                if found[name] is not None and not 0 < found[name] < float("inf"):
                    raise ValueError
            except (ValueError, OverflowError):
                faults.append(Fault(name, self._("judge.number", name=self._(f"judge.{name}"), text=text)))
        if faults:
            raise ConfigError(faults)
        return found

    def _protocol(self) -> Protocol:
        return self.rules.protocol

    @property
    def judge(self) -> Judge:
        """The judge as entered. Raises ConfigError or JudgeError."""
        faults: list[Fault] = []
        found: list[Any] = []
        for read in (self._numbers, self._protocol):
            try:
                found.append(read())
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)
        numbers, protocol = found
        return Judge(
            self._text("model"),
            self._text("base_url") or None,
            api_key_env=self._text("key_env") or "OPENAI_API_KEY",
            protocol=protocol,
            max_concurrency=numbers["at_once"] or self._given.max_concurrency,
            timeout=self._given.timeout,
            max_retries=self._given.max_retries,
            requests_per_minute=numbers["rpm"],
            tokens_per_minute=numbers["tpm"],
            prices=self._given.prices,
        )

    def _edited(self) -> None:
        self._status.value = f"<span class='sft-help'>{escape(self._('judge.estimating'))}</span>"
        self._buttons()
        self._look_later.request()

    # looking

    def refresh(self) -> None:
        """Read estimate and store anew, in a thread, and show them."""
        self._asked += 1
        turn = self._asked
        try:
            judge, limit = self.judge, self._numbers()["limit"]
        except SftkitError as error:
            return self._refused(error)
        self._tell_faults([])
        self._show_key(judge)
        in_background(
            lambda: look(judge, self.answers, self.store, limit),
            lambda seen: self._show(seen) if turn == self._asked else None,
            lambda error: self._not_read(error) if turn == self._asked else None,
        )

    def _refused(self, error: SftkitError) -> None:
        self.seen, self._estimate.value = None, ""
        faults = error.faults if isinstance(error, ConfigError) else [Fault("", str(error))]
        self._tell_faults(faults)
        own = [fault for fault in faults if fault.field not in (*self.rows, *self.rules.rows)]
        words = "; ".join(str(fault) for fault in own or faults)
        self._status.value = self._pages.note("stop", words)
        self._style.seen += 1
        self._buttons()

    def _tell_faults(self, faults: list[Fault]) -> None:
        self.rules.show(faults)
        for name, row in self.rows.items():
            row.show([fault.message for fault in faults if fault.field == name])
        count = self.rules.changed()
        more = f" · {self._('judge.rules_changed', n=count)}" if count else ""
        self._fold.title = self._("judge.rules") + more

    def _not_read(self, error: Exception) -> None:
        self.seen, self._status.value = None, ""
        self._style.seen += 1
        self.errors.show(error)
        self._buttons()

    def _show(self, seen: Look) -> None:
        self.seen, self._status.value = seen, ""
        if self._text("spend") and seen.judge.price is None:
            self._status.value = self._pages.note("warn", self._("judge.no_price_limit"))
        self._estimate.value = self._pages.estimate(seen.estimate)
        self._card.value = self._pages.exam(seen.exam, seen.exam_takes)
        self._results.value = self._pages.results(seen)
        self._style.seen += 1
        self._buttons()

    def _show_key(self, judge: Judge) -> None:
        """Which variable, and whether it is set: never the key."""
        name = judge.api_key_env
        if os.environ.get(name):
            note = self._pages.note("good", self._("judge.key_set", name=name))
        elif judge.base_url:
            note = self._pages.note("inform", self._("judge.key_none", name=name))
        else:
            note = self._pages.note("stop", self._("judge.key_unset", name=name))
        fake = self._pages.note("warn", self._("judge.fake")) if judge.model == FAKE else ""
        self._key.value = note + fake

    def _buttons(self) -> None:
        busy = self.job is not None and not self.job.done
        self.run_button.disabled = busy or self.seen is None or not self.seen.estimate.calls
        self.exam_button.disabled = busy or self.seen is None or not self.seen.exam_takes.calls
        self.stop_button.disabled = not busy or self.job.stopping

    # doing

    @shown
    def _on_run(self, _button: Any) -> None:
        judge, numbers = self.judge, self._numbers()
        options = {
            "limit": numbers["limit"],
            "spend_limit": numbers["spend"],
            "progress": False,
            "remind": False,
        }

        def work(report: Any) -> Any:
            return judge.rate(self.answers, self.store, on_progress=report, **options)

        self._start(Job("run", judge.rater, judge.stop), work)

    @shown
    def _on_exam(self, _button: Any) -> None:
        sitting = Sitting(self.judge, self.store)
        spend = self._numbers()["spend"]
        job = Job("exam", sitting.judge.rater, sitting.stop)
        self._start(job, lambda report: sitting.run(False, spend, report))

    @shown
    def _on_stop(self, _button: Any) -> None:
        if self.job is not None:
            self.job.stop()

    def _start(self, job: Job, work: Any) -> None:
        self.errors.clear()
        if (other := judge_job.running(self.store)) is not None:
            self._status.value = self._pages.note("warn", self._("judge.busy"))
            return self._take_up(other)
        self._take_up(job)
        judge_job.start(self.store, job, work)

    def _take_up(self, job: Job) -> None:
        self.job = job
        job.listen(self, self._on_job)
        self._on_job(job)

    @shown
    def _on_job(self, job: Job) -> None:
        self._progress.value = self._pages.job(job)
        self._buttons()
        if job.done:
            job.forget(self)
            if job.error is not None:
                self.errors.show(job.error)
            self.refresh()

    def close(self) -> None:
        """Take the panel off the page. A run goes on, and a new panel on the same store finds it."""
        if self._look_later is not None:
            self._look_later.cancel()
        if self.job is not None:
            self.job.forget(self)
        super().close()

    def __repr__(self) -> str:
        at = f"{self.job.progress.done} of {self.job.progress.total} calls" if self.job else "ready"
        return f"JudgePanel({self._text('model')}: {at})"
