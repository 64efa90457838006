"""Runs that several tests compare. Each is started once, two side by side, in a folder of its own."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from tests.conftest import TrainedRun, train, write_rows

# 6 steps of 8 rows, 2 epochs of 22 rows: the third step of each epoch is short.
BASE = {
    "bf16": False, "train_batch_size": 8, "micro_train_batch_size": 8, "max_epochs": 2, "learning_rate": 3e-3,
    "lr_warmup_ratio": 0.2, "l2": 0.1, "max_norm": 1.0, "zero_stage": 0, "save_steps": 2, "max_ckpt_num": 9,
}  # fmt: skip

RUNS = {
    "1x8": {},
    "8x1": {"micro_train_batch_size": 1},
    "zero 1": {"zero_stage": 1, "micro_train_batch_size": 4},
    "zero 2": {"zero_stage": 2, "micro_train_batch_size": 4},
    "zero 3": {"zero_stage": 3, "micro_train_batch_size": 4},
    "zero 0, 2 processes": {"micro_train_batch_size": 2, "num_processes": 2},
    "zero 2, 2 processes": {"zero_stage": 2, "micro_train_batch_size": 2, "num_processes": 2},
    "zero 3, 2 processes": {"zero_stage": 3, "micro_train_batch_size": 4, "num_processes": 2},
    "packed": {"packing": True, "max_len": 96, "micro_train_batch_size": 2},
    "packed, zero 2, 2 processes": {
        "packing": True, "max_len": 96, "micro_train_batch_size": 1, "zero_stage": 2, "num_processes": 2,
    },
    "eager": {"attn_implementation": "eager"},
}  # fmt: skip

LORA = {"lora_rank": 4, "lora_alpha": 8, "learning_rate": 2e-2}
LORA_RUNS = {
    "lora": LORA,
    "lora, zero 2, 2 processes": {**LORA, "zero_stage": 2, "num_processes": 2, "micro_train_batch_size": 4},
    "lora, zero 3, packed": {**LORA, "zero_stage": 3, "packing": True, "max_len": 96},
}


class Runs:
    """`runs[name]` is the finished run of that name."""

    def __init__(self, folder: Path, settings: dict):
        self.folder, self.settings = folder, settings
        self.pool = ThreadPoolExecutor(2)
        self.futures: dict[str, Future[TrainedRun]] = {}

    def start(self, name: str) -> None:
        config = SFTConfig(**self.settings, **{**BASE, **(RUNS | LORA_RUNS)[name]})
        self.futures[name] = self.pool.submit(train, self.folder / name, config)

    def __getitem__(self, name: str) -> TrainedRun:
        if name not in self.futures:
            self.start(name)
        return self.futures[name].result()

    def resumed_from(self, name: str, step: int, as_run: str | None = None) -> TrainedRun:
        """The run `name` once more, from its checkpoint of `step` on, in a copy of its folder; with `as_run`, with the
        ranks, stage and micro-batches of that run."""
        copy = self.folder / f"{name} from {step}{' as ' + as_run if as_run else ''}"
        shutil.copytree(self[name].folder, copy)
        for path in (copy / "checkpoints").iterdir():
            if path.name != f"step-{step}":
                shutil.rmtree(path)
        return train(copy, self[as_run or name].config, resume=True)


@pytest.fixture(scope="session")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    folder = tmp_path_factory.mktemp("invariants")
    rows = str(write_rows(folder / "train.jsonl", 22))
    every = Runs(folder, {"pretrain": str(tiny_model), "dataset": rows, "eval_dataset": rows})
    chosen = " ".join(item.name for item in request.session.items if "invariants" in item.nodeid)
    for name in [*RUNS, *LORA_RUNS]:  # those that only one deselected test needs stay unstarted
        if name in chosen:
            every.start(name)
    yield every
    every.pool.shutdown(cancel_futures=True)
