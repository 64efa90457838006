"""What stands in the way of a run on this machine, or slows it, and the command or step that mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sftkit.runs.findings import LEVELS, Finding
from sftkit.runs.folder import size_words
from sftkit.runs.machine import BF16_CARD, BF16_CPU, FLASH_CARD, Machine
from sftkit.wording import listed, say

GB = 10**9
LEAST_MEMORY = 4 * GB  # Python with torch and DeepSpeed takes one, for each process
LEAST_DISK = 10 * GB  # a checkpoint of a model of 1B weights takes 14
LEAST_SHARED = 1 * GB  # NCCL's rings between the cards of a machine
DEVICES = Path("/dev")


def findings(machine: Machine) -> list[Finding]:
    """All of them, the grave ones first."""
    made = [finding for check in CHECKS for finding in check(machine)]
    return sorted(made, key=lambda finding: LEVELS.index(finding.level))


def packages_are_there(machine: Machine) -> Iterator[Finding]:
    missing = [name for name in ("torch", "deepspeed", "transformers") if name not in machine.versions]
    if missing:
        yield _finding("stop", say("Without {missing} nothing trains here.", missing=listed(missing)), say("In this environment: pip install sftkit-jupyter"))  # fmt: skip


def driver_answers(machine: Machine) -> Iterator[Finding]:
    if machine.gpus or not any(DEVICES.glob("nvidia[0-9]*")):
        return
    what = say("does not answer") if shutil.which("nvidia-smi") else say("is not found")
    yield _finding("warn", say("There is an NVIDIA card, but nvidia-smi {what}: it cannot be used.", what=what), say("Restart the machine after a driver update; in a container, start it with the cards (docker run --gpus all)"))  # fmt: skip


def torch_knows_the_cards(machine: Machine) -> Iterator[Finding]:
    if not machine.gpus or machine.torch_cuda is None:
        return
    newest = machine.driver[1] if machine.driver else None
    if machine.torch_cuda == "":
        index = f"cu{newest[0]}{newest[1]}" if newest else "cu126"
        yield _finding("warn", say("There are GPUs, but torch was built for the CPU: they stay idle."), say("In this environment: pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{index} (the CUDA of your driver or an older one that is listed there)", index=index))  # fmt: skip
    elif newest and int(machine.torch_cuda.split(".")[0]) > newest[0]:
        yield _finding("stop", say("torch was built for CUDA {built}, and the driver knows CUDA {major}.{minor} at most.", built=machine.torch_cuda, major=newest[0], minor=newest[1]), say("Update NVIDIA's driver, or install a torch for CUDA {major}", major=newest[0]))  # fmt: skip


def cards_are_visible(machine: Machine) -> Iterator[Finding]:
    if machine.visible is None or not machine.gpus:
        return
    hidden = [gpu.id for gpu in machine.gpus if str(gpu.id) not in machine.visible]
    if hidden and all(entry.isdigit() for entry in machine.visible):  # UUIDs say nothing of ids
        yield _finding("inform", say("CUDA_VISIBLE_DEVICES hides GPU {hidden} from this notebook.", hidden=listed(hidden)), say("Unset it before JupyterLab starts, if that is not meant"))  # fmt: skip


def old_cards(machine: Machine) -> Iterator[Finding]:
    old = [gpu for gpu in machine.usable if machine.capability.get(gpu.id, BF16_CARD) < BF16_CARD]
    if old:
        yield _finding("warn", say("{name} does not compute in bfloat16, the default.", name=old[0].name), say("Set bf16=False, fp16=True, attn_implementation=\"sdpa\""))  # fmt: skip


def flash_attention(machine: Machine) -> Iterator[Finding]:
    modern = machine.usable and all(machine.capability.get(gpu.id, (0, 0)) >= FLASH_CARD for gpu in machine.usable)  # fmt: skip
    if modern and "flash-attn" not in machine.versions:
        yield _finding("inform", say("flash-attn is not installed: torch's own flash attention is used, with the same result."), say("Only if you want that very package: pip install flash-attn --no-build-isolation (compiles for a long time)"))  # fmt: skip


def bfloat16_on_the_cpu(machine: Machine) -> Iterator[Finding]:
    if not machine.usable and machine.cpu_flags and not machine.cpu_flags & BF16_CPU:
        yield _finding("inform", say("This CPU has no instructions for bfloat16: float32 is faster here."), say("Set bf16=False, as the lessons do"))  # fmt: skip


def room(machine: Machine) -> Iterator[Finding]:
    if machine.memory < LEAST_MEMORY:
        yield _finding("warn", say("{size} of memory is little: one training process takes a gigabyte before the model.", size=size_words(machine.memory)), say("Train tiny models only, one run at a time"))  # fmt: skip
    if machine.disk_free < LEAST_DISK:
        yield _finding("warn", say("{size} of disk is little: a checkpoint takes 14 bytes for each weight.", size=size_words(machine.disk_free)), say("Delete old runs, or give launch another runs_dir"))  # fmt: skip


def shared_memory(machine: Machine) -> Iterator[Finding]:
    place = DEVICES / "shm"
    if len(machine.usable) < 2 or not place.is_dir():
        return
    size = shutil.disk_usage(place).total
    if size < LEAST_SHARED:
        yield _finding("warn", say("/dev/shm has {size}: several GPUs talk to each other through it.", size=size_words(size)), say("In a container: docker run --shm-size=8g"))  # fmt: skip


def widgets_are_there(machine: Machine) -> Iterator[Finding]:
    missing = [name for name in ("jupyterlab", "ipywidgets", "anywidget") if name not in machine.versions]
    if missing:
        yield _finding("warn", say("{missing} is not installed beside this kernel: forms and curves may not show.", missing=listed(missing)), say("Install it where JupyterLab itself runs (pip install jupyterlab ipywidgets anywidget), restart JupyterLab and reload the page"))  # fmt: skip


CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    packages_are_there,
    driver_answers,
    torch_knows_the_cards,
    cards_are_visible,
    old_cards,
    flash_attention,
    bfloat16_on_the_cpu,
    room,
    shared_memory,
    widgets_are_there,
)


def _finding(level: str, message: str, fix: str) -> Finding:
    return Finding(level, "", message, fix_label=fix)  # type: ignore[arg-type]
