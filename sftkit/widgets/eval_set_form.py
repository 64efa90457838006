"""EvalSetForm: an eval set drawn from training data by task type and length, looked at before it is written.

form = sk.EvalSetForm("data/train.jsonl")
form                       # size, by what, seed; Preview shows strata, match and leaks; Make writes and holds out
form.made                  # the EvalSet in view
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Button, Combobox, HBox, Text, Textarea, VBox

from sftkit.config import SFTConfig
from sftkit.data import patches
from sftkit.data.lens.eval_set import KINDS, EvalSet, make_eval_set
from sftkit.data.lens.rows import read
from sftkit.data.lens.tasks import RULES
from sftkit.errors import ConfigError, DataError, Fault
from sftkit.widgets.asked_twice import AskedTwice
from sftkit.widgets.background import in_background
from sftkit.widgets.dataset_rows import DatasetRows
from sftkit.widgets.errors import ErrorRoom, shown
from sftkit.widgets.fold import Fold
from sftkit.widgets.form_row import Row
from sftkit.widgets.labels import label, language
from sftkit.widgets.style import Style

SHARE, MOST = 0.05, 200  # rows proposed: this share of the data, at most so many
FIELDS = ("size", "by", "seed", "out")
BETWEEN = ": "  # task type and regular expression, in a line of the rules


class EvalSetForm(VBox):
    """Draw an eval set from `dataset`, see how it compares with what is left to train, and write it.

    dataset: a file, a `save_to_disk` folder, a list of either, or an SFTConfig. size, by, seed, out: what the fields begin
    with, as of `sk.make_eval_set`. label, embed: how task types are guessed where the data name none, as there, in place of
    the rules; what asking a judge takes (`label.estimate`) is told before it is asked. lang: "en", "zh" or None for the language of `sk.set_language`.

    `.made` is the EvalSet in view (None before the first preview), `.path` the file written last. Nothing is written
    before Make is pressed. Raises `DataError` when the data cannot be read.
    """

    made: EvalSet | None = None
    path: Path | None = None
    _overwrite = False  # whether somebody said yes to that

    def __init__(self, dataset: Any, *, size: int | float | None = None, by: str | Sequence[str] | None = "task", seed: int = 42, out: str | Path | None = None, label: Any = None, embed: Any = None, lang: str | None = None):  # fmt: skip
        self.dataset, self._lang = dataset, lang or language()
        self._label, self._embed = label and Once(label), embed
        self._rows = _rows(dataset)
        self.errors = ErrorRoom(lang)
        self._asked, self._made_of = 0, None  # drawings asked for; the settings of the one in view
        by = by if isinstance(by, str) else ", ".join(by or ())
        self._build(
            size or max(1, min(MOST, round(SHARE * len(self._rows)))), by, seed, out or self._beside()
        )

    def _(self, key: str, **values: object) -> str:
        return label(f"evalset.{key}", self._lang, **values)

    # what it is made of

    def _build(self, size: int | float, by: str, seed: int, out: str | Path) -> None:
        columns = dict.fromkeys(name for source in self._rows.sources for name in source.rows.columns)
        options = (*KINDS, "task, language", *(name for name in columns if name not in KINDS))
        texts = {"size": Text(str(size)), "by": Combobox(value=by, options=options, ensure_option=False), "seed": Text(str(seed)), "out": Text(str(out))}  # fmt: skip
        for name, made in texts.items():
            made.description, made.continuous_update = self._(name), False
        self.rows = {name: Row(texts[name], self._(f"{name}_help")) for name in FIELDS}
        self.rules = Textarea(
            "\n".join(f"{task}{BETWEEN}{pattern}" for pattern, task in RULES), rows=len(RULES) + 1
        )
        self.rules.add_class("sft-rules")
        hint = HTML(f"<div class='sft-hint'>{escape(self._('rules_help'))}</div>")
        fold = Fold(self._("rules"), VBox([hint, self.rules]))
        self.preview_button = Button(description=self._("preview"), icon="eye")
        self.preview_button.on_click(self._on_preview)
        self.make_button = AskedTwice(self._("make"), self._("make_sure"), self._question, self._on_make, icon="check", lang=self._lang, needed=self._in_the_way)  # fmt: skip
        self.make_button.button.button_style = "primary"
        self.agree_button = Button(description=self._("ask"), icon="gavel", layout={"display": "none"})
        self.agree_button.on_click(self._on_agree)
        self.release_button = Button(description=self._("release"), icon="undo", layout={"display": "none"})
        self.release_button.on_click(self._on_release)
        self._status, self._result = HTML(), HTML()
        buttons = HBox([self.preview_button, self.make_button, self.agree_button, self.release_button])
        buttons.add_class("sft-launch")
        names = ", ".join(source.name for source in self._rows.sources)
        head = HTML(f"<h3>{escape(self._('title'))}</h3><div class='sft-hint'>{escape(self._('from', names=names, n=f'{len(self._rows):,}'))}</div>")  # fmt: skip
        super().__init__([Style(), head, *self.rows.values(), fold, buttons, self._status, self.errors, self._result])  # fmt: skip
        for name in ("sft-form", "sft-evalset"):
            self.add_class(name)

    def _beside(self) -> Path:
        """Where an eval set goes unless somebody says otherwise: beside the first source."""
        place = Path(self._rows.sources[0].name)
        return place.with_name(f"{place.name.split('.')[0]}_eval.jsonl")

    # what is entered

    @property
    def settings(self) -> dict[str, Any]:
        """The keywords of `make_eval_set`. Raises ConfigError with every fault."""
        faults: list[Fault] = []

        def number(name: str, kinds: tuple[type, ...]) -> Any:
            text = self._text(name).replace(",", "").replace("_", "")
            for kind in kinds:
                try:
                    return kind(text)
                except ValueError:
                    continue
            faults.append(Fault(name, self._(f"{name}_fault", text=text)))
            return None

        found = {"size": number("size", (int, float)), "seed": number("seed", (int,))}
        found["by"] = tuple(name.strip() for name in self._text("by").split(",") if name.strip())
        found |= {"rules": self._rules(faults), "label": self._label, "embed": self._embed}
        if not self._text("out"):
            faults.append(Fault("out", self._("out_fault")))
        if faults:
            raise ConfigError(faults)
        return found

    def _text(self, name: str) -> str:
        return str(self.rows[name].input.value or "").strip()

    def _rules(self, faults: list[Fault]) -> list[tuple[str, str]] | None:
        """Pairs of regular expression and task type; None where they stand as they were."""
        pairs = []
        for number, line in enumerate(self.rules.value.splitlines(), start=1):
            task, between, pattern = line.partition(BETWEEN)
            if line.strip() and not (between and task.strip() and pattern):
                faults.append(Fault("rules", self._("rules_fault", n=number)))
            elif line.strip():
                pairs.append((pattern, task.strip()))
        return None if pairs == list(RULES) else pairs

    # drawing

    @shown
    def _on_preview(self, _button: Any) -> None:
        self._draw(lambda: None)

    def _draw(self, then: Any) -> None:
        """Draw with what is entered, in a thread, show it, and go on with `then`; where a judge has to be asked, only after
        what that takes was told."""
        self.errors.clear()
        try:
            settings = self.settings
        except ConfigError as error:
            return self._tell_faults(error.faults)
        self._tell_faults([])
        self.agree_button.layout.display = "none"
        if self._label is not None and "task" in settings["by"] and not self._label.agreed:
            self._busy(True)
            in_background(self._estimate, lambda words: self._ask_first(words, then), self._failed)
        else:
            self._drawn_with(settings, then)

    def _estimate(self) -> str:
        """What asking the judge takes; empty where the data name every task type."""
        items = read(self._rows.config, whole=True, progress=False).items
        return self._label.estimate([item.prompt for item in items if not item.task])

    def _ask_first(self, words: str, then: Any) -> None:
        self._busy(False)
        if not words:
            self._label.agreed = True
            return self._draw(then)
        self._then = then
        self._status.value = f"<div role='status'>{escape(words)}</div>"
        self.agree_button.layout.display = ""

    @shown
    def _on_agree(self, _button: Any) -> None:
        self._label.agreed = True
        self._draw(self._then)

    def _drawn_with(self, settings: dict[str, Any], then: Any) -> None:
        self._asked += 1
        turn = self._asked
        self._busy(True)

        def work() -> tuple[EvalSet, str]:
            made = make_eval_set(self._rows.config, progress=False, **settings)
            return made, made.html(self._lang)  # match and leaks are computed with it

        def drawn(result: tuple[EvalSet, str]) -> None:
            if turn != self._asked:
                return
            self.made, self._made_of = result[0], settings
            self._result.value = result[1]
            self._busy(False)
            then()

        in_background(work, drawn, self._failed)

    def _failed(self, error: Exception) -> None:
        self._busy(False)
        self.errors.show(error)

    def _busy(self, busy: bool) -> None:
        self.preview_button.disabled = self.make_button.disabled = busy
        words = self._("drawing", n=f"{len(self._rows):,}")
        self._status.value = f"<div role='status'><progress></progress> {escape(words)}</div>" if busy else ""

    def _tell_faults(self, faults: list[Fault]) -> None:
        for name, row in self.rows.items():
            row.show([fault.message for fault in faults if fault.field == name])
        others = [fault.message for fault in faults if fault.field not in self.rows]
        self._status.value = "".join(f"<span class='sft-note sft-stop' role='alert'>{escape(words)}</span>" for words in others)  # fmt: skip

    # writing

    def _in_the_way(self) -> bool:
        """Whether a file would be overwritten; then Make asks first."""
        self._overwrite = Path(self._text("out") or ".").is_file()
        return self._overwrite

    def _question(self) -> str:
        return self._("overwrite", path=self._text("out"))

    def _on_make(self) -> None:
        """What is in view is written; drawn first where it is of other settings."""
        try:
            same = self.made is not None and self.settings == self._made_of
        except ConfigError as error:
            return self._tell_faults(error.faults)
        if same:
            self._write()
        else:
            self._draw(self._write)

    @shown
    def _write(self) -> None:
        self.errors.clear()
        self._busy(True)
        path = Path(self._text("out"))
        in_background(lambda: self.made.save(path, overwrite=self._overwrite), self._written, self._failed)

    def _written(self, path: Path) -> None:
        self._busy(False)
        self.path = path
        files = ", ".join(patches.place_of(source.name, source.wanted).name for source in self._rows.sources)
        words = self._("written", n=f"{len(self.made):,}", path=path, files=files)
        code = f"eval_dataset={str(path)!r}"
        self._status.value = f"<div class='sft-note sft-good' role='status'>{escape(words)} <code>{escape(code)}</code></div>"  # fmt: skip
        self._made_of = None  # what is written is held out from now on: another one would be of other rows
        self.release_button.layout.display = ""

    @shown
    def _on_release(self, _button: Any) -> None:
        from sftkit.data.lens.eval_files import release

        count = release(self.path)
        words = self._("released", n=f"{count:,}", path=self.path)
        self._status.value = f"<div role='status'>{escape(words)}</div>"
        self.release_button.layout.display = "none"

    def __repr__(self) -> str:
        drawn = f"{len(self.made):,} rows drawn" if self.made is not None else "nothing drawn yet"
        return f"EvalSetForm({', '.join(source.name for source in self._rows.sources)}: {drawn})"


class Once:
    """A judge's names of prompts, each paid for once; `agreed`: somebody has said that it may be asked."""

    def __init__(self, label: Any):
        self._label, self._known, self.agreed = label, {}, False

    def estimate(self, prompts: Sequence[str]) -> str:
        """What naming these takes, in the judge's words; a plain function says nothing, and costs nothing."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        told = getattr(self._label, "estimate", None)
        return told(new) if told and new else ""

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            self._known.update(zip(new, self._label(new), strict=True))
        return [self._known[prompt] for prompt in prompts]


def _rows(dataset: Any) -> DatasetRows:
    from sftkit.widgets.dataset_view import settings_of

    config = settings_of(dataset, None)
    if isinstance(dataset, SFTConfig):
        config = config.with_(dataset_probs=None, dataset_caps=None, max_samples=None)
    rows = DatasetRows(config)
    if faults := [columns for columns in rows.columns if isinstance(columns, DataError)]:
        raise faults[0]
    return rows
