"""Every sentence that preflight, settings and failures say has its Chinese, with the same values in it."""

from __future__ import annotations

import ast
import pickle
import re
import string
from pathlib import Path

import pytest

import sftkit
from sftkit.complaints import _WORDS
from sftkit.config import SFTConfig
from sftkit.data.hub import refused
from sftkit.errors import ConfigError, DataError, Fault
from sftkit.report import curves
from sftkit.runs import preflight, signatures
from sftkit.runs.folder import STATES
from sftkit.runs.model_card import ABSENT, COUNTS
from sftkit.wording import Said, as_it_is, chinese, in_language, listed, said_of, say

ROOT = Path(sftkit.__file__).parent
# Said by name, not where they stand: kinds of faults, parts of memory, what is fetched, settings, causes of failures, words of the
# run card.
CAUSES = (*signatures.WORDS, *signatures.ENDS)
NAMED = {
    *_WORDS.values(), *"weights gradients optimizer activations logits buffers libraries model".split(), "data set",
    *(as_it_is(field.description).template for field in SFTConfig.model_fields.values()), signatures.UNKNOWN,
    ABSENT, *curves.WORDS.values(), *COUNTS.values(), *STATES, *"train eval tokenizer Prompt Reference".split(), "(empty answer)",
    *(words for cause in CAUSES for words in (cause.title, cause.explanation)),
}  # fmt: skip


def sentences() -> dict[str, str]:
    """Every template in the code, and the file it stands in."""
    found = {}
    for file in ROOT.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "from sftkit.wording import" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            said = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say"
            if said and isinstance(node.args[0], ast.Constant):
                found[node.args[0].value] = file.name
    return found


def placeholders(template: str) -> list[str]:
    return sorted(
        f"{name}!{turned}:{form}" for _, name, form, turned in string.Formatter().parse(template) if name
    )


def test_every_sentence_has_its_chinese_and_no_chinese_is_left_over():
    said = set(sentences()) | NAMED
    assert not said - set(chinese()), "no Chinese in chinese.json"
    assert not set(chinese()) - said, "nobody says this any more"


def test_the_chinese_holds_the_same_values():
    assert {
        english for english, words in chinese().items() if placeholders(english) != placeholders(words)
    } == set()
    same = {english for english, words in chinese().items() if english == words}
    assert {english for english in same if re.search("[a-z]{2}", re.sub(r"{.*?}", "", english))} == {"logits"}


def test_values_that_are_said_are_translated_too():
    words = say("{processes} processes on {gpus} GPUs.", processes=3, gpus=2)
    assert words == "3 processes on 2 GPUs." and in_language(words, "zh") == "2 块 GPU 上要跑 3 个进程。"
    both = listed([words, "as it is {x}", say("Name each once.")], "; ")
    assert both == "3 processes on 2 GPUs.; as it is {x}; Name each once."
    assert in_language(both, "zh") == "2 块 GPU 上要跑 3 个进程。；as it is {x}；每块只写一次。"
    assert in_language(pickle.loads(pickle.dumps(both)), "zh") == in_language(both, "zh")
    assert in_language("a library's own words", "zh") == "a library's own words"


def test_an_error_keeps_where_it_was():
    error = DataError(say("holds no rows."), file="a{0}.jsonl", row=3)
    assert str(error) == "a{0}.jsonl, row 3: holds no rows."
    assert in_language(said_of(error), "zh") == "a{0}.jsonl，第 3 行：没有任何行。"
    assert said_of(ValueError("broken")) == "broken"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_hub_refuses_is_said_in_chinese(status):
    for kind in ("model", "data set"):
        assert not re.search(r"\b(the|is|or)\b", in_language(refused(kind, status, "", token=False), "zh"))


def test_faults_and_findings_in_chinese():
    settings = {"pretrain": "nowhere", "dataset": "gone.jsonl", "train_batch_size": 7, "max_len": "many", "larning_rate": 1}  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        SFTConfig(**settings)
    for fault in caught.value.faults:
        assert isinstance(fault.message, Said) and re.search("[一-鿿]", fault.said_in("zh"))
    found = {finding.field: finding for finding in preflight(settings, tier="instant")}
    assert found["max_len"].message_in("zh") == "'many' 不是整数。"
    assert found["train_batch_size"].label_in("zh") == "设为 train_batch_size=8"
    assert found["dataset"].message_in("zh").startswith("没有文件 gone.jsonl。")
    assert found["dataset"].message_in("en") == found["dataset"].message
    assert Fault("x", "plain", "words").said_in("zh") == "x: plain words"
