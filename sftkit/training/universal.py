"""Going on from a checkpoint with another number of ranks or another ZeRO stage: DeepSpeed's universal checkpoints.

DeepSpeed cuts weights and optimizer state into as many pieces as there are ranks, in a way of its own for every stage. Its
converter puts them together again, a folder for each weight: fp32.pt, exp_avg.pt, exp_avg_sq.pt. Here each rank then
takes its piece of every weight, by DeepSpeed's own functions for single weights, whatever the stages before and after.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from deepspeed import utils as deepspeed_utils
from torch import nn

from sftkit.errors import RunError
from sftkit.training.engine import trained

STATES = ("exp_avg", "exp_avg_sq")  # what AdamW keeps of each weight, beside the number of steps


def load(engine: Any, checkpoint: Path, zero_stage: int, step: int) -> None:
    """Weights and optimizer state of `checkpoint`, a folder that `engine.save_checkpoint` wrote at `zero_stage` after
    `step` steps."""
    place = checkpoint.parent / ".universal"  # the converter writes a file beside its folder too
    folder = place / "weights"
    if dist.get_rank() == 0:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if zero_stage:
            _convert(checkpoint, folder)
        else:
            _write_stage_0(checkpoint, engine.module, folder)
    dist.barrier()
    _restore(engine, folder / "zero", float(step))
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(place, ignore_errors=True)


def _numbered(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and weights in the order in which the optimizer numbers them."""
    matrices, vectors = trained(module)
    return matrices + vectors


def _convert(checkpoint: Path, folder: Path) -> None:
    from deepspeed.checkpoint import ds_to_universal

    arguments = Namespace(
        input_folder=str(checkpoint), output_folder=str(folder), num_extract_workers=1, num_merge_workers=1,
        keep_temp_folder=False, strict=True, inject_missing_state=True,
    )  # fmt: skip
    with contextlib.redirect_stdout(said := io.StringIO()):
        try:
            ds_to_universal.main(arguments)
        except Exception as error:
            raise RunError(f"{checkpoint} could not be converted for another number of processes or another ZeRO stage: {error}\n{said.getvalue()}") from error  # fmt: skip


def _write_stage_0(checkpoint: Path, module: nn.Module, folder: Path) -> None:
    """Stage 0 has no pieces, and DeepSpeed's converter no path for it: the same files, from the optimizer's state."""
    saved = torch.load(checkpoint / "mp_rank_00_model_states.pt", map_location="cpu", weights_only=True, mmap=True)  # fmt: skip
    for number, (name, _) in enumerate(_numbered(module)):
        place, state = folder / "zero" / name, saved["optimizer"]["state"][number]
        place.mkdir(parents=True)
        torch.save({"param": saved["module"][name].float()}, place / "fp32.pt")
        for key in STATES:
            torch.save({"param": state[key].float()}, place / f"{key}.pt")


def _restore(engine: Any, folder: Path, step: float) -> None:
    stage = engine.zero_optimization_stage()
    adam = engine.optimizer if stage == 0 else engine.optimizer.optimizer
    _make_room(engine, adam, stage)
    for name, weight in _numbered(engine.module):
        for key, value in _values(folder / name):
            value = value.reshape(-1)
            if stage == 3:
                _put_piece(weight, key, value)
            elif stage:
                _put(weight, key, value)
            elif key == "fp32":
                weight.data.copy_(value.view_as(weight))
            else:
                adam.state[weight][key] = value.view_as(weight).to(weight.device, weight.dtype)
    for state in adam.state.values():
        state["step"] = torch.tensor(step, device=state["exp_avg"].device)
    if stage == 3:
        _renew_weights(engine, folder)
    elif stage:
        engine.optimizer.update_lp_params()


def _make_room(engine: Any, adam: torch.optim.Optimizer, stage: int) -> None:
    """The optimizer's state, which only its first step would make: zeros, linked to the weights that they belong to."""
    if stage == 3:
        flat = engine.optimizer.fp32_partitioned_groups_flat
    else:
        flat = [weight for group in adam.param_groups for weight in group["params"]]
    for weight in flat:
        adam.state[weight] |= {key: torch.zeros_like(weight) for key in STATES}
    if stage in (1, 2):
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def _values(place: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for key in ("fp32", *STATES):
        yield key, _value(place / f"{key}.pt")


def _value(file: Path) -> torch.Tensor:
    found = torch.load(file, map_location="cpu", weights_only=True)
    return found["param"] if isinstance(found, dict) else found  # bare, where the checkpoint was of stage 3


def _put(weight: nn.Parameter, key: str, value: torch.Tensor) -> None:
    """This rank's fragment of it, at stages 1 and 2."""
    if key == "fp32":
        deepspeed_utils.safe_set_full_fp32_param(weight, value)
    else:
        deepspeed_utils.safe_set_full_optimizer_state(weight, value, key)


def _put_piece(weight: nn.Parameter, key: str, value: torch.Tensor) -> None:
    """This rank's piece at stage 3: equal pieces, the last one filled up with zeros."""
    size = weight.ds_tensor.numel()
    start = size * dist.get_rank()
    piece = torch.zeros(size)
    part = value[start : start + size]
    piece[: len(part)] = part
    if key == "fp32":
        deepspeed_utils.safe_set_local_fp32_param(weight, piece)
    else:
        deepspeed_utils.safe_set_local_optimizer_state(weight, piece, key)


def _renew_weights(engine: Any, folder: Path) -> None:
    """The weights that stage 3 computes with, from the fp32 ones."""
    for name, weight in _numbered(engine.module):
        with deepspeed.zero.GatheredParameters([weight], modifier_rank=0):
            if dist.get_rank() == 0:
                weight.data.copy_(_value(folder / name / "fp32.pt").view_as(weight))
