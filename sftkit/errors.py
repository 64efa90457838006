"""Every error that sftkit raises on purpose, in one tree.

    SftkitError
    ├── ConfigError        settings that cannot work; carries all faults at once (also a ValueError)
    │   └── FilterError    a filter that cannot be read; says at which character
    ├── DataError          a file, row or field that cannot be read or taught
    ├── RunError           something about a training run
    │   ├── LaunchError    the run was not started; carries the findings that stopped it
    │   ├── DryRunError    the dry run failed; carries the diagnosis
    │   └── RunNotFound    no run folder there
    ├── GenerationError    the worker that answers prompts failed
    ├── StoreError         the rating store cannot be opened, read or written
    │   ├── RatingError    a rating that says nothing or nonsense; carries all faults (also a ValueError)
    │   └── RatingsFileError  a file of ratings that cannot be imported; carries all faults, by row and field
    ├── JudgeError         the judge cannot start (a single failed judgement is `unscored`, not an error)
    └── ReportError        the report was asked for something the votes cannot say

A message says what is wrong, where (file, row, field), and what to do next.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sftkit.wording import in_language, listed, say


class SftkitError(Exception):
    """Root of the tree: `except sk.SftkitError` catches whatever sftkit raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one setting: `field` (its name, or "" for the whole), `message`, and `fix` (what to do).

    `mend`: settings that do it, where one click can.
    """

    field: str
    message: str
    fix: str = ""
    mend: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.said_in("en")

    def said_in(self, lang: str) -> str:
        """All of it in "en" or "zh"."""
        where = f"{in_language(self.field, lang)}: " if self.field else ""
        return where + in_language(listed(filter(None, (self.message, self.fix)), " "), lang)


class ConfigError(SftkitError, ValueError):
    """Settings that cannot work. `.faults` lists all of them, so that one round of mending is enough.

        try:
            sk.SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl", learning_rat=1e-5, max_len=0)
        except sk.ConfigError as error:
            for fault in error.faults:
                print(fault.field, fault.message, fault.fix)

    Each fault has a `field` ("" for the whole), a `message`, a `fix` in words, and `mend`, settings that carry it out.
    """

    def __init__(self, faults: list[Fault] | str):
        self.faults = [Fault("", faults)] if isinstance(faults, str) else list(faults)
        count = (
            f"{len(self.faults)} settings need mending" if len(self.faults) > 1 else "A setting needs mending"
        )
        super().__init__(f"{count}:\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class FilterError(ConfigError):
    """A filter that cannot be read or does not fit its table. `.text` is the filter; each of `.faults` says in `field` at
    which character (1 = the first) it stands."""

    def __init__(self, text: str, faults: list[Fault]):
        self.text, self.faults = text, list(faults)
        Exception.__init__(self, self.said_in("en"))

    def said_in(self, lang: str) -> str:
        """All of it in "en" or "zh"."""
        shown = self.text if len(self.text) <= 200 else self.text[:199] + "…"
        head = in_language(say("The filter {text} cannot be used:", text=shown), lang)
        return head + "".join(f"\n  - {fault.said_in(lang)}" for fault in self.faults)


class DataError(SftkitError):
    """A file, row or field that cannot be used. `file`, `row` (1 = the first line) and `field` say where."""

    def __init__(
        self, message: str, *, file: object = None, row: int | None = None, field: str | None = None
    ):
        self.file, self.row, self.field = file, row, field
        parts = [
            str(file) if file else "",
            say("row {n}", n=row) if row is not None else "",
            say("field {name!r}", name=field) if field else "",
        ]
        where = listed(part for part in parts if part)
        super().__init__(say("{where}: {message}", where=where, message=message) if where else message)


class RunError(SftkitError):
    """Something about a training run."""


class LaunchError(RunError):
    """The run was not started. `.findings` holds what stopped it, where preflight found it."""

    def __init__(self, message: str, findings: list | None = None):
        self.findings = list(findings or [])
        super().__init__(message)


class DryRunError(RunError):
    """The dry run failed. `.diagnosis` (sftkit.runs.causes.Diagnosis) says why and what would mend it; None when it was
    cancelled or never started."""

    def __init__(self, message: str, diagnosis: Any = None):
        self.diagnosis = diagnosis
        super().__init__(message)


class RunNotFound(RunError):
    """There is no run folder at the path given."""


class GenerationError(SftkitError):
    """The worker that answers prompts failed; the message carries its own words."""


class StoreError(SftkitError):
    """The rating store cannot be opened, read or written."""


class RatingError(StoreError, ValueError):
    """A rating that cannot be stored as it is. `.faults` lists everything wrong with it."""

    def __init__(self, faults: list[Fault]):
        self.faults = list(faults)
        super().__init__(
            "This rating cannot be stored:\n" + "\n".join(f"  - {fault}" for fault in self.faults)
        )


class RatingsFileError(StoreError):
    """A file of ratings that cannot be imported; nothing of it was stored. `.faults` lists all, `.file` says which."""

    def __init__(self, file: object, faults: list[Fault], shown: int = 20):
        self.file, self.faults = file, list(faults)
        lines = [f"  - {fault}" for fault in self.faults[:shown]]
        lines += [f"  … and {len(self.faults) - shown} more"] if len(self.faults) > shown else []
        super().__init__(f"{file} was not imported, nothing of it is stored:\n" + "\n".join(lines))


class JudgeError(SftkitError):
    """The judge cannot start. A single judgement that fails is stored as `unscored` instead."""


class ReportError(SftkitError):
    """The report was asked for something the votes cannot say."""
