"""Which attention is chosen, and that each computes transformers' own."""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from torch.nn import functional

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError
from sftkit.training import attention
from sftkit.training.attention import BY_DOCUMENT, VARLEN

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LENGTHS = (5, 1, 9)


def config(**settings) -> SFTConfig:
    return SFTConfig(pretrain="m", dataset="d", **settings)


@pytest.fixture
def installed(monkeypatch):
    """Which flash-attn packages there are, and whether torch has varlen attention."""

    def set_to(*names: str, varlen: bool = True) -> None:
        monkeypatch.setattr(attention, "_installed", lambda name: name in names)
        monkeypatch.setattr(attention, "_has_varlen", lambda: varlen)

    return set_to


@pytest.mark.parametrize(
    ("settings", "device", "packages", "name"),
    [
        ({}, CPU, (), BY_DOCUMENT),
        ({"flash_attn": True}, CPU, ("flash_attention_2",), BY_DOCUMENT),
        ({}, CUDA, ("flash_attention_2",), VARLEN),
        ({"flash_attn": True}, CUDA, (), VARLEN),
        ({"flash_attn": True}, CUDA, ("flash_attention_2",), "flash_attention_2"),
        ({"flash_attn": True}, CUDA, ("flash_attention_2", "flash_attention_3"), "flash_attention_3"),
        ({"flash_attn": True, "bf16": False}, CUDA, ("flash_attention_2",), BY_DOCUMENT),
        ({"attn_implementation": "flash_attention_2"}, CUDA, ("flash_attention_2",), "flash_attention_2"),
        ({"attn_implementation": "sdpa"}, CUDA, ("flash_attention_2",), BY_DOCUMENT),
        ({"attn_implementation": "eager"}, CUDA, (), "eager"),
    ],
)
def test_the_fastest_that_is_right_is_chosen(installed, settings, device, packages, name):
    installed(*packages)
    assert attention.choose(config(**settings), device).name == name


def test_a_torch_without_varlen_goes_row_by_row_and_says_why(installed):
    installed(varlen=False)
    chosen = attention.choose(config(flash_attn=True), CUDA)
    assert chosen.name == BY_DOCUMENT
    assert "flash-attn is not installed" in chosen.words


@pytest.mark.parametrize(
    ("settings", "device", "needs"),
    [({}, CPU, "a GPU"), ({"bf16": False}, CUDA, "bf16"), ({}, CUDA, "the package flash-attn")],
)
def test_flash_attention_by_name_is_refused_where_it_cannot_be_had(installed, settings, device, needs):
    installed()
    with pytest.raises(ConfigError, match=needs):
        attention.choose(config(attn_implementation="flash_attention_2", **settings), device)


def inputs(heads: int = 4, kv_heads: int = 2) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(1, count, sum(LENGTHS), 8) for count in (heads, kv_heads, kv_heads))


def reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int | None) -> torch.Tensor:
    """One softmax over everything, with a mask of who may see whom."""
    row = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    place = torch.arange(len(row))
    behind = place[:, None] - place[None]
    seen = (row[:, None] == row[None]) & (behind >= 0) & (behind < (window or len(row)))
    return functional.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True).transpose(1, 2)


class Module(torch.nn.Module):
    num_key_value_groups = 2


@pytest.mark.parametrize("window", [None, 3])
def test_by_document(window):
    q, k, v = inputs()
    ours, _ = attention.attend_by_document(Module(), q, k, v, None, document_lengths=LENGTHS, sliding_window=window, scaling=8**-0.5)  # fmt: skip
    torch.testing.assert_close(ours, reference(q, k, v, window))


@pytest.mark.parametrize("window", [None, 3])
def test_varlen_is_asked_rightly(monkeypatch, window):
    """torch's varlen attention has no CPU kernel: a stand-in computes, by its documented meaning, what it is asked for."""

    def varlen_attn(q, k, v, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa):
        assert cu_q.dtype == torch.int32 and max_q == max(LENGTHS) and enable_gqa and window_size[1] == 0
        parts = []
        for start, stop in pairwise(cu_q.tolist()):
            place = torch.arange(stop - start)
            behind = place[:, None] - place[None]
            seen = (behind >= 0) & ((behind <= window_size[0]) | (window_size[0] < 0))
            one = (part[start:stop].transpose(0, 1)[None] for part in (q, k, v))
            parts.append(functional.scaled_dot_product_attention(*one, seen, scale=scale, enable_gqa=True)[0])
        return torch.cat(parts, 1).transpose(0, 1)

    stand_in = ModuleType("torch.nn.attention.varlen")
    stand_in.varlen_attn = varlen_attn
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", stand_in)
    q, k, v = inputs()
    told = attention.borders(VARLEN, LENGTHS, CPU)
    ours, _ = attention.attend_varlen(Module(), q, k, v, None, scaling=8**-0.5, sliding_window=window, **told)
    torch.testing.assert_close(ours, reference(q, k, v, window))
