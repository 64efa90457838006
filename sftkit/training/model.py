"""The model, wrapped so that it answers a micro-batch with the loss of each trained token."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import transformers
from torch import nn
from transformers.integrations import HfDeepSpeedConfig

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault
from sftkit.runs import weights
from sftkit.training import attention, engine, head, loading, lora, products
from sftkit.training.batches import Micro

transformers.utils.logging.disable_progress_bar()  # it fills the log with carriage returns


@dataclass
class Turn:
    """Where conversations stand that the model goes on with, padded on the left.

    `ids` [rows, new]: the tokens since the last turn; `mask` [rows, all tokens so far]: 1 where there is one.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    cache: Any = None  # what the model remembers of the earlier ones

    def go_on(self, tokens: torch.Tensor) -> None:
        """Add one token [rows] to each."""
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(self.ids)], dim=1)


class TokenLosses(nn.Module):
    """A causal language model that returns the cross-entropy of each trained token [trained], in fp32.

    Hidden states become logits only where a token is trained. `autocast`: compute in bfloat16 over fp32 weights.
    """

    def __init__(self, model: nn.Module, autocast: bool = False):
        super().__init__()
        self.model = model
        self.autocast = autocast
        self.vocabulary: int = model.config.get_text_config().vocab_size
        self._head = head.fuse(model)

    def forward(self, micro: Micro | Turn) -> torch.Tensor:
        """Losses [trained] of a micro-batch; of a turn, the logits [rows, vocabulary] of each next token.

        One forward for both: ZeRO-3 counts the calls of the outermost module.
        """
        if isinstance(micro, Turn):
            return self._next(micro)
        device = micro.input_ids.device
        if self._head:
            self._head.targets = micro.targets
        with self._precision(device):
            answer = self.model(
                input_ids=micro.input_ids,
                position_ids=micro.positions,
                logits_to_keep=micro.places,
                use_cache=False,
                **attention.borders(self.model.config._attn_implementation, micro.lengths, device),
            ).logits[0]
        if self._head:
            return answer
        return nn.functional.cross_entropy(answer.float(), micro.targets, reduction="none")

    def _next(self, turn: Turn) -> torch.Tensor:
        if self._head:
            self._head.targets = None
        new = turn.ids.shape[1]
        positions = (turn.mask.cumsum(1) - 1).clamp(min=0)[:, -new:]
        with self._precision(turn.ids.device), attention.of_transformers(self.model.config):
            answer = self.model(
                input_ids=turn.ids,
                attention_mask=turn.mask,
                position_ids=positions,
                past_key_values=turn.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        turn.cache = answer.past_key_values
        return answer.logits[:, -1]

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16) if self.autocast else contextlib.nullcontext()


def load_model(
    config: SFTConfig, device: torch.device, largest_id: int, say: Callable[[str], None] = print
) -> TokenLosses:
    """The model to train, on the CPU (DeepSpeed moves it). `largest_id`: the largest token id that the data has.

    Raises `ConfigError` when the architecture cannot be trained this way.
    """
    if config.fp16 and device.type == "cpu":
        raise ConfigError([Fault("fp16", "float16 needs a GPU: CPUs compute in bfloat16 or float32.", "Set fp16=False.")])  # fmt: skip
    if config.zero_stage == 3:
        # Each rank reads the files and keeps its piece: whole models for every rank would not fit in memory. transformers
        # looks for this object while it lives.
        _pieces = HfDeepSpeedConfig(engine.deepspeed_config(config, dist.get_world_size(), device))
    chosen = attention.choose(config, device)
    loading.refuse_pickles(config.pretrain)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        config.pretrain,
        dtype=weights_dtype(config),
        attn_implementation=chosen.name,
        **weights.options(),
        **lora.quantized(config, device),
    )
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise ConfigError([Fault("pretrain", f"{type(model).__name__} cannot be trained yet: its forward has no logits_to_keep.")])  # fmt: skip
    if largest_id >= (size := model.get_input_embeddings().num_embeddings):
        raise ConfigError(
            [Fault("pretrain", f"the tokenizer has token {largest_id}, the model only {size} tokens.")]
        )
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    kind, count = type(model).__name__, _count(model.parameters())
    model = lora.add(model, config) if config.lora_rank else model
    model.train()
    trained = _count(weight for weight in model.parameters() if weight.requires_grad)
    of_them = f", {trained:,} of LoRA trained" if config.lora_rank else ""
    computed = str(engine.compute_dtype(config)).removeprefix("torch.")
    say(f"{kind}, {count:,} weights{of_them}, {computed}; attention: {chosen.words}.")
    losses = TokenLosses(model, autocast=config.bf16 and config.zero_stage == 0)
    if device.type == "cpu" and not losses.autocast:
        products.speed_up(model)
    return losses


def _count(weights: Iterable[nn.Parameter]) -> int:
    """Numbers in all weights together; at ZeRO stage 3 a weight in hand is only a piece."""
    return sum(getattr(weight, "ds_numel", weight.numel()) for weight in weights)


def weights_dtype(config: SFTConfig) -> torch.dtype:
    """In what the weights are held while training.

    At stage 0 in bfloat16 they stay in fp32 under autocast: there DeepSpeed's own bf16 starts Adam one step late.
    """
    autocast = config.bf16 and config.zero_stage == 0
    return torch.float32 if autocast else engine.compute_dtype(config)
