"""Which comparisons a rater makes, and which answer stands left: decided by a recorded rule, not by chance.

The rule, named in every rating's evidence: the lowest bit of the first byte of sha256 over seed, rater, prompt and both
models (by name) says which of the two stands right. So a restart shows the same sides, another rater sees others, and neither can guess.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftkit.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sftkit.generation.table import Generations

RULE = "sha256-sides-v1"


@dataclass(frozen=True)
class Comparison:
    """Two models' answers to one prompt. `baseline_left`: the rule's side for this rater. `id` names no model."""

    id: str
    prompt_id: str
    baseline: str
    other: str
    baseline_left: bool


def comparisons(
    answers: Generations, rater: str, models: Sequence[str] | None = None, seed: int = 0
) -> list[Comparison]:
    """Each other model against the first of `models` (default: of the answers), on each prompt that both answered.

    With three or more models the rounds rotate: no prompt comes twice in a row, and a rater who stops early has
    seen all models about equally often. ConfigError names models that are not among the answers.
    """
    chosen = list(dict.fromkeys(models if models is not None else answers.models))
    if unknown := [name for name in chosen if name not in answers.models]:
        have = ", ".join(map(repr, answers.models)) or "none"
        raise ConfigError(
            [Fault("models", f"{name!r} has no answers here.", f"Known: {have}.") for name in unknown]
        )
    answered = set(zip(answers.frame["prompt_id"], answers.frame["model"]))
    prompts = list(dict.fromkeys(answers.frame["prompt_id"]))
    found = []
    for turn in range(len(chosen) - 1):
        for place, prompt in enumerate(prompts):
            other = chosen[1 + (place + turn) % (len(chosen) - 1)]
            if {(prompt, chosen[0]), (prompt, other)} <= answered:
                found.append(_comparison(prompt, chosen[0], other, rater, seed))
    return found


def _comparison(prompt_id: str, baseline: str, other: str, rater: str, seed: int) -> Comparison:
    pair = sorted([baseline, other])
    side = hashlib.sha256(_bytes([seed, rater, prompt_id, *pair])).digest()[0] & 1
    if baseline != pair[0]:
        side ^= 1  # the same sides whichever of the two is called the baseline
    name = hashlib.sha256(_bytes([prompt_id, *pair])).hexdigest()[:12]
    return Comparison(name, prompt_id, baseline, other, baseline_left=not side)


def _bytes(parts: list) -> bytes:
    return json.dumps(parts).encode()
