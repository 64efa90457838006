"""A lesson run as it stands, for tests of what its cells show and of the runs that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from nbformat import NotebookNode

from sftkit.runs import Run, load_run

_spec = spec_from_file_location("execute_lessons", Path(__file__).with_name("execute.py"))
lessons = module_from_spec(_spec)
_spec.loader.exec_module(lessons)

SECRET = "sk-of-nobody-0123456789abcdef"


@pytest.fixture
def taught(tmp_path, monkeypatch) -> Iterator[Callable[[str], tuple[str, list[Run]]]]:
    """`taught(name)`: what the lesson's cells show, and the runs it has made, the oldest first. No cell may tell the key."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    folder = lessons.copy_lessons(tmp_path / "project", {})

    def found() -> list[Run]:
        return [load_run(path.parent) for path in sorted(folder.glob("runs/**/run.json"))]

    def learn(name: str) -> tuple[str, list[Run]]:
        done = lessons.clean(lessons.execute(folder / "notebooks" / f"{name}.ipynb"), folder)
        assert str(tmp_path) not in str(done) and SECRET not in str(done)
        return "\n".join(shown(cell) for cell in done.cells), found()

    yield learn
    for run in found():
        run.kill()


def shown(cell: NotebookNode) -> str:
    """What a cell shows as text, and [png] for each picture."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts += [output.get("text", ""), data.get("text/plain", ""), "[png]" * ("image/png" in data)]
    return "\n".join(texts)
