"""Masks, checked by hand on small templates: what is trained, token by token."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers

from sftkit.config import SFTConfig
from sftkit.data import Encoded, Vocabulary, read_examples, tokenized
from sftkit.data.encoding import encoder
from sftkit.data.vocabulary import _told
from sftkit.errors import DataError
from tests.conftest import write_rows, write_tokenizer

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|h|>' + m.role + '<|/h|>\\n\\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|h|>assistant<|/h|>\\n\\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m.role == 'user' %}[Q]{{ m.content }}{% else %}[A]{% generation %}{{ m.content + eos_token }}"
    "{% endgeneration %}{% endif %}{% endfor %}{% if add_generation_prompt %}[A]{% endif %}"
)
NO_END = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
# Thoughts of earlier turns are left out, and the prompt for an answer opens a thought.
THINKING = (
    "{% for m in messages %}{% set text = m.content %}"
    "{% if m.role == 'assistant' and not loop.last and '</think>' in text %}{% set text = text.split('</think>')[-1] | trim %}{% endif %}"
    "{{ '<|' + m.role + '|>' + text + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)
TURNS = [
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "2 it is"},
]


def seen(tmp_path: Path, row: dict, template: str | None = None, extra: tuple[str, ...] = (), bos: str | None = "<s>", **settings) -> Encoded:  # fmt: skip
    write_tokenizer(tmp_path / "model", bos=bos, chat_template=template, extra=extra)
    config = SFTConfig(
        pretrain=str(tmp_path / "model"), dataset="d", apply_chat_template=template is not None, **settings
    )
    encoded = tokenized(config, row)
    assert "".join(encoded.tokens) == encoded.text
    assert len(encoded.tokens) == len(encoded.loss_mask) == len(encoded.input_ids)
    return encoded


def trained(encoded: Encoded) -> str:
    """The text of the trained tokens, with | between stretches."""
    parts, last = [], False
    for token, taught in zip(encoded.tokens, encoded.loss_mask):
        if taught:
            parts.append(token if last or not parts else "|" + token)
        last = taught
    return "".join(parts)


def test_plain_template(tmp_path):
    encoded = seen(tmp_path, {"prompt": "Say yes.", "response": "yes"})
    assert encoded.text == "<s>User:\nSay yes.\n\nAssistant:\nyes</s>"
    assert trained(encoded) == "yes</s>"


def test_plain_template_with_system_and_turns(tmp_path):
    encoded = seen(tmp_path, {"messages": [{"role": "system", "content": "Be brief."}, *TURNS]})
    assert encoded.text == (
        "<s>Be brief.\n\nUser:\none?\n\nAssistant:\n1</s>\n\nUser:\ntwo?\n\nAssistant:\n2 it is</s>"
    )
    assert trained(encoded) == "1</s>|2 it is</s>"


def test_bos_stands_once_only_if_the_model_wants_one(tmp_path):
    assert seen(tmp_path, {"prompt": "q", "response": "a"}).tokens[:2] == ["<s>", "Us"]
    bare = seen(tmp_path / "b", {"prompt": "q", "response": "a"}, bos=None)
    assert bare.text.startswith("User:")
    own = seen(tmp_path / "c", {"prompt": "q", "response": "a"}, LLAMA3, ("<|h|>", "<|/h|>", "<|eot|>"))
    assert own.text.count("<s>") == 1
    added = seen(tmp_path / "d", {"prompt": "q", "response": "a"}, CHATML, ("<|im_start|>", "<|im_end|>"))
    assert added.tokens[:2] == ["<s>", "<|im_start|>"]


@pytest.mark.parametrize(
    ("template", "extra", "words"),
    [
        (CHATML, ("<|im_start|>", "<|im_end|>"), "1<|im_end|>|2 it is<|im_end|>"),
        (LLAMA3, ("<|h|>", "<|/h|>", "<|eot|>"), "1<|eot|>|2 it is<|eot|>"),
        (MARKED, ("[Q]", "[A]"), "1</s>|2 it is</s>"),
        (THINKING, ("<|user|>", "<|assistant|>", "<|im_end|>"), "1<|im_end|>|2 it is<|im_end|>"),
    ],
)
def test_templates_of_tokenizers(tmp_path, template, extra, words):
    assert trained(seen(tmp_path, {"messages": TURNS}, template, extra)) == words


def test_a_template_that_rewrites_history(tmp_path):
    turns = [TURNS[0], {"role": "assistant", "content": "<think>hm</think>1"}, *TURNS[2:]]
    turns[3] = {"role": "assistant", "content": "<think>two</think>2"}
    encoded = seen(tmp_path, {"messages": turns}, THINKING, ("<|user|>", "<|assistant|>", "<|im_end|>"))
    assert (
        encoded.text
        == "<s><|user|>one?<|im_end|><|assistant|>1<|im_end|><|user|>two?<|im_end|><|assistant|><think>two</think>2<|im_end|>"
    )
    # The prompt for the last answer opens the thought itself, so the model need not learn to.
    assert trained(encoded) == "1<|im_end|>|two</think>2<|im_end|>"


def test_a_template_without_an_end_token_is_given_one(tmp_path):
    encoded = seen(tmp_path, {"messages": TURNS}, NO_END)
    assert encoded.text == "<s>user: one?\nassistant: 1</s>\nuser: two?\nassistant: 2 it is</s>\n"
    assert trained(encoded).replace(" 1", "1").replace(" 2", "2") == "1</s>|2 it is</s>"


def test_the_first_answer_token_is_trained_when_it_holds_the_blank_of_the_template(tmp_path):
    encoded = seen(tmp_path, {"prompt": "q", "response": "yes"}, input_template="User: {}\nAssistant: ")
    assert encoded.text == "<s>User: q\nAssistant: yes</s>"
    assert trained(encoded) == " yes</s>"


def test_input_template_asks_without_the_trailing_blank(tmp_path):
    write_tokenizer(tmp_path)
    config = SFTConfig(pretrain=str(tmp_path), dataset="d", input_template='Q "{}" \\ \n🙂 A: ')
    template = encoder(config).template
    asked = template.render(TURNS[:1], add_generation_prompt=True)
    assert asked == '<s>Q "one?" \\ \n🙂 A:'
    assert template.render(TURNS[:2]) == asked + " 1</s>"


def test_characters_that_are_several_tokens(tmp_path):
    encoded = seen(tmp_path, {"prompt": "首都是?", "response": "都是🙂"})
    assert trained(encoded) == "都是🙂</s>"
    assert encoded.loss_mask.sum() > len("都是🙂</s>") - 4


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(blacklist_categories=("Cs",))))
def test_places_counted_in_bytes_are_those_that_the_tokenizer_tells(tiny_model, text):
    vocabulary = encoder(SFTConfig(pretrain=str(tiny_model), dataset="d")).vocabulary
    [told] = [_told(vocabulary.tokenizer.encode(text, add_special_tokens=False))]
    counted = vocabulary._counted(text, told.ids)
    assert (counted is None) == (text == "")
    [found] = vocabulary.tokenize([text])
    for one in (found, counted or found):
        assert all((ours == theirs).all() for ours, theirs in zip(one, told, strict=True))


def test_places_are_told_where_bytes_cannot_be_counted(tiny_model):
    """A normalizer that makes one character of two, and a mark that takes in the blanks behind it."""
    vocabulary = Vocabulary.load(tiny_model)
    vocabulary.tokenizer.normalizer = normalizers.NFC()
    vocabulary.tokenizer.add_special_tokens([AddedToken("<|x|>", rstrip=True)])
    texts = ["plain", "e\u0301e\u0301 法", "a<|x|> \n b", "\u212b\u212b\u212b\u0958"]
    for text, tokens in zip(texts, vocabulary.tokenize(texts), strict=True):
        told = _told(vocabulary.tokenizer.encode(text, add_special_tokens=False))
        assert all((ours == theirs).all() for ours, theirs in zip(tokens, told, strict=True))
    assert [vocabulary._counted(text, vocabulary.tokenize([text])[0].ids) is None for text in texts] == [False, True, True, True]  # fmt: skip


def test_a_cut_answer_is_not_taught_to_end(tmp_path):
    whole = seen(tmp_path, {"prompt": "q", "response": "one two three four"})
    cut = seen(tmp_path, {"prompt": "q", "response": "one two three four"}, max_len=len(whole.input_ids) - 3)
    assert cut.truncated
    assert not whole.truncated
    assert "</s>" not in cut.text
    assert cut.input_ids.tolist() == whole.input_ids[:-3].tolist()
    assert trained(cut)
    assert whole.text.startswith(cut.text)


def test_printed_it_shows_what_is_trained(tmp_path):
    row = {"prompt": "2+2?", "response": "four and no more"}
    whole, cut = seen(tmp_path, row), seen(tmp_path, row, max_len=12)
    text, counts = str(whole).rsplit("\n", 1)
    assert text.replace("][", "").endswith("[four and no more</s>]")
    assert counts == f"({len(whole.input_ids)} tokens, {whole.loss_mask.sum()} trained)"
    assert cut.truncated and str(cut).endswith("trained, cut at max_len)")


def test_a_row_cut_within_its_prompt_trains_nothing(tmp_path):
    encoded = seen(tmp_path, {"prompt": "a very long question " * 9, "response": "yes"}, max_len=20)
    assert encoded.truncated
    assert not encoded.loss_mask.any()


@pytest.mark.parametrize("answer", ["", "  \n", None])
def test_an_empty_answer_trains_nothing(tmp_path, answer):
    assert not seen(tmp_path, {"prompt": "q", "response": answer}).loss_mask.any()


def test_the_trained_text_of_every_row_is_its_answer_and_the_end(tiny_model, tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", 200)
    config = SFTConfig(pretrain=str(tiny_model), dataset=str(path))
    examples = read_examples(config)
    for example, encoded in zip(examples, encoder(config).encode(examples), strict=True):
        assert trained(encoded) == example.messages[-1]["content"] + "</s>"


def test_faults(tmp_path):
    with pytest.raises(DataError, match="no such model folder"):
        tokenized(SFTConfig(pretrain=str(tmp_path / "absent"), dataset="d"), {"prompt": "q", "response": "a"})
    with pytest.raises(DataError, match=r"has no tokenizer\.json"):
        tokenized(SFTConfig(pretrain=str(tmp_path), dataset="d"), {"prompt": "q", "response": "a"})
    write_tokenizer(tmp_path)
    config = SFTConfig(pretrain=str(tmp_path), dataset="d", apply_chat_template=True)
    with pytest.raises(DataError, match="no chat template"):
        tokenized(config, {"prompt": "q", "response": "a"})
    refusing = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}x{% endfor %}"
    with pytest.raises(DataError, match="no system role"):
        row = {"messages": [{"role": "system", "content": "s"}, *TURNS]}
        seen(tmp_path / "refusing", row, refusing)


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path):
    hostile = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(DataError, match="unsafe"):
        seen(tmp_path, {"prompt": "q", "response": "a"}, hostile)


def test_no_torch_is_needed():
    import subprocess

    code = "import sys, sftkit.data; assert not {'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
