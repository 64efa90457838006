"""Whether the eval set is like the training data: trait by trait a distance, what chance would make of it, and a verdict.

found = match("data/train.jsonl", "data/eval.jsonl")
found.traits       # trait, distance, noise, level ("alike", "little", "differs", "few"), verdict
found.tasks        # rows and shares of each task type; state: "missing", "thin", "new" or "there"
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.lens import distances
from sftkit.data.lens.duplicates import words
from sftkit.data.lens.languages import language
from sftkit.data.lens.rows import Rows, read, told
from sftkit.data.lens.tasks import Embed, Label, Rules, guess
from sftkit.wording import listed, say

if TYPE_CHECKING:
    import pandas as pd

THIN = 10  # rows of a task type: with fewer, a rate of 50 % may as well be 20 or 80
LITTLE, ABOVE = 0.1, 0.05  # a distance that is more than chance and yet small, by itself or beyond chance
FEW = 0.3  # where chance alone makes so much, nothing can be told
VOCABULARY = 500  # commonest words that are compared
LOOKED_AT = 20_000  # training rows whose words and languages are looked at, and that chance draws from; drawn with the seed
SEED = 42


@dataclass(frozen=True)
class Trait:
    """One trait. distance, noise: 0 to 1. level: "alike", "little", "differs" or "few" (too few rows to tell). moved: for
    lengths, by how many characters rows differ (Wasserstein); medians: of train and eval. most: what differs most, with its shares in train and eval."""

    name: str
    measure: str
    distance: float
    noise: float
    most: tuple[tuple[str, float, float], ...] = ()
    moved: float = 0.0
    medians: tuple[float, float] | None = None
    guessed: str = ""

    @property
    def level(self) -> str:
        if self.distance <= self.noise:
            return "alike" if self.noise < FEW else "few"
        return "little" if self.distance < max(LITTLE, self.noise + ABOVE) else "differs"

    @property
    def verdict(self) -> str:
        """In plain words."""
        if self.level == "few":
            return say("too few eval rows to tell: chance alone makes {noise:.2f}.", noise=self.noise)
        if self.level == "alike":
            return say("as alike as rows drawn at random.")
        most = listed([say("{kind} ({train:.1%} of train, {evals:.1%} of eval)", kind=kind, train=train, evals=evals) for kind, train, evals in self.most[:3]])  # fmt: skip
        told = most if self.medians is None else say("half of the eval rows have over {evals:,.0f} characters, of the training rows over {train:,.0f}; {moved:,.0f} apart on average", evals=self.medians[1], train=self.medians[0], moved=self.moved)  # fmt: skip
        if self.level == "little":
            return say("more apart than chance makes, but little: {told}.", told=told)
        return say("not alike: {told}.", told=told)


@dataclass(frozen=True)
class Match:
    """How the eval rows compare with the training rows. `guessed`: how task types were guessed, where they were."""

    train: Rows
    evals: Rows
    found: list[Trait]
    task_counts: tuple[Counter[str], Counter[str]]
    guessed: str = ""
    counts: dict[str, tuple[Counter, Counter]] = field(default_factory=dict)

    @cached_property
    def traits(self) -> pd.DataFrame:
        """Columns trait, measure, distance, noise, level, verdict; one row a trait."""
        import pandas as pd

        lines = [(str(one.name), one.measure, one.distance, one.noise, one.level, str(one.verdict)) for one in self.found]  # fmt: skip
        return pd.DataFrame(lines, columns=["trait", "measure", "distance", "noise", "level", "verdict"])

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """Columns task, train_rows, train_share, eval_rows, eval_share, state; the commonest in training first."""
        import pandas as pd

        train, evals = self.task_counts
        names = [name for name in train if name] + [name for name in evals if name and name not in train]
        order = sorted(names, key=lambda name: (-train[name], -evals[name], name))
        lines = [(name, train[name], train[name] / len(self.train), evals[name], evals[name] / len(self.evals), self._state(name)) for name in order]  # fmt: skip
        return pd.DataFrame(lines, columns=["task", "train_rows", "train_share", "eval_rows", "eval_share", "state"])  # fmt: skip

    def _state(self, task: str) -> str:
        train, evals = (counts[task] for counts in self.task_counts)
        return "new" if not train else "missing" if not evals else "thin" if evals < THIN else "there"

    @property
    def missing(self) -> list[str]:
        """Task types that are trained and not evaluated."""
        return self._named("missing")

    @property
    def thin(self) -> list[str]:
        """Task types with less than THIN eval rows."""
        return self._named("thin")

    @property
    def new(self) -> list[str]:
        """Task types that are evaluated and not trained."""
        return self._named("new")

    def _named(self, state: str) -> list[str]:
        return self.tasks.loc[self.tasks["state"] == state, "task"].tolist()

    @property
    def alike(self) -> bool:
        """Whether no trait differs and no task type is missing."""
        return not self.missing and all(one.level != "differs" for one in self.found)

    def verdicts(self) -> list[str]:
        """All of it in sentences."""
        said = [say("{name}: {verdict}", name=one.name, verdict=one.verdict) for one in self.found]
        if self.missing:
            said.append(say("Trained and not evaluated: {names}.", names=", ".join(self.missing)))
        if self.thin:
            said.append(say("Thin, with less than {least} eval rows: {names}.", names=", ".join(self.thin), least=THIN))  # fmt: skip
        if self.new:
            said.append(say("Evaluated and not trained: {names}.", names=", ".join(self.new)))
        if self.guessed:
            said.append(say("Task types are {how}, not given by the data.", how=self.guessed))
        return said

    def __str__(self) -> str:
        return "\n".join(self.verdicts())

    def __repr__(self) -> str:  # a notebook keeps it beside the page: never all rows
        return str(self)

    def html(self, lang: str = "en") -> str:
        """All of it as HTML; every text is escaped."""
        from sftkit.data.lens.split_page import match_html

        return match_html(self, lang)

    def _repr_html_(self) -> str:
        return self.html()


def match(train: Any, evals: Any = None, *, rules: Rules | None = None, embed: Embed | None = None, label: Label | None = None, config: SFTConfig | None = None, seed: int = SEED, progress: bool = True) -> Match:  # fmt: skip
    """Compare eval rows with training rows in task types, languages, lengths, turns and words.

    train, evals: as for `leaks`. rules, embed, label: how task types are guessed where the data name none (see
    `lens.tasks`). Raises `DataError` where rows cannot be read.
    """
    trained = read(train, config=config, progress=progress)
    held = read(train if evals is None else evals, "eval", config=config, progress=progress)
    tasks, how = tasks_of(trained, held, rules=rules, embed=embed, label=label, seed=seed)
    return matched(trained, held, tasks[: len(trained)], tasks[len(trained) :], how, seed, progress)


def tasks_of(*parts: Rows, **how: Any) -> tuple[list[str], str]:
    """The task type of each row of these, those that have none guessed; and how, where some were."""
    tasks = [task for rows in parts for task in rows.items.facts["task"].tolist()]
    unnamed = [number for number, task in enumerate(tasks) if not task]
    if not unnamed:
        return tasks, ""
    prompts = (item.prompt for rows in parts for item in rows.items if not item.task)
    guessed = guess(prompts, **how)
    for number, task in zip(unnamed, guessed.tasks):
        tasks[number] = task
    return tasks, guessed.how


def matched(train: Rows, evals: Rows, train_tasks: list[str], eval_tasks: list[str], how: str = "", seed: int = SEED, progress: bool = True) -> Match:  # fmt: skip
    """The comparison of rows whose task types are known."""
    spoken, table, known = _looked_into(train, evals, seed, progress)
    few = len(spoken) - len(evals)
    found, counts = [], {}
    for name, ours, theirs in (
        (say("task types"), train_tasks, eval_tasks),
        (say("languages"), spoken[:few], spoken[few:]),
        (say("turns"), *(rows.items.facts["turns"].tolist() for rows in (train, evals))),
    ):
        found.append(_of_kinds(name, ours, theirs, seed, how if name == "task types" else ""))
        counts[str(name)] = (Counter(ours), Counter(theirs))
    for name, part in ((say("prompt lengths"), "prompt_chars"), (say("answer lengths"), "answer_chars")):
        found.append(_of_lengths(name, *(rows.items.facts[part] for rows in (train, evals)), seed))
    found.append(_of_words(table, known, few, seed))
    return Match(train, evals, found, (Counter(train_tasks), Counter(eval_tasks)), how, counts)


def _looked_into(train: Rows, evals: Rows, seed: int, progress: bool) -> tuple[list[str], Any, list[str]]:
    """The language of some training rows, and then of all eval rows; which words [rows, words] are in which; the words."""
    from scipy.sparse import csr_array

    some = train.items.part(_looked_at(len(train), seed))
    texts = told(chain(some.texts(), evals.items.texts()), say("words"), progress, total=len(some) + len(evals))  # fmt: skip
    spoken: list[str] = []
    known: dict[str, int] = {}
    columns = []
    for text in texts:
        spoken.append(language(text))
        told_apart = dict.fromkeys(
            words(text)
        )  # each word counts once a row, so that one long row does not speak for all
        columns.append(np.array([known.setdefault(word, len(known)) for word in told_apart], np.int32))
    bounds = np.cumsum([0, *map(len, columns)])
    flat = np.concatenate(columns)
    shape = (len(spoken), max(1, len(known)))
    return spoken, csr_array((np.ones(len(flat), np.float32), flat, bounds), shape=shape), list(known)


def _looked_at(rows: int, seed: int) -> list[int]:
    if rows <= LOOKED_AT:
        return list(range(rows))
    return sorted(np.random.default_rng(seed).choice(rows, LOOKED_AT, replace=False).tolist())


def _of_kinds(name: str, ours: list[Any], theirs: list[Any], seed: int, guessed: str = "") -> Trait:
    known = sorted(set(ours) | set(theirs))
    a, b = distances.shares(ours, known), distances.shares(theirs, known)
    thinned = [ours[at] for at in _looked_at(len(ours), seed)]
    pool = np.searchsorted(np.array(known), np.array([*thinned, *theirs]))

    def drawn(rows: np.ndarray) -> float:
        return distances.js(*(np.bincount(pool[side], minlength=len(known)) for side in (rows, ~rows)))

    most = sorted(zip(map(str, known), a.tolist(), b.tolist()), key=lambda one: -abs(one[1] - one[2]))
    level = distances.noise(len(pool), len(theirs), drawn, seed)
    return Trait(name, "Jensen-Shannon", distances.js(a, b), level, tuple(most[:5]), guessed=guessed)


def _of_lengths(name: str, ours: np.ndarray, theirs: np.ndarray, seed: int) -> Trait:
    pool = np.concatenate([ours[_looked_at(len(ours), seed)], theirs])
    level = distances.noise(len(pool), len(theirs), lambda rows: distances.ks(pool[rows], pool[~rows]), seed)
    medians = (float(np.median(ours)), float(np.median(theirs)))
    return Trait(name, "Kolmogorov-Smirnov", distances.ks(ours, theirs), level, moved=distances.wasserstein(ours, theirs), medians=medians)  # fmt: skip


def _of_words(table: Any, known: list[str], few: int, seed: int) -> Trait:
    """The VOCABULARY commonest words. table: which are in which row, the `few` of training first."""
    rows, evals = table.shape[0], table.shape[0] - few
    commonest = np.argsort(-np.asarray(table.sum(axis=0)).ravel(), kind="stable")[:VOCABULARY]
    table, known = table[:, commonest], [known[at] for at in commonest.tolist() if known]
    both = np.asarray(table.sum(axis=0)).ravel()
    theirs = np.asarray(table[few:].sum(axis=0)).ravel()

    def drawn(chosen: np.ndarray) -> float:
        part = chosen @ table
        return distances.js(part, both - part)

    in_train, in_evals = (both - theirs) / few, theirs / evals
    most = np.argsort(-np.abs(in_train - in_evals), kind="stable")[:5] if known else []
    shown = tuple((known[at], float(in_train[at]), float(in_evals[at])) for at in most)
    level = distances.noise(rows, evals, drawn, seed)
    return Trait(say("words"), "Jensen-Shannon", distances.js(both - theirs, theirs), level, shown)
