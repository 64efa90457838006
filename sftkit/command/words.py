"""The sentences about flags: words.json, in English and Chinese. A setting's own sentence stands in SFTConfig."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from sftkit.config import SFTConfig


def said(kind: str, key: str, lang: str = "en", **values: object) -> str:
    """The sentence of `kind` ("flag", "trap", "note", "left") and `key`, with {names} in it replaced."""
    words = table()[kind][key]
    text = words.get(lang, words["en"])
    for name, value in values.items():  # no str.format: templates have braces of their own
        text = text.replace(f"{{{name}}}", str(value))
    return text


def has(kind: str, key: str) -> bool:
    """Whether there is such a sentence."""
    return key in table()[kind]


def of_setting(setting: str) -> str:
    """What a setting is, in English; the Chinese stands in the form's labels."""
    return SFTConfig.model_fields[setting].description or ""


@cache
def table() -> dict[str, dict[str, dict[str, str]]]:
    """words.json: kind -> key -> language -> sentence."""
    return json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
