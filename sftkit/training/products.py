"""Matrix products in fp32 on a CPU by oneDNN: torch's own ask MKL, which takes twice as long on AMD's CPUs (measured).

The values differ in rounding only. torch has no public way to choose; where the operator behind this one is missing, or
gives something else, torch's own products stay.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b.t(), for matrices and views of them: [..., k] and [n, k] to [..., n]."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and available():
        return _by_onednn(a, b)
    return a @ b.t()


def speed_up(model: nn.Module) -> None:
    """Let every plain linear layer in fp32 compute so. Subclasses, and layers whose forward was exchanged, are left alone."""
    if not available():
        return
    for layer in model.modules():
        plain = type(layer) is nn.Linear and layer.bias is None and "forward" not in layer.__dict__
        if plain and layer.weight.dtype == torch.float32:
            layer.forward = lambda x, layer=layer: _Linear.apply(x, layer.weight)


@cache
def available() -> bool:
    """Whether torch has the operator, and it multiplies."""
    if not torch.backends.mkldnn.is_available():
        return False
    a, b = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4).t()
    try:
        return torch.equal(_by_onednn(a, b), a @ b.t())
    except (AttributeError, RuntimeError, TypeError):
        return False


def _by_onednn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight)

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        x, weight = ctx.saved_tensors
        by_x = product(by_output, weight.t()) if ctx.needs_input_grad[0] else None
        flat = by_output.flatten(0, -2).t(), x.flatten(0, -2).t()
        return by_x, product(*flat) if ctx.needs_input_grad[1] else None
