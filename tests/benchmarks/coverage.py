"""How often the report's nominal 95 % intervals hold the truth: 1,000 simulated studies each of 50, 200 and 805 prompts.

    python tests/benchmarks/coverage.py [--studies 1000] [--out tests/benchmarks/results_coverage.md]

win rate        three raters a prompt who share its difficulty; ties; clustered by prompt
win rate near 1 one rater, 97 % wins
PPI             n human votes of 2 n + 500 judged prompts; a good, biased judge; the same with small_sample, and sampled by
                usefulness
calibrated      the interval of `calibrated_win_rate` (Wilson, by linearisation), the same studies
alpha           three raters of whom one leaves gaps; ordinal scores 1 to 5
kappa           two raters' pair verdicts, symmetrised
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from sftkit.report.agreement import cohen_kappa, krippendorff_alpha
from sftkit.report.calibration import _weighted, prediction_powered
from sftkit.report.estimates import Estimate, means

SIZES = (50, 200, 805)
Random = np.random.Generator


def win_rates(random: Random, n: int, studies: int, raters: int = 3, mean: float = 0.6) -> float:
    """Share of intervals that hold the truth, all studies at once."""
    chance = random.beta(4 * mean, 4 * (1 - mean), (studies, n))
    draw = (random.random((studies, n, raters)) < chance[..., None]).astype(float)
    ties = random.random(draw.shape) < (0.2 if raters > 1 else 0.0)
    draw[ties] = 0.5
    truth = 0.8 * mean + 0.2 * 0.5 if raters > 1 else mean
    study = np.repeat(np.arange(studies), n * raters)
    found = means(draw.ravel(), study, np.repeat(np.arange(studies * n), raters))
    return float(((found["low"] <= truth) & (truth <= found["high"])).mean())


def pool(random: Random, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Human and judge outcomes of 2 n + 500 prompts: the judge is right in 3 of 4 cases and else likes the first."""
    human = (random.random(2 * n + 500) < random.beta(2, 1.5, 2 * n + 500)).astype(float)
    judge = np.where(
        random.random(len(human)) < 0.75, human, random.choice([0, 0.5, 1], len(human), p=[0.1, 0.2, 0.7])
    )
    return human, judge


PPI_TRUTH = 2 / 3.5


def ppi(random: Random, n: int) -> Estimate:
    human, judge = pool(random, n)
    return prediction_powered(human[:n], judge[:n], judge[n:])


def ppi_small(random: Random, n: int) -> Estimate:
    human, judge = pool(random, n)
    return prediction_powered(human[:n], judge[:n], judge[n:], small_sample=True)


def calibrated(random: Random, n: int) -> Estimate:
    human, judge = pool(random, n)
    return _weighted(human[:n], judge[:n], judge[n:], np.ones(n), None)


def sampled(random: Random, n: int) -> Estimate:
    human, judge = pool(random, n)
    worth = np.where(judge == 0.5, 4.0, np.where(human != judge, 2.0, 0.6))
    chance = np.clip(worth * n / worth.sum(), 0.02, 1)
    seen = random.random(len(human)) < chance
    return prediction_powered(human[seen], judge[seen], judge[~seen], probability=chance[seen])


def scores(random: Random, n: int) -> pd.DataFrame:
    """Three raters' scores 1 to 5 of n answers; the third leaves 30 % out."""
    quality = random.normal(3, 1, (n, 1))
    said = np.clip(np.rint(quality + random.normal(0, 0.8, (n, 3))), 1, 5)
    said[random.random(n) < 0.3, 2] = np.nan
    return pd.DataFrame(said)


def alpha(random: Random, n: int) -> Estimate:
    return krippendorff_alpha(scores(random, n), "ordinal")


@cache
def alpha_truth() -> float:
    return krippendorff_alpha(scores(np.random.default_rng(99), 300_000), "ordinal", resamples=0).value


def verdicts(random: Random, n: int) -> np.ndarray:
    """Two raters' verdicts (1, 0, -1) on n comparisons, (n, 2)."""
    lead = random.normal(0.4, 1.0, (n, 1)) + random.normal(0, 0.7, (n, 2))
    return np.where(np.abs(lead) < 0.4, 0, np.sign(lead))


def kappa(random: Random, n: int) -> Estimate:
    both = verdicts(random, n)
    both = np.concatenate([both, -both])
    return cohen_kappa(list(both[:, 0]), list(both[:, 1]), clusters=np.tile(np.arange(n), 2))


@cache
def kappa_truth() -> float:
    both = verdicts(np.random.default_rng(98), 300_000)
    both = np.concatenate([both, -both])
    seen = (both[:, 0] == both[:, 1]).mean()
    chance = sum((both[:, 0] == v).mean() * (both[:, 1] == v).mean() for v in (-1, 0, 1))
    return float((seen - chance) / (1 - chance))


def covered(
    study: Callable[[Random, int], Estimate], truth: float, n: int, studies: int, seed: int = 0
) -> float:
    """Share of studies whose interval holds the truth."""
    random = np.random.default_rng([seed, n])
    found = [study(random, n) for _ in range(studies)]
    return float(np.mean([e.low <= truth <= e.high for e in found]))


def rows(studies: int) -> list[tuple[str, list[float]]]:
    """(what, coverage at each of SIZES)."""
    cases = {
        "PPI (PPI++, normal interval)": (ppi, lambda: PPI_TRUTH),
        "PPI, small_sample=True": (ppi_small, lambda: PPI_TRUTH),
        "PPI, calibrated_win_rate's interval": (calibrated, lambda: PPI_TRUTH),
        "PPI, votes sampled by usefulness": (sampled, lambda: PPI_TRUTH),
        "Krippendorff's alpha, ordinal": (alpha, alpha_truth),
        "Cohen's kappa of pair verdicts": (kappa, kappa_truth),
    }
    table = [
        (
            "win rate, 3 votes a prompt, clustered",
            [win_rates(np.random.default_rng([1, n]), n, studies) for n in SIZES],
        ),
        (
            "win rate of 97 %, 1 vote a prompt",
            [win_rates(np.random.default_rng([2, n]), n, studies, 1, 0.97) for n in SIZES],
        ),
    ]
    return table + [
        (name, [covered(one, truth(), n, studies) for n in SIZES]) for name, (one, truth) in cases.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    started = time.process_time()
    lines = [
        "| share of 95 % intervals that hold the truth | " + " | ".join(f"n = {n}" for n in SIZES) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |"
        for name, shares in rows(chosen.studies)
    ]
    took = f"{chosen.studies} studies in every cell, {time.process_time() - started:.0f} CPU seconds in all. The aim: 93 to 97 %."
    text = "\n".join([*lines, "", took, ""])
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
