"""Many calls at once: paced, tried again, paid within a limit, and stored the moment they are answered.

One loop in one thread; the store is written in batches by a task of its own, and a call counts as done when its row
is on disk. So whatever ends the process, only calls under way are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sftkit.errors import JudgeError
from sftkit.judging.endpoint import TRY_AGAIN, Endpoint, Failure
from sftkit.judging.ledger import reason_of
from sftkit.judging.money import Price
from sftkit.judging.pacing import Pace
from sftkit.judging.plan import Call
from sftkit.ratings.rating import Rating
from sftkit.wording import shown_address

if TYPE_CHECKING:
    from sftkit.ratings.store import RatingStore

GIVE_UP = 10  # calls failed for good, none answered: it will not get better
BACKOFF = (0.5, 30.0)  # seconds from the beginning of a try that failed to the next one, and at most
GATHER = 0.02  # seconds for which rows are gathered, so that one write to the disk serves several
TELL_EVERY = 0.2  # seconds between two calls of on_progress
SAFETY = 1.2  # a call is expected to cost this much more than the mean of those before it


@dataclass(frozen=True)
class Progress:
    """How far a run is. failures: kind -> how many. spent in dollars (None without a price); stopped: "", "stop",
    "spend_limit" or "error"; concurrency: calls that may be under way at once now; seconds_left: None at first."""

    total: int = 0
    done: int = 0
    scored: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    spent: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    concurrency: int = 0
    stopped: str = ""

    @property
    def words(self) -> str:
        """What to know of a run that is over where not every call gave its verdict, or none was due; else ""."""
        if not self.total and not self.stopped:
            return "nothing to ask: every verdict of these rules is in the store already"
        if not self.failures:
            return ""
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.failures.items())
        return f"{sum(self.failures.values())} of {self.done} calls gave no verdict ({kinds}): why is in the column reason; rate asks them again"


class Asking:
    """One run of calls. `run` may be called several times; `stop` from any thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        pace: Pace,
        store: RatingStore,
        read: Callable[[Call, Any, float], Rating],
        *,
        max_retries: int,
        price: Price | None,
        spend_limit: float | None,
        expected_out: float,
        tell: Callable[[Progress], None],
    ):
        self.endpoint, self.pace, self.store, self._read = endpoint, pace, store, read
        self.max_retries, self.price, self.spend_limit, self._tell = max_retries, price, spend_limit, tell
        self.progress = Progress(spent=0.0 if price else None, concurrency=pace.most)
        self.error: JudgeError | None = None
        self._out = expected_out  # tokens of a reply, from those that came
        self._reserved = 0.0  # dollars that the calls under way may cost
        self._answered = self._refused = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._told = 0.0
        self._started = time.monotonic()
        self._rows: asyncio.Queue[tuple[Rating, asyncio.Future] | None] = asyncio.Queue()

    def stop(self, why: str = "stop") -> None:
        """Ask nothing more; calls under way are finished and stored. From any thread, and more than once."""
        if not self.progress.stopped:
            self.progress = replace(self.progress, stopped=why)
        with contextlib.suppress(RuntimeError):  # the loop has ended: so has the run
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self.progress.stopped:
            self._stopping.set()
        self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait until all rows are written. Raises what ended the run early."""
        self._rows.put_nowait(None)
        await self._writer
        await self.endpoint.close()
        self._update(force=True)
        if self.error is not None:
            raise self.error

    async def run(self, calls: Iterable[Call]) -> None:
        """Ask every call, as far as stop and the spending limit let it."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            for call in calls:
                await self.pace.acquire(self._tokens(call))
                while not self._affordable(call) and tasks and not self._stopping.is_set():
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not self._affordable(call):
                    self.stop("spend_limit")
                    self._stopping.set()
                if self._stopping.is_set():
                    self.pace.give_back()
                    break
                cost = self._cost(call)
                self._reserved += cost
                task = asyncio.create_task(self._one(call, cost))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, call: Call, cost: float) -> None:
        """One call to its end, with a slot in hand at the start and `cost` reserved for it."""
        try:
            rating, answered = await self._tried(call)
        except asyncio.CancelledError:
            rating, answered = (
                self._read(call, Failure("stopped", "the run was stopped before the reply came"), 0.0),
                False,
            )
            self._rows.put_nowait((rating, asyncio.get_running_loop().create_future()))
            raise
        finally:
            self._reserved -= cost
        self._answered += answered
        self._refused += not answered
        self._account(rating)
        if not answered and not self._answered and self._refused >= GIVE_UP:
            where = shown_address(self.endpoint.base_url or "OpenAI")
            told = f"{self._refused} calls to {where} failed and none was answered. The last: {rating.reason}"
            asleep = reason_of(rating.reason) == "network"
            self._fail(JudgeError(told + " Is a server running at that address?" * asleep))
        stored = asyncio.get_running_loop().create_future()
        self._rows.put_nowait((rating, stored))
        await stored
        self._count(rating)

    async def _tried(self, call: Call) -> tuple[Rating, bool]:
        """The rating of one call, and whether the endpoint answered; tried again where that may help."""
        faults = 0  # a 429 that says how long to wait is none
        for attempt in range(self.max_retries + 1):
            if attempt:
                await self.pace.acquire(self._tokens(call))
            started = time.monotonic()
            refused, wait = False, None
            try:
                reply = await self.endpoint.ask(call.request)
                return self._read(call, reply, time.monotonic() - started), True
            except Failure as caught:
                failure, refused, wait = caught, caught.reason == "rate_limit", caught.retry_after
            finally:
                self.pace.release(refused, wait)
            if failure.fatal:
                where = shown_address(self.endpoint.base_url or "OpenAI")
                self._fail(JudgeError(f"the judge {self.endpoint.model} at {where}: {failure}"))
            if failure.reason not in TRY_AGAIN or attempt == self.max_retries:
                break
            pause = wait if wait is not None else backoff(faults, time.monotonic() - started)
            if not await self._paused(pause):
                break
            faults += wait is None
        return self._read(call, failure, time.monotonic() - started), False

    async def _paused(self, seconds: float) -> bool:
        """Wait before another try; False when stopped."""
        with contextlib.suppress(TimeoutError):
            # a little later than asked, so that not all come back at once
            await asyncio.wait_for(self._stopping.wait(), seconds * random.uniform(1, 1.1))
        return not self._stopping.is_set()

    async def _write(self) -> None:
        """Rows to the store, as many at a time as have come meanwhile, until None comes."""
        more = True
        while more:
            batch = [await self._rows.get()]
            if batch[0] is not None:
                await asyncio.sleep(GATHER)
            while not self._rows.empty():
                batch.append(self._rows.get_nowait())
            more = None not in batch
            rows = [item for item in batch if item is not None]
            error = None
            try:
                await asyncio.to_thread(self.store.add_many, [rating for rating, _ in rows])
            except Exception as caught:  # a full disk: whoever waits for the row says so, and the run ends
                error = caught
            for _, stored in rows:
                if not stored.done():
                    stored.set_exception(error) if error else stored.set_result(None)

    def _fail(self, error: JudgeError) -> None:
        self.error = self.error or error
        self.stop("error")
        self._stopping.set()

    def _tokens(self, call: Call) -> float:
        return call.request.size + self._out

    def _cost(self, call: Call) -> float:
        return SAFETY * self.price.of(call.request.size, self._out) if self.price else 0.0

    def _affordable(self, call: Call) -> bool:
        if self.spend_limit is None:
            return True
        return (self.progress.spent or 0.0) + self._reserved + self._cost(call) <= self.spend_limit

    def _account(self, rating: Rating) -> None:
        """What a reply cost, before it is stored: the next call's limit depends on it."""
        now = self.progress
        spent = None if now.spent is None else now.spent + (rating.price or 0.0)
        tokens_in, tokens_out = (
            now.tokens_in + (rating.tokens_in or 0),
            now.tokens_out + (rating.tokens_out or 0),
        )
        self.progress = replace(now, spent=spent, tokens_in=tokens_in, tokens_out=tokens_out)
        if rating.tokens_out:
            self._out += 0.1 * (rating.tokens_out - self._out)

    def _count(self, rating: Rating) -> None:
        failures = dict(self.progress.failures)
        failed = rating.verdict == "unscored"
        if failed:
            kind = reason_of(rating.reason)
            failures[kind] = failures.get(kind, 0) + 1
        scored = self.progress.scored + (not failed)
        self.progress = replace(self.progress, done=self.progress.done + 1, scored=scored, failures=failures)
        self._update()

    def _update(self, force: bool = False) -> None:
        now, seconds = self.progress, time.monotonic() - self._started
        left = seconds / now.done * (now.total - now.done) if now.done else None
        self.progress = replace(now, seconds=seconds, seconds_left=left, concurrency=int(self.pace.limit))
        if force or seconds - self._told >= TELL_EVERY:
            self._told = seconds
            self._tell(self.progress)


def backoff(faults: int, waited: float) -> float:
    """Seconds to wait after a try that failed, when `faults` have failed before it: twice as long each time, by chance
    half of that or more. waited: seconds that the try took, which count: after a timeout the endpoint has had its pause.
    """
    first, most = BACKOFF
    return max(0.0, min(most, first * 2**faults) * random.uniform(0.5, 1) - waited)
