"""Our loss per row against transformers' own on the same ids."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from sftkit.config import SFTConfig
from sftkit.data import read_examples
from sftkit.data.encoding import encoder
from sftkit.errors import ConfigError
from sftkit.training.attention import BY_DOCUMENT
from sftkit.training.batches import Rows
from sftkit.training.model import TokenLosses, load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tiny_model, tiny_rows) -> SFTConfig:
    return SFTConfig(pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False)


@pytest.fixture(scope="module")
def rows(config) -> Rows:
    return Rows(encoder(config).encode(read_examples(config)))


def own_loss(model, rows: Rows, number: int) -> torch.Tensor:
    """transformers' mean loss of one row, alone, with labels where a token is trained."""
    ids = torch.from_numpy(rows.ids[number]).long()[None]
    labels = torch.where(torch.from_numpy(rows.masks[number])[None], ids, -100)
    return model(input_ids=ids, labels=labels).loss


def test_the_loss_of_each_row_is_transformers_own(config, rows):
    ours = load_model(config, CPU, 383)
    plain = transformers.AutoModelForCausalLM.from_pretrained(config.pretrain, attn_implementation="eager")
    numbers = list(range(16))
    losses = ours(rows.micro(numbers, CPU)).split(rows.trained[:16].tolist())
    for number, loss in zip(numbers, losses):
        assert loss.mean().item() == pytest.approx(own_loss(plain, rows, number).item(), abs=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_of_many_rows_is_that_of_each_alone(config, rows, checkpointing):
    ours = load_model(config.with_(gradient_checkpointing=checkpointing), CPU, 383)
    ours(rows.micro([3, 4, 5], CPU)).sum().backward()
    plain = transformers.AutoModelForCausalLM.from_pretrained(config.pretrain, attn_implementation="eager")
    for number in (3, 4, 5):
        (own_loss(plain, rows, number) * int(rows.trained[number])).backward()
    for (name, weight), theirs in zip(ours.model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, theirs.grad, atol=1e-4, rtol=1e-4, msg=name)


def test_rows_longer_than_a_sliding_window(rows):
    """Mistral's attention sees only the last tokens; transformers' own mask is the reference."""
    shape = transformers.MistralConfig(
        vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    torch.manual_seed(0)
    plain = transformers.MistralForCausalLM._from_config(copy.deepcopy(shape), attn_implementation="eager")
    ours = transformers.MistralForCausalLM._from_config(shape, attn_implementation=BY_DOCUMENT)
    ours.load_state_dict(plain.state_dict())
    assert rows.lengths[:6].min() > 8
    losses = TokenLosses(ours)(rows.micro(list(range(6)), CPU)).split(rows.trained[:6].tolist())
    for number, loss in enumerate(losses):
        assert loss.mean().item() == pytest.approx(own_loss(plain, rows, number).item(), abs=1e-5)


def test_flash_attn_without_a_gpu_is_said_plainly(config, capsys):
    load_model(config.with_(flash_attn=True), CPU, 383)
    assert "needs a GPU" in capsys.readouterr().out


def test_a_tokenizer_larger_than_the_model_is_refused(config):
    with pytest.raises(ConfigError, match="the tokenizer has token 384, the model only 384 tokens"):
        load_model(config, CPU, 384)
