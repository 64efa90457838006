"""Products by oneDNN are torch's own, to rounding, forward and backward."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sftkit.training import products


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (7, 33, 5), (200, 64, 129)])
def test_products_of_matrices_and_views(rows, inner, columns):
    torch.manual_seed(0)
    a, b = torch.randn(inner, rows).t(), torch.randn(columns, inner)
    torch.testing.assert_close(products.product(a, b), a @ b.t())
    torch.testing.assert_close(products.product(b, a), b @ a.t())
    half = a.bfloat16(), b.bfloat16()
    torch.testing.assert_close(products.product(*half), half[0] @ half[1].t())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_learns_the_same(frozen):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(16, 24, bias=False), nn.SiLU(), nn.Linear(24, 8))
    ours = copy.deepcopy(plain)
    for model in (plain, ours):
        model[0].weight.requires_grad_(not frozen)
    products.speed_up(ours)
    inputs = [torch.randn(2, 5, 16).requires_grad_() for _ in range(1)] * 2
    gradients = []
    for model, x in zip((plain, ours), inputs):
        x.grad = None
        model(x).square().sum().backward()
        gradients.append((x.grad.clone(), model[0].weight.grad, model[2].weight.grad))
    assert (gradients[1][1] is None) == frozen
    for theirs, mine in zip(*gradients):
        torch.testing.assert_close(mine, theirs)
    assert "forward" not in ours[2].__dict__  # it has a bias


def test_without_the_operator_torchs_own_products_stay(monkeypatch):
    monkeypatch.setattr(products, "available", lambda: False)
    layer = nn.Linear(4, 4, bias=False)
    products.speed_up(layer)
    assert "forward" not in layer.__dict__
    x = torch.randn(3, 4)
    torch.testing.assert_close(products.product(x, layer.weight), layer(x))


def test_this_torch_has_the_operator():
    """Not so everywhere; here its loss would halve the speed unseen."""
    if torch.backends.mkldnn.is_available():
        assert products.available()
