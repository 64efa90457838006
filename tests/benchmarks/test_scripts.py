"""The benchmarks' arithmetic, and that their scripts start. The benchmarks themselves are run by hand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["cpu_training", "startup", "gpu_training", "install_matrix", "raters", "soak", "classroom"]
)
def test_the_scripts_say_what_they_do(name):
    said = subprocess.run([sys.executable, HERE / f"{name}.py", "--help"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "python tests/benchmarks/" in said.stdout


def test_flops_of_llama_3_8b():
    """8.03e9 weights, 0.53e9 of them the embedding, which multiplies nothing."""
    gpu = script("gpu_training")
    assert gpu.flops_per_token(gpu.SHAPES["llama3-8b"], 0) == pytest.approx(6 * 7.504e9, rel=1e-3)
    assert gpu.flops_per_token(gpu.SHAPES["llama3-8b"], 2048) / gpu.flops_per_token(gpu.SHAPES["llama3-8b"], 0) == pytest.approx(1.036, abs=2e-3)  # fmt: skip


def test_the_whole_gpu_script_runs_on_a_tiny_shape(tmp_path):
    command = [sys.executable, HERE / "gpu_training.py", "--shape", "tiny", "--steps", "3", "--rows", "8", "--length", "128", "--folder", tmp_path]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]
    assert "tokens/s" in said.stdout and "of the matrix rate" in said.stdout
