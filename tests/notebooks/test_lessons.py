"""The lessons: what git holds of them is clean, and each runs from top to bottom without a hand on the page."""

from __future__ import annotations

import copy
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import nbformat
import pytest

from sftkit.ratings import RatingStore
from sftkit.runs import load_run

_spec = spec_from_file_location("execute_lessons", Path(__file__).with_name("execute.py"))
lessons = module_from_spec(_spec)
_spec.loader.exec_module(lessons)

FOLDER = lessons.ROOT / "notebooks"
ALL = sorted(FOLDER.glob("*.ipynb"))
BYTES = 200_000


def test_there_are_lessons():
    numbers = {path.stem.split(".")[0][:2] for path in ALL}
    assert numbers == {f"{number:02}" for number in range(10)}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_what_git_holds_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run in order, once"
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert any(cell.outputs for cell in cells), "a lesson shows its results"
    assert lessons.clean(copy.deepcopy(notebook)) == notebook, (
        "python tests/notebooks/execute.py notebooks/*.ipynb"
    )
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < BYTES
    for stranger in ("vnd.plotly", "widget-view", "widget-state", "Plotly.newPlot"):
        assert stranger not in text


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_cells_are_small(path):
    notebook = nbformat.read(path, as_version=4)
    assert max(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code") <= 15


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["01_first_run", "01_first_run.zh-CN"])
def test_lesson_01_runs_without_a_click(name, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = lessons.copy_lessons(tmp_path / "project", {"train.jsonl": 320, "eval.jsonl": 12})
    try:
        done = lessons.clean(lessons.execute(folder / f"notebooks/{name}.ipynb"), folder)
    finally:
        runs = [load_run(path.parent) for path in (folder / "runs").glob("*/run.json")]
        for run in runs:
            run.kill()
    assert [run.status.state for run in runs] == ["finished"]
    assert len(RatingStore(f"sqlite:///{runs[0].folder / 'ratings.db'}").frame()) == 12  # the offline judge's
    pictures = [
        output
        for cell in done.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures, "the frozen curve"
    nbformat.write(done, folder / "done.ipynb")
    text = (folder / "done.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < BYTES and str(folder) not in text


def test_lesson_02_runs_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (spare := tmp_path / "spare").mkdir()
    monkeypatch.setenv("TMPDIR", str(spare))
    folder = lessons.copy_lessons(tmp_path / "project", {})
    before = contents(folder)
    done = lessons.clean(lessons.execute(folder / "notebooks/02_look_at_your_data.ipynb"), folder)
    assert contents(folder) == before, "a lesson works on copies"
    assert not list(spare.glob("sftkit-*")), "and takes them away"
    told = "\n".join(
        "".join(output.get("text", "")) for cell in done.cells for output in cell.get("outputs", [])
    )
    assert "1,505 rows are trained" in told  # 1,514 without two empty answers and seven rows twice
    assert "1 exactly, 2 nearly, 1 with another answer" in told
    assert str(tmp_path) not in nbformat.writes(done)
    assert any(
        "image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", [])
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
