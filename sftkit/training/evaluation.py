"""The loss on held-out rows: the mean over their trained tokens, also for each task type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from sftkit.config import SFTConfig
from sftkit.data.packing import hands
from sftkit.training.batches import Rows


@torch.no_grad()
def evaluate(engine: Any, rows: Rows, config: SFTConfig, beat: Callable[[], None]) -> dict[str, Any]:
    """`{"eval_loss", "eval_loss_by_task"}` over all ranks; tasks only where the data has them."""
    ranks, rank = dist.get_world_size(), dist.get_rank()
    sums = torch.zeros(2, len(rows.groups), dtype=torch.float64, device=engine.device)
    engine.eval()
    for hand in hands(np.arange(len(rows)), rows.lengths, config, ranks)[rank]:
        micro = rows.micro(hand, engine.device)
        losses = engine(micro).double()
        if not micro.empty:
            sums[0].index_add_(0, micro.groups, losses)
            sums[1].index_add_(0, micro.groups, torch.ones_like(losses))
        beat()
    engine.train()
    dist.all_reduce(sums)
    loss, count = sums.tolist()
    by_task = {task: loss[n] / count[n] for n, task in enumerate(rows.groups) if task}
    return {"eval_loss": sum(loss) / sum(count), **({"eval_loss_by_task": by_task} if by_task else {})}
