"""What leaves the machine in a report: no secrets, and no more of the machine's paths than is needed.

scrub = Scrub(cwd="/Users/ana/project", home="/Users/ana")
scrub("/Users/ana/project/data/a.jsonl, key sk-abcdefghijklmnop1234")    # "data/a.jsonl, key …"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftkit.runs.check_secrets import SHAPES

GONE = "…"
SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY|_KEY$", re.IGNORECASE
)
SHORTEST = 8  # characters of a secret; shorter values would blot out common words
IN_ADDRESSES = (
    re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"),  # user:password@
    re.compile(r"(?i)(?<=[?&])((?:access_|auth_|api_?)?(?:token|key)|password|secret|sig|signature|X-Amz-[\w-]+)=[^&\s'\"]+"),
)  # fmt: skip


class Scrub:
    """Takes secrets and paths out of a text. cwd: the folder whose inside is written relative to it; home: `~`;
    environment: whose values of secret names are taken out wherever they stand."""

    def __init__(
        self, cwd: str | Path, home: str | Path | None = None, environment: Mapping[str, str] = os.environ
    ):
        home = str(home or Path.home()).rstrip("/")
        places = [
            (str(cwd).rstrip("/") + "/", ""),
            (str(cwd).rstrip("/"), "."),
            (home + "/", "~/"),
            (home, "~"),
        ]
        self._places = [
            (
                re.compile(
                    rf"(?<![\w.~/-]){re.escape(place)}" + ("" if place.endswith("/") else r"(?![\w./-])")
                ),
                said,
            )
            for place, said in places
            if len(place) > 2  # "/" is no home
        ]
        values = {value.strip() for name, value in environment.items() if SECRET_NAME.search(name)}
        self._secrets = sorted((v for v in values if len(v) >= SHORTEST and not v.startswith("/")), key=len, reverse=True)  # fmt: skip

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, GONE)
        for shape in SHAPES:
            text = re.sub(shape, GONE, text)
        for shape in IN_ADDRESSES:
            text = shape.sub(lambda found: f"{found[1]}={GONE}" if found.re.groups else GONE, text)
        for place, said in self._places:
            text = place.sub(said, text)
        return text

    def deep(self, value: Any) -> Any:
        """The same for every text in a value of lists, tuples and dicts."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self.deep(key): self.deep(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.deep(part) for part in value)
        return value
