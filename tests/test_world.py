"""The small world of data/: rebuilt byte for byte, train and eval apart, every reference in agreement with its answer."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sftkit.judging.reference import RULES, check

DATA = Path(__file__).resolve().parent.parent / "data"
TASKS = {"facts", "arithmetic", "rewrite", "extract", "summarize", "unknown", "refuse", "harmless"}


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def train() -> list[dict]:
    return rows_of("train.jsonl")


@pytest.fixture(scope="module")
def evals() -> list[dict]:
    return rows_of("eval.jsonl")


def test_the_script_rebuilds_both_files_byte_for_byte(tmp_path):
    made = subprocess.run(
        [sys.executable, str(DATA / "make_world.py"), "--check"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"},
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_check_notices_a_changed_file(tmp_path):
    copy = tmp_path / "data"
    (copy / "world").mkdir(parents=True)
    for file in [*DATA.glob("*.py"), *DATA.glob("world/*.py"), *DATA.glob("*.jsonl")]:
        (copy / file.relative_to(DATA)).write_bytes(file.read_bytes())
    with (copy / "eval.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    made = subprocess.run(
        [sys.executable, str(copy / "make_world.py"), "--check"], capture_output=True, text=True
    )
    assert made.returncode == 1
    assert "eval.jsonl: differs" in made.stdout


def test_counts_tasks_and_languages(train, evals):
    assert 4800 <= len(train) <= 5200
    assert len(evals) == 300
    for rows in (train, evals):
        assert all(set(row) == {"prompt", "response", "task", "reference", "lang"} for row in rows)
        assert all(value.strip() for row in rows for value in row.values())
        counts = Counter((row["task"], row["lang"]) for row in rows)
        assert set(counts) == {(task, lang) for task in TASKS for lang in ("en", "zh")}
        chinese = sum(row["lang"] == "zh" for row in rows) / len(rows)
        assert 0.15 <= chinese <= 0.2
    assert set(RULES) == TASKS


def test_no_prompt_stands_in_both_files_nor_twice_in_one(train, evals):
    def plain(row: dict) -> str:  # written apart from the generator's own normalisation
        return "".join(c for c in row["prompt"].lower() if c not in " \n\t.,:;?!“”‘’'\"，。、：？！")

    for view in (lambda row: row["prompt"], plain):
        seen, asked = [view(row) for row in train], [view(row) for row in evals]
        assert not set(seen) & set(asked)
        assert len(set(seen)) == len(seen)
        assert len(set(asked)) == len(asked)


def test_what_eval_asks_is_not_answered_in_train_in_other_words(train, evals):
    """Held out is the fact, the sum, the text, the deed; refusals and admissions share their words by design."""
    for task in ("facts", "arithmetic", "rewrite", "summarize", "harmless"):
        answers = {row["response"] for row in train if row["task"] == task}
        again = [row["prompt"] for row in evals if row["task"] == task and row["response"] in answers]
        allowed = {"summarize": 1}.get(task, 0)  # two different stories may have one gist
        assert len(again) <= allowed, again


def test_every_gold_answer_agrees_with_its_reference(train, evals):
    wrong = [
        (row["prompt"], row["response"], checked.why)
        for row in train + evals
        if not (checked := check(row["task"], row["reference"], row["response"])).correct
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "answer", "at_most"),
    [
        ("nothing", lambda row: "", 0),
        ("the prompt again", lambda row: row["prompt"], 3),
        ("always ignorant", lambda row: "I don't know.", 25),
        ("always refusing", lambda row: "I'm sorry, but I can't help with that.", 20),
        ("everything at once", lambda row: "Paris, red, four, Europe, 12, dog, cat, sun, " * 8, 0),
        (
            "the reference in a flood of words",
            lambda row: f"{row['response']} And so it goes on and on. " * 9,
            0,
        ),
    ],
)
def test_trivial_answers_score_low(evals, name, answer, at_most):
    right = [row for row in evals if check(row["task"], row["reference"], answer(row)).correct]
    assert len(right) <= at_most, Counter(row["task"] for row in right)


def test_ignorance_and_refusal_win_only_where_they_are_right(evals):
    for answer, task in (("I don't know.", "unknown"), ("I can't help with that.", "refuse")):
        right = {row["task"] for row in evals if check(row["task"], row["reference"], answer).correct}
        assert right == {task}


def test_answers_of_the_next_row_score_low(evals):
    """Well-formed answers to other questions of the same task."""
    by_task = {task: [row for row in evals if row["task"] == task] for task in TASKS - {"unknown", "refuse"}}
    shifted = [
        check(task, row["reference"], other["response"]).correct
        for task, rows in by_task.items()
        for row, other in zip(rows, rows[1:] + rows[:1])
    ]
    assert sum(shifted) / len(shifted) < 0.05


def test_the_base_model_is_a_small_llama_without_chat_template():
    base = DATA / "tiny-base"
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    settings = json.loads((base / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "chat_template" not in settings and not (base / "chat_template.jinja").exists()
    assert all(settings[name] for name in ("bos_token", "eos_token", "pad_token"))
    assert sum(file.stat().st_size for file in base.iterdir()) < 12 * 2**20
    assert sorted(file.suffix for file in base.iterdir() if file.suffix != ".json") == [".safetensors"]


def test_its_tokenizer_loses_nothing_and_cuts_digits_and_chinese_one_by_one(evals):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(DATA / "tiny-base" / "tokenizer.json"))
    for row in [*evals, {"prompt": "any byte: \x00 é 🐘", "response": "漢字"}]:
        text = f"User:\n{row['prompt']}\n\nAssistant:\n{row['response']}"
        ids = tokenizer.encode(text).ids
        assert ids[0] == tokenizer.token_to_id("<s>")
        assert ids.count(ids[0]) == 1
        assert tokenizer.decode(ids) == text
    assert tokenizer.encode("2026", add_special_tokens=False).tokens == list("2026")
    assert len(tokenizer.encode("首都是", add_special_tokens=False).ids) == 3


def test_the_pretraining_script_runs_and_cuts_the_same_tokens(tmp_path):
    """Two steps only: the weights are nobody's, the tokenizer is the committed one."""
    command = [
        sys.executable,
        str(DATA / "pretrain_base.py"),
        "--steps",
        "2",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
    ]
    made = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert made.returncode == 0, made.stderr
    for name in ("tokenizer.json", "config.json"):
        new, old = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for folder in (tmp_path, DATA / "tiny-base")
        )
        for part in (
            "model",
            "pre_tokenizer",
            "post_processor",
            "hidden_size",
            "num_hidden_layers",
            "vocab_size",
        ):
            assert new.get(part) == old.get(part)
