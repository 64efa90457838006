"""What ComparisonGrid is called with: what cannot be is refused, what was left out gets its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sftkit.errors import ConfigError, Fault
from sftkit.generation.table import Generations
from sftkit.ratings import DIMENSIONS, Dimension
from sftkit.ratings.blind import ACROSS
from sftkit.ratings.queue import STRATEGIES
from sftkit.widgets.labels import label

SHOW_JUDGE = ("after_vote", "never")


def check(answers: Any, project: str | None, show_judge: str, strategy: str) -> None:
    """ConfigError with every fault at once."""
    faults = []
    if show_judge not in SHOW_JUDGE:
        faults.append(Fault("show_judge", f"{show_judge!r} is none of {', '.join(SHOW_JUDGE)}."))
    if strategy not in STRATEGIES:
        faults.append(Fault("strategy", f"{strategy!r} is none of {', '.join(STRATEGIES)}."))
    if answers is None and project is None:
        faults.append(Fault("answers", "are missing.", 'Give sk.Generations, or project="…" of the store.'))
    elif answers is not None and project is not None:
        faults.append(Fault("answers", "come from the project.", "Leave them out, or leave project out."))
    elif answers is not None and not isinstance(answers, Generations):
        faults.append(
            Fault(
                "answers",
                f"are {type(answers).__name__}.",
                "Give sk.Generations, e.g. Generations.from_frame(df).",
            )
        )
    if faults:
        raise ConfigError(faults)


def across_of(models: Sequence[str]) -> int:
    """How many stand side by side where nobody says: all, where one row holds them, else pairs."""
    return len(set(models)) if ACROSS[0] <= len(set(models)) <= ACROSS[1] else ACROSS[0]


def human(rater: str) -> str:
    """The rater as stored."""
    if not isinstance(rater, str) or not rater.strip():
        raise ConfigError([Fault("rater", "is empty.", 'Say who rates: rater="ana".')])
    return rater if rater.startswith("human:") else f"human:{rater.strip()}"


def in_language(dimension: Dimension, lang: str | None) -> dict[str, Any]:
    """A dimension for the page; the six are translated as long as their words are ours."""
    key = f"dimension.{dimension.name}"
    ours = dimension in DIMENSIONS
    anchors = {str(n): label(f"{key}.{n}", lang) if ours else text for n, text in dimension.anchors.items()}
    return {
        "name": dimension.name,
        "label": label(key, lang) if ours else dimension.label,
        "anchors": anchors,
    }
