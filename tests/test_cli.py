"""The `sftkit` command: words in, words out, exit codes; no traceback for what a user can mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.ratings import Rating, RatingStore
from sftkit.runs import load_run

ROOT = Path(__file__).parents[1]
FAKE_WORKER = f"{sys.executable} {ROOT / 'tests/runs/fake_worker.py'}"


@pytest.fixture
def settings(tmp_path, tiny_model) -> list[str]:
    """Flags of a run that can start: the test model and a file of eight rows."""
    rows = [f'{{"prompt": "{n} + 1?", "response": "{n + 1}"}}' for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    flags = {
        "pretrain": tiny_model,
        "dataset": "rows.jsonl",
        "train_batch_size": 8,
        "bf16": "false",
        "max_len": 64,
    }
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


def test_help_names_every_command(sftkit):
    text = sftkit("--help")
    for command in "demo train launch runs settings doctor generate judge rate report translate".split():
        assert command in text


def test_translate_reads_a_script_and_writes_another(sftkit, tmp_path):
    (tmp_path / "run.sh").write_text("openrlhf.cli.train_sft \\\n --pretrain m \\\n --dataset d --l2 0.1\n")
    assert "l2=0.1" in sftkit("translate", "run.sh")
    assert "--adam.weight_decay 0.1" in sftkit("translate", "--to", "openrlhf==0.11", stdin="train_sft --l2 0.1 --pretrain m --dataset d")  # fmt: skip
    assert "no such flag" in sftkit("translate", stdin="train_sft --nonsense 1", code=1)


def test_translate_explains_and_writes_every_form(sftkit, tmp_path):
    script = "train_sft --pretrain m --dataset d --max_samples 9 --use_wandb s3cret --l2 0.1"
    (tmp_path / "run.sh").write_text(script)
    text = sftkit("translate", "run.sh")
    assert "drawn with the seed" in text and "s3cret" not in text and "WANDB_API_KEY" in text
    quiet = sftkit("translate", "run.sh", "--quiet")
    assert "WANDB_API_KEY" not in quiet and "max_samples=9" in quiet
    assert "max_samples: 9" in sftkit("translate", "run.sh", "--quiet", "--to", "yaml")
    assert "SFTTrainer(" in sftkit("translate", "run.sh", "--quiet", "--to", "trl-python")
    assert "--weight_decay 0.1" in sftkit("translate", "run.sh", "--quiet", "--to", "trl")
    assert sftkit("translate", "run.sh", "--quiet", "--to", "sftkit").startswith("sftkit launch")
    assert "axolotl" in sftkit("translate", "run.sh", "--to", "axolotl", code=1)


def test_doctor_says_what_is_wrong_and_starts_nothing(sftkit, settings, tmp_path):
    text = sftkit("doctor", "--pretrain", "nowhere", "--dataset", "none.jsonl", code=1)
    assert "pretrain" in text and "dataset" in text and "nothing was started" in text
    assert "Nothing stops this run" in sftkit("doctor", *settings)
    assert "pretrain: is needed" in (told := sftkit("launch", code=1)) and "dataset: is needed" in told
    assert "runs train" in (told := sftkit("doctor", CUDA_VISIBLE_DEVICES="")) or "GPU 0" in told
    assert not (tmp_path / "runs").exists()


def test_settings_are_listed(sftkit):
    text = sftkit("settings")
    assert all(f"--{name}" in text for name in SFTConfig.model_fields)
    assert "--ds.zero_stage" in sftkit("settings", "--openrlhf", "0.11")


def test_train_says_what_preflight_doubts(sftkit, settings):
    assert "single step" in sftkit("train", *settings, "--train_batch_size", "16", SFTKIT_WORKER=FAKE_WORKER)


def test_all_faulty_settings_are_named_at_once(sftkit):
    text = sftkit("launch", "--pretrain", "m", "--dataset", "d", "--zero_stage", "7", "--l2", "-1", code=1)
    assert "zero_stage" in text and "l2" in text


def test_launch_runs_and_stop(sftkit, settings, tmp_path):
    assert "no runs" in sftkit("runs")
    sftkit("launch", *settings, SFTKIT_WORKER=FAKE_WORKER)
    folder = next((tmp_path / "runs").iterdir())
    assert folder.name in sftkit("runs", COLUMNS="80")
    assert folder.name in sftkit("runs", "--stop", folder.name[:4])
    assert load_run(folder).wait(30).ended
    assert "no run" in sftkit("runs", "--stop", "absent", code=1)


def test_train_follows_to_the_end(sftkit, settings):
    assert "tuned model" in sftkit("train", *settings, SFTKIT_WORKER=FAKE_WORKER)


def test_report_of_a_store(sftkit, tmp_path):
    store = RatingStore(f"sqlite:///{tmp_path / 'r.db'}")
    store.add_many([Rating("human:ana", f"p{n}", "base", "tuned", "b") for n in range(9)])
    text = sftkit("report", "sqlite:///r.db", "--html", "r.html")
    assert "human:ana" in text and "tuned" in text
    assert "human:ana" in sftkit("report", "--store", "sqlite:///r.db")
    assert "tuned" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_judge_without_a_key_says_what_to_do(sftkit, tmp_path):
    import pandas as pd

    from sftkit.generation import Generations

    rows = [{"prompt": "p", "model": model, "response": "r"} for model in ("base", "tuned")]
    Generations.from_frame(pd.DataFrame(rows)).save(tmp_path / "answers.parquet")
    text = sftkit("judge", "answers.parquet", "--model", "gpt-4.1", code=1, OPENAI_API_KEY="")
    assert "OPENAI_API_KEY" in text


def test_the_demo_needs_its_data(sftkit):
    assert "--data" in sftkit("demo", code=1)


def test_folders_named_like_markup_are_shown_as_they_are(sftkit, tmp_path):
    folder = tmp_path / "[work]" / "run[1]"
    folder.mkdir(parents=True)
    record = {
        "config": {"pretrain": "m[/b]", "dataset": "[red]d.jsonl"},
        "created": "2026-11-24T00:00:00+00:00",
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "status.json").write_text('{"state": "finished", "step": 3}', encoding="utf-8")
    assert "run[1] is over: finished" in sftkit("runs", "--runs-dir", "[work]", "--stop", "run[1]")
    assert "run[1]" in sftkit("runs", "--runs-dir", "[work]")
    assert not (folder / "stop").exists()
    assert "no runs in [work]/none" in sftkit("runs", "--runs-dir", "[work]/none")


def test_two_models_under_one_name_are_not_one(sftkit):
    assert "two models have one name" in sftkit(
        "generate", "a/model", "b/model", "--prompts", "p.jsonl", code=1
    )
