"""The rows of the form: a setting's label, its input made from the field's type, and beside it help, faults and fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Box, Button, Checkbox, Combobox, Dropdown, Text

from sftkit.command import names
from sftkit.widgets.labels import label, language
from sftkit.widgets.setting import Setting, as_text, is_empty, settings
from sftkit.widgets.setting_why import why_html
from sftkit.widgets.shared import Shared

if TYPE_CHECKING:
    from sftkit.runs import Finding

PATHS = frozenset({"pretrain", "dataset", "eval_dataset", "save_path", "ckpt_path"})

Fix = Callable[[dict[str, Any]], None]


class Rows(Mapping):
    """Every setting's row by its name, each built when it is first asked for: most stand in groups that are closed.

    What is typed, found and told of a row that is not built is kept for it. `changed()`: a person, or `enter`, has
    changed an input.
    """

    def __init__(self, shared: Shared, on_fix: Fix, changed: Callable[[Any], None], lang: str | None):
        self._shared, self._on_fix, self._changed, self._lang = shared, on_fix, changed, lang
        self._typed = {name: setting.typed(setting.default) for name, setting in settings().items()}
        self._findings: dict[str, list[Finding]] = {}
        self._told: dict[str, list[str]] = {}
        self._barred: dict[str, bool] = {}
        self.built: dict[str, SettingRow] = {}

    def __getitem__(self, name: str) -> SettingRow:
        if name not in self.built:
            row = SettingRow(settings()[name], self._typed[name], self._shared, self._on_fix, self._lang)
            row.add_help(self._told.get(name, []))
            row.show(self._findings.get(name, []))
            row.input.disabled = self._barred.get(name, False)
            row.input.observe(self._changed, "value")
            self.built[name] = row
        return self.built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._typed)

    def __len__(self) -> int:
        return len(self._typed)

    def __contains__(self, name: object) -> bool:
        return name in self._typed

    @property
    def typed(self) -> dict[str, Any]:
        """What stands in every input, or would."""
        return self._typed | {name: row.input.value for name, row in self.built.items()}

    def type_in(self, typed: Mapping[str, Any]) -> None:
        """The opposite of `typed`."""
        for name, value in typed.items():
            if name in self.built:
                self.built[name].input.value = value
            elif value != self._typed[name]:
                self._typed[name] = value
                self._changed(None)

    def enter(self, name: str, value: Any) -> None:
        """Enter a setting's value. Raises ValueError for what is no choice of its list."""
        self.type_in({name: settings()[name].typed(value)})

    def empty(self, name: str) -> bool:
        """Whether nothing is entered there."""
        return is_empty(self.built[name].input.value if name in self.built else self._typed[name])

    def show(self, findings: dict[str, list[Finding]]) -> None:
        """Each row's findings, by its name; none for the others."""
        self._findings = findings
        for name, row in self.built.items():
            row.show(findings.get(name, []))

    def tell(self, name: str, lines: list[str]) -> None:
        """More lines under a row's help."""
        self._told[name] = lines
        if name in self.built:
            self.built[name].add_help(lines)

    def bar(self, name: str, barred: bool) -> None:
        """Whether a row's input takes nothing."""
        self._barred[name] = barred
        if name in self.built:
            self.built[name].input.disabled = barred


class SettingRow(Box):
    """A setting's row. `.input` is the ipywidget, `.setting` what it stands for, `.show(findings)` what is beside it."""

    def __init__(self, about: Setting, typed: Any, shared: Shared, on_fix: Fix, lang: str | None = None):
        self.about, self.name, self._lang, self._on_fix = about, about.name, lang, on_fix
        self.input = self._input(typed, shared)
        self._help = self._help_html()
        self._note = shared.make(HTML, value=self._help)
        super().__init__([self.input, self._note], layout=shared.layout, _dom_classes=("sft-row",))

    def _input(self, typed: Any, shared: Shared) -> Any:
        about = {"description": label(f"field.{self.name}", self._lang), "value": typed}
        if self.about.kind is bool:
            return shared.make(Checkbox, indent=False, **about)
        if self.about.choices:
            return shared.make(Dropdown, options=self.about.choices, **about)
        # An empty input of an optional setting means None, so the default must not be shown as if it applied.
        grey = "" if self.about.optional or self.about.default is None else as_text(self.about.default)
        return shared.make(Combobox if self.name in PATHS else Text, placeholder=grey, **about)

    def _called(self) -> str:
        """What OpenRLHF and TRL call the setting, for those who come from there."""
        named = names.NAMES.get(self.name, names.Names())
        old = named.plain or named.dotted
        key = "form.called" if named.dotted not in ("", named.plain) else "form.called_same"
        told = [label(key, self._lang, old=old, new=named.dotted)] if old else []
        told += [label("form.called_trl", self._lang, trl=named.trl)] if named.trl else []
        return " · ".join([self.name, *told])

    def _help_html(self) -> str:
        words, unit = label(f"help.{self.name}", self._lang), self.about.unit
        named = "" if (self._lang or language()) == "en" else f"<code>{self.name}</code> "
        unit = f" <span class='sft-unit'>{escape(label(f'unit.{unit}', self._lang))}</span>" if unit else ""
        called = escape(self._called(), quote=True)
        why = why_html(self.name, self._lang)
        return f"<span class='sft-help' title='{called}'>{named}{escape(words)}{unit}</span>{why}"

    @property
    def setting(self) -> Any:
        """The value entered; text that is no number stays text, for SFTConfig to refuse in its own words."""
        return self.about.value(self.input.value)

    def show(self, findings: list[Finding]) -> None:
        """Findings beside the field, each with its fix as a button; help is always there."""
        self._note.value = "".join(self._note_html(finding) for finding in findings) + self._help
        buttons = [fix_button(finding, self._on_fix, self._lang) for finding in findings if finding.fix]
        if buttons or len(self.children) != 2:
            self.children = (self.input, self._note, *buttons)
        asked = self._asked and len(findings) == 1
        levels = {finding.level for finding in findings} if not asked else set()
        marks = [f"sft-has-{level}" for level in ("stop", "warn") if level in levels]
        self._dom_classes = ("sft-row", *marks)

    def add_help(self, lines: list[str]) -> None:
        """More lines under the help, of what this machine has."""
        more = "".join(f"<span class='sft-help'>{escape(line)}</span>" for line in lines)
        self._note.value = self._note.value + more
        self._help += more

    @property
    def _asked(self) -> bool:
        """A required field nobody has filled in yet is asked for, not blamed."""
        return self.about.required and is_empty(self.input.value)

    def _note_html(self, finding: Finding) -> str:
        if self._asked:
            return f"<span class='sft-note sft-ask'>{escape(label('form.needed', self._lang))}</span>"
        return note_html(finding, self._lang)


def note_html(finding: Finding, lang: str | None = None) -> str:
    """A finding's words, coloured by its level."""
    return (
        f"<span class='sft-note sft-{finding.level}'>{escape(finding.message_in(lang or language()))}</span>"
    )


def note_and_fix(finding: Finding, on_fix: Fix, lang: str | None = None) -> list[Any]:
    """A finding by itself, beside no field: its words, and its button."""
    note = HTML(note_html(finding, lang))
    return [note, fix_button(finding, on_fix, lang)] if finding.fix else [note]


def fix_button(finding: Finding, on_fix: Fix, lang: str | None = None) -> Button:
    """A button that carries out a finding's fix."""
    button = Button(
        description=finding.label_in(lang or language()),
        tooltip=", ".join(f"{k}={v!r}" for k, v in finding.fix.items()),
    )
    button.add_class("sft-fix")
    button.on_click(lambda _button: on_fix(finding.fix))
    return button
