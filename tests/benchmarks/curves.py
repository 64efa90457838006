"""Loss curves of 20 runs of a million steps each: how soon they are seen, zoomed, moved.

python tests/benchmarks/curves.py                    # writes 5 GB to a temporary folder, takes it away again
python tests/benchmarks/curves.py --keep FOLDER      # makes the runs there, or finds them, and leaves them
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

RUNS, STEPS = 20, 1_000_000
EVERY = 10_000  # steps between two evaluations
LINE = (
    '{"step": %d, "loss": %.16g, "learning_rate": %.16g, "epoch": %.16g, "grad_norm": %.16g, "tokens": %d, '
    '"tokens_per_second": %.12g, "seconds": %.13g, "memory_mb": 8123.5}\n'
)


def write_run(folder: Path, number: int, steps: int = STEPS) -> None:
    """The folder of a finished run of so many steps: a falling, noisy loss, evaluations with three task types."""
    folder.mkdir(parents=True)
    settings = {"learning_rate": 1e-5 * (1 + number), "seed": number, "pretrain": "llama"}
    (folder / "run.json").write_text(json.dumps({"id": folder.name, "config": settings}))
    status = {"state": "finished", "step": steps, "total_steps": steps, "reason": "", "updated": time.time()}
    (folder / "status.json").write_text(json.dumps(status))
    noise = np.random.default_rng(number)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for first in range(1, steps + 1, EVERY):
            step = np.arange(first, min(first + EVERY, steps + 1))
            level = 1.2 + 0.05 * number + 8 / np.sqrt(step + 10)
            loss, norm = level + noise.normal(0, 0.15, len(step)), noise.gamma(4, 0.2, len(step))
            rate = 1e-5 * (1 + np.cos(math.pi * step / steps))
            speed = noise.normal(5_000, 100, len(step))
            rows = zip(step, loss, rate, step / 3e5, norm, step * 4_096, speed, step * 0.82)
            file.write("".join([LINE % row for row in rows]))
            scores = {
                task: float(level[-1] * share) for task, share in (("code", 0.9), ("math", 1.1), ("chat", 1))
            }
            line = {"step": int(step[-1]), "epoch": step[-1] / 3e5, "eval_loss": float(level[-1])}
            file.write(json.dumps(line | {"eval_loss_by_task": scores}) + "\n")


def runs_in(folder: Path) -> list[Path]:
    """The runs' folders, made where they are missing."""
    folders = [folder / f"run-{number:02}" for number in range(RUNS)]
    for number, path in enumerate(folders):
        if not (path / "status.json").exists():
            print(f"writing {path}", flush=True)
        if not (path / "metrics.jsonl").exists():
            write_run(path, number)
    return folders


def in_kernel(folders: list[Path]) -> dict[str, list[float]]:
    """Milliseconds in the kernel, wall and of its own CPU; bytes sent. The caches are there already."""
    from sftkit.runs import load_run
    from sftkit.widgets.loss_curves import LossCurves

    runs = [load_run(folder) for folder in folders]
    for run in runs:
        run._points.read()
    figures: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        figures.setdefault(name, []).append(1000 * (time.perf_counter() - wall))
        figures.setdefault(f"{name}, CPU", []).append(1000 * (time.process_time() - cpu))
        return result

    for _ in range(5):
        curves = timed("cached view", lambda: LossCurves(runs, live=False))
    sent: list[int] = []
    curves.chart.send = lambda content, buffers=(): sent.append(
        len(json.dumps(content)) + sum(map(len, buffers))
    )
    page = curves.chart._handle_custom_msg
    page({"kind": "hello"}, [])
    for span in ([2e5, 8e5], [3e5, 4e5], [3.2e5, 3.3e5], [3e5, 4e5], []):
        page({"kind": "painted"}, [])
        timed("zoom", lambda span=span: setattr(curves.chart, "span", span))
    sent.clear()
    for name, growing in (("update, one run", folders[:1]), ("update, all runs", folders)):
        for _ in range(20):
            page({"kind": "painted"}, [])
            for folder in growing:
                with (folder / "metrics.jsonl").open("a") as file:
                    file.write(LINE % (STEPS + len(sent) + 1, 1.5, 0, 3.3, 0.7, 0, 5_000, 8e5))
            timed(name, lambda: curves.show(curves.read()))
            figures.setdefault(f"{name}, bytes", []).append(sent[-1])
    return figures


def first_look(folders: list[Path]) -> float:
    """Milliseconds until the lines are there from samples, when no file was read before."""
    from sftkit.runs import load_run
    from sftkit.widgets.loss_curves import LossCurves

    for folder in folders:
        shutil.rmtree(folder / ".points", ignore_errors=True)
    began = time.perf_counter()
    LossCurves([load_run(folder) for folder in folders], live=False)
    return 1000 * (time.perf_counter() - began)


def in_browser(folder: Path) -> dict[str, Any]:
    """What tests/browser/test_many_curves.py measures of these runs, in a real JupyterLab."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        environment = {**os.environ, "SFTKIT_CURVES": str(folder), "SFTKIT_CURVES_RESULT": result.name}
        test = Path(__file__).parents[1] / "browser/test_many_curves.py"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "--timeout=1200", str(test)], env=environment, check=True)  # fmt: skip
        return json.loads(result.read())


def plotly_figures() -> tuple[float, float]:
    """For comparison: milliseconds and bytes of an update of a plotly FigureWidget with as many points."""
    from plotly.graph_objects import FigureWidget, Scatter

    x, lines = np.arange(400.0), 3 * RUNS
    figure = FigureWidget([Scatter(x=x, y=x) for _ in range(lines)])
    times = []
    for number in range(10):
        began = time.perf_counter()
        with figure.batch_update():
            for trace in figure.data:
                trace.update({"x": x, "y": x + number}, overwrite=True)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), 2 * lines * x.nbytes


def table(kernel: dict[str, list[float]], first: float, browser: dict[str, Any]) -> str:
    """The figures as Markdown."""

    def of(values: Any) -> str:
        many = values if isinstance(values, list) else [values]
        return f"{statistics.median(many):,.0f} ({min(many):,.0f} to {max(many):,.0f})"

    milliseconds, size = plotly_figures()
    rows = [
        ("view of files never read, lines from samples, in the kernel, ms", of(first), "1,500"),
        ("the same, from the cell's start until painted, ms", of(browser["first view painted"]), "1,500"),
        ("until all 4.7 GB are read and drawn, ms", of(browser["all read after"]), ""),
        ("zoom until painted while they are read, ms", of(browser.get("zoom while reading", [0])), ""),
        ("view with the caches there, in the kernel, ms", of(kernel["cached view"]), "1,500"),
        ("the same, of its CPU time", of(kernel["cached view, CPU"]), ""),
        ("the same, from the cell's start until painted, ms", of(browser["cached view painted"]), "1,500"),
        ("zoom, in the kernel, ms", of(kernel["zoom"]), "150"),
        ("zoom until painted, ms", of(browser["zoom painted"]), "150"),
        ("update, one run has a new step: kernel, CPU ms", of(kernel["update, one run, CPU"]), "10"),
        ("update, all 20 have a new step: kernel, CPU ms", of(kernel["update, all runs, CPU"]), "10"),
        ("the same, bytes sent", of(kernel["update, all runs, bytes"]), "50,000"),
        ("plotly FigureWidget, 400 points a line, update: kernel, ms", f"{milliseconds:,.0f}", "10"),
        ("the same, bytes sent", f"{size:,}", "50,000"),
    ]
    load = os.getloadavg()[1]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores (load {load:.1f} meanwhile), no graphics card; {RUNS} runs of "
        f"{STEPS:,} steps; medians (least to most)",
        "",
        "| | measured | wished |",
        "|---|---|---|",
        *(f"| {name} | {value} | {wished} |" for name, value, wished in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder of the runs, made where they are missing")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="sftkit-curves-"))
    try:
        folders = runs_in(folder)
        import_module("sftkit.widgets.loss_curves")  # loaded, as after an earlier cell
        first = first_look(folders)
        browser = in_browser(folder)
        kernel = in_kernel(folders)
        text = table(kernel, first, browser)
        print(text)
        (Path(__file__).parent / "results_curves.md").write_text(text, encoding="utf-8")
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
