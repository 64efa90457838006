"""Preflight check for keys and tokens where others can read them: in settings, which run.json and the log repeat, and in
the command line, which everybody on the machine sees.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from sftkit.config import SFTConfig
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import say

# What secrets look like, and the variable that they belong into.
SHAPES = {
    r"\bhf_[A-Za-z0-9]{16,}": "HF_TOKEN",
    r"\bsk-[A-Za-z0-9_-]{16,}": "OPENAI_API_KEY",
    r"\bwandb_v1_[A-Za-z0-9_-]{16,}": "WANDB_API_KEY",
    r"(?i)(?<=wandb[=: ])[0-9a-f]{40}\b|(?<=key[=: ])[0-9a-f]{40}\b|^[0-9a-f]{40}$": "WANDB_API_KEY",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}": "GITHUB_TOKEN",
    r"\bAKIA[0-9A-Z]{16}\b": "AWS_ACCESS_KEY_ID",
    r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)": say("a file that only you may read"),
}


@check
def no_secret_is_in_the_open(look: Look) -> Iterator[Finding]:
    for field, value in look.config.changed().items():
        for text in [value] if isinstance(value, str) else value if isinstance(value, tuple) else ():
            if isinstance(text, str) and (found := _secret(text)):
                fix, label = _without(look.config, field)
                yield Finding("stop", field, say("This holds what looks like a secret ({found}); run.json and the log would repeat it. Put it into the environment as {variable}.", found=_masked(found[0]), variable=found[1]), fix, label)  # fmt: skip
    for word in sys.argv[1:]:
        if found := _secret(word):
            yield Finding("warn", "", say("The command line holds what looks like a secret ({found}); everybody on this machine can read it there. Put it into the environment as {variable}, and make a new one.", found=_masked(found[0]), variable=found[1]))  # fmt: skip


def _without(config: SFTConfig, field: str) -> tuple[dict[str, object], str]:
    """The setting at its default, where it has one."""
    known = SFTConfig.model_fields[field]
    return ({}, "") if known.is_required() else ({field: known.default}, say("Empty {field}", field=field))


def _secret(text: str) -> tuple[str, str] | None:
    """The secret in a text, and the variable it belongs into."""
    for shape, variable in SHAPES.items():
        if found := re.search(shape, text):
            return found[0], variable
    return None


def _masked(secret: str) -> str:
    return f"{secret[:4]}…"
