"""Real rows of two shapes, read, mixed, packed and trained without a file made by hand between."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from tests.conftest import train

REAL = Path(__file__).parents[3] / "shared" / "real"
ALPACA, DOLLY = REAL / "alpaca_2000.jsonl", REAL / "dolly_3k.jsonl"


@pytest.mark.skipif(not ALPACA.exists() or not DOLLY.exists(), reason=f"REAL DATA MISSING: {ALPACA}, {DOLLY}")
def test_alpaca_and_dolly_train_together(tiny_model, tmp_path):
    config = SFTConfig(
        pretrain=str(tiny_model), dataset=f"{ALPACA},{DOLLY}", eval_dataset=str(DOLLY), eval_steps=-1, packing=True,
        max_len=256, train_batch_size=128, micro_train_batch_size=4, learning_rate=3e-3, zero_stage=2,
    )  # fmt: skip
    run = train(tmp_path, config)
    assert run.status["state"] == "finished"
    rows = int(re.search(r"Training data: ([\d,]+) rows", run.log)[1].replace(",", ""))
    assert rows > 4500  # of 4,996: the others have prompts longer than max_len
    assert run.status["total_steps"] == math.ceil(rows / 128)
    assert "have nothing to train" in run.log
    losses = run.column("loss")
    assert losses[-1] < losses[0] - 1.0
    memory = run.column("memory_mb")
    assert memory[-1] < 1.3 * memory[8]  # it does not grow with every new shape
    tasks = run.lines[-1]["eval_loss_by_task"]
    assert {"brainstorming", "closed_qa", "summarization"} <= set(tasks)
    assert "rows cut at max_len" in run.log or "did not fit" in run.log
