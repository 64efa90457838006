"""A store with everything a report shows: two humans, a judge that sees both orders and is had by a canary, scores, tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore

JUDGE = "judge:gpt-4.1/pairwise-v2"
MODELS = ("base", "tuned", "lora")


def rated(url: str, prompts: int = 40, text: str = "answer", scored: bool = True) -> RatingStore:
    """`prompts` prompts of two tasks, three models; tuned is better than base on the whole, lora a little."""
    store, random = RatingStore(url), np.random.default_rng(3)
    rows = [
        {"prompt_id": f"p{i}", "prompt": f"question {i} {text}", "task": ("sums", "facts")[i % 2], "reference": text, "model": m, "response": f"{text} of {m} " + "x" * int(random.integers(1, 90))}
        for i in range(prompts)
        for m in MODELS
    ]  # fmt: skip
    store.register(Generations.from_frame(pd.DataFrame(rows)))
    raters = [("human:ana", 1, 0.8), ("human:bo", 1, 0.6), (JUDGE, 2, 1.0)]
    many = [rating for i in range(prompts) for model, lift in (("tuned", 1.0), ("lora", 0.3)) for rating in _ratings(random, i, model, lift, raters, scored)]  # fmt: skip
    many += [Rating(JUDGE, f"p{i}", "base", "canary:constant", "b" if i % 4 == 0 else "a", shown_first="a") for i in range(min(prompts, 20))]  # fmt: skip
    store.add_many(many)
    return store


def _ratings(random, i: int, model: str, lift: float, raters: list, scored: bool) -> list[Rating]:
    made, own = [], random.normal(lift, 0.8)
    for rater, orders, share in raters:
        if random.random() > share:
            continue
        for first in ["a", "b"][:orders]:
            seen = own + random.normal(0, 0.6) + (0.5 if first == "b" else -0.5) * (orders - 1)
            said = "b" if seen > 0.3 else "a" if seen < -0.3 else "tie"
            unscored = orders == 2 and i % 13 == 12
            scores = {d: {"a": _mark(random, 3), "b": _mark(random, 3 + own * 0.7 - (d == "safety") * 0.8)} for d in ("helpfulness", "honesty", "safety")}  # fmt: skip
            more = {"reason": "no reply"} if unscored else {"note": "clear"} if i % 7 == 0 else {}
            made.append(Rating(rater, f"p{i}", "base", model, "unscored" if unscored else said, scores=scores if scored and not unscored else {}, shown_first=first, seconds=9.0, **more))  # fmt: skip
    return made


def _mark(random, mean: float) -> int:
    return int(np.clip(round(random.normal(mean, 0.8)), 1, 5))
