"""What an exam says of a judge, read from its verdicts: how often it is right, and what it leans on when it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sftkit.judging.ledger import reason_of
from sftkit.ratings.rating import EXAM

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.judging.exam import Pair
    from sftkit.judging.judge import Judge
    from sftkit.ratings.store import RatingStore

GOOD, BAD = EXAM + "good", EXAM + "bad"
PASS = 0.6  # a judge that is right less often than this had better not be used; a coin has 0.5
_Z = 1.959964  # of a 95 % interval

# Makers whose models are called by these names; a judge may know its own kind's voice.
FAMILIES = {
    "OpenAI": r"(chat)?gpt|o[134]", "Anthropic": "claude", "Google": "gemini|gemma|palm", "Meta": "llama",
    "Alibaba": "qwen|qwq", "Mistral": "mi[sxn]i?s?tral|codestral|magistral", "DeepSeek": "deepseek",
    "Microsoft": "phi", "Zhipu": "(chat)?glm", "xAI": "grok", "Cohere": "command|aya", "01.AI": "yi",
}  # fmt: skip


@dataclass(frozen=True)
class Share:
    """A share of n with its 95 % interval; NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "not measurable here"
        return f"{100 * self.value:.0f} % ({100 * self.low:.0f}–{100 * self.high:.0f} %, n = {self.n})"


def share(credits: Iterable[float]) -> Share:
    """Mean of values in 0..1 with Wilson's interval (1927); with values between 0 and 1 it is a little too wide."""
    values = [float(value) for value in credits]
    n = len(values)
    if not n:
        return Share(math.nan, math.nan, math.nan, 0)
    p, z2 = sum(values) / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Share(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)


@dataclass(frozen=True)
class Exam:
    """How a judge did. In a notebook a card; `print(exam)` is the same in text.

    pairs: one row a pair: id, dimension, trap, task, tie, said (right, wrong, tie, inconsistent, unscored, missing),
    credit (1 right, 0.5 a tie or inconsistent where one is better, 0 wrong; NaN without a verdict), flip, longer_is
    (good, bad or same), reason, why. calls: one row a verdict of a pair in one order: id, picked_first, picked_longer.
    human: agreement with human votes in the store. own: how many points more often the judge lets its own maker's
    models win than humans do, on the same comparisons; None where that cannot be measured.
    """

    rater: str
    model: str
    pairs: pd.DataFrame
    calls: pd.DataFrame
    human: Share
    own: Share | None = None
    served_by: tuple[str, ...] = ()
    spent: float | None = None
    orders: int = 2

    @cached_property
    def accuracy(self) -> Share:
        """Over the pairs that have a better answer: right is 1, a tie or two orders that disagree 0.5, wrong 0."""
        return share(self._scored[~self._scored["tie"]]["credit"])

    @cached_property
    def ties(self) -> Share:
        """Of the pairs without a difference that matters, those called a tie (in both orders)."""
        return share(self._scored[self._scored["tie"]]["credit"])

    @cached_property
    def consistency(self) -> Share:
        """Pairs on which the verdict stayed the same when the answers changed places."""
        return share(1 - self.pairs["flip"].dropna().astype(float))

    @cached_property
    def first(self) -> Share:
        """Of the verdicts for one answer, those for the answer shown first; 0.5 is fair."""
        return share(self.calls["picked_first"].dropna())

    @cached_property
    def longer(self) -> Share:
        """Of the verdicts where the longer answer is the worse one, those for the longer; 0 is right."""
        return self._misled("bad", longer=True)

    @cached_property
    def shorter(self) -> Share:
        """Of the verdicts where the shorter answer is the worse one, those for the shorter; 0 is right."""
        return self._misled("good", longer=False)

    def _misled(self, longer_is: str, longer: bool) -> Share:
        mine = self.calls[(self.calls["longer_is"] == longer_is) & ~self.calls["tie"]]
        return share((mine["picked_longer"].dropna().astype(bool) == longer).astype(float))

    @property
    def _scored(self) -> pd.DataFrame:
        return self.pairs[self.pairs["credit"].notna()]

    @property
    def unscored(self) -> int:
        """Pairs whose judgement failed in an order or in both."""
        return int((self.pairs["said"] == "unscored").sum())

    @property
    def missing(self) -> int:
        """Pairs that have not been judged yet."""
        return int((self.pairs["said"] == "missing").sum())

    @property
    def reasons(self) -> dict[str, int]:
        """Kind of failure -> how many pairs."""
        failed = self.pairs[self.pairs["said"] == "unscored"]["reason"].map(reason_of)
        return {str(kind): int(count) for kind, count in failed.value_counts().items()}

    @property
    def passed(self) -> bool | None:
        """Whether it is right in 60 % of the pairs or more; None while the exam is not finished or nothing is scored."""
        return None if self.missing or not self.accuracy.n else self.accuracy.value >= PASS

    @property
    def weight(self) -> float:
        """What this judge's vote should weigh in a panel: the log-odds of its being right (Nitzan and Paroush 1982), from
        its accuracy drawn a little to the middle; 0 for a judge that failed or has not finished."""
        if not self.passed:
            return 0.0
        n = self.accuracy.n
        p = (self.accuracy.value * n + 1) / (n + 2)
        return math.log(p / (1 - p))

    @cached_property
    def by_dimension(self) -> pd.DataFrame:
        """accuracy, low, high, n, wrong for each of the six dimensions. Here a pair that ties rightly counts as right."""
        return self._by("dimension")

    @cached_property
    def by_trap(self) -> pd.DataFrame:
        """The same for each trap; "position" are the pairs that must tie."""
        return self._by("trap")

    def _by(self, column: str) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for name in self.pairs[column].unique():
            mine = self._scored[self._scored[column] == name]
            found = share(mine["credit"])
            rows.append([name, found.value, found.low, found.high, found.n, int((mine["credit"] == 0).sum())])
        return pd.DataFrame(rows, columns=[column, "accuracy", "low", "high", "n", "wrong"])

    @cached_property
    def measures(self) -> pd.DataFrame:
        """measure, value, low, high, n, ideal: all that is measured, one row each."""
        import pandas as pd

        found = {
            "accuracy": (self.accuracy, 1.0),
            "ties": (self.ties, 1.0),
            "consistency": (self.consistency, 1.0),
            "first": (self.first, 0.5),
            "longer": (self.longer, 0.0),
            "shorter": (self.shorter, 0.0),
            "human": (self.human, 1.0),
            "own": (self.own or share([]), 0.0),
        }
        rows = [[name, s.value, s.low, s.high, s.n, ideal] for name, (s, ideal) in found.items()]
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n", "ideal"])

    @property
    def findings(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(level, key of exam_card.WORDS, values), the gravest first; levels as preflight's: stop, warn, inform, good."""
        from sftkit.judging.exam_card import findings

        return findings(self)

    @property
    def sentences(self) -> list[str]:
        """The findings in English."""
        from sftkit.judging.exam_card import WORDS

        return [WORDS[key].format_map(values) for _, key, values in self.findings]

    def __str__(self) -> str:
        from sftkit.judging.exam_card import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from sftkit.judging.exam_card import as_html

        return as_html(self)


def examined(judge: Judge, asked: Sequence[Pair], rows: pd.DataFrame, store: RatingStore) -> Exam:
    """The exam that these rows of the store make (those of the candidate's name)."""
    known = {pair.prompt_id: pair for pair in asked}
    rows = rows[rows["current"] & rows["prompt_id"].isin(list(known))]
    rows = rows[rows["model_a"].isin([GOOD, BAD]) & rows["model_b"].isin([GOOD, BAD])]
    votes = store.votes()
    served = [kept.get("served_by") for kept in rows["evidence"] if isinstance(kept, dict)]
    prices = rows["price"].dropna()
    return Exam(
        rater=judge.rater,
        model=judge.model,
        pairs=_pairs(asked, rows),
        calls=_calls(known, rows),
        human=_human(votes, judge.rater),
        own=_own(votes, judge),
        served_by=tuple(dict.fromkeys(name for name in served if name not in (None, "None"))),
        spent=float(prices.sum()) if len(prices) else None,
        orders=2 if judge.protocol.both_orders and judge.protocol.mode == "pairwise" else 1,
    )


def _pairs(asked: Sequence[Pair], rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from sftkit.ratings.votes import combine

    votes = combine(rows, [GOOD, BAD]).set_index("prompt_id")
    reasons = rows[rows["verdict"] == "unscored"].groupby("prompt_id")["reason"].first()
    table = []
    for pair in asked:
        outcome, flip = (
            votes.loc[pair.prompt_id, ["outcome", "flip"]] if pair.prompt_id in votes.index else (None, None)
        )
        said = "missing" if outcome is None else _said(pair, outcome, flip)
        credit = (
            math.nan
            if said in ("missing", "unscored")
            else float(said == "right")
            if pair.tie
            else float(outcome)
        )
        longer = (
            "same" if len(pair.good) == len(pair.bad) else "good" if len(pair.good) > len(pair.bad) else "bad"
        )
        reason = str(reasons.get(pair.prompt_id, "")) if said == "unscored" else ""
        table.append([pair.id, pair.dimension, pair.trap, pair.task, pair.tie, said, credit, flip, longer, reason, pair.why])  # fmt: skip
    names = ["id", "dimension", "trap", "task", "tie", "said", "credit", "flip", "longer_is", "reason", "why"]
    return pd.DataFrame(table, columns=names).astype({"flip": "boolean"})


def _said(pair: Pair, outcome: float, flip: Any) -> str:
    import pandas as pd

    if outcome != outcome:
        return "unscored"
    if flip is not pd.NA and flip:
        return "inconsistent"
    if pair.tie:
        return "right" if outcome == 0.5 else "wrong"
    return {1.0: "right", 0.5: "tie", 0.0: "wrong"}[outcome]


def _calls(known: dict[str, Pair], rows: pd.DataFrame) -> pd.DataFrame:
    """One row a verdict: id, tie, longer_is, picked_first, picked_longer; None where neither was picked."""
    import pandas as pd

    table = []
    for row in rows[rows["verdict"].isin(["a", "b", "tie"])].itertuples():
        pair = known[row.prompt_id]
        picked = None if row.verdict == "tie" else getattr(row, f"model_{row.verdict}")
        longer = GOOD if len(pair.good) > len(pair.bad) else BAD if len(pair.good) < len(pair.bad) else None
        first = float(row.verdict == row.shown_first) if picked and row.shown_first in ("a", "b") else None
        longest = float(picked == longer) if picked and longer else None
        side = "same" if longer is None else longer.removeprefix(EXAM)
        table.append([pair.id, pair.tie, side, first, longest])
    names = ["id", "tie", "longer_is", "picked_first", "picked_longer"]
    return pd.DataFrame(table, columns=names).astype({"tie": bool})


def _meeting(votes: pd.DataFrame, rater: str) -> pd.DataFrame:
    """The judge's votes beside the mean of the humans', on comparisons that both have: outcome, human."""
    names = ["prompt_id", "model_a", "model_b"]
    scored = votes[votes["outcome"].notna()]
    humans = scored[scored["rater"].str.startswith("human:").astype(bool)]
    human = humans.groupby(names, as_index=False)["outcome"].mean().rename(columns={"outcome": "human"})
    return scored[scored["rater"] == rater].merge(human, on=names)


def _human(votes: pd.DataFrame, rater: str) -> Share:
    """How often the judge's verdict (win, tie, loss) is the humans' (that of most, where there are several)."""
    both = _meeting(votes, rater)
    side = lambda outcome: (outcome > 0.5) * 1 - (outcome < 0.5) * 1  # noqa: E731
    return share((side(both["outcome"]) == side(both["human"])).astype(float))


def family(model: str) -> str | None:
    """Whose model this is, by its name; None where the name does not tell."""
    for maker, names in FAMILIES.items():
        if re.search(rf"(?:^|[/_: .-])(?:{names})(?:$|[^a-z])", model.casefold()):
            return maker
    return None


def _own(votes: pd.DataFrame, judge: Judge) -> Share | None:
    """Judge's win rate of its own maker's models minus the humans', on the same comparisons with others' answers."""
    maker = family(judge.model)
    both = _meeting(votes, judge.rater)
    own = [(family(a) == maker, family(b) == maker) for a, b in zip(both["model_a"], both["model_b"])]
    gaps = [
        (judged - human) * (1 if a else -1)
        for (a, b), judged, human in zip(own, both["outcome"], both["human"])
        if maker and a != b
    ]
    n = len(gaps)
    if n < 2:
        return None
    mean = sum(gaps) / n
    half = _Z * math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (n - 1) / n)
    return Share(mean, mean - half, mean + half, n)
