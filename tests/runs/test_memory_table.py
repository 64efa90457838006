"""The memory of runs on cards that are not here."""

from __future__ import annotations

import json

import pytest

import sftkit as sk
from sftkit.runs import look, memory
from sftkit.runs.memory_table import memory_table, on, tensors_of
from tests.runs.test_preflight_memory import LLAMA

# config.json of Llama-3-8B, as published.
SIZES = {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256}  # fmt: skip


@pytest.fixture
def config():
    return sk.SFTConfig(pretrain="8b", dataset="d.jsonl", train_batch_size=256, micro_train_batch_size=2, gradient_checkpointing=True)  # fmt: skip


def test_it_is_preflights_arithmetic(config):
    table = memory_table(config, SIZES)
    assert table.shape.parameters == LLAMA.parameters
    lines = table.frame[table.frame["way"] == "zero_stage=2"].set_index("gpus")
    for gpus, states in {1: 150, 2: 82, 4: 49, 8: 32}.items():  # measured: see test_preflight_memory
        line = lines.loc[gpus]
        found = line["weights"] + line["gradients"] + line["optimizer"]
        assert found == pytest.approx(states, abs=0.7) and line["total"] > found
    assert table.gib.shape == (7, 4) and table.gib.notna().all(axis=None)
    assert (table.gib.diff(axis=1).iloc[1:, 1:] < 0).all(
        axis=None
    )  # more cards, less on each: but for stage 0
    offloaded = table.frame[table.frame["way"].str.contains("adam_offload")]
    assert offloaded["host"].round().unique().tolist() == [90]  # of the machine, however many share it


def test_a_models_own_files_give_the_same_sizes(tiny_model, config):
    own = config.with_(pretrain=str(tiny_model))
    told = json.loads((tiny_model / "config.json").read_text())
    assert memory_table(own).shape == look.Look(own, tiny_model).shape
    assert {n: tuple(t.shape) for n, t in look.Look(own, tiny_model).tensors.items()} == tensors_of(told)
    assert memory_table(config, tiny_model).frame.equals(memory_table(config, told).frame)
    with pytest.raises(sk.ConfigError, match=r"config\.json"):
        memory_table(config)
    with pytest.raises(sk.ConfigError, match=r"config\.json"):
        memory_table(config, {"hidden_size": 4096})


def test_the_nearest_change_that_fits(config):
    table = memory_table(config, SIZES)
    assert table.nearest(8, 80) == {}
    assert table.nearest(2, 80) == {"adam_offload": True}
    assert table.nearest(2, 80, host=64)["lora_rank"] == 16  # no room for the optimizer in the machine
    with pytest.raises(sk.ConfigError, match="smaller model"):
        table.nearest(1, 4)
    for gpus, gib in ((1, 24), (4, 24), (2, 80)):
        changed = on(config, gpus).with_(**table.nearest(gpus, gib))
        need = memory.estimate(changed, table.shape, memory.Micro.of(changed), gpu=True)
        assert need.total <= gib * 2**30


def test_ways_that_a_number_of_cards_does_not_allow_are_left_out(config):
    assert on(config.with_(train_batch_size=4), 8).train_batch_size == 16
    ways = ({"zero_stage": 3}, {"zero_stage": 3, "lora_rank": 8, "load_in_4bit": True})
    table = memory_table(config, SIZES, ways=ways)
    assert table.frame["way"].unique().tolist() == ["zero_stage=3"]


def test_the_picture_says_what_fits(config):
    drawn = memory_table(config, SIZES).figure(24, 80)
    left, right = drawn.axes
    green = [sum(patch.get_facecolor()[0] < 0.2 for patch in axes.patches) for axes in (left, right)]
    table = memory_table(config, SIZES).gib
    assert green == [int((table <= card).sum().sum()) for card in (24, 80)] and green[0] < green[1]
    assert "143" in {text.get_text() for text in left.texts}
