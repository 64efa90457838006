"""LoRA: what is exported is the trained model, merged or as an adapter; what cannot be done is said."""

from __future__ import annotations

import json

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError
from sftkit.training import lora
from sftkit.training.model import load_model
from tests.conftest import TrainedRun, train

CPU = torch.device("cpu")
IDS = torch.arange(5, 60)[None]


@pytest.fixture(scope="module")
def config(tiny_model, tiny_rows) -> SFTConfig:
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False, zero_stage=2, train_batch_size=16,
        micro_train_batch_size=8, learning_rate=2e-2, lora_rank=4, lora_alpha=8, lora_dropout=0.1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def merged(config, tmp_path_factory) -> TrainedRun:
    return train(tmp_path_factory.mktemp("merged"), config.with_(full_determinism=True))


def logits(folder) -> torch.Tensor:
    with torch.no_grad():
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits


def test_the_merged_model_is_the_base_with_its_adapter(merged, tiny_model):
    folder = merged.folder / "model"
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        adapted = peft.PeftModel.from_pretrained(base, folder / "adapter").eval()(IDS).logits
    torch.testing.assert_close(logits(folder), adapted, atol=1e-4, rtol=1e-4)
    assert (logits(folder) - logits(tiny_model)).abs().max() > 0.1
    ours, before = load_file(folder / "model.safetensors"), load_file(tiny_model / "model.safetensors")
    assert ours.keys() == before.keys()
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"):
        np.testing.assert_array_equal(ours[name], before[name])


def test_an_adapter_alone_loads_as_the_same_model(merged, config, tmp_path):
    run = train(tmp_path, config.with_(merge_lora=False))
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert "model.safetensors" not in names
    assert run.column("loss") == merged.column("loss")
    torch.testing.assert_close(
        logits(tmp_path / "model"), logits(merged.folder / "model"), atol=1e-4, rtol=1e-4
    )


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(merged, config, tmp_path):
    """Dropout, shuffling, initial matrices: all from the seed."""
    again = train(tmp_path / "again", config.with_(full_determinism=True))
    ours, theirs = (load_file(run.folder / "model" / "model.safetensors") for run in (merged, again))
    for name, weight in ours.items():
        np.testing.assert_array_equal(weight, theirs[name])
    other = train(tmp_path / "other", config.with_(seed=7))
    assert other.column("loss") != merged.column("loss")


def test_only_the_chosen_layers_get_matrices(config):
    model = load_model(config.with_(target_modules=("q_proj", "v_proj")), CPU, 383)
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name, _ in model.named_parameters() if ".lora_" in name}  # fmt: skip
    assert adapted == {"q_proj", "v_proj"}
    assert all(".lora_" in name for name, weight in model.named_parameters() if weight.requires_grad)


def test_unknown_layers_are_refused_with_those_there_are(config):
    with pytest.raises(ConfigError, match="Its linear layers are down_proj, gate_proj"):
        load_model(config.with_(target_modules=("query",)), CPU, 383)


def test_4_bits_need_a_gpu(config):
    with pytest.raises(ConfigError, match="QLoRA needs a GPU"):
        lora.quantized(config.with_(load_in_4bit=True), CPU)


def test_frozen_weights_are_not_in_the_checkpoint(config, tmp_path):
    run = train(tmp_path, config.with_(save_steps=4))
    state = torch.load(next(tmp_path.rglob("mp_rank_00_model_states.pt")), weights_only=False)
    assert state["module"] and all(".lora_" in name for name in state["module"])
    assert json.loads((run.folder / "checkpoints/step-4/checkpoint.json").read_text())["ranks"] == 1
