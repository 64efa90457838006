"""Why a run failed, in the reader's language."""

from __future__ import annotations

import re

import pytest

from sftkit.runs import signatures
from sftkit.runs.causes import Diagnosis
from sftkit.widgets import labels, run_page, why


@pytest.mark.parametrize("cause", signatures.CAUSES)
def test_every_cause_is_told_in_chinese(cause):
    entries = [entry for entry in (*signatures.WORDS, *signatures.ENDS) if entry.cause == cause]
    assert len({entry.explanation for entry in entries}) == 1  # one statement, and one translation of it
    found = re.search("|".join(f"(?P<{name}>)" for name in ("setting", "name", "columns")), "")
    diagnosis = Diagnosis(cause, "English", "English", "", values=dict.fromkeys(found.groupdict(), "{x}"))
    title, explanation = why.words(diagnosis, "zh")
    assert re.search("[一-鿿]", title) and re.search("[一-鿿]", explanation)
    assert why.words(diagnosis, "en") == ("English", "English")


def test_no_words_for_causes_that_are_none():
    keys = {key.partition(".")[2] for key in labels.table() if key.startswith(("cause.", "why."))}
    assert keys - set(signatures.CAUSES) == {"unknown", "figures"}


def test_names_and_figures_are_put_in(tmp_path):
    reason = "rank 0: DataError: no column '<b>q</b>' (input_key). Columns: a, b. "
    (tmp_path / "error-rank0.json").write_text(
        '{"type": "DataError", "message": "no column \'<b>q</b>\' (input_key). Columns: a, b. "}'
    )
    found = signatures.diagnose(tmp_path, reason)
    title, explanation = why.words(found, "zh")
    assert "input_key" in explanation and "<b>q</b>" in explanation and "a, b" in explanation
    page = run_page.diagnosis_html(found, "zh")
    assert title in page and "<b>q" not in page and "&lt;b&gt;q" in page


def test_an_unknown_failure_keeps_its_own_title(tmp_path):
    found = signatures.diagnose(tmp_path, "something odd")
    assert why.words(found, "zh")[0] == "something odd" and "不属于" in why.words(found, "zh")[1]
