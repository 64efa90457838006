"""Attention within each row of a flat batch: which code computes it on this machine.

flash-attn 3, 2     GPUs, where the package is installed and flash_attn is set
torch's varlen      GPUs in bfloat16 or float16: torch's own flash attention over rows of any length, one call
by document         CPUs and fp32: torch's sdpa, one call a row; no padding, no mask (measured fastest on CPUs)
eager               transformers' plain code with a mask of all rows: slow, for comparison
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import AttentionInterface

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault

BY_DOCUMENT, VARLEN = "sftkit_by_document", "sftkit_varlen"
FLASH = ("flash_attention_2", "flash_attention_3")


@dataclass(frozen=True)
class Attention:
    """`name`: as transformers is told; `words`: as the log says it."""

    name: str
    words: str


def attend_by_document(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, *,
    document_lengths: tuple[int, ...], sliding_window: int | None = None, **rest: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Causal attention within each row of a flat batch: [1, heads, tokens, size] to [1, tokens, heads, size].

    One call a row costs less than padding, or than one call with a large block-diagonal mask (measured). A row longer
    than the model's sliding window gets that window as a mask.
    """
    rest.pop("is_causal", None)
    dtype = query.dtype
    if query.device.type == "cpu":  # its bfloat16 backward takes three times as long as fp32's (measured)
        query, key, value = query.float(), key.float(), value.float()
    outputs = []
    for q, k, v in zip(*(tensor.split(document_lengths, dim=2) for tensor in (query, key, value))):
        mask = _window(q.shape[2], sliding_window, q.device)
        output, _ = sdpa_attention_forward(module, q, k, v, mask, is_causal=mask is None, **rest)
        outputs.append(output)
    return torch.cat(outputs, dim=1).to(dtype), None


def _window(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=device)
    behind = place[:, None] - place[None, :]
    return ((behind >= 0) & (behind < window))[None, None]


def attend_varlen(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, *,
    cu_seq_lens_q: torch.Tensor, max_length_q: int, scaling: float | None = None, sliding_window: int | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """The same by torch's varlen attention (CUDA, half precision), for all rows in one call.

    `cu_seq_lens_q` [rows + 1] int32: where rows begin; shapes as in `attend_by_document`.
    """
    from torch.nn.attention.varlen import varlen_attn  # not in every torch that we take

    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # [tokens, heads, size]
    output = varlen_attn(
        q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling,
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0), enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return output[None], None


AttentionInterface.register(BY_DOCUMENT, attend_by_document)
AttentionInterface.register(VARLEN, attend_varlen)


def choose(config: SFTConfig, device: torch.device) -> Attention:
    """The attention of a run. Raises `ConfigError` when the one asked for by name cannot be had here."""
    by_document = Attention(BY_DOCUMENT, "torch's sdpa row by row")
    wished, cuda = config.attn_implementation, device.type == "cuda"
    half = config.bf16 or config.fp16
    if wished == "eager":
        return Attention("eager", "transformers' plain code")
    if wished == "sdpa":
        return by_document
    if wished in FLASH:
        if not (cuda and half and _installed(wished)):
            needs = "a GPU" if not cuda else "bf16 or fp16" if not half else "the package flash-attn"
            raise ConfigError([Fault("attn_implementation", f"{wished} needs {needs}.", "Set 'auto'.")])
        return Attention(wished, wished.replace("flash_attention_", "flash-attn "))
    if cuda and half and config.flash_attn:
        for name in reversed(FLASH):
            if _installed(name):
                return Attention(name, name.replace("flash_attention_", "flash-attn "))
    if cuda and half and _has_varlen():
        return Attention(VARLEN, "torch's varlen flash attention")
    why = (
        "it needs a GPU"
        if not cuda
        else "it needs bf16 or fp16"
        if not half
        else "flash-attn is not installed"
    )
    note = f" (flash_attn is set, but {why})" if config.flash_attn else ""
    return Attention(BY_DOCUMENT, by_document.words + note)


@contextmanager
def of_transformers(settings: transformers.PreTrainedConfig) -> Iterator[None]:
    """Meanwhile a model of these `settings` computes as transformers does, with padding and a cache."""
    before = settings._attn_implementation
    settings._attn_implementation = before if before == "eager" else "sdpa"
    try:
        yield
    finally:
        settings._attn_implementation = before


def _installed(name: str) -> bool:
    utils = transformers.utils
    found = utils.is_flash_attn_2_available if name == FLASH[0] else utils.is_flash_attn_3_available
    return bool(found())


def _has_varlen() -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"window_size", "enable_gqa"} <= set(inspect.signature(varlen_attn).parameters)


def borders(name: str, lengths: tuple[int, ...], device: torch.device) -> dict[str, Any]:
    """Where rows begin and end, as the attention `name` wants to be told. `lengths`: tokens of each row."""
    if name == BY_DOCUMENT:
        return {"document_lengths": lengths}
    if name == "eager":  # finds the rows where positions begin anew
        return {}
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    ends = ends.to(device, non_blocking=True)
    longest = max(lengths)
    return {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}
