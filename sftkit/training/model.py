"""The model, wrapped so that it answers a micro-batch with the loss of each trained token."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import AttentionInterface

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault
from sftkit.training.batches import Micro

BY_DOCUMENT = "sftkit_by_document"


def attend_by_document(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, *,
    document_lengths: tuple[int, ...], sliding_window: int | None = None, **rest: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Causal attention within each row of a flat batch: [1, heads, tokens, size] to [1, tokens, heads, size].

    One call a row costs less than padding, or than one call with a large block-diagonal mask (measured). A row longer
    than the model's sliding window gets that window as a mask.
    """
    rest.pop("is_causal", None)
    outputs = []
    for q, k, v in zip(*(tensor.split(document_lengths, dim=2) for tensor in (query, key, value))):
        mask = _window(q.shape[2], sliding_window, q.device)
        output, _ = sdpa_attention_forward(module, q, k, v, mask, is_causal=mask is None, **rest)
        outputs.append(output)
    return torch.cat(outputs, dim=1), None


def _window(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=device)
    behind = place[:, None] - place[None, :]
    return ((behind >= 0) & (behind < window))[None, None]


AttentionInterface.register(BY_DOCUMENT, attend_by_document)
transformers.utils.logging.disable_progress_bar()  # it fills the log with carriage returns


class TokenLosses(nn.Module):
    """A causal language model that returns the cross-entropy of each trained token [trained], in fp32.

    Hidden states become logits only where a token is trained. `autocast`: compute in bfloat16 over fp32 weights.
    """

    def __init__(self, model: nn.Module, autocast: bool = False):
        super().__init__()
        self.model = model
        self.autocast = autocast

    def forward(self, micro: Micro) -> torch.Tensor:
        device = micro.input_ids.device.type
        with torch.autocast(device, torch.bfloat16) if self.autocast else contextlib.nullcontext():
            logits = self.model(
                input_ids=micro.input_ids,
                position_ids=micro.positions,
                logits_to_keep=micro.places,
                use_cache=False,
                **self._borders(micro),
            ).logits[0]
        return nn.functional.cross_entropy(logits.float(), micro.targets, reduction="none")

    def _borders(self, micro: Micro) -> dict[str, Any]:
        """Where rows begin and end, as the attention in use wants to be told."""
        if self.model.config._attn_implementation == BY_DOCUMENT:
            return {"document_lengths": micro.lengths}
        ends = torch.tensor([0, *micro.lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        ends = ends.to(micro.input_ids.device, non_blocking=True)
        longest = max(micro.lengths)
        return {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }


def load_model(
    config: SFTConfig, device: torch.device, largest_id: int, say: Callable[[str], None] = print
) -> TokenLosses:
    """The model to train, on the CPU (DeepSpeed moves it). `largest_id`: the largest token id that the data has.

    Raises `ConfigError` when the architecture cannot be trained this way.
    """
    attention, words = _attention(config, device)
    # At stage 0 weights stay in fp32 under autocast: there DeepSpeed's own bf16 starts Adam one step late.
    half = config.bf16 and config.zero_stage > 0
    model = transformers.AutoModelForCausalLM.from_pretrained(
        config.pretrain, dtype=torch.bfloat16 if half else torch.float32, attn_implementation=attention
    )
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise ConfigError([Fault("pretrain", f"{type(model).__name__} cannot be trained yet: its forward has no logits_to_keep.")])  # fmt: skip
    if largest_id >= (size := model.get_input_embeddings().num_embeddings):
        raise ConfigError(
            [Fault("pretrain", f"the tokenizer has token {largest_id}, the model only {size} tokens.")]
        )
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    count = sum(weight.numel() for weight in model.parameters())
    say(
        f"{type(model).__name__}, {count:,} weights, {'bfloat16' if config.bf16 else 'float32'}; attention: {words}."
    )
    return TokenLosses(model, autocast=config.bf16 and not half)


def _attention(config: SFTConfig, device: torch.device) -> tuple[str, str]:
    if config.flash_attn and device.type == "cuda":
        if transformers.utils.is_flash_attn_2_available():
            return "flash_attention_2", "flash-attn 2"
        return BY_DOCUMENT, "torch's sdpa row by row (flash_attn is set, but flash-attn is not installed)"
    if config.flash_attn:
        return BY_DOCUMENT, "torch's sdpa row by row (flash_attn is set, but it needs a GPU)"
    return BY_DOCUMENT, "torch's sdpa row by row"
