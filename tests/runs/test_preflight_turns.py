"""Preflight of conversations: their order, what the template and the tokenizer make of them, how they were encoded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from sftkit.runs import preflight
from tests.conftest import write_model, write_tokenizer
from tests.runs.provoking import provokes
from tests.runs.test_preflight import mended, one, settings, world, write

__all__ = ["world"]  # the fixture
ALONE = {"eval_dataset": None, "dataset": "data/talk.jsonl"}


def turns(*said: str) -> list[dict]:
    """`"user: Hi."` and so on as messages."""
    return [dict(zip(("role", "content"), one.split(": ", 1))) for one in said]


def talks(world: Path, *conversations: list[dict]) -> None:
    sound = turns("user: Add 1 and 2.", "assistant: 3")
    write(world / "talk.jsonl", [{"messages": sound}] * 20 + [{"messages": one} for one in conversations])


def template(world: Path, source: str) -> dict:
    (world / "own.jinja").write_text(source)
    return {**ALONE, "chat_template": "data/own.jinja"}


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        (("assistant: Hello.", "user: Hi.", "assistant: 3"), "the assistant speaks first"),
        (("user: Hi.", "user: You there?", "assistant: 3"), "messages 1 and 2 are both the user's"),
        (("user: Hi.", "assistant: 3", "assistant: 4"), "messages 2 and 3 are both the assistant's"),
        (("user: Hi.", "system: Be kind.", "assistant: 3"), "message 2 is a system message"),
    ],
)
@provokes("roles_are_in_order")
def test_roles_out_of_order(world, conversation, words):
    talks(world, turns(*conversation))
    assert "row 21" in one("warn", "dataset", words, **ALONE).message


def test_a_system_message_and_several_turns_are_in_order(world):
    talks(world, turns("system: Be kind.", "user: Hi.", "assistant: 3", "user: And?", "assistant: 4"))
    assert not [item for item in preflight(settings(**ALONE)) if item.level != "inform"]


@provokes("the_assistant_speaks_last")
def test_the_last_turn_is_not_the_assistants(world):
    talks(world, turns("user: Hi.", "assistant: 3", "user: Thanks."))
    finding = one("warn", "dataset", "1 of 21 rows do not end with the assistant's turn", **ALONE)
    assert "row 21" in finding.message and "what follows the last answer" in finding.message
    talks(world, turns("user: Hi."))
    one("warn", "dataset", "without an answer they train nothing", **ALONE)


EATS_SYSTEM = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endif %}{% endfor %}"
ENDS_SOMETIMES = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == 'assistant' and messages[0].role != 'system' }}\n{% endfor %}"
BOS = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
BOS_FOR_SHORT = "{% if messages|length < 4 %}" + BOS.replace("}}{% for", "}}{% endif %}{% for", 1)


@provokes("the_template_keeps_the_text")
def test_a_template_that_eats_text(world):
    talks(world, turns("system: Be kind.", "user: Hi.", "assistant: 3"))
    changes = template(world, EATS_SYSTEM)
    finding = one("warn", "chat_template", "lose words of a system message (“Be kind.”)", **changes)
    assert "row 21" in finding.message
    mended(finding, **changes)


@provokes("answers_are_trained_whole")
def test_an_end_token_that_is_not_trained(world):
    talks(world, turns("system: Be kind.", "user: Hi.", "assistant: 3"))
    changes = template(world, ENDS_SOMETIMES)
    finding = one("warn", "pretrain", "no end token is trained", **changes)
    assert "In 1 of 21 rows looked at (row 21 for one)" in finding.message
    mended(finding, **changes)


@provokes("answers_are_trained_whole")
def test_a_first_token_that_is_not_trained(world):
    """A token that holds the end of the prompt's header and the beginning of the answer."""
    write_tokenizer(world / "model", extra=(":\nYes",))
    talks(world, turns("user: Is it?", "assistant: Yes, it is."))
    finding = one("warn", "pretrain", "the first token of the answer is not trained", **ALONE)
    assert "In 1 of 21" in finding.message and "row 21" in finding.message


@provokes("bos_stands_once")
def test_bos_twice_and_never(world):
    changes = template(world, BOS)
    talks(world, turns("user: <s>Hi.", "assistant: 3"))
    finding = one("warn", "pretrain", "1 of 21 rows looked at (row 21 for one) begin with <s> twice", **changes)  # fmt: skip
    mended(finding, **changes)
    talks(world, turns("user: Hi.", "assistant: 3", "user: And?", "assistant: 4"))
    changes = template(world, BOS_FOR_SHORT)
    finding = one("warn", "pretrain", "1 of 21 rows looked at (row 21 for one) begin without <s>", **changes)
    mended(finding, **changes)


@provokes("tokens_fit_the_model")
def test_a_tokenizer_larger_than_the_embedding(world):
    tokenizer = Tokenizer.from_file(str(world / "model" / "tokenizer.json"))
    tokenizer.add_tokens(["<never>"])
    tokenizer.save(str(world / "model" / "tokenizer.json"))
    one("warn", "pretrain", "The tokenizer has 385 tokens and the model 384")
    write_model(world / "model", vocabulary=300)
    one("stop", "pretrain", "and the model knows only 300")


@provokes("rows_fit_the_positions")
def test_rows_longer_than_the_models_positions(world):
    talks(world, turns("user: Hi.", "assistant: " + "long " * 200))
    finding = one("warn", "max_len", "longer than the 512 tokens", **ALONE, max_len=4096)
    assert finding.fix == {"max_len": 512}
    mended(finding, **ALONE, max_len=4096)


def test_a_cut_row_gets_the_length_that_holds_it(world):
    talks(world, *[turns("user: Hi.", "assistant: " + "word " * 40)] * 5)
    finding = one("warn", "max_len", "5 of 25 rows are longer than max_len 64", **ALONE, max_len=64)
    mended(finding, **ALONE, max_len=64)
    whole = one("inform", "dataset", "trained tokens", **ALONE, **{"max_len": finding.fix["max_len"]})
    assert whole and finding.fix["max_len"] < 400  # no more than needed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Un cafÃ© noir", "UTF-8 that was read as Latin-1"),
        ("It wasnâ€™t me", "UTF-8 that was read as Latin-1"),
        ("ä¸­å›½", "UTF-8 that was read as Latin-1"),
        ("first\\nsecond\\nthird", "escapes as text"),
        ("\\u4f60\\u597d", "escapes as text"),
        ("a &amp; b &lt;i&gt;", "HTML entities"),
        (json.dumps("said \"so\""), "JSON in a string"),
        (json.dumps([{"role": "user", "content": "x"}]), "JSON in a string"),
    ],
)  # fmt: skip
@provokes("text_is_decoded")
def test_text_that_was_encoded_twice(world, text, words):
    write(world / "talk.jsonl", [{"prompt": "Say it.", "response": f"{text}"}] + [{"prompt": "a", "response": "b"}] * 20)  # fmt: skip
    assert "row 1" in one("warn", "dataset", words, **ALONE).message


@pytest.mark.parametrize(
    "text",
    ["Âge, Ärger, SÃO PAULO", "« arrivé\u00a0» à 20\u00a0°C", "中国的首都是北京。", 'print("a\\n")\nprint("b\\n")', "R&D; AT&T", '"Yes," he said, "no"', "[1, 2]", "naïve façade – 5 €"],
)  # fmt: skip
def test_sound_text_is_left_alone(world, text):
    write(world / "talk.jsonl", [{"prompt": "Say it.", "response": text}] * 20)
    assert not [item for item in preflight(settings(**ALONE)) if item.key == "text_is_decoded"]


@provokes("rows_are_not_empty")
def test_an_answer_column_that_is_empty_gets_another(world):
    write(world / "talk.jsonl", [{"prompt": "a", "response": "", "output": "b"}] * 20)
    finding = one("stop", "dataset", "every row has an empty answer", **ALONE)
    assert finding.fix == {"input_key": "prompt", "output_key": "output"}
    mended(finding, **ALONE)


def test_models_that_think_or_begin_as_they_end_are_sound(world):
    """Qwen 3's empty thoughts before the answer are trained with it; GPT-2 has one token for BOS and EOS."""
    thinks = "{% for m in messages %}{{ m.role }}: {{ '<think></think>' if m.role == 'assistant' }}{{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}{{ 'assistant: ' if add_generation_prompt }}"
    talks(world, turns("user: Hi.", "assistant: 3"))
    assert not [item for item in preflight(settings(**template(world, thinks))) if item.level != "inform"]
    write_tokenizer(world / "model", bos="</s>")
    found = preflight(settings(**ALONE))
    assert not [item for item in found if item.level != "inform"], found


def test_a_model_of_the_hub_that_is_in_the_cache_is_looked_at_too(world, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = tmp_path / "hub" / "models--ana--tiny" / "snapshots" / "abc"
    shutil.copytree(world / "model", place)
    found = preflight(settings(pretrain="ana/tiny"))
    assert {"rows_and_tokens", "memory_suffices"} <= {item.key for item in found}
    assert not [item for item in found if item.level != "inform"]
