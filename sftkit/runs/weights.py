"""Which files a model's weights are taken from: safetensors, which hold numbers and nothing else.

A pickle (pytorch_model.bin, adapter_model.bin) is a program. It is read only where the environment says
SFTKIT_PICKLE_WEIGHTS=1, and then as data (torch.load with weights_only). It is no setting of a run, because settings
come with pasted commands and with folders of other people; the environment is this machine's user alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sftkit.wording import say

VARIABLE = "SFTKIT_PICKLE_WEIGHTS"
PICKLES = ("pytorch_model*.bin", "adapter_model.bin")


def pickle_wanted() -> bool:
    """Whether this machine's user has asked for pickles."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "true", "yes")


def options() -> dict[str, Any]:
    """What `from_pretrained` is told: no program that comes with a model is run, and no pickle is opened unasked."""
    return {"trust_remote_code": False, "use_safetensors": None if pickle_wanted() else True}


def only_pickles(folder: str | Path) -> list[str]:
    """Names of a model folder's pickles, where it has no other weights and nobody has asked for pickles."""
    place = Path(folder)
    if pickle_wanted() or not place.is_dir() or any(place.glob("*.safetensors")):
        return []
    return sorted(path.name for pattern in PICKLES for path in place.glob(pattern))


def refusal(names: list[str]) -> str:
    """Why such a model is not loaded, and what to do."""
    return say("The weights are pickles ({names}), which can hold programs. Save them as safetensors (model.save_pretrained(folder)), or set {variable}=1 if you trust where they come from.", names=", ".join(names[:3]), variable=VARIABLE)  # fmt: skip
