"""Teaching mode: every field of the form says why it is there, in both languages, and what a run may take."""

from __future__ import annotations

import re

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import classroom
from sftkit.runs.classroom import teach
from sftkit.widgets import LaunchForm
from sftkit.widgets.setting_why import whys

FIELDS = SFTConfig.model_fields


@pytest.fixture(autouse=True)
def untaught(monkeypatch):
    for name in (classroom.TEACH, *classroom.VARIABLES.values()):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(classroom, "_for_all", None)


def test_every_setting_has_a_why_of_one_line_in_both_languages():
    assert list(whys()) == list(FIELDS)  # in the order of SFTConfig, none more
    for name, why in whys().items():
        assert set(why) == {"en", "zh"}, name
        assert 20 <= len(why["en"]) <= 76 and why["en"].endswith(".") and "\n" not in why["en"], name
        assert re.search("[一-鿿]", why["zh"]) and len(why["zh"]) <= 38 and why["zh"].endswith("。"), name
        assert why["en"] != FIELDS[name].description, name
    for lang in ("en", "zh"):
        assert len({why[lang] for why in whys().values()}) == len(FIELDS)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_form_says_why_at_every_field_only_in_teaching_mode(lang, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = LaunchForm(lang=lang)
    assert not any("sft-because" in plain.rows[name]._note.value for name in FIELDS)
    assert not plain.queue.value and not plain.queue.disabled
    teach(cores=2, runs=1)
    form = LaunchForm(lang=lang)
    for name in FIELDS:
        assert whys()[name][lang] in form.rows[name]._note.value.replace("&#x27;", "'"), name
    page = "".join(str(getattr(child, "value", "")) for child in form.children)
    assert {"en": "A run may use 2 cores. You may have 1 run at a time", "zh": "2 个核心"}[lang] in page
    assert str(tmp_path / "runs") in page
    assert form.queue.value and form.queue.disabled  # each waits for its turn
    form.close(), plain.close()


def test_a_cap_that_is_none_leaves_the_form_standing(monkeypatch):
    monkeypatch.setenv("SFTKIT_TEACH", "1")
    monkeypatch.setenv("SFTKIT_CORES", "<b>two")
    form = LaunchForm(SFTConfig(pretrain="m", dataset="d.jsonl"), lang="en")
    assert "SFTKIT_CORES" in "".join(part.value for part in form._general.children if hasattr(part, "value"))
    assert "<b>two" not in "".join(part.value for part in form._general.children if hasattr(part, "value"))
    form.close()
