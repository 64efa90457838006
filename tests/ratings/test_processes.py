"""Several processes on one store, and one killed in the middle of writing."""

import os
import signal
import subprocess
import sys
import time

from sftkit.ratings import RatingStore

WRITER = """
import sys
from sftkit.ratings import Rating, RatingStore
url, rater, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = RatingStore(url)
for n in range(count):
    store.add(Rating(rater, f"p{n}", "base", "tuned", "a"))
    print(n, flush=True)  # the acknowledgement
"""


def start(url, rater, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, rater, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_processes_that_create_and_write_at_once_lose_nothing(url):
    writers = [start(url, f"human:{n}", 100) for n in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    for writer in writers:
        writer.stdout.close()
    assert RatingStore(url).votes().groupby("rater").size().to_dict() == {f"human:{n}": 100 for n in range(3)}


def test_every_acknowledged_vote_survives_kill_9(url):
    writer = start(url, "human:ana", 1_000_000)
    while writer.stdout.readline() != "20\n":
        assert writer.poll() is None
    time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.stdout.close()
    writer.wait()
    acknowledged = 21 + len(rest)
    frame = RatingStore(url).frame()
    assert acknowledged <= len(frame) <= acknowledged + 1  # one may be written and not yet acknowledged
    assert set(frame["prompt_id"]) == {f"p{n}" for n in range(len(frame))}


def test_a_forked_child_opens_its_own_connection(url):
    """Forked in a fresh process: pytest's own threads and this store must not be copied."""
    code = f"""
import os
from sftkit.ratings import Rating, RatingStore
store = RatingStore({url!r})
store.add(Rating("human:parent", "p", "a", "b", "a"))
child = os.fork()
store.add(Rating("human:child" if child == 0 else "human:parent2", "p", "a", "b", "a"))
if child:
    os.waitpid(child, 0)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert set(RatingStore(url).frame()["rater"]) == {"human:parent", "human:child", "human:parent2"}
