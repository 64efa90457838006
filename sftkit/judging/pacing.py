"""How many calls may be under way: as many as the endpoint bears, within its limits a minute.

The number falls when the endpoint says 429 too often and climbs back step by step (additive increase, multiplicative
decrease). A rare 429 is no reason to slow down: the refused call waits by itself, in no one's way.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from aiolimiter import AsyncLimiter

TOO_MANY = 0.25  # share of 429s in a window above which the endpoint is taken to be overrun
WINDOW = 16  # answers, at least, that make a window
LESS = 0.6
MORE = 0.1  # of the present number, and 1 at least


class Pace:
    """Slots for calls. `acquire` waits for one, `release` gives it back with what became of the call."""

    def __init__(
        self, most: int, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ):
        self.most = most
        self.limit = float(most)
        self.under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._hold_until = 0.0
        self._answers = self._refused = 0
        self._requests = _limiter(requests_per_minute)
        self._tokens = _limiter(tokens_per_minute)

    async def acquire(self, tokens: float) -> None:
        """Wait for a slot, for the pause that the endpoint asked for, and for the limits a minute."""
        while self.under_way >= int(self.limit):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have come already; it goes to the next
                raise
        self.under_way += 1
        try:
            if (pause := self._hold_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if self._requests:
                await self._requests.acquire()
            if self._tokens:  # a call above the limit of a whole minute takes all of it
                await self._tokens.acquire(min(tokens, self._tokens.max_rate))
        except BaseException:
            self.give_back()
            raise

    def release(self, refused: bool, retry_after: float | None = None) -> None:
        """`refused`: the endpoint said 429, and how many seconds to wait."""
        self._answers += 1
        self._refused += refused
        if self._answers >= max(WINDOW, self.limit):
            if self._refused > TOO_MANY * self._answers:
                self.limit = max(1.0, self.limit * LESS)
                if retry_after:
                    self._hold_until = time.monotonic() + retry_after
            else:
                self.limit = min(float(self.most), self.limit + max(1.0, MORE * self.limit))
            self._answers = self._refused = 0
        self.give_back()

    def give_back(self) -> None:
        """Release a slot that no call was made with."""
        self.under_way -= 1
        self._wake()

    def _wake(self) -> None:
        """Let as many go on as there are slots."""
        room = int(self.limit) - self.under_way
        while room > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1


def _limiter(a_minute: float | None) -> AsyncLimiter | None:
    """Spread over the minute: a burst of at most two seconds' worth, so that the limit holds in any minute."""
    if a_minute is None:
        return None
    burst = max(1.0, a_minute / 30)
    return AsyncLimiter(burst, 60 * burst / a_minute)
