"""A run's life seen from outside: checked, launched, watched, stopped, found again.

Kernel and worker share files, not memory. Names are loaded when first used, so that the supervisor, which lives in this
package too, starts without pandas and pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Finding": "findings",
    "Run": "run",
    "Status": "run",
    "launch": "launcher",
    "list_runs": "listing",
    "load_run": "run",
    "preflight": "findings",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # No module here may bear the name of a function: importing it would put the module in the function's place.
    globals()[name] = value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
