"""One pass over the rows, a piece at a time: what each of them is, in columns of numbers.

Nothing of a row is kept but about 1 kB: its signature, its place and its measures. So a million rows take 1.1 GB,
however long they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sftkit.data.browsing import Drawn
from sftkit.data.encoding import Encoder
from sftkit.data.lens import opening
from sftkit.data.lens.duplicates import NearDuplicates
from sftkit.data.lens.kinds import BITS
from sftkit.data.lens.languages import UNKNOWN, language
from sftkit.data.lens.traits import traits_of
from sftkit.data.shaping import Example
from sftkit.data.turns import Message
from sftkit.errors import DataError

PIECE = 1024  # rows in memory at a time
WHOLE = 2**31 - 1  # a max_len that nothing exceeds
BYTES_A_TOKEN = (
    4  # what is said of tokens where there is no tokenizer: a Chinese character is 0.75, an English word 1.5
)
# Lengths of ordinary answers lie within so many quartile ranges of their quartiles, on the scale of their logarithms (Tukey
# 1977: 1.5), a range being at least a factor of 1.6.
FENCE, LEAST_RANGE = 1.5, 0.5

NUMBERS = {
    "row": np.int64, "turns": np.int32, "prompt_chars": np.int32, "answer_chars": np.int32, "prompt_tokens": np.int32,
    "answer_tokens": np.int32, "flags": np.uint32, "content": np.int64, "asked": np.int64,
}  # fmt: skip
TEXTS = ("source", "hash", "task", "language")


@dataclass
class Measured:
    """`columns`: a column for each of NUMBERS and TEXTS, and `cluster`, the place of the first row that a row repeats or
    nearly repeats (its own where it is the first of several, -1 where it is alone); `roles`: messages of each role;
    `trained_tokens`: in an epoch; `low`, `high`: the bounds of an ordinary answer in tokens."""

    columns: dict[str, Any]
    roles: dict[str, int]
    trained_tokens: int = 0
    low: float = 0.0
    high: float = 0.0


@dataclass
class _Pass:
    """What was gathered so far."""

    encoder: Encoder | None
    max_len: int
    near: NearDuplicates | None
    parts: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in (*NUMBERS, *TEXTS)})
    roles: Counter[str] = field(default_factory=Counter)
    trained_tokens: int = 0


def measure(drawn: Drawn, encoder: Encoder | None, max_len: int, near: float | None, tell: Callable[[int], None]) -> Measured:  # fmt: skip
    """Every row of `drawn`. `near`: from which similarity on two rows are near duplicates, None: not looked for;
    `tell` hears how many rows more are done."""
    seen = _Pass(encoder, max_len, None if near is None else NearDuplicates(near))
    for rows in _pieces(drawn):
        _take_up(seen, rows)
        tell(len(rows))
    numbers = {name: np.concatenate([np.zeros(0, kind), *seen.parts[name]]) for name, kind in NUMBERS.items()}
    columns = {**numbers, **{name: seen.parts[name] for name in TEXTS}}
    columns["cluster"] = _repeats(columns, seen.near)
    low, high = _bounds(columns)
    return Measured(columns, dict(seen.roles.most_common()), seen.trained_tokens, low, high)


def _pieces(drawn: Drawn) -> Iterator[list[tuple[str, int, str, Example | DataError]]]:
    """Source, row, hash and conversation, in the trainer's order."""
    for source in drawn.sources:
        for first in range(0, len(source.numbers), PIECE):
            numbers = source.numbers[first : first + PIECE]
            yield [(source.name, *row) for row in opening.rows_of(drawn, source, numbers)]


def _take_up(seen: _Pass, rows: list[tuple[str, int, str, Example | DataError]]) -> None:
    examples = [row[3] for row in rows]
    lengths = _lengths(seen, examples)
    told = [_told(example) for example in examples]
    numbers = {name: np.array([one[name] for one in told], kind) for name, kind in NUMBERS.items()}
    numbers |= lengths | {
        "row": np.array([row[1] for row in rows]),
        "flags": numbers["flags"] | lengths["flags"],
    }
    for name, values in numbers.items():
        seen.parts[name].append(values)
    seen.parts["source"] += [row[0] for row in rows]
    seen.parts["hash"] += [row[2] for row in rows]
    for name in ("task", "language"):
        seen.parts[name] += [one[name] for one in told]
    for example in examples:
        if isinstance(example, Example):
            seen.roles.update(message["role"] for message in example.messages)
    if seen.near:
        seen.near.add([_text(example.messages) if isinstance(example, Example) else "" for example in examples])  # fmt: skip


def _told(example: Example | DataError) -> dict[str, Any]:
    """What a conversation's text tells."""
    if isinstance(example, DataError):
        return dict.fromkeys(NUMBERS, 0) | {"flags": BITS["unreadable"], "task": "", "language": UNKNOWN}
    messages = example.messages
    prompt, answer = _said(messages, prompt=True), _said(messages, prompt=False)
    spoken = language(answer)
    return {
        **dict.fromkeys(NUMBERS, 0),
        "turns": len(messages),
        "prompt_chars": len(prompt),
        "answer_chars": len(answer),
        "flags": sum(BITS[name] for name in traits_of(messages)),
        "content": hash(tuple((one["role"], one["content"]) for one in messages)),
        "asked": hash(prompt),
        "task": example.task,
        "language": spoken if spoken != UNKNOWN else language(prompt),
    }


def _said(messages: list[Message], *, prompt: bool) -> str:
    """All that the assistant says; or, of the prompt, all that others do."""
    return "\n".join(one["content"] for one in messages if (one["role"] != "assistant") == prompt)


def _text(messages: list[Message]) -> str:
    return "\n".join(one["content"] for one in messages)


# lengths


def _lengths(seen: _Pass, examples: list[Example | DataError]) -> dict[str, np.ndarray]:
    """`prompt_tokens`, `answer_tokens` and what `max_len` does to rows as `flags`. A row that the template refuses becomes
    the error that says so, in `examples` too."""
    found = {name: np.zeros(len(examples), NUMBERS[name]) for name in ("prompt_tokens", "answer_tokens", "flags")}  # fmt: skip
    places = [place for place, example in enumerate(examples) if isinstance(example, Example)]
    if seen.encoder is None:
        for place in places:
            _estimate(found, place, examples[place].messages, seen.max_len)
        return found
    long = []
    for place, whole in _encoded(replace(seen.encoder, max_len=WHOLE), examples, places):
        answer = int(whole.loss_mask.sum())
        found["prompt_tokens"][place] = len(whole.input_ids) - answer
        found["answer_tokens"][place] = answer
        if len(whole.input_ids) > seen.max_len:
            long.append(place)
        else:
            _judge(seen, found, place, whole)
    for place, row in _encoded(seen.encoder, examples, long):
        _judge(seen, found, place, row)
    return found


def _judge(seen: _Pass, found: dict[str, np.ndarray], place: int, row: Any) -> None:
    """What the trainer does with a row."""
    if row.used == 0:
        found["flags"][place] |= BITS["filtered"]
    elif row.truncated:
        found["flags"][place] |= BITS["cut"]
    if row.dropped_turns:
        found["flags"][place] |= BITS["shortened"]
    seen.trained_tokens += int(row.loss_mask[1:].sum())


def _estimate(found: dict[str, np.ndarray], place: int, messages: list[Message], max_len: int) -> None:
    sizes = [-(-len(_said(messages, prompt=part).encode("utf-8", "replace")) // BYTES_A_TOKEN) for part in (True, False)]  # fmt: skip
    found["prompt_tokens"][place], found["answer_tokens"][place] = sizes
    if sizes[1] == 0 or sizes[0] >= max_len:
        found["flags"][place] |= BITS["filtered"]
    elif sum(sizes) > max_len:
        found["flags"][place] |= BITS["cut"]


def _encoded(encoder: Encoder, examples: list[Example | DataError], places: list[int]) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """The encoded row at each place; where the template refuses one, each by itself."""
    try:
        yield from zip(places, list(encoder.encode([examples[place] for place in places])))
    except DataError as error:
        if len(places) == 1:
            examples[places[0]] = error
            return
        for place in places:
            yield from _encoded(encoder, examples, [place])


# what rows are to each other


def _repeats(columns: dict[str, Any], near: NearDuplicates | None) -> np.ndarray:
    """The column `cluster`; marks duplicates in `flags`."""
    flags = columns["flags"]
    count, here = len(flags), np.arange(len(flags))
    unreadable = flags & BITS["unreadable"] > 0
    first = _firsts(columns.pop("content"), unreadable)
    exact = first != here
    asked = _firsts(columns.pop("asked"), unreadable | exact | (flags & BITS["empty_prompt"] > 0))
    labels = here if near is None else near.clusters(skip=exact | unreadable)
    flags[exact] |= BITS["exact_duplicate"]
    flags[labels != here] |= BITS["near_duplicate"]
    flags[(asked != here) & (labels == here)] |= BITS["conflict"]
    cluster = labels[first]
    sizes = np.bincount(cluster, minlength=count)
    return np.where(sizes[cluster] > 1, cluster, -1).astype(np.int32)


def _firsts(keys: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """For each row the place of the first with its key; those of `skip` are like no other."""
    first = np.arange(len(keys))
    places = np.flatnonzero(~skip)
    _, begins, groups = np.unique(keys[places], return_index=True, return_inverse=True)
    first[places] = places[begins[groups]]
    return first


def _bounds(columns: dict[str, Any]) -> tuple[float, float]:
    """Tokens of the shortest and the longest answer that is ordinary; marks the others in `flags`."""
    flags, tokens = columns["flags"], columns["answer_tokens"]
    there = tokens[(tokens > 0) & (flags & BITS["empty_answer"] == 0)]
    if len(there) < 20:  # too few to say what is ordinary
        return 0.0, float("inf")
    logs = np.log(there)
    quartiles = np.quantile(logs, [0.25, 0.75])
    reach = FENCE * max(quartiles[1] - quartiles[0], LEAST_RANGE)
    low, high = np.exp([quartiles[0] - reach, quartiles[1] + reach])
    flags[(tokens < low) & (tokens > 0) & (flags & BITS["empty_answer"] == 0)] |= BITS["short"]
    flags[tokens > high] |= BITS["long"]
    return float(low), float(high)
