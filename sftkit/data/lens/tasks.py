"""Task types where the data name none: guessed, and marked as guessed wherever they are shown.

guess(prompts)                                   # by the rules below
guess(prompts, rules=[("poem|诗", "poetry"), *RULES])    # the first that is found in the prompt rules
guess(prompts, rules="rules.tsv")                # a file: task, tab, regular expression; one a line
guess(prompts, embed=embed)                      # clusters of what an embedding model says; embed: texts -> vectors
guess(prompts, label=label)                      # what a judge says; label: texts -> task types
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sftkit.data.lens.duplicates import words
from sftkit.errors import DataError
from sftkit.wording import listed, say

Rules = Iterable[tuple[str, str]] | str | os.PathLike
Embed = Callable[[list[str]], Any]  # texts -> [texts, size]
Label = Callable[[list[str]], Sequence[str]]

OTHER = "other"
LOOKED_AT = 2000  # characters of a prompt
MOST_CLUSTERS = 12

# Regular expression -> task type, the first that fits rules; sought in lower case in the prompt.
RULES: tuple[tuple[str, str], ...] = (
    (r"\btranslat(?:e|ion)\b|翻译|译成|译为", "translation"),
    (r"```|\b(?:python|javascript|typescript|java|c\+\+|sql|html|css|regex|bash|algorithm|unit test)\b|\b(?:a|the|this) (?:function|script|program|code)\b|代码|编程|写一个函数|程序", "code"),
    (r"\bsummar(?:y|i[sz]e)|\btl;?dr\b|\bcondense|in (?:a few|two|three|one) sentences?\b|总结|概括|摘要|归纳", "summarization"),
    (r"\bclassif|\bcategori[sz]e|\bsentiment|true or false|\btell me (?:whether|if|which)\b|\b(?:whether|if|which) (?:each|these|the following)\b|\b(?:identify|determine|select|assign|rank|detect) (?:the|if|whether|which|a|an|these)\b|\bwhich (?:of|one|is|are) .{0,60}\bor\b|\blabel (?:the|each)|分类|归类|判断(?:下列|以下|是否)|情感", "classification"),
    (r"\bextract\b|\bfrom (?:the|this) (?:text|passage|paragraph|article)|\b(?:mentioned|listed) in\b|提取|抽取|找出", "extraction"),
    (r"\b(?:rewrite|rephrase|paraphrase|proofread|reword)\b|\b(?:edit|correct|fix|convert|change|transform|adjust|replace|insert|combine|arrange|rearrange|sort|add|remove|reverse) (?:the|this|these|it|two)\b|\bsay (?:it|this)\b|改写|换(?:一种|个)说法|变成|润色|改成|纠正|修改", "rewriting"),
    (r"\bcalculate|\bcompute\b|\bsolve\b|\bequation|\bhow (?:many|much)\b|\d\s*[-+*/×÷=]\s*\d|\bsum of\b|计算|方程|求解|等于", "math"),
    (r"\bbrainstorm|\bcome up with\b|\bideas?\b|\bsuggest|\brecommend|\btips\b|^(?:list|name|give)\b|\blist of\b|^(?:generate|identify|write|provide|suggest|create) (?:two|three|four|five|six|ten|some|several|\d+)\b|列举|列出|推荐|建议|点子", "brainstorming"),
    (r"\b(?:poem|haiku|story|song|lyrics|limerick|joke|slogan|essay|dialogue|tweet|screenplay)\b|\b(?:write|compose|draft|craft|invent) (?:an?|the|me|some)\b|^(?:generate|create|compose|construct|design|make|write|develop|devise|formulate)\b|写一?(?:首|篇|封|段|个)|故事|作文|诗", "creative writing"),
    (r"\b(?:explain|describe|discuss|compare|define|elaborate|analy[sz]e|evaluate|outline|comment on|tell me|provide (?:an?|the))\b|解释|描述|说明|比较|介绍", "explanation"),
    (r"[?？]|^(?:what|who|whom|whose|when|where|why|which|how|is|are|was|were|do|does|did|can|could|should|will)\b|什么|为什么|怎么|如何|哪|谁|吗", "question answering"),
)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A task type for each prompt, and `how` they were guessed."""

    tasks: list[str]
    how: str


def guess(prompts: Iterable[str], *, rules: Rules | None = None, embed: Embed | None = None, label: Label | None = None, clusters: int | None = None, seed: int = 42) -> Guess:  # fmt: skip
    """Task types of prompts: by `label` where one is given, else by clusters of `embed`, else by rules.

    clusters: how many (None: one for about 50 prompts, 12 at most). Raises `DataError` for rules that cannot be read, and
    for labels or vectors that are not one for each prompt.
    """
    if label is not None:
        return Guess(_labelled(list(prompts), label), say("guessed by a judge"))
    if embed is not None:
        prompts = list(prompts)
        tasks = _clustered(prompts, vectors(embed, prompts), clusters, seed)
        return Guess(tasks, say("guessed: clusters of an embedding model"))
    known = compiled(RULES if rules is None else rules)
    return Guess([_by_rules(prompt, known) for prompt in prompts], say("guessed by rules"))


def compiled(rules: Rules) -> list[tuple[re.Pattern[str], str]]:
    """Rules as given, or of a file, ready for use. Raises `DataError` that names every one that cannot be read."""
    pairs = _of_file(Path(rules)) if isinstance(rules, (str, os.PathLike)) else list(rules)
    found, faults = [], []
    for number, pair in enumerate(pairs, start=1):
        try:
            pattern, task = pair
            found.append((re.compile(pattern, re.IGNORECASE | re.MULTILINE), str(task)))
        except (re.error, TypeError, ValueError) as error:
            faults.append(say("rule {number}: {error}", number=number, error=error))
    if faults or not found:
        words = listed(faults, "; ") if faults else say("there is no rule.")
        where = rules if isinstance(rules, (str, os.PathLike)) else None
        raise DataError(say("rules are pairs of regular expression and task type: {faults}", faults=words), file=where)  # fmt: skip
    return found


def task_names(rules: Rules | None = None) -> list[str]:
    """The task types that rules (None: those above) know, for a judge to choose from."""
    return list(dict.fromkeys([*(task for _, task in compiled(RULES if rules is None else rules)), OTHER]))


def _of_file(path: Path) -> list[tuple[str, str]]:
    """Lines of task, tab, regular expression; empty ones and those that begin with # are passed over."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(say("cannot be read: {strerror}.", strerror=str(error)), file=path) from None
    return [
        tuple(reversed(line.split("\t", 1))) for line in lines if line.strip() and not line.startswith("#")
    ]  # type: ignore[misc]


def rules_text(rules: Iterable[tuple[str, str]] = RULES) -> str:
    """Rules as a file holds them: to be saved, edited and given back."""
    return "# task<tab>regular expression; the first that is found in the prompt rules\n" + "".join(f"{task}\t{pattern}\n" for pattern, task in rules)  # fmt: skip


def _by_rules(prompt: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    looked = prompt[:LOOKED_AT].strip().lower()
    return next((task for pattern, task in rules if pattern.search(looked)), OTHER)


def vectors(embed: Embed, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors [texts, size] float32. Raises `DataError` where the model gives something else."""
    found = np.asarray(embed(list(texts)), dtype=np.float32)
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise DataError(say("the embedding model should give one vector of numbers for each of {n} texts; it gave an array of shape {shape}.", n=len(texts), shape=str(found.shape)))  # fmt: skip
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _labelled(prompts: list[str], label: Label) -> list[str]:
    said = list(label(prompts))
    if len(said) != len(prompts):
        raise DataError(say("labels should be one for each of {n} prompts; there are {said}.", n=len(prompts), said=len(said)))  # fmt: skip
    return [str(one).strip() if one else OTHER for one in said]


def _clustered(prompts: list[str], found: np.ndarray, clusters: int | None, seed: int) -> list[str]:
    """k-means on unit vectors, each cluster named by the words that set it apart."""
    from scipy.cluster.vq import kmeans2

    count = min(clusters or min(MOST_CLUSTERS, max(2, round(len(prompts) / 50))), len(prompts))
    _, numbers = kmeans2(found, count, minit="++", iter=50, seed=seed, missing="warn")
    names = _names(prompts, numbers)
    return [names[number] for number in numbers]


def _names(prompts: list[str], numbers: np.ndarray) -> dict[int, str]:
    seen = [set(words(prompt[:LOOKED_AT])) for prompt in prompts]
    overall = Counter(word for one in seen for word in one)
    names = {}
    for number in np.unique(numbers):
        members = [seen[at] for at in np.flatnonzero(numbers == number)]
        inside = Counter(word for one in members for word in one)
        # how much more often than outside, and often: words of one row name nothing
        score = {word: n / len(members) * np.log((n + 1) / len(members) * len(prompts) / (overall[word] + 1)) for word, n in inside.items() if len(word) > 1 or not word.isascii()}  # fmt: skip
        best = sorted(score, key=lambda word: (-score[word], word))[:3]
        names[int(number)] = f"cluster {number + 1}: {', '.join(best)}"
    return names
