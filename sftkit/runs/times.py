"""How long a run has taken, and how long it will. Standard library only: the supervisor imports this."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.runs.run import Status

RECENT = 20  # logged points that the time left is judged by


def time_left(points: pd.DataFrame, status: Status) -> float | None:
    """Seconds to the last step, by the pace of the newest points; None while that cannot be told."""
    steps = points[["step", "seconds"]].iloc[-10 * RECENT :].dropna()[-RECENT:]
    if status.state != "running" or len(steps) < 2 or not status.total_steps:
        return None
    done = steps["step"].iloc[-1] - steps["step"].iloc[0]
    pace = (steps["seconds"].iloc[-1] - steps["seconds"].iloc[0]) / done if done > 0 else math.nan
    left = pace * (status.total_steps - status.step)
    return left if math.isfinite(left) and left >= 0 else None


def time_taken(record: Mapping[str, Any], last_word: Any) -> float:
    """Seconds from the run's first start to its `last_word` (unix seconds), without those between its starts."""
    told = last_word if isinstance(last_word, (int, float)) else 0.0
    return _earlier(record) + max(0.0, told - (_began(record) or math.inf))


def time_spent(record: Mapping[str, Any], status: Status) -> float | None:
    """Seconds that the run has taken until now, or to its end: `time_taken`, moving. None where nobody can tell."""
    if (began := _began(record)) is None:
        return None
    return (
        time_taken(record, status.updated)
        if status.ended
        else _earlier(record) + max(0.0, time.time() - began)
    )


def _earlier(record: Mapping[str, Any]) -> float:
    spent = record.get("spent")
    return float(spent) if isinstance(spent, (int, float)) and math.isfinite(spent) else 0.0


def _began(record: Mapping[str, Any]) -> float | None:
    """When the newest start of the run began, in unix seconds."""
    try:
        return float(record.get("pid_started") or datetime.fromisoformat(record["created"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return None
