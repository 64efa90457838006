"""The output head and the loss in one, a slice of tokens at a time: logits of the whole batch never exist.

With a vocabulary of 128,256, the fp32 logits of 16,384 tokens would take 8.4 GB, and as much again for their gradient. Here a
slice of them lives while its loss and its gradients are computed, in the forward pass, as the loss is all that the
backward pass starts from (the idea of Liger's fused linear cross-entropy, arXiv:2410.10989, in plain torch).
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import nn

from sftkit.training.products import product

SLICE = 2**24  # logits at a time on a GPU: 64 MB in fp32
SLICE_ON_CPU = 2**24  # they stay in the cache


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of `hidden @ weight.T` with `targets`: [tokens] losses in fp32."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        needs_hidden, needs_weight, _ = ctx.needs_input_grad
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        hidden_grad = torch.empty_like(hidden) if needs_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        size = max(1, (SLICE if hidden.is_cuda else SLICE_ON_CPU) // len(weight))
        for start in range(0, len(hidden), size):
            part, target = hidden[start : start + size], targets[start : start + size, None]
            logits = product(part, weight).float()
            log_sum = torch.logsumexp(logits, 1, keepdim=True)
            losses[start : start + size] = (log_sum - logits.gather(1, target))[:, 0]
            if not (needs_hidden or needs_weight):
                continue
            by_logits = logits.sub_(log_sum).exp_()  # the probabilities
            by_logits.scatter_add_(1, target, torch.full_like(log_sum, -1.0))
            by_logits = by_logits.to(weight.dtype)
            if needs_hidden:
                hidden_grad[start : start + size] = product(by_logits, weight.t())
            if needs_weight:
                weight_grad += product(by_logits.t(), part.t())
        ctx.save_for_backward(hidden_grad, weight_grad)
        return losses

    @staticmethod
    def backward(ctx: Any, by_losses: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        if hidden_grad is not None:
            hidden_grad = hidden_grad.mul_(by_losses[:, None])
        if weight_grad is not None:  # every token weighs the same, see `losses`
            weight_grad = weight_grad.mul_(by_losses[0])
        return hidden_grad, weight_grad, None


def losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each token, [tokens] in fp32. `hidden` [tokens, size], `weight` [vocabulary, size].

    The gradient is right when every token's loss has the same weight in what is minimised, as in a sum or a mean.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    with torch.autocast(device, enabled=False):
        return _LinearCrossEntropy.apply(hidden, weight, targets)


def fuse(model: nn.Module) -> LossHead | None:
    """Make the model's output head answer with losses instead of logits. None where the model does more with its logits
    than compute them (caps or scales them), or has a head of another kind: then its logits have to be whole."""
    head = model.get_output_embeddings()
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft wraps it
    if type(head) is not nn.Linear or head.bias is not None or not _leaves_logits_alone(type(whole)):
        return None
    return LossHead(head)


class LossHead:
    """`targets` [tokens]: what the next call of the head is to be measured against; None: it answers with logits."""

    targets: torch.Tensor | None = None

    def __init__(self, head: nn.Linear):
        self._head = head
        # The module stays in its place: ZeRO-3 gathers its weight around a call of it.
        head.forward = self._answer

    def _answer(self, hidden: torch.Tensor) -> torch.Tensor:
        if self.targets is None:
            return nn.functional.linear(hidden, self._head.weight)
        return losses(hidden[0], self._head.weight, self.targets)[None]


def _leaves_logits_alone(kind: type[nn.Module]) -> bool:
    """Whether the forward of this class assigns `logits` once, from its head."""
    try:
        source = inspect.getsource(kind.forward)
    except (OSError, TypeError):
        return False
    assigned = re.findall(r"^ *logits = (.*)$", source, re.MULTILINE)
    return len(assigned) == 1 and "self.lm_head(" in assigned[0]
