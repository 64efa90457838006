"""Run a lesson from top to bottom, and make it what git should hold: results as text and small pictures, no widget state.

python tests/notebooks/execute.py notebooks/01_first_run.ipynb      # run it where it stands, and write it back
"""

from __future__ import annotations

import shutil
import sys
from itertools import islice
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
WIDGET, PLOTLY = "application/vnd.jupyter.widget-view+json", "application/vnd.plotly.v1+json"
LONGEST = 300  # characters of a widget's text that are worth keeping


def copy_lessons(folder: Path, rows: dict[str, int]) -> Path:
    """Notebooks and data of the project in `folder`, data files cut to their first `rows`: soon done."""
    leave = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    for name, count in rows.items():
        with (ROOT / "data" / name).open(encoding="utf-8") as file:
            (folder / "data" / name).write_text("".join(islice(file, count)), encoding="utf-8")
    return folder


def execute(path: Path, seconds: int = 900) -> NotebookNode:
    """The notebook with its outputs. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": str(path.parent)}})
    return client.execute()


def clean(notebook: NotebookNode, root: Path = ROOT) -> NotebookNode:
    """The notebook without widget state, plotly's JSON, timings, and paths of this machine."""
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec", "language_info")}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keep(output)]
            for output in cell.outputs:
                _shorten_paths(output, root)
    return notebook


def _keep(output: NotebookNode) -> bool:
    """Whether an output says anything without a kernel; what does not is taken out of it."""
    if output.output_type == "stream":
        return output.name == "stdout"
    data = output.get("data", {})
    alive = data.pop(WIDGET, None) is not None
    data.pop(PLOTLY, None)
    if alive and "image/png" not in data and _is_noise(data.get("text/plain", "")):
        return False
    output.metadata = {}
    return bool(data) or output.output_type == "error"


def _is_noise(text: str) -> bool:
    """A progress bar, or the parts of a widget."""
    return len(text) > LONGEST or "|" in text or "children=" in text or "/s]" in text


def _shorten_paths(output: NotebookNode, root: Path) -> None:
    def short(text: str) -> str:
        return text.replace(str(root / "notebooks") + "/../", "").replace(str(root) + "/", "")

    if "text" in output:
        output.text = short(output.text)
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = short(value)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        lesson = Path(name).absolute()
        nbformat.write(clean(execute(lesson)), lesson)
        print(f"{name}: {lesson.stat().st_size / 1000:.0f} kB")
