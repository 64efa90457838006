"""Models and checkpoints of others are data: a program hidden in one does not run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, GenerationError, RunError
from sftkit.generation.ask import model_path
from sftkit.runs import preflight, weights
from sftkit.training import loading


class Program:
    """What it is unpickled into is a call: here, one that leaves a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def pickled_model(tiny_model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model whose weights are a pickle with a program in it, and the mark that the program would leave."""
    folder, mark = tmp_path / "pickled", tmp_path / "mark"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Program(mark)}, folder / "pytorch_model.bin")
    return folder, mark


def test_the_program_would_run(tmp_path):
    """Else the tests below show nothing."""
    torch.save(Program(tmp_path / "mark"), tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "mark").is_dir()


def test_pickled_weights_are_refused_everywhere(pickled_model, tiny_rows):
    folder, mark = pickled_model
    with pytest.raises(GenerationError, match=r"pickles \(pytorch_model.bin\).*SFTKIT_PICKLE_WEIGHTS"):
        model_path("evil", folder)
    with pytest.raises(ConfigError, match="pickles"):
        loading.refuse_pickles(str(folder))
    found = preflight(SFTConfig(pretrain=str(folder), dataset=str(tiny_rows)))
    assert [one for one in found if one.level == "stop" and "pickles" in one.message]
    assert not mark.exists()


def test_transformers_opens_no_pickle_and_asked_for_runs_none(pickled_model, monkeypatch):
    from transformers import AutoModelForCausalLM

    folder, mark = pickled_model
    with pytest.raises(OSError, match="safetensors"):
        AutoModelForCausalLM.from_pretrained(folder, **weights.options())
    monkeypatch.setenv(weights.VARIABLE, "1")
    assert not weights.only_pickles(folder)
    with pytest.raises(Exception, match=r"[Ww]eights.only|Unsupported|GLOBAL"):
        AutoModelForCausalLM.from_pretrained(folder, **weights.options())
    assert not mark.exists()


def test_a_pickle_that_holds_only_numbers_is_read_where_it_is_asked_for(tiny_model, tmp_path, monkeypatch):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "old"
    shutil.copytree(tiny_model, folder)
    numbers = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(numbers, folder / "pytorch_model.bin")
    monkeypatch.setenv(weights.VARIABLE, "1")
    model = AutoModelForCausalLM.from_pretrained(folder, **weights.options())
    assert torch.equal(model.lm_head.weight, numbers["lm_head.weight"])


def test_an_adapter_that_is_a_pickle_is_refused(tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "x"}')
    torch.save(Program(mark), tmp_path / "adapter_model.bin")
    with pytest.raises(GenerationError, match=r"adapter_model\.bin"):
        model_path("evil", tmp_path)
    assert not mark.exists()


def test_code_that_comes_with_a_model_is_not_run(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM

    folder, mark = tmp_path / "remote", tmp_path / "mark"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    with pytest.raises(ValueError, match=r"custom code"):
        AutoModelForCausalLM.from_pretrained(folder, **weights.options())
    assert not mark.exists()


def test_every_load_of_a_model_is_told_so():
    """Statically: no from_pretrained without `weights.options()`, no torch.load without weights_only=True."""
    for path in (Path(__file__).parents[2] / "sftkit").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for call in ("AutoModelForCausalLM.from_pretrained(", "torch.load("):
            for after in text.split(call)[1:]:
                words = after[:250]
                told = "options()" in words if "from" in call else "weights_only=True" in words
                assert told, f"{path}: {call}{words[:80]}"


def test_whatever_deepspeed_asks_for_a_checkpoint_is_data(tmp_path):
    mark = tmp_path / "mark"
    torch.save({"module": torch.ones(2), "optimizer": Program(mark)}, tmp_path / "evil.pt")
    for zipped in (True, False):  # DeepSpeed writes the older form
        torch.save({"module": Program(mark)}, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(RunError, match=r"more than numbers.*mkdir"), loading.data_only(tmp_path):
            torch.load(tmp_path / "evil.pt", weights_only=False)
    assert not mark.exists()


def test_the_named_classes_are_let_in_and_only_meanwhile(tmp_path):
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

    scaler = DynamicLossScaler(2**16, 2, 1000, 1, 1, False, dtype=torch.float16)
    torch.save({"loss_scaler": scaler}, tmp_path / "fp16.pt", _use_new_zipfile_serialization=False)
    with loading.data_only(tmp_path):
        assert torch.load(tmp_path / "fp16.pt", weights_only=False)["loss_scaler"].cur_scale == 2**16
    assert DynamicLossScaler not in torch.serialization.get_safe_globals()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_that_goes_on_reads_its_checkpoint_so(tmp_path, monkeypatch, ranks):
    """As DeepSpeed itself reads it, and as it is read for another number of ranks."""
    from types import SimpleNamespace

    from sftkit.training import checkpoints, universal

    alone = SimpleNamespace(get_rank=lambda: 0, barrier=lambda: None, get_world_size=lambda: 1)
    monkeypatch.setattr(checkpoints, "dist", alone)
    monkeypatch.setattr(universal, "dist", alone)
    mark, file = tmp_path / "mark", tmp_path / "deepspeed" / "mp_rank_00_model_states.pt"
    file.parent.mkdir()
    torch.save({"module": Program(mark), "optimizer": {"state": {}}}, file)
    engine = SimpleNamespace(
        module=torch.nn.Linear(1, 1), load_checkpoint=lambda *_, **__: torch.load(file, weights_only=False)
    )
    config = SFTConfig(pretrain="m", dataset="d", zero_stage=0)
    with pytest.raises(RunError, match=r"more than numbers.*mkdir"):
        checkpoints.load(engine, tmp_path, {"ranks": ranks, "zero_stage": 0, "step": 1}, config)
    assert not mark.exists()


def test_a_random_state_that_is_a_program_is_refused(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from sftkit.training import checkpoints

    monkeypatch.setattr(checkpoints, "dist", SimpleNamespace(get_rank=lambda: 0, get_world_size=lambda: 1))
    torch.save(Program(tmp_path / "mark"), tmp_path / "random-0.pt")
    engine = SimpleNamespace(load_checkpoint=lambda *_, **__: None)
    config = SFTConfig(pretrain="m", dataset="d", zero_stage=0)
    with pytest.raises(RunError, match=r"more than numbers"):
        checkpoints.load(engine, tmp_path, {"ranks": 1, "zero_stage": 0, "step": 1}, config)
    assert not (tmp_path / "mark").exists()
