"""One row as the trainer sees it, as plain values: for the page, and as text for a terminal.

Each token has one of four states:

    t  trained
    m  masked: read, not trained
    u  unused: it follows the last trained token, so the trainer leaves it out
    c  cut: it is in the data, and max_len left it out
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from sftkit.data.encoding import Encoded, Encoder
from sftkit.data.shaping import Example
from sftkit.widgets.labels import label

SHOWN = 20_000  # tokens of a row that are given out; of those that were cut, a tenth as many
STATES = {"t": "trained", "m": "masked", "u": "unused", "c": "cut"}
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}  # Unicode's kinds of characters that show nothing


@dataclass(frozen=True)
class RowView:
    """The tokens of a row, lists of one length: `texts`, `pieces` (as the vocabulary spells them), `ids`, `starts` and
    `ends` (characters of the whole text), `states` (a letter each), `special`. `counts`: tokens the trainer reads,
    trained, unused, cut, and turns left out. `left_out`: the row has nothing to train. `hidden`: tokens not given out.
    """

    texts: list[str]
    pieces: list[str]
    ids: list[int]
    starts: list[int]
    ends: list[int]
    states: str
    special: list[bool]
    counts: dict[str, int]
    truncated: bool
    left_out: bool
    hidden: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a message."""
        return dict(self.__dict__)

    def warnings(self) -> list[str]:
        """What became of the row, where not all of it is trained."""
        said = {
            "lens.left_out": self.left_out,
            "lens.truncated": self.truncated,
            "lens.dropped": self.counts["dropped_turns"],
        }
        return [label(key) for key, true in said.items() if true]

    def text(self) -> str:
        """The row for a terminal: a line for each stretch of one state, blanks and newlines made visible."""
        lines = []
        for state, group in groupby(zip(self.states, self.texts, self.special), key=lambda token: token[0]):
            shown = "".join(f"‹{visible(text)}›" if special else visible(text) for _, text, special in group)
            name = STATES[state]
            lines += [f"{name if first else '':8} {line}" for first, line in _numbered(shown)]
        more = [f"{'':8} … and {self.hidden:,} tokens more"] if self.hidden else []
        return "\n".join(lines + more)


def row_view(encoder: Encoder, example: Example) -> RowView:
    """`example` as `encoder`'s run sees it. Raises `DataError` where the template refuses it."""
    [seen] = encoder.encode([example])
    used = seen.used
    states = _states(seen, used)
    rows, cut = [_columns(encoder, seen, 0, states)], 0
    if seen.truncated or seen.dropped_turns:
        [whole] = replace(encoder, max_len=2**62).encode([example])
        first = _common(seen.input_ids, whole.input_ids)
        cut = len(whole.input_ids) - first
        rows.append(_columns(encoder, whole, first, "c" * cut))
    limits = (SHOWN, SHOWN // 10)
    hidden = sum(max(0, len(row["texts"]) - limit) for row, limit in zip(rows, limits))
    joined = {
        name: [value for row, limit in zip(rows, limits) for value in row[name][:limit]] for name in rows[0]
    }
    trained = int(seen.loss_mask[1:].sum())
    counts = {
        "tokens": used or len(states),
        "trained": trained,
        "unused": states.count("u"),
        "cut": cut,
        "dropped_turns": seen.dropped_turns,
    }
    return RowView(
        **{**joined, "states": "".join(joined["states"])},
        counts=counts,
        truncated=seen.truncated,
        left_out=used == 0,
        hidden=hidden,
    )


def _states(seen: Encoded, used: int) -> str:
    """The letter of each token; the first of all is predicted from nothing, so never trained."""
    letters = np.where(seen.loss_mask, "t", "m")
    letters[:1] = "m"
    if used:
        letters[used:] = "u"
    return "".join(letters.tolist())


def _columns(encoder: Encoder, seen: Encoded, first: int, states: str) -> dict[str, list[Any]]:
    """The tokens from `first` on."""
    ids = seen.input_ids[first:].tolist()
    ends = np.maximum.accumulate(seen.ends).tolist() if len(seen.ends) else []
    added = encoder.vocabulary.added
    return {
        "texts": seen.tokens[first:],
        "pieces": [encoder.vocabulary.tokenizer.id_to_token(number) or "" for number in ids],
        "ids": ids,
        "starts": [0, *ends][first:-1],
        "ends": ends[first:],
        "states": list(states),
        "special": [number in added for number in ids],
    }


def _common(some: np.ndarray, others: np.ndarray) -> int:
    """How many tokens both begin with."""
    length = min(len(some), len(others))
    differ = np.flatnonzero(some[:length] != others[:length])
    return int(differ[0]) if len(differ) else length


def visible(text: str) -> str:
    """Text in which nothing hides: a dot for a blank, arrows for newline and tab, the number of whatever else shows
    nothing or steers a terminal."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in _ARROWS:
        return _ARROWS[character]
    return f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _HIDDEN else character


_ARROWS = {" ": "·", "\n": "⏎\n", "\t": "→"}


def _numbered(text: str) -> list[tuple[bool, str]]:
    """Lines, and whether each is the first."""
    lines = text.removesuffix("\n").split("\n")
    return [(number == 0, line) for number, line in enumerate(lines)]
