"""The table of preflight's checks: each is provoked by a test, and everything that was promised is checked.

`python -m tests.runs.test_preflight_table` prints it.
"""

from __future__ import annotations

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import findings, hardware, preflight
from tests.runs import (
    test_check_settings,
    test_classroom,
    test_preflight,
    test_preflight_checkpoints,
    test_preflight_data,
    test_preflight_hub,
    test_preflight_machine,
    test_preflight_memory,
    test_preflight_turns,
)
from tests.runs.provoking import PROVOKED, provokes
from tests.runs.test_preflight import one, settings, world, write

__all__ = ["world"]  # the fixture
MODULES = (
    test_check_settings, test_classroom, test_preflight, test_preflight_checkpoints, test_preflight_data,
    test_preflight_hub, test_preflight_machine, test_preflight_memory, test_preflight_turns,
)  # fmt: skip

# What preflight must find, and the check that finds it ("settings": SFTConfig itself refuses it).
PROMISED = {
    "model folder incomplete": "model_is_complete",
    "hub id not reachable or gated": "the_hub_answers",
    "dataset missing, nearest names offered": "data_is_there",
    "split missing": "data_is_there",
    "dataset empty": "data_is_there",
    "sidecar files in a folder": "nothing_lies_beside_the_rows",
    "output folder not writable": "results_can_be_written",
    "output folder holds another model": "save_path_is_free",
    "resume from another run's checkpoint": "the_checkpoint_is_of_this_run",
    "resume with nothing to resume": "something_to_resume",
    "disk too small": "results_fit_on_disk",
    "port taken": "the_port_is_free",
    "GPU busy": "gpus_are_free",
    "GPU ids against CUDA_VISIBLE_DEVICES": "gpus_are_there",
    "flash-attn not supported here": "flash_attn_is_there",
    "flash-attn too new for the card": "cards_have_flash_attention",
    "bf16 not supported here": "cards_compute_in_bf16",
    "bf16 slow on this CPU": "the_cpu_computes_in_bf16",
    "secret on the command line": "no_secret_is_in_the_open",
    "batch not divisible": "settings",
    "options that exclude each other": "settings",
    "rows fewer than a batch": "rows_fewer_than_a_batch",
    "learning rate far out": "learning_rate_far_out",
    "estimated memory": "memory_suffices",
    "eval_steps without an eval set": "eval_steps_without_eval_set",
    "tokenizer larger than the embedding": "tokens_fit_the_model",
    "accumulation, steps, warm-up": "batch_and_steps",
    "tokens": "rows_and_tokens",
    "time": "time_of_the_run",
    "columns missing": "columns_are_there",
    "empty or null rows": "rows_are_not_empty",
    "roles out of order": "roles_are_in_order",
    "last turn not the assistant's": "the_assistant_speaks_last",
    "template absent": "tokens_are_trained",
    "template eats text": "the_template_keeps_the_text",
    "first answer token or end token not trained": "answers_are_trained_whole",
    "BOS 0 or 2": "bos_stands_once",
    "rows cut, filtered, nothing to train": "tokens_are_trained",
    "train/eval overlap": "eval_rows_in_training",
    "task type missing from eval": "tasks_missing_from_eval",
    "double-encoded text": "text_is_decoded",
    "stale data": "the_data_is_as_it_was",
}


def table() -> str:
    """Every check: its name, its tier, how many tests provoke it."""
    rows = [(findings.SETTINGS, "instant"), *((one.key, one.tier) for one in findings.checks())]
    lines = [f"{key:32} {tier:10} {len(PROVOKED.get(key, [])):3}" for key, tier in rows]
    return "\n".join([f"{'check':32} {'tier':10} tests", *lines, f"{len(rows)} checks"])


def test_every_check_is_provoked():
    known = {one.key for one in findings.checks()} | {findings.SETTINGS}
    assert not known - set(PROVOKED), table()
    assert not set(PROVOKED) - known, "tests provoke what is no check"
    assert len(known) == len(findings.checks()) + 1, "two checks have one name"


def test_everything_promised_is_a_check():
    assert set(PROMISED.values()) <= {one.key for one in findings.checks()} | {findings.SETTINGS}
    assert len(PROMISED) == 42


# settings that SFTConfig refuses: each has a fix that mends it


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"bf16": True, "fp16": True}, {"bf16": False}),
        ({"adam_offload": True, "zero_stage": 0}, {"zero_stage": 2}),
        ({"flash_attn": True, "attn_implementation": "eager"}, {"attn_implementation": "auto"}),
        ({"max_ckpt_num": 0}, {"max_ckpt_num": 1}),
        ({"adam_betas": (0.9, 1.5)}, {"adam_betas": [0.9, 0.95]}),
        ({"load_in_4bit": True}, {"lora_rank": 16}),
        ({"load_in_4bit": True, "lora_rank": 8, "zero_stage": 3}, {"zero_stage": 2}),
        ({"train_batch_size": 20}, {"train_batch_size": 16}),
        ({"train_batch_size": 1}, {"train_batch_size": 8}),
        ({"gpus": [0, 0]}, {"gpus": [0], "num_processes": None}),
        ({"gpus": [0], "num_processes": 2}, {"num_processes": None}),
        ({"hostfile": "hosts"}, {"hostfile": None}),
        ({"dataset_probs": (1, 1)}, {"dataset_probs": None}),
        ({"dataset_probs": (-1,)}, {"dataset_probs": None}),
        ({"dataset_caps": (-1,)}, {"dataset_caps": [0]}),
        ({"input_template": "no place"}, {"input_template": None}),
        ({"input_template": "{}", "apply_chat_template": True}, {"input_template": None}),
        ({"max_len": 2}, {"max_len": 8}),
        ({"zero_stage": 4}, {"zero_stage": 3}),
        ({"lr_scheduler": "cosin"}, {"lr_scheduler": "cosine"}),
        ({"larning_rate": 1e-3}, {"learning_rate": 1e-3}),
    ],
)
@provokes("settings")
def test_settings_that_exclude_each_other_are_mended_by_one_click(world, changes, fix):
    stops = [item for item in preflight(settings(**changes)) if item.level == "stop" and item.key == findings.SETTINGS]  # fmt: skip
    assert [item.fix for item in stops] == [fix]
    assert stops[0].fix_label.startswith("Set ")
    assert isinstance(stops[0].apply(settings(**changes)), SFTConfig)


def test_a_name_that_is_no_setting_is_left_out_by_its_fix(world):
    finding = one("stop", "colour", "there is no such setting", colour="blue")
    assert not finding.fix and isinstance(finding.apply(settings(colour="blue")), SFTConfig)


# tiers


def test_tiers_come_after_each_other_and_every_finding_has_a_key(world):
    seen = [{item.key for item in preflight(settings(), tier=tier)} for tier in (*findings.TIERS, None)]
    assert seen[0] < seen[1] < seen[2] == seen[3] and "" not in seen[3]
    tiers = {one.key: one.tier for one in findings.checks()}
    assert {tiers[key] for key in seen[0]} == {"instant"}
    with pytest.raises(ValueError):
        preflight(settings(), tier="later")


def test_the_instant_tier_is_instant_whatever_the_data(world, monkeypatch, least_seconds):
    """50 ms on a quiet machine; here seconds of CPU, on a busy one. Cards and large files are left alone."""
    monkeypatch.setattr(hardware, "gpus", lambda timeout=5.0: pytest.fail("nvidia-smi takes a second"))
    rows = [{"prompt": f"Add {n} and {n}.", "response": "The sum is what it is. " * 20} for n in range(60_000)]  # fmt: skip
    write(world / "large.jsonl", rows)
    for name in ("train", "large"):
        changes = {"dataset": f"data/{name}.jsonl"}
        found = preflight(settings(**changes), tier="instant")
        assert least_seconds(lambda: preflight(settings(**changes), tier="instant")) < 0.15  # noqa: B023
        assert "batch_and_steps" in {item.key for item in found}


def test_what_the_instant_tier_remembers_is_what_is_there(world):
    """A file that changes, appears or goes is seen at once; so is another column."""

    def rows(**changes) -> list[str]:
        return [item.message for item in preflight(settings(**changes), tier="instant") if item.field in ("dataset", "max_epochs", "input_key")]  # fmt: skip

    assert "4 steps an epoch" in rows()[0]
    write(world / "train.jsonl", [{"prompt": "a", "response": "b"}] * 32)
    assert "2 steps an epoch" in rows()[0]
    assert "no column 'question'" in rows(input_key="question")[0]
    (world / "train.jsonl").unlink()
    assert "There is no file" in rows()[0]
    write(world / "train.jsonl", [{"prompt": "a", "response": "b"}] * 16)
    assert "1 step an epoch" in rows()[0]


if __name__ == "__main__":
    print(table())
