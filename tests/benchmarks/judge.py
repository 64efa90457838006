"""The judge at scale, against the fake server in a process of its own: faults, wall time, the kernel's patience, kills.

    python tests/benchmarks/judge.py                 # 1,000 pairs, then 1,000 pairs killed 20 times; writes results_judge.md
    python tests/benchmarks/judge.py --pairs 100 --kills 3

10 % of the requests get a 429, 5 % a 500, 2 % hang, 2 % bring broken JSON; every honest reply takes 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.generation import Generations
from sftkit.judging import Judge
from sftkit.judging.fake_server import apart
from sftkit.ratings import RatingStore

SHARES = {"429": 0.10, "500": 0.05, "hang": 0.02, "bad_json": 0.02}
LATENCY, CONCURRENCY, TIMEOUT, HANG, RETRY_AFTER = 0.2, 64, 1.5, 30, 0.1
FLAGS = ("--score", "hash", "--latency", str(LATENCY), "--hang-seconds", str(HANG), "--retry-after", str(RETRY_AFTER))  # fmt: skip
FAULTS = tuple(flag for kind, share in SHARES.items() for flag in ("--fault", f"{kind}={share}"))
OPTIONS = {"canaries": 0, "max_concurrency": CONCURRENCY, "timeout": TIMEOUT, "max_retries": 20}
CHILD = """
import json, sys
from sftkit.generation import Generations
from sftkit.judging import Judge
from sftkit.ratings import RatingStore
judge = Judge("fake-judge", sys.argv[1], **json.loads(sys.argv[4]))
judge.rate(Generations.load(sys.argv[2]), store=RatingStore(sys.argv[3]), progress=False)
"""


def make_answers(pairs: int) -> Generations:
    rows = [
        {"prompt": f"Question {i}: what is to be done?", "model": name, "response": f"{name} says {i}. " * 20}
        for i in range(pairs)
        for name in ("base", "tuned")
    ]
    return Generations.from_frame(pd.DataFrame(rows))


def scored(store: RatingStore) -> pd.DataFrame:
    """What a store says in the end, in an order of its own."""
    frame = store.frame()
    frame = frame[frame["current"]]
    keys = ["prompt_id", "model_a", "model_b", "shown_first"]
    table = frame[[*keys, "verdict"]].assign(scores=frame["scores"].astype(str))
    return table.sort_values(keys).reset_index(drop=True)


def patience(work: Any) -> tuple[Any, list[float]]:
    """What `work` returns from a thread of its own, and how late the main thread was at every 10 ms meanwhile."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    late = []
    while thread.is_alive():
        before = time.perf_counter()
        time.sleep(0.01)
        late.append(time.perf_counter() - before - 0.01)
    if not found:
        raise RuntimeError("the judge failed, see above")
    return found[0], late


def ideal_seconds(statuses: dict[str, int], hangs: int) -> float:
    """The time that the calls themselves take: what the server answered at its latency, the hangs until the timeout."""
    return (LATENCY * (statuses.get("200", 0) + statuses.get("500", 0)) + TIMEOUT * hangs) / CONCURRENCY


def least_seconds(pairs: int) -> float:
    """The same calls with the server's own draws of faults, by a client that loses no time: what a run of this length
    cannot beat, since a call that hangs near its end is waited for when all others are done."""
    draws = random.Random(0)
    free, again, todo, now = [0.0] * CONCURRENCY, [], 2 * pairs, 0.0
    while todo or again:
        now = heapq.heappop(free)
        if again and again[0] <= now:
            heapq.heappop(again)
        elif todo:
            todo -= 1
        else:
            heapq.heappush(free, again[0])
            continue
        draw, kind = draws.random(), "200"
        for fault, share in (("429", 0.10), ("500", 0.05), ("hang", 0.02)):
            if draw < 0:
                break
            kind, draw = (fault if draw < share else kind), draw - share
        takes = {"429": 0.0, "hang": TIMEOUT}.get(kind, LATENCY)
        if kind != "200":
            heapq.heappush(again, now + takes + (RETRY_AFTER if kind == "429" else 0.0))
        heapq.heappush(free, now + takes)
    return max(free)


def peer_cpu(calls: int = 150) -> float:
    """CPU seconds a call of the bare `openai` client, with as many at once and a request of this size."""
    from openai import AsyncOpenAI

    from sftkit.judging.plan import Plan
    from sftkit.judging.verdict import schema_of

    judge = Judge("fake-judge", "http://localhost/v1", **OPTIONS)
    asked = Plan("fake-judge", judge.rater, judge.protocol, make_answers(2)).calls({})[0].request
    wanted = {"name": "verdict", "strict": True, "schema": schema_of(asked.shape)}
    body = {"model": "fake-judge", "messages": asked.messages(), "logprobs": True, "top_logprobs": 5}
    body["response_format"] = {"type": "json_schema", "json_schema": wanted}

    async def ask(base_url: str) -> float:
        turn = asyncio.Semaphore(CONCURRENCY)
        async with AsyncOpenAI(api_key="none", base_url=base_url) as client:

            async def one() -> None:
                async with turn:
                    await client.chat.completions.create(**body)

            await one()  # with everything imported and set up
            before = time.process_time()
            await asyncio.gather(*(one() for _ in range(calls)))
            return (time.process_time() - before) / calls

    with apart("--score", "hash", "--latency", str(LATENCY)) as server:
        return asyncio.run(ask(server.base_url))


def with_faults(pairs: int, folder: Path) -> dict[str, Any]:
    """One run with every fault, its accounts, and the runs after it until nothing is unscored."""
    answers, store = make_answers(pairs), RatingStore(f"sqlite:///{folder / 'faults.db'}")
    with apart(*FLAGS, *FAULTS) as server:
        judge = Judge("fake-judge", server.base_url, **OPTIONS)
        load, started, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
        frame, late = patience(lambda: judge.rate(answers, store=store, progress=False))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        stats = server.stats()
        hangs = stats["requests"] - sum(stats["statuses"].values())
        rounds = 1
        while store.votes()["outcome"].isna().any():
            judge.rate(answers, store=store, progress=False)
            rounds += 1
        again = server.stats()
    failures = judge_failures(frame)
    return {
        "calls": 2 * pairs,
        "rows": len(frame),
        "scored": int(frame["verdict"].ne("unscored").sum()),
        "failures": failures,
        "statuses": stats["statuses"],
        "hangs": hangs,
        "answered_twice": again["answered_twice"],
        "rounds_until_all_scored": rounds,
        "seconds": seconds,
        "ideal": ideal_seconds(stats["statuses"], hangs),
        "least": least_seconds(pairs),
        "requests": stats["requests"],
        "plain_ideal": 2 * pairs * LATENCY / CONCURRENCY,
        "cpu": cpu,
        "load": load,
        "late_p50": sorted(late)[len(late) // 2],
        "late_p99": sorted(late)[int(0.99 * len(late))],
        "late_max": max(late),
        "table": scored(store),
    }


def judge_failures(frame: pd.DataFrame) -> dict[str, int]:
    failed = frame[frame["verdict"].eq("unscored")]["reason"].str.partition(":")[0]
    return {str(kind): int(count) for kind, count in failed.value_counts().items()}


def killed(pairs: int, kills: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """The same calls in processes that are killed at random moments, gone on with until all is scored."""
    import json

    answers, draws = make_answers(pairs), random.Random(seed)
    path, url = answers.save(folder / "answers.parquet"), f"sqlite:///{folder / 'killed.db'}"
    with apart(*FLAGS, *FAULTS) as server:
        command = [sys.executable, "-c", CHILD, server.base_url, str(path), url, json.dumps(OPTIONS)]
        done, lost, wait = 0, [], 2 * pairs * LATENCY / CONCURRENCY / max(kills, 1)
        store = RatingStore(url)
        while done < kills:
            time.sleep(2 * LATENCY)  # until the server is done with what the last one asked
            before, rows = server.stats(), len(store.frame())
            child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while child.poll() is None and server.stats()["requests"] == before["requests"]:
                time.sleep(0.02)  # it has begun
            time.sleep(draws.uniform(0.2, 1.5) * max(wait, 0.1))
            early = child.poll() is None
            child.kill()
            child.wait()
            done += early
            paid = server.stats()["statuses"].get("200", 0) - before["statuses"].get("200", 0)
            lost.append(paid - (len(store.frame()) - rows))
            if not early and not (store.votes()["outcome"].isna().any() or len(store.votes()) < pairs):
                break
        judge = Judge("fake-judge", server.base_url, **OPTIONS)
        while len(store.votes()) < pairs or store.votes()["outcome"].isna().any():
            judge.rate(answers, store=store, progress=False)
        stats = server.stats()
    good = store.frame().query("verdict != 'unscored'")
    twice = good.duplicated(["request_hash", "prompt_id", "shown_first"]).sum()
    return {"kills": done, "lost": lost, "twice": int(twice), "stats": stats, "table": scored(store)}


def undisturbed(pairs: int, folder: Path) -> pd.DataFrame:
    store = RatingStore(f"sqlite:///{folder / 'plain.db'}")
    with apart("--score", "hash") as server:
        Judge("fake-judge", server.base_url, **OPTIONS).rate(make_answers(pairs), store=store, progress=False)
    return scored(store)


def report(pairs: int, run: dict[str, Any], kills: dict[str, Any], same: tuple[bool, bool]) -> str:
    lines = [
        f"# The judge at scale: {pairs:,} pairs in both orders against the fake server",
        "",
        f"Written by `python tests/benchmarks/judge.py` on {os.cpu_count()} cores, shared with other programs (load average below).",
        f"Latency {LATENCY} s, {CONCURRENCY} calls at once, timeout {TIMEOUT} s; 10 % 429, 5 % 500, 2 % hangs, 2 % bad JSON.",
        "",
        "| what | figure |",
        "|---|---|",
        f"| calls, rows stored, scored in the first run | {run['calls']:,}, {run['rows']:,}, {run['scored']:,} |",
        f"| failures by reason | {run['failures']} |",
        f"| replies by status; hangs | {run['statuses']}; {run['hangs']} |",
        f"| questions answered twice | {run['answered_twice']} |",
        f"| runs until everything was scored | {run['rounds_until_all_scored']} |",
        f"| seconds | {run['seconds']:.1f} |",
        f"| ideal: the time of all tries at this latency and concurrency | {run['ideal']:.1f} ({run['seconds'] / run['ideal']:.2f} times) |",
        f"| least: no time lost between calls, the last hang waited for | {run['least']:.1f} ({run['seconds'] / run['least']:.2f} times) |",
        f"| ideal without any fault | {run['plain_ideal']:.1f} |",
        f"| CPU seconds of the kernel's process; load average before | {run['cpu']:.1f}; {run['load']:.1f} |",
        f"| CPU a request; of the bare openai client | {1000 * run['cpu'] / run['requests']:.1f} ms; {1000 * run['peer_cpu']:.1f} ms |",
        "| main thread late by (median, 99 %, most) | "
        + ", ".join(f"{1000 * run[name]:.0f} ms" for name in ("late_p50", "late_p99", "late_max"))
        + " |",
        f"| the same table as a run without faults | {same[0]} |",
        f"| killed (kill -9) at random | {kills['kills']} times |",
        f"| replies under way at a kill, asked again (each) | {kills['lost']} |",
        f"| verdicts stored twice after the kills | {kills['twice']} |",
        f"| the same table after the kills | {same[1]} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results_judge.md"))
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = undisturbed(flags.pairs, folder)
        peer = peer_cpu()
        run = with_faults(flags.pairs, folder) | {"peer_cpu": peer}
        kills = killed(flags.pairs, flags.kills, folder)
    text = report(flags.pairs, run, kills, (run["table"].equals(plain), kills["table"].equals(plain)))
    print(text)
    flags.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
