"""Preflight of this machine: cards that are old or in use, a port, the CPU, secrets. nvidia-smi is a FAKE script."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import cards, check_machine, hardware, look, preflight, queue
from tests.runs.provoking import provokes
from tests.runs.test_preflight import mended, one, settings, world

__all__ = ["world"]  # the fixture
ASK_GPUS = hardware.gpus  # the fixture replaces it
SCRIPT = """#!/bin/sh
case "$1" in
  --query-compute-apps=*) {users} ;;
  *compute_cap*) echo '0, GPU-a, {capability}'; echo '1, GPU-b, {capability}' ;;
  *) echo '0, {name}, 81920, {used}, 0'; echo '1, {name}, 81920, 4, 0' ;;
esac
"""


@pytest.fixture
def smi(world, tmp_path, monkeypatch):
    """`smi(used=70000, capability="7.5", users=[...])`: two cards; what the first one has in use, and by whom."""

    def has(used: int = 4, capability: str = "9.0", users: tuple[tuple[str, int, int], ...] = ()) -> None:
        lines = "; ".join(f"echo '{uuid}, {pid}, {held}'" for uuid, pid, held in users) or ":"
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(SCRIPT.format(users=lines, capability=capability, used=used, name="NVIDIA H100"))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.setattr(hardware, "gpus", ASK_GPUS)
        look._gpus.cache_clear()

    return has


def keys(**changes) -> list[str]:
    return [item.key for item in preflight(settings(**changes)) if item.level != "inform"]


def test_two_free_cards_are_no_matter(smi):
    smi()
    assert not keys() and not keys(gpus=[0, 1])
    assert cards.cards()[1] == cards.Card(1, "GPU-b", (9, 0))


@provokes("gpus_are_free")
def test_a_card_in_use_names_who_uses_it(smi):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        try:
            smi(used=70_000, users=(("GPU-a", other.pid, 50_000), ("GPU-a", os.getpid(), 20_000), ("GPU-b", 1, 5)))  # fmt: skip
            finding = one("warn", "gpus", "GPU 0 (NVIDIA H100) is in use: 70000 of 81920 MiB taken")
        finally:
            other.kill()
    assert f"pid {other.pid} (50000 MiB)" in finding.message and "time.sleep" in finding.message
    assert f"this kernel itself, pid {os.getpid()} (20000 MiB)" in finding.message
    assert finding.fix == {"gpus": [1]}
    mended(finding)


def test_a_card_that_another_run_uses(smi, tmp_path):
    folder = tmp_path / "runs" / "20261124-101500-tiny"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(folder)]) as other:
        try:
            smi(used=70_000, users=(("GPU-a", other.pid, 50_000),))
            assert f"by the run 20261124-101500-tiny, pid {other.pid}" in one("warn", "gpus", "is in use").message  # fmt: skip
        finally:
            other.kill()


def test_a_fix_brings_what_it_needs_with_it(smi):
    """Two processes cannot share a batch for three: the fix takes another batch too."""
    smi()
    changes = {"num_processes": 3, "train_batch_size": 12, "micro_train_batch_size": 4}
    finding = one("stop", "num_processes", "3 processes and 2 GPUs", **changes)
    assert finding.fix == {"num_processes": 2, "train_batch_size": 16}
    assert finding.fix_label == "Set num_processes=2, train_batch_size=16"
    mended(finding, **changes)


def test_users_that_are_not_seen_and_a_driver_that_does_not_say(smi):
    smi(used=70_000, users=(("GPU-a", 2**22 + 7, 50_000), ("GPU-c", 1, 1)))
    assert "a process that is not seen from here" in one("warn", "gpus", "is in use").message
    smi(used=70_000)
    assert one("warn", "gpus", "is in use").message.endswith("taken.")


@provokes("cards_compute_in_bf16")
def test_cards_without_bfloat16(smi):
    smi(capability="7.5")
    finding = one("stop", "bf16", "GPU 0 does not compute in bfloat16 (compute capability 7.5")
    assert finding.fix == {"bf16": False, "fp16": True, "attn_implementation": "sdpa", "flash_attn": False}
    mended(finding)
    changes = {"bf16": False, "fp16": True}  # torch's own flash attention is not for old cards either
    mended(one("stop", "attn_implementation", "GPU 0 has 7.5", **changes), **changes)
    smi(capability="[N/A]")
    assert not keys()


@provokes("cards_have_flash_attention")
def test_cards_too_old_for_flash_attention(smi, monkeypatch):
    smi(capability="8.0")
    changes = {"attn_implementation": "flash_attention_3"}
    finding = one("stop", "attn_implementation", "needs compute capability 9.0; GPU 0 has 8.0", **changes)
    mended(finding, **changes)


@provokes("the_port_is_free")
def test_a_port_that_is_taken(world, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        one("inform", "launcher", f"The port {port} (MASTER_PORT) is taken by this kernel itself, pid {os.getpid()}")  # fmt: skip
    assert not [item for item in preflight(settings()) if item.key == "the_port_is_free"]
    for wrong in ("many", "999999"):
        monkeypatch.setenv("MASTER_PORT", wrong)
        one("inform", "launcher", f"MASTER_PORT={wrong} is no port")


@pytest.mark.parametrize(("flags", "level"), [({"avx2"}, "warn"), ({"avx2", "avx512f"}, "inform")])
@provokes("the_cpu_computes_in_bf16")
def test_a_cpu_without_bfloat16(world, monkeypatch, flags, level):
    monkeypatch.setattr(check_machine, "cpu_flags", lambda: flags)
    finding = one(level, "bf16", "has no instructions for bfloat16")
    mended(finding)
    monkeypatch.setattr(check_machine, "cpu_flags", set)  # a machine that does not say
    assert "the_cpu_computes_in_bf16" not in [item.key for item in preflight(settings())]


def test_the_flags_of_this_cpu():
    assert check_machine.cpu_flags() or "flags" not in Path("/proc/cpuinfo").read_text()


# secrets; none of these is one


@pytest.mark.parametrize(
    ("field", "value", "variable"),
    [
        ("pretrain", "hf_" + "abcdefghijklmnopqrstuvwx", "HF_TOKEN"),
        ("save_path", "out/sk-" + "proj-0123456789abcdef", "OPENAI_API_KEY"),
        ("task_key", "0123456789abcdef" * 2 + "01234567", "WANDB_API_KEY"),
        ("dataset", "https://ana:" + "swordfish@host/rows.jsonl", "a file that only you may read"),
    ],
)
@provokes("no_secret_is_in_the_open")
def test_a_secret_in_a_setting(world, field, value, variable):
    finding = one("stop", field, "looks like a secret", **{field: value})
    assert variable in finding.message and value not in finding.message
    if not SFTConfig.model_fields[field].is_required():
        mended(finding, **{field: value})


@provokes("no_secret_is_in_the_open")
def test_a_secret_on_the_command_line(world, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sftkit", "launch", "--use_wandb", "wandb_v1_" + "0123456789abcdefgh"])
    finding = one("warn", "", "The command line holds what looks like a secret (wand…)")
    assert "0123456789" not in finding.message


def test_paths_that_look_a_little_like_secrets(world):
    snapshot = "models--a--b/snapshots/" + "0123456789abcdef" * 2 + "01234567"
    for path in (snapshot, "data/risk-model-2024-final-version", "hf_models/llama"):
        assert "no_secret_is_in_the_open" not in keys(save_path=path), path


# time


@provokes("time_of_the_run")
def test_the_time_of_a_run_like_an_earlier_one(world):
    assert "time_of_the_run" not in [item.key for item in preflight(settings())]
    for name, speed, changes in (("20260101-1", 100, {}), ("20260102-1", 9e9, {"packing": True})):
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        config = SFTConfig(**settings(**changes)).to_dict()
        (folder / "run.json").write_text(json.dumps({"config": config, "processes": 1, "cwd": str(Path.cwd())}))  # fmt: skip
        lines = [{"step": 1, "loss": 2, "tokens_per_second": speed}, {"step": 1, "eval_loss": 2}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    finding = one("inform", "max_epochs", "tokens a second of the run 20260101-1", max_epochs=100)
    assert "About 44 min, at the 100 tokens a second" in finding.message  # 64 rows of 41 tokens, 100 times


@provokes("no_other_run_of_ours_is_there")
def test_a_run_of_ours_on_the_same_device_is_named(world, smi, tmp_path, monkeypatch):
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    cpu = queue.Ticket("on-the-cpu", tmp_path, ["CPU"], waits=False)
    found = one("warn", "gpus", "CPU is used by the run on-the-cpu")
    assert "queue=True" in found.message
    smi()
    assert not keys(gpus=[0, 1])
    first = queue.Ticket("on-a-card", tmp_path, ["GPU 1"], waits=False)
    second = queue.Ticket("behind-it", tmp_path, ["GPU 1"], waits=True)
    one("warn", "gpus", "GPU 1 is used by the run on-a-card, behind-it (waiting)", gpus=[0, 1])
    assert not keys(gpus=[0])
    for ticket in (cpu, first, second):
        ticket.leave()
    assert not keys(gpus=[0, 1])
