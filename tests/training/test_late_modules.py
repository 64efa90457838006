"""The stand-ins for modules that a start does without: never in the way of who wants the real ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import sys
from sftkit.training.lean_imports import lean_imports
with lean_imports():
    import sftkit.training.loop
from sftkit.training.late_modules import COMPILER, OPTIMIZERS, _Late
assert isinstance(sys.modules[COMPILER], _Late) and isinstance(sys.modules[OPTIMIZERS], _Late)
import torch
"""


def after_the_start(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_neither_is_loaded_by_a_step_of_adamw():
    after_the_start("""
weight = torch.nn.Linear(2, 2)
optimizer = torch.optim.AdamW(weight.parameters(), fused=True)
weight(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
assert isinstance(sys.modules[COMPILER], _Late)
assert not any(name.startswith("torch._inductor") for name in sys.modules)
""")


@pytest.mark.parametrize(
    "use",
    [
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(2)).tolist())",
        "import torch._dynamo.config as config; print(config.cache_size_limit > 0, [2.0, 2.0])",
        "torch._dynamo.reset(); print([2.0, 2.0])",
    ],
)
def test_the_compiler_comes_when_it_is_wanted(use: str):
    assert "[2.0, 2.0]" in after_the_start(use)


@pytest.mark.parametrize(
    "use",
    [
        "from scipy.optimize import linear_sum_assignment as best; print(best([[1, 9], [9, 1]])[1].tolist())",
        "from scipy.optimize import brentq; print([int(brentq(lambda x: x, -1, 1)), 1])",
    ],
)
def test_the_optimizers_of_scipy_come_when_they_are_wanted(use: str):
    assert after_the_start(use).splitlines()[-1] == "[0, 1]"
