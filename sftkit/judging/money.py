"""What a run costs: the price file, the price of a call, the estimate before the first one.

judge.estimate(answers)     # calls, tokens, dollars, minutes, and the smallest difference that would show
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

from sftkit.errors import JudgeError

SHIPPED = Path(__file__).with_name("prices.toml")
ENVIRONMENT = "SFTKIT_PRICES"
SECONDS = 5.0  # a call takes, where nothing is known of the endpoint
LEVEL, POWER = 0.05, 0.8
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens, where from and of when."""

    input: float
    output: float
    cached_input: float
    date: str
    source: str

    def of(self, tokens_in: float, tokens_out: float, cached: float = 0) -> float:
        """Dollars of a call; `cached` of its tokens_in were cached."""
        fresh = max(0.0, tokens_in - cached)
        return (
            fresh * self.input + min(cached, tokens_in) * self.cached_input + tokens_out * self.output
        ) / 1e6


def user_file() -> Path:
    """The user's own price file, which may not exist."""
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".config" / "sftkit" / "prices.toml")


def price_of(
    model: str, prices: str | os.PathLike[str] | Mapping[str, Mapping[str, float]] | None = None
) -> Price | None:
    """The price of a model: from `prices` (a file, or {model: {"input": …, "output": …}}), the user's file, or ours.

    None where no list has it. JudgeError for a file that cannot be read.
    """
    for listed in _lists(prices):
        for name in (model, _SNAPSHOT.sub("", model)):
            if name in listed:
                return listed[name]
    return None


def _lists(prices: Any) -> list[dict[str, Price]]:
    found = []
    if isinstance(prices, Mapping):
        found.append({name: _price(name, entry, "", "given in the call") for name, entry in prices.items()})
    elif prices is not None:
        found.append(_read(Path(prices)))
    if ENVIRONMENT in os.environ or user_file().is_file():
        found.append(_read(user_file()))
    return [*found, _read(SHIPPED)]


def _read(path: Path) -> dict[str, Price]:
    try:
        providers = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JudgeError(f"the price file {path} cannot be read: {error}") from error
    found = {}
    for name, listed in providers.items():
        if not isinstance(listed, dict) or not isinstance(listed.get("models"), dict):
            raise JudgeError(
                f"the price file {path}: [{name}] needs date, source and [{name}.models]; see {SHIPPED}"
            )
        date, source = str(listed.get("date", "undated")), str(listed.get("source", path))
        found |= {model: _price(model, entry, date, source) for model, entry in listed["models"].items()}
    return found


def _price(model: str, entry: Any, date: str, source: str) -> Price:
    try:
        dollars = {name: float(entry[name]) for name in ("input", "output")}
        dollars["cached_input"] = float(entry.get("cached_input", dollars["input"]))
        if min(dollars.values()) < 0:
            raise ValueError("a price is 0 or more")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JudgeError(
            f"the price of {model}: give {{input = …, output = …}} in dollars a million tokens ({error})"
        ) from error
    return Price(**dollars, date=date, source=source)


def smallest_difference(prompts: int, sd: float = 0.5) -> float | None:
    """The smallest distance of a win rate from 50 % that this many prompts show, in shares.

    (z(1 - 0.05/2) + z(0.8)) * sd / sqrt(prompts): two-sided test at 5 % with power 80 % (Cohen 1988; Miller 2024,
    "Adding Error Bars to Evals", section 5). sd: of one prompt's outcome, 0.5 at most; ties make it smaller.
    """
    if not prompts:
        return None
    return sum(map(NormalDist().inv_cdf, (1 - LEVEL / 2, POWER))) * sd / prompts**0.5


@dataclass(frozen=True)
class CostEstimate:
    """What a run of the judge will take.

    parts: calls by kind (pairs, extra, masked, canaries, questions, alone). tokens_in, tokens_out: rough (4 characters each, or 1 for
    scripts like Chinese), set right by what the store's calls used where there are some. dollars: None without a
    price. minutes: at the limits a minute and the number of calls at once. smallest_difference: the distance of a win
    rate from 50 % that would show, as a share; None without prompts.
    """

    calls: int
    tokens_in: int
    tokens_out: int
    dollars: float | None = None
    minutes: float = 0.0
    smallest_difference: float | None = None
    prompts: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    price: Price | None = None
    note: str = ""

    def __str__(self) -> str:
        listed = ", ".join(f"{count} {part}" for part, count in self.parts.items() if count)
        listed = f" ({listed})" if len([count for count in self.parts.values() if count]) > 1 else ""
        money = (
            f"${self.dollars:.2f} at the prices of {self.price.date}"
            if self.dollars is not None and self.price
            else "dollars unknown: no price for this model, see the price list of your endpoint"
        )
        shows = (
            f" {self.prompts} prompts show a win rate {100 * self.smallest_difference:.1f} points or more from 50 %."
            if self.smallest_difference is not None
            else ""
        )
        return (
            f"{self.calls} calls{listed}, about {self.tokens_in:,} tokens in and {self.tokens_out:,} out; {money}; "
            f"about {_minutes(self.minutes)}.{shows}" + (f" {self.note}" if self.note else "")
        )


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} seconds" if minutes < 2 else f"{minutes:.0f} minutes"
