"""Preflight on what the machine lacks: cards, packages, trackers, hosts. Each fix mends its fault."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import Finding, check_hosts, check_settings, hardware, look, preflight
from tests.runs.provoking import provokes


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(cards=1, packages=["mlflow"], programs=["pdsh"])`: what there is, and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)

    def has(cards: int = 0, packages: tuple[str, ...] = (), programs: tuple[str, ...] = ()) -> None:
        there = [hardware.GPU(number, "H200", 143_000, 0, 0) for number in range(cards)]
        monkeypatch.setattr(hardware, "gpus", lambda timeout=5.0: there)
        monkeypatch.setattr(check_settings, "find_spec", lambda name: name in packages or None)
        monkeypatch.setattr(check_hosts.shutil, "which", lambda name: name if name in programs else None)
        look._gpus.cache_clear()

    has()
    yield has
    look._gpus.cache_clear()


@pytest.fixture
def settings(tiny_model, tiny_rows):
    def make(**changes) -> SFTConfig:
        return SFTConfig(
            **{"pretrain": str(tiny_model), "dataset": str(tiny_rows), "train_batch_size": 16} | changes
        )

    return make


def findings(config: SFTConfig, field: str, words: str = "") -> list[Finding]:
    return [item for item in preflight(config) if item.field == field and words in item.message]


def mended(config: SFTConfig, field: str, words: str) -> None:
    """Such a stop is found, and its fix leads to settings without it."""
    (finding,) = findings(config, field, words)
    assert finding.level == "stop" and finding.fix_label
    assert not findings(finding.apply(config), field, words)


def test_float16_without_a_gpu(machine, settings):
    config = settings(fp16=True, bf16=False)
    mended(config, "fp16", "no GPU here")
    machine(cards=1)
    assert not findings(config, "fp16")


@provokes("what_only_gpus_do")
def test_four_bits(machine, settings):
    config = settings(load_in_4bit=True, lora_rank=8)
    mended(config, "load_in_4bit", "no GPU here")
    mended(config, "load_in_4bit", "bitsandbytes")
    machine(cards=1, packages=("bitsandbytes",))
    assert not findings(config, "load_in_4bit")


@pytest.mark.parametrize(
    ("code", "package"), [("flash_attention_2", "flash_attn"), ("flash_attention_3", "flash_attn_interface")]
)
@provokes("attention_is_there")
def test_flash_attention(machine, settings, code, package):
    config = settings(attn_implementation=code)
    mended(config, "attn_implementation", "GPUs only")
    machine(cards=1)
    mended(config, "attn_implementation", package)
    machine(cards=1, packages=(package,))
    assert not findings(config, "attn_implementation")


def test_offload_without_a_gpu(machine, settings):
    assert [item.level for item in findings(settings(adam_offload=True), "adam_offload")] == ["inform"]


def test_lora_and_packing_are_there(machine, settings):
    config = settings(packing=True, lora_rank=8)
    assert not [item for item in preflight(config) if item.level == "stop"]


@provokes("trackers_are_there")
def test_trackers(machine, settings):
    machine(packages=("tensorboard",))
    config = settings(report_to=("tensorboard", "wandb"))
    mended(config, "report_to", 'wandb is not installed: pip install "sftkit-jupyter[wandb]"')
    assert findings(config, "report_to")[0].apply(config).report_to == ("tensorboard",)
    machine(packages=("tensorboard", "wandb"))
    assert not findings(config, "report_to")


# several hosts


def spread(settings, text: str | None, **changes) -> SFTConfig:
    if text is not None:
        Path("hostfile").write_text(text)
    return settings(**{"launcher": "pdsh", "hostfile": "hostfile", "num_processes": 2} | changes)


@provokes("hostfile_can_be_read", "what_the_hosts_must_share")
def test_hostfiles(machine, settings):
    machine(programs=("pdsh", "ssh"))
    assert [item.level for item in findings(spread(settings, None), "hostfile", "cannot be read")] == ["stop"]
    faulty = findings(spread(settings, "a slots=1\nb\na slots=2\n"), "hostfile")
    assert ["row 2" in item.message or "row 3" in item.message for item in faulty] == [True, True]
    mended(spread(settings, "a slots=1\nb slots=3\n", num_processes=2), "num_processes", "has 4 slots")
    sound = preflight(spread(settings, "a slots=1\nb slots=1\n"))
    assert not [item for item in sound if item.level == "stop"]
    assert [item for item in sound if item.field == "launcher" and "a shared disk" in item.message]


def test_hosts_have_cards_of_their_own(machine, settings):
    machine(cards=1, programs=("pdsh", "ssh"))
    config = spread(settings, "a slots=8\nb slots=8\n", num_processes=16, train_batch_size=128)
    assert not [item for item in preflight(config) if item.level == "stop"]


@provokes("the_starter_is_there")
def test_pdsh_is_not_there(machine, settings):
    config = spread(settings, f"{socket.gethostname()} slots=1\n", num_processes=1)
    (finding,) = findings(config, "launcher", "pdsh is not installed")
    assert not findings(finding.apply(config), "launcher", "installed")


@provokes("the_first_host_is_this_one")
def test_by_hand_this_machine_comes_first(machine, settings):
    here = f"{socket.gethostname()} slots=1\n"
    assert findings(
        spread(settings, "192.0.2.7 slots=1\n" + here, launcher="manual"), "hostfile", "not this machine"
    )
    assert not findings(spread(settings, here + "192.0.2.7 slots=1\n", launcher="manual"), "hostfile")
    unknown = spread(settings, here + "nobody.invalid slots=1\n", launcher="manual")
    assert findings(unknown, "hostfile", "No address is known here for the host nobody.invalid")


def test_slurm(machine, settings, monkeypatch):
    config = settings(launcher="slurm", num_processes=2)
    assert findings(config, "launcher", "no srun here")
    machine(programs=("srun",))
    assert "sbatch" in findings(config, "launcher", "not inside a Slurm job")[0].message
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert not [item for item in preflight(config) if item.level == "stop"]
    monkeypatch.setenv("SLURM_NTASKS", "1")
    (finding,) = findings(config, "num_processes", "given 1 tasks")
    assert finding.apply(config).num_processes == 1
