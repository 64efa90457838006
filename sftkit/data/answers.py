"""Where the assistant speaks in the text of a conversation.

Nothing is assumed of the template but what its text shows. An answer begins where the prompt before it ends, when that
prompt is a beginning of the text; else (a template that rewrites history) where its words stand. Three ways lead there,
the cheapest first:

1. the only answer is the last turn, and the text ends as one exchange ends: no further rendering
2. all answers exchanged for marks, and with the answers put back the text comes out: one rendering
3. one answer after the other exchanged for a mark (the template changes answers): two renderings each
"""

from __future__ import annotations

import re
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from sftkit.data.shaping import Message
from sftkit.errors import DataError
from sftkit.wording import say

if TYPE_CHECKING:
    from sftkit.data.templates import ChatTemplate

Place = tuple[int, int]  # characters [start, stop) of a text

MARK = "\ue000\ue003\ue000"  # private-use characters: in no text
NUMBERED = re.compile("\ue000(\\d+)\ue001")
FORMS = (str, str.strip, str.lstrip, str.rstrip)  # what templates do to an answer


class Span(NamedTuple):
    """Characters [start, stop) that the assistant says in message number `turn`, its end token included."""

    start: int
    stop: int
    turn: int


def find_answers(template: ChatTemplate, text: str, messages: list[Message]) -> list[Span]:
    """The span of every answer in `text`, which is `messages` rendered. Empty answers have none."""
    turns = [
        turn
        for turn, message in enumerate(messages)
        if message["role"] == "assistant" and message["content"].strip()
    ]
    places = _at_the_end(template, text, messages[-1]["content"]) if turns == [len(messages) - 1] else None
    if turns and places is None:
        places = _put_back(template, text, messages, turns) or _one_by_one(template, text, messages, turns)
    spans = []
    for turn, (start, stop) in zip(turns, places or []):
        if text[start:stop].strip():  # an answer that the template leaves out is not taught as an empty one
            ended = template.end and text.startswith(template.end, stop)
            spans.append(Span(start, stop + len(template.end) if ended else stop, turn))
    return spans


def _at_the_end(template: ChatTemplate, text: str, answer: str) -> list[Place] | None:
    if not template.ask.strip():  # too little to know the place by
        return None
    for form in FORMS[:2]:
        said = template.lead + form(answer)
        if text.endswith(template.ask + said + template.tail):
            stop = len(text) - len(template.tail)
            return [(stop - len(said), stop)]
    return None


def _put_back(
    template: ChatTemplate, text: str, messages: list[Message], turns: list[int]
) -> list[Place] | None:
    hollow = list(messages)
    for turn in turns:
        hollow[turn] = {"role": "assistant", "content": f"\ue000{turn}\ue001"}
    pieces = NUMBERED.split(template.render(hollow))
    if pieces[1::2] != [str(turn) for turn in turns]:  # an answer is left out, or said twice
        return None
    around = pieces[::2]
    for form in FORMS:
        answers = [form(messages[turn]["content"]) for turn in turns]
        if "".join(chain.from_iterable(zip_longest(around, answers, fillvalue=""))) == text:
            break
    else:
        return None
    places, at = [], 0
    for turn, before, answer in zip(turns, around, answers):
        at += len(before)
        places.append((_start(template, text, messages[:turn], before, at), at + len(answer)))
        at += len(answer)
    return places


def _start(template: ChatTemplate, text: str, history: list[Message], before: str, at: int) -> int:
    """Where the answer whose words stand `at` begins: behind what the prompt for it gives, which `before` ends with."""
    if template.ask.strip():
        if before.endswith(template.ask + template.lead):
            return at - len(template.lead)
        if before.endswith(template.ask):
            return at
    prompt = template.prompt(history)
    return len(prompt) if prompt is not None and text.startswith(prompt) else at


def _one_by_one(template: ChatTemplate, text: str, messages: list[Message], turns: list[int]) -> list[Place]:
    places = []
    for turn in turns:
        marked = [*messages[:turn], {"role": "assistant", "content": MARK}, *messages[turn + 1 :]]
        before, there, after = template.render(marked).partition(MARK)
        if there and not text.endswith(after):
            raise DataError(
                say(
                    "the chat template writes something else after message {turn} for other answers, so it cannot be seen where this answer ends. Choose another chat_template.",
                    turn=turn + 1,
                )
            )
        stop = len(text) - len(after) if there else 0  # 0: the template leaves this turn out
        at = _shared(text, before)
        places.append((_start(template, text, messages[:turn], text[:at], at), stop))
    return places


def _shared(text: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(text, other))
    return next((place for place, (a, b) in pairs if a != b), min(len(text), len(other)))
