"""Who sits at the rating server: one grid a rater, and the pages that show it.

A page may say what the grid's protocol says (widgets/src/protocol.ts) and nothing else. What it gets back are the
grid's answers; an error, which could name a model, the store or a place on this machine, goes to the terminal instead.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sftkit.errors import SftkitError
from sftkit.widgets.labels import label, table

SPOKEN = frozenset(
    {"hello", "rows", "row", "next", "hold", "vote", "judge", "history", "part", "filter", "progress"}
)
KEPT = frozenset(
    {"reveal"}
)  # of the protocol too, but who is behind the answers is for whoever made the project to say
MOST_ROWS = 1000  # of one question; the page asks for 50
LONGEST_FILTER = 2000  # characters
DEEPEST = 6  # levels of a message; a vote has four
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

    def __init__(self, grid: Any, lang: str):
        self.grid, self._lang = grid, lang
        self.pages: set[Page] = set()
        self._turn = threading.Lock()
        grid.send = self._send  # instead of a notebook's comm

    def ask(self, content: dict[str, Any]) -> None:
        """Hand a message to the grid, which answers by `send`. One at a time."""
        if content["kind"] in KEPT:
            return self._tell({"ask": content["ask"], "error": label("rate.no_reveal", self._lang)})
        with self._turn:
            self.grid._receive(self.grid, content, [])

    def labels(self) -> dict[str, str]:
        """The grid's words; for those about kernels and cells, which are not here, "rate.grid.…" has others."""
        instead = [key for key in self.grid._labels if f"rate.{key}" in table()]
        return {**self.grid._labels, **{key: label(f"rate.{key}", self._lang) for key in instead}}

    def close(self) -> None:
        self.grid.close()

    def _send(self, content: dict[str, Any], buffers: Any = None) -> None:
        """What the grid says. All its errors sound alike, or a rater who guesses a model's name could tell by them."""
        if "error" in content:
            told = "".join(
                c if c.isprintable() else " " for c in str(content["error"])
            )  # a terminal obeys the others
            _log.error("%s: %s", self.grid.rater, told[:2000])
            content = {"ask": content.get("ask"), "error": label("rate.failed", self._lang)}
        self._tell(content)

    def _tell(self, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, default=str)
        for page in tuple(self.pages):
            page.tell(text)


class Seats:
    """The seats taken; a grid is made when a rater's first page opens and let go with the last one.

    make: a grid for (rater, language).
    """

    def __init__(self, make: Callable[[str, str], Any]):
        self._make = make
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
                seat = self._seats[rater, lang] = Seat(self._make(rater, lang), lang)
            seat.pages.add(page)
            return seat

    def give_back(self, rater: str) -> None:
        """Who says "not me" goes for good: what is held for that name is free at once. A page that only closes keeps it
        until the lease runs out: its connection may be back in a moment."""
        with self._lock:
            grids = [seat.grid for (name, _), seat in self._seats.items() if name == rater]
        for grid in grids:
            grid.project.release(grid.rater)

    def leave(self, rater: str, lang: str, page: Page) -> None:
        with self._lock:
            seat = self._seats.get((rater, lang))
            if seat is None:
                return
            seat.pages.discard(page)
            if not seat.pages:
                del self._seats[rater, lang]
                seat.close()
