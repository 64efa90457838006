"""Preflight checks of going on from a checkpoint: whether there is one, whose it is, and whether its data is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import file_facts
from sftkit.data.fingerprint import mark, size_of
from sftkit.data.reading import named_sources
from sftkit.errors import DataError
from sftkit.runs import facts, identity
from sftkit.runs import folder as disk
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import listed, say

ANEW = {"load_checkpoint": False, "ckpt_path": None}
ANEW_LABEL = say("Start anew, with checkpoints in the run's own folder")


@check
def something_to_resume(look: Look) -> Iterator[Finding]:
    place = look.config.ckpt_path
    there = disk.newest_checkpoint(Path(place)) if place else None
    if look.config.load_checkpoint and there is None:
        why = say("{place} holds none", place=place) if place else say("a new run's own folder holds none")
        yield Finding("warn", "load_checkpoint", say("There is no checkpoint to go on from ({why}): the run starts at step 0. run.resume() goes on with an earlier run.", why=why), {"load_checkpoint": False}, say("Turn it off"))  # fmt: skip
    elif there is not None and not look.config.load_checkpoint:
        yield Finding("stop", "ckpt_path", say("{place} holds checkpoints already, up to {name}; to go on from them, set load_checkpoint.", place=place, name=there.name), {"ckpt_path": None}, say("Keep checkpoints in the run's own folder"))  # fmt: skip


@check
def the_checkpoint_is_of_this_run(look: Look) -> Iterator[Finding]:
    """The worker would refuse it too, after the model and all data are loaded."""
    if (found := _to_go_on_from(look)) is None:
        return
    path, then = found
    now = identity.of_config(look.config, then.get("data", ""))
    different = identity.differing(then, now)
    if not different:
        return
    words = listed((identity.difference(name, then, now) for name in different), "; ")
    fix, label = ANEW, ANEW_LABEL
    if "model" not in different and _can_be_set(look.config, settings := {name: then.get(name) for name in different}):  # fmt: skip
        fix, label = settings, say("Take the checkpoint's settings: {settings}", settings=", ".join(f"{name}={value}" for name, value in settings.items()))  # fmt: skip
    yield Finding(
        "stop",
        "load_checkpoint",
        say("{path} belongs to another run: {words}.", path=path, words=words),
        fix,
        label,
    )


@check("device")
def the_data_is_as_it_was(look: Look) -> Iterator[Finding]:
    """Rows are tokenised anew at every start, so nothing stale is trained; but then they are not the checkpoint's."""
    if (found := _to_go_on_from(look)) is None:
        return
    known = {entry.get("path"): entry for entry in _record_of(found[0], look).get("data", []) if entry.get("split") == "train"}  # fmt: skip
    names, wanted = named_sources(look.config, "train")
    for name in names:
        entry = known.get(name, {})
        if entry.get("sha256") and (changed := _changed(name, wanted, entry)):
            yield Finding("stop", "dataset", say("{name} was changed since the checkpoint {found} was trained on it: {changed}.", name=name, found=found[0], changed=changed), ANEW, ANEW_LABEL)  # fmt: skip


def _to_go_on_from(look: Look) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint that the run would go on from, and the identity that it carries."""
    place = look.config.ckpt_path
    if not (place and look.config.load_checkpoint) or (path := disk.newest_checkpoint(Path(place))) is None:
        return None
    then = disk.read_json(path / "checkpoint.json").get("identity")
    return (path, then) if isinstance(then, dict) else None


def _can_be_set(config: SFTConfig, settings: dict[str, Any]) -> bool:
    try:
        config.with_(**settings)
    except ValueError:
        return False
    return True


def _record_of(checkpoint: Path, look: Look) -> dict[str, Any]:
    """run.json of the run that wrote a checkpoint: the folder around it, or the newest run that names its place."""
    if record := disk.read_json(checkpoint.parent.parent / disk.RUN):
        return record
    place = checkpoint.parent.resolve()
    for folder in look.runs:
        record = disk.read_json(folder / disk.RUN)
        named = record.get("config", {}).get("ckpt_path")
        if named and Path(record.get("cwd") or ".", named).resolve() == place:
            return record
    return {}


def _changed(name: str, wanted: str | None, entry: dict[str, Any]) -> str:
    """How a source differs from what run.json says of it; of a large one only what is quickly seen."""
    try:
        if size_of(name, wanted) > facts.AT_ONCE:
            return ""
        now = file_facts(name, wanted)
    except (DataError, OSError):  # another check says so
        return ""
    if mark(now) == mark(entry):
        return ""
    if now["sha256"] == entry["sha256"]:
        return say("another patch beside it")
    if now["rows"] != entry["rows"]:
        return say("{then} rows then, {now} now", then=entry["rows"], now=now["rows"])
    return say("the same number of rows, with another content")
