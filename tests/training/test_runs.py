"""Whole runs of the worker: what it leaves behind, how it stops, goes on, and fails."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from sftkit.config import SFTConfig
from sftkit.data import read_examples, tokenized
from tests.conftest import TrainedRun, train


@pytest.fixture(scope="module")
def config(tiny_model, tiny_rows) -> SFTConfig:
    """Four steps of 16 rows, in two micro-batches."""
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), eval_dataset=str(tiny_rows), bf16=False, zero_stage=1,
        train_batch_size=16, micro_train_batch_size=8, learning_rate=3e-3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> TrainedRun:
    """A run to its end, with checkpoints and a place of its own for the model."""
    folder = tmp_path_factory.mktemp("whole")
    settings = config.with_(save_steps=1, max_ckpt_num=2, eval_steps=2, save_path=str(folder / "tuned"))
    return train(folder / "run", settings)


def test_a_run_finishes_with_its_curve(whole):
    assert whole.status | {"updated": 0} == {
        "state": "finished", "step": 4, "total_steps": 4, "reason": "", "updated": 0,
    }  # fmt: skip
    assert whole.column("step") == [1, 2, 3, 4]
    assert whole.column("epoch") == [0.25, 0.5, 0.75, 1.0]
    assert whole.column("loss")[-1] < whole.column("loss")[0]
    assert [line["step"] for line in whole.lines if "eval_loss" in line] == [2, 4]
    assert set(whole.lines[2]["eval_loss_by_task"]) == {"sum", "plain sum"}
    assert "64 rows" in whole.log
    counts = json.loads((whole.folder / "data.json").read_text(encoding="utf-8"))
    assert counts["train"] == counts["eval"]  # the same file
    assert counts["train"]["rows"] == counts["train"]["kept"] == 64
    assert counts["train"]["tokens"] == whole.column("tokens")[-1]


def test_the_eval_loss_is_transformers_own_of_the_exported_model(whole, config):
    """Mean over trained tokens, of all rows and of each task, row by row with transformers and no code of ours."""
    model = transformers.AutoModelForCausalLM.from_pretrained(whole.config.save_path)
    assert model.dtype == torch.float32
    sums: dict[str, list[float]] = {}
    for example in read_examples(config, "eval"):
        row = tokenized(config, example)
        ids = torch.from_numpy(row.input_ids).long()[None]
        labels = torch.where(torch.from_numpy(row.loss_mask)[None], ids, -100)
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss.item()
        count = int(row.loss_mask.sum())
        total = sums.setdefault(example.task, [0.0, 0])
        total[0] += loss * count
        total[1] += count
    last = whole.lines[-1]
    losses, counts = zip(*sums.values())
    assert last["eval_loss"] == pytest.approx(sum(losses) / sum(counts), abs=1e-5)
    for task, (loss, count) in sums.items():
        assert last["eval_loss_by_task"][task] == pytest.approx(loss / count, abs=1e-5)


def test_the_exported_tokenizer_asks_as_the_training_did(whole):
    tokenizer = transformers.AutoTokenizer.from_pretrained(whole.config.save_path)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Add 1 and 2."}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<s>User:\nAdd 1 and 2.\n\nAssistant:\n"
    row = {"prompt": "Add 1 and 2.", "response": "3"}
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": "3"}]
    theirs = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    assert theirs == tokenized(whole.config, row).input_ids.tolist()
    assert transformers.GenerationConfig.from_pretrained(whole.config.save_path).eos_token_id == 1


def test_only_the_newest_checkpoints_are_kept_and_nothing_half(whole):
    names = sorted(path.name for path in (whole.folder / "checkpoints").iterdir())
    assert names == ["step-3", "step-4"]
    assert not list(whole.folder.rglob(".*"))


def test_stop_leaves_a_checkpoint_and_the_run_goes_on_from_there(config, whole, tmp_path):
    settings = config.with_(eval_steps=2)
    (tmp_path / "stop").touch()
    stopped = train(tmp_path, settings)
    assert stopped.status["state"] == "stopped"
    assert stopped.status["step"] == 1
    assert "checkpoints/step-1" in stopped.status["reason"]
    assert not (tmp_path / "model").exists()

    (tmp_path / "stop").unlink()
    with (tmp_path / "metrics.jsonl").open(
        "a"
    ) as file:  # as a killed run leaves it: steps later than the checkpoint
        file.write('{"step": 2, "loss": 99.0}\n{"step": 3, "lo')
    resumed = train(tmp_path, settings, resume=True)
    assert resumed.status["state"] == "finished"
    assert resumed.column("loss") == whole.column("loss")
    assert resumed.column("tokens") == whole.column("tokens")
    ours, theirs = (
        load_file(f"{folder}/model.safetensors") for folder in (tmp_path / "model", whole.config.save_path)
    )
    for name, weight in theirs.items():
        np.testing.assert_array_equal(ours[name], weight)


def test_a_checkpoint_of_other_data_is_refused(whole, tmp_path):
    shutil.copytree(whole.folder / "checkpoints" / "step-3", tmp_path / "checkpoints" / "step-3")
    run = train(tmp_path, whole.config.with_(save_path=None, max_len=30), resume=True, fails=True)
    assert run.exit_codes != [0]
    assert run.error()["type"] == "RunError"
    assert "the data were not the same" in run.error()["message"]


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step(config, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "broken")
    weights = load_file(tiny_model / "model.safetensors")
    weights["lm_head.weight"][:] = np.float32(3e38)
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    run = train(tmp_path / "run", config.with_(pretrain=str(tmp_path / "broken")), fails=True)
    assert run.exit_codes != [0]
    assert "at step 1" in run.error()["message"]
    assert "Last good checkpoint: none. The step's rows: row " in run.error()["message"]
    assert "Traceback" in run.error()["traceback"]
    assert not (run.folder / "model").exists()


def test_what_cannot_be_done_is_refused_before_anything_is_loaded(config, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x", encoding="utf-8")
    run = train(tmp_path / "run", config.with_(save_path=str(tmp_path / "full")), fails=True)
    assert "holds no model" in run.error()["message"]
    assert (tmp_path / "full" / "thesis.txt").exists()


def test_bfloat16_trains_and_exports_bfloat16(config, whole, tmp_path):
    run = train(tmp_path, config.with_(bf16=True, zero_stage=2, eval_dataset=None))
    assert run.column("loss") == pytest.approx(whole.column("loss"), abs=0.02)
    config_json = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config_json["dtype"] == "bfloat16"
    assert not run.eval_losses
