"""What the store already holds of a run: calls that are paid for, questions, answers that were scored alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sftkit.judging.plan import ALONE, Call, Comparison
from sftkit.judging.verdict import Unscorable, read_questions
from sftkit.ratings.rating import Rating

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.judging.protocol import Protocol
    from sftkit.ratings.store import RatingStore

PAID = ("a", "b", "tie", "open")  # verdicts of a reply that was understood
FAILURES = "refusal bad_json schema cut empty timeout http_4xx http_5xx rate_limit network no_choices stopped questions".split()


def rows(store: RatingStore, raters: Iterable[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([store.frame(rater) for rater in raters], ignore_index=True)


def paid(frame: pd.DataFrame) -> dict[tuple[str, ...], Any]:
    """identity of a call -> its newest row with a verdict."""
    names = ["request_hash", "rater", "prompt_id", "model_a", "model_b"]
    kept = frame[frame["verdict"].isin(PAID) & frame["request_hash"].notna()]
    who = kept[names].itertuples(index=False, name=None)
    firsts = ["" if first is None or first != first else first for first in kept["shown_first"]]
    return {(*key, first): row for key, first, row in zip(who, firsts, kept.itertuples())}


def questions(frame: pd.DataFrame, calls: list[Call]) -> dict[str, list[str]]:
    """prompt_id -> the questions that were made for it."""
    known, found = paid(frame), {}
    for call in calls:
        if (row := known.get(call.identity)) is not None:
            try:
                found[call.prompt_id] = read_questions(row.raw_reply)
            except Unscorable:  # edited since: ask anew
                continue
    return found


def reason_of(reason: Any) -> str:
    """The kind of a failure, which begins its reason: `schema: the reply …`."""
    kind = str(reason).partition(":")[0]
    return kind if kind in FAILURES else "other"


def derived(
    comparisons: list[Comparison], frame: pd.DataFrame, protocol: Protocol, notes: dict[str, Any]
) -> list[Rating]:
    """Pointwise: the verdict of every comparison whose two answers have been asked about, from their mean scores."""
    alone = frame[(frame["model_b"] == ALONE) & frame["current"]]
    known = {(r.rater, r.prompt_id, r.model_a): r for r in alone.itertuples()}
    made = []
    for comparison in comparisons:
        rater, prompt_id, *models = comparison.identity
        both = [known.get((rater, prompt_id, model)) for model in models]
        if all(row is not None for row in both):
            made.append(_verdict(comparison, both, protocol, notes))
    return made


def _verdict(comparison: Comparison, both: list[Any], protocol: Protocol, notes: dict[str, Any]) -> Rating:
    rater, prompt_id, model_a, model_b = comparison.identity
    # the same two rows make the same rating
    key = ":".join(("derived", rater, prompt_id, model_a, model_b, *(str(row.id) for row in both)))
    common = {"rater": rater, "prompt_id": prompt_id, "model_a": model_a, "model_b": model_b, "key": key}
    if failed := [row for row in both if row.verdict != "open"]:
        reason = f"{failed[0].reason} (of the answer of {failed[0].model_a})"
        return Rating(**common, verdict="unscored", reason=reason)
    marks = [{name: cell["a"] for name, cell in row.scores.items()} for row in both]
    means = [sum(m.values()) / len(m) for m in marks]
    gap = means[0] - means[1]
    verdict = "tie" if abs(gap) <= protocol.tie_margin + 1e-9 else "a" if gap > 0 else "b"
    scores = {name: {"a": marks[0][name], "b": marks[1][name]} for name in marks[0]}
    sides = {side: row.evidence for side, row in zip("ab", both)}
    quotes = {
        name: {s: kept["quotes"][name]["a"] for s, kept in sides.items() if kept.get("quotes")}
        for name in scores
    }
    evidence = {
        **notes,
        "quotes": quotes,
        "means": dict(zip("ab", means)),
        "rows": [int(row.id) for row in both],
    }
    flags = {side: kept["flags"]["a"] for side, kept in sides.items() if kept.get("flags")}
    return Rating(
        **common, verdict=verdict, scores=scores, evidence=evidence | ({"flags": flags} if flags else {})
    )
