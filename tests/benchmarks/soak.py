"""A week in one hour: 50 short real runs, 5 at once through the line, while 32 raters write 20,000 ratings on each database.

    python tests/benchmarks/soak.py                 # about half an hour; --write puts the table into results_soak.md
    python tests/benchmarks/soak.py --small         # what tests/faults/test_soak.py runs

In between everything is killed that can be (worker, rank, supervisor, launcher, kernel, rater, database server), disks fill
up and the clock is set back and forth by a day. At the end every run must stand where the blows that it got have put it,
nothing may be left, and each acknowledged vote must be in its store once. The exit code is 1 when that is not so.

With the right to do so, all of it has a /dev/shm of its own. What happens to the runs: soak_stories.py, of soak_stage.py;
whether what is said of them is true: soak_truth.py; what may not be left: soak_left.py; the raters: soak_votes.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.soak_stage import Stage, Told
    from tests.benchmarks.soak_truth import Notebook

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
RESULTS = Path(__file__).with_name("results_soak.md")
INSIDE, OWN_DISKS = "SFTKIT_SOAK_FOLDER", "SFTKIT_SOAK_OWN_DISKS"
CLOCK = '''
"""In every Python process of the soak: time.time() is off by what a file says."""
import time
from pathlib import Path

_true, _file = time.time, Path({file!r})
time.time = lambda: _true() + float(_file.read_text() or 0)
'''
STEPS = 24
SHARED = Path("/dev/shm")
HOURS = (-26, 26, 0, -1, 400, 0)  # what the clock is off by, one after the other
SIZES = {
    "full": dict(at_once=5, raters=32, together=8, votes=625, kills=12, think=0.6, clock=45.0, beat=90),
    "one of each": dict(at_once=5, raters=16, together=8, votes=50, kills=4, think=0.2, clock=15.0, beat=60),
    "small": dict(at_once=2, raters=8, together=4, votes=25, kills=2, think=0.0, clock=3.0, beat=60),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="five runs, 200 ratings on each database")
    parser.add_argument(
        "--one-of-each", action="store_true", help="one run of each kind, 800 ratings on each database"
    )
    parser.add_argument(
        "--only", metavar="STORY", action="append", help="only runs to which this happens (repeatable)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ratings", action="store_true")
    parser.add_argument("--write", action="store_true", help="write results_soak.md")
    given = parser.parse_args()
    if folder := os.environ.get(INSIDE):
        return inside(Path(folder), given)
    sys.exit(outside(given))


def size_of(given: argparse.Namespace) -> str:
    return "small" if given.small else "one of each" if given.one_of_each else "full"


# outside: a folder, an environment and, where it may be, a /dev/shm for it


def outside(given: argparse.Namespace) -> int:
    """Start the soak with its mark on it; when it has gone, nothing with that mark may be there."""
    from tests.benchmarks import soak_left as left

    size = size_of(given)
    folder, mark = Path(tempfile.mkdtemp(prefix="soak-")), uuid.uuid4().hex
    own = ["unshare", "--mount", "--propagation", "private"]
    if (
        os.geteuid()
        or not shutil.which("unshare")
        or subprocess.run([*own, "true"], capture_output=True).returncode
    ):
        own = []
    began = time.monotonic()
    try:
        words = [*own, sys.executable, __file__, *sys.argv[1:]]
        made = environment(folder, mark, SIZES[size]["beat"]) | ({OWN_DISKS: "1"} if own else {})
        code = subprocess.run(words, env=made).returncode
        result = json.loads((folder / "result.json").read_text()) if (folder / "result.json").exists() else {}
        if lived := left.settled(lambda: left.marked(mark)):
            result.setdefault("left", {})["processes after the end"] = [
                f"{pid}: {words}" for pid, words in lived.items()
            ]
        result |= {"seconds": time.monotonic() - began, "size": size, "load": os.getloadavg()[2]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code or "stories" not in result:
        print(f"The soak broke off with exit code {code}")
        return 1
    print(table(result))
    if given.write:
        RESULTS.write_text(table(result), encoding="utf-8")
    return int(bool(faults(result)))


def environment(folder: Path, mark: str, beat: int) -> dict[str, str]:
    """Of everything in the soak: its mark, its own temporary folder, line and clock; one thread a rank."""
    from tests.benchmarks.soak_left import MARK

    for name in (
        "tmp",
        "clock",
        "line",
        "jupyter",
        "runtime",
        "runtime/python_PostgresServer",
    ):  # the last: of its wheel
        (folder / name).mkdir(mode=0o700)
    (folder / "tmp").chmod(0o711)
    folder.chmod(0o711)  # PostgreSQL's server, which the superuser cannot be, looks up its own folder below
    (folder / "offset").write_text("0")
    (folder / "clock/sitecustomize.py").write_text(CLOCK.format(file=str(folder / "offset")))
    path = [str(folder / "clock"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    places = {
        "TMPDIR": "tmp",
        "SFTKIT_QUEUE": "line",
        "JUPYTER_RUNTIME_DIR": "jupyter",
        "XDG_RUNTIME_DIR": "runtime",
    }
    return {
        **os.environ, **{name: str(folder / place) for name, place in places.items()}, INSIDE: str(folder), MARK: mark,
        "PYTHONPATH": os.pathsep.join(path), "IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1",
        "SFTKIT_HEARTBEAT_LIMIT": str(beat), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


# inside


def inside(folder: Path, given: argparse.Namespace) -> None:
    """The soak itself. What came of it goes to result.json."""
    from tests.benchmarks import soak_left as left
    from tests.benchmarks.soak_stories import play
    from tests.benchmarks.soak_truth import Notebook, audit

    if os.environ.get(OWN_DISKS):
        subprocess.run(["mount", "-t", "tmpfs", "sftkit-soak", "/dev/shm"], check=False)
    shared, stage, names = left.names(SHARED), made_stage(folder, given), chosen(given)
    notebook = Notebook(stage.runs)
    before, threads = left.handles(), threading.active_count()
    told, result = all_at_once(stage, names, notebook, given)
    told.append(
        play(stage, "nothing", len(names))
    )  # the last in the line takes away what dead ones have left there
    found = {
        "file handles and threads of a notebook that was open all the time": notebook.end(),
        "file handles of the process that launched the runs": left.more_than(before, left.handles()),
        "threads of that process": [f"thread {n}" for n in range(threads, threading.active_count())],
        "segments in /dev/shm": [name for name in left.names(SHARED) if name not in shared],
    }
    result["untrue"] += audit(told)
    result["cards"], found["memory of cards"] = left.cards_used_by(
        {pid for one in told for pid in one.leaders}
    )
    result["left"] = found | left.by_runs(folder, told)
    result["stories"] = [vars(one) | {"leaders": len(one.leaders), "ports": len(one.ports)} for one in told]
    (folder / "result.json").write_text(json.dumps(result, default=str))


def made_stage(folder: Path, given: argparse.Namespace) -> Stage:
    from sftkit.config import SFTConfig
    from sftkit.runs import hardware
    from tests.benchmarks.soak_stage import Stage

    config = SFTConfig(
        pretrain=str(ROOT / "data/tiny-base"), dataset=str(ROOT / "data/train.jsonl"), max_samples=4 * STEPS, max_len=128,
        train_batch_size=4, micro_train_batch_size=2, bf16=False, save_steps=6, max_ckpt_num=1, sample_prompts=0,
        learning_rate=1e-3,
    )  # fmt: skip
    cards = [int(card.id) for card in hardware.gpus()]
    return Stage(config, folder, STEPS, SIZES[size_of(given)]["at_once"], cards, given.seed)


def chosen(given: argparse.Namespace) -> list[str]:
    """What happens to the runs, in the order in which they are launched."""
    from tests.benchmarks.soak_stories import SMALL, STORIES

    names = [name for name, (_, count) in STORIES.items() for _ in range(1 if given.one_of_each else count)]
    names = given.only or (list(SMALL) if given.small else names)
    random.Random(given.seed).shuffle(names)
    return names


def all_at_once(stage: Stage, names: list[str], notebook: Notebook, given: argparse.Namespace) -> tuple[list[Told], dict[str, Any]]:  # fmt: skip
    """Runs, raters and the clock, until all have come to their end."""
    from tests.benchmarks.soak_stories import play
    from tests.benchmarks.soak_truth import watch
    from tests.benchmarks.soak_votes import rated

    size, stop = SIZES[size_of(given)], threading.Event()
    with ThreadPoolExecutor() as pool, ThreadPoolExecutor(size["at_once"] + 3) as players:
        clock = pool.submit(set_clock, stage.folder / "offset", size["clock"], stop)
        kinds = () if given.no_ratings else ("SQLite", "PostgreSQL")
        votes = {kind: pool.submit(rated, kind, stage.folder, size) for kind in kinds}
        played = [players.submit(play, stage, name, number) for number, name in enumerate(names)]
        try:
            untrue = watch([*played, *votes.values()], stage, notebook)
        finally:
            stop.set()
    result = {
        "untrue": untrue,
        "clock": clock.result(),
        "votes": {kind: done.result() for kind, done in votes.items()},
    }
    return [done.result() for done in played], result


def set_clock(file: Path, seconds: float, stop: threading.Event) -> int:
    """Set the clock of all processes again and again. Returns how often."""
    count = 0
    while not stop.wait(seconds):
        file.write_text(str(HOURS[count % len(HOURS)] * 3600))
        count += 1
    return count


# the table


def faults(result: dict[str, Any]) -> list[str]:
    """All that must not be, in words."""
    found = [f"left: {name}: {', '.join(things)}" for name, things in result["left"].items() if things]
    found += [line for one in result["stories"] for line in one["wrong"]] + result["untrue"]
    return found + [f"{kind}: {line}" for kind, votes in result["votes"].items() for line in votes["wrong"]]


def table(result: dict[str, Any]) -> str:
    """All of it, in Markdown."""
    told, size, wrong = result["stories"], SIZES[result["size"]], faults(result)
    return "\n".join([
        "# A week in one hour", "",
        f"Written by `python tests/benchmarks/soak.py --write`: {len(told)} real runs of data/tiny-base ({STEPS} steps each), "
        f"{size['at_once']} at once through the line, and {size['raters']} raters on each database at the same time; "
        f"{result['seconds'] / 60:.1f} minutes on {os.cpu_count()} cores that other programs used too (load average "
        f"{result['load']:.0f}). Cards: {result['cards'] or 'none, so that there was no memory of one to be left'}. The clock of "
        f"all processes was set {result['clock']} times, by up to 400 hours.", "",
        "| what happened to the run | runs | how they ended | starts, resumptions among them | blows that came too late | untrue |",
        "|---|---|---|---|---|---|", *rows_of_runs(told, result["untrue"]), "",
        "| left over at the end | |", "|---|---|", *(f"| {name} | {len(found)} |" for name, found in result["left"].items()), "",
        "| ratings | stored | acknowledged | lost, twice | raters' processes killed | minutes | the store, looked at |",
        "|---|---|---|---|---|---|---|", *(row_of_votes(kind, votes) for kind, votes in result["votes"].items()), "",
        *(["What is not as it must be:", "", *(f"- {line}" for line in wrong)] if wrong else ["Nothing was untrue."]), "",
    ])  # fmt: skip


def rows_of_runs(told: list[dict[str, Any]], untrue: list[str]) -> list[str]:
    rows = []
    for name in sorted({one["story"] for one in told}):
        these = [one for one in told if one["story"] == name]
        ends = ", ".join(
            f"{state} {count}" for state, count in Counter(one["state"] for one in these).items()
        )
        bad = [line for one in these for line in one["wrong"]] + [
            line for line in untrue if line.startswith(f"{name}: ")
        ]
        starts, late = (sum(one[what] for one in these) for what in ("starts", "late"))
        rows.append(f"| {name} | {len(these)} | {ends} | {starts} | {late} | {len(bad)} |")
    return rows


def row_of_votes(kind: str, votes: dict[str, Any]) -> str:
    sound = {
        "SQLite": "integrity_check: ok",
        "PostgreSQL": "killed, recovered: all votes, checksums and indexes right",
    }
    cells = (
        kind, f"{votes['stored']:,}", f"{votes['acknowledged']:,}", f"{votes['lost']}, {votes['stored twice']}", votes["killed"],
        f"{votes['seconds'] / 60:.1f}", "NOT WHOLE" if votes["wrong"] else sound[kind],
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
