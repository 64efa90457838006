"""One verdict by one rater on one comparison, checked when it is made so that the store holds no nonsense."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real
from typing import Any

from sftkit.errors import Fault, RatingError
from sftkit.ratings.dimensions import DIMENSIONS

# What a rating can say: who wins, a tie of good or of bad answers, no judgement, or the state of the work on it.
VERDICTS = ("a", "b", "tie", "both_bad", "unscored", "skipped", "open", "retracted")
VOTES = ("a", "b", "tie", "both_bad")  # the verdicts that decide a comparison
CANARY = "canary:"  # begins the name of an answer that was made to catch a judge
ASIDE = "aside:"  # stands for the other model where a rating is of no comparison (questions, an answer alone)
SIMULATED = "human:simulated"  # begins the name of a rater who is a rule (judging.simulated)
EXAM = "exam:"  # begins the names of the exam's answers and prompts
_TEXTS = ("note", "reason", "request_hash", "raw_reply")


@dataclass(frozen=True)
class Rating:
    """What `rater` says about the answers of `model_a` and `model_b` to the prompt `prompt_id`.

    verdict: "a", "b", "tie", or "both_bad", a tie of two bad answers; "unscored" is a judgement that failed and
    "skipped" one that the rater would not make (`reason` says why, and is required); "open" holds scores or a note before there is a verdict, and is never a vote; "retracted" takes back whatever
    this rater said before about this comparison (an undo), and leaves the history in the store.
    scores: {dimension: {"a": 1..5, "b": 1..5}} (either side may be missing), or {dimension: 1..5} for a score of the
    comparison as a whole. Dimensions beyond the six may be used freely; a misspelt one of the six is refused.
    shown_first: which answer stood first (left, or earlier in the judge's prompt): "a", "b" or None if not known.
    seconds: time spent. request_hash, raw_reply, tokens_in, tokens_out, price (US dollars), evidence (JSON): a judge's.
    key: any text that is unique to this rating; adding the same key again changes nothing, so a vote can be sent twice.
    tags: a rater's own words for it; flag: come back to this one; project: of which project it is part;
    probability: with which the queue chose this comparison, above 0 to 1, None where it was not sampled.
    A ranking of more than two models is one Rating a pair, all with evidence {"ranking": {"models", "ranks"}}.

    Raises RatingError with every fault at once.

        first = answers.pairs().iloc[0]
        scores = {"helpfulness": {"a": 2, "b": 4}}
        vote = sk.Rating("human:ana", first.prompt_id, first.model_a, first.model_b, verdict="b", scores=scores)
        store.add(vote)
    """

    rater: str
    prompt_id: str
    model_a: str
    model_b: str
    verdict: str
    scores: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    reason: str = ""
    shown_first: str | None = None
    seconds: float | None = None
    request_hash: str | None = None
    raw_reply: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    price: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    tags: list[str] = field(default_factory=list)
    flag: bool = False
    project: str | None = None
    probability: float | None = None

    def __post_init__(self) -> None:
        faults = [
            *_name_faults(self),
            *_verdict_faults(self),
            *_score_faults(self.scores),
            *_extra_faults(self),
            *_project_faults(self),
        ]
        if faults:
            raise RatingError(faults)
        for name in ("scores", "seconds", "tokens_in", "tokens_out", "price", "probability", "flag"):
            object.__setattr__(self, name, _plain(getattr(self, name)))  # numpy's numbers are no JSON
        object.__setattr__(self, "tags", list(self.tags))


def _name_faults(rating: Rating) -> list[Fault]:
    faults = [
        Fault(name, f"must be text and not empty, not {getattr(rating, name)!r}.")
        for name in ("rater", "prompt_id", "model_a", "model_b")
        if not isinstance(getattr(rating, name), str) or not getattr(rating, name).strip()
    ]
    if rating.model_a == rating.model_b:
        faults.append(Fault("model_b", f"is {rating.model_b!r}, as model_a is.", "Compare two models."))
    return faults


def _verdict_faults(rating: Rating) -> list[Fault]:
    faults = []
    if rating.verdict not in VERDICTS:
        faults.append(Fault("verdict", f"{rating.verdict!r} is none of {', '.join(VERDICTS)}."))
    if rating.verdict in ("unscored", "skipped") and not rating.reason:
        faults.append(Fault("reason", "is empty.", f"Say why the comparison is {rating.verdict}."))
    if rating.shown_first not in ("a", "b", None):
        faults.append(Fault("shown_first", f'{rating.shown_first!r} is none of "a", "b", None.'))
    return faults


def _score_faults(scores: Any) -> list[Fault]:
    if not isinstance(scores, dict):
        return [Fault("scores", f"must be a dict of dimensions, not {type(scores).__name__}.")]
    faults = []
    for name, score in scores.items():
        where = f"scores[{name!r}]"
        if (misspelt := _misspelt(name)) is not None:
            faults.append(
                Fault(where, "is not a dimension.", f"Did you mean {misspelt}?" if misspelt else "")
            )
        if isinstance(score, dict) and (odd := set(score) - {"a", "b"}):
            faults.append(Fault(where, f"has {sorted(map(str, odd))}.", 'Only "a" and "b" can be scored.'))
        for value in score.values() if isinstance(score, dict) else [score]:
            if not _is_number(value, low=1, high=5):
                faults.append(Fault(where, f"{value!r} is not a number from 1 to 5."))
    return faults


def _misspelt(name: Any) -> str | None:
    """The dimension that `name` nearly spells, "" when it is no name at all, None when it is a good name."""
    known = [dimension.name for dimension in DIMENSIONS]
    if not isinstance(name, str) or not name.strip():
        return ""
    if name in known:
        return None
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    return near[0] if near else None


def _extra_faults(rating: Rating) -> list[Fault]:
    faults = [
        Fault(name, f"must be text, not {type(getattr(rating, name)).__name__}.")
        for name in (*_TEXTS, "key")
        if not isinstance(getattr(rating, name), str)
        and not (getattr(rating, name) is None and name not in ("note", "reason"))
    ]
    for name in ("seconds", "tokens_in", "tokens_out", "price"):
        value = getattr(rating, name)
        if value is not None and not _is_number(value, low=0, high=math.inf):
            faults.append(Fault(name, f"{value!r} is not a number from 0."))
    try:
        json.dumps(rating.evidence, allow_nan=False)
        if not isinstance(rating.evidence, dict):
            faults.append(Fault("evidence", f"must be a dict, not {type(rating.evidence).__name__}."))
    except (TypeError, ValueError, RecursionError) as error:
        faults.append(Fault("evidence", f"cannot be kept as JSON: {error}."))
    return faults


def _project_faults(rating: Rating) -> list[Fault]:
    faults = []
    if not isinstance(rating.tags, (list, tuple)):
        faults.append(Fault("tags", f"must be a list of texts, not {type(rating.tags).__name__}."))
    elif odd := [tag for tag in rating.tags if not isinstance(tag, str) or not tag.strip()]:
        faults.append(Fault("tags", f"{odd[0]!r} is no text, or an empty one."))
    if not isinstance(_plain(rating.flag), bool):
        faults.append(Fault("flag", f"must be True or False, not {rating.flag!r}."))
    if rating.project is not None and (not isinstance(rating.project, str) or not rating.project.strip()):
        faults.append(Fault("project", f"must be text and not empty, or None, not {rating.project!r}."))
    p = rating.probability
    if p is not None and (not _is_number(p, low=0, high=1) or p == 0):
        faults.append(Fault("probability", f"{p!r} is not a number above 0 and up to 1."))
    return faults


def _is_number(value: Any, low: float, high: float) -> bool:
    """A finite number in low..high, numpy's too; never a bool."""
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value.item() if hasattr(value, "item") else value
