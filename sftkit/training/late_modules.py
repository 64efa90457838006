"""Modules that are loaded only when they are really wanted: 0.6 s or more of every start (measured), for here they never are.

- torch's compiler: torch, transformers and DeepSpeed mark functions for it (`torch.compiler.disable` and the like) and
  load all of it to say so. A stand-in takes the marks; asked for anything else, it gives way to the real one, which then
  finds those functions unmarked and may compile them too.
- scipy's optimizers, which transformers imports for losses of pictures.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
MARKS = ("allow_in_graph", "assume_constant_result", "disable", "graph_break")
# Where transformers takes one class from, for masks that we do not make.
MASKS = f"{COMPILER}._trace_wrapped_higher_order_op"
OPTIMIZERS = "scipy.optimize"


def unmarked(function: Any = None, *_: Any, **__: Any) -> Any | Callable[[Any], Any]:
    """A decorator, with or without arguments, that leaves a function as it is."""
    return function if callable(function) else unmarked


class _Late(ModuleType):
    """In the place of the module of its name, until more is wanted of it than it `has`."""

    def __init__(self, name: str, **has: Any):
        super().__init__(name)
        vars(self).update(has)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions about a module
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _LatePackage(_Late):
    @property
    def __path__(self) -> list[str]:  # asked for when a module below it is imported
        return _real(self.__name__).__path__


class _Compiled:
    """Of this class is no model."""


def _real(name: str) -> ModuleType:
    """The real module; the stand-ins for it and its kin leave."""
    kin = COMPILER if name.startswith(COMPILER) else name
    for other in [other for other in sys.modules if other.startswith(kin)]:
        if isinstance(sys.modules[other], _Late):
            del sys.modules[other]
    return importlib.import_module(name)


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function that gets the real one when it is called."""
    return lambda *args, **options: getattr(_real(module), name)(*args, **options)


def late_modules() -> None:
    """Put the stand-ins in place; without effect on what is loaded already."""
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = _LatePackage(
            COMPILER,
            **dict.fromkeys(MARKS, unmarked),
            # torch.distributed has the compiler forget, at its start, what it may have learned.
            trace_rules=_Late(f"{COMPILER}.trace_rules", clear_lru_cache=unmarked),
            # accelerate asks of a model that is saved whether it is a compiled one.
            eval_frame=_Late(f"{COMPILER}.eval_frame", OptimizedModule=_Compiled),
        )
        sys.modules[MASKS] = _Late(MASKS, TransformGetItemToIndex=_later(MASKS, "TransformGetItemToIndex"))
    if OPTIMIZERS not in sys.modules:
        name = "linear_sum_assignment"
        sys.modules[OPTIMIZERS] = _Late(OPTIMIZERS, **{name: _later(OPTIMIZERS, name)})
