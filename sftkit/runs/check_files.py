"""Preflight checks of paths: the model, the data, where the results go, and whether they fit there."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from sftkit.data import is_hub_id, is_hub_source
from sftkit.data.reading import READERS, named_sources
from sftkit.data.tables import data_files, is_saved, splits
from sftkit.errors import DataError
from sftkit.runs import folder as disk
from sftkit.runs import weights
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look, existing, hub_snapshot, is_whole
from sftkit.runs.sources import Seen, Split
from sftkit.wording import listed, said_of, say

# Bytes a weight: fp32 master, two fp32 Adam moments, and the weights themselves.
CHECKPOINT_BYTES, MODEL_BYTES = 16, 4


@check
def model_is_there(look: Look) -> Iterator[Finding]:
    name = look.config.pretrain
    if look.model is not None:
        return
    if Path(name).is_file():
        yield Finding(
            "stop",
            "pretrain",
            say("{name} is a file; the model is the folder that holds config.json.", name=name),
        )
    elif not is_hub_id(name):
        near = _nearest_paths(name, lambda path: (path / "config.json").is_file())
        fix = {"pretrain": near[0]} if near else {}
        yield _not_there("pretrain", say("There is no model folder {name}.", name=name), near, fix)
    elif os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "True") and not hub_snapshot(name):
        yield Finding(
            "stop",
            "pretrain",
            say("{name} is not in this machine's hub cache, and HF_HUB_OFFLINE is set.", name=name),
        )
    elif not hub_snapshot(name):
        yield Finding(
            "warn",
            "pretrain",
            say("{name} is no folder here: the run will fetch it from the hub.", name=name),
        )


@check
def model_is_complete(look: Look) -> Iterator[Finding]:
    if look.model is None:
        return
    missing = []
    if not (look.model / "config.json").is_file():
        missing.append("config.json")
    if not (look.model / "tokenizer.json").is_file():
        missing.append("tokenizer.json")
    index = look.model / "model.safetensors.index.json"
    if index.is_file():
        shards = set(disk.read_json(index).get("weight_map", {}).values())
        missing += sorted(shard for shard in shards if not (look.model / shard).is_file())
    elif not [*look.model.glob("*.safetensors"), *look.model.glob("pytorch_model*.bin")]:
        missing.append(say("weights (model.safetensors)"))
    if pickles := weights.only_pickles(look.model):
        yield Finding("stop", "pretrain", weights.refusal(pickles))
    for file in sorted(look.model.glob("*.safetensors")):
        if not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        if not is_whole(file):
            yield Finding(
                "stop",
                "pretrain",
                say("{file} is cut short or no safetensors file: fetch it again.", file=file),
            )
    if missing:
        yield Finding(
            "stop",
            "pretrain",
            say("{model} is not a whole model: it lacks {names}.", model=look.model, names=listed(missing)),
        )


@check
def data_is_there(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        for source in split.sources:
            name, path = source.name, Path(source.name)
            if is_hub_source(name):
                yield Finding("inform", field, say("{name} is no file here: the run will fetch it from the hub, unchecked.", name=name))  # fmt: skip
            elif not path.exists():
                near = _nearest_paths(name, _is_data)
                fix = {field: _instead(split, name, near[0])} if near else {}
                yield _not_there(field, say("There is no file {name}.", name=name), near, fix)
            elif source.error:
                yield from _unreadable(field, split, source)


def _unreadable(field: str, split: Split, source: Seen) -> Iterator[Finding]:
    """What is wrong with a file or folder that is there; a file in the folder, or another split, instead of it."""
    path, instead, beside = Path(source.name), "", ""
    if path.is_dir() and not is_saved(path):
        rows, others = _rows_and_sidecars(path)
        wished = TRAINS if split.split == "train" else HELD_OUT
        chosen = next((name for name in rows if any(part in name.lower() for part in wished)), rows[0] if rows else "")  # fmt: skip
        instead = str(path / chosen) if chosen else ""
        beside = say(" Not rows: {names}.", names=", ".join(others[:5])) if others else ""
    elif source.place is None and (there := _splits(path)):
        _, wanted = named_sources(split.config, split.split)
        near = difflib.get_close_matches(wanted or "validation", there, n=1, cutoff=0.5)
        instead = str(path / (near or there)[0])
    fix = {field: _instead(split, source.name, instead)} if instead else {}
    yield Finding(
        "stop",
        field,
        say("{error}{beside}", error=said_of(source.error), beside=beside),
        fix,
        say("Use {instead}", instead=instead) if instead else "",
    )


# What the file with the rows is called, in a folder with several.
TRAINS, HELD_OUT = ("train", "sft"), ("eval", "valid", "test", "dev")
# Files beside the rows, under suffixes that rows have too.
SIDECARS = re.compile(
    r"^[._].*|^(dataset_infos?|dataset_dict|state|metadata|meta|stats|statistics|config|schema|manifest|"
    r"package|tokenizer.*|special_tokens_map|generation_config)\.json$|.*\.index\.json$|^cache-.*\.arrow$|"
    r".*\.patch\.jsonl$|.*\.made\.json$"  # ours: changes of the rows, how an eval set was made
)


def _rows_and_sidecars(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files that may hold rows, and of those that lie beside them under a suffix that rows have."""
    known = [item.name for item in _listed(folder) if item.suffix.lower() in READERS]
    rows = [name for name in known if not SIDECARS.match(name)]
    return rows, [name for name in known if name not in rows]


@check
def nothing_lies_beside_the_rows(look: Look) -> Iterator[Finding]:
    """A saved folder names its files: what somebody has put beside them is not read."""
    for field, split in look.splits.items():
        for source in split.sources:
            if source.error or source.place is None:
                continue
            if source.place.is_dir():
                named = {path.name for path in data_files(source.place)}
                rows, _ = _rows_and_sidecars(source.place)
                if others := [name for name in rows if name not in named and "indices" not in name]:
                    fix = {field: _instead(split, source.name, f"{source.name}, {source.place / others[0]}")}
                    yield Finding("warn", field, say("{others} in {place} is not read: the folder names {files} as its files.", others=', '.join(others[:3]), place=source.place, files=', '.join(sorted(named)[:3])), fix, say("Read {others} too", others=others[0]))  # fmt: skip
            elif SIDECARS.match(source.place.name):
                rows, _ = _rows_and_sidecars(source.place.parent)
                fix = {field: _instead(split, source.name, str(source.place.parent / rows[0]))} if rows else {}  # fmt: skip
                yield Finding("warn", field, say("{name} looks like a file that describes data, not like the rows.", name=source.name), fix, say("Use {instead}", instead=source.place.parent / rows[0]) if rows else "")  # fmt: skip


def _splits(path: Path) -> list[str]:
    try:
        return splits(path)
    except DataError:
        return []


def _instead(split: Split, name: str, other: str) -> str:
    """The setting with `other` in the place of the source `name`."""
    return ", ".join(other if source.name == name else source.name for source in split.sources)


def _is_data(path: Path) -> bool:
    return (path.suffix.lower() in READERS and not SIDECARS.match(path.name)) or is_saved(path)


@check
def results_can_be_written(look: Look) -> Iterator[Finding]:
    places = {"save_path": look.config.save_path, "ckpt_path": look.config.ckpt_path, "": look.runs_dir}
    for field, place in places.items():
        if not place:
            continue
        above = existing(Path(place))
        fix, label = ({field: None}, say("Use the run's own folder")) if field else ({}, "")
        if not above.is_dir():
            yield Finding(
                "stop",
                field,
                say("{place} cannot be a folder: {above} is a file.", place=place, above=above),
                fix,
                label,
            )
        elif not os.access(above, os.W_OK | os.X_OK):
            what = say("the run folders") if not field else say("the results")
            yield Finding("stop", field, say("{place} is not writable, so {what} have no place: {above} refuses.", place=place, what=what, above=above), fix, label)  # fmt: skip


@check
def save_path_is_free(look: Look) -> Iterator[Finding]:
    if not (place := look.config.save_path) or not (path := Path(place)).is_dir():
        return
    fix, label = {"save_path": None}, say("Save in the run's own folder")
    if look.model is not None and path.samefile(look.model):
        yield Finding(
            "stop", "save_path", say("This is the model you start from: it would be overwritten."), fix, label
        )
    elif disk.holds_model(path):
        yield Finding(
            "warn",
            "save_path",
            say("{place} holds a model already: it will be overwritten.", place=place),
            fix,
            label,
        )
    elif any(path.iterdir()):
        yield Finding(
            "stop", "save_path", say("{place} holds other things than a model.", place=place), fix, label
        )


@check
def results_fit_on_disk(look: Look) -> Iterator[Finding]:
    if not (weights := look.parameters):
        return
    config, kept = look.config, _checkpoints_kept(look)
    a_checkpoint = (
        0 if config.lora_rank else weights * CHECKPOINT_BYTES
    )  # LoRA's holds the small matrices only
    # By disk: a place on it, least bytes, bytes with every checkpoint.
    needs: dict[int, tuple[Path, int, int]] = {}
    for place, least, most in (
        (Path(config.save_path or look.runs_dir), weights * MODEL_BYTES, weights * MODEL_BYTES),
        (Path(config.ckpt_path or look.runs_dir), a_checkpoint, a_checkpoint * kept),
    ):
        device = existing(place).stat().st_dev
        _, before_least, before_most = needs.get(device, (place, 0, 0))
        needs[device] = (place, before_least + least, before_most + most)
    for place, least, most in needs.values():
        free = look.free_bytes(place)
        field = "ckpt_path" if config.ckpt_path else "save_path"
        if free < least:
            yield Finding("stop", field, say("{place} has {free} free; the model and one checkpoint need about {least}.", place=place, free=disk.size_words(free), least=disk.size_words(least)))  # fmt: skip
        elif free < most:
            yield Finding("warn", field, say("{place} has {free} free; the model and {kept} checkpoints need about {most}.", place=place, free=disk.size_words(free), kept=kept, most=disk.size_words(most)), {"max_ckpt_num": 1}, say("Keep one checkpoint"))  # fmt: skip


def _checkpoints_kept(look: Look) -> int:
    """How many are on disk at once, at most: the oldest goes after the newest is whole."""
    config = look.config
    if config.save_steps <= 0:
        return 1
    steps = look.steps_an_epoch * config.max_epochs
    if not steps:  # rows that nobody has counted, of the hub
        return max(1, config.max_ckpt_num + 1)
    every = max(1, steps // config.save_steps)
    return every if config.max_ckpt_num < 0 else min(every, config.max_ckpt_num + 1)


def _not_there(field: str, message: str, near: list[str], fix: dict[str, str]) -> Finding:
    """The nearest path takes its place."""
    if not near:
        return Finding("stop", field, message)
    return Finding(
        "stop",
        field,
        say("{message} Near it: {names}.", message=message, names=", ".join(near)),
        fix,
        say("Use {instead}", instead=near[0]),
    )


def _nearest_paths(name: str, fits) -> list[str]:
    """Up to three fitting paths beside the one named, or in the present folder and its data/, by likeness of name."""
    wished = Path(name)
    if name.startswith("~") and fits(wished.expanduser()):  # a shell would have expanded it
        return [str(wished.expanduser())]
    folders = dict.fromkeys([existing(wished.parent), Path.cwd(), Path.cwd() / "data"])
    found = [item for folder in folders if folder.is_dir() for item in _listed(folder) if fits(item)]
    by_name = {item.name: item for item in reversed(found)}
    near = difflib.get_close_matches(wished.name, by_name, n=3, cutoff=0.5)
    return [_as_typed(by_name[match]) for match in near]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:2000]
    except OSError:
        return []


def _as_typed(path: Path) -> str:
    """Relative to the present folder where it lies in it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
