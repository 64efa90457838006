"""Settings as YAML and back: our own, and the keys of other programs' files for `translate`."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from sftkit.errors import ConfigError, Fault
from sftkit.wording import say


class _Loader(yaml.SafeLoader):
    """YAML in which 5e-6 is a number, as it is for everybody but YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def mapping(text: str) -> dict[str, Any]:
    """The settings in a YAML text; empty where it is something else, such as a command."""
    if not re.search(r"(?m)^[A-Za-z_]\w*[ \t]*:(?:[ \t]|$)", text) or re.search(
        r"(?m)(^|[ \t])--[A-Za-z]", text
    ):
        return {}
    try:
        found = load(re.sub(r"(?m)^[ \t]*```.*$", "", text))
    except ConfigError:
        return {}
    return {str(name): value for name, value in found.items()}


def load(text: str) -> dict[str, Any]:
    """The mapping in a YAML text. Raises `ConfigError` where it holds none."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
            # Nine lines of them stand for a thousand million words.
            raise ConfigError(
                [Fault("", say("this YAML has references (*name)."), say("Write the values out."))]
            )
        found = yaml.load(text, Loader=_Loader)  # a SafeLoader: plain values only
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # too long a number, too deep a list
        raise ConfigError(
            [Fault("", say("this is no YAML: {error}", error=str(error)), say("Look at the line named."))]
        ) from None
    if not isinstance(found, dict):
        raise ConfigError(
            [Fault("", say("this YAML holds no settings."), say("Write one a line: name: value."))]
        )
    return found


def flags_of(entries: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """A file's entries as flags with their values."""
    return [(name, _values(value)) for name, value in entries.items() if value is not None]


def _values(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def dump(settings: dict[str, Any]) -> str:
    """Settings as YAML, one a line in their own order, values as JSON writes them (which is YAML)."""
    return "".join(f"{name}: {_written(value)}\n" for name, value in settings.items())


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # YAML 1.1 takes 5e-06 for a word, and 5.0e-06 for a number.
    return re.sub(r"(?<![\w.\"])(-?\d+)e(?=[-+]?\d+)", r"\1.0e", text) if not isinstance(value, str) else text
