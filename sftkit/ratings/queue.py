"""What to rate next, and with which probability it was chosen, so that estimates from a chosen sample stay valid.

queue = arrange(comparisons, store.frame(), "value", rater="human:ana", budget=300)
queue.order          # rows of `comparisons`, the next first
queue.probability    # id -> what to store with the rating; queue.design goes into its evidence as "queue"

The sample ("value" and "random"). Of N comparisons about `budget` are chosen, each for itself (Poisson sampling), with
probability e + (1 - e) q: e = floor * budget / N is chance alone, and q follows the value of `worth`, 1 tier by tier as
long as the budget lasts, in proportion to the value (at most 1) in the tier in which it runs out, then 0. That is the rule
of active inference, a share by usefulness mixed with a uniform one: Zrnic and Candès, "Active statistical inference", ICML
2024. Every comparison can be chosen, so the mean of y / probability over the chosen ones, divided by N, estimates the mean
of y over all without bias (Horvitz and Thompson, JASA 47 (1952) 663), and so does the judge's mean corrected by it.

Each comparison has one number for good, drawn from seed and id (Brewer, Early and Joyce 1972): it is chosen where that
lies under its probability. So all raters share one sample, and a larger budget keeps all that a smaller one chose. The
order is number / probability (sequential Poisson sampling: Ohlsson, J. Official Statistics 14 (1998) 149): who stops early
has a smaller sample by the same rule, and all its probabilities shrink by one factor, `Queue.reached`. What is rated after
the sample is used up was not sampled and has no probability.

The values are frozen by the first vote of a design: later rows of the store change nothing, or votes would choose votes.
That is also why the queue is not arranged anew while people rate. Whether a comparison is in the sample hangs on one
number and one probability; were its value worked out again every few votes, it would be in if its number lay under any of
several probabilities, which depend on the verdicts before and on when each rater stopped, and of that chance there is no
closed form to divide by. (A rule that is valid has to draw each comparison once, in a fixed order, with a probability known
by then, and cannot go back to one it passed over: then raters would not share a sample.)
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sftkit.errors import ConfigError, Fault
from sftkit.ratings.blind import Comparison, draw, gap
from sftkit.ratings.votes import OUTCOMES, mark_current
from sftkit.ratings.worth import Pair, pair_of, pairs_of, worth

if TYPE_CHECKING:
    import pandas as pd

STRATEGIES = ("unrated", "overlap", "value", "random")
SHARE = 0.25  # of the comparisons, where no budget is given: flips and ties were 16 and 9 % on MT-Bench
FLOOR = (
    0.3  # of the budget, for chance alone: costs a point of labels, and intervals are 0.6 as wide as with 0.1
)
_VOTES = set(OUTCOMES) - {"unscored"}


@dataclass(frozen=True)
class Queue:
    """order: rows of the comparisons, what to rate next first; what this rater has rated or skipped comes last.
    probability: id -> probability, of the comparisons in the sample; empty for a strategy that does not sample.
    inclusion: the same of every comparison, in the sample or not. design: names the sample, "" where there is none.
    keys: id -> number / probability, under 1 in the sample.
    """

    order: list[int]
    probability: dict[str, float] = field(default_factory=dict)
    inclusion: dict[str, float] = field(default_factory=dict)
    design: str = ""
    keys: dict[str, float] = field(default_factory=dict)

    def reached(self, rated: Iterable[str]) -> float:
        """The factor by which all probabilities shrink when only `rated` of the sample was rated, in the queue's order.

        1 once the whole sample is rated. Given the first key that was left out, the ones before it are a Poisson
        sample with probabilities times that key (rank conditioning: Cohen and Kaplan, PODC 2007), so a rating out of
        turn, behind that key, is to be left out of the estimate.
        """
        done = set(rated)
        return min([1.0, *(key for name, key in self.keys.items() if name not in done)])


def arrange(
    comparisons: Sequence[Comparison],
    frame: pd.DataFrame,
    strategy: str,
    *,
    rater: str,
    seed: int = 0,
    budget: int | None = None,
    floor: float = FLOOR,
    project: str | None = None,
) -> Queue:
    """The comparisons of `rater` in the order of the strategy.

    frame: `store.frame()`, of all raters; `project` has only what was rated in it count as rated. "unrated": as they
    come. "overlap": first what one other person has rated, so that agreement can be measured, last what two or more
    have. "value", "random": a sample of about `budget` comparisons (default: a quarter of them) as above, `floor` of it
    by chance alone. A repeat comes at least 10 rows after what it repeats, or at the end where so many are not left;
    checks are strewn among the rest. ConfigError names a strategy, budget or floor that cannot be.
    """
    _check(strategy, budget, floor)
    people = frame if project is None else frame[frame["project"].eq(project)]
    plain = [row for row, c in enumerate(comparisons) if not (c.repeat or c.check)]
    done = _Done(people, rater)
    if strategy in ("unrated", "overlap"):
        turn = (
            _by_overlap([comparisons[row] for row in plain], people, rater) if strategy == "overlap" else None
        )
        plain.sort(key=lambda row: turn[comparisons[row].id] if turn else 0)
        return Queue(_strewn(comparisons, plain, done, rater, seed))
    rows = [comparisons[row] for row in plain]
    wanted = min(round(SHARE * len(rows)) or 1, len(rows)) if budget is None else min(budget, len(rows))
    design = _design(strategy, rows, seed, wanted, floor)
    tiers, values = np.zeros(len(rows), dtype=int), np.ones(len(rows))
    if strategy == "value":
        tiers, values = worth(rows, _frozen(frame, design))
    inclusion = dict(zip((row.id for row in rows), probabilities(tiers, values, wanted, floor).tolist()))
    keys = {name: draw(seed, "lot", name) / chance for name, chance in inclusion.items()}
    plain.sort(key=lambda row: keys[comparisons[row].id])
    chosen = {name: chance for name, chance in inclusion.items() if keys[name] < 1}
    return Queue(_strewn(comparisons, plain, done, rater, seed), chosen, inclusion, design, keys)


def _check(strategy: str, budget: int | None, floor: float) -> None:
    faults = []
    if strategy not in STRATEGIES:
        faults.append(Fault("strategy", f"{strategy!r} is none of {', '.join(STRATEGIES)}."))
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        faults.append(Fault("budget", f"is {budget!r}.", "Say how many comparisons are to be rated, from 1."))
    if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 < floor <= 1:
        faults.append(
            Fault(
                "floor",
                f"is {floor!r}.",
                "Give a share above 0, at most 1: without chance there is no estimate.",
            )
        )
    if faults:
        raise ConfigError(faults)


def probabilities(tiers: np.ndarray, values: np.ndarray, budget: int, floor: float) -> np.ndarray:
    """The probability of each comparison, all above 0; they add up to `budget`, and none falls when it grows."""
    count = len(tiers)
    if budget >= count:
        return np.ones(count)
    chance = floor * budget / count
    left = (budget - chance * count) / (1 - chance)
    q = np.zeros(count)
    for tier in np.unique(tiers):
        here = tiers == tier
        q[here] = _shared(values[here], min(left, here.sum()))
        left -= q[here].sum()
        if left <= 1e-9:
            break
    return chance + (1 - chance) * q


def _shared(values: np.ndarray, total: float) -> np.ndarray:
    """`total` dealt out in proportion to the values, at most 1 each."""
    share = np.zeros(len(values))
    full = np.zeros(len(values), dtype=bool)
    while not full.all():
        rest = total - full.sum()
        share[~full] = values[~full] * rest / values[~full].sum()
        over = ~full & (share >= 1 - 1e-12)
        if not over.any():
            break
        full |= over
        share[full] = 1.0
    return share


def _design(strategy: str, rows: list[Comparison], seed: int, budget: int, floor: float) -> str:
    among = hashlib.sha256("".join(sorted(row.id for row in rows)).encode()).hexdigest()[:8]
    return f"{strategy}-poisson-v1 seed={seed} budget={budget} floor={floor:g} of={among}"


def _frozen(frame: pd.DataFrame, design: str) -> pd.DataFrame:
    """What was current before the first vote that this design chose."""
    if "probability" in frame:
        sampled = frame[frame["probability"].notna()]
        mine = [(kept or {}).get("queue", design) == design for kept in sampled["evidence"]]
        first = min((number for number, here in zip(sampled["id"], mine) if here), default=None)
        if first is not None:
            frame = frame[frame["id"] < first]
            return frame[mark_current(frame).astype(bool)]
    return frame[frame["current"].astype(bool)]


def _by_overlap(rows: list[Comparison], frame: pd.DataFrame, rater: str) -> dict[str, int]:
    """id -> 0 where one other person has voted, 1 where nobody has, 2 where more have."""
    others: dict[Pair, set[str]] = defaultdict(set)
    people = [name != rater and not name.startswith("judge:") for name in frame["rater"]]
    votes = frame[
        np.array(people, dtype=bool) & frame["current"].astype(bool) & frame["verdict"].isin(_VOTES)
    ]
    for name, prompt, a, b in zip(*(votes[c] for c in ("rater", "prompt_id", "model_a", "model_b"))):
        others[pair_of(prompt, a, b)].add(name)
    counts = {row.id: min(len(others.get(pair, ())) for pair in pairs_of(row)) for row in rows}
    return {name: {0: 1, 1: 0}.get(count, 2) for name, count in counts.items()}


class _Done:
    """What this rater has rated or skipped already, and how long ago."""

    def __init__(self, frame: pd.DataFrame, rater: str):
        kept = frame["rater"].eq(rater) & frame["current"].astype(bool)
        mine = frame[kept & frame["verdict"].isin(_VOTES | {"skipped"})]
        self.ids: dict[tuple[Pair, bool], int] = {}
        columns = (mine[name] for name in ("id", "prompt_id", "model_a", "model_b", "evidence"))
        for number, prompt, a, b, evidence in zip(*columns):
            again = bool((evidence or {}).get("repeat"))
            self.ids[pair_of(prompt, a, b), again] = number
        self.numbers = sorted(self.ids.values())

    def __contains__(self, row: Comparison) -> bool:
        pairs = pairs_of(row)
        if row.check:  # only the pairs with the answer that was made worse are stored
            pairs = [pair for pair in pairs if row.models[-1] in pair]
        return all((pair, row.repeat) in self.ids for pair in pairs)

    def since(self, row: Comparison) -> int:
        """How many comparisons were rated after the one that `row` repeats."""
        pairs = pairs_of(row)
        number = max(self.ids.get((pair, False), self.numbers[-1]) for pair in pairs) if self.numbers else 0
        return (len(self.numbers) - bisect_right(self.numbers, number)) // len(pairs)


def _strewn(
    comparisons: Sequence[Comparison], plain: list[int], done: _Done, rater: str, seed: int
) -> list[int]:
    """The rows in the order of `plain` with repeats and checks among them; last, as they come, those that are done."""
    open_ones = [row for row in plain if comparisons[row] not in done]
    places = {(comparisons[row].prompt_id, comparisons[row].models): at for at, row in enumerate(open_ones)}
    keyed = [(float(at), row) for at, row in enumerate(open_ones)]
    for row, other in enumerate(comparisons):
        if not (other.repeat or other.check) or other in done:
            continue
        first = places.get((other.prompt_id, other.models))
        if other.check:
            place = draw(seed, rater, "place", other.id) * len(open_ones)
        elif first is None:
            place = max(0, gap(other.id, rater, seed) - done.since(other)) - 0.5
        else:
            place = min(first + gap(other.id, rater, seed) + 0.5, len(open_ones) - 0.5)
        keyed.append((place, row))
    return [*(row for _, row in sorted(keyed)), *(row for row, c in enumerate(comparisons) if c in done)]
