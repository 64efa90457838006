"""A setting between SFTConfig and what is typed: text to value and back, without a widget."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from sftkit.config import SFTConfig

VERBATIM = frozenset({"input_template"})  # blanks at its ends count; a line break is typed, and shown, as \\n
FEW = 5  # whole numbers of so small a range are chosen from a list


class Setting:
    """The setting `name` as a form has it. `typed` is what stands in its input: a text, a choice, or a bool.

    An empty input stands for None where the setting may be None, else for the default, which it shows in grey.
    """

    def __init__(self, name: str):
        field = SFTConfig.model_fields[name]
        self.name = name
        self.group: str = field.json_schema_extra["group"]
        self.common: bool = field.json_schema_extra["common"]
        self.unit: str = field.json_schema_extra["unit"]
        self.required = field.is_required()
        self.default = None if self.required else field.default
        self.optional, self.kind = _unwrapped(field.annotation)
        self.choices = [] if self.kind is bool else _choices(self.kind, field.metadata)

    def typed(self, value: Any) -> Any:
        """What stands in the input for a value. Raises ValueError for what is no choice of its list."""
        if self.kind is bool or self.choices:
            typed = from_text(value, self.kind) if isinstance(value, str) else value
            if not (isinstance(typed, bool) if self.kind is bool else typed in self.choices):
                raise ValueError(f"{self.name}: {value!r} is no choice of its list")
            return typed
        text = "" if value is None else as_text(value)
        return text.replace("\\", "\\\\").replace("\n", "\\n") if self.name in VERBATIM else text

    def value(self, typed: Any) -> Any:
        """The value typed; text that is no number stays text, for SFTConfig to refuse in its own words."""
        if not isinstance(typed, str) or get_origin(self.kind) is Literal:
            return typed
        if not typed.strip():
            return None if self.optional else self.default
        if self.name in VERBATIM:
            return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), typed)
        return from_text(typed.strip(), self.kind)


@cache
def settings() -> dict[str, Setting]:
    """All of them, by name."""
    return {name: Setting(name) for name in SFTConfig.model_fields}


def is_empty(typed: Any) -> bool:
    """Whether nothing is entered."""
    return isinstance(typed, str) and not typed.strip()


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
