"""What was said before, read from the store: the steps that this rater can undo or do again, after a reload of the page or a
restart too, and the earlier votes on one row.

Places are the page's, "a" is the leftmost answer; no model's name is in any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sftkit.ratings.blind import Comparison
from sftkit.widgets.grid_votes import LETTERS, NOTHING, Opinion, opinions

STEPS = 50  # that can be undone
TAIL = 400  # ratings among which they are looked for

Step = tuple[int, Opinion, Opinion]  # row, before, after


def steps(frame: pd.DataFrame, comparisons: Sequence[Comparison]) -> dict[str, list[Step]]:
    """{"done": the newest last, "undone": the next to do again last}. frame: one rater's rows of the store, oldest first."""
    newest = frame.tail(TAIL)
    frame = frame[frame["prompt_id"].isin(newest["prompt_id"])]  # what was said before of those, too
    start = newest["id"].min()
    done: list[Step] = []
    undone: list[Step] = []
    known: dict[int, Opinion] = {}
    for row, said, _ in opinions(frame, comparisons):
        before, known[row] = known.get(row, NOTHING), said.opinion
        if said.id >= start and before != said.opinion:
            _follow(done, undone, (row, before, said.opinion), said.evidence.get("step"))
    return {"done": done[-STEPS:], "undone": undone[-STEPS:]}


def _follow(done: list[Step], undone: list[Step], step: Step, kind: str | None) -> None:
    """One more step, as the page keeps them (widgets/src/state.ts). What was stored may be more or less than a step there:
    scores come in bursts, a note letter by letter."""
    row, before, after = step
    last = done[-1] if done and done[-1][0] == row and done[-1][2] == before else None
    if kind == "undo" and last:
        done.pop()
        if last[1] != after:  # a part of what was stored at once
            done.append((row, last[1], after))
        undone.append((row, after, before))
    elif kind == "redo" and undone and undone[-1] == step:
        done.append(undone.pop())
    else:
        typing = last and not undone and _only_note(last[1], before) and _only_note(before, after)
        if typing:
            done.pop()
        done.append((row, last[1] if last and typing else before, after))
        undone.clear()


def _only_note(x: Opinion, y: Opinion) -> bool:
    return x["note"] != y["note"] and {**x, "note": ""} == {**y, "note": ""}


def earlier(
    frames: dict[str, pd.DataFrame], comparison: Comparison, shown: Sequence[str]
) -> list[dict[str, Any]]:
    """What was said of one comparison, oldest first. frames: {name to show, "" for this rater: rows of the store}."""
    found = []
    for name, frame in frames.items():
        for _, said, when in opinions(frame, [comparison]):
            opinion = turned({**NOTHING, **said.opinion}, said.shown, shown)
            step = said.evidence.get("step")
            found.append((when, {"rater": name, "when": f"{when:%Y-%m-%dT%H:%M:%SZ}", "opinion": opinion, "undo": step == "undo"}))  # fmt: skip
    return [entry for _, entry in sorted(found, key=lambda one: one[0])]


def turned(opinion: Opinion, was: Sequence[str], now: Sequence[str]) -> Opinion:
    """The opinion with the places that the models have now, where they stood otherwise when it was given."""
    places = {LETTERS[was.index(model)]: LETTERS[now.index(model)] for model in was if model in now}

    def moved(given: dict[str, Any]) -> dict[str, Any]:
        return {places[place]: value for place, value in given.items() if place in places}

    return {
        **opinion,
        "verdict": places.get(opinion["verdict"], opinion["verdict"]),
        "ranking": moved(opinion["ranking"]),
        "scores": {name: moved(given) for name, given in opinion["scores"].items()},
    }
