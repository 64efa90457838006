"""The worker's imports without what they do for others: about a second and a half of every start (measured).

- Collecting garbage while thousands of modules are made finds none.
- DeepSpeed compiles its Muon optimizer when it is imported, which loads torch's whole compiler; nothing here uses it.
- DeepSpeed's autotuner imports mlflow where that is installed.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def lean_imports() -> Iterator[None]:
    """Around the first import of torch, transformers and DeepSpeed."""
    # oneDNN keeps a kernel for every shape it has seen, a thousand of them, twice: with rows of ever new lengths that
    # fills gigabytes. Few are enough (measured: the same speed). Read when torch is loaded.
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "16")
    gc.disable()
    import torch

    compiles, hidden = torch.compile, "mlflow" not in sys.modules
    torch.compile = _as_it_is
    if hidden:
        sys.modules["mlflow"] = None  # an import of it fails, as where it is not installed
    try:
        yield
        with suppress(ImportError):
            import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401 - else `deepspeed.initialize` does
    finally:
        torch.compile = compiles
        if hidden:
            del sys.modules["mlflow"]
        gc.enable()
        gc.freeze()  # what has been imported stays


def _as_it_is(model: Any = None, **_: Any) -> Any | Callable[[Any], Any]:
    return model if model is not None else _as_it_is
