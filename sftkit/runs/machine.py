"""What this machine can do for a run, and what would mend it, found without loading torch or deepspeed.

    sk.machine()                    # in a notebook; `sftkit doctor` without settings prints the same
    sk.machine().settings           # what suits it, such as {"bf16": False}: sk.SFTConfig(…, **sk.machine().settings)

Versions come from the packages' metadata, what torch was built for from its version.py, cards from nvidia-smi, keys from
the environment: whether they are there, never what they are.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sftkit.runs import cards, facts, hardware
from sftkit.runs.classroom import runs_folder
from sftkit.runs.findings import Finding
from sftkit.runs.folder import size_words
from sftkit.runs.look import existing
from sftkit.wording import Said, in_language, listed, say

TRAINS = ("torch", "deepspeed", "transformers", "flash-attn", "bitsandbytes")
SHOWS = ("jupyterlab", "ipywidgets", "anywidget")
KEYS = ("OPENAI_API_KEY", "HF_TOKEN")
MB = 2**20
COLUMNS = 100  # of the report: a notebook's cell is hardly wider
BF16_CARD = FLASH_CARD = (8, 0)  # Ampere
BF16_CPU = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Machine:
    """What there is. Sizes in bytes; versions as installed.

    `torch_cuda`: the CUDA that torch was built for ("12.8"), "" for a CPU build, None where that cannot be seen.
    `driver`: NVIDIA's, and the newest CUDA it knows. `capability` of each card by its id. `keys`: which are set.
    """

    system: str
    python: str
    cpu: str
    cores: int
    cpu_flags: frozenset[str]
    memory: int
    memory_free: int
    runs_dir: Path
    disk_free: int
    gpus: tuple[hardware.GPU, ...]
    visible: tuple[str, ...] | None
    capability: dict[int, tuple[int, int]]
    driver: tuple[str, tuple[int, int] | None] | None
    versions: dict[str, str]
    torch_cuda: str | None
    keys: dict[str, bool]

    @property
    def usable(self) -> list[hardware.GPU]:
        """The cards that a run can use: there, visible, and known to torch."""
        seen = [gpu for gpu in self.gpus if self.visible is None or str(gpu.id) in self.visible]
        return seen if self.torch_cuda else []

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 is fast here: on every usable card, else on the CPU."""
        if self.usable:
            return all(self.capability.get(gpu.id, BF16_CARD) >= BF16_CARD for gpu in self.usable)
        return bool(self.cpu_flags & BF16_CPU)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of SFTConfig that suit this machine: bf16, fp16, flash_attn."""
        modern = bool(self.usable) and self.bf16
        return {
            "bf16": self.bf16,
            "fp16": bool(self.usable) and not self.bf16,
            "flash_attn": modern and "flash-attn" in self.versions,
        }

    @cached_property
    def findings(self) -> list[Finding]:
        """What is wrong or worth knowing, the grave first, each with what to do."""
        from sftkit.runs.machine_findings import findings

        return findings(self)

    def said_in(self, lang: str) -> str:
        """The report in "en" or "zh"."""
        rows = [(in_language(name, lang), in_language(words, lang)) for name, words in self._rows()]
        wide = max(_width(name) for name, _ in rows) + 2
        lines = [name + " " * (wide - _width(name)) + words for name, words in rows]
        told = [_finding(finding, lang) for finding in self.findings]
        fine = [in_language(say("Nothing to mend."), lang)]
        return "\n".join([*lines, "", *(told or fine)])

    def __str__(self) -> str:
        return self.said_in("en")

    __repr__ = __str__

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield say("system"), say("{system}, Python {python}", system=self.system, python=self.python)
        yield "CPU", self._cpu()
        yield say("memory"), _free(self.memory_free, self.memory)
        yield say("disk"), say("{free} free for runs", free=size_words(self.disk_free))
        for gpu in self.gpus:
            yield f"GPU {gpu.id}", self._card(gpu)
        if not self.gpus:
            yield "GPU", say("none: runs train on the CPU, by the same code")
        if self.driver:
            newest = ".".join(map(str, self.driver[1] or ()))
            known = say(", for CUDA up to {newest}", newest=newest) if newest else ""
            yield say("driver"), say("{version}{known}", version=self.driver[0], known=known)
        yield "torch", self._torch()
        for name in TRAINS[1:]:
            yield name, self.versions.get(name) or say("not installed{why}", why=self._why_not(name))
        yield "JupyterLab", listed(f"{name} {self.versions[name]}" for name in SHOWS if name in self.versions)
        for name in KEYS:
            yield name, say("set, not shown") if self.keys[name] else say("not set")

    def _cpu(self) -> Said:
        count = say("{n} cores", n=self.cores) if self.cores > 1 else say("1 core")
        how = say("fast in bfloat16") if self.cpu_flags & BF16_CPU else say("no bfloat16 instructions")
        return say("{cpu}, {count}, {how}", cpu=self.cpu, count=count, how=how)

    def _card(self, gpu: hardware.GPU) -> Said:
        capability = self.capability.get(gpu.id)
        how = (
            say(", compute capability {version}", version=".".join(map(str, capability)))
            if capability
            else ""
        )
        hidden = "" if gpu in self.usable else say(", not used")
        size = _free((gpu.memory_mb - gpu.used_mb) * MB, gpu.memory_mb * MB)
        return say("{name}, {size}{how}{hidden}", name=gpu.name, size=size, how=how, hidden=hidden)

    def _torch(self) -> Said:
        if "torch" not in self.versions:
            return say("not installed{why}", why="")
        built = {None: "", "": say(", built for the CPU")}.get(
            self.torch_cuda, say(", built for CUDA {cuda}", cuda=self.torch_cuda)
        )
        return say("{version}{known}", version=self.versions["torch"], known=built)

    def _why_not(self, name: str) -> str:
        if name == "flash-attn":
            return say(": torch's own attention does the same")
        return say(": only load_in_4bit needs it") if name == "bitsandbytes" else ""


def machine(runs_dir: str | Path = "runs") -> Machine:
    """What this machine can do, and what would mend it: cores, memory, disk, GPUs, versions, keys that are set.

        sk.machine()                            # the report, and under it what to do
        sk.machine().settings                   # {"bf16": …, "fp16": …, "flash_attn": …} for SFTConfig

    `runs_dir`: where the free disk is looked at. Nothing heavy is loaded; with GPUs it takes a second or two.
    """
    told, folder = facts.of_machine(), runs_folder(runs_dir)
    used, total = hardware.memory()
    there = tuple(hardware.gpus())
    visible = hardware.visible_ids()
    return Machine(
        system=told["system"],
        python=sys.version.split()[0],
        cpu=told["cpu"],
        cores=told["cores"],
        cpu_flags=frozenset(hardware.cpu_flags()),
        memory=total,
        memory_free=max(0, total - used),
        runs_dir=folder,
        disk_free=shutil.disk_usage(existing(folder)).free,
        gpus=there,
        visible=None if visible is None else tuple(visible),
        capability={card.id: card.capability for card in cards.cards() if card.capability} if there else {},
        driver=hardware.driver() if there else None,
        versions=_versions(),
        torch_cuda=torch_cuda(),
        keys={name: bool(os.environ.get(name)) for name in KEYS},
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in (*TRAINS, *SHOWS):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def torch_cuda() -> str | None:
    """The CUDA that the installed torch was built for, "" for a CPU build; None where there is none, or it is for other cards."""
    place = find_spec("torch")  # found, not loaded
    if place is None or not place.origin:
        return None
    try:
        text = Path(place.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    built = dict(re.findall(r"^(cuda|hip)\b[^=\n]*= *(?:'([\d.]+)|None)", text, re.MULTILINE))
    return None if built.get("hip") else built.get("cuda")


def _free(free: int, total: int) -> Said:
    return say("{total}, {free} of it free", total=size_words(total), free=size_words(free))


def _width(text: str) -> int:
    """Columns of a text in a fixed-width font: Chinese signs take two."""
    return sum(2 if ord(sign) > 0x2E80 else 1 for sign in text)


def _finding(finding: Finding, lang: str) -> str:
    """The finding with its mark, and below it what to do."""
    mark = {"stop": "✗", "warn": "!", "inform": "·"}[finding.level]
    parts = [(f"{mark} ", finding.message_in(lang)), ("    ", finding.label_in(lang))]
    return "\n".join(
        textwrap.fill(
            words, COLUMNS, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False
        )
        for mark, words in parts
        if words
    )
