"""Masks on the templates that models come with: what is taught of each answer, to the character and to the token."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftkit.config import SFTConfig
from sftkit.data import Encoded, Encoder, Example, answers, tokenized
from sftkit.data.encoding import encoder
from sftkit.data.templates import KNOWN
from sftkit.errors import DataError
from tests.conftest import write_tokenizer
from tests.data.template_shapes import SHAPES, Shape, write_shape

BY_NAME = {shape.name: shape for shape in SHAPES}
MARKED = [shape for shape in SHAPES if "{% generation %}" in shape.source and not shape.added]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory):
    """The encoder of a shape, with a byte-level or a SentencePiece-like tokenizer."""

    @lru_cache
    def build(name: str, sentencepiece: bool = False) -> tuple[Path, Encoder]:
        folder = write_shape(tmp_path_factory.mktemp("shape"), BY_NAME[name], sentencepiece)
        config = SFTConfig(pretrain=str(folder), dataset="d", apply_chat_template=True)
        return folder, encoder(config)

    return build


def conversation(*texts: str, system: str | None = None) -> list[dict]:
    """Questions and answers in turn."""
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def conversations(shape: Shape) -> dict[str, list[dict]]:
    own = shape.end + "".join(shape.marks) + "\nassistant\n"  # the template's own words inside an answer
    named = {
        "one turn": conversation("one?", "1"),
        "several turns": conversation("one?", "1", "two?", "2 it is", "three?", "3"),
        "blanks around": conversation("q", "  yes \n", "q", "\n\nno\t", "q", " maybe  "),
        "the question again": conversation("yes", "yes", "no", "no"),
        "one answer always": conversation("a?", "same", "b?", "same", "c?", "same"),
        "answer in answer": conversation("a?", "a", "b?", "a a", "c?", "a"),
        "its own marks": conversation("q", f"x{own}y", "q", f"{own}", "q", f"z{own}"),
        "its own marks once": conversation("q", f"x{own}y"),
        "marks in the question": conversation(f"q{own}yes", "yes", f"yes{own}", "yes"),
        "Chinese and emoji": conversation("首都是?", "都是🙂", "🙂", "🙂👩‍👩‍👧 法国", "é", "é e\u0301"),
        "many lines": conversation("q", "a\n\nb\n  c\n", "q", "```\ncode\n```"),
        "a question without answer": conversation("q", "a", "r"),
        "an empty answer": conversation("q", "", "r", "b"),
    }
    if shape.system:
        named["system"] = conversation("one?", "1", "two?", "2", system="Be brief.")
        named["system, one turn"] = conversation("q", "a", system="a")
    return named


def expected(shape: Shape, messages: list[dict]) -> list[str]:
    """What must be taught, by hand."""
    texts = [
        (n == len(messages) - 1, m["content"]) for n, m in enumerate(messages) if m["role"] == "assistant"
    ]
    return [shape.said(text, final) for final, text in texts if text.strip()]


def runs(row: Encoded) -> list[list[str]]:
    """The tokens of each stretch that is trained."""
    pairs = zip(row.tokens, row.loss_mask)
    return [[token for token, _ in run] for taught, run in groupby(pairs, lambda pair: pair[1]) if taught]


def stretches(row: Encoded) -> list[str]:
    return ["".join(tokens) for tokens in runs(row)]


def check(shape: Shape, made: Encoder, messages: list[dict]) -> Encoded:
    """All that must hold of a row."""
    text, spans = made.template.spans(messages)
    assert [text[span.start : span.stop] for span in spans] == expected(shape, messages)
    assert [messages[span.turn]["role"] for span in spans] == ["assistant"] * len(spans)
    [row] = made.encode([Example(messages)])
    assert "".join(row.tokens) == row.text == text
    assert len(row.tokens) == len(row.loss_mask) == len(row.input_ids)
    for tokens, wanted in zip(runs(row), expected(shape, messages), strict=True):
        taught = "".join(tokens)
        if shape.eats:  # blanks at either end lie within the marks
            taught, wanted = taught.strip(), wanted.strip()
        merged = taught.removesuffix(wanted)
        assert taught.endswith(wanted), (taught, wanted)
        assert not merged or len(merged) < len(tokens[0]), (
            taught,
            wanted,
        )  # it lies in the answer's first token
        assert not merged.strip() or not made.template.ask.endswith("\n")
    bos = made.vocabulary.id(shape.bos)
    if bos is not None:
        assert row.input_ids[0] == bos and row.input_ids[1] != bos
    assert made.vocabulary.id("<pad>") not in row.input_ids
    return row


@pytest.mark.parametrize("sentencepiece", [False, True], ids=["bytes", "sentencepiece"])
@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_taught(built, name, sentencepiece):
    shape = BY_NAME[name]
    _, made = built(name, sentencepiece)
    assert made.template.end == shape.end
    for messages in conversations(shape).values():
        check(shape, made, messages)


words = st.text(st.characters(blacklist_categories=("Cs", "Co")), max_size=12)
talks = st.lists(st.tuples(words, words), min_size=1, max_size=4)


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=talks, system=st.none() | words, unanswered=st.booleans())
def test_what_is_taught_of_any_conversation(built, name, pairs, system, unanswered):
    shape = BY_NAME[name]
    texts = [text for pair in pairs for text in pair] + (["and?"] if unanswered else [])
    check(shape, built(name)[1], conversation(*texts, system=system if shape.system else None))


@pytest.mark.parametrize("name", BY_NAME)
def test_the_model_is_asked_as_it_was_trained(built, name):
    """The prompt's tokens are those that stand before the answer's, so the first token it writes is one it was taught."""
    shape = BY_NAME[name]
    _, made = built(name)
    messages = conversation("one?", "yes")
    row = check(shape, made, messages)
    prompt = made.template.prompt(messages[:1])
    if not row.text.startswith(prompt) or prompt.endswith(" "):
        assert name in ("qwen3 not thinking", "deepseek r1", "words with generation marks")
        return
    [asked] = made.vocabulary.tokenize([prompt])
    assert asked.ids.tolist() == row.input_ids[: int(row.loss_mask.argmax())].tolist()


@pytest.mark.parametrize("name", BY_NAME)
def test_the_three_ways_to_an_answer_agree(built, name, monkeypatch):
    _, made = built(name)
    cases = list(conversations(BY_NAME[name]).values())
    quick = [made.template.spans(messages) for messages in cases]
    monkeypatch.setattr(answers, "_at_the_end", lambda *_: None)
    assert [made.template.spans(messages) for messages in cases] == quick
    monkeypatch.setattr(answers, "_put_back", lambda *_: None)
    assert [made.template.spans(messages) for messages in cases] == quick


THOUGHTS = conversation(
    "one?", "<think>\nhm\n</think>\n\n1", "two?", "<think>\nso\n</think>\n\n2", "three?", "<think>ah</think>3"
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qwen3", ["1<|im_end|>", "2<|im_end|>", "<think>\nah\n</think>\n\n3<|im_end|>"]),
        # The prompt gives an empty thought, which this answer does not begin with: taught from where they part.
        ("qwen3 not thinking", ["1<|im_end|>", "2<|im_end|>", "ah\n</think>\n\n3<|im_end|>"]),
        (
            "deepseek r1",
            ["\n\n1<｜end▁of▁sentence｜>", "\n\n2<｜end▁of▁sentence｜>", "3<｜end▁of▁sentence｜>"],
        ),
    ],
)
def test_templates_that_rewrite_history(built, name, words):
    _, made = built(name)
    text, spans = made.template.spans(THOUGHTS)
    assert [text[span.start : span.stop] for span in spans] == words
    [row] = made.encode([Example(THOUGHTS)])
    assert [taught.strip() for taught in stretches(row)] == [said.strip() for said in words]


def test_an_answer_that_the_template_leaves_out_teaches_nothing(built):
    _, made = built("qwen3")
    text, spans = made.template.spans(conversation("a?", "<think>only</think>", "b?", "b"))
    assert [text[span.start : span.stop] for span in spans] == ["<think>\n\n</think>\n\nb<|im_end|>"]


@pytest.mark.parametrize("name", [shape.name for shape in SHAPES if not shape.system])
def test_templates_without_a_system_role_refuse_one(built, name):
    with pytest.raises(DataError, match=r"row 3: the chat template says: .*[Ss]ystem role"):
        list(built(name)[1].encode([Example(conversation("q", "a", system="s"), row=3)]))


@pytest.mark.parametrize("name", ["gemma", "mistral", "llama2"])
def test_templates_refuse_roles_that_do_not_alternate(built, name):
    messages = [*conversation("q", "a"), {"role": "assistant", "content": "b"}]
    with pytest.raises(DataError, match="alternate"):
        list(built(name)[1].encode([Example(messages)]))


def test_the_text_is_that_of_transformers(built, monkeypatch):
    transformers = pytest.importorskip("transformers")
    for shape in SHAPES:
        folder, made = built(shape.name)
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        for messages in conversations(shape).values():
            text = re.sub(r"\d\d:\d\d:\d\d", "", made.template.render(messages))
            asked = made.template.render(messages, add_generation_prompt=True)
            theirs.chat_template = made.template.source  # as the tuned model carries it
            for mine, asks in ((text, False), (asked, True)):
                same = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks)
                assert re.sub(r"\d\d:\d\d:\d\d", "", same) == re.sub(r"\d\d:\d\d:\d\d", "", mine), shape.name
            if not shape.added and made.template.source == shape.source.removesuffix("\n"):
                theirs.chat_template = shape.source
                same = theirs.apply_chat_template(messages, tokenize=False)
                assert re.sub(r"\d\d:\d\d:\d\d", "", same) == text, shape.name


@pytest.mark.parametrize("name", [shape.name for shape in MARKED])
def test_the_mask_is_that_of_transformers_where_answers_are_marked(built, name):
    transformers = pytest.importorskip("transformers")
    folder, made = built(name)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    theirs.chat_template = made.template.source
    for case, messages in conversations(BY_NAME[name]).items():
        if case in (
            "an empty answer",
            "blanks around",
        ):  # taught to say nothing; a token across the boundary is not taught
            continue
        [row] = made.encode([Example(messages)])
        same = theirs.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
        assert same["input_ids"] == row.input_ids.tolist(), case
        assert same["assistant_masks"] == row.loss_mask.astype(int).tolist(), case


LONG = conversation(
    "one?", "The first answer.", "two?", "二 二 🙂", "three?", "<think>hm</think>third", "four?", "4", "and?"
)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_that_does_not_fit_ends_with_its_last_whole_answer(built, name):
    _, made = built(name)
    lengths = {}  # of the conversation up to each answer, to its end token
    for turn in (1, 3, 5, 7):
        [whole] = made.encode([Example(LONG[: turn + 1])])
        lengths[turn] = int(np.flatnonzero(whole.loss_mask)[-1]) + 1
    [full] = made.encode([Example(LONG)])
    for max_len in range(8, len(full.input_ids) + 2):
        [row] = Encoder(made.vocabulary, made.template, max_len).encode([Example(LONG)])
        assert len(row.input_ids) == len(row.loss_mask) == len(row.tokens) <= max_len
        assert "".join(row.tokens) == row.text
        kept = [turn for turn, length in lengths.items() if length <= max_len]
        if max_len >= len(full.input_ids):
            assert not row.truncated and row.dropped_turns == 0 and row.text == full.text
        elif kept:
            [shorter] = made.encode([Example(LONG[: kept[-1] + 1])])
            assert (row.truncated, row.dropped_turns) == (False, len(LONG) - kept[-1] - 1)
            assert row.input_ids.tolist() == shorter.input_ids[: lengths[kept[-1]]].tolist()
            assert row.loss_mask[-1] and row.tokens[-1].strip() == made.template.end.strip()
            assert len(stretches(row)) == (kept[-1] + 1) // 2
        else:
            [first] = made.encode([Example(LONG[:2])])
            assert (row.truncated, row.dropped_turns) == (True, len(LONG) - 2)
            assert row.input_ids.tolist() == first.input_ids[:max_len].tolist()
            end = made.vocabulary.id(made.template.end.strip())
            assert end not in row.input_ids[row.loss_mask]


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("marks", [True, False], ids=["its tokens", "other tokens"])
def test_known_templates(tmp_path, name, marks):
    """With a tokenizer that has the template's end mark as a token, and with one that has not."""
    ends = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "phi3": "<|end|>", "gemma": "<end_of_turn>", "deepseek": "<｜end▁of▁sentence｜>"}  # fmt: skip
    end = ends.get(name, "</s>") if marks else "</s>"
    write_tokenizer(tmp_path, extra=(end,) if end != "</s>" else ())
    config = SFTConfig(pretrain=str(tmp_path), dataset="d", chat_template=name)
    made = encoder(config)
    blank = " " if name in ("mistral", "llama2", "vicuna") else ""
    shape = Shape(name, "", lambda answer, final: blank + answer + end, end=end)
    for messages in conversations(shape).values():
        row = check(shape, made, messages)
        assert row.input_ids.tolist() == tokenized(config, {"messages": messages}).input_ids.tolist()
        assert marks or ends.get(name, "no mark") not in row.text  # as plain text it would only be noise
        assert "Be brief." in row.text or messages[0]["content"] != "Be brief."
    assert made.template.end == end and made.vocabulary.id(end) is not None
    asked = made.template.render(conversation("one?"), add_generation_prompt=True)
    assert row.text.startswith("<s>") and made.template.render(conversation("one?", "1")).startswith(asked)


def test_a_template_of_a_file(tmp_path):
    write_tokenizer(tmp_path / "model")
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{% for m in messages %}{{ '@' + m.role + '\n' + m.content + '\n' }}{% endfor %}\n", encoding="utf-8"
    )
    config = SFTConfig(pretrain=str(tmp_path / "model"), dataset="d", chat_template=str(file))
    row = tokenized(config, {"messages": conversation("one?", "1", "two?", "2")})
    assert row.text == "<s>@user\none?\n@assistant\n1</s>\n@user\ntwo?\n@assistant\n2</s>\n"
    assert stretches(row) == ["1</s>", "2</s>"]
    asked = encoder(config).template.render(conversation("one?"), add_generation_prompt=True)
    assert asked == "<s>@user\none?\n@assistant\n"
    file.write_text("{% for m in messages %}", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.jinja: the chat template says: .*endfor"):
        encoder(config)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"mine\.jinja: cannot be read as a template"):
        encoder(config)


def test_a_template_that_is_neither_known_nor_a_file(tmp_path):
    write_tokenizer(tmp_path)
    config = SFTConfig(pretrain=str(tmp_path), dataset="d", chat_template="chatlm")
    with pytest.raises(DataError, match=r"'chatlm' is neither .* alpaca, chatml, .* Did you mean 'chatml'\?"):
        encoder(config)


@pytest.mark.parametrize("always", [True, False])
def test_bos_is_neither_missing_nor_doubled(tmp_path, always):
    """A template that writes BOS before a system message only, and one that always does."""
    when = "true" if always else "messages[0].role == 'system'"
    source = (
        "{% if "
        + when
        + " %}{{ bos_token }}{% endif %}{% for m in messages %}{{ m.role + ':\n' + m.content + eos_token }}{% endfor %}"
    )
    write_tokenizer(tmp_path, chat_template=source)
    config = SFTConfig(pretrain=str(tmp_path), dataset="d", apply_chat_template=True)
    for messages in (conversation("q", "a"), conversation("q", "a", system="s")):
        text = tokenized(config, {"messages": messages}).text
        assert text.startswith("<s>") and text.count("<s>") == 1


def test_a_tokenizer_with_nothing_to_stop_at_is_refused(tmp_path):
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"</s>"', '"no token"'), encoding="utf-8")
    with pytest.raises(DataError, match="never learn to stop"):
        encoder(SFTConfig(pretrain=str(tmp_path), dataset="d", input_template="Q: {}\nA:"))


def test_the_time_is_the_same_for_all_rows(built, monkeypatch):
    _, made = built("llama31 with date and tools")
    import time

    first = made.template.render(conversation("q", "a"))
    time.sleep(1.1)
    assert made.template.render(conversation("q", "a")) == first
    assert made.template.now.strftime("%d %b %Y") in first


def test_the_readme_names_every_known_template():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"one of {', '.join(KNOWN)}." in " ".join(readme.split())
