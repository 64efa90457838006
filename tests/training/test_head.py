"""Head and loss in slices: the losses and gradients of the plain code, to rounding, with a small part of its memory."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch.nn import functional

from sftkit.training import head

VOCABULARY = 57


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(23, 16).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, 16).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, VOCABULARY, (23,))


@pytest.mark.parametrize("tokens_a_slice", [1, 5, 23, 100])
@pytest.mark.parametrize("scale", [1.0, 0.25, 0.0])
def test_losses_and_gradients_are_those_of_the_plain_code(monkeypatch, tokens_a_slice, scale):
    monkeypatch.setattr(head, "SLICE_ON_CPU", tokens_a_slice * VOCABULARY)
    ours, plain = inputs(), inputs()
    losses = head.losses(*ours)
    reference = functional.cross_entropy(plain[0] @ plain[1].t(), plain[2], reduction="none")
    torch.testing.assert_close(losses, reference)
    (losses.sum() * scale).backward()
    (reference.sum() * scale).backward()
    for mine, theirs in zip(ours[:2], plain[:2]):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_a_frozen_head_gets_no_gradient_and_the_text_does():
    hidden, weight, targets = inputs()
    head.losses(hidden, weight.detach(), targets).sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_bfloat16_and_autocast():
    exact = head.losses(*inputs()).detach()
    half = inputs(torch.bfloat16)
    losses = head.losses(*half)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, exact, atol=0.1, rtol=0.05)
    losses.sum().backward()
    assert half[1].grad.dtype == torch.bfloat16
    whole = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        losses = head.losses(*whole)
    losses.sum().backward()
    torch.testing.assert_close(losses, exact, atol=0.1, rtol=0.05)
    assert whole[1].grad.dtype == torch.float32


def test_without_gradients_none_are_computed():
    with torch.no_grad():
        assert not head.losses(*inputs()).requires_grad


def model(kind: str) -> torch.nn.Module:
    shape = {
        "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
    }  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, f"{kind}Config")(**shape))


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        ("Llama", True),
        ("Qwen2", True),
        ("Mistral", True),
        ("Gemma2", False),
        ("Cohere", False),
        ("Granite", False),
    ],
)
def test_models_that_cap_or_scale_their_logits_keep_them_whole(kind, plain):
    assert (head.fuse(model(kind)) is not None) == plain
