"""The training loop, from the settings to the finished model, to be read from top to bottom. `worker.py` runs it.

What is minimised in each optimizer step is the mean cross-entropy over all trained tokens of the step, whatever the
number of ranks and micro-batches: the trained tokens are counted before, every micro-batch contributes the sum of its
losses divided by that count, and DeepSpeed's averaging (over accumulation and ranks) is multiplied out.
"""

from __future__ import annotations

import math
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from sftkit.config import SFTConfig
from sftkit.data import Encoder, encoder, read_examples
from sftkit.errors import ConfigError, Fault, RunError
from sftkit.training import checkpoints, communication, engine, evaluation, export
from sftkit.training.batches import Order, Rows, deal
from sftkit.training.model import load_model
from sftkit.training.run_files import RunFiles


def train(files: RunFiles) -> None:
    """Train the run in `files.folder`. Leaves `finished` or `stopped` in its status, or raises."""
    run = files.settings()
    os.chdir(run.get("cwd") or ".")  # paths in the settings are relative to where the run was launched
    config = SFTConfig.from_dict(run["config"])
    refuse_unsupported(config)
    model_path = export.target(config, files.folder)
    checkpoint_folder = Path(config.ckpt_path) if config.ckpt_path else files.folder / "checkpoints"

    device, rank, ranks = communication.start()
    files.say(f"Training on {ranks} process{'es' if ranks > 1 else ''} ({communication.name_of(device)}), ZeRO stage {config.zero_stage}.")  # fmt: skip
    torch.manual_seed(config.seed + rank)
    rows, eval_rows, text = load_rows(files, config)
    model, attention = load_model(config, device)
    files.say(f"{type(model.model).__name__}, {sum(weight.numel() for weight in model.parameters()):,} weights; attention: {attention}.")  # fmt: skip
    deepspeed_engine = engine.start(model, config, ranks, device)

    order = Order(len(rows), config.train_batch_size, config.max_epochs, config.seed)
    identity = checkpoints.identity(config, rows.digest, ranks)
    state = {"step": 0, "tokens": 0, "seconds": 0.0, "identity": identity}
    if run.get("resume") or config.load_checkpoint:
        state = resume(files, deepspeed_engine, checkpoint_folder, state)
    files.step, files.total_steps = state["step"], order.steps
    files.status("running")
    progress = Progress(state["tokens"], state["seconds"])
    accumulation = config.accumulation(ranks)

    for numbers in order.from_step(files.step):
        rate = engine.learning_rate(config, files.step, order.steps)
        for group in deepspeed_engine.optimizer.param_groups:
            group["lr"] = rate
        # Hand r + ranks·k is rank r's micro-batch k.
        hands = deal(numbers, rows.lengths, accumulation * ranks)[rank::ranks]
        trained = int(rows.trained[numbers].sum())
        total = torch.zeros((), dtype=torch.float64, device=device)
        for place, hand in enumerate(hands, start=1):
            micro = rows.micro(hand, device)
            loss = deepspeed_engine(micro).sum()
            loss = loss * 0.0 if micro.empty else loss
            total += loss.detach()
            deepspeed_engine.backward(loss * (accumulation * ranks / trained))
            if place == accumulation:  # the optimizer's turn: look before the weights change
                mean_loss, stop_asked = communication.sum_over_ranks(
                    total / trained, files.stop_asked and rank == 0
                )
                require_finite(mean_loss, "the loss", files.step + 1, numbers, checkpoint_folder)
                norm = engine.clip_at_stage_0(deepspeed_engine, config)
            deepspeed_engine.step()
            files.beat()
        norm = engine.gradient_norm(deepspeed_engine) if norm is None else norm
        require_finite(norm, "the gradient's norm", files.step + 1, numbers, checkpoint_folder)

        files.step += 1
        epoch = files.step / order.steps_per_epoch
        progress.add(int(rows.lengths[numbers].sum()))
        if files.step % config.logging_steps == 0 or files.step == order.steps:
            line = {
                "step": files.step,
                "epoch": epoch,
                "loss": mean_loss,
                "learning_rate": rate,
                "grad_norm": norm,
            }
            files.metrics(line | progress.line(device))
            files.status("running")
        if eval_rows and due(config.eval_steps, files.step, order.steps_per_epoch):
            progress.pause()
            scores = evaluation.evaluate(
                deepspeed_engine, eval_rows, config.micro_train_batch_size, files.beat
            )
            files.metrics({"step": files.step, "epoch": epoch, **scores})
            files.say(f"Step {files.step}: eval loss {scores['eval_loss']:.4f}.")
            progress.go_on()
        stopping = bool(stop_asked) and files.step < order.steps
        if stopping or (config.save_steps > 0 and files.step % config.save_steps == 0):
            progress.pause()
            if stopping:
                files.status("stopping")
            state |= {"step": files.step, "tokens": progress.tokens, "seconds": progress.seconds}
            saved = checkpoints.save(deepspeed_engine, checkpoint_folder, state, config.max_ckpt_num)
            files.say(f"Step {files.step}: checkpoint {saved}.")
            progress.go_on()
        if stopping:
            files.status("stopped", f"stopped on request after step {files.step} of {order.steps}; the checkpoint is {saved}")  # fmt: skip
            return

    progress.pause()
    export.export(deepspeed_engine, model_path, config, text)
    files.say(f"The model is in {model_path}.")
    files.status("finished")


def refuse_unsupported(config: SFTConfig) -> None:
    """Settings that this version has no code for, all at once, before anything is loaded."""
    faults = []
    if config.lora_rank:
        faults.append(Fault("lora_rank", "LoRA is not built yet.", "Set lora_rank=0."))
    if config.packing:
        faults.append(
            Fault("packing", "is not built yet; rows are laid without padding anyway.", "Set packing=False.")
        )
    if faults:
        raise ConfigError(faults)


def load_rows(files: RunFiles, config: SFTConfig) -> tuple[Rows, Rows | None, Encoder]:
    """Training rows, held-out rows (None without any, or with eval_steps=0), and how text becomes tokens."""
    text = encoder(config)
    rows = Rows(text.encode(read_examples(config, hub=True)))
    files.say(f"Training data: {rows.report()}.")
    if not len(rows):
        raise RunError(f"{config.dataset} has no row with anything to train. {rows.report()}.")
    if config.eval_dataset is None or config.eval_steps == 0:
        return rows, None, text
    eval_rows = Rows(text.encode(read_examples(config, "eval", hub=True)))
    files.say(f"Eval data: {eval_rows.report()}.")
    return rows, eval_rows if len(eval_rows) else None, text


def resume(files: RunFiles, deepspeed_engine: Any, folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    """The state to go on from: that of the newest complete checkpoint, or the given one when there is none."""
    path = checkpoints.newest(folder)
    if path is None:
        files.say(f"No checkpoint in {folder}: starting from the beginning.")
    else:
        state = checkpoints.load(deepspeed_engine, path, state["identity"])
        files.say(f"Going on from {path}.")
    files.forget_metrics_after(state["step"])
    return state


def due(every: int, step: int, steps_per_epoch: int) -> bool:
    """Whether something done `every` so many steps (-1: once an epoch, 0: never) is due after `step`."""
    if every == 0:
        return False
    return step % (steps_per_epoch if every < 0 else every) == 0


def require_finite(value: float, what: str, step: int, numbers: Any, folder: Path) -> None:
    """Raise `RunError` naming the step and the last good checkpoint when `value` is NaN or infinite."""
    if math.isfinite(value):
        return
    last = checkpoints.newest(folder)
    shown = ", ".join(str(number + 1) for number in numbers[:8])
    raise RunError(
        f"{what} became {value} at step {step}; the run was stopped before it could spoil more."
        f" Rows of that step (counted among the trained ones): {shown}{', …' if len(numbers) > 8 else ''}."
        f" Last checkpoint: {last or 'none'}. Try a lower learning_rate or a longer warm-up."
    )


@dataclass
class Progress:
    """Tokens and seconds of training so far, over all ranks; evaluation and checkpoints do not count."""

    tokens: int
    seconds: float

    def __post_init__(self) -> None:
        self._now = time.perf_counter()
        self._logged = (self.tokens, self.seconds)
        self._first = True

    def add(self, tokens: int) -> None:
        self.tokens += tokens
        self.pause()

    def pause(self) -> None:
        now = time.perf_counter()
        self.seconds, self._now = self.seconds + now - self._now, now

    def go_on(self) -> None:
        self._now = time.perf_counter()

    def line(self, device: torch.device) -> dict[str, float]:
        """Totals, and the speed since the last line."""
        tokens, seconds = self.tokens - self._logged[0], self.seconds - self._logged[1]
        self._logged = (self.tokens, self.seconds)
        if self._first:
            self._first = False
            print(
                f"First step done {time.time() - psutil.Process().create_time():.1f} s after the start.",
                flush=True,
            )
        return {
            "tokens": self.tokens,
            "tokens_per_second": tokens / max(seconds, 1e-9),
            "seconds": self.seconds,
            "memory_mb": _peak_memory(device),
        }


def _peak_memory(device: torch.device) -> float:
    """Peak megabytes: of the card, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
