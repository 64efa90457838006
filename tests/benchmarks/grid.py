"""The comparison grid with 10,000 prompts x 4 answers of 2,000 characters: how soon it is seen, how it scrolls.

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
from pathlib import Path
from typing import Any

ROWS = 10_000
HERE = Path(__file__).parent


def in_browser() -> dict[str, Any]:
    """What tests/browser/test_grid_page.py measures, in a real JupyterLab."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        environment = {**os.environ, "SFTKIT_GRID_ROWS": str(ROWS), "SFTKIT_GRID_RESULT": result.name}
        test = HERE.parent / "browser/test_grid_page.py"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "--timeout=600", str(test)], env=environment, check=True)  # fmt: skip
        return json.loads(result.read())


def table(measured: dict[str, Any]) -> str:
    """The figures as Markdown."""

    def frames(times: list[float]) -> str:
        ordered = sorted(times)
        return f"{statistics.median(times):.0f} / {ordered[int(0.95 * len(times))]:.0f} / {ordered[-1]:.0f}"

    wheel, drag = measured["wheel"], measured["drag"]
    rows = [
        ("from the cell's start until open row and list are painted, s", f"{measured['open']:.2f}", "2"),
        ("of it in the kernel: its CPU time, s", f"{measured['cpu']:.2f}", ""),
        (
            "sent until then, the widget's own code and labels included, kB",
            f"{measured['sent'] / 1000:.0f}",
            "",
        ),
        ("sent for the first answer with code and math, once, kB", f"{measured['parts'] / 1000:.0f}", ""),
        (f"wheel, 40 px a frame, {wheel['rows']:,} rows looked at: bare places", str(wheel["bare"]), "0"),
        ("the same: rows without their text", str(wheel["coming"]), "0"),
        ("the same: ms a frame, median / 95 % / longest", frames(wheel["frames"]), ""),
        (
            f"bar dragged, {ROWS // 100} rows a frame, {drag['rows']:,} rows looked at: bare places",
            str(drag["bare"]),
            "0",
        ),
        ("the same: rows without their text", str(drag["coming"]), ""),
        ("the same: ms a frame, median / 95 % / longest", frames(drag["frames"]), ""),
        ("texts there after the drag has ended, s", f"{measured['after']:.2f}", ""),
        (
            f"{len(measured['votes'])} rankings, last key until the next row is open: ms, median / 95 % / longest",
            frames(measured["votes"]),
            "60 / 100",
        ),
    ]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores (load {os.getloadavg()[1]:.1f} meanwhile), no graphics card; {ROWS:,} prompts "
        "x 4 answers of 2,000 characters, JupyterLab in Chromium",
        "",
        "| | measured | wished |",
        "|---|---|---|",
        *(f"| {name} | {value} | {wished} |" for name, value, wished in rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    text = table(in_browser())
    print(text)
    (HERE / "results_grid.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
