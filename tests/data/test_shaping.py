"""Rows to messages: the columns people have, and clear words when they are others."""

from __future__ import annotations

import json

import pytest

from sftkit.config import SFTConfig
from sftkit.data import Example, find_columns, read_examples
from sftkit.data.shaping import Columns, to_example
from sftkit.errors import DataError

PAIR = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def example(row: dict, **settings) -> Example:
    config = SFTConfig(pretrain="m", dataset="d", **settings)
    return to_example(row, find_columns(config, row))


def test_prompt_and_response_under_any_names():
    assert (
        example({"question": "q", "answer": "a"}, input_key="question", output_key="answer").messages == PAIR
    )


def test_numbers_are_text():
    assert example({"prompt": 2, "response": 4.5}).messages[1]["content"] == "4.5"


@pytest.mark.parametrize("settings", [{"input_key": "messages", "output_key": None}, {}])
def test_a_column_of_messages(settings):
    turns = [{"role": "system", "content": "s"}, *PAIR, *PAIR]
    assert example({"messages": turns}, **settings).messages == turns


def test_messages_as_json_text_and_in_parts():
    assert example({"messages": json.dumps(PAIR)}).messages == PAIR
    parts = [{"role": "user", "content": [{"type": "text", "text": "q"}]}, PAIR[1]]
    assert example({"messages": parts}).messages == PAIR


def test_a_prompt_of_messages_with_an_answer_beside_it():
    row = {"prompt": [{"role": "system", "content": "s"}, PAIR[0]], "response": "a"}
    assert example(row).messages == [{"role": "system", "content": "s"}, *PAIR]


def test_alpaca_columns_are_found_and_input_stands_below_the_instruction():
    row = {"instruction": "Sum up.", "input": "A text.", "output": "T."}
    assert example(row).messages[0]["content"] == "Sum up.\n\nA text."
    assert example({**row, "input": ""}).messages[0]["content"] == "Sum up."


def test_the_task_is_kept_where_the_data_has_one():
    assert example({"prompt": "q", "response": "a", "task": "sums"}).task == "sums"
    assert example({"prompt": "q", "response": "a"}).task == ""


def test_absent_columns_are_named_with_the_nearest():
    with pytest.raises(
        DataError, match=r"no column 'promt' \(input_key\). Columns: prompt, response. Did you mean 'prompt'"
    ):
        example({"prompt": "q", "response": "a"}, input_key="promt")
    with pytest.raises(DataError, match="no column 'answer'"):
        example({"prompt": "q", "response": "a"}, output_key="answer")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": {"a": 1}, "response": "a"}, "field 'prompt': should be text, is dict"),
        ({"prompt": "q", "response": ["a"]}, "field 'response': should be text, is list"),
        ({"messages": [{"role": "user"}]}, "each message needs 'role' and 'content'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role 'robot'"),
        ({"messages": "no json"}, "should be a list of messages"),
        ({"messages": []}, "field 'messages': holds no messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part of type 'image_url'"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}, "that calls a tool"),
        ({"messages": [{"role": "tool", "content": "7"}]}, "role 'tool' that calls a tool or answers"),
        ({"conversations": [{"from": "function_call", "value": "{}"}]}, "leave this row out"),
        ({"conversations": [{"from": "observation", "value": "{}"}]}, "'observation'"),
        ({"conversations": [{"from": "human", "text": "q"}]}, "or 'from' and 'value'"),
        ({"instruction": "q", "output": "a", "history": [["q"]]}, "field 'history': should be a list of"),
    ],
)
def test_rows_that_cannot_be_read(row, words):
    with pytest.raises(DataError, match=words):
        example(row)


def test_a_fault_in_a_file_names_the_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "response": "a"}\n{"prompt": "q", "response": []}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.jsonl, row 2, field 'response'"):
        read_examples(SFTConfig(pretrain="m", dataset=str(path)))


def test_a_missing_answer_is_an_empty_one():
    assert (
        to_example({"prompt": "q", "response": None}, Columns("prompt", "response")).messages[1]["content"]
        == ""
    )


def test_max_samples_draws_with_the_seed_and_not_the_head(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"prompt": "{n}", "response": "a"}}\n' for n in range(200)), encoding="utf-8")
    config = SFTConfig(pretrain="m", dataset=str(path), max_samples=20)

    def drawn(config: SFTConfig) -> list[int]:
        return [row.row for row in read_examples(config)]

    assert len(set(drawn(config))) == 20
    assert max(drawn(config)) > 100  # 20 of the first 100 by chance: one in a million
    assert drawn(config) == drawn(config)
    assert drawn(config) != drawn(config.with_(seed=7))
    assert len(drawn(config.with_(max_samples=1000))) == 200


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "问", "response": "好\ud83d"},
        {"messages": [{"role": "user", "content": "\ude00"}, PAIR[1]]},
    ],
)
def test_half_an_emoji_is_a_fault_of_its_row(row):
    """JSON may spell one; no tokenizer takes it, and the run would die of a TypeError that names no row."""
    with pytest.raises(DataError, match="half a character"):
        example(json.loads(json.dumps(row)))


HUMAN = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.mark.parametrize(("user", "assistant"), [("human", "gpt"), ("user", "assistant"), ("Human", "ChatGPT"), ("user", "model"), ("human", "bard"), ("human", "bing")])  # fmt: skip
@pytest.mark.parametrize("column", ["conversations", "talk"])
def test_sharegpt_under_its_name_and_any_other(user, assistant, column):
    row = {column: [{"from": user, "value": "q"}, {"from": assistant, "value": "a"}]}
    settings = {} if column == "conversations" else {"input_key": "talk"}
    assert example(row, **settings).messages == PAIR
    assert example({column: json.dumps(row[column])}, **settings).messages == PAIR


def test_sharegpt_with_the_keys_of_openai_and_a_system_turn():
    row = {"conversations": [{"from": "system", "value": "s"}, {"role": "user", "content": "q"}, HUMAN[1]]}
    assert example(row).messages == [{"role": "system", "content": "s"}, *PAIR]
    both = [{"from": "human", "value": "q", "role": None, "content": None}, PAIR[1]]  # as Arrow joins columns
    assert example({"conversations": both}).messages == PAIR


def test_a_system_column_unless_the_conversation_has_its_own():
    said = {"role": "system", "content": "s"}
    assert example({"conversations": HUMAN, "system": "s"}).messages == [said, *PAIR]
    assert example({"conversations": HUMAN, "system": None}).messages == PAIR
    assert example({"prompt": "q", "response": "a", "system": "s"}).messages == [said, *PAIR]
    own = {"messages": [{"role": "developer", "content": "d"}, *PAIR], "system": "s"}
    assert example(own).messages == [{"role": "system", "content": "d"}, *PAIR]


@pytest.mark.parametrize("written", [lambda pairs: pairs, json.dumps])
def test_alpaca_with_history(written):
    row = {"instruction": "q", "input": "", "output": "a", "system": "s", "history": written([["h", "i"], ["j", "k"]])}  # fmt: skip
    said = [("system", "s"), ("user", "h"), ("assistant", "i"), ("user", "j"), ("assistant", "k"), ("user", "q"), ("assistant", "a")]  # fmt: skip
    assert [(turn["role"], turn["content"]) for turn in example(row).messages] == said
    for none in ("", None, []):
        assert example({"instruction": "q", "output": "a", "history": none}).messages == PAIR


def test_dolly_with_its_context_and_category():
    row = {"instruction": "Who?", "context": "A text.", "response": "Ana.", "category": "closed_qa"}
    seen = example(row)
    assert [turn["content"] for turn in seen.messages] == ["Who?\n\nA text.", "Ana."]
    assert seen.task == "closed_qa"
    assert example(row, task_key="kind").task == "" and example(row, task_key=None).task == ""
    assert example({**row, "task": "own"}).task == "own"


def test_columns_of_roles_and_contents_as_old_arrow_files_hold_them():
    assert example({"messages": {"role": ["user", "assistant"], "content": ["q", "a"]}}).messages == PAIR


def test_parts_of_responses_and_bare_text():
    parts = [{"type": "input_text", "text": "q"}, {"type": "text", "text": None}, "?"]
    assert example({"messages": [{"role": "user", "content": parts}, PAIR[1]]}).messages[0]["content"] == "q?"


def test_text_that_looks_like_json_stays_a_prompt():
    text = json.dumps(PAIR)
    assert example({"prompt": text, "response": "a"}).messages[0]["content"] == text
