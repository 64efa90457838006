"""Whether what is said of the runs of a soak is true: while it goes on, by /proc, and of every run at the end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from jupyter_client.manager import start_new_kernel
from safetensors import safe_open

from sftkit.runs import list_runs, load_run
from tests.benchmarks import soak_left as left
from tests.benchmarks.soak_stage import Stage, Told


class Notebook:
    """A kernel that lives through all of it and looks at runs again and again, as somebody's open notebook does."""

    LOOK = """
import gc, os, threading, warnings
import sftkit as sk
def look(runs, folders):
    table = sk.list_runs(runs)
    open_ = [sk.RunsTable(runs), *[sk.RunMonitor(sk.load_run(f)) for f in folders]]
    open_ += [sk.LossCurves([sk.load_run(f) for f in folders])] if folders else []
    for widget in open_:
        widget.close()
    del open_
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()
"""

    def __init__(self, runs: Path):
        self.runs = runs
        self.manager, self.client = start_new_kernel(startup_timeout=300)
        self.seen: list[tuple[int, int]] = []
        self.wrong: list[str] = []
        self._do(self.LOOK)

    def look(self, folders: list[Path]) -> None:
        said = self._do(f"print(*look({str(self.runs)!r}, {[str(f) for f in folders]!r}))")
        try:
            self.seen.append(tuple(map(int, said.split()[-2:])))
        except ValueError:
            self.wrong.append(said[-1500:])

    def _do(self, code: str) -> str:
        said: list[str] = []

        def hear(message: dict) -> None:
            content = message["content"]
            said.append(content.get("text", "") or "\n".join(content.get("traceback", [])))

        self.client.execute_interactive(code, timeout=600, output_hook=hear)
        return "".join(said)

    def end(self) -> list[str]:
        """Close it. Returns what it held more of at the end than after its first looks."""
        time.sleep(2)  # threads of closed widgets leave by themselves
        self.look([])
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        first, last = self.seen[min(2, len(self.seen) - 1)], self.seen[-1]
        names = ("file handles", "threads")
        return self.wrong + [
            f"{b - a} {name} more after {len(self.seen)} looks"
            for a, b, name in zip(first, last, names)
            if b > a
        ]


def watch(work: list[Future], stage: Stage, notebook: Notebook) -> list[str]:
    """While it all goes on: what list_runs says must be true by /proc. Returns what was not."""
    untrue, looked = [], 0.0
    said = time.monotonic()
    while not all(future.done() for future in work):
        time.sleep(1.0)
        table = list_runs(stage.runs)
        untrue += [
            line for row in table.itertuples() if (line := unlike_proc(stage.runs / row.id, row.state))
        ]
        if time.monotonic() - looked > 8:
            notebook.look([stage.runs / name for name in table["id"][:3]])
            looked = time.monotonic()
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(
                f"{sum(f.done() for f in work)} of {len(work)} done; {dict(Counter(table['state']))}",
                flush=True,
            )
    return untrue


def unlike_proc(folder: Path, state: str) -> str:
    """A run that is said to go on, and whose supervisor is not there, although nothing has changed since it was said."""
    if state in ("finished", "failed", "stopped"):
        return ""
    try:
        pid = json.loads((folder / "run.json").read_text()).get("pid")
        if pid is None or Path(f"/proc/{pid}").exists():
            return ""
        now = load_run(folder).status
    except (OSError, ValueError, LookupError):  # deleted meanwhile
        return ""
    return (
        "" if now.ended else f"{folder.name}: said to be {state} and then {now.state}; process {pid} is gone"
    )


def audit(told: list[Told]) -> list[str]:
    """Every run once more, at the end of it all, by a process that has seen none of it."""
    code = (
        "import json, sys\nfrom sftkit.runs import list_runs, load_run\n"
        "states = {f: vars(load_run(f).status) for f in sys.argv[1:]}\n"
        "print(json.dumps(states))"
    )
    there = [one for one in told if one.folder and one.folder.is_dir()]
    said = subprocess.run(
        [sys.executable, "-c", code, *(str(o.folder) for o in there)], capture_output=True, text=True
    )
    states = json.loads(said.stdout) if not said.returncode else {}
    wrong = [said.stderr] if said.returncode else []
    wrong += [f"{one.story}: no run" for one in told if not one.folder]
    wrong += [
        f"{one.folder} is still there" for one in told if one.state == "deleted" and one.folder.is_dir()
    ]
    reference: list[float] = []
    for one in sorted(there, key=lambda one: one.blows != []):  # those in peace first
        try:
            wrong += audited(one, states.get(str(one.folder), {}), reference)
        except Exception:
            wrong.append(f"{one.story}: {traceback.format_exc()}")
    return wrong


def audited(one: Told, status: dict[str, Any], reference: list[float]) -> list[str]:
    """What is untrue of one run: its state, its steps, its losses (those of a run in peace), its model, its processes."""
    run, wrong = load_run(one.folder), []
    if status.get("state") != one.state or not re.search(one.reason, status.get("reason", "")):
        wrong.append(f"should be {one.state} ({one.reason}), is {status}")
    metrics = run.metrics().dropna(subset=["loss"])
    steps, written = metrics["step"].tolist(), status.get("step", 0) - (one.state != "finished")
    if steps != list(range(1, len(steps) + 1)) or len(steps) < written:
        wrong.append(f"at step {status.get('step')}, with the steps {steps}")
    if one.state == "finished":
        wrong += unfinished(one, status, metrics["loss"].tolist(), reference, run.model_path)
    if alive := left.of_folder(one.folder):
        wrong.append(f"processes {alive} live")
    return [f"{one.story}: {run.id}: {line}" for line in wrong]


def unfinished(
    one: Told, status: dict[str, Any], losses: list[float], reference: list[float], model: Path
) -> list[str]:
    """What a finished run lacks. One rank on a CPU computes the same bits, however often it was ended and resumed."""
    wrong = []
    if not status["step"] == status["total_steps"] == len(losses):
        wrong.append(
            f"finished at step {status['step']} of {status['total_steps']} with {len(losses)} losses"
        )
    reference += [] if reference or one.ranks > 1 else losses
    if reference and not (
        np.allclose(losses, reference, rtol=1e-3) if one.ranks > 1 else losses == reference
    ):
        wrong.append(f"its losses are not those of a run in peace: {losses[-3:]}, {reference[-3:]}")
    with safe_open(model / "model.safetensors", "np") as weights:
        names = weights.keys()
        wrong += [
            f"{name} is not finite" for name in names if not np.isfinite(weights.get_tensor(name)).all()
        ]
    return wrong
