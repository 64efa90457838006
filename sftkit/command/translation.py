"""What a pasted command says: each flag with its sentence and its trap, and the settings that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

from sftkit.config import SFTConfig
from sftkit.errors import Fault


@dataclass(frozen=True)
class Flag:
    """One flag: `name` and `value` as written (a secret's value is not kept), the `setting` it stands for (None where
    sftkit has none), what it is, and what goes wrong or differs with it (empty where nothing does)."""

    name: str
    value: str
    setting: str | None
    sentence: str
    trap: str = ""


@dataclass(frozen=True)
class Translation:
    """A launch command in sftkit's settings.

    `program`: openrlhf, trl, llamafactory, sftkit or "" (not said). `settings`: name -> value, what the program does by
    itself included. `flags`: every flag in order. `unknown`: flags that no program has. `unused`: known flags that
    sftkit has no setting for. `notes`: what the command does without saying so. `faults`: unknown flags and missing
    values, in full.
    """

    program: str
    settings: dict[str, Any]
    flags: tuple[Flag, ...] = ()
    unknown: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = field(default=())

    @cached_property
    def config(self) -> SFTConfig:
        """The settings as a config; unknown flags are left aside. Raises `ConfigError` with every faulty value."""
        return SFTConfig(**self.settings)

    def __str__(self) -> str:
        width = max((len(flag.name) for flag in self.flags), default=0)
        lines = []
        for flag in self.flags:
            value = f" {flag.value}" if flag.value else ""
            meant = f" → {name}" if (name := _other_name(flag)) else ""
            lines.append(f"{flag.name.ljust(width)}{value}{meant}\n    {flag.sentence}")
            if flag.trap:
                lines.append(f"    ! {flag.trap}")
        return "\n".join(
            [*lines, *(f"· {note}" for note in self.notes), *(f"✗ {fault}" for fault in self.faults)]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{_cell(_code(flag.name, 'nowrap'))}{_cell(_code(flag.value))}{_cell(escape(_other_name(flag)))}"
            f"{_cell(escape(flag.sentence) + ('<br><b>' + escape(flag.trap) + '</b>' if flag.trap else ''))}</tr>"
            for flag in self.flags
        )
        more = "".join(f"<li>{escape(str(line))}</li>" for line in (*self.faults, *self.notes))
        named = any(map(_other_name, self.flags))
        head = "".join(f"<th style='text-align:left'>{word}</th>" for word in ("flag", "value", "setting" if named else "", ""))  # fmt: skip
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><ul>{more}</ul>"


def _other_name(flag: Flag) -> str:
    """The setting, where it is not called as the flag is."""
    return flag.setting if flag.setting and flag.setting != flag.name.lstrip("-") else ""


def _code(text: str, white_space: str = "normal") -> str:
    """JupyterLab breaks a flag at its dashes, unless told not to."""
    return f"<code style='white-space:{white_space}'>{escape(text)}</code>" if text else ""


def _cell(inside: str) -> str:
    """`inside` is HTML. JupyterLab sets tables to the right."""
    return f"<td style='text-align:left;vertical-align:top'>{inside}</td>"
