"""How much memory a rank of a run will need, worked out before it starts; nothing is loaded.

    shape = Shape.of(config_json, tensor_shapes)
    need = estimate(config, shape, Micro(4096, 3000), gpu=True)
    need.total, need.parts                           # bytes on the card

Weights, gradients and optimizer state are arithmetic: what the engine holds at each ZeRO stage. Activations follow from
what a Llama-like layer keeps for its backward pass; other layers differ by some tens of per cent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sftkit.config import SFTConfig
from sftkit.conflicts import conflicts
from sftkit.errors import Fault

ADAM = 12  # bytes a weight: fp32 master weight and AdamW's two moments
ACCUMULATED = 4  # gradients of half-precision weights are added up in fp32
QUANTIZED = 0.53  # bytes a weight in NF4, with its doubly quantised scales
SLICE = 2**24  # logits at a time, as the trainer's head computes them
BUCKET = 500_000_000  # gradients that DeepSpeed sends at a time
LIVE = 1_000_000_000  # weights that ZeRO-3 keeps gathered
CONTEXT = 800 * 2**20  # CUDA's context and libraries; on the CPU: Python with torch and DeepSpeed
FRAGMENTS = 1.05  # what an allocator cannot use


@dataclass(frozen=True)
class Shape:
    """Sizes of a model. `matrices`: (rows, columns) by name of every linear layer that LoRA can be put on."""

    parameters: int
    embedding: int
    hidden: int
    inner: int
    layers: int
    vocabulary: int
    queries: int
    keys: int
    matrices: tuple[tuple[str, int, int], ...]
    whole_logits: bool = False

    @classmethod
    def of(cls, config: dict[str, Any], tensors: dict[str, Sequence[int]]) -> Shape | None:
        """From config.json and the shape of each tensor by name; None for an architecture that is not understood."""
        config = config.get("text_config") or config

        def size(*names: str) -> int:
            return next((int(value) for name in names if isinstance(value := config.get(name), int)), 0)

        hidden, layers = size("hidden_size", "n_embd", "d_model"), size("num_hidden_layers", "n_layer")
        heads = size("num_attention_heads", "n_head")
        if not (tensors and hidden and layers and heads):
            return None
        head = size("head_dim") or hidden // heads
        matrices, embedding = [], (0, 0)
        for name, shape in tensors.items():
            if any(part in name for part in ("embed_tokens", "wte.", "word_embeddings", "embed_in")):
                embedding = tuple(shape)
            elif len(shape) == 2 and not any(part in name for part in ("lm_head", "wpe.", "embed_out")):
                matrices.append((name, shape[0], shape[1]))
        vocabulary = embedding[0] or size("vocab_size")
        experts = size("num_experts_per_tok") if size("num_experts", "num_local_experts") else 1
        inner = size("moe_intermediate_size", "intermediate_size", "n_inner") or 4 * hidden
        return cls(
            parameters=sum(math.prod(shape) for shape in tensors.values()),
            embedding=vocabulary * hidden,
            hidden=hidden,
            inner=inner * max(1, experts),
            layers=layers,
            vocabulary=vocabulary,
            queries=heads * head,
            keys=(size("num_key_value_heads") or heads) * head,
            matrices=tuple(matrices),
            whole_logits=bool(config.get("final_logit_softcapping") or config.get("logit_scale")),
        )

    def lora(self, config: SFTConfig) -> int:
        """Weights of the LoRA matrices."""
        wanted = config.target_modules
        chosen = [
            rows + columns
            for name, rows, columns in self.matrices
            if not wanted or name.removesuffix(".weight").endswith(tuple(wanted))
        ]
        return config.lora_rank * sum(chosen)


@dataclass(frozen=True)
class Micro:
    """The largest micro-batch: its tokens, and how many of them are trained."""

    tokens: int
    trained: int

    @classmethod
    def of(cls, config: SFTConfig, lengths: Sequence[int] = (), trained_share: float = 1.0) -> Micro:
        """With some rows' `lengths` as measured; without, every row is taken to be `max_len` long."""
        rows = config.micro_train_batch_size
        tokens = rows * config.max_len
        if len(lengths):
            mean, longest = sum(lengths) / len(lengths), max(lengths)
            step = math.ceil(mean * config.train_batch_size / config.processes)
            usual = max(longest, step) if config.packing else longest + (rows - 1) * mean
            tokens = min(tokens, math.ceil(usual))
        return cls(tokens, math.ceil(tokens * trained_share))


@dataclass(frozen=True)
class Estimate:
    """Bytes of one rank, by what they hold. `host`: what it keeps in the machine's memory instead of the card's."""

    parts: dict[str, int]
    host: int = 0

    @property
    def states(self) -> int:
        """Weights, gradients and optimizer: these are certain."""
        return sum(self.parts[name] for name in ("weights", "gradients", "optimizer"))

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def estimate(config: SFTConfig, shape: Shape, micro: Micro, *, gpu: bool) -> Estimate:
    """What a rank holds at its peak, which is at the end of a backward pass."""
    weights, gradients, optimizer = states(config, shape)
    host = optimizer if gpu and config.adam_offload else 0
    activations = _activations(config, shape, micro, gpu)
    parts = {
        "weights": weights,
        "gradients": gradients,
        "optimizer": optimizer - host,
        "activations": round(activations * FRAGMENTS),
        "logits": _logits(config, shape, micro),
        "buffers": _buffers(config, shape),
        "libraries": CONTEXT,
    }
    return Estimate(parts, host)


def states(config: SFTConfig, shape: Shape) -> tuple[int, int, int]:
    """Bytes of weights, gradients and optimizer state on each rank."""
    ranks, stage = config.processes, config.zero_stage
    if stage == 2 and ranks == 1:
        stage = 1  # as the engine does
    width = _width(config)
    trained = shape.lora(config) if config.lora_rank else shape.parameters
    frozen = shape.parameters if config.lora_rank else 0
    weights = frozen * width + trained * width
    if config.load_in_4bit:
        small = sum(rows * columns for _, rows, columns in shape.matrices)
        weights = small * QUANTIZED + (frozen - small + trained) * width
    if stage == 0:  # fp32 throughout; under autocast the matrices are there in bfloat16 too
        cast = 2 * shape.parameters if config.bf16 else 0
        return round(weights + cast), 4 * trained, 8 * trained
    weights /= ranks if stage == 3 else 1
    if stage > 1:
        gradients = trained * (width + ACCUMULATED) / ranks
    else:  # each rank has all of them; those in half precision are added up in full as well
        gradients = trained * (width + (ACCUMULATED if width == 2 else ACCUMULATED / ranks))
    return round(weights), round(gradients), round(ADAM * trained / ranks)


def _width(config: SFTConfig) -> int:
    """Bytes of a weight as it is held; at stage 0 bfloat16 is computed over fp32 weights."""
    return 2 if config.fp16 or (config.bf16 and config.zero_stage > 0) else 4


def _activations(config: SFTConfig, shape: Shape, micro: Micro, gpu: bool) -> int:
    """What the backward pass finds of the forward pass: all of every layer, or each layer's input and all of one."""
    computed = 2 if config.bf16 or config.fp16 else 4
    stream = _width(config)  # the residual stream, of the weights' type
    hidden, attended = shape.hidden, 2 * shape.queries + 2 * shape.keys
    norms = 2 * hidden * (4 + stream + computed)  # in fp32, normalized, and as the next layer takes it
    # On CPUs attention is computed in fp32.
    attention = computed * attended if gpu or computed == 4 else 4 * attended + computed * shape.queries
    layer = norms + attention + 4 * computed * shape.inner
    if config.lora_dropout:
        layer += computed * (4 * hidden + shape.inner)
    ends = 3 * stream * hidden
    kept = shape.layers * stream * hidden if config.gradient_checkpointing else shape.layers * layer
    return micro.tokens * (kept + layer + ends)


def _logits(config: SFTConfig, shape: Shape, micro: Micro) -> int:
    """The head: a slice of logits with its gradient, the hidden states' gradient, and the head's own in fp32."""
    computed = 2 if config.bf16 or config.fp16 else 4
    each = 8 + (2 * computed if computed == 2 else 0)
    if shape.whole_logits:
        return micro.trained * shape.vocabulary * (each + 4)
    rows = min(micro.trained, max(1, SLICE // max(1, shape.vocabulary)))
    own = 0 if config.lora_rank else shape.embedding * (4 + _width(config))
    return rows * shape.vocabulary * each + 2 * micro.trained * computed * shape.hidden + own


def _buffers(config: SFTConfig, shape: Shape) -> int:
    """What DeepSpeed sends between ranks at a time, and the weights that ZeRO-3 has gathered."""
    width = _width(config)
    trained = shape.lora(config) if config.lora_rank else shape.parameters
    bucket = min(BUCKET, trained) * width if config.zero_stage >= 2 and config.processes > 1 else 0
    live = min(LIVE, shape.parameters) * width if config.zero_stage == 3 else 0
    return bucket + live


def lighter(config: SFTConfig, *, gpu: bool, quantizes: bool = False) -> Iterator[dict[str, Any]]:
    """Changes that need less memory, those first that change the least of what is learned and cost the least time."""
    ranks = config.processes
    changes: dict[str, Any] = {}
    if ranks > 1 and config.zero_stage < 2:
        changes |= {"zero_stage": 2}
        yield dict(changes)
    if not config.gradient_checkpointing:
        changes |= {"gradient_checkpointing": True}
        yield dict(changes)
    micro = config.micro_train_batch_size
    while micro > 1:
        micro = max(part for part in range(1, micro) if micro % part == 0)
        changes |= {"micro_train_batch_size": micro}
        yield dict(changes)
    if ranks > 1 and config.zero_stage < 3 and not config.load_in_4bit:
        changes |= {"zero_stage": 3}
        yield dict(changes)
    if gpu and not config.adam_offload:
        changes |= {"adam_offload": True, "zero_stage": max(1, changes.get("zero_stage", config.zero_stage))}
        yield dict(changes)
    if not config.lora_rank:
        changes = {name: value for name, value in changes.items() if name != "adam_offload"}
        changes |= {"lora_rank": 16, "learning_rate": 2e-4}
        yield dict(changes)
    if gpu and quantizes and not config.load_in_4bit:
        yield {**changes, "load_in_4bit": True, "zero_stage": min(2, config.zero_stage)}


def nearest_that_fits(
    config: SFTConfig, fits: Callable[[SFTConfig], bool], *, gpu: bool, quantizes: bool = False
) -> dict[str, Any]:
    """The first of the lighter settings that fit, without those of its changes that are not needed; empty where none
    does."""
    for change in lighter(config, gpu=gpu, quantizes=quantizes):
        if fits(config.with_(**change)):
            return _needed(config, fits, change)
    return {}


def _needed(config: SFTConfig, fits: Callable[[SFTConfig], bool], change: dict[str, Any]) -> dict[str, Any]:
    """`change` with what it can do without left out, and what it does not change."""
    needed = {name: value for name, value in change.items() if getattr(config, name) != value}
    for name in ("gradient_checkpointing", "micro_train_batch_size", "zero_stage", "adam_offload"):
        rest = {other: value for other, value in needed.items() if other != name}
        if name in needed and rest and not _excluded(config, rest) and fits(config.with_(**rest)):
            needed = rest
    return needed


def _excluded(config: SFTConfig, change: dict[str, Any]) -> list[Fault]:
    return conflicts({**config.to_dict(), **change})
