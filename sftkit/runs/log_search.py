"""A run's log made fit to read, and searched from its first byte to its last, however long it is.

search = LogSearch(run.folder / "train.log", "nccl")
search.go_on()          # reads what is new; again later for what has been printed since
search.count, search.total, list(search.lines)
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

BLOCK = 4 * 1024 * 1024  # bytes read at a time
LONGEST = 2_000  # characters of a line that are kept
CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n|$)", re.MULTILINE
)  # colours; what a progress bar overwrote


def plain(text: str) -> str:
    """Text without terminal colours and overwritten progress bars; long lines are cut."""
    return "\n".join(line[:LONGEST].rstrip("\r") for line in CONTROL.sub("", text).split("\n"))


class LogSearch:
    """The lines of a log with `words` in them, in small letters or capitals, and how many there are.

    `.lines` holds the last `limit` of them as (number from 1, text), `.count` counts all, `.total` counts the lines
    looked at. May be called in any thread.
    """

    def __init__(self, path: Path, words: str, limit: int = 300):
        self.path, self.words = path, words
        self.lines: deque[tuple[int, str]] = deque(maxlen=limit)
        self.count = self.total = self._read_to = 0
        self._pattern = re.compile(re.escape(words.encode()), re.IGNORECASE)
        self._reading = Lock()

    def go_on(self) -> None:
        """Look through what has been written since the last call; all of it when the file was replaced."""
        with self._reading:
            try:
                with self.path.open("rb") as file:
                    if file.seek(0, 2) < self._read_to:
                        self.lines.clear()
                        self.count = self.total = self._read_to = 0
                    file.seek(self._read_to)
                    while block := self._whole_lines(file.read(BLOCK)):
                        self._look_through(block)
                        self._read_to += len(block)
                        file.seek(self._read_to)
            except OSError:
                return

    @staticmethod
    def _whole_lines(block: bytes) -> bytes:
        """The block up to its last line's end; a line longer than a block is taken in pieces, an unfinished one waits."""
        return block[: block.rfind(b"\n") + 1] or (block if len(block) == BLOCK else b"")

    def _look_through(self, block: bytes) -> None:
        wanted = self.words.lower()
        counted = 0  # bytes whose line ends are in self.total
        for start, end in self._candidates(block):
            self.total += block.count(b"\n", counted, start)
            counted = start
            line = plain(block[start:end].decode("utf-8", errors="replace"))
            if wanted in line.lower():  # it may have stood in a colour code, or in what was overwritten
                self.count += 1
                self.lines.append((self.total + 1, line))
        self.total += block.count(b"\n", counted)

    def _candidates(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of every line with a match."""
        place = 0
        while match := self._pattern.search(block, place):
            start = block.rfind(b"\n", 0, match.start()) + 1
            end = block.find(b"\n", match.end())
            end = len(block) if end < 0 else end
            yield start, end
            place = end
