"""What the eval set shares with the training data, so that a model could know it by heart.

    found = leaks("data/train.jsonl", "data/eval.jsonl")
    found.exact, found.near, found.same_prompt, found.paraphrase      # eval rows; each counts once, at its closest
    found.pairs                                                       # both texts side by side

exact        the same conversation, word for word but for blanks and capitals
near         at least 80 % of the pairs of words that either has are in both (Jaccard; found by MinHash, then counted), or a
             training row holds at least half of the eval row's runs of three words, the rarer the weightier
same_prompt  the same question with another answer
paraphrase   questions that mean the same to an embedding model (cosine of at least 0.9), where one is given
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.lens.duplicates import NearDuplicates, similarity
from sftkit.data.lens.grams import Grams
from sftkit.data.lens.jaccard import alike
from sftkit.data.lens.rows import Rows, read, told
from sftkit.data.lens.tasks import Embed, vectors
from sftkit.errors import DataError
from sftkit.wording import listed, say

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("exact", "near", "same_prompt", "paraphrase")
NEAR, CONTAINED, ALIKE = 0.8, 0.5, 0.9
SHOWN = 5  # training rows listed for an eval row
MARGIN = 0.1  # below `near`, for what MinHash is out by (0.036 at 0.8 is one standard error)
MANY = 20  # rows, or 1 in 100, with one prompt: it is an instruction
BLOCK = 256  # eval rows whose vectors are compared at a time
PIECE = 1000
COLUMNS = (
    "kind",
    "train_source",
    "train_row",
    "eval_source",
    "eval_row",
    "similarity",
    "train_text",
    "eval_text",
)


@dataclass(frozen=True)
class Pair:
    """Eval row `eval` is like training row `train` (numbers in the rows read, 0 = the first), `similarity` 0 to 1."""

    kind: str
    train: int
    eval: int
    similarity: float


@dataclass(frozen=True)
class Leaks:
    """Which eval rows are in the training data. `embedded`: paraphrases were looked for."""

    train: Rows
    evals: Rows
    found: list[Pair] = field(default_factory=list)
    embedded: bool = False

    @property
    def exact(self) -> int:
        """Eval rows that are training rows."""
        return self._count("exact")

    @property
    def near(self) -> int:
        """Eval rows that are nearly a training row, and none exactly."""
        return self._count("near")

    @property
    def same_prompt(self) -> int:
        """Eval rows whose question is trained with quite another answer."""
        return self._count("same_prompt")

    @property
    def paraphrase(self) -> int | None:
        """Further eval rows whose question is trained in other words; None where no embedding model was given."""
        return self._count("paraphrase") if self.embedded else None

    @property
    def rows(self) -> int:
        """Eval rows that leak, of whatever kind."""
        return len(self.kinds)

    @cached_property
    def kinds(self) -> dict[int, str]:
        """Number of each eval row that leaks -> its closest kind."""
        found: dict[int, str] = {}
        for pair in sorted(self.found, key=lambda pair: KINDS.index(pair.kind)):
            found.setdefault(pair.eval, pair.kind)
        return found

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Eval rows beside the training rows that they are like, the closest first; columns COLUMNS, rows count from 1."""
        import pandas as pd

        lines = [self._line(pair) for pair in self.ranked]
        return pd.DataFrame(lines, columns=list(COLUMNS))

    @property
    def ranked(self) -> list[Pair]:
        """Pairs by kind, then by likeness; of an eval row only those of its closest kind."""
        kept = [pair for pair in self.found if self.kinds[pair.eval] == pair.kind]
        return sorted(
            kept, key=lambda pair: (KINDS.index(pair.kind), -pair.similarity, pair.eval, pair.train)
        )

    @property
    def verdict(self) -> str:
        """What it means, in a sentence."""
        if not self.rows:
            more = "" if self.embedded else say(" Paraphrases were not looked for: that takes an embedding model.")  # fmt: skip
            return say("None of {n:,} eval rows is in {train:,} training rows, exactly or nearly.{more}", n=len(self.evals), train=len(self.train), more=more)  # fmt: skip
        named = listed([WORDS[kind](self._count(kind)) for kind in KINDS if self._count(kind)])
        return say("{rows:,} of {n:,} eval rows ({share:.1%}) are in the training data: {named}. Scores on them tell what was learnt by heart.", rows=self.rows, n=len(self.evals), share=self.rows / len(self.evals), named=named)  # fmt: skip

    def __str__(self) -> str:
        return str(self.verdict)

    def __repr__(self) -> str:  # a notebook keeps it beside the page: never all rows
        return str(self)

    def html(self, lang: str = "en", most: int = 20) -> str:
        """The verdict and the first pairs side by side as HTML; every text is escaped."""
        from sftkit.data.lens.split_page import leaks_html

        return leaks_html(self, lang, most)

    def _repr_html_(self) -> str:
        return self.html()

    def _count(self, kind: str) -> int:
        return sum(one == kind for one in self.kinds.values())

    def _line(self, pair: Pair) -> tuple[Any, ...]:
        train, one = self.train.items[pair.train], self.evals.items[pair.eval]
        return (pair.kind, train.source, train.row, one.source, one.row, round(pair.similarity, 3), train.text, one.text)  # fmt: skip


WORDS = {
    "exact": lambda n: say("{n:,} exactly", n=n),
    "near": lambda n: say("{n:,} nearly", n=n),
    "same_prompt": lambda n: say("{n:,} with another answer", n=n),
    "paraphrase": lambda n: say("{n:,} in other words", n=n),
}


def leaks(train: Any, evals: Any = None, *, embed: Embed | None = None, near: float = NEAR, contained: float = CONTAINED, cosine: float = ALIKE, config: SFTConfig | None = None, progress: bool = True) -> Leaks:  # fmt: skip
    """Eval rows that are in the training data, exactly, nearly or in other words.

    train, evals: a path, several, a DataFrame, a list of rows or an SFTConfig (evals None: its eval_dataset). embed: gives
    [texts, size] numbers for a list of texts (`Embedder` asks an endpoint). near, contained, cosine: least similarities, see
    above. config: names the columns. Raises `DataError` where rows cannot be read.
    """
    checked(near=near, contained=contained, cosine=cosine)
    trained = read(train, config=config, progress=progress)
    held = read(train if evals is None else evals, "eval", config=config, progress=progress)
    found = [*_same(trained, held), *_near(trained, held, near, progress), *holding(trained, held, contained, progress)]  # fmt: skip
    if embed is not None:
        found += _paraphrased(trained, held, embed, cosine)
    return Leaks(trained, held, _closest(found), embed is not None)


def checked(**similarities: float) -> None:
    """Raises `DataError` for similarities that are none."""
    for name, value in similarities.items():
        if not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise DataError(say("a similarity is over 0 and up to 1, not {value}.", value=value), field=name)


def asked_twice(train: Iterable[tuple[int, int]], evals: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:  # fmt: skip
    """Numbers of a training row and an eval row with the same question, and whether the answer is the same too; of each eval
    row the first SHOWN of either kind. What many training rows ask is an instruction and counts only with the same answer.

    train, evals: `Item.asks` of each row.
    """
    asked: dict[int, dict[int, list[int]]] = {}
    for number, (question, answer) in enumerate(evals):
        asked.setdefault(question, {}).setdefault(answer, []).append(number)
    shared, rows = [], 0
    for rows, (question, answer) in enumerate(train, start=1):
        if question in asked:
            shared.append((rows - 1, question, answer))
    counts = Counter(question for _, question, _ in shared)
    many = {question for question, count in counts.items() if count > many_ask(rows)}
    seen: Counter[tuple[int, int, bool]] = Counter()
    full: set[int] = set()  # questions of which enough was told
    for number, question, answer in shared:
        answers = asked[question]
        left = [answer] if question in many or question in full else list(answers)
        told_anew = 0
        for one in left:
            equal = one == answer
            if one in answers and seen[question, one, equal] < SHOWN:
                seen[question, one, equal] += 1
                told_anew += not equal
                yield from ((number, other, equal) for other in answers[one])
        if len(left) > 1 and not told_anew:
            full.add(question)


def many_ask(rows: int) -> int:
    """More of `rows` rows than this with one prompt, and it is no question of their own: "Continue the text"."""
    return max(MANY, rows // 100)


def _same(train: Rows, evals: Rows) -> list[Pair]:
    """Rows with the same question: "exact" where the answer is the same too, else "same_prompt"."""
    found = []
    for number, other, equal in asked_twice(train.items.asks, evals.items.asks):
        share = 1.0 if equal else similarity(train.items[number].text, evals.items[other].text)
        found.append(Pair("exact" if equal else "same_prompt", number, other, share))
    return found


def _near(train: Rows, evals: Rows, least: float, progress: bool) -> list[Pair]:
    """Rows found by MinHash, confirmed by counting."""
    texts = chain(train.items.texts(), evals.items.texts())
    labels = clusters_of(texts, least - MARGIN, progress, len(train) + len(evals))
    of_train, of_evals = _members(labels[: len(train)]), _members(labels[len(train) :])
    found = []
    for label in of_train.keys() & of_evals.keys():
        ours, theirs = of_evals[label], of_train[label]
        pairs = alike(list(evals.items.part(ours).texts()), list(train.items.part(theirs).texts()), least)
        found += [Pair("near", theirs[other], ours[one], share) for one, other, share in pairs]
    return found


def _members(labels: np.ndarray) -> dict[int, list[int]]:
    """Label -> the places where it stands."""
    found: dict[int, list[int]] = {}
    for place, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(place)
    return found


def clusters_of(texts: Iterable[str], least: float, progress: bool = True, total: int | None = None) -> np.ndarray:  # fmt: skip
    """For each text the number of the first one of its cluster, by MinHash."""
    index = NearDuplicates(max(0.05, least))
    rows = iter(told(texts, say("comparing rows"), progress, total=total))
    while piece := list(islice(rows, PIECE)):
        index.add(piece)
    return index.clusters()


def holding(train: Rows, evals: Rows, least: float, progress: bool = True) -> list[Pair]:
    """Training rows that hold so much of an eval row."""
    index = Grams(evals.items.texts())
    texts = told(train.items.texts(), say("looking for runs of words"), progress, total=len(train))
    return [Pair("near", shared.other, shared.one, shared.share) for shared in index.contained(texts, least)]


def _paraphrased(train: Rows, evals: Rows, embed: Embed, least: float) -> list[Pair]:
    ours = vectors(embed, [item.prompt for item in evals.items])
    theirs = vectors(embed, [item.prompt for item in train.items])
    found = []
    for first in range(0, len(ours), BLOCK):
        cosine = ours[first : first + BLOCK] @ theirs.T
        for one, other in np.argwhere(cosine >= least):
            found.append(Pair("paraphrase", int(other), first + int(one), float(cosine[one, other])))
    return found


def _closest(found: Iterable[Pair]) -> list[Pair]:
    """Each pair of rows once, at its closest; of an eval row the SHOWN likest of each kind."""
    best: dict[tuple[int, int], Pair] = {}
    for pair in sorted(found, key=lambda pair: (KINDS.index(pair.kind), -pair.similarity)):
        best.setdefault((pair.train, pair.eval), pair)
    counted: dict[tuple[str, int], int] = {}
    kept = []
    for pair in best.values():
        count = counted[pair.kind, pair.eval] = counted.get((pair.kind, pair.eval), 0) + 1
        if count <= SHOWN:
            kept.append(pair)
    return kept
