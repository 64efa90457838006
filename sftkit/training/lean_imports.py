"""The worker's imports without what they do for others: two and a half seconds of every start (measured).

- Collecting garbage while thousands of modules are made finds none.
- DeepSpeed compiles its Muon optimizer when it is imported, which loads torch's whole compiler; nothing here uses it.
- DeepSpeed's autotuner imports mlflow where that is installed.
- What is named in `late_modules.py`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sftkit.training.late_modules import late_modules, unmarked


@contextmanager
def lean_imports() -> Iterator[None]:
    """Around the first import of torch, transformers and DeepSpeed."""
    # oneDNN keeps a kernel for every shape it has seen, a thousand of them, twice: with rows of ever new lengths that
    # fills gigabytes. Few are enough (measured: the same speed). Read when torch is loaded.
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "16")
    gc.disable()
    import torch

    late_modules()
    compiles, hidden = torch.compile, "mlflow" not in sys.modules
    torch.compile = unmarked
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
