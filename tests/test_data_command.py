"""`sftkit data` as a process: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.judging.test_task_labels import served

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "ra", "to", "lis", "mek")]


@pytest.fixture
def train(tmp_path: Path) -> Path:
    chance = random.Random(1)
    path = tmp_path / "train.jsonl"
    rows = [{"question": f"{' '.join(chance.choices(WORDS, k=9))}?", "answer": " ".join(chance.choices(WORDS, k=chance.randint(5, 30))), "kind": "qa" if n % 4 else "[red]"} for n in range(200)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


COLUMNS = ("--input-key", "question", "--output-key", "answer", "--task-key", "kind")


def test_an_eval_set_made_matched_and_released(sftkit, train, tmp_path):
    said = sftkit("data", "eval-set", "train.jsonl", "--size", "0.2", "--out", "eval.jsonl", "--html", "made.html", *COLUMNS)  # fmt: skip
    assert "40 eval rows out of 200, by task, length, seed 42." in said and "[red]" in said
    assert len((tmp_path / "eval.jsonl").read_text().splitlines()) == 40
    assert "40 eval rows out of 200" in (tmp_path / "made.html").read_text()
    said = sftkit("data", "match", "train.jsonl", "eval.jsonl", *COLUMNS)
    assert "task types: as alike as rows drawn at random." in said and "[red]" in said
    assert "None of 40 eval rows is in 160 training rows" in sftkit("data", "leaks", "train.jsonl", "eval.jsonl", *COLUMNS)  # fmt: skip
    assert "40 rows are trained again" in sftkit("data", "eval-set", "eval.jsonl", "--release")
    said = sftkit("data", "leaks", "train.jsonl", "eval.jsonl", "--limit", "1", "--html", "leaks.html", *COLUMNS, code=3)  # fmt: skip
    assert "40 of 40 eval rows (100.0%) are in the training data: 40 exactly" in said
    assert "<mark>" not in (tmp_path / "leaks.html").read_text()


def test_a_judge_names_task_types_after_it_was_agreed_to(sftkit, train, tmp_path):
    keys = COLUMNS[:4]
    with served() as server:
        asked = ("data", "eval-set", "train.jsonl", "--size", "20", "--out", "eval.jsonl", "--judge", "named", "--judge-url", server.url, *keys)  # fmt: skip
        said = sftkit(*asked, stdin="n\n", code=1)
        assert "20 calls to named to name the task types of 200 prompts" in said and not server.bodies
        assert not (tmp_path / "eval.jsonl").exists()
        said = sftkit(*asked, "--yes")
    assert "Task types are guessed by a judge" in said and len(server.bodies) == 20
    rows = [json.loads(line) for line in (tmp_path / "eval.jsonl").read_text().splitlines()]
    assert all(row["task_guessed"] for row in rows) and {row["task"] for row in rows} == {"code", "math"}


def test_rules_profile_mix_and_errors(sftkit, train, tmp_path):
    (tmp_path / "rules.tsv").write_text(sftkit("data", "eval-set", "-", "--show-rules"))
    said = sftkit("data", "eval-set", "train.jsonl", "--size", "10", "--rules", "rules.tsv", *COLUMNS[:4])
    assert "guessed by rules" in said and not (tmp_path / "train.jsonl.patch.jsonl").exists()
    assert "200" in sftkit("data", "profile", "train.jsonl", "--html", "profile.html", *COLUMNS)
    assert (tmp_path / "profile.html").stat().st_size > 1000
    said = sftkit("data", "mix", "--pretrain", "none", "--dataset", "train.jsonl", "--input_key", "question", "--output_key", "answer", "--dataset_caps", "50", "--html", "mix.html")  # fmt: skip
    assert "train.jsonl: 50 of 200 rows" in said and "150 by dataset_caps" in (tmp_path / "mix.html").read_text()  # fmt: skip
    assert "gone.jsonl: no such file." in sftkit(
        "data", "match", "train.jsonl", "gone.jsonl", *COLUMNS, code=1
    )
