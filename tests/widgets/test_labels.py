"""The table of words: complete in both languages, nothing in it that nobody shows."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from sftkit import wording
from sftkit.config import GROUPS, SFTConfig
from sftkit.errors import ConfigError
from sftkit.runs.folder import STATES
from sftkit.widgets import labels

WIDGETS = Path(labels.__file__).parent
FIELDS = SFTConfig.model_fields
CHINESE_ONLY = TOLD_ELSEWHERE = ("field.",)  # their English stands in SFTConfig
BUILT = {  # keys that are put together in the code
    *(f"group.{name}" for name in GROUPS),
    *(f"monitor.state.{name}" for name in STATES),
    *(f"unit.{field.json_schema_extra['unit']}" for field in FIELDS.values()),
    *(f"{kind}{name}" for kind in CHINESE_ONLY for name in FIELDS),
}


@pytest.fixture(autouse=True)
def no_language(monkeypatch):
    monkeypatch.setattr(wording, "chosen", None)
    monkeypatch.delenv("SFTKIT_LANG", raising=False)


def names(words):
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


@pytest.mark.parametrize("key", labels.table())
def test_every_key_is_complete(key):
    words = labels.table()[key]
    assert set(words) == ({"zh"} if key.startswith(TOLD_ELSEWHERE) else {"en", "zh"})
    assert all(text.strip() for text in words.values())
    if "en" in words:
        assert names(words["en"]) == names(words["zh"])


def test_every_setting_and_group_has_its_words():
    for name in FIELDS:
        assert labels.label(f"field.{name}", "zh") and labels.label(f"field.{name}", "en") == name
        chinese = labels.label(f"help.{name}", "zh")
        assert re.search("[一-鿿]", chinese), name
        assert labels.label(f"help.{name}", "en") == FIELDS[name].description
    for key in BUILT - {"unit."}:
        assert labels.label(key, "zh") and labels.label(key, "en")


def test_no_key_of_form_and_monitor_lies_unused():
    source = "".join(path.read_text(encoding="utf-8") for path in WIDGETS.rglob("*.py"))
    ours = ("form.", "monitor.", "error.", "group.", "unit.", *CHINESE_ONLY)
    mine = {key for key in labels.table() if key.startswith(ours)}
    assert {key for key in mine if f'"{key}"' not in source and f"'{key}'" not in source} <= BUILT
    used = set(re.findall(r"""["']((?:form|monitor|error)\.[a-z_.]+)["']""", source))
    assert used and not used - mine


def test_language_comes_from_the_call_then_set_language_then_the_environment(monkeypatch):
    assert labels.label("form.launch") == "Launch"
    monkeypatch.setenv("SFTKIT_LANG", "zh_CN.UTF-8")
    assert labels.label("form.launch") == "启动"
    labels.set_language("en")
    assert labels.label("form.launch") == "Launch"
    assert labels.label("form.launch", "zh") == "启动"


def test_unknown_languages_and_keys_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="en, zh"):
        labels.set_language("fr")
    monkeypatch.setenv("SFTKIT_LANG", "fr_FR")  # somebody's locale: no reason to fail
    assert labels.language() == "en"
    with pytest.raises(KeyError, match=r"form\.launch"):
        labels.label("form.lunch")


def test_values_are_put_in_and_braces_of_the_browser_half_are_left():
    assert labels.label("monitor.step", "en", step=3, total="{9}") == "step 3 of {9}"
    assert labels.label("grid.answer", "en") == "Answer {side}"
