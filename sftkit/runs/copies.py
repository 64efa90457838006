"""The settings of a copy of a run: changed, meaning the same files from another folder, and overwriting nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig

READ = ("pretrain", "chat_template", "hostfile")  # paths, or names that are no paths
SOURCES = ("dataset", "eval_dataset")  # several with commas between
WRITTEN = ("save_path", "ckpt_path")


def settings_for_copy(
    config: SFTConfig, cwd: Path, changes: dict[str, Any], others: list[dict[str, Any]]
) -> SFTConfig:
    """`config`, of a run launched in the folder `cwd`, as settings for a new run launched in the present folder.

    `others`: run.json of the runs beside it, whose places are not free even before they have saved anything. Raises
    ConfigError for changes that do not fit.
    """
    settings = _from_here(config, cwd) if cwd.absolute() != Path.cwd() else config.to_dict()
    for name in WRITTEN:
        if settings[name] and name not in changes:
            settings[name] = _free_name(settings[name], _claimed(others))
    if config.load_checkpoint and "ckpt_path" not in changes:
        settings["load_checkpoint"] = False  # in the new place there is none
    return SFTConfig(**{**settings, **changes})


def _free_name(path: str, claimed: set[Path]) -> str:
    """`path` with the first of -2, -3, … that is neither there nor claimed."""
    stem, number = path.rstrip("/"), 2
    while (place := Path(f"{stem}-{number}").absolute()).exists() or place in claimed:
        number += 1
    return f"{stem}-{number}"


def _claimed(records: list[dict[str, Any]]) -> set[Path]:
    """Where these runs save outside their folders."""
    found = set()
    for record in records:
        settings = record.get("config")
        for name in WRITTEN if isinstance(settings, dict) else ():
            if isinstance(place := settings.get(name), str):
                found.add(Path(str(record.get("cwd") or "."), place).absolute())
    return found


def _from_here(config: SFTConfig, cwd: Path) -> dict[str, Any]:
    """Paths that were relative to `cwd` made absolute; names on the hub stay."""
    settings = config.to_dict()

    def there(name: str) -> str:
        return str(cwd / name) if (cwd / name).exists() else name

    for name in READ:
        if settings[name]:
            settings[name] = there(settings[name])
    for name, parts in zip(SOURCES, (config.sources, config.eval_sources), strict=True):
        if settings[name]:
            settings[name] = ", ".join(map(there, parts))
    for name in WRITTEN:
        if settings[name]:
            settings[name] = str(cwd / settings[name])
    return settings
