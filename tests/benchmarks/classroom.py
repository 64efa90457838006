"""A class on one machine: 30 real users at once open the form in teaching mode and train, on shared read-only data.

python tests/benchmarks/classroom.py                      # as root; writes results_classroom.md
python tests/benchmarks/classroom.py --people 6 --cores 1 --memory-gb 2

Every third person launches a second run at once, which has to wait for the first. Everybody then tries to read the homes
of all others. What is told: whether every run ended well and was seen so by its owner, how many ran at a time, what a
kernel and a run took of memory, and whether anything was written beside the shared data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sftkit.runs import limits, process, queue_room
from tests.runs.classroom_users import FIRST, ROOT, Classroom, lacking

PERSON = """
import json, os, sys, time
import sftkit as sk

shared, homes, twice = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
begin = time.time()
config = sk.SFTConfig(pretrain=f"{shared}/tiny-base", dataset=f"{shared}/train.jsonl", eval_dataset=f"{shared}/eval.jsonl",
                      max_samples=256, max_len=128, train_batch_size=16, micro_train_batch_size=16, learning_rate=1e-3)
form = sk.LaunchForm(config)
shown = time.time() - begin
runs = [form.launch()]
if twice:
    runs.append(sk.launch(config.with_(seed=7)))
ends = [run.wait(3000) for run in runs]
seen = 0
for home in os.listdir(homes):
    if home != str(os.getuid()):
        try:
            seen += len(os.listdir(f"{homes}/{home}"))
        except PermissionError:
            pass
        seen += len(sk.list_runs(f"{homes}/{home}/runs"))
print(json.dumps({
    "states": [end.state for end in ends], "reasons": [end.reason for end in ends], "seconds": time.time() - begin,
    "listed": len(sk.list_runs()), "runs": [str(run.folder) for run in runs], "seen": seen, "shown": shown,
    "loss": [float(run.metrics()["loss"].iloc[-1]) for run in runs], "whys": form.rows["learning_rate"]._help.count("sft-because"),
}))
"""


def own(pid: int, name: str = "Pss") -> int:
    """Bytes of a process, what it shares counted by its part; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def look(room: Classroom, kernels: list) -> dict:
    """What goes on now: runs that use the CPU, bytes of each kernel and of each run."""
    places = [told for _, _, told in queue_room.told(room.queue)]
    runs = [told for told in places if not told["waits"]]
    ranks = {}
    for told in runs:
        record = json.loads(Path(told["folder"], "run.json").read_text())
        ranks[told["folder"]] = limits.taken(process.group_members(record["pid"]))
    return {
        "runs": len(runs), "waiting": len(places) - len(runs), "of_runs": ranks,
        "most_of_one": max(map(len, _by_owner(runs).values()), default=0),
        "of_kernels": [size for kernel in kernels if (size := own(kernel.pid))],
    }  # fmt: skip


def _by_owner(runs: list[dict]) -> dict[str, list]:
    found: dict[str, list] = {}
    for told in runs:
        found.setdefault(told["user"], []).append(told)
    return found


def lesson(room: Classroom, people: int) -> tuple[list[dict], list[dict], float]:
    """What each person told, what was seen meanwhile, and how long it took."""
    begin, seen = time.monotonic(), []
    kernels = [
        room.start(number, PERSON, str(room.shared), str(room.homes), str(int(number % 3 == 0)))
        for number in range(people)
    ]
    while any(kernel.poll() is None for kernel in kernels):
        with suppress(OSError, ValueError):  # a run that ended between two looks
            seen.append(look(room, kernels))
        time.sleep(1.0)
    return [json.loads(room.said(kernel, 60)) for kernel in kernels], seen, time.monotonic() - begin


def table(told: list[dict], seen: list[dict], seconds: float, room: Classroom, untouched: bool) -> str:
    """The result as Markdown."""
    states = [state for one in told for state in one["states"]]
    true = sum(
        json.loads(Path(folder, "status.json").read_text())["state"] == state
        and Path(folder).stat().st_uid == FIRST + number
        for number, one in enumerate(told)
        for folder, state in zip(one["runs"], one["states"], strict=True)
    )
    own_only = sum(one["listed"] == len(one["runs"]) for one in told)
    most = [size for one in seen for size in one["of_runs"].values()]
    kernels = [statistics.median(one["of_kernels"]) for one in seen if one["of_kernels"]]
    whole = [sum(one["of_kernels"]) + sum(one["of_runs"].values()) for one in seen]
    rows = {
        "people, each a user of the machine": len(told),
        "runs": len(states),
        "finished": states.count("finished"),
        "state on disk as told to the owner, owner right": true,
        "people whose table shows their own runs and no other": own_only,
        "files or runs of others that anybody could list": sum(one["seen"] for one in told),
        "shared data and models untouched": "yes" if untouched else "NO",
        "most runs at a time / of one person": f"{max(one['runs'] for one in seen)} / {max(one['most_of_one'] for one in seen)}",
        "most runs waiting": max(one["waiting"] for one in seen),
        "places left in the queue": len(queue_room.files(room.queue)),
        "a kernel with its form, MB (median)": round(statistics.median(kernels) / 1e6),
        "a run, MB of its own (highest)": round(max(most) / 1e6),
        "all together, GB (highest)": f"{max(whole) / 1e9:.1f}",
        "minutes until the last had finished": f"{seconds / 60:.1f}",
        "seconds from import to the form, median": f"{statistics.median(one['shown'] for one in told):.1f}",
    }  # fmt: skip
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--cores", type=int, default=1, help="of a run")
    parser.add_argument("--memory-gb", type=float, default=1.5, help="of a run")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results_classroom.md"))
    about = parser.parse_args()
    if why := lacking():
        sys.exit(f"Not here: {why}.")
    caps = {"SFTKIT_CORES": str(about.cores), "SFTKIT_MEMORY_GB": str(about.memory_gb), "SFTKIT_RUNS": "1"}
    room = Classroom(caps)
    try:
        shutil.copytree(ROOT / "data" / "tiny-base", room.shared / "tiny-base")
        for name in ("train.jsonl", "eval.jsonl"):
            shutil.copy(ROOT / "data" / name, room.shared / name)
        before, load = room.seen(), os.getloadavg()[0]
        told, seen, seconds = lesson(room, about.people)
        untouched = before == room.seen()
        head = f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores, load {load:.0f} before; caps: {about.cores} core, {about.memory_gb:g} GiB, 1 run a person\n\n"  # fmt: skip
        text = head + table(told, seen, seconds, room, untouched)
        print(text)
        about.out.write_text(text, encoding="utf-8")
    finally:
        room.close()


if __name__ == "__main__":
    main()
