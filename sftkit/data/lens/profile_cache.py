"""Profiles kept in the user's cache folder, under what they were made of: content, settings, tokenizer, and our format.

~/.cache/sftkit/profiles/<key>/rows.parquet, facts.json        # XDG_CACHE_HOME moves it
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.data.fingerprint import content_sha256
from sftkit.data.lens.opening import NO_MODEL, Opening
from sftkit.data.patch_log import beside, read
from sftkit.data.reading import named_sources, where_rows_are

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  # to be raised whenever a profile of the same data comes out different
KEPT = 20  # profiles; the ones that were used longest ago go
# Settings that tell which rows are read, and what of them is trained.
SETTINGS = (
    "dataset eval_dataset dataset_probs dataset_caps dataset_split eval_split input_key output_key task_key input_template "
    "apply_chat_template chat_template max_len max_samples seed"
).split()


def key(opening: Opening, near: float | None) -> str:
    """What a profile is kept under. Raises `DataError` where a source is not here."""
    names, wanted = named_sources(opening.config, opening.split)
    settings = opening.config.to_dict()
    parts = {
        "format": FORMAT,
        "near": near,
        "split": opening.split,
        "content": [content_sha256(name, wanted) for name in names],
        "patches": [read(beside(where_rows_are(name, wanted))).digest for name in names],
        "tokenizer": _tokenizer(opening.config.pretrain),
        "template": _digest(Path(opening.config.chat_template or "")),
        **{name: settings.get(name) for name in SETTINGS},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _tokenizer(pretrain: str) -> Any:
    if pretrain == NO_MODEL:
        return None
    from sftkit.data.vocabulary import Vocabulary

    return [_digest(file) for file in Vocabulary.load(pretrain).files]


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def folder() -> Path:
    """Where profiles are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "sftkit" / "profiles"


def load(key: str) -> tuple[pa.Table, dict[str, Any]] | None:
    """What was kept under `key`; None where there is nothing, or nothing whole."""
    import pyarrow as pa
    import pyarrow.parquet

    place = folder() / key
    try:
        table = pa.parquet.read_table(place / "rows.parquet", read_dictionary=["source", "task", "language"])
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        os.utime(place)
    except (OSError, ValueError):  # pyarrow's errors are of these two kinds
        return None
    return table, facts


def save(key: str, table: pa.Table, facts: dict[str, Any]) -> None:
    """Keep a profile, whole or not at all. A cache that cannot be written is no error: the profile is there all the same."""
    import pyarrow as pa
    import pyarrow.parquet

    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder()))
        try:
            pa.parquet.write_table(table, place / "rows.parquet", compression="zstd")
            (place / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
            place.rename(folder() / key)
        except OSError:  # among them: another process was first
            shutil.rmtree(place, ignore_errors=True)
        _forget()


def _forget() -> None:
    places = sorted((one for one in folder().iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime)
    for place in places[:-KEPT]:
        shutil.rmtree(place, ignore_errors=True)
