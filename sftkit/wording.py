"""What preflight, settings and failures say, in English and Chinese.

    words = say("{rows} rows are less than one batch of {batch}.", rows=3, batch=8)     # a str: the English
    in_language(words, "zh")                                                            # "3 行不足一个批次（8）。"

The English stands in the code, where it is made; the Chinese of every such sentence under it in chinese.json (a test
holds the two together). A value may be said itself: it is translated with the sentence that it is in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Any

# What stands between the parts of `listed`, and what stands there in Chinese.
_BETWEEN = {", ": "，", "; ": "；", " and ": " 和 "}
_IN_A_ROW = re.compile("}(" + "|".join(_BETWEEN) + "){")

LANGUAGES = ("en", "zh")
chosen: str | None = None  # by sk.set_language


def language() -> str:
    """The language in force: that of `sk.set_language`, else SFTKIT_LANG ("zh_CN.UTF-8" will do), else English."""
    if chosen:
        return chosen
    wished = os.environ.get("SFTKIT_LANG", "")[:2].lower()
    return wished if wished in LANGUAGES else "en"


class Said(str):
    """English text that remembers its `template` and the `values` in it."""

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, values: dict[str, Any]) -> Said:
        made = super().__new__(cls, template.format_map(values))
        made.template, made.values = template, values
        return made

    def __reduce__(self) -> tuple:
        return Said, (self.template, self.values)


def say(template: str, /, **values: Any) -> Said:
    """An English sentence with {names} in it replaced by `values`, to be said in other languages too."""
    told = {name: str(value) if isinstance(value, (BaseException, PurePath)) else value for name, value in values.items()}  # fmt: skip
    return Said(template, told)


def as_it_is(words: str) -> Said:
    """A sentence without values in it, whatever its braces."""
    return say(words.replace("{", "{{").replace("}", "}}"))


def listed(parts: Iterable[Any], separator: str = ", ") -> Said:
    """Parts in a row, each said in its language."""
    values = {f"part{number}": part for number, part in enumerate(parts)}
    return Said(separator.join(f"{{{name}}}" for name in values), values)


def shown_address(url: str) -> str:
    """A URL as it may be shown and stored: without the name and password that stand before its @."""
    return re.sub(r"(?<=//)[^/@\s]*@", "", url)


def said_of(error: Exception | str) -> str:
    """An error's words, as they were said."""
    words = error.args[0] if isinstance(error, Exception) and error.args else error
    return words if isinstance(words, Said) else str(error)


def in_language(words: str, lang: str) -> str:
    """`words` in "en" or "zh". What was never said by `say`, such as a library's own message, stays as it is."""
    if lang == "en" or not isinstance(words, Said):
        return str(words)
    values = {name: in_language(value, lang) if isinstance(value, str) else value for name, value in words.values.items()}  # fmt: skip
    template = chinese().get(words.template) or _IN_A_ROW.sub(lambda found: f"}}{_BETWEEN[found[1]]}{{", words.template)  # fmt: skip
    return template.format_map(values).replace("。 ", "。")  # no blank between sentences


@cache
def chinese() -> dict[str, str]:
    """chinese.json: English template -> Chinese template, with the same names in it."""
    return json.loads(resources.files("sftkit").joinpath("chinese.json").read_text(encoding="utf-8"))
