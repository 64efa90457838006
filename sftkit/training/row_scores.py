"""The loss of each training row under the base model and under the tuned one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sftkit import data
from sftkit.config import SFTConfig
from sftkit.data.packing import hands
from sftkit.runs.run import Run
from sftkit.runs.scoring import SCORES
from sftkit.training import communication
from sftkit.training.batches import Rows
from sftkit.training.loop import enter
from sftkit.training.model import TokenLosses, load_model


def score(folder: Path, limit: int | None, tell: Callable[..., None], count: Callable[[int], None]) -> None:
    """Write `row_scores.parquet`, with one model in memory at a time.

    `tell(total=…)`: how many rows will be measured, under both models; `count(rows)`: that so many more are.
    """
    run = Run(folder)
    config = enter(run.record)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"Scoring on {communication.name_of(device)}.", flush=True)
    rows = Rows(data.encoder(config).encode(data.read_examples(config, hub=True)))
    numbers = np.arange(len(rows))
    if limit is not None and limit < len(rows):
        numbers = np.sort(np.random.default_rng(config.seed).choice(len(rows), limit, replace=False))
    tell(total=2 * len(numbers))
    losses = {}
    for name, path in (("base_loss", config.pretrain), ("tuned_loss", str(run.model_path))):
        losses[name] = measure(_model(config, path, rows, device), rows, numbers, config, count)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    places = [rows.places[number] for number in numbers]
    frame = pd.DataFrame(places, columns=["source", "row"]).assign(tokens=rows.trained[numbers], **losses)
    part = folder / f".{SCORES}"
    frame.to_parquet(part, index=False)
    os.replace(part, folder / SCORES)


def _model(config: SFTConfig, path: str, rows: Rows, device: torch.device) -> TokenLosses:
    """The model in `path` as it is, in the number format of the run; an adapter's with its base."""
    plain = config.with_(
        pretrain=path, lora_rank=0, load_in_4bit=False, zero_stage=1, gradient_checkpointing=False,
        fp16=config.fp16 and device.type == "cuda",
    )  # fmt: skip
    return load_model(plain, device, rows.largest_id).to(device).eval()


@torch.inference_mode()
def measure(
    model: TokenLosses, rows: Rows, numbers: np.ndarray, config: SFTConfig, count: Callable[[int], None]
) -> np.ndarray:
    """Mean loss [numbers] of each row over its trained tokens, float64."""
    device = next(model.parameters()).device
    places = {number: place for place, number in enumerate(numbers.tolist())}
    sums = torch.zeros(len(numbers), dtype=torch.float64, device=device)
    for hand in hands(numbers, rows.lengths, config, 1)[0]:
        micro = rows.micro(hand, device, places)
        sums.index_add_(0, micro.groups, model(micro).double())
        count(len(hand))
    return sums.cpu().numpy() / rows.trained[numbers]
