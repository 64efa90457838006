"""Work that may take a while, off the kernel's main thread, and its result back on the kernel's loop.

A click is handled only when the main thread is free, so nothing long may run in it. Where no loop runs (a script, a
test) the work is simply done at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

_tasks: set[asyncio.Task] = set()  # the loop itself holds its tasks only weakly


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop this thread runs, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_background(
    work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[Exception], None]
) -> None:
    """Do `work` in a thread, then call `then(result)` or `failed(error)` on the loop. `failed` hears of both."""
    if running_loop() is None:
        _finish(work, then, failed)
    else:
        start(_in_thread(work, then, failed))


async def _in_thread(work: Callable[[], Any], then: Callable[[Any], None], failed: Callable) -> None:
    try:
        then(await asyncio.to_thread(work))
    except Exception as error:
        failed(error)


def _finish(work: Callable[[], Any], then: Callable[[Any], None], failed: Callable) -> None:
    try:
        then(work())
    except Exception as error:
        failed(error)


def on_loop(action: Callable[..., None]) -> Callable[..., None]:
    """The same action for other threads to call: it is carried out on the loop that runs here, if one does."""
    loop = running_loop()

    def ask(*values: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(action, *values)

    return action if loop is None else ask


def start(coroutine: Any) -> asyncio.Task:
    """A task on the running loop, kept alive until it is done."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


class Debounced:
    """Calls `action` once, `seconds` after the last `request`; at once where no loop runs."""

    def __init__(self, action: Callable[[], None], seconds: float):
        self._action, self._seconds, self._timer = action, seconds, None

    def request(self) -> None:
        """Ask for the action; asking again starts the wait anew."""
        self.cancel()
        loop = running_loop()
        if loop is None:
            self._action()
        else:
            self._timer = loop.call_later(self._seconds, self._action)

    def cancel(self) -> None:
        """Forget what was asked for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Poll:
    """Every `seconds`: `read()` in a thread, then `show(what was read)` on the loop, until `show` returns False.

    An error goes to `failed` and the poll goes on: a folder that cannot be read now may be readable in a moment. Where
    no loop runs there is one look, at once.
    """

    def __init__(
        self,
        read: Callable[[], Any],
        show: Callable[[Any], bool],
        failed: Callable[[Exception], None],
        seconds: float,
    ):
        self._read, self._show, self._failed, self._seconds = read, show, failed, seconds
        self._task: asyncio.Task | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin, unless it runs already."""
        if running_loop() is None:
            _finish(self._read, self._show, self._failed)
        elif not self.running:
            self._task = start(self._go_on())

    def stop(self) -> None:
        """End it; `start` begins anew."""
        if self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                self._task.cancel()
            self._task = None

    async def _go_on(self) -> None:
        while True:
            try:
                if not self._show(await asyncio.to_thread(self._read)):
                    return
            except Exception as error:
                self._failed(error)
            await asyncio.sleep(self._seconds)
