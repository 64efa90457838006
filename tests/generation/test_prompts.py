"""Prompts from files, frames and lists; which chat template each model is asked with."""

import json

import pandas as pd
import pytest

from sftkit.data.templates import PLAIN
from sftkit.errors import DataError
from sftkit.generation.prompts import Keys, choose_templates, read_prompts
from sftkit.generation.table import prompt_id_of


def test_a_file_of_prompts(tmp_path):
    path = tmp_path / "eval.jsonl"
    rows = [{"prompt": f"问 {i}", "response": "x", "task": "t", "reference": "007"} for i in range(5)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    read = read_prompts(path, limit=3)
    assert [row["prompt"][0]["content"] for row in read] == ["问 0", "问 1", "问 2"]
    assert read[0]["reference"] == "007" and read[0]["task"] == "t"
    assert read[0]["prompt_id"] == prompt_id_of(read[0]["prompt"])


def test_a_final_assistant_turn_is_the_reference():
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    [row] = read_prompts([{"messages": turns}])
    assert (row["prompt"], row["reference"]) == (turns[:1], "a")
    [row] = read_prompts(pd.DataFrame([{"prompt": None, "messages": turns, "reference": "r"}]))
    assert (row["prompt"], row["reference"]) == (turns[:1], "r")


def test_a_list_of_texts_and_of_conversations():
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert [row["prompt"] for row in read_prompts(["q", turns])] == [
        [{"role": "user", "content": "q"}],
        turns,
    ]


def test_a_prompt_met_twice_is_asked_once_and_said():
    with pytest.warns(UserWarning, match="1 prompt"):
        assert len(read_prompts(["q", "q", "r"])) == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no prompts"),
        ([{"question": "q"}], "row 1: no column prompt or messages; it has: question"),
        (["q", [{"role": "assistant", "content": "a"}]], "row 2: only an assistant"),
        ([{"prompt": "q", "prompt_id": "1"}, {"prompt": "r", "prompt_id": "1"}], "different prompts"),
    ],
)
def test_faults_say_where(rows, words):
    with pytest.raises(DataError, match=words):
        read_prompts(rows)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_prompts(tmp_path / "none.jsonl")


def test_a_base_model_is_asked_as_its_tuned_child_is():
    assert choose_templates({"base": None, "tuned": "T"}) == {
        "base": ("T", "lent by tuned"),
        "tuned": ("T", "own"),
    }
    assert choose_templates({"base": None, "tuned": PLAIN})["base"] == (PLAIN, "plain")
    assert choose_templates({"base": None})["base"] == (PLAIN, "plain")
    mixed = choose_templates({"base": None, "x": "X", "y": "Y"})
    assert mixed == {"base": (PLAIN, "plain"), "x": ("X", "own"), "y": ("Y", "own")}


def test_columns_of_any_name():
    rows = [{"question": "1 + 1?", "answer": "2", "kind": "sum"}]
    [row] = read_prompts(rows, keys=Keys("question", "answer", "kind"))
    assert (row["prompt"][0]["content"], row["reference"], row["task"]) == ("1 + 1?", "2", "sum")
    [row] = read_prompts([{**rows[0], "reference": "two"}], keys=Keys("question", "answer"))
    assert (row["reference"], row["task"]) == ("two", None)
    [row] = read_prompts([{"prompt": "p", "response": "r"}], keys=Keys("question", "response"))
    assert (row["prompt"][0]["content"], row["reference"]) == ("p", "r")


def test_alpaca_rows():
    [row] = read_prompts([{"instruction": "Add.", "input": "1, 2", "output": "3"}])
    assert (row["prompt"][0]["content"], row["reference"]) == ("Add.\n\n1, 2", "3")
    [row] = read_prompts([{"instruction": "Greet.", "input": "", "output": "Hi"}])
    assert row["prompt"][0]["content"] == "Greet."
