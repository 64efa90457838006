"""A judge at work in a thread: an exam or a run. It outlives the widget that started it, so a cell can be run again.

One job at a time on a store: a second panel on the same store finds it, shows it and can stop it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sftkit.judging.asking import Progress
from sftkit.ratings import RatingStore
from sftkit.widgets.background import in_background, on_loop

Tell = Callable[["Job"], None]
_jobs: dict[str, Job] = {}


class Job:
    """kind "exam" or "run". `.progress` moves while it works; `.done`, and then `.result` or `.error`."""

    def __init__(self, kind: str, rater: str, stop: Callable[[], None]):
        self.kind, self.rater, self._stop = kind, rater, stop
        self.progress, self.result = Progress(), None
        self.error: Exception | None = None
        self.done = self.stopping = False
        self._listeners: dict[Any, Callable[..., None]] = {}

    def listen(self, who: Any, tell: Tell) -> None:
        """`tell(job)` at every step, on the loop that runs where this is called; `who` is for `forget`."""
        self._listeners[who] = on_loop(tell)

    def forget(self, who: Any) -> None:
        self._listeners.pop(who, None)

    def stop(self) -> None:
        """Ask nothing more; calls under way are finished and stored."""
        self.stopping = True
        self._stop()
        self._tell()

    def report(self, progress: Progress) -> None:
        """Called in the judge's own thread."""
        self.progress = progress
        if self.stopping:
            self._stop()  # the click may have come before there was anything to stop
        self._tell()

    def end(self, result: Any = None, error: Exception | None = None) -> None:
        self.result, self.error, self.done = result, error, True
        self._tell()

    def _tell(self) -> None:
        for tell in list(self._listeners.values()):
            tell(self)


def running(store: RatingStore) -> Job | None:
    """The job under way on this store."""
    return _jobs.get(_name(store))


def start(store: RatingStore, job: Job, work: Callable[[Callable[[Progress], None]], Any]) -> None:
    """Do `work(report)` in a thread, or here and now where no loop runs. There must be none running on the store."""
    name = _name(store)
    _jobs[name] = job

    def ended(result: Any = None, error: Exception | None = None) -> None:
        _jobs.pop(name, None)
        job.end(result, error)

    in_background(lambda: work(job.report), ended, lambda error: ended(error=error))


def _name(store: RatingStore) -> str:
    """The same for two objects on one database; a database in memory is its object's alone."""
    return str(store.url) if "/" in str(store.url).removeprefix("sqlite://") else f"memory {id(store)}"
