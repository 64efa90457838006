"""The training loop, from the settings to the finished model, to be read from top to bottom. `worker.py` runs it.

What is minimised in each optimizer step is the mean cross-entropy over all trained tokens of the step, whatever the
number of ranks and micro-batches: the trained tokens are counted before, every micro-batch contributes the sum of its
losses divided by that count, and DeepSpeed's averaging over the ranks is multiplied out.
"""

from __future__ import annotations

import math
import os
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist

from sftkit.config import SFTConfig
from sftkit.data import packing
from sftkit.data.packing import Order
from sftkit.runs import folder as disk
from sftkit.training import checkpoints, communication, dataset, evaluation, export
from sftkit.training import engine as deepspeed_engine
from sftkit.training.batches import Micro, Rows
from sftkit.training.loss_watch import LossWatch
from sftkit.training.model import load_model
from sftkit.training.row_log import RowLog
from sftkit.training.run_files import RunFiles
from sftkit.training.samples import Sampler


def train(files: RunFiles) -> None:
    """Train the run in `files.folder`. Leaves `finished` or `stopped` in its status, or raises."""
    run = files.settings()
    config = enter(run)
    model_path = export.target(config, files.folder)
    checkpoint_folder = Path(config.ckpt_path) if config.ckpt_path else files.folder / disk.CHECKPOINTS
    device = join(files, config)
    data = dataset.load(files, config)
    rows, eval_rows = data.rows, data.eval_rows
    order = Order(len(rows), config.train_batch_size, config.max_epochs, config.seed)
    identity = checkpoints.identity(config, rows.digest)
    go_on = bool(run.get("resume") or config.load_checkpoint)
    checkpoint, state = checkpoints.to_go_on_from(checkpoint_folder, identity, go_on)
    engine = start_engine(files, config, rows, device)
    if checkpoint:
        changed = checkpoints.load(engine, checkpoint, state, config)
        files.say(f"Going on from {checkpoint}{changed}.")
    files.step, files.total_steps = state["step"], order.steps
    files.forget_after(files.step)
    files.status("running")
    row_log, sampler = RowLog(files, rows, order.batch_size), Sampler(engine, data, config, files)
    progress = Progress(state["tokens"], state["seconds"])
    watch = LossWatch(engine.module.vocabulary, checkpoint_folder)

    for numbers in order.from_step(files.step):
        rate = deepspeed_engine.set_learning_rate(engine, config, files.step, order.steps)
        outcome = optimizer_step(engine, config, rows, numbers, files)
        files.step += 1
        row_log.add(files.step, numbers, outcome.row_losses)
        watch.look(files.step, outcome.loss, outcome.grad_norm, partial(rows.names, numbers))
        epoch = files.step / order.steps_per_epoch
        progress.add(int(rows.lengths[numbers].sum()), files.say)
        if due(config.logging_steps, files.step, order.steps_per_epoch) or files.step == order.steps:
            line = {"step": files.step, "epoch": epoch, "loss": outcome.loss, "learning_rate": rate}
            files.metrics({**line, "grad_norm": outcome.grad_norm, **progress.line(device)})
            files.status("running")
        if eval_rows and due(config.eval_steps, files.step, order.steps_per_epoch):
            scores = evaluation.evaluate(engine, eval_rows, config, files.beat)
            files.metrics({"step": files.step, "epoch": epoch, **scores})
            files.say(f"Step {files.step}: eval loss {scores['eval_loss']:.4f}.")
        stopping = outcome.stop_asked and files.step < order.steps
        if stopping or (config.save_steps > 0 and files.step % config.save_steps == 0):
            files.status("stopping" if stopping else "running")
            state |= {"step": files.step, "tokens": progress.tokens, "seconds": progress.seconds}
            saved = checkpoints.save(engine, checkpoint_folder, state, config)
            files.say(f"Step {files.step}: checkpoint {saved}.")
            sampler.ask()
        if stopping:
            files.status("stopped", f"stopped on request after step {files.step} of {order.steps}; the checkpoint is {saved}")  # fmt: skip
            return
        progress.go_on()

    sampler.ask()
    export.export(engine, model_path, config, data.encoder, files)
    files.say(f"The model is in {model_path}.")
    files.status("finished")


def enter(run: dict[str, Any]) -> SFTConfig:
    """The settings of `run` (run.json), in the folder that its paths are relative to."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the libraries to each other
    os.chdir(run.get("cwd") or ".")
    return SFTConfig.from_dict(run["config"])


def join(files: RunFiles, config: SFTConfig) -> torch.device:
    """Meet the other ranks. Returns this rank's device."""
    device, rank, ranks = communication.start(config.full_determinism)
    files.say(f"{ranks} process{'es' if ranks > 1 else ''} ({communication.name_of(device)}), ZeRO stage {config.zero_stage}.")  # fmt: skip
    torch.manual_seed(config.seed + rank)
    return device


def start_engine(files: RunFiles, config: SFTConfig, rows: Rows, device: torch.device) -> Any:
    """DeepSpeed's engine around the model, as it is before the first step."""
    model = load_model(config, device, rows.largest_id, files.say)
    return deepspeed_engine.start(model, config, dist.get_world_size(), device)


@dataclass(frozen=True)
class Outcome:
    """What one optimizer step tells: the mean loss of its trained tokens, and of those of each of its rows [rows]; the
    gradient's norm before clipping."""

    loss: float
    row_losses: np.ndarray
    grad_norm: float | None  # None where fp16's loss scale was too large and the step was left out
    stop_asked: bool


def optimizer_step(
    engine: Any, config: SFTConfig, rows: Rows, numbers: np.ndarray, files: RunFiles
) -> Outcome:
    """One update with the rows `numbers`, over all ranks. When the loss is not finite, the weights are left alone."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    micros = packing.hands(numbers, rows.lengths, config, ranks)[rank]
    places = {number: place for place, number in enumerate(numbers.tolist())}
    trained = rows.trained[numbers]
    sums = torch.zeros(len(numbers), dtype=torch.float64, device=engine.device)  # of each row's losses
    for number, micro in enumerate(micros, start=1):
        engine.set_gradient_accumulation_boundary(number == len(micros))
        batch = rows.micro(micro, engine.device, places)
        losses = forward_backward(engine, batch, ranks / int(trained.sum()))
        if not batch.empty:
            sums.index_add_(0, batch.groups, losses.double())
        files.beat()
    by_row, stop_asked = communication.sum_over_ranks(sums, files.stop_asked and rank == 0)
    loss, row_losses = float(by_row.sum() / trained.sum()), by_row / trained
    if not math.isfinite(loss):
        return Outcome(loss, row_losses, None, False)
    norm = deepspeed_engine.update(engine, config)
    files.beat()
    return Outcome(loss, row_losses, norm, stop_asked)


def forward_backward(engine: Any, micro: Micro, scale: float) -> torch.Tensor:
    """A micro-batch's losses [trained]; the gradient of their sum is added to the others' with the weight `scale`."""
    losses = engine(micro)
    engine.backward(losses.sum() * ((0.0 if micro.empty else 1.0) * scale))
    return losses.detach()


def due(every: int, step: int, steps_per_epoch: int) -> bool:
    """Whether something done `every` so many steps (-1: once an epoch, 0: never) is due after `step`."""
    if every == 0:
        return False
    return step % (steps_per_epoch if every < 0 else every) == 0


@dataclass
class Progress:
    """Tokens and seconds of training so far, over all ranks; time between `add` and `go_on` does not count."""

    tokens: int
    seconds: float

    def __post_init__(self) -> None:
        self._now, self._steps = time.perf_counter(), 0
        self._logged = (self.tokens, self.seconds)

    def add(self, tokens: int, say: Callable[[str], None]) -> None:
        """Count one step."""
        if not self._steps:
            say(f"First step done {_seconds_since_start():.1f} s after the start.")
        self._steps += 1
        self.tokens += tokens
        self.seconds += time.perf_counter() - self._now

    def go_on(self) -> None:
        self._now = time.perf_counter()

    def line(self, device: torch.device) -> dict[str, float]:
        """Totals, and the speed since the last line."""
        tokens, seconds = self.tokens - self._logged[0], self.seconds - self._logged[1]
        self._logged = (self.tokens, self.seconds)
        return {
            "tokens": self.tokens,
            "tokens_per_second": tokens / max(seconds, 1e-9),
            "seconds": self.seconds,
            "memory_mb": _peak_memory(device),
        }


def _seconds_since_start() -> float:
    """How long this process has been here. On Linux its start is known as whole seconds (of the boot) plus ticks:
    compared with the time of day it is wrong by up to a second."""
    started = psutil.Process().create_time()
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (started - psutil.boot_time())
    return time.time() - started


def _peak_memory(device: torch.device) -> float:
    """Peak megabytes: of the card, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
