"""The admission exam: before a judge's word counts, it judges pairs of which the better answer is known.

    exam = sk.exam(judge, store)         # the judge's own protocol; what is in the store already is not paid for again
    exam                                 # a card, red under 60 %; exam.measures, .by_dimension, .by_trap, .pairs
    Panel(judges, weights={exam.rater: exam.weight for exam in exams})

The pairs are in exam.jsonl, of our own writing. They are judged under a name of their own, "<rater>@exam", as answers
of the models "exam:good" and "exam:bad", which count as models nowhere (ratings.votes.of_models). Nothing else is kept:
the result is read from those rows whenever it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sftkit.generation.table import Generations
from sftkit.judging.asking import Progress
from sftkit.judging.exam_result import Exam, examined
from sftkit.judging.judge import Judge
from sftkit.judging.money import CostEstimate
from sftkit.ratings.rating import EXAM

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.ratings.store import RatingStore

GOOD, BAD = EXAM + "good", EXAM + "bad"
AT_EXAM = "@exam"  # ends the rater's name under which the pairs are judged
HUMAN_VOTES = 50  # comparisons with human votes that are judged as well, at most


class JudgeWarning(UserWarning):
    """A judge failed its exam."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt. tie: the difference matters to nobody; else `good` is the better one."""

    id: str
    dimension: str
    trap: str
    task: str
    prompt: str
    reference: str | None
    good: str
    bad: str
    tie: bool
    why: str

    @property
    def prompt_id(self) -> str:
        """Another one when the texts change: a verdict on the old ones is none on the new."""
        texts = json.dumps([self.prompt, self.reference, self.good, self.bad])
        return f"{EXAM}{self.id}:{hashlib.sha256(texts.encode()).hexdigest()[:6]}"


@cache
def pairs() -> tuple[Pair, ...]:
    """The exam's questions."""
    text = resources.files("sftkit.judging").joinpath("exam.jsonl").read_text(encoding="utf-8")
    return tuple(Pair(**json.loads(line)) for line in text.splitlines())


def _answers(chosen: tuple[Pair, ...]) -> Generations:
    import pandas as pd

    shared = [
        {"prompt_id": p.prompt_id, "prompt": p.prompt, "task": p.task, "reference": p.reference}
        for p in chosen
    ]
    rows = [{**row, "model": GOOD, "response": p.good} for row, p in zip(shared, chosen)]
    rows += [{**row, "model": BAD, "response": p.bad} for row, p in zip(shared, chosen)]
    return Generations.from_frame(pd.DataFrame(rows))


class Candidate(Judge):
    """A judge with model, endpoint, limits, prices and rules of another, that asks every question once and no more."""

    def __init__(self, judge: Judge, suffix: str = ""):
        self.__dict__.update(judge.__dict__)
        plan = {"canaries": 0, "repeats": 1, "extra_pairs": 0, "mask_flagged": False}
        self.protocol = judge.protocol.with_rules(**plan)
        self.progress, self._asking, self._suffix = Progress(), None, suffix

    @property
    def rater(self) -> str:
        return super().rater + self._suffix


class _ExamRoom:
    """The store as the exam uses it: verdicts go in and out, its prompts do not become the user's."""

    def __init__(self, store: RatingStore):
        self._store = store

    def register(self, _answers: Generations) -> None:
        """Nothing: a report must not find the exam's prompts among the user's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Sitting:
    """One exam of one judge: `estimate`, `run`, and `stop` from any thread. Without a store it is kept in memory."""

    def __init__(self, judge: Judge, store: RatingStore | None = None, human_votes: int = HUMAN_VOTES):
        from sftkit.ratings.store import RatingStore

        self.judge = judge
        self.store = store if store is not None else RatingStore("sqlite://")
        self._human_votes = human_votes
        self._stopped, self._now = False, Candidate(judge, AT_EXAM)

    def _parts(self) -> list[tuple[Candidate, Generations, Any]]:
        """(judge, answers, store): the pairs, then what humans have voted on, under the judge's own name."""
        voted = _voted(self.store, self._human_votes)
        return [
            (Candidate(self.judge, AT_EXAM), _answers(pairs()), _ExamRoom(self.store)),
            *((Candidate(self.judge), answers, self.store) for answers in voted),
        ]

    def estimate(self) -> CostEstimate:
        """What `run` would take."""
        found = [judge.estimate(answers, store) for judge, answers, store in self._parts()]
        total = replace(found[0], parts={"exam": found[0].calls}, smallest_difference=None)
        for more in found[1:]:
            dollars = None if total.dollars is None else total.dollars + (more.dollars or 0.0)
            sums = {
                n: getattr(total, n) + getattr(more, n)
                for n in ("calls", "tokens_in", "tokens_out", "minutes")
            }
            parts = {**total.parts, "human votes": total.parts.get("human votes", 0) + more.calls}
            total = replace(total, **sums, dollars=dollars, parts=parts)
        return total

    def run(
        self,
        progress: bool = True,
        spend_limit: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Exam:
        """Ask what is not in the store yet, and give the result. As Judge.rate, of which these are the arguments."""
        for candidate, answers, store in self._parts():
            self._now = candidate
            if self._stopped:
                break
            options = {"progress": progress, "spend_limit": spend_limit, "on_progress": on_progress}
            candidate.rate(answers, store=store, remind=False, **options)
            if spend_limit is not None:
                spend_limit = max(0.0, spend_limit - (candidate.progress.spent or 0.0))
            self._stopped = self._stopped or bool(candidate.progress.stopped)
        return result(self.judge, self.store)

    def stop(self) -> None:
        """End it; what was asked is stored, and the next exam goes on from there."""
        self._stopped = True
        self._now.stop()


def exam(
    judge: Judge,
    store: RatingStore | None = None,
    *,
    human_votes: int = HUMAN_VOTES,
    progress: bool = True,
    spend_limit: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Exam:
    """Let a judge sit its admission exam, and say how it did.

        result = sk.exam(judge, store)
        print(result)               # right, consistent, drawn to the first place or to length; result.weight for a panel

    Every pair goes through the judge's own protocol, in both orders where that asks for them. With a `store` the
    verdicts are kept there, so that an interrupted exam goes on and a repeated one costs nothing, and up to
    `human_votes` comparisons on which humans have voted are judged too (0: none). `Sitting(judge, store).estimate()`
    says what it takes beforehand. progress, spend_limit, on_progress: as for Judge.rate.

    Warns (JudgeWarning) when the judge is right in less than 60 % of the pairs. Raises JudgeError as Judge.rate does.
    """
    found = Sitting(judge, store, human_votes).run(progress, spend_limit, on_progress)
    if found.passed is False:
        warnings.warn(found.sentences[0], JudgeWarning, stacklevel=2)
    return found


def result(judge: Judge, store: RatingStore) -> Exam:
    """The exam as far as the store has it, without a call; `.passed` is None while it is not finished."""
    candidate = Candidate(judge, AT_EXAM)
    return examined(judge, pairs(), store.frame(candidate.rater), store)


def reminder(judge: Judge, store: RatingStore, how: str = "sk.exam(judge, store)") -> str:
    """One line for a judge that is about to be used without an exam in this store; "" for any other."""
    if len(store.frame(judge.rater)):
        return ""  # its first use is over
    asked = set(store.frame(judge.rater + AT_EXAM)["prompt_id"])
    if asked >= {pair.prompt_id for pair in pairs()}:
        return ""
    calls = len(pairs()) * (1 + judge.protocol.both_orders)
    return f"{judge.rater} has not sat its exam yet: {how} asks it {calls} questions and says how far to trust it."


def _voted(store: RatingStore, limit: int) -> list[Generations]:
    """The answers to at most `limit` comparisons with a human vote, those of two models together."""
    votes = store.votes() if limit else None
    if votes is None or votes.empty:
        return []
    human = votes[votes["rater"].str.startswith("human:") & votes["outcome"].notna()]
    names = ["prompt_id", "model_a", "model_b"]
    every = sorted(set(human[names].itertuples(index=False, name=None)), key=_shuffled)[:limit]
    frame = store.answers().frame
    known = set(zip(frame["prompt_id"], frame["model"]))
    groups: dict[tuple[str, str], list[str]] = {}
    for prompt, a, b in every:
        if {(prompt, a), (prompt, b)} <= known:  # votes may be of answers that were never registered
            groups.setdefault((a, b), []).append(prompt)
    return [_between(frame, a, b, prompts) for (a, b), prompts in groups.items()]


def _between(frame: pd.DataFrame, a: str, b: str, prompts: list[str]) -> Generations:
    rows = frame[frame["model"].isin([a, b]) & frame["prompt_id"].isin(prompts)]
    return Generations.from_frame(rows.sort_values("model", key=lambda m: m != a, kind="stable"))


def _shuffled(comparison: tuple[str, ...]) -> bytes:
    """An order by chance that is the same at every call."""
    return hashlib.sha256(json.dumps(comparison).encode()).digest()
