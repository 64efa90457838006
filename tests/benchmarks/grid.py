"""The comparison grid: how soon it is seen, what is sent for it, how it scrolls and takes votes. With 10,000 prompts x 4
answers of 2,000 characters, and with 2,000 x 3 of 1,500, as the sketch had that it began as.

python tests/benchmarks/grid.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SHAPES = ((10_000, 4, 2_000), (2_000, 3, 1_500))
HERE = Path(__file__).parent


def in_browser(shape: tuple[int, int, int]) -> dict[str, Any]:
    """What tests/browser/test_grid_page.py measures, in a real JupyterLab."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        environment = {
            **os.environ,
            "SFTKIT_GRID_SHAPE": "x".join(map(str, shape)),
            "SFTKIT_GRID_RESULT": result.name,
        }
        test = HERE.parent / "browser/test_grid_page.py"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "--timeout=600", str(test)], env=environment, check=True)  # fmt: skip
        return json.loads(result.read())


def table(measured: Sequence[dict[str, Any]]) -> str:
    """The figures as Markdown, a column a shape."""
    sizes = [f"{rows:,} x {sides} of {length:,} characters" for rows, sides, length in SHAPES]
    columns = [dict(lines(one)) for one in measured]
    wished = {NAMES[0]: "2", NAMES[2]: "138", NAMES[-1]: "60 / 100"}
    rows = [
        f"| {name} | {' | '.join(each[name] for each in columns)} | {wished.get(name, '')} |"
        for name in columns[0]
    ]
    head = [f"| | {' | '.join(sizes)} | wished |", f"|---|{'---|' * len(sizes)}---|"]
    where = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores (load {os.getloadavg()[1]:.1f} meanwhile), no graphics card; JupyterLab in Chromium"
    return "\n".join([where, "", *head, *rows]) + "\n"


NAMES = (
    "from the cell's start until open row and list are painted, s",
    "of it in the kernel: its CPU time, s",
    "sent until all is there, the widget's own code, styles and labels included, kB",
    "sent for the first answer with code and math, once, kB",
    "wheel, 40 px a frame: rows looked at / bare places / rows without their text",
    "the same: ms a frame, median / 95 % / longest",
    "bar dragged, a hundredth of the rows a frame: rows looked at / bare places / rows without their text",
    "the same, dragged: ms a frame, median / 95 % / longest",
    "texts there after the drag has ended, s",
    "rankings, last key until the next row is open and the vote on disk: ms, median / 95 % / longest",
)


def lines(measured: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each figure by its name."""

    def spread(times: list[float]) -> str:
        ordered = sorted(times)
        return f"{statistics.median(times):.0f} / {ordered[int(0.95 * len(times))]:.0f} / {ordered[-1]:.0f}"

    def seen(scroll: dict[str, Any]) -> str:
        return f"{scroll['rows']:,} / {scroll['bare']} / {scroll['coming']}"

    wheel, drag = measured["wheel"], measured["drag"]
    values = [f"{measured['open']:.2f}", f"{measured['cpu']:.2f}"]
    values += [f"{measured[name] / 1000:.0f}" for name in ("sent", "parts")]
    values += [seen(wheel), spread(wheel["frames"]), seen(drag), spread(drag["frames"])]
    values += [f"{measured['after']:.2f}", spread(measured["votes"])]
    return zip(NAMES, values)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    text = table([in_browser(shape) for shape in SHAPES])
    print(text)
    (HERE / "results_grid.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
