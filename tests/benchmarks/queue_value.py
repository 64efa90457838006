"""What the queue by value is worth on MT-Bench's human votes: labels right, and the win rate estimated from its sample.

python tests/benchmarks/queue_value.py               # prints the table; needs shared/oracles/mt_bench_human
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "ratings"))

from test_queue import ANA, mt_bench

import sftkit.ratings.queue as queue
from sftkit.report.calibration import prediction_powered

PLANS = [("random", 0.1), ("value", 0.1), ("value", 0.2), ("value", 0.3), ("value", 0.5)]


def line(world: tuple, budget: int, strategy: str, floor: float, draws: int) -> list[float]:
    """Labels right; of the win rate: mean error of the bare mean, of the estimate, its coverage and width."""
    rows, stored, truth, judge, _ = world
    right, y, f = truth == judge, (truth + 1) / 2, (judge + 1) / 2
    place = {row.id: n for n, row in enumerate(rows)}
    found = []
    for seed in range(draws):
        made = queue.arrange(rows, stored, strategy, rater=ANA, seed=seed, budget=budget, floor=floor)
        seen = np.array([place[name] for name in made.probability])
        asked = np.isin(np.arange(len(rows)), seen)
        chance = np.array(list(made.probability.values()))
        estimate = prediction_powered(y[seen], f[seen], f[~asked], probability=chance)
        covered = estimate.low <= y.mean() <= estimate.high
        labels = (right | asked).mean()
        found.append(
            [
                labels,
                y[seen].mean() - y.mean(),
                estimate.value - y.mean(),
                covered,
                estimate.high - estimate.low,
            ]
        )
    return np.mean(found, axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args().draws
    world = mt_bench()
    worth = queue.worth(world[0], world[1])
    queue.worth = lambda *_: worth  # the same in every draw
    print(f"{len(world[0])} pairs, GPT-4 in both orders, {draws} seeds a line\n")
    print("| budget | strategy | labels right | bare mean is off by | estimate is off by | covered | width |")
    print("|---|---|---|---|---|---|---|")
    for budget in (100, 290, 450):
        for strategy, floor in PLANS:
            labels, bare, error, covered, width = line(world, budget, strategy, floor, draws)
            name = strategy if strategy == "random" else f"value, {floor:.0%} by chance"
            print(
                f"| {budget} | {name} | {labels:.3f} | {bare:+.4f} | {error:+.4f} | {covered:.3f} | {width:.3f} |"
            )


if __name__ == "__main__":
    main()
