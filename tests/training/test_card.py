"""The model card beside a model that was really trained."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sftkit.config import SFTConfig
from sftkit.runs.model_card import MARK
from tests.conftest import train


def test_an_exported_model_has_its_card_and_somebody_elses_readme_stays(tiny_model, tiny_rows, tmp_path):
    config = SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False, zero_stage=1, train_batch_size=32,
        save_path=str(tmp_path / "tuned"), sample_prompts=0,
    )  # fmt: skip
    train(tmp_path / "first", config)
    card = tmp_path / "tuned" / "README.md"
    text = card.read_text(encoding="utf-8")
    assert MARK in text and "# tuned" in text and "| rows trained on | 64 |" in text and "CPU" in text
    assert str(tmp_path) not in text
    card.write_text("# My own words", encoding="utf-8")
    run = train(tmp_path / "second", config)
    assert card.read_text(encoding="utf-8") == "# My own words"
    assert MARK in (tmp_path / "tuned" / "README-sftkit.md").read_text(encoding="utf-8")
    assert "is not ours and stays" in run.log


@pytest.mark.parametrize("settings", [{}, {"lora_rank": 4, "merge_lora": False}], ids=["whole", "adapter"])
def test_the_code_on_the_card_loads_the_model_and_asks_it(tiny_model, tiny_rows, tmp_path, settings):
    config = SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False, zero_stage=1, train_batch_size=32,
        save_path=str(tmp_path / "tuned"), sample_prompts=0, **settings,
    )  # fmt: skip
    train(tmp_path / "run", config)
    code = re.search(
        r"```python\n(.*?)```", (tmp_path / "tuned" / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )[1]
    code = code.replace("max_new_tokens=256", "max_new_tokens=4")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
