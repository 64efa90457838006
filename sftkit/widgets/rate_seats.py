"""Who sits at the rating server: one grid a rater, and the pages that show it.

A page may say what the grid's protocol says (widgets/src/protocol.ts) and nothing else. What it gets back are the
grid's answers; an error that could name a model, the store or a place on this machine goes to the terminal instead.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol

from sftkit.errors import SftkitError
from sftkit.widgets.labels import label

SPOKEN = frozenset({"hello", "rows", "row", "next", "hold", "vote", "judge", "part", "filter", "progress"})
KEPT = frozenset(
    {"reveal"}
)  # of the protocol too, but who is behind the answers is for whoever made the project to say
MOST_ROWS = 1000  # of one question; the page asks for 50
LONGEST_FILTER = 2000  # characters
DEEPEST = 6  # levels of a message; a vote has four
UNFORESEEN = re.compile(
    r"^\w*(?:Error|Exception|Warning|Iteration)\b"
)  # "KeyError: …": words for a programmer
_log = logging.getLogger(__name__)


class Page(Protocol):
    """One open page of a rater."""

    def tell(self, text: str) -> None: ...


class Refused(SftkitError):
    """A message that is none of the protocol's; its page is closed."""


def spoken(text: str | bytes) -> dict[str, Any]:
    """The message as the grid takes it. Raises Refused for anything that the protocol does not know."""
    if isinstance(text, bytes):
        raise Refused("a binary message")
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"no JSON: {type(error).__name__}") from None
    if not isinstance(content, dict) or content.get("kind") not in (*SPOKEN, *KEPT):
        raise Refused("a kind of message that the protocol does not have")
    if not isinstance(content.get("ask"), str) or len(content["ask"]) > 64 or _deep(content, DEEPEST):
        raise Refused("a message of a shape that the protocol does not have")
    if (content["kind"] == "rows" and _many(content)) or (
        content["kind"] == "filter" and not _short(content)
    ):
        raise Refused("a question that is too long")
    return content


def _many(content: dict[str, Any]) -> bool:
    """Whether more rows are asked for than any page shows."""
    first, last, rows = content.get("from", 0), content.get("to", 0), content.get("rows") or []
    if not isinstance(rows, list) or not (isinstance(first, int) and isinstance(last, int)):
        return True
    return first < 0 or last - first > MOST_ROWS or len(rows) > MOST_ROWS


def _short(content: dict[str, Any]) -> bool:
    return isinstance(content.get("text"), str) and len(content["text"]) <= LONGEST_FILTER


def _no_number(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _deep(value: Any, levels: int) -> bool:
    """Whether there are more levels than that, a number that is none, or half a character that no database takes."""
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return not math.isfinite(value)
    if not isinstance(value, (dict, list)):
        return isinstance(value, int) and abs(value) >= 2**53
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    return levels == 0 or any(_deep(part, levels - 1) for part in inside)


class Seat:
    """A rater's grid. Its pages ask in turn; what the grid says goes to all of them, as in a notebook."""

    def __init__(self, grid: Any, hide: Callable[[str], bool], lang: str):
        self.grid, self._hide, self._lang = grid, hide, lang
        self.pages: set[Page] = set()
        self._turn = threading.Lock()
        grid.send = self._send  # instead of a notebook's comm

    def ask(self, content: dict[str, Any]) -> None:
        """Hand a message to the grid, which answers by `send`. One at a time."""
        if content["kind"] in KEPT:
            return self._send({"ask": content["ask"], "error": label("rate.no_reveal", self._lang)})
        with self._turn:
            self.grid._receive(self.grid, content, [])

    def labels(self) -> dict[str, str]:
        """The grid's words; some are about kernels and cells, which are not here."""
        words = dict(self.grid._labels)
        return words | {key: label(f"rate.{key}", self._lang) for key in INSTEAD if key in words}

    def close(self) -> None:
        self.grid.close()

    def _send(self, content: dict[str, Any], buffers: Any = None) -> None:
        if "error" in content:
            content = {**content, "error": self._fit(str(content["error"]))}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, default=str)
        for page in tuple(self.pages):
            page.tell(text)

    def _fit(self, words: str) -> str:
        """An error as a rater may read it."""
        if not UNFORESEEN.match(words) and not self._hide(words):
            return words
        _log.error("%s: %s", self.grid.rater, words)
        return label("rate.failed", self._lang)


INSTEAD = tuple(
    f"grid.{name}" for name in ("no_kernel", "waiting", "lost", "gone_why", "all_done_next", "keys_note")
)


class Seats:
    """The seats taken; a grid is made when a rater's first page opens and let go with the last one.

    make: a grid for (rater, language). hidden: words that no error may carry to a page, such as the store's address and
    the models' names.
    """

    def __init__(self, make: Callable[[str, str], Any], hidden: Collection[str] = ()):
        self._make, self._hidden = make, [word.casefold() for word in hidden if word]
        self._seats: dict[tuple[str, str], Seat] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Pages that are open."""
        return sum(len(seat.pages) for seat in tuple(self._seats.values()))

    def __iter__(self) -> Iterator[str]:
        """Raters who have a page open."""
        return iter(sorted({rater for rater, _ in tuple(self._seats)}))

    def take(self, rater: str, lang: str, page: Page) -> Seat:
        """The rater's seat, with this page at it. Reads the store: not for the server's own thread."""
        with self._lock:
            seat = self._seats.get((rater, lang))
            if seat is None:
                seat = self._seats[rater, lang] = Seat(self._make(rater, lang), self._hides, lang)
            seat.pages.add(page)
            return seat

    def leave(self, rater: str, lang: str, page: Page) -> None:
        with self._lock:
            seat = self._seats.get((rater, lang))
            if seat is None:
                return
            seat.pages.discard(page)
            if not seat.pages:
                del self._seats[rater, lang]
                seat.close()

    def _hides(self, words: str) -> bool:
        folded = words.casefold()
        return any(word in folded for word in self._hidden)
