"""A coroutine in a thread with a loop of its own: in Jupyter the main thread's loop is already running."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any


def run_apart(
    work: Coroutine[Any, Any, None], stop: Callable[[], None] | None = None, grace: float = 0.0
) -> None:
    """Run it to its end. An interrupt calls `stop`, waits `grace` seconds for the end, and is raised again.

    A second interrupt, or the end of the grace, cancels the work; its tasks have ended when this returns.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sftkit-judge", daemon=True)
    future = None
    try:
        thread.start()
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            future.result()
        except KeyboardInterrupt:
            if stop is not None:
                stop()
                with contextlib.suppress(Exception):  # the interrupt is what is told
                    future.result(timeout=grace)
            raise
    finally:
        if future is not None:
            future.cancel()
        asyncio.run_coroutine_threadsafe(_drain(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def heap_at_rest() -> Iterator[None]:
    """Meanwhile the garbage collector leaves alone what is there already.

    Every reply is a thousand small objects, so the collector would walk through all of a notebook's heap again and
    again, and hold up every thread of the kernel for a tenth of a second each time.
    """
    if gc.get_freeze_count():  # somebody else's, or another judge's
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _drain() -> None:
    """Wait until every other task of this loop has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
