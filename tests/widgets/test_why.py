"""Why a run failed, in the reader's language."""

from __future__ import annotations

import re

import pytest

from sftkit.runs import signatures
from sftkit.runs.causes import Diagnosis
from sftkit.widgets import run_page, why
from sftkit.wording import say


@pytest.mark.parametrize("entry", (*signatures.WORDS, *signatures.ENDS), ids=lambda entry: entry.cause)
def test_every_cause_is_told_in_chinese(entry):
    values = dict.fromkeys(("setting", "name", "columns", "gpu_figures", "limit"), "{x}")
    diagnosis = Diagnosis(entry.cause, say(entry.title), say(entry.explanation, **values), "")
    title, explanation = why.words(diagnosis, "zh")
    assert re.search("[一-鿿]", title) and re.search("[一-鿿]", explanation)
    assert why.title(entry.title, "zh") == title
    assert why.words(diagnosis, "en") == (diagnosis.title, diagnosis.explanation)


def test_figures_of_the_card(tmp_path):
    words = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 GiB is free."
    found = signatures.diagnose(tmp_path, f"rank 0: torch.OutOfMemoryError: {words}")
    assert "It asked for 2.00 GiB more; of 79.10 GiB, 1.00 GiB were free." in found.explanation
    assert "申请 2.00 GiB；共 79.10 GiB，剩余 1.00 GiB。" in why.words(found, "zh")[1]


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
