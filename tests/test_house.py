"""The floor plan, checked: arrows between rooms go one way, and no word or path slips in that does not belong."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sftkit"

# Each room and those it may lean on, besides the ground floor (errors, config, command).
GROUND = {"errors", "config", "command", "complaints", "conflicts", "pictures", "wording"}
LEANS_ON = {
    "data": set(),
    "training": {"data", "runs"},
    "runs": {"data"},
    "generation": {"data", "runs"},
    "ratings": {"generation", "runs"},
    "judging": {"ratings", "generation", "runs"},
    "report": {"ratings", "generation", "runs"},
    "widgets": {"report", "judging", "ratings", "generation", "runs", "data"},
}
TORCH_MAY_BE_IN = ("training", "generation/worker.py")
HEAVY = {"torch", "transformers", "deepspeed", "accelerate", "peft"}


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("room", LEANS_ON)
def test_arrows_go_one_way(room):
    allowed = LEANS_ON[room] | GROUND | {room, "__version__"}
    for path in (PACKAGE / room).rglob("*.py"):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("sftkit.")}
        assert not rooms - allowed, f"{path.relative_to(ROOT)} leans on {sorted(rooms - allowed)}"


def test_torch_stays_in_the_workers():
    for path in modules():
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(TORCH_MAY_BE_IN):
            heavy = {name.split(".")[0] for name in imports(path)} & HEAVY
            assert not heavy, f"sftkit/{place} imports {sorted(heavy)}"


def test_nothing_imports_the_workers():
    for path in modules():
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith("training/"):
            assert not [name for name in imports(path) if name.startswith("sftkit.training")], place
        if place != "generation/worker.py":
            assert not [name for name in imports(path) if name.startswith("sftkit.generation.worker")], place


def test_sizes_and_names():
    for path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path} is over 400 lines"
        assert path.stem not in {"utils", "helpers", "common", "base", "manager"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 60, f"{path}: {node.name} has {lines} lines"


def test_no_machine_path_is_in_the_tree():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    kinds = {".py", ".md", ".toml", ".ts", ".txt", ".ipynb", ".json", ".css", ""}
    for name in files:
        path = ROOT / name
        if path.suffix in kinds and "tests/" not in name and path.is_file() and path.stat().st_size < 400_000:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(work|tmp|root|opt|home)/\w", text), f"a machine path in {name}"
