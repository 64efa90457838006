"""Three real steps instead of a training: what it will need. A run with `dry_run` in its run.json comes here.

Two steps on the longest batch: Adam's state comes with the first, so only the second holds all that a step ever holds.
A third on a batch of ordinary length, which is timed. Weights, ranks, ZeRO stage, micro-batches and packing are those of
the run; nothing is saved, and no tracker is called.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist

from sftkit.config import SFTConfig
from sftkit.data.packing import Order, hands
from sftkit.runs import folder as disk
from sftkit.training import communication, dataset
from sftkit.training import engine as deepspeed_engine
from sftkit.training.batches import Rows
from sftkit.training.loop import enter, join, optimizer_step, start_engine
from sftkit.training.loss_watch import LossWatch
from sftkit.training.run_files import RunFiles

CANDIDATES = (
    16  # steps whose micro-batches are looked at, of those with the most tokens and with the longest rows
)


def rehearse(files: RunFiles) -> None:
    """Leave `dry_run.json` in `files.folder`, and `finished` in its status, or raise as the training would."""
    config = enter(files.settings())
    device = join(files, config)
    rows = dataset.load(files, config).rows
    order = Order(len(rows), config.train_batch_size, config.max_epochs, config.seed)
    longest, typical = batches(rows, order, config)
    files.total_steps = 3
    files.status("running")
    engine = start_engine(files, config, rows, device)
    watch = LossWatch(engine.module.vocabulary, files.folder)
    seconds = []
    for numbers in (longest, longest, typical):
        start = time.perf_counter()
        deepspeed_engine.set_learning_rate(engine, config, 0, order.steps)
        outcome = optimizer_step(engine, config, rows, numbers, files)
        watch.look(
            files.step + 1, outcome.loss, outcome.grad_norm, lambda numbers=numbers: rows.names(numbers)
        )
        seconds.append(time.perf_counter() - start)
        files.step += 1
        files.status("running")
        files.say(
            f"Step {files.step} of 3: {int(rows.lengths[numbers].sum()):,} tokens in {seconds[-1]:.2f} s."
        )
    needs = memory(device) | {"checkpoint_bytes": checkpoint_bytes(engine)}
    ranks = _of_all_ranks(needs, device)
    if files.rank == 0:
        disk.write_json(files.folder / disk.DRY_RUN, _result(rows, order, typical, seconds, ranks, device))
    files.status("finished")


def batches(rows: Rows, order: Order, config: SFTConfig) -> tuple[np.ndarray, np.ndarray]:
    """The step with the largest micro-batch, and the one whose tokens are nearest to the mean of all steps."""
    sizes = np.array([(rows.lengths[step].sum(), rows.lengths[step].max()) for step in order.from_step(0)])
    places = np.unique(np.argsort(-sizes, axis=0, kind="stable")[:CANDIDATES])

    def step(place: int) -> np.ndarray:
        return next(order.from_step(int(place)))

    def largest(numbers: np.ndarray) -> tuple[int, int]:
        ranks = hands(numbers, rows.lengths, config, dist.get_world_size())
        micros = [int(rows.lengths[micro].sum()) for rank in ranks for micro in rank]
        return max(micros), sum(micros)

    tokens = sizes[:, 0]
    return max(map(step, places), key=largest), step(np.abs(tokens - tokens.mean()).argmin())


def memory(device: torch.device) -> dict[str, float]:
    """Peak and room in MB: of the card (`reserved`: with what torch keeps for later), or of the process."""
    if device.type == "cuda":
        peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        room = torch.cuda.mem_get_info()[1]
    else:
        peak = reserved = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        room = psutil.virtual_memory().total
    return {"peak": peak / 1e6, "reserved": reserved / 1e6, "room": room / 1e6}


def checkpoint_bytes(engine: Any) -> int:
    """This rank's share of a checkpoint: the bytes of the tensors that DeepSpeed would write, counted where they lie.

    Weights are written by rank 0 alone, but for ZeRO-3, where all of them are in the optimizer's pieces; frozen ones
    not at all. What the files have around the tensors is less than a thousandth of any real model.
    """
    states: list[Any] = [engine.optimizer.state_dict()]
    if dist.get_rank() == 0 and not engine.zero_optimization_partition_weights():
        weights = dict(engine.module.named_parameters())
        states += [tensor for name, tensor in engine.module.state_dict().items() if name not in weights or weights[name].requires_grad]  # fmt: skip
    found = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in _tensors(states)}  # fmt: skip
    return sum(found.values())


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, (list, tuple)):
        for value in state:
            yield from _tensors(value)


def _of_all_ranks(needs: dict[str, float], device: torch.device) -> dict[str, list[float]]:
    """For each of `needs` its value on every rank."""
    mine = torch.tensor([float(value) for value in needs.values()], dtype=torch.float64, device=device)
    parts = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return dict(zip(needs, torch.stack(parts).T.tolist(), strict=True))


def _result(rows: Rows, order: Order, typical: np.ndarray, seconds: list[float], ranks: dict[str, list[float]], device: torch.device) -> dict[str, Any]:  # fmt: skip
    """What `sftkit.runs.dry_run.DryRun` holds."""
    tokens = int(rows.lengths.sum()) * order.epochs
    speed = int(rows.lengths[typical].sum()) / seconds[2]
    return {
        "peak_memory_mb": max(ranks["peak"]),
        "reserved_memory_mb": max(ranks["reserved"]),
        "device_memory_mb": min(ranks["room"]),
        "memory_by_rank_mb": ranks["peak"],
        "seconds_per_step": tokens / order.steps / speed,
        "seconds_longest_step": seconds[1],
        "total_steps": order.steps,
        "seconds_total": tokens / speed,
        "tokens": tokens,
        "tokens_per_second": speed,
        "checkpoint_bytes": int(sum(ranks["checkpoint_bytes"])),
        "device": communication.name_of(device),
        "processes": dist.get_world_size(),
    }
