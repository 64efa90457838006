"""How a judge judges: every rule is a switch, so that its effect can be measured.

    Protocol()                              # the default, "pairwise-v2"
    Protocol(both_orders=False)             # another rater in the store: "pairwise-v2.<six hex digits>"

The name and the hash go with every rating, so verdicts made by different rules are never mixed.
A change of the judge's words or of the reply's form is a new protocol: give VERSIONS a new number.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from sftkit.errors import ConfigError, Fault, RatingError
from sftkit.ratings.dimensions import DIMENSIONS, Dimension
from sftkit.ratings.rating import Rating

VERSIONS = {"pairwise": 2, "pointwise": 1}
WHEN = ("auto", "on", "off")
TRUE, FALSE, NONE = ("true", "on", "yes", "1"), ("false", "off", "no", "0"), ("none", "null", "")

# Task types whose answers are right or wrong: here questions and references help a judge (LLMBar: 73.1 to 82.8 %).
CLOSED = frozenset(
    "arithmetic math mathematics gsm8k reasoning logic code coding programming debugging extract extraction "
    "information_extraction ner classify classification sentiment facts closed_qa rewrite rewriting constrained_writing "
    "format formatting translation".split()
)
# Task types with many good answers: here they change nothing or hurt (FairEval: 72.7 to 66.7 %).
OPEN = frozenset(
    "open_qa general_qa brainstorming brainstorm creative_writing writing roleplay chat advice stem humanities "
    "summarize summarization summary".split()
)


def _rule(default: Any, help: str, choices: tuple[str, ...] = (), **more: Any) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, **more})


def _plan(default: Any, help: str) -> Any:
    """A setting that asks for more calls or keeps more of a reply, and changes no verdict: not part of the name."""
    return _rule(default, help, plan=True)


@dataclass(frozen=True)
class Protocol:
    """The rules of a judge.

        fast = sk.Protocol(both_orders=False, questions="off")
        sk.Judge("gpt-4.1", protocol=fast).estimate(answers)

    Raises ConfigError with every fault at once.
    """

    mode: str = _rule("pairwise", "Two answers in one question, or each answer alone.", tuple(VERSIONS))
    both_orders: bool = _rule(True, "Ask about every pair twice, with the answers changing places.")
    dimensions: tuple[Dimension, ...] = _rule(tuple(DIMENSIONS), "What is scored from 1 to 5.")
    evidence: bool = _rule(True, "A short quotation before every score.")
    rules_first: bool = _rule(
        True, "State the rules: the instruction counts, length does not, ties are expected."
    )
    reference: str = _rule("auto", "Show the reference: auto leaves it out of tasks known to be open.", WHEN)
    questions: str = _rule(
        "auto",
        "Up to three yes/no questions made from the instruction: auto asks them for closed tasks.",
        WHEN,
    )
    chain_of_thought: bool = _rule(False, "Let the judge reason at length before it scores.")
    temperature: float | None = _rule(
        0.0, "0 is the steadiest; none sends no temperature (some models refuse it)."
    )
    seed: int | None = _rule(0, "Sent with every call, and draws labels and orders; none sends no seed.")
    safety_gate: bool = _rule(True, "An answer with safety 2 or less in every order cannot win.")
    shuffle_labels: bool = _rule(True, "Neutral names for the answers, drawn anew for each pair.")
    shuffle_dimensions: bool = _rule(True, "The dimensions in another order for each prompt.")
    tie_margin: float = _rule(0.25, "Pointwise: mean scores no further apart than this are a tie.")
    mask_flagged: bool = _plan(True, "Judge flagged answers once more with the flagged words hidden.")
    logprobs: bool = _plan(True, "Ask for log-probabilities and keep the probability of winning.")
    canaries: int = _plan(5, "Prompts for each kind of canary (an answer that must not win); 0: none.")
    repeats: int = _plan(1, "How often every question is asked.")
    extra_pairs: int = _plan(0, "Random pairs of models other than the baseline, on random prompts.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        if faults := list(_faults(self)):
            raise ConfigError(faults)

    def __hash__(self) -> int:
        return hash(self.hash)

    @cached_property
    def hash(self) -> str:
        """Names the rules: 16 hex digits of a sha256. Settings of the plan (canaries, repeats, …) are left out."""
        rules = {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("plan")}
        rules["dimensions"] = [asdict(dimension) for dimension in self.dimensions]
        text = json.dumps([VERSIONS[self.mode], rules], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def changed(self) -> dict[str, Any]:
        """The rules that differ from the default, as JSON; `Protocol.of` makes the same rules from it again."""
        plain = Protocol(mode=self.mode)
        names = [f.name for f in fields(self) if not f.metadata.get("plan") and f.name != "dimensions"]
        rules = {n: getattr(self, n) for n in names if n == "mode" or getattr(self, n) != getattr(plain, n)}
        if self.dimensions != plain.dimensions:
            rules["dimensions"] = [asdict(dimension) for dimension in self.dimensions]
        return rules

    @classmethod
    def of(cls, changed: dict[str, Any]) -> Protocol:
        """What `changed` was made from, settings of the plan apart."""
        rules = dict(changed)
        if "dimensions" in rules:
            every = [
                d | {"anchors": {int(n): text for n, text in d["anchors"].items()}}
                for d in rules["dimensions"]
            ]
            rules["dimensions"] = tuple(Dimension(**d) for d in every)
        return cls(**rules)

    @cached_property
    def name(self) -> str:
        """`pairwise-v2`, with the hash's first six digits where a rule differs from the default."""
        plain = f"{self.mode}-v{VERSIONS[self.mode]}"
        return plain if self.hash == Protocol(mode=self.mode).hash else f"{plain}.{self.hash[:6]}"

    def with_rules(self, **rules: Any) -> Protocol:
        """The same with some rules changed. ConfigError names those that do not exist."""
        known = [f.name for f in fields(self)]
        if unknown := [name for name in rules if name not in known]:
            raise ConfigError(
                [Fault(name, "is no rule of a judge.", _nearest(name, known)) for name in unknown]
            )
        return replace(self, **rules)

    @staticmethod
    def fields() -> Iterator[tuple[str, Any, tuple[str, ...], str]]:
        """(name, default, choices, help) of every switch, for forms and flags."""
        for f in fields(Protocol):
            yield f.name, f.default, f.metadata["choices"], f.metadata["help"]

    @staticmethod
    def parsed(name: str, text: str) -> Any:
        """A rule's value from what a person typed, in a form or after a flag. ValueError says what is wrong with it."""
        rule = next(f for f in fields(Protocol) if f.name == name)
        word = text.strip().casefold()
        if rule.metadata["choices"]:
            return word
        if isinstance(rule.default, bool):
            if word not in TRUE + FALSE:
                raise ValueError(f"{text!r} is neither true nor false.")
            return word in TRUE
        if isinstance(rule.default, tuple):
            return _dimensions(text)
        if word in NONE:
            return None if name in ("temperature", "seed") else rule.default
        try:
            return int(word.replace(",", "")) if isinstance(rule.default, int) else float(word)
        except ValueError:
            kind = "whole number" if isinstance(rule.default, int) else "number"
            raise ValueError(f"{text!r} is no {kind}.") from None

    @staticmethod
    def nearest(name: str) -> str:
        """What to do about a rule that does not exist."""
        return _nearest(name, [f.name for f in fields(Protocol)])

    def asks_questions(self, task: str | None) -> bool:
        """Whether yes/no questions are made for prompts of this task type."""
        return self.questions == "on" or (self.questions == "auto" and kind_of_task(task) == "closed")

    def shows_reference(self, task: str | None) -> bool:
        """Whether the judge sees the reference of prompts of this task type."""
        return self.reference == "on" or (self.reference == "auto" and kind_of_task(task) != "open")


def kind_of_task(task: str | None) -> str:
    """Whether it is "closed", "open", or "unknown" (a task type without an entry here)."""
    name = (task or "").casefold().strip().replace(" ", "_").replace("-", "_")
    return "closed" if name in CLOSED else "open" if name in OPEN else "unknown"


def _dimensions(text: str) -> tuple[Dimension, ...]:
    """Names of the six, divided by commas, or a TOML file with [[dimension]] tables of your own beside them."""
    if text.strip().endswith(".toml"):
        return _dimensions_of(Path(text.strip()))
    by_name = {d.name: d for d in DIMENSIONS}
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in by_name]:
        raise ValueError(
            f"{unknown[0]!r} is no dimension; known: {', '.join(by_name)}, or a .toml file of your own."
        )
    return tuple(by_name[name] for name in names)


def _dimensions_of(path: Path) -> tuple[Dimension, ...]:
    by_name = {d.name: d for d in DIMENSIONS}
    found = []
    try:
        for number, entry in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["dimension"], start=1):
            if set(entry) == {"name"} and entry["name"] in by_name:
                found.append(by_name[entry["name"]])
                continue
            if lacking := [
                key for key in ("name", "1", "3", "5", "example") if not isinstance(entry.get(key), str)
            ]:
                raise ValueError(f"[[dimension]] {number} lacks {', '.join(lacking)}")
            anchors = {n: entry[str(n)] for n in (1, 3, 5)}
            found.append(
                Dimension(entry["name"], entry.get("label", entry["name"]), anchors, entry["example"])
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} cannot be read: {error}. Each [[dimension]] needs name, "1", "3", "5" (what each score means) and '
            "example; one of the six needs its name alone."
        ) from error
    return tuple(found)


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."


def _faults(protocol: Protocol) -> Iterator[Fault]:
    for f in fields(protocol):
        value, choices = getattr(protocol, f.name), f.metadata["choices"]
        if choices and value not in choices:
            yield Fault(f.name, f"{value!r} is none of {', '.join(choices)}.")
        if isinstance(f.default, bool) and not isinstance(value, bool):
            yield Fault(f.name, f"{value!r} is neither True nor False.")
    whole = lambda value: isinstance(value, int) and not isinstance(value, bool)  # noqa: E731
    for name, low in (("canaries", 0), ("repeats", 1), ("extra_pairs", 0)):
        if not whole(getattr(protocol, name)) or getattr(protocol, name) < low:
            yield Fault(name, f"{getattr(protocol, name)!r} is not a whole number from {low}.")
    if protocol.seed is not None and not whole(protocol.seed):
        yield Fault("seed", f"{protocol.seed!r} is not a whole number.")
    temperature = protocol.temperature
    number = lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)  # noqa: E731
    if temperature is not None and not (number(temperature) and 0 <= temperature <= 2):
        yield Fault("temperature", f"{temperature!r} is not between 0 and 2.")
    if not (number(protocol.tie_margin) and 0 <= protocol.tie_margin < 4):
        yield Fault("tie_margin", f"{protocol.tie_margin!r} is not between 0 and 4.")
    yield from _dimension_faults(protocol)


def _dimension_faults(protocol: Protocol) -> Iterator[Fault]:
    if odd := [d for d in protocol.dimensions if not isinstance(d, Dimension)]:
        yield Fault("dimensions", f"{odd[0]!r} is no Dimension.", "Give [*DIMENSIONS, Dimension(…)].")
        return
    names = [d.name for d in protocol.dimensions]
    if len(set(names)) < len(names):
        yield Fault("dimensions", "two have the same name.")
    if not names and protocol.mode == "pointwise":
        yield Fault("dimensions", "are needed: alone, an answer is judged by its scores.")
    for (
        name
    ) in names:  # before anything is paid for: the store takes no score under what is nearly one of the six
        try:
            Rating("judge:", "p", "a", "b", "tie", scores={name: 3})
        except RatingError as error:
            yield from (Fault("dimensions", f"{name!r} {f.message}", f.fix) for f in error.faults)
