"""What a run is: the settings, the model and the data that its weights depend on. A checkpoint carries it, and a run goes
on only from one that has the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.wording import say

# Settings that a trained weight depends on, beside the data and the model. Ranks, ZeRO stage, micro-batches and packing
# are not among them: they divide the work in another way, and its sum stays the same.
TRAINED_WITH = (
    "seed", "bf16", "fp16", "train_batch_size", "max_epochs", "learning_rate", "lr_scheduler", "lr_warmup_ratio",
    "adam_betas", "l2", "max_norm", "lora_rank", "lora_alpha", "lora_dropout", "target_modules", "load_in_4bit",
)  # fmt: skip
ENDS = 65536  # bytes of each end of a file of weights: they are too large for more


def of_config(config: SFTConfig, data: str) -> dict[str, Any]:
    """What must be the same for a run to go on from a checkpoint. `data`: the digest of exactly what is trained."""
    settings = config.to_dict()
    return {
        **{name: settings[name] for name in TRAINED_WITH},
        "data": data,
        "model": of_model(config.pretrain),
    }


def of_model(pretrain: str) -> str:
    """A digest of the model's files: sizes, and the first and last 64 kB of each. A hub id stands for itself."""
    folder = Path(pretrain)
    if not folder.is_dir():
        return pretrain
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".safetensors", ".bin") or path.name == "config.json":
            size = path.stat().st_size
            digest.update(f"{path.name} {size} ".encode())
            with path.open("rb") as file:
                digest.update(file.read(ENDS))
                file.seek(max(0, size - ENDS))
                digest.update(file.read())
    return digest.hexdigest()


def differing(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of what `now` has otherwise than `then`."""
    return [name for name in now if then.get(name) != now[name]]


def difference(name: str, then: dict[str, Any], now: dict[str, Any]) -> str:
    """One of them in words."""
    if name in ("data", "model"):
        return say("the data were not the same") if name == "data" else say("the model was not the same")
    return say("{name} was {then!r} and is {now!r}", name=name, then=then.get(name), now=now[name])
