"""What comes off the disk into torch: numbers, never programs. A checkpoint may lie in a folder that others can write to.

DeepSpeed writes its checkpoints by pickle and reads them back with whatever they hold, programs too. torch can be told
to build tensors, plain values and named classes only; what DeepSpeed's checkpoints of every ZeRO stage hold beside
those is named here. A pickle that wants anything else is refused before it does anything.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from deepspeed.runtime.fp16 import loss_scaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

from sftkit.errors import ConfigError, Fault, RunError
from sftkit.runs import weights

# Plain records of numbers, all of them.
CLASSES = [
    ZeroStageEnum,
    fragment_address,
    loss_scaler.LossScaler,
    loss_scaler.DynamicLossScaler,
    loss_scaler.LossScaleConfig,
    loss_scaler.LossScaleProfile,
    loss_scaler.LossScaleProfileDefaults,
]
# torch obeys these even where a caller, here DeepSpeed, asks for everything.
_DATA, _PROGRAMS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextmanager
def data_only(path: Path) -> Iterator[None]:
    """torch.load, by whomever it is called in here, runs no program. Raises RunError where a file under `path` is one."""
    before = {name: os.environ.pop(name, None) for name in (_DATA, _PROGRAMS)}
    os.environ[_DATA] = "1"
    try:
        with torch.serialization.safe_globals(CLASSES):
            yield
    except pickle.UnpicklingError as error:
        raise RunError(f"{path} is refused: a file in it holds more than numbers, and would run as a program. {_first_line(error)}") from None  # fmt: skip
    finally:
        del os.environ[_DATA]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def refuse_pickles(pretrain: str) -> None:
    """Raises ConfigError where the weights of a model's folder are pickles and nobody has asked for those."""
    if names := weights.only_pickles(pretrain):
        raise ConfigError([Fault("pretrain", weights.refusal(names))])


def _first_line(error: Exception) -> str:
    """torch says what was wanted, and then how to let it in all the same."""
    said = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line]
    return said[0].partition(". Please use")[0][:300] if said else ""
