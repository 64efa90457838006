"""The report on a machine. nvidia-smi is a FAKE script that prints what the real one prints."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib import util

import pytest

import sftkit as sk
from sftkit.runs import hardware
from sftkit.runs import machine as room
from sftkit.runs import machine_findings as checks
from sftkit.runs.machine import machine

GB = 10**9
CARDS = """case "$*" in
*driver_version*) echo 535.161.08;;
*compute_cap*) echo "0, GPU-1, {capability}";;
*query-gpu*) echo "0, {name}, 81559, 4, 0";;
*) echo "| NVIDIA-SMI 535.161.08    Driver Version: 535.161.08    CUDA Version: 12.2     |";;
esac"""


@pytest.fixture
def here(monkeypatch):
    """This machine as if it had nothing to complain of, with no card."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return dataclasses.replace(
        machine(),
        gpus=(),
        memory=64 * GB,
        disk_free=500 * GB,
        cpu_flags=frozenset({"avx512_bf16"}),
        driver=None,
    )


def with_card(here, capability=(8, 0), cuda="12.1", **more):
    card = hardware.GPU(0, "NVIDIA A100", 81_559, 4, 0)
    driver = ("535.161.08", (12, 2))
    about = {"gpus": (card,), "capability": {0: capability}, "driver": driver, "torch_cuda": cuda}
    return dataclasses.replace(here, **{**about, "versions": here.versions | {"flash-attn": "2.8"}, **more})


def test_a_machine_without_faults_has_nothing_to_mend_and_shows_no_key(here):
    said = str(here)
    assert (
        said.endswith("Nothing to mend.")
        and "sk-not" not in said
        and "not-to-be-seen" not in repr(vars(here))
    )
    assert "OPENAI_API_KEY  set, not shown" in said and "HF_TOKEN        not set" in said
    assert here.settings == {"bf16": True, "fp16": False, "flash_attn": False}
    assert "没有需要修复之处" in here.said_in("zh")


def test_cards_by_the_driver(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + CARDS.format(name="NVIDIA H100", capability="9.0"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(room, "torch_cuda", lambda: "12.1")
    found = machine(tmp_path)
    assert found.driver == ("535.161.08", (12, 2)) and found.capability == {0: (9, 0)}
    assert found.settings["bf16"] and [gpu.id for gpu in found.usable] == [0]
    assert "NVIDIA H100, 85.5 GB, 85.5 GB of it free, compute capability 9.0" in str(found)


def test_no_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.driver() is None


FAULTS = {
    "torch without the cards": ({"torch_cuda": ""}, "warn", "built for the CPU", "whl/cu122"),
    "a driver too old": ({"torch_cuda": "13.0"}, "stop", "CUDA 13.0, and the driver knows CUDA 12.2", "torch for CUDA 12"),
    "an old card": ({"capability": (7, 5)}, "warn", "does not compute in bfloat16", "fp16=True"),
    "a hidden card": ({"visible": ()}, "inform", "hides GPU 0", "Unset it"),
    "little memory": ({"memory": 2 * GB}, "warn", "2 GB of memory is little", "one run at a time"),
    "little disk": ({"disk_free": 3 * GB}, "warn", "3 GB of disk is little", "runs_dir"),
    "no packages": ({"versions": {"torch": "2.9"}}, "stop", "Without deepspeed, transformers", "pip install"),
    "no widgets": ({"versions": {"torch": "2", "deepspeed": "0", "transformers": "5", "jupyterlab": "4"}}, "warn", "ipywidgets, anywidget", "where JupyterLab itself runs"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_with_what_mends_it(fault, here):
    changes, level, message, fix = FAULTS[fault]
    assert not with_card(here).findings
    found = [f for f in with_card(here, **changes).findings if message in f.message]
    assert [(f.level, fix in f.fix_label) for f in found] == [(level, True)]


def test_no_flash_attn_and_no_bf16_are_no_faults(here):
    plain = {name: version for name, version in here.versions.items() if name != "flash-attn"}
    (finding,) = with_card(here, versions=plain).findings
    assert finding.level == "inform" and "with the same result" in finding.message
    (finding,) = dataclasses.replace(here, cpu_flags=frozenset({"avx2"})).findings
    assert finding.level == "inform" and "bf16=False" in finding.fix_label


def test_what_suits_old_cards_and_new_ones(here):
    assert with_card(here).settings == {"bf16": True, "fp16": False, "flash_attn": True}
    assert with_card(here, capability=(7, 5)).settings == {"bf16": False, "fp16": True, "flash_attn": False}
    sk.SFTConfig(pretrain="m", dataset="d", **with_card(here, capability=(7, 5)).settings)


def test_a_card_whose_driver_is_gone(here, tmp_path, monkeypatch):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(checks, "DEVICES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = here.findings
    assert "nvidia-smi is not found" in finding.message and "--gpus all" in finding.fix_label


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("__version__ = '2.9'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "12.8"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", ""),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.1'\n", None),
        ("nothing\n", None),
    ],
)
def test_what_torch_was_built_for(text, cuda, tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('loaded')")
    (tmp_path / "torch/version.py").write_text(text)
    spec = util.spec_from_file_location("torch", tmp_path / "torch/__init__.py")
    monkeypatch.setattr(room, "find_spec", lambda name: spec)
    assert room.torch_cuda() == cuda


def test_nothing_heavy_is_loaded():
    code = "import sys, sftkit as sk; sk.machine().findings; print({'torch', 'transformers', 'deepspeed'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
