"""What stands before a training command: DeepSpeed's, torchrun's or accelerate's flags, and the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sftkit.command import shell
from sftkit.command.others import HIDDEN
from sftkit.command.translation import Flag
from sftkit.command.words import of_setting, said

# Processes on each host; on all hosts; hosts.
PER_HOST, TOTAL, HOSTS = {"num_gpus", "num_accelerators", "nproc_per_node"}, {"num_processes"}, {"num_nodes", "nnodes", "num_machines"}  # fmt: skip
GPUS = {"include", "gpu_ids"}
TRAPS = {
    **dict.fromkeys(("num_gpus", "num_accelerators", "include"), "num_gpus"),
    **dict.fromkeys(("master_port", "main_process_port"), "master_port"),
    **dict.fromkeys(("config_file", "deepspeed_config_file"), "launcher_file"),
    "hostfile": "hostfile",
}
SILENT = {"module", "m"}
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)


class Launcher:
    """`.settings` and `.flags` of the words before a program, `.processes` of all hosts, `.notes`."""

    def __init__(self, script: shell.Script, lang: str):
        self._lang = lang
        self.settings: dict[str, Any] = {}
        self.flags: list[Flag] = []
        self.notes: list[str] = []
        self._gpus: list[int] = []
        self._visible: list[int] = []
        self._each = self._all = 0
        self._hosts = 1
        for name, value in self._assigned(script):
            self._variable(name, value)
        for flag, values in self._pairs(script.before):
            self._flag(flag, values)
        self._settle(script)

    @property
    def processes(self) -> int:
        """Processes on all hosts; 1 where nothing is said."""
        return self._all or self._each * self._hosts or len(self._gpus) or 1

    def _assigned(self, script: shell.Script) -> list[tuple[str, str]]:
        """Variables that the command gets: those before it on its line, and the known ones that the script exports."""
        own = [re.fullmatch(r"([A-Z_][A-Z0-9_]*)=(.*)", word, re.DOTALL) for word in script.before]
        known = re.compile(r"CUDA_VISIBLE_DEVICES|NCCL_\w+|HF_\w+|WANDB_\w+|\w+_(KEY|TOKEN)|OMP_NUM_THREADS")
        exported = [
            (name, " ".join(values)) for name, values in script.variables.items() if known.fullmatch(name)
        ]
        return exported + [(found[1], found[2]) for found in own if found]

    def _variable(self, name: str, value: str) -> None:
        trap = ""
        if name == "CUDA_VISIBLE_DEVICES":
            self._visible = _numbers(value)
            self.flags.append(Flag(name, value, "gpus", of_setting("gpus")))
            return
        if SECRET.search(name):
            value, trap = HIDDEN, said("trap", "secret_variable", self._lang)
        self.flags.append(Flag(name, value, None, said("flag", "environment", self._lang), trap))

    def _pairs(self, words: list[str]) -> list[tuple[str, list[str]]]:
        pairs: list[tuple[str, list[str]]] = []
        for word in words:
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                pairs.append((name.replace("-", "_"), [value] if equals else []))
            elif pairs and not word.startswith("-"):
                pairs[-1][1].append(word)
        return pairs

    def _flag(self, flag: str, values: list[str]) -> None:
        value = values[0] if values else ""
        count = int(value) if value.isdigit() else 0
        setting, key, trap = None, "launcher", TRAPS.get(flag, "")
        if flag in SILENT:
            return
        if flag in PER_HOST:
            self._each, setting, key = count, "num_processes", "processes"
        elif flag in TOTAL:
            self._all, setting = count, "num_processes"
        elif flag in HOSTS:
            self._hosts, key, trap = max(1, count), "hosts", "hosts" if count > 1 else ""
        elif flag in GPUS:
            self._gpus, setting = _numbers(value.rpartition(":")[2]), "gpus"
        elif flag == "hostfile":
            setting = "hostfile"
            self.settings |= {"hostfile": value, "launcher": "pdsh"}
            self._all = _slots(value)
        elif flag == "zero_stage":
            self.settings["zero_stage"], setting = value, "zero_stage"
        elif flag == "mixed_precision":
            self.settings |= {"bf16": value == "bf16", "fp16": value == "fp16"}
            setting = "bf16"
        elif flag == "launcher":
            self.settings["launcher"], setting = value.lower(), "launcher"
        elif flag == "no_ssh":
            self.settings["launcher"], setting = "manual", "launcher"
        self._add(flag, value, setting, key, trap)

    def _add(self, flag: str, value: str, setting: str | None, key: str, trap: str) -> None:
        sentence = of_setting(setting) if setting and key == "launcher" else said("flag", key, self._lang)
        self.flags.append(
            Flag(f"--{flag}", value, setting, sentence, said("trap", trap, self._lang) if trap else "")
        )

    def _settle(self, script: shell.Script) -> None:
        """GPUs and processes, where both are said, without contradiction."""
        several = self._hosts > 1 or "launcher" in self.settings
        count = self.processes
        gpus = self._gpus or self._visible
        if gpus and not several:
            asked = self._all or self._each
            self.settings["gpus"] = gpus[:asked] if asked else gpus
            if asked > len(gpus):
                self.settings |= {"gpus": None, "num_processes": asked}
            self._each, self._all = self._each, len(self.settings["gpus"] or ()) or asked
        elif self._all or self._each:
            self.settings["num_processes"] = count
        elif (
            any(Path(word).name == "deepspeed" for word in script.before) and "launcher" not in self.settings
        ):
            self.notes.append(said("note", "all_gpus", self._lang))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)]


def _slots(path: str) -> int:
    """The sum of a hostfile's slots; 0 where it cannot be read."""
    try:
        # A pasted command may name a pipe or a device, which would be read for ever.
        text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    except (OSError, ValueError):
        return 0
    return sum(int(found) for found in re.findall(r"(?m)^[^#\n]*\bslots=(\d+)", text))
