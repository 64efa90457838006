"""What a run of the judge asks: every comparison, in which order its answers are shown, under which names.

All that is drawn is drawn from hashes of what is asked, so the same answers give the same calls in any process, and a
run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sftkit.errors import JudgeError
from sftkit.judging import canaries
from sftkit.judging.injection import Flag, find, masked
from sftkit.judging.protocol import Protocol
from sftkit.judging.request import Request, build_request, questions_request
from sftkit.ratings.rating import ASIDE, CANARY

if TYPE_CHECKING:
    from sftkit.generation.table import Generations

NEUTRAL = ("K", "M")  # names without rank, each a single token
PLAIN = ("answer_1", "answer_2")
ALONE = ASIDE + "alone"
QUESTIONS = (ASIDE + "questions", ASIDE + "instruction")


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt as a rater sees them. part: pairs, extra, masked or canaries."""

    prompt: dict[str, Any]
    model_a: str
    text_a: str
    model_b: str
    text_b: str
    part: str
    rater: str
    repeat: int = 1
    flags: dict[str, list[Flag]] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return (self.rater, self.prompt["prompt_id"], self.model_a, self.model_b)


@dataclass(frozen=True)
class Call:
    """One question to the judge. shown_first: "a" or "b", None where nothing is compared."""

    part: str
    rater: str
    prompt_id: str
    model_a: str
    model_b: str
    shown_first: str | None
    request: Request
    flags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """What is paid for once."""
        who = (self.rater, self.prompt_id, self.model_a, self.model_b, self.shown_first or "")
        return (self.request.hash, *who)


class Plan:
    """The calls of one run of `rater` on answers; `limit` keeps the first prompts only. Raises JudgeError."""

    def __init__(
        self, model: str, rater: str, protocol: Protocol, answers: Generations, limit: int | None = None
    ):
        self.model, self.rater, self.protocol = model, rater, protocol
        if odd := [name for name in answers.models if name.startswith((CANARY, ASIDE))]:
            raise JudgeError(f"the name {odd[0]!r} is kept for the judge's own use: call the model otherwise")
        if len(answers.models) < 2:
            raise JudgeError(
                f"a comparison needs two models; these answers are of: {', '.join(answers.models)}"
            )
        prompts = answers.prompts.head(limit) if limit is not None else answers.prompts
        self.prompts = {row["prompt_id"]: row for row in prompts.to_dict("records")}
        self.models = answers.models
        self.texts = {
            (row.prompt_id, row.model): row.response
            for row in answers.frame.itertuples()
            if row.prompt_id in self.prompts
        }

    @property
    def questions_rater(self) -> str:
        return f"judge:{self.model}/questions-v1"

    @property
    def raters(self) -> list[str]:
        """Every name under which this run may write verdicts: repeats and masked pairs have their own."""
        kinds = [False, True] if self.protocol.mask_flagged else [False]
        return [self._name(m, repeat) for repeat in range(1, self.protocol.repeats + 1) for m in kinds]

    def _name(self, hidden: bool, repeat: int) -> str:
        return self.rater + ("+masked" if hidden else "") + (f"#{repeat}" if repeat > 1 else "")

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Canaries first, so that a judge that can be fooled is seen early; then the pairs, the extra and the masked."""
        found = list(self._canaries())
        for repeat in range(1, self.protocol.repeats + 1):
            pairs = [self._pair(*pair, repeat) for pair in self._pairs()]
            found += pairs
            if self.protocol.mask_flagged:
                found += [self._masked(pair) for pair in pairs if any(pair.flags.values())]
        return found

    def _pairs(self) -> Iterator[tuple[str, str, str, str]]:
        """(prompt_id, model_a, model_b, part): all models against the first, and random ones among the others."""
        baseline, *others = self.models
        for other in others:
            for prompt in self.prompts:
                if {(prompt, baseline), (prompt, other)} <= self.texts.keys():
                    yield prompt, baseline, other, "pairs"
        if self.protocol.extra_pairs:
            yield from self._extra(others)

    def _extra(self, others: list[str]) -> list[tuple[str, str, str, str]]:
        every = [
            (prompt, a, b, "extra")
            for prompt in self.prompts
            for place, a in enumerate(others)
            for b in others[place + 1 :]
            if {(prompt, a), (prompt, b)} <= self.texts.keys()
        ]
        draws = random.Random(self.protocol.seed or 0)
        return draws.sample(every, min(self.protocol.extra_pairs, len(every)))

    def _pair(self, prompt_id: str, a: str, b: str, part: str, repeat: int) -> Comparison:
        texts = self.texts[prompt_id, a], self.texts[prompt_id, b]
        flags = {side: found for side, text in zip("ab", texts) if (found := find(text))}
        rater = self._name(False, repeat)
        return Comparison(self.prompts[prompt_id], a, texts[0], b, texts[1], part, rater, repeat, flags)

    def _masked(self, pair: Comparison) -> Comparison:
        a, b = masked(pair.text_a, pair.flags.get("a", [])), masked(pair.text_b, pair.flags.get("b", []))
        rater = self._name(True, pair.repeat)
        return Comparison(
            pair.prompt, pair.model_a, a, pair.model_b, b, "masked", rater, pair.repeat, pair.flags
        )

    def _canaries(self) -> Iterator[Comparison]:
        baseline = self.models[0]
        opponents = {prompt: text for (prompt, model), text in self.texts.items() if model == baseline}
        for c in canaries.made(list(self.prompts.values()), baseline, opponents, self.protocol.canaries):
            prompt = self.prompts[c.prompt_id]
            yield Comparison(prompt, c.model_a, c.text_a, c.model_b, c.text_b, "canaries", self.rater)

    def question_calls(self) -> list[Call]:
        """One call for each prompt whose task asks for questions."""
        settings = self._settings(1)
        return [
            Call(
                "questions",
                self.questions_rater,
                name,
                *QUESTIONS,
                None,
                questions_request(p["prompt"], settings),
            )
            for name, p in self.prompts.items()
            if self.protocol.asks_questions(p["task"])
        ]

    def calls(
        self, questions: dict[str, list[str]], wanted: Iterable[Comparison] | None = None
    ) -> list[Call]:
        """The calls of the comparisons. questions: prompt_id -> what was asked for it."""
        found: dict[tuple[str, ...], Call] = {}
        for comparison in self.comparisons if wanted is None else wanted:
            made = self._both if self.protocol.mode == "pairwise" else self._each
            for call in made(comparison, questions.get(comparison.prompt["prompt_id"], [])):
                found.setdefault(call.identity, call)
        return list(found.values())

    def _both(self, comparison: Comparison, questions: list[str]) -> Iterator[Call]:
        """A pair in one order or both. The labels change places with the answers: each answer bears each once."""
        draw = self._draw("labels", *comparison.identity[1:], comparison.repeat)
        labels = NEUTRAL if self.protocol.shuffle_labels else PLAIN
        labels = labels[::-1] if self.protocol.shuffle_labels and draw & 1 else labels
        orders = "ab" if self.protocol.both_orders else "ab"[(draw >> 1) & 1]
        texts = {"a": comparison.text_a, "b": comparison.text_b}
        for first in orders:
            shown = (first, "b" if first == "a" else "a")
            answers = [(label, side, texts[side]) for label, side in zip(labels, shown)]
            request = self._request(comparison, answers, questions)
            models = (comparison.model_a, comparison.model_b)
            yield self._call(comparison, *models, first, request, comparison.flags)

    def _each(self, comparison: Comparison, questions: list[str]) -> Iterator[Call]:
        """The two answers of a pair, each alone."""
        for side in "ab":
            model, text = getattr(comparison, f"model_{side}"), getattr(comparison, f"text_{side}")
            request = self._request(comparison, [("answer", "a", text)], questions)
            flags = {"a": comparison.flags[side]} if side in comparison.flags else {}
            yield self._call(comparison, model, ALONE, None, request, flags)

    def _call(
        self,
        of: Comparison,
        a: str,
        b: str,
        first: str | None,
        request: Request,
        flags: dict[str, list[Flag]],
    ) -> Call:
        kept = {
            side: [{"kind": f.kind, "start": f.start, "end": f.end, "text": f.text[:200]} for f in found]
            for side, found in flags.items()
        }
        return Call(of.part, of.rater, of.prompt["prompt_id"], a, b, first, request, kept)

    def _request(self, of: Comparison, answers: list[tuple[str, str, str]], questions: list[str]) -> Request:
        prompt = of.prompt
        return build_request(
            self.protocol,
            prompt["prompt"],
            answers,
            reference=prompt["reference"] if self.protocol.shows_reference(prompt["task"]) else None,
            questions=questions,
            order=self._order(prompt["prompt_id"]),
            settings=self._settings(of.repeat),
        )

    def _settings(self, repeat: int) -> dict[str, Any]:
        seed = self.protocol.seed
        settings = {"model": self.model, "temperature": self.protocol.temperature}
        settings["seed"] = None if seed is None else seed + repeat - 1
        return settings | ({"repeat": repeat} if repeat > 1 else {})

    def _order(self, prompt_id: str) -> list[str]:
        """The dimensions in one of n orders, in which each stands in each place once (and, n being even, after each
        other once: Williams 1949). No more than n: endpoints compile every schema that they have not seen."""
        names = [d.name for d in self.protocol.dimensions]
        n = len(names)
        if not self.protocol.shuffle_dimensions or n < 2:
            return names
        zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(n)]
        start = self._draw("dimensions", prompt_id) % n
        return [names[(start + step) % n] for step in zigzag]

    def _draw(self, *parts: Any) -> int:
        text = json.dumps([self.protocol.seed, *parts])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
