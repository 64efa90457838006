"""Tables of settings: SFTConfig's, one a group, from their one statement in sftkit/config.py, and a judge's rules."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from api_text import code, escape

from sftkit.config import GROUPS

SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def type_text(annotation: Any) -> str:
    """The type as people read it; the same in every version of Python."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(code(f'"{choice}"') for choice in inside)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("None" if one is type(None) else type_text(one) for one in inside)
    if origin is tuple:
        kinds = dict.fromkeys(type_text(one) for one in inside if one is not Ellipsis)
        count = "" if Ellipsis in inside else f"{len(inside)} "
        return f"tuple of {count}{', '.join(kinds)}"
    return annotation.__name__


def bounds_text(field: Any) -> str:
    said = [f"{sign} {getattr(rule, word)}" for rule in field.metadata for word, sign in SIGNS.items() if hasattr(rule, word)]  # fmt: skip
    if any(getattr(rule, "min_length", 0) for rule in field.metadata):
        said.append("not empty")
    return ", ".join(said)


def lines(config: type) -> list[str]:
    """A table for each group of settings, in the order of config.py."""
    found = ["Its settings, group by group as in the launch form. All are named; those without a default must be given.", ""]  # fmt: skip
    for group in GROUPS:
        fields = {
            name: field
            for name, field in config.model_fields.items()
            if field.json_schema_extra["group"] == group
        }
        found += [f"**{group}**", "", "| setting | type | default | bounds | unit | what it does |", "|---|---|---|---|---|---|"]  # fmt: skip
        for name, field in fields.items():
            default = "" if field.is_required() else code(repr(field.default))
            cells = (
                code(name),
                type_text(field.annotation),
                default,
                escape(bounds_text(field)),
                field.json_schema_extra["unit"],
                escape(field.description),
            )
            found.append(f"| {' | '.join(cells)} |")
        found.append("")
    return found


def rules(kind: type, default_text: Callable[..., str]) -> list[str]:
    """A table of the fields that say what they are (`metadata["help"]`), as those of Protocol do."""
    fields = [field for field in dataclasses.fields(kind) if "help" in field.metadata]
    if not fields:
        return []
    found = ["| setting | default | choices | what it does |", "|---|---|---|---|"]
    for field in fields:
        default = code(default_text(field.default, vars(sys.modules[kind.__module__])))
        choices = ", ".join(code(f'"{choice}"') for choice in field.metadata.get("choices", ()))
        found.append(f"| {code(field.name)} | {default} | {choices} | {escape(field.metadata['help'])} |")
    return [*found, ""]
