"""The switches of a judge's Protocol as a form: one row each, in groups, with the default beside what it does."""

from __future__ import annotations

from html import escape
from typing import Any

from ipywidgets import HTML, Checkbox, Dropdown, Text, VBox

from sftkit.errors import Fault
from sftkit.judging.protocol import Protocol
from sftkit.widgets.form_row import Row
from sftkit.widgets.judge_dimensions import DimensionsForm
from sftkit.widgets.labels import label, table
from sftkit.widgets.setting import as_text

GROUPS = {
    "score": ("dimensions",),
    "compare": ("mode", "both_orders", "tie_margin", "repeats", "extra_pairs"),
    "guard": "rules_first evidence shuffle_labels shuffle_dimensions safety_gate canaries mask_flagged".split(),
    "help": ("reference", "questions", "chain_of_thought"),
    "send": ("temperature", "seed", "logprobs"),
}


class RulesForm(VBox):
    """`.rules` is what is entered, as keywords of Protocol; `.protocol` raises ConfigError with every fault."""

    def __init__(self, protocol: Protocol, lang: str | None):
        self._lang, self._kept = lang, protocol
        self.rows = {
            name: self._row(name, default, choices, words)
            for name, default, choices, words in Protocol.fields()
        }
        grouped = {name for names in GROUPS.values() for name in names}
        groups = {**GROUPS, "more": tuple(name for name in self.rows if name not in grouped)}
        parts: list[Any] = []
        for group, names in groups.items():
            if rows := [self.rows[name] for name in names if name in self.rows]:
                parts += [HTML(f"<h4>{escape(label(f'judge.group.{group}', lang))}</h4>"), *rows]
        super().__init__(parts)

    def _row(self, name: str, default: Any, choices: tuple[str, ...], words: str) -> Any:
        if name == "dimensions":
            return DimensionsForm(self._kept.dimensions, self._lang)
        value, about = getattr(self._kept, name), {"description": self._word(f"judge.rule.{name}", name)}
        if isinstance(default, bool):
            made: Any = Checkbox(value=value, indent=False, **about)
        elif choices:
            made = Dropdown(options=list(choices), value=value, **about)
        else:
            made = Text(value="" if value is None else as_text(value), continuous_update=False, **about)
        switch = {True: "judge.yes", False: "judge.no"}.get(default) if isinstance(default, bool) else None
        shown = label(switch, self._lang) if switch else as_text(default)
        told = label("judge.default", self._lang, value=shown)
        return Row(made, f"{self._word(f'judge.help.{name}', words)} ({told})")

    def _word(self, key: str, other: str) -> str:
        return label(key, self._lang) if key in table() else other

    @property
    def rules(self) -> dict[str, Any]:
        return {name: self._value(name) for name, *_ in Protocol.fields() if name in self.rows}

    def _value(self, name: str) -> Any:
        value = self.rows[name].input.value
        if not isinstance(self.rows[name].input, Text):
            return value
        try:
            return Protocol.parsed(name, value)
        except ValueError:
            return value  # for Protocol to refuse, with all other faults

    @property
    def protocol(self) -> Protocol:
        return self._kept.with_rules(**self.rules)

    def show(self, faults: list[Fault]) -> None:
        """Each fault beside its switch."""
        for name, row in self.rows.items():
            row.show([str(Fault("", fault.message, fault.fix)) for fault in faults if fault.field == name])

    def changed(self) -> int:
        """How many switches are not at their default."""
        return sum(self._value(n) != default for n, default, _, _ in Protocol.fields() if n in self.rows)
