"""preflight: everything that is wrong, doubtful or worth knowing about settings, before a process starts.

A check is one small generator that takes a `Look` (settings and what has been read for them) and yields findings:

    @check
    def batch_larger_than_data(look):
        if look.rows and look.rows < look.config.train_batch_size:
            yield Finding("stop", "train_batch_size", "…", fix={"train_batch_size": look.rows}, fix_label="…")

Adding a check is adding such a function to one of the modules in CHECKS. No torch, no network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sftkit.config import SFTConfig


@dataclass(frozen=True)
class Finding:
    """One finding about one setting: "stop" (it cannot work), "warn" (it may not be meant) or "inform" (a figure)."""

    level: Literal["stop", "warn", "inform"]
    field: str
    message: str
    fix: dict[str, Any] = field(default_factory=dict)
    fix_label: str = ""

    def apply(self, config: SFTConfig) -> SFTConfig:
        """The settings with the fix carried out; the same settings where there is none."""
        return config.with_(**self.fix) if self.fix else config

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" + (f" Fix: {self.fix_label}." if self.fix_label else "")


def preflight(config: SFTConfig, runs_dir: str | Path = "runs") -> list[Finding]:
    return []
