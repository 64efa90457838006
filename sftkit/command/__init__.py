"""Launch commands of other programs to settings and back.

    translate(text)               a command, a script or a YAML file, explained flag by flag -> Translation
    masked(text)                  the text without the keys and tokens in it
    write(config, target)         the settings as a command of "openrlhf==0.8.9", "trl" or "sftkit" -> Written

`names` holds what OpenRLHF's versions, TRL and LLaMA-Factory call each setting, `words` the sentences.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Flag": "translation",
    "Translation": "translation",
    "Written": "writing",
    "masked": "others",
    "translate": "reading",
    "write": "writing",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Loaded when first used: an open form needs the names alone, not YAML and the readers."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
