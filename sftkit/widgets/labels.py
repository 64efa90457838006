"""What a person reads in our widgets, in English and Chinese: one table, labels.json, and the look-up.

    sk.set_language("zh")        # for widgets made from then on; the environment variable SFTKIT_LANG sets the first one

Keys have a prefix for each widget (`form.`, `monitor.`, `curves.`, `grid.`). A setting's English label is its name, so the
table holds only the Chinese of `field.*`; its help (`help.*`) stands in SFTConfig, and the Chinese of that in chinese.json.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from sftkit import wording
from sftkit.config import SFTConfig, nearest
from sftkit.errors import ConfigError, Fault
from sftkit.wording import LANGUAGES, as_it_is, in_language, language


def set_language(lang: str) -> None:
    """The language of widgets and reports shown from now on: "en" or "zh". Raises ConfigError for any other."""
    wording.chosen = _known(lang)


def label(key: str, lang: str | None = None, **values: object) -> str:
    """The words of `key` in `lang` (default: the language in force), with {names} in them replaced by `values`.

    The words are plain text: whoever puts them into HTML escapes them. Raises KeyError for an unknown key.
    """
    lang = _known(lang) if lang else language()
    words = table().get(key, {}).get(lang) or _from_config(key, lang)
    return words.format_map(values) if values else words


@cache
def table() -> dict[str, dict[str, str]]:
    """labels.json: key -> language -> words."""
    text = resources.files("sftkit.widgets").joinpath("labels.json").read_text(encoding="utf-8")
    return json.loads(text)


def _from_config(key: str, lang: str) -> str:
    kind, _, name = key.partition(".")
    field = SFTConfig.model_fields.get(name)
    if field is None or kind not in ("field", "help"):
        raise KeyError(f"no label {key!r} in labels.json. {nearest(key, table())}".rstrip())
    words = field.description or ""
    return name if kind == "field" else in_language(as_it_is(words), lang)


def _known(lang: str) -> str:
    if lang not in LANGUAGES:
        raise ConfigError(
            [Fault("lang", f"there are no labels in {lang!r}.", f"There are: {', '.join(LANGUAGES)}.")]
        )
    return lang
