"""preflight: everything that is wrong, doubtful or worth knowing about settings, before a process starts.

A check is one small generator that takes a `Look` (the settings and what has been read for them) and yields findings:

    @check
    def eval_steps_without_eval_set(look):
        if look.config.eval_steps > 0 and not look.config.eval_dataset:
            yield Finding("warn", "eval_steps", "…", {"eval_steps": -1}, "Leave it at -1")

Adding a check is adding such a function to one of the modules in CHECKS. The cheapest come first:

    instant     settings, paths, columns: while its user types in a form
    tokenizer   every row, and some of them as tokens
    device      cards, memory, ports, the hub (the only network there is)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sftkit.config import SFTConfig
from sftkit.conflicts import conflicts, split_sources
from sftkit.errors import ConfigError, Fault
from sftkit.runs.classroom import runs_folder
from sftkit.wording import in_language, listed, say

if TYPE_CHECKING:
    from sftkit.runs.look import Look

CHECKS = tuple(
    f"check_{what}"
    for what in "secrets files checkpoints settings hosts data patches turns figures classroom machine memory hub".split()
)
LEVELS = ("stop", "warn", "inform")
Tier = Literal["instant", "tokenizer", "device"]
TIERS: tuple[Tier, ...] = ("instant", "tokenizer", "device")
SETTINGS = "settings"  # the key of what SFTConfig itself refuses


@dataclass(frozen=True)
class Finding:
    """One finding about one setting: "stop" (it cannot work), "warn" (it may not be meant) or "inform" (a figure).

    `fix`: settings that mend it; `key`: the name of the check that made it, which stays when its words change.
    """

    level: Literal["stop", "warn", "inform"]
    field: str
    message: str
    fix: dict[str, Any] = field(default_factory=dict)
    fix_label: str = ""
    key: str = ""

    def apply(self, config: SFTConfig | Mapping[str, Any]) -> SFTConfig:
        """The settings with the fix carried out; the same settings where there is none. A name that is no setting goes."""
        settings = config.to_dict() if isinstance(config, SFTConfig) else dict(config)
        if self.field not in SFTConfig.model_fields:
            settings.pop(self.field, None)
        return SFTConfig(**{**settings, **self.fix})

    def message_in(self, lang: str) -> str:
        """The message in "en" or "zh"."""
        return in_language(self.message, lang)

    def label_in(self, lang: str) -> str:
        """What the fix is called, in "en" or "zh"."""
        return in_language(self.fix_label, lang)

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return where + self.message + (f" Fix: {self.fix_label}." if self.fix_label else "")


@dataclass(frozen=True)
class Check:
    """A check as it was entered: its name, when it is made, and what makes it."""

    key: str
    tier: Tier
    make: Callable[[Look], Iterator[Finding]]

    def findings(self, look: Look) -> list[Finding]:
        """A check that breaks is said to be broken; the others still speak."""
        try:
            return [replace(finding, key=finding.key or self.key) for finding in self.make(look)]
        except PermissionError as error:
            return [_closed(error, look.config)]
        except Exception as error:
            words = say("The check “{name}” could not be made: {kind}: {error}", name=self.key.replace("_", " "), kind=type(error).__name__, error=str(error))  # fmt: skip
            return [Finding("warn", "", words, key=self.key)]


def _closed(error: PermissionError, config: SFTConfig) -> Finding:
    """Many checks stumble over the same file: the words are the same, and are said once."""
    path = str(error.filename)
    paths = {name: getattr(config, name) for name in ("pretrain", "dataset", "eval_dataset")}
    field = next((name for name, value in paths.items() if value and any(path.startswith(part) for part in split_sources(value))), "")  # fmt: skip
    return Finding("stop", field, say("{path} is closed to you: its owner, or the administrator, has to let you read it.", path=path), key="closed")  # fmt: skip


_checks: list[Check] = []


def check(given: Any) -> Any:
    """Enter a check into the list that `preflight` goes through: `@check`, or `@check("tokenizer")` for a later tier."""

    def enter(function: Callable[[Look], Iterator[Finding]], tier: Tier = "instant") -> Any:
        _checks.append(Check(function.__name__, tier, function))
        return function

    return enter(given) if callable(given) else lambda function: enter(function, given)


def checks() -> list[Check]:
    """Every check there is, the cheapest first."""
    for module in CHECKS:
        import_module(f"sftkit.runs.{module}")
    return sorted(_checks, key=lambda one: TIERS.index(one.tier))


def preflight(
    config: SFTConfig | Mapping[str, Any], runs_dir: str | Path = "runs", tier: Tier | None = None
) -> list[Finding]:
    """All findings about settings, the grave ones first; none is left out because of another.

        for finding in sk.preflight(config):
            print(finding.level, finding.field, finding.message)

    Takes a config, or a mapping of settings that may not make one (as in a form while it is being filled in).
    `tier`: leave out the checks that come after it. "instant" takes milliseconds, whatever the data: of large files it
    sees the beginning, and it asks neither cards nor the network.
    """
    from sftkit.runs.look import Look

    found, faulty = [], set()
    if not isinstance(config, SFTConfig):
        found, config = _sound_part(config)
        faulty = {finding.field for finding in found}
        if config is None:
            return found
    due = TIERS[: TIERS.index(tier) + 1] if tier else TIERS
    look = Look(config, runs_folder(runs_dir), quick=tier == "instant")
    made = [_whole(finding, config) for one in checks() if one.tier in due for finding in one.findings(look)]
    found += [one for n, one in enumerate(made) if one.field not in faulty and one not in made[:n]]
    if faulty:  # figures derived from settings that are not meant would mislead
        found = [finding for finding in found if finding.level != "inform"]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _whole(finding: Finding, config: SFTConfig) -> Finding:
    """A finding whose fix, with what else it takes, makes a config: fewer processes may need another batch."""
    if not finding.fix:
        return finding
    fix, more = dict(finding.fix), {}
    for _ in range(2):
        try:
            config.with_(**fix)
        except ConfigError as error:
            more |= {name: value for fault in error.faults for name, value in fault.mend.items()}
            fix |= more
        else:
            also = listed([finding.fix_label, *(f"{name}={value}" for name, value in more.items())])
            return replace(finding, fix=fix, fix_label=also) if more else finding
    return replace(finding, fix={}, fix_label="")


def _sound_part(settings: Mapping[str, Any]) -> tuple[list[Finding], SFTConfig | None]:
    """What is wrong with settings in themselves, and a config of the others (None where they make none)."""
    try:
        return [], SFTConfig(**settings)
    except ConfigError as error:
        found = [_from_fault(fault) for fault in error.faults]
    faulty = {finding.field.partition(".")[0] for finding in found}
    sound = {name: value for name, value in settings.items() if name not in faulty}
    for finding in found:
        sound |= finding.fix
    try:
        return found, SFTConfig(**sound)
    except ConfigError:
        return found, None


def _from_fault(fault: Fault) -> Finding:
    settings = ", ".join(f"{name}={value!r}" for name, value in fault.mend.items())
    words = listed(filter(None, (fault.message, fault.fix)), " ")
    return Finding("stop", fault.field, words, fault.mend, say("Set {settings}", settings=settings) if fault.mend else "", SETTINGS)  # fmt: skip


def nearest_batch(settings: Mapping[str, Any]) -> dict[str, int]:
    """The multiple of micro batch x processes next to the batch that was asked for; empty where it is one."""
    faults = conflicts({**{name: field.default for name, field in SFTConfig.model_fields.items()}, **settings})  # fmt: skip
    return next((fault.mend for fault in faults if fault.field == "train_batch_size"), {})
