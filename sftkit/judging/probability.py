"""How sure the judge was: the probability of each verdict, from the log-probabilities of the token that decides it."""

from __future__ import annotations

import math
from typing import Any

from sftkit.judging.verdict import Shape


def probabilities(text: str, tokens: list[dict[str, Any]], shape: Shape) -> dict[str, float] | None:
    """P of "a", "b" and "tie", which add up to 1; None where the reply does not tell.

    tokens: `logprobs.content` of a chat completion: {"token", "logprob", "top_logprobs": [{"token", "logprob"}, …]}.
    """
    if shape.mode != "pairwise" or "".join(str(t.get("token", "")) for t in tokens) != text:
        return None
    start = text.rfind('"', 0, text.rfind('"'))  # where the last string of the reply opens: the verdict
    spelt = {side: f'"{name}"' for name, side in (*shape.labels, ("tie", "tie"))}
    place = 0
    for token in tokens:
        end = place + len(token["token"])
        if end > start:
            before, done = text[place : max(place, start)], text[start : max(place, start)]
            rest = {side: before + name[len(done) :] for side, name in spelt.items() if name.startswith(done)}
            if (found := _shares(token, rest)) is not None:
                return found
        place = end
    return None


def _shares(token: dict[str, Any], rest: dict[str, str]) -> dict[str, float] | None:
    """The weight of each outcome at this token, or None where the token does not part them.

    rest: what is still to be written for each outcome. An alternative belongs to the outcome whose spelling it begins,
    or which it writes out and goes on.
    """
    found = dict.fromkeys(("a", "b", "tie"), 0.0)
    for other in token.get("top_logprobs") or [token]:
        words = other["token"]
        fits = [side for side, s in rest.items() if words and (s.startswith(words) or words.startswith(s))]
        if len(fits) > 1:
            return None
        if fits:
            found[fits[0]] += math.exp(other["logprob"])
    total = sum(found.values())
    return {side: round(p / total, 6) for side, p in found.items()} if total > 0 else None
