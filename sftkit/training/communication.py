"""The ranks: which device each has, and what they tell each other. gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

import os

import numpy as np
import torch

# DeepSpeed would otherwise guess what to run on.
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
os.environ.setdefault("DS_SKIP_CUDA_CHECK", "1")

import deepspeed
import deepspeed.ops
import torch.distributed as dist


def start(deterministic: bool = False) -> tuple[torch.device, int, int]:
    """Join the other ranks. Returns this rank's device, its number, and how many there are.

    `deterministic`: only algorithms that give the same bits every time (torch.use_deterministic_algorithms).
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
        torch.use_deterministic_algorithms(True)
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        # Its shared-memory op is compiled at first use and needs a compiler; gloo needs none.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("nccl" if device.type == "cuda" else "gloo", verbose=False)
    return device, dist.get_rank(), dist.get_world_size()


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"  # fmt: skip


def sum_over_ranks(values: torch.Tensor, flag: bool) -> tuple[np.ndarray, bool]:
    """The sums of `values` [n] float64 over all ranks, and whether any of them raises its `flag`, in one exchange."""
    parts = torch.cat([values, torch.tensor([float(flag)], dtype=torch.float64, device=values.device)])
    if dist.get_world_size() > 1:
        dist.all_reduce(parts)
    *sums, flags = parts.tolist()
    return np.array(sums), bool(flags)
