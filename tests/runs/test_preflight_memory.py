"""The memory that preflight expects: against what was measured elsewhere, against a real run, against the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import check_memory, findings, hardware, look, memory, preflight
from tests.conftest import train, write_model, write_tokenizer
from tests.runs.provoking import provokes
from tests.runs.test_preflight import mended, one, settings, world, write

__all__ = ["world"]  # the fixture
GIB = 2**30
# Llama-3-8B by its published sizes.
LLAMA = memory.Shape(8_030_261_248, 128_256 * 4096, 4096, 14_336, 32, 128_256, 4096, 1024, ())


def config(**changes) -> SFTConfig:
    return SFTConfig(**{"pretrain": "m", "dataset": "d.jsonl", "train_batch_size": 256, "micro_train_batch_size": 2} | changes)  # fmt: skip


@pytest.mark.parametrize(("ranks", "gib"), [(1, 150), (2, 82), (4, 49), (8, 32)])
def test_states_of_an_8b_model_are_those_that_were_measured(ranks, gib):
    """ZeRO-2, bf16 with fp32 gradient accumulation, GiB a GPU."""
    states = sum(memory.states(config(num_processes=ranks), LLAMA)) / GIB
    assert states == pytest.approx(gib, abs=0.7)


def test_each_setting_that_saves_memory_saves_some():
    def total(**changes) -> float:
        changed = config(**{"num_processes": 8, "zero_stage": 2} | changes)
        need = memory.estimate(changed, LLAMA, memory.Micro.of(changed), gpu=True)
        assert all(size >= 0 for size in need.parts.values())
        return need.total / GIB

    usual = total()
    assert total(zero_stage=3) < usual < total(zero_stage=1) < total(zero_stage=0)
    assert total(gradient_checkpointing=True) < usual - 15  # of 24 GiB of activations
    assert total(micro_train_batch_size=1) < usual < total(micro_train_batch_size=4)
    assert total(adam_offload=True) < usual - 10
    assert total(lora_rank=16) < usual and total(bf16=False) > usual
    one_card = {"num_processes": 1, "lora_rank": 16, "gradient_checkpointing": True}
    shape = memory.Shape(**{**LLAMA.__dict__, "matrices": (("model.layers.0.mlp.weight", 1_703_936, 4096),)})  # fmt: skip
    whole, quarter = (memory.states(config(**one_card, load_in_4bit=four), shape)[0] / GIB for four in (False, True))  # fmt: skip
    assert whole == pytest.approx(15, abs=0.2) and quarter == pytest.approx(5.4, abs=0.1)
    assert memory.estimate(config(adam_offload=True), LLAMA, memory.Micro(1, 1), gpu=True).host > 80 * GIB


def test_tokens_of_the_largest_micro_batch():
    lengths = [100] * 99 + [400]
    assert memory.Micro.of(config(micro_train_batch_size=4), lengths).tokens == 400 + 3 * 103
    assert memory.Micro.of(config(micro_train_batch_size=4, max_len=128), [128]).tokens == 512
    assert (
        memory.Micro.of(config(micro_train_batch_size=4, max_len=128)).tokens == 512
    )  # nothing known of the rows
    packed = config(micro_train_batch_size=2, max_len=2048, packing=True, train_batch_size=8)
    assert (
        memory.Micro.of(packed, lengths).tokens == 8 * 103
    )  # all rows of a step are less than two sequences


def test_sizes_are_read_from_a_models_files(tiny_model):
    shape = look.Look(config(pretrain=str(tiny_model)), Path("runs")).shape
    assert (shape.parameters, shape.embedding, shape.layers, shape.inner, shape.keys) == (43_168, 384 * 32, 2, 64, 16)  # fmt: skip
    assert len(shape.matrices) == 14 and shape.lora(config(lora_rank=1)) == 2 * (64 + 48 + 48 + 64 + 3 * 96)
    assert shape.lora(config(lora_rank=2, target_modules=("q_proj",))) == 2 * 2 * 64
    assert memory.Shape.of({}, {}) is None and memory.Shape.of({"model_type": "mamba"}, {"a": [2, 2]}) is None


def test_a_real_run_needs_what_was_expected(tmp_path):
    """92 million weights on the CPU; DeepSpeed, torch and all. 13 settings were within 12 % when this was written."""
    write_tokenizer(tmp_path / "model")
    write_model(tmp_path / "model", hidden=1024, layers=8, vocabulary=8192)
    write(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "The quick brown fox. " * 100}] * 8)
    run = config(pretrain=str(tmp_path / "model"), dataset=str(tmp_path / "rows.jsonl"), train_batch_size=4, max_len=256)  # fmt: skip
    seen = look.Look(run, tmp_path)
    expected = check_memory.need_of(seen, run).total / 1e6
    measured = max(train(tmp_path / "run", run).column("memory_mb"))
    assert expected == pytest.approx(measured, rel=0.2)


def card(gib: float):
    return lambda timeout=5.0: [hardware.GPU(0, "H100", round(gib * 1024), 0, 0)]


@pytest.fixture
def large(world, monkeypatch):
    """The tiny model, taken for Llama-3-8B."""
    monkeypatch.setattr(look.Look, "shape", LLAMA)
    monkeypatch.setattr(look.Look, "free_bytes", lambda self, path: 10**15)
    monkeypatch.setattr(check_memory, "machine_memory", lambda: 2000 * GIB)

    def on(gib: float) -> None:
        monkeypatch.setattr(hardware, "gpus", card(gib))
        look._gpus.cache_clear()

    return on


@provokes("memory_suffices")
def test_states_that_do_not_fit_stop_the_run(large):
    large(80)
    finding = one("stop", "zero_stage", "It will not fit. About 156 GiB of a card of 80 GiB")
    assert "optimizer 89.7 GiB" in finding.message
    assert finding.fix == {"adam_offload": True}
    mended(finding)


@provokes("memory_suffices")
def test_activations_that_may_not_fit_only_warn(large, world):
    write(world / "train.jsonl", [{"prompt": "a", "response": "word " * 400}] * 64)
    large(170)
    changes = {"max_len": 2048, "micro_train_batch_size": 8, "eval_dataset": None}
    finding = one("warn", "micro_train_batch_size", "It may not fit", **changes)
    assert finding.fix == {"gradient_checkpointing": True}  # what costs the least
    mended(finding, **changes)


@provokes("memory_suffices")
def test_what_others_use_now_is_told(large, monkeypatch):
    large(200)
    one("inform", "micro_train_batch_size", "About 156 GiB of a card of 200 GiB")
    monkeypatch.setattr(hardware, "gpus", lambda timeout=5.0: [hardware.GPU(0, "H100", 200 * 1024, 50 * 1024, 0)])  # fmt: skip
    look._gpus.cache_clear()
    one("warn", "micro_train_batch_size", "Only 150 GiB are free now")


def test_a_model_that_fits_nowhere_gets_no_fix(large):
    large(4)
    finding = one("stop", "zero_stage", "No setting makes it fit")
    assert not finding.fix


def test_the_machines_memory_counts_where_there_is_no_card(large, monkeypatch):
    monkeypatch.setattr(check_memory, "machine_memory", lambda: 120 * GIB)
    finding = one("stop", "zero_stage", "that this machine has for a process")
    assert finding.fix["lora_rank"] == 16
    mended(finding)
    elsewhere = settings(launcher="slurm", num_processes=2)
    assert not [item for item in preflight(elsewhere) if item.key == "memory_suffices"]


@provokes("offload_fits_the_machine")
def test_offloading_needs_the_machines_memory(large, monkeypatch):
    large(80)
    monkeypatch.setattr(check_memory, "machine_memory", lambda: 32 * GIB)
    finding = one("stop", "adam_offload", "The optimizer state takes 89.7 GiB", adam_offload=True)
    assert finding.fix == {"adam_offload": False}


def test_every_lighter_setting_is_a_config():
    for settings_now in (config(), config(num_processes=4, zero_stage=0, micro_train_batch_size=64), config(lora_rank=8, zero_stage=3)):  # fmt: skip
        seen = [settings_now.with_(**change) for change in memory.lighter(settings_now, gpu=True, quantizes=True)]  # fmt: skip
        assert len(seen) >= 3
    assert findings.checks()  # what is read above is what preflight reads
    assert json.dumps(memory.nearest_that_fits(config(), lambda _: False, gpu=True)) == "{}"
