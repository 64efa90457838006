"""One row of the form: a setting's label, its input made from the field's type, and beside it help, faults and fixes."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from ipywidgets import HTML, Box, Button, Checkbox, Combobox, Dropdown, Layout, Text

from sftkit.command import names
from sftkit.config import SFTConfig
from sftkit.runs import Finding
from sftkit.widgets.labels import label, language

PATHS = frozenset({"pretrain", "dataset", "eval_dataset", "save_path", "ckpt_path"})
VERBATIM = frozenset({"input_template"})  # blanks at its ends count; a line break is typed, and shown, as \\n
SUGGESTED = 40  # names offered at a time
FEW = 5  # whole numbers of so small a range are chosen from a list

Fix = Callable[[dict[str, Any]], None]


class Shared:
    """One Layout, and one style for each kind of widget, for all rows: models of their own would double what the browser
    has to build."""

    def __init__(self) -> None:
        self.layout = Layout()
        self._styles: dict[type, Any] = {}

    def make(self, kind: type, **about: Any) -> Any:
        """A widget of that kind."""
        if kind in self._styles:
            about["style"] = self._styles[kind]
        made = kind(layout=self.layout, **about)
        self._styles.setdefault(kind, made.style)
        return made


class SettingRow(Box):
    """The setting `name`. `.input` is the ipywidget, `.setting` what it stands for, `.show(findings)` what is beside it.

    An empty input stands for None where the setting may be None, else for the default, which it shows in grey.
    """

    def __init__(self, name: str, shared: Shared, on_fix: Fix, lang: str | None = None):
        self.name, self._lang, self._on_fix = name, lang, on_fix
        field = SFTConfig.model_fields[name]
        self.group: str = field.json_schema_extra["group"]
        self.common: bool = field.json_schema_extra["common"]
        self.required = field.is_required()
        self.optional, self._kind = _unwrapped(field.annotation)
        self._default = None if self.required else field.default
        self.input = self._input(field, shared)
        self._note = shared.make(HTML)
        self._help = self._help_html(field.json_schema_extra["unit"])
        super().__init__(layout=shared.layout)
        self.add_class("sft-row")
        self.show([])

    def _input(self, field: Any, shared: Shared) -> Any:
        about = {"description": label(f"field.{self.name}", self._lang)}
        if self._kind is bool:
            return shared.make(Checkbox, value=bool(self._default), indent=False, **about)
        if choices := _choices(self._kind, field.metadata):
            return shared.make(Dropdown, options=choices, value=self._default, **about)
        text = "" if self._default is None else as_text(self._default)
        kind = Combobox if self.name in PATHS else Text
        # An empty input of an optional setting means None, so the default must not be shown as if it applied.
        return shared.make(kind, value=text, placeholder="" if self.optional else text, **about)

    def _called(self) -> str:
        """What OpenRLHF and TRL call the setting, for those who come from there."""
        named = names.NAMES.get(self.name, names.Names())
        old = named.plain or named.dotted
        key = "form.called" if named.dotted not in ("", named.plain) else "form.called_same"
        told = [label(key, self._lang, old=old, new=named.dotted)] if old else []
        told += [label("form.called_trl", self._lang, trl=named.trl)] if named.trl else []
        return " · ".join([self.name, *told])

    def _help_html(self, unit: str) -> str:
        words = label(f"help.{self.name}", self._lang)
        named = "" if (self._lang or language()) == "en" else f"<code>{self.name}</code> "
        unit = f" <span class='sft-unit'>{escape(label(f'unit.{unit}', self._lang))}</span>" if unit else ""
        called = escape(self._called(), quote=True)
        return f"<span class='sft-help' title='{called}'>{named}{escape(words)}{unit}</span>"

    @property
    def empty(self) -> bool:
        """Whether nothing is entered."""
        return isinstance(self.input.value, str) and not self.input.value.strip()

    @property
    def setting(self) -> Any:
        """The value entered; text that is no number stays text, for SFTConfig to refuse in its own words."""
        value = self.input.value
        if not isinstance(value, str) or get_origin(self._kind) is Literal:
            return value
        if self.empty:
            return None if self.optional else self._default
        if self.name in VERBATIM:
            return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), value)
        return from_text(value.strip(), self._kind)

    @setting.setter
    def setting(self, value: Any) -> None:
        if isinstance(self.input, (Dropdown, Checkbox)):
            self.input.value = from_text(value, self._kind) if isinstance(value, str) else value
        else:
            text = "" if value is None else as_text(value)
            self.input.value = (
                text.replace("\\", "\\\\").replace("\n", "\\n") if self.name in VERBATIM else text
            )

    def show(self, findings: list[Finding]) -> None:
        """Findings beside the field, each with its fix as a button; help is always there."""
        notes = "".join(self._note_html(finding) for finding in findings)
        self._note.value = notes + self._help
        buttons = [fix_button(finding, self._on_fix) for finding in findings if finding.fix]
        if buttons or len(self.children) != 2:
            self.children = (self.input, self._note, *buttons)
        for level in ("stop", "warn"):
            there = any(finding.level == level for finding in findings) and not self._asked(findings)
            (self.add_class if there else self.remove_class)(f"sft-has-{level}")

    def add_help(self, lines: list[str]) -> None:
        """More lines under the help, of what this machine has."""
        more = "".join(f"<span class='sft-help'>{escape(line)}</span>" for line in lines)
        self._note.value = self._note.value + more
        self._help += more

    def _asked(self, findings: list[Finding]) -> bool:
        """A required field nobody has filled in yet is asked for, not blamed."""
        return self.required and self.empty and len(findings) == 1

    def _note_html(self, finding: Finding) -> str:
        if self.required and self.empty:
            return f"<span class='sft-note sft-ask'>{escape(label('form.needed', self._lang))}</span>"
        return note_html(finding)


def note_html(finding: Finding) -> str:
    """A finding's words, coloured by its level."""
    return f"<span class='sft-note sft-{finding.level}'>{escape(finding.message)}</span>"


def fix_button(finding: Finding, on_fix: Fix) -> Button:
    """A button that carries out a finding's fix."""
    button = Button(
        description=finding.fix_label, tooltip=", ".join(f"{k}={v!r}" for k, v in finding.fix.items())
    )
    button.add_class("sft-fix")
    button.on_click(lambda _button: on_fix(finding.fix))
    return button


def _unwrapped(annotation: Any) -> tuple[bool, Any]:
    """(may be None, the type without None)."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return True, kinds[0]
    return False, annotation


def _choices(kind: Any, bounds: Iterable[Any]) -> list[Any]:
    """What a setting may be, where that is a short list."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    low = next((bound.ge for bound in bounds if hasattr(bound, "ge")), None)
    high = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    if kind is int and low is not None and high is not None and high - low <= FEW:
        return list(range(low, high + 1))
    return []


def as_text(value: Any) -> str:
    """A setting as one types it: 5e-6, 500000, 0.9, 0.95."""
    if isinstance(value, (tuple, list)):
        return ", ".join(as_text(part) for part in value)
    if isinstance(value, float):
        return re.sub(r"e([+-])0+", r"e\1", repr(value))
    return str(value)


def from_text(text: str, kind: Any) -> Any:
    """The opposite of `as_text`; text that is nothing of the kind comes back as it is."""
    try:
        if get_origin(kind) is tuple:
            part = get_args(kind)[0]
            return [
                from_text(piece.strip(), part) for piece in re.split(r"[,;\s]+", text.strip("()[]")) if piece
            ]
        if kind is int:
            return int(text.replace(",", "").replace("_", ""))
        if kind is float:
            return float(text)
    except ValueError:
        pass
    return text


def suggestions(typed: str) -> list[str]:
    """Files and folders whose path begins as `typed` does, for the list under a path's input."""
    start = Path(typed or ".").expanduser()
    folder = start if typed.endswith(("/", os.sep)) or not typed else start.parent
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    offered = [f"{path}/" if path.is_dir() else str(path) for path in names]
    return [path for path in offered if path.startswith(typed) and path != typed][:SUGGESTED]
