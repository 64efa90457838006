"""Checkpoints: complete or absent, and only for the run they belong to.

checkpoints/step-N/checkpoint.json      step, tokens and seconds so far, what the run is (`identity`), ranks, ZeRO stage
checkpoints/step-N/random-<rank>.pt     random state
checkpoints/step-N/deepspeed/           weights, optimizer state, as DeepSpeed writes them: pickles, read as data only
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sftkit.config import SFTConfig
from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs import identity as run_identity
from sftkit.training import loading, universal

TAG = "deepspeed"  # the folder in a checkpoint that DeepSpeed writes

identity = run_identity.of_config


def save(engine: Any, folder: Path, state: dict[str, Any], config: SFTConfig) -> Path:
    """Write `folder`/step-N for all ranks under a name with a dot, then rename it. Keeps the newest `max_ckpt_num`."""
    rank, step = dist.get_rank(), state["step"]
    part, whole = folder / f".step-{step}", folder / f"step-{step}"
    if rank == 0:
        for left_behind in folder.glob(".step-*"):  # by a run that was killed while it wrote
            shutil.rmtree(left_behind, ignore_errors=True)
        part.mkdir(parents=True)
    dist.barrier()
    # What LoRA leaves frozen is on disk already, in the model's own folder.
    frozen = config.lora_rank > 0
    engine.save_checkpoint(str(part), tag=TAG, save_latest=False, exclude_frozen_parameters=frozen)
    torch.save(_random_state(), part / f"random-{rank}.pt")
    dist.barrier()
    if rank == 0:
        shape = {"ranks": dist.get_world_size(), "zero_stage": config.zero_stage}
        (part / "checkpoint.json").write_text(json.dumps(state | shape, indent=1), encoding="utf-8")
        os.replace(part, whole)
        if config.max_ckpt_num > 0:
            for old in disk.complete_checkpoints(folder)[: -config.max_ckpt_num]:
                shutil.rmtree(old, ignore_errors=True)
    dist.barrier()
    return whole


def to_go_on_from(folder: Path, identity: dict[str, Any], go_on: bool) -> tuple[Path | None, dict[str, Any]]:
    """The newest complete checkpoint in `folder`, if any and if asked for, and the state to start with.

    Raises `RunError` when it belongs to another run, and when a new run would mix its checkpoints with those there.
    """
    path = disk.newest_checkpoint(folder)
    if path is None:
        return None, {"step": 0, "tokens": 0, "seconds": 0.0, "identity": identity}
    if not go_on:
        raise RunError(
            f"{folder} holds checkpoints already. Name another ckpt_path, or go on from them with load_checkpoint."
        )
    state = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    if differing := run_identity.differing(state["identity"], identity):
        differences = "; ".join(run_identity.difference(name, state["identity"], identity) for name in differing)  # fmt: skip
        raise RunError(
            f"{path} belongs to another run: {differences}."
            " Give the run the settings, data and model of the checkpoint, or start a new run."
        )
    return path, state


def load(engine: Any, path: Path, state: dict[str, Any], config: SFTConfig) -> str:
    """Put the weights, the optimizer's state and the random state of `path` into this rank. `state`: its checkpoint.json.

    Returns what was changed on the way, in words: the checkpoint may come from other numbers of ranks and ZeRO stages.
    """
    ranks, stage = dist.get_world_size(), config.zero_stage
    changed = ""
    with loading.data_only(path):
        if (state["ranks"], state["zero_stage"]) == (ranks, stage):
            strict = config.lora_rank == 0
            engine.load_checkpoint(str(path), tag=TAG, load_lr_scheduler_states=False, load_module_strict=strict)  # fmt: skip
        else:
            universal.load(engine, path / TAG, state["zero_stage"], state["step"])
            changed = f" (of {state['ranks']} ranks at ZeRO stage {state['zero_stage']}, for {ranks} at stage {stage})"
        random = path / f"random-{dist.get_rank()}.pt"
        if random.exists():  # ranks that were not there before begin with the seed
            _set_random_state(torch.load(random, weights_only=True))
    return changed


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
