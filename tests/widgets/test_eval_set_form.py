"""EvalSetForm: what is entered is what is drawn; nothing is written before Make; what is there is not overwritten unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sftkit as sk
from sftkit.data import patches, read_rows
from sftkit.errors import DataError
from sftkit.widgets import asked_twice

WORDS = "river stone garden window market bridge lantern copper meadow harbour violin thunder".split()


def rows_of(count: int = 120, task: bool = True) -> list[dict]:
    rows = []
    for n in range(count):
        a, b, c = (WORDS[(n * k + n // 12) % 12] for k in (1, 5, 7))
        row = {"prompt": f"Number {n}: say {a} beside {b * 2} under {c}{n}.", "response": f"{c} {n * n} {a}{n} " + f"{b}{n} " * (n % 9)}  # fmt: skip
        rows.append({**row, "task": "even" if n % 2 else "odd"} if task else row)
    return rows


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asked_twice, "TOO_SOON", 0)
    return write(tmp_path / "train.jsonl", rows_of())


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def form_of(data: Path, **about) -> sk.EvalSetForm:
    return sk.EvalSetForm(data, **{"size": 20, **about})


def test_looked_at_then_made_then_taken_back(data, tmp_path):
    form = form_of(data)
    form.preview_button.click()
    assert not form.errors.messages and len(form.made) == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train.jsonl"]  # nothing is written yet
    assert "20 eval rows out of 120" in form._result.value
    looked_at = form.made
    form.make_button.button.click()
    assert form.made is looked_at and form.path == tmp_path / "train_eval.jsonl"
    evals = read_rows(form.path)
    assert len(evals) == 20 and len(read_rows(data)) == 100
    assert not {row["prompt"] for row in evals} & {row["prompt"] for row in read_rows(data)}
    assert "held out of training by train.jsonl.patch.jsonl" in form._status.value
    assert form.release_button.layout.display == ""
    form.release_button.click()
    assert len(read_rows(data)) == 120 and "20 rows are trained again" in form._status.value


def test_a_file_in_the_way_is_overwritten_only_after_a_second_press(data, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("mine", encoding="utf-8")
    form = form_of(data, out=path)
    form.make_button.button.click()
    assert form.make_button.asking and path.read_text() == "mine" and form.made is None
    form.make_button.no.click()
    assert not form.make_button.asking and path.read_text() == "mine"
    form.make_button.button.click()
    form.make_button.button.click()
    assert len(read_rows(path)) == 20


def test_what_is_changed_is_drawn_anew(data):
    form = form_of(data)
    form.preview_button.click()
    first = form.made.hashes
    form.rows["seed"].input.value = "7"
    form.rows["size"].input.value = "0.1"
    form.make_button.button.click()
    assert len(form.made) == 12 and form.made.wanted.seed == 7 and form.made.hashes != first
    same = sk.make_eval_set(str(data), 12, seed=7, progress=False)
    assert len(same) == 12 and len(patches.load(data).changes) == 12


def test_all_faults_stand_beside_their_fields(data):
    form = form_of(data)
    form.rows["size"].input.value = "many"
    form.rows["seed"].input.value = "1.5"
    form.rows["out"].input.value = ""
    form.rules.value = "poem: haiku\nno rule"
    form.preview_button.click()
    assert form.made is None and not form.errors.messages
    for name, words in {"size": "neither a number of rows", "seed": "no whole number", "out": "Name a file"}.items():  # fmt: skip
        assert words in form.rows[name]._note.value
    assert "Rule 2" in form._status.value
    form = form_of(data, size=100)
    form.preview_button.click()
    assert "ask for 1 to 60" in form.errors.messages[0]
    form = form_of(data, by="colour")
    form.preview_button.click()
    assert "colour" in form.errors.messages[0] and not form.preview_button.disabled
    form = form_of(data, out=data)
    form.make_button.button.click()
    form.make_button.button.click()
    assert "is the training data itself" in form.errors.messages[0] and len(read_rows(data)) == 120


def test_rules_guess_task_types_and_are_edited(data):
    write(data, rows_of(task=False))
    form = form_of(data)
    form.rules.value = "digits: number \\d*[02468]:\nrest: ."
    form.preview_button.click()
    assert set(form.made.tasks) == {"digits", "rest"} and "guessed by rules" in form._result.value
    with pytest.raises(DataError, match="no such file"):
        sk.EvalSetForm("none.jsonl")


class Judge:
    """Names the kind of a prompt; says beforehand what it takes."""

    def __init__(self):
        self.asked: list[str] = []

    def estimate(self, prompts: list[str]) -> str:
        return f"{len(prompts)} prompts <b>for 3 dollars</b>"

    def __call__(self, prompts: list[str]) -> list[str]:
        self.asked += prompts
        return ["digits" if int(prompt.split()[1].strip(":")) % 2 else "words" for prompt in prompts]


def test_a_judge_is_asked_once_and_only_after_its_price_was_told(data):
    write(data, rows_of(task=False))
    judge = Judge()
    form = form_of(data, label=judge)
    form.make_button.button.click()
    assert not judge.asked and form.made is None and form.agree_button.layout.display == ""
    assert "120 prompts &lt;b&gt;for 3 dollars" in form._status.value
    form.agree_button.click()
    assert len(judge.asked) == 120 and set(form.made.tasks) == {"digits", "words"}
    assert form.path is not None and len(read_rows(form.path)) == 20  # Make goes on where it was
    assert "guessed by a judge" in form._result.value and form.agree_button.layout.display == "none"
    form.rows["seed"].input.value = "5"
    form.preview_button.click()
    assert len(judge.asked) == 120 and form.made.wanted.seed == 5  # each prompt is paid for once

    form = form_of(write(data.with_name("named.jsonl"), rows_of()), label=judge)
    form.preview_button.click()
    assert len(judge.asked) == 120 and len(form.made) == 20  # the data name every task type: nothing to ask


def test_chinese_and_hostile_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{**row, "task": "<img src=x onerror=alert(1)>"} for row in rows_of(40)]
    form = sk.EvalSetForm(write(tmp_path / "a<b>.jsonl", rows), size=5, lang="zh")
    form.preview_button.click()
    page = form._result.value + form.children[1].value
    assert "<img" not in page and "a<b>" not in page and "评估" in page
