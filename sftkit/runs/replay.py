"""A finished run, launched anew: what it stood on, whether that is the same here, and whether the losses are.

    replay = Replay.of(run)
    print(replay.to_code())      # a notebook cell that needs neither the run nor its folder
    replay.differences()         # ["data data/train.jsonl is another file", …]; none: the losses should be the same
    again = replay.launch(); again.wait(); replay.compare(again)

The same data, model, settings, versions and machine give the same losses bit for bit. Another card, another number of
processes or another torch rounds otherwise, and the losses agree to some digits only.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data import file_facts
from sftkit.data.fingerprint import mark
from sftkit.errors import DataError, RunError
from sftkit.runs import facts
from sftkit.runs.launcher import launch, versions
from sftkit.runs.run import Run

# Where a run saves, what it goes on from and who is told: a replay saves in its own folder, begins anew, and tells nobody.
ALONE = {"save_path": None, "ckpt_path": None, "load_checkpoint": False, "report_to": None}
PLACES = (
    "pretrain",
    "chat_template",
    "hostfile",
)  # settings that may be paths; sources are handled beside them
WIDTH = 90  # characters of a line of code
SAME = "The same losses, bit for bit, in all {n:,} logged steps."


@dataclass(frozen=True)
class Replay:
    """What a run stood on. `data`: SHA-256 of each source, as "train: path"; `model`, `machine`, `versions` as in
    run.json; `settings`: a digest of all settings, defaults included; `losses`: a digest of the logged losses and,
    to compare by, `steps` (how many were logged), `first` and `last` (nats a token).

        replay = sk.Replay.of(run)
        replay.differences()        # []: the same data, model, settings, versions and machine, so the same losses
        print(replay.to_code())     # a cell that needs neither the run nor its folder
    """

    config: SFTConfig
    settings: str = ""
    data: dict[str, str | None] = field(default_factory=dict)
    model: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    losses: str = ""
    steps: int = 0
    first: float = math.nan
    last: float = math.nan

    @classmethod
    def of(cls, run: Run) -> Replay:
        """That of `run`, as its folder tells it."""
        record, config = run.record, run.config.with_(**ALONE)
        losses = _losses(run)
        machine = record.get("machine") or {}
        return cls(
            config=config,
            settings=_digest_of(config),
            data={f"{entry['split']}: {entry['path']}": mark(entry) for entry in run.data},
            model={name: value for name, value in (record.get("model") or {}).items() if name != "path"},
            machine={name: machine[name] for name in ("cpu", "cores", "gpus") if name in machine},
            versions=record.get("versions") or {},
            losses=_digest(losses),
            steps=len(losses),
            first=float(losses[0]) if len(losses) else math.nan,
            last=float(losses[-1]) if len(losses) else math.nan,
        )

    @property
    def placed(self) -> SFTConfig:
        """The settings with `~` in paths written out."""
        config = self.config
        changes = {name: _home(getattr(config, name)) for name in PLACES if getattr(config, name)}
        changes |= {"dataset": ", ".join(map(_home, config.sources))}
        if config.eval_dataset:
            changes["eval_dataset"] = ", ".join(map(_home, config.eval_sources))
        return config.with_(**changes)

    def differences(self) -> list[str]:
        """What is not here as it was there, in words: data, model and settings first, then versions and machine."""
        return [*self._other_inputs(), *self._other_surroundings()]

    def unknown(self) -> list[str]:
        """What the run did not record, so that nobody can tell whether it is the same, in words."""
        found = [
            f"what was in {name.replace(': ', ' data ', 1)}"
            for name, sha256 in self.data.items()
            if sha256 is None
        ]
        if not any(self.model.values()):
            found.append(f"which files {self.config.pretrain} had")
        parts = {"the versions": self.versions, "the machine": self.machine, "the data": self.data}
        return found + [name for name, value in parts.items() if not value]

    def _other_inputs(self) -> list[str]:
        """Differences with which it would be another run."""
        config, found = self.placed, []
        for name, sha256 in self.data.items():
            split, _, path = name.partition(": ")
            found += _other_data(split, path, sha256, config)
        model = facts.of_model(config.pretrain)
        if any(self.model.values()) and not model["weights"]:
            found.append(f"there is no model in {config.pretrain}")
        else:
            found += [
                f"the model has another {part}"
                for part, then in self.model.items()
                if then and model[part] != then
            ]
        if self.settings and _digest_of(self.config) != self.settings:
            found.append("a setting's default is another one in this version of sftkit")
        return found

    def _other_surroundings(self) -> list[str]:
        """Differences that change how numbers are rounded."""
        now = versions()
        found = [
            f"{name} was {then} and is {now.get(name, 'not installed')}"
            for name, then in self.versions.items()
            if now.get(name) != then
        ]
        here = facts.of_machine() if self.machine else {}
        return found + [
            f"{name} was {then!r} and is {here[name]!r}"
            for name, then in self.machine.items()
            if here[name] != then
        ]

    def launch(self, runs_dir: str | Path = "runs", *, anyway: bool = False) -> Run:
        """Launch the run anew. Raises `RunError` when data, model or settings differ, unless `anyway`, and `LaunchError`
        as `sftkit.launch` does."""
        if (others := self._other_inputs()) and not anyway:
            listed = "\n".join(f"  - {words}" for words in others)
            raise RunError(f"It would not be the same run:\n{listed}\nlaunch(anyway=True) launches it all the same.")  # fmt: skip
        return launch(self.placed, runs_dir)

    def compare(self, run: Run) -> str:
        """How the losses of `run` compare with those of the run that was replayed, in a sentence."""
        losses = _losses(run)
        if len(losses) != self.steps:
            return f"{len(losses):,} steps are logged, {self.steps:,} were: the run is {run.status.state}."
        if not self.steps:
            return "No loss was logged."
        if _digest(losses) == self.losses:
            return SAME.format(n=self.steps)
        told = ", ".join(f"{name} loss {now:.6f}, was {then:.6f}" for name, now, then in (("first", losses[0], self.first), ("last", losses[-1], self.last)))  # fmt: skip
        return f"Other losses: {told}."

    def to_code(self) -> str:
        """Python for a notebook cell, to be run in the folder that the paths start from."""
        inside = self.config.to_code().replace("\n", "\n    ")
        lines = [f"    config={inside},"]
        for name in ("settings", "data", "model", "machine", "versions", "losses", "steps", "first", "last"):
            value = getattr(self, name)
            lines.append(f"    {name}={_literal(value)},")
        return "\n".join(
            [
                "import sftkit as sk",
                "",
                "replay = sk.Replay(",
                *lines,
                ")",
                "for difference in replay.differences():",
                '    print("differs:", difference)',
                "for thing in replay.unknown():",
                '    print("not recorded:", thing)',
                "again = replay.launch()",
                "again.wait()",
                "print(replay.compare(again))",
            ]
        )


def _literal(value: Any) -> str:
    """A value as Python, over several lines where it is long."""
    if isinstance(value, float) and math.isnan(value):
        return 'float("nan")'
    if isinstance(value, dict) and len(repr(value)) > WIDTH:
        return "\n".join(["{", *(f"        {name!r}: {part!r}," for name, part in value.items()), "    }"])
    return repr(value)


def _other_data(split: str, path: str, sha256: str | None, config: SFTConfig) -> list[str]:
    if sha256 is None:
        return []  # it was not known
    try:
        wanted = config.dataset_split if split == "train" else config.eval_split
        now = mark(file_facts(_home(path), wanted))
    except (DataError, OSError) as error:
        return [f"{split} data {path} cannot be read here: {error}"]
    return [] if now == sha256 else [f"{split} data {path} is another file"]


def _home(path: str) -> str:
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _losses(run: Run) -> np.ndarray:
    """The logged losses in order of their steps, float64."""
    points = run.metrics()[["step", "loss"]].dropna().sort_values("step")
    return points["loss"].to_numpy(np.float64)


def _digest(losses: np.ndarray) -> str:
    return hashlib.sha256(losses.astype("<f8").tobytes()).hexdigest()


def _digest_of(config: SFTConfig) -> str:
    """Of the settings that are not places: these may be written in another way."""
    places = {*PLACES, "dataset", "eval_dataset"}
    settings = {name: value for name, value in config.to_dict().items() if name not in places}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
