"""Lesson 01 and `sftkit demo` are the same job: the lesson spells the settings out, and they must not drift apart."""

from __future__ import annotations

from pathlib import Path

import nbformat

import sftkit as sk
from sftkit.demo import MAX_NEW_TOKENS, demo_config

ROOT = Path(__file__).parents[2]


def test_lesson_01_has_the_settings_of_the_demo():
    notebook = nbformat.read(ROOT / "notebooks/01_first_run.ipynb", as_version=4)
    (cell,) = (cell.source for cell in notebook.cells if cell.source.startswith("config = sk.SFTConfig("))
    room = {"sk": sk}
    exec(cell, room)
    expected = demo_config(ROOT / "data").to_dict()
    lesson = room["config"].to_dict()
    paths = {name: Path(lesson[name]).name for name in ("pretrain", "dataset", "eval_dataset")}
    assert paths == {name: Path(expected[name]).name for name in paths}
    assert {**lesson, **paths} == {**expected, **paths}
    assert any(f"max_new_tokens={MAX_NEW_TOKENS}" in cell.source for cell in notebook.cells)
