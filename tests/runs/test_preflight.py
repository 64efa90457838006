"""Preflight: every check is provoked once and silent on a sound config; what it proposes mends the fault."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftkit import cli, runs
from sftkit.config import SFTConfig
from sftkit.errors import LaunchError
from sftkit.runs import Finding, check_machine, findings, hardware, launcher, look, preflight
from tests.runs.provoking import provokes


@pytest.fixture
def world(tmp_path, tiny_model, tiny_rows, monkeypatch) -> Path:
    """The present folder with data/model, data/train.jsonl and data/eval.jsonl, all sound."""
    data = tmp_path / "data"
    shutil.copytree(tiny_model, data / "model")
    shutil.copy(tiny_rows, data / "train.jsonl")
    write(data / "eval.jsonl", [{"prompt": f"Never asked {i}.", "response": "Yes.", "task": task} for i, task in enumerate(("sum", "plain sum"))])  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "gpus", lambda timeout=5.0: [])
    monkeypatch.setattr(check_machine, "cpu_flags", lambda: {"avx512_bf16", "avx2"})
    for name in ("CUDA_VISIBLE_DEVICES", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    look._gpus.cache_clear()
    yield data
    look._gpus.cache_clear()


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def settings(**changes) -> dict:
    sound = {
        "pretrain": "data/model", "dataset": "data/train.jsonl", "eval_dataset": "data/eval.jsonl",
        "train_batch_size": 16, "learning_rate": 1e-3, "max_len": 256,
    }  # fmt: skip
    return {**sound, **changes}


def one(level: str, field: str, words: str, **changes) -> Finding:
    """The one finding about `field` at `level` that has `words` in it."""
    found = preflight(settings(**changes))
    fits = [item for item in found if (item.level, item.field) == (level, field) and words in item.message]
    assert len(fits) == 1, "\n".join(f"{item.level} {item}" for item in found)
    return fits[0]


def mended(finding: Finding, **changes) -> None:
    """The fix leads to settings of which the same finding is not made."""
    after = preflight(finding.apply(settings(**changes)))
    assert finding.fix and finding.fix_label
    assert finding.message not in [item.message for item in after]


@provokes("batch_and_steps", "rows_and_tokens", "memory_suffices")
def test_sound_settings_get_figures_and_nothing_else(world):
    found = preflight(SFTConfig(**settings(max_epochs=3)))
    assert {item.level for item in found} == {"inform"}, "\n".join(map(str, found))
    said = " ".join(item.message for item in found)
    assert "64 rows" in said and "4 steps an epoch, 12 in all, 1 of them warm-up" in said
    assert "8 rows x 2 accumulated x 1 process" in said


def test_every_fault_at_once_and_the_grave_ones_first(world):
    found = preflight(settings(pretrain="data/modle", dataset="data/trian.jsonl", eval_steps=5, eval_dataset=None))  # fmt: skip
    assert {"pretrain", "dataset"} <= {item.field for item in found if item.level == "stop"}
    assert [item.level for item in found] == sorted((item.level for item in found), key=findings.LEVELS.index)


def test_settings_that_make_no_config_do_not_hide_a_missing_file(world):
    found = preflight(settings(pretrain="data/modle", max_len="long", train_batch_size=40, num_processes=3, larning_rate=1))  # fmt: skip
    stops = {item.field for item in found if item.level == "stop"}
    assert stops == {"pretrain", "max_len", "train_batch_size", "larning_rate"}
    assert "inform" not in {item.level for item in found}  # figures of settings that nobody meant


@provokes("settings")
def test_settings_that_make_no_config(world):
    finding = one("stop", "train_batch_size", "Nearest: 24 or 48", train_batch_size=40, num_processes=3)
    assert finding.fix == {"train_batch_size": 48}
    assert finding.apply(settings(train_batch_size=40, num_processes=3)).train_batch_size == 48
    assert one("stop", "larning_rate", "learning_rate", larning_rate=1)


@pytest.mark.parametrize(
    ("field", "name", "near"),
    [
        ("pretrain", "data/modle", "data/model"),
        ("pretrain", "modell", "data/model"),
        ("dataset", "data/trian.jsonl", "data/train.jsonl"),
        ("eval_dataset", "eval.jsonl", "data/eval.jsonl"),
    ],
)
def test_a_path_that_is_not_there_gets_its_nearest(world, field, name, near):
    finding = one("stop", field, f"{name}", **{field: name})
    assert finding.fix == {field: near}
    mended(finding, **{field: name})


def test_a_home_path_as_a_shell_would_have_it(world, monkeypatch):
    monkeypatch.setenv("HOME", str(world.parent))
    assert one("stop", "pretrain", "~/data/model", pretrain="~/data/model").fix == {
        "pretrain": str(world / "model")
    }


@provokes("model_is_there", "data_is_there")
def test_a_hub_id_is_said_to_be_fetched(world, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    name = "meta-llama/Meta-Llama-3-8B"
    one("warn", "pretrain", "fetch it from the hub", pretrain=name)
    one("inform", "dataset", "fetch it from the hub", dataset="tatsu-lab/alpaca")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    one("stop", "pretrain", "HF_HUB_OFFLINE", pretrain=name)
    (tmp_path / "hub" / "models--meta-llama--Meta-Llama-3-8B" / "snapshots" / "abc").mkdir(parents=True)
    assert not [item for item in preflight(settings(pretrain=name)) if item.field == "pretrain"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@provokes("model_is_complete")
def test_an_incomplete_model(world, name):
    (world / "model" / name).unlink()
    assert name in one("stop", "pretrain", "not a whole model").message


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_weights_cut_short(world, cut):
    weights = (world / "model" / "model.safetensors").read_bytes()
    (world / "model" / "model.safetensors").write_bytes(weights[:cut])
    one("stop", "pretrain", "cut short")


@provokes("model_is_complete")
def test_a_missing_shard(world):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (world / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(world / "model" / "model.safetensors", world / "model" / "model-00001-of-00002.safetensors")
    finding = one("stop", "pretrain", "not a whole model")
    assert "00002-of-00002" in finding.message and "00001-of-00002" not in finding.message


def test_a_file_as_model(world):
    one("stop", "pretrain", "is a file", pretrain="data/train.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "holds no rows"),
        (b'{"prompt": "a", "response": "b"}\n{"prompt"\n', "row 2"),
        (b"[1, 2]\n", "should be an object"),
        (b'{"prompt": "\xff\xfe", "response": "b"}\n', "UTF-8"),
    ],
)
@provokes("data_is_there")
def test_data_that_cannot_be_read(world, text, words):
    (world / "train.jsonl").write_bytes(text)
    one("stop", "dataset", words)


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        ({"question": "a", "response": "b", "id": 1}, {"input_key": "question", "output_key": "response"}),
        ({"Instruction": "a", "Completion": "b"}, {"input_key": "Instruction", "output_key": "Completion"}),
        ({"input": "a", "output": "b"}, {"input_key": "input", "output_key": "output"}),
        ({"left": "a", "right": "b", "n": 1}, {"input_key": "left", "output_key": "right"}),
        (
            {"dialogue": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            {"input_key": "dialogue", "output_key": None},
        ),
    ],
)
@provokes("columns_are_there")
def test_missing_columns_get_a_mapping(world, row, mapping):
    write(world / "train.jsonl", [row] * 20)
    finding = one("stop", "input_key", "no column 'prompt'", eval_dataset=None)
    assert finding.fix == mapping
    mended(finding, eval_dataset=None)


def test_the_answer_column_and_the_eval_set_columns(world):
    write(world / "eval.jsonl", [{"prompt": "a", "text": "b"}])
    one("stop", "eval_dataset", "no column 'response'")
    write(world / "train.jsonl", [{"prompt": "a", "text": "b"}] * 20)
    assert one("stop", "output_key", "no column 'response'").fix == {
        "input_key": "prompt",
        "output_key": "text",
    }


@provokes("rows_have_shape")
def test_rows_of_the_wrong_shape(world):
    write(
        world / "train.jsonl",
        [{"prompt": "a", "response": "b"}] * 20 + [{"prompt": "a", "response": ["b"]}] * 2,
    )
    finding = one("stop", "dataset", "2 rows cannot be used")
    assert "row 21" in finding.message


@provokes("rows_are_not_empty")
def test_empty_prompts_and_answers_are_counted(world):
    rows = [{"prompt": "a", "response": "b"}] * 20 + [
        {"prompt": None, "response": "b"},
        {"prompt": "a", "response": " "},
    ]
    write(world / "train.jsonl", rows)
    assert "row 21" in one("warn", "dataset", "1 of 22 rows has an empty prompt").message
    assert "row 22" in one("warn", "dataset", "1 of 22 rows has an empty answer").message
    assert (
        "21 rows" in one("inform", "dataset", "trained tokens").message
    )  # what answers nothing is not trained
    write(world / "train.jsonl", [{"prompt": "a", "response": ""}] * 20)
    one("stop", "dataset", "every row has an empty answer")


@provokes("tokens_are_trained")
def test_cut_rows(world):
    rows = [{"prompt": "short", "response": "one"}] * 18 + [{"prompt": "a", "response": "long " * 60}] * 2
    write(world / "train.jsonl", rows)
    one("warn", "max_len", "2 of 20 rows are longer than max_len 48", max_len=48)
    write(world / "train.jsonl", [{"prompt": "p " * 80, "response": "one"}] * 20)
    one("stop", "max_len", "None of 20 rows has a token to train on", max_len=32)


@provokes("tokens_are_trained")
def test_a_template_that_is_asked_for_and_absent(world):
    one("stop", "apply_chat_template", "no chat template", apply_chat_template=True)


@provokes("eval_rows_in_training")
def test_eval_rows_that_are_trained_too(world):
    rows = [json.loads(line) for line in (world / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    known = rows[5]
    write(world / "eval.jsonl", [known | {"prompt": f" {known['prompt']}\n"}, known | {"response": "other"}, {"prompt": "new", "response": "x"}])  # fmt: skip
    finding = one("warn", "eval_dataset", "2 of 3 eval prompts are in the training data too")
    assert "1 of them with the same answer" in finding.message and "row 1" in finding.message
    one("warn", "eval_dataset", "the training data itself", eval_dataset="data/train.jsonl")


@provokes("tasks_missing_from_eval")
def test_a_task_that_is_never_evaluated(world):
    write(world / "eval.jsonl", [{"prompt": "x", "response": "y", "task": "sum"}])
    assert "plain sum" in one("warn", "eval_dataset", "never evaluated").message


@provokes("rows_fewer_than_a_batch")
def test_fewer_rows_than_a_batch(world):
    finding = one("warn", "train_batch_size", "64 rows are less than one batch of 128", train_batch_size=128)
    assert finding.fix == {"train_batch_size": 64}
    mended(finding, train_batch_size=128)


@pytest.mark.parametrize("rate", [0.5, 1e-9])
@provokes("learning_rate_far_out")
def test_a_learning_rate_far_out(world, rate):
    finding = one("warn", "learning_rate", "far out", learning_rate=rate)
    mended(finding, learning_rate=rate)


def test_the_learning_rate_is_measured_by_the_size_of_the_model(world, monkeypatch):
    assert look.Look(SFTConfig(**settings()), Path("runs")).parameters == 43_168
    monkeypatch.setattr(look.Look, "parameters", 8_000_000_000)
    monkeypatch.setattr(look.Look, "free_bytes", lambda self, path: 10**15)
    one("warn", "learning_rate", "far out for full tuning", learning_rate=1e-3)


@provokes("results_fit_on_disk")
def test_checkpoints_that_do_not_fit(world, monkeypatch):
    """43,168 weights: 172,672 bytes of model, 690,688 a checkpoint; 64 rows are 4 steps of 16."""
    monkeypatch.setattr(look.Look, "free_bytes", lambda self, path: 172_672 + 3 * 690_688)
    every = {"save_steps": 1, "max_ckpt_num": -1, "train_batch_size": 16}
    finding = one("warn", "save_path", "the model and 4 checkpoints need", **every)
    mended(finding, **every)
    assert not [
        found for found in preflight(settings(**every, lora_rank=8)) if "checkpoints need" in found.message
    ]


@provokes("eval_steps_without_eval_set")
def test_eval_steps_without_an_eval_set(world):
    finding = one("warn", "eval_steps", "no eval_dataset", eval_steps=50, eval_dataset=None)
    mended(finding, eval_steps=50, eval_dataset=None)


@provokes("flash_attn_is_there")
def test_flash_attn_without_a_gpu(world):
    one("inform", "flash_attn", "sdpa", flash_attn=True)


def two_cards(used: int = 0):
    return lambda timeout=5.0: [hardware.GPU(id, "H200", 143_000, used, 0) for id in (0, 1)]


@provokes("gpus_are_there")
def test_gpus_that_are_not_there(world, monkeypatch):
    mended(one("stop", "gpus", "no NVIDIA GPU is found", gpus=[0]), gpus=[0])
    monkeypatch.setattr(hardware, "gpus", two_cards())
    look._gpus.cache_clear()
    finding = one("stop", "gpus", "There is no GPU 3", gpus=[3])
    assert finding.apply(settings(gpus=[3])).gpus == (0,)


@provokes("gpus_are_there", "gpus_are_free", "gpus_for_every_process")
def test_gpus_hidden_busy_or_too_few(world, monkeypatch):
    monkeypatch.setattr(hardware, "gpus", two_cards(used=100_000))
    one("warn", "gpus", "GPU 1 (H200) is in use", gpus=[1])
    one("stop", "num_processes", "4 processes and 2 GPUs", num_processes=4, train_batch_size=32)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    finding = one("stop", "gpus", "GPU 1 is not among those given", gpus=[1])
    assert finding.apply(settings(gpus=[1])).gpus == (0,)


@provokes("processes_and_cores")
def test_more_processes_than_cores(world, monkeypatch):
    monkeypatch.setattr(hardware, "cpu_cores", lambda: 1)
    mended(one("warn", "num_processes", "2 processes share 1 CPU cores", num_processes=2), num_processes=2)


@provokes("results_can_be_written", "save_path_is_free")
def test_places_for_results(world, tmp_path):
    Path("notes").write_text("x")
    one("stop", "save_path", "notes is a file", save_path="notes/model")
    mended(
        one("stop", "save_path", "the model you start from", save_path="data/model"), save_path="data/model"
    )
    shutil.copytree(world / "model", "old")
    mended(one("warn", "save_path", "holds a model already", save_path="old"), save_path="old")
    mended(one("stop", "save_path", "other things than a model", save_path="data"), save_path="data")
    assert [item.field for item in preflight(settings(), runs_dir="notes") if item.level == "stop"] == [""]


@pytest.mark.parametrize("field", ["save_path", "ckpt_path"])
def test_a_place_that_cannot_be_written(world, monkeypatch, field):
    Path("locked").mkdir()
    # Root may write anywhere, so the system's answer is put in its mouth.
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and real(path, mode))
    one("stop", field, "not writable", **{field: "locked/new"})


@provokes("results_fit_on_disk")
def test_a_disk_too_small(world, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 100_000))
    one("stop", "save_path", "has 100 kB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1_500_000))
    mended(one("warn", "save_path", "4 checkpoints", save_steps=1), save_steps=1)


@provokes("something_to_resume")
def test_checkpoints_of_other_runs(world):
    finding = one("warn", "load_checkpoint", "no checkpoint to go on from", load_checkpoint=True)
    mended(finding, load_checkpoint=True)
    Path("ckpt/step-12").mkdir(parents=True)
    one("stop", "ckpt_path", "up to step-12", ckpt_path="ckpt")
    found = preflight(settings(ckpt_path="ckpt", load_checkpoint=True))
    assert not [item for item in found if item.level != "inform"]


def test_a_check_that_breaks_does_not_silence_the_others(world, monkeypatch):
    def broken_check(look):
        raise ZeroDivisionError("oh")
        yield

    findings.checks()  # entered when preflight is first called
    monkeypatch.setattr(findings, "_checks", [*findings._checks, findings.Check("broken_check", "instant", broken_check)])  # fmt: skip
    assert "ZeroDivisionError: oh" in one("warn", "", "“broken check” could not be made", gpus=[0]).message
    one("stop", "gpus", "no NVIDIA GPU", gpus=[0])


def test_quick_and_without_torch(world, least_seconds):
    rows = [
        {"prompt": f"Add {i} and {i}.", "response": f"The sum is {2 * i}.", "task": "sum"}
        for i in range(5000)
    ]
    write(world / "train.jsonl", rows)
    assert least_seconds(lambda: preflight(settings())) < 0.6  # 0.1 on a quiet machine
    code = f"import sys, sftkit.runs as r; r.preflight({settings()!r}); print('torch' in sys.modules, 'transformers' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


def test_what_was_just_found_is_not_looked_for_again(world, tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "preflight", lambda *_: pytest.fail("preflight is made twice"))
    stop = Finding("stop", "dataset", "It is gone.")
    with pytest.raises(LaunchError) as caught:
        launcher.launch(SFTConfig(**settings()), tmp_path / "runs", findings=[stop])
    assert caught.value.findings == [stop]


def test_the_terminal_hands_its_findings_over(world, monkeypatch):
    handed = []
    monkeypatch.setattr(runs, "launch", lambda config, **rest: handed.append(rest) or 1 / 0)
    flags = [word for name, value in settings().items() for word in (f"--{name}", str(value))]
    CliRunner().invoke(cli.app, ["launch", *flags])
    assert handed and handed[0]["findings"] == preflight(SFTConfig(**settings()))
