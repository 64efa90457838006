"""How many rows of each stratum an eval set takes: in proportion, with a least number of each task type.

shared_out({"qa": 900, "poems": 12}, 100, least=5, most={"qa": 800, "poems": 6})     # {"qa": 95, "poems": 5}
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

BANDS = ("short", "middle", "long")


def bands(lengths: Sequence[int]) -> list[str]:
    """The third of the rows that each is in by its length, equal lengths together."""
    cuts = np.quantile(lengths, [1 / 3, 2 / 3]) if len(lengths) else [0, 0]
    return [BANDS[int(place)] for place in np.searchsorted(cuts, lengths, "left")]


def shared_out(weights: Mapping[Name, float], size: int, *, most: Mapping[Name, int], least: int = 0) -> dict[Name, int]:  # fmt: skip
    """`size` things shared out in proportion to `weights`, at least `least` and at most `most` to each.

    What a stratum cannot give the others do. The sum is `size`, or as much as there is. `least` gives way where size is
    too small for it.
    """
    wanted = min(size, sum(most[name] for name in weights))
    floor = min(least, size // max(1, len(weights)))
    low = {name: min(floor, most[name]) for name in weights}
    exact = _filled(weights, wanted, low, most)
    given = {name: int(part + 1e-9) for name, part in exact.items()}
    rest = sorted(weights, key=lambda name: -(exact[name] - given[name]))  # stable: the earlier of equal ones
    while (missing := wanted - sum(given.values())) > 0:
        for name in [name for name in rest if given[name] < most[name]][:missing]:
            given[name] += 1
    return given


def _filled(weights: Mapping[Name, float], size: float, low: Mapping[Name, int], high: Mapping[Name, int]) -> dict[Name, float]:  # fmt: skip
    """Proportional parts within their bounds: each is weight times a level, cut to its bounds, and the level is the one at
    which they add up."""
    below, above = (
        0.0,
        max([high[name] / weights[name] for name in weights if weights[name] > 0], default=0.0),
    )

    def parts(level: float) -> dict[Name, float]:
        return {name: min(max(weight * level, low[name]), high[name]) for name, weight in weights.items()}

    for _ in range(100):
        middle = (below + above) / 2
        below, above = (middle, above) if sum(parts(middle).values()) < size else (below, middle)
    return parts(below)
