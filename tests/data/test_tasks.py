"""Guessed task types: by rules that a user edits, by clusters, by a judge."""

from __future__ import annotations

import pytest

import sftkit as sk
from sftkit.data.lens import tasks

PROMPTS = {
    "Translate this sentence into German: Good morning.": "translation",
    "把下面的句子翻译成英文：早上好。": "translation",
    "Write a Python function that reverses a list.": "code",
    "Summarize the following article in two sentences.": "summarization",
    "总结下面这段话。": "summarization",
    "Classify these animals as mammals or birds.": "classification",
    "Extract all names from the text below.": "extraction",
    "Rewrite the sentence in the passive voice.": "rewriting",
    "What is 13 + 29?": "math",
    "Write a poem about the sea.": "creative writing",
    "写一首关于大海的诗。": "creative writing",
    "Give me five ideas for a birthday party.": "brainstorming",
    "Explain how a rainbow forms.": "explanation",
    "Who painted this?": "question answering",
    "为什么天是蓝的？": "question answering",
    "Go on.": "other",
}


def test_rules_in_english_and_chinese():
    found = tasks.guess(list(PROMPTS))
    assert dict(zip(PROMPTS, found.tasks)) == PROMPTS and found.how == "guessed by rules"


def test_rules_of_ones_own(tmp_path):
    mine = [("birthday", "parties"), *tasks.RULES]
    assert tasks.guess(list(PROMPTS), rules=mine).tasks.count("parties") == 1
    path = tmp_path / "rules.tsv"
    path.write_text(tasks.rules_text(), encoding="utf-8")
    assert tasks.guess(list(PROMPTS), rules=path).tasks == list(PROMPTS.values())
    path.write_text("# mine\npoetry\tpoem|诗\n\nrest\t.\n", encoding="utf-8")
    assert set(tasks.guess(list(PROMPTS), rules=path).tasks) == {"poetry", "rest"}
    assert tasks.task_names(path) == ["poetry", "rest", "other"]


def test_every_rule_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(sk.DataError, match=r"rule 1: missing \).*; rule 3: "):
        tasks.compiled([("(", "x"), ("a", "y"), ("[", "z")])
    path = tmp_path / "rules.tsv"
    path.write_text("no tab in it\n", encoding="utf-8")
    with pytest.raises(sk.DataError, match=r"rules.tsv: rules are pairs .*rule 1"):
        tasks.compiled(path)
    with pytest.raises(sk.DataError, match="there is no rule"):
        tasks.compiled([])


def test_clusters_are_named_by_their_words():
    prompts = [f"poem about the sea {n}" for n in range(30)] + [f"recipe with fish and rice {n}" for n in range(20)]  # fmt: skip
    found = tasks.guess(prompts, embed=lambda texts: [[1.0, 0.1 * (n % 3)] if "poem" in text else [-1.0, 0.2] for n, text in enumerate(texts)], clusters=2)  # fmt: skip
    assert len(set(found.tasks)) == 2 and len(set(found.tasks[:30])) == 1
    assert "poem" in found.tasks[0] and {"recipe", "fish", "rice"} & set(
        found.tasks[-1].replace(",", "").split()
    )
    assert "embedding model" in found.how
    again = tasks.guess(prompts, embed=lambda texts: [[1.0, 0.1] if "poem" in text else [-1.0, 0.2] for text in texts], clusters=2)  # fmt: skip
    assert len(set(again.tasks[30:])) == 1


def test_labels_must_be_one_for_each():
    assert tasks.guess(["a", "b"], label=lambda prompts: ["x ", None]).tasks == ["x", "other"]
    with pytest.raises(sk.DataError, match="one for each of 2 prompts; there are 1"):
        tasks.guess(["a", "b"], label=lambda prompts: ["x"])
