"""The columns of metrics.jsonl: what is read, what is kept, and when it is not believed any more."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import zlib

import numpy as np
import pytest

from sftkit.runs import points as module
from sftkit.runs.points import Points, nested


@pytest.fixture(params=["in memory", "in the run's folder", "in the user's cache"])
def kept(request, monkeypatch, tmp_path):
    """Where the columns lie: each test holds for all three."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    if request.param != "in memory":
        monkeypatch.setattr(module, "SMALL", 0)
    if request.param == "in the user's cache":
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / ".points").write_text("no folder can be made here")
    return request.param


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir(exist_ok=True)
    return tmp_path / "run"


@pytest.fixture
def cached(monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)


def line(step, **more):
    return json.dumps({"step": step, "loss": 1 / step, "tokens": 100 * step, **more}) + "\n"


def log(folder, text, mode="a"):
    with (folder / "metrics.jsonl").open(mode, encoding="utf-8") as file:
        file.write(text)


def replace(folder, text):
    (folder / "new").write_text(text)
    os.replace(folder / "new", folder / "metrics.jsonl")


def steps(points):
    return points.steps.column("step").tolist()


def test_both_kinds_of_lines(folder, kept):
    log(
        folder,
        line(1) + line(2) + '{"step": 2, "eval_loss": 3.5, "eval_loss_by_task": {"a/b.c": 3, "": 4}}\n',
    )
    points = Points(folder)
    assert points.read() is False and points.progress == 1
    assert steps(points) == [1, 2] and points.steps.column("loss").tolist() == [1, 0.5]
    assert points.evals.column("step").tolist() == [2] and points.evals.column("eval_loss").tolist() == [3.5]
    assert points.evals.column(nested("eval_loss_by_task", "a/b.c")).tolist() == [3]
    frame = points.frame()
    assert frame["step"].tolist() == [1, 2, 2] and frame["step"].dtype == np.int64
    assert frame["eval_loss_by_task"].iloc[2] == {"a/b.c": 3, "": 4} and frame["loss"].isna().tolist() == [
        False,
        False,
        True,
    ]
    places = {"in memory": None, "in the run's folder": folder / ".points"}
    place = places.get(kept, next((folder.parent / "home").glob("sftkit/points/*"), None))
    assert (place is None) == (kept == "in memory") and (place is None or (place / "mark.1").is_file())


def test_a_line_with_both_and_lines_with_neither(folder, kept):
    log(folder, '{"step": 1, "loss": 2, "eval_loss": 3}\n{"step": 2}\n{"words": "x", "step": 3}\n')
    points = Points(folder)
    points.read()
    assert points.frame()["step"].tolist() == [1, 2, 3]
    assert points.frame()[["loss", "eval_loss"]].iloc[0].tolist() == [2, 3]


def test_a_cut_line_waits_and_then_counts(folder, kept):
    points = Points(folder)
    log(folder, line(1) + line(2)[:9])
    points.read()
    assert steps(points) == [1]
    version = points.version
    points.read()
    assert points.version == version
    log(folder, line(2)[9:] + line(3))
    points.read()
    assert steps(points) == [1, 2, 3] and points.version != version


def test_lines_that_are_no_objects_are_passed_over(folder, kept):
    log(
        folder,
        line(1)
        + '{"step": 2, "lo{"step": 3}\n[1]\n\nnull\n'
        + line(4, loss="high", tokens=10**400)
        + line(5),
    )
    points = Points(folder)
    points.read()
    assert steps(points) == [1, 4, 5] and np.isnan(points.steps.column("loss")[1])


def test_columns_may_come_late(folder, kept):
    points = Points(folder)
    log(folder, line(1))
    points.read()
    log(folder, line(2, grad_norm=7))
    points.read()
    assert np.array_equal(points.steps.column("grad_norm"), [np.nan, 7], equal_nan=True)
    assert np.isnan(points.steps.column("nowhere")).tolist() == [True, True]


@pytest.mark.parametrize("after", [[1], [1, 2, 9], list(range(1, 40))])
def test_a_resumed_run_replaces_its_file(folder, kept, after):
    log(folder, "".join(line(step) for step in range(1, 6)))
    points = Points(folder)
    points.read()
    era, held = points.version[0], points.steps.column("loss")
    replace(folder, "".join(line(step, loss=9) for step in after))
    points.read()
    assert steps(points) == after and set(points.steps.column("loss")) == {9} and points.version[0] > era
    assert held.tolist() == [1 / step for step in range(1, 6)]  # what a reader had mapped stays as it was
    again = Points(folder)
    again.read()
    assert steps(again) == after


def test_rewritten_in_place(folder, kept):
    log(folder, line(1) + line(2))
    points = Points(folder)
    points.read()
    log(folder, line(3) + line(4) + line(5), mode="w")
    points.read()
    assert steps(points) == [3, 4, 5]


def test_gone_and_back(folder, kept):
    log(folder, line(1))
    points = Points(folder)
    points.read()
    (folder / "metrics.jsonl").unlink()
    points.read()
    assert steps(points) == [] and points.frame().empty
    log(folder, line(2))
    points.read()
    assert steps(points) == [2]


def test_the_cache_is_used_and_goes_on(folder, cached, monkeypatch):
    log(folder, line(1) + line(2))
    Points(folder).read()
    log(folder, line(3))
    parsed = []
    real = module._columns
    monkeypatch.setattr(module, "_columns", lambda block: parsed.append(block.decode()) or real(block))
    points = Points(folder)
    points.read()
    assert steps(points) == [1, 2, 3] and parsed == [line(3)]
    Points(folder).read()
    assert len(parsed) == 1


@pytest.mark.parametrize("harm", ["marks", "column cut", "column gone", "last value", "format", "junk"])
def test_a_damaged_cache_is_made_anew(folder, cached, harm):
    log(folder, line(1) + line(2))
    Points(folder).read()
    column = next((folder / ".points").glob("*/steps.2"))
    marks = [folder / ".points" / name for name in ("mark.0", "mark.1")]
    if harm == "marks":
        for mark in marks:
            mark.write_text('0000 {"format": ')
    elif harm == "column cut":
        column.write_bytes(column.read_bytes()[:8])
    elif harm == "column gone":
        column.unlink()
    elif harm == "last value":  # a power cut: the mark was on the disk, the values were not
        column.write_bytes(column.read_bytes()[:8] + bytes(8))
    else:
        for mark in marks:
            told = (
                mark.read_text()[9:].replace('"format": "', '"format": "0')
                if harm == "format"
                else '{"saved": 1}'
            )
            mark.write_text(f"{zlib.crc32(told.encode()):08x} {told}")
    points = Points(folder)
    points.read()
    assert points.steps.column("loss").tolist() == [1, 0.5] and steps(points) == [1, 2]


def test_a_mark_that_was_half_written_leaves_the_one_before(folder, cached, monkeypatch):
    points = Points(folder)
    for step in (1, 2, 3):
        log(folder, line(step))
        points.read()
    newest = max((folder / ".points").glob("mark.*"), key=lambda path: path.read_text().split('"saved": ')[1])
    newest.write_bytes(newest.read_bytes()[:50])
    parsed = []
    real = module._columns
    monkeypatch.setattr(module, "_columns", lambda block: parsed.append(block.decode()) or real(block))
    again = Points(folder)
    again.read()
    assert steps(again) == [1, 2, 3] and parsed == [line(3)]


def test_an_append_that_was_cut_off_is_written_over(folder, cached, monkeypatch):
    log(folder, line(1))
    points = Points(folder)
    points.read()
    log(folder, line(2))
    with monkeypatch.context() as patch:
        patch.setattr(module.Cache, "save", lambda *_args, **_more: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Points(folder).read()
    log(folder, line(3))
    again = Points(folder)
    again.read()
    points.read()
    assert steps(again) == steps(points) == [1, 2, 3]


def test_a_full_disk_is_no_fault(folder, cached, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    log(folder, line(1))
    points = Points(folder)
    points.read()
    monkeypatch.setattr(module.Cache, "save", full)
    log(folder, line(2))
    points.read()
    assert steps(points) == [1, 2]
    log(folder, line(3))
    points.read()
    assert steps(points) == [1, 2, 3]


def test_another_run_in_a_copied_folder_is_read_anew(folder, cached):
    log(folder, line(1))
    Points(folder).read()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    log(copy, line(2))
    points = Points(copy)
    points.read()
    assert steps(points) == [1, 2]


def test_large_blocks_by_arrow_equal_those_line_by_line(folder, monkeypatch):
    rng = np.random.default_rng(0)
    text = "".join(
        line(step, grad_norm=rng.random(), extra={"a": step, "b.c": None})
        + (json.dumps({"step": step, "eval_loss": float("nan") if step % 3 else 2}) + "\n") * (step % 5 == 0)
        for step in range(1, 3_000)
    )
    log(folder, text)
    slow, quick = Points(folder), Points(folder)
    slow.read()
    monkeypatch.setattr(module, "QUICK", 0)
    monkeypatch.setattr(module, "_from_rows", None)
    quick.read()
    assert quick.steps.names and set(slow.steps.names) == set(quick.steps.names)
    for name in slow.steps.names:
        assert np.array_equal(slow.steps.column(name), quick.steps.column(name), equal_nan=True), name
    assert np.array_equal(slow.evals.column("eval_loss"), quick.evals.column("eval_loss"), equal_nan=True)


def test_in_pieces_with_a_sample_of_the_rest(folder, cached, monkeypatch):
    for name in ("BLOCK", "LINE"):
        monkeypatch.setattr(module, name, 4_000)
    log(folder, "".join(line(step) for step in range(1, 1_001)))
    points = Points(folder)
    sampled, _ = points.sample(50)
    few = sampled["step"]
    assert few[0] == 1 and few[-1] > 950 and 40 <= len(few) <= 50 and (np.diff(few) > 0).all()
    assert sampled["loss"].tolist() == (1 / few).tolist()
    assert points.read(limit=4_000) is True and 0 < points.progress < 0.2
    read = len(steps(points))
    rest, _ = points.sample(50)
    assert rest["step"][0] == read + 1
    while points.read(limit=4_000):
        pass
    assert steps(points) == list(range(1, 1_001))


def _read_all(folder, results):
    module.SMALL, module.BLOCK = 0, 4_000
    points = Points(folder)
    while points.read(limit=4_000) or len(steps(points)) < 3_000:
        pass
    results.put(points.steps.column("loss").sum())


def test_several_processes_read_at_once_while_it_grows(folder):
    log(folder, "".join(line(step) for step in range(1, 1_001)))
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    readers = [context.Process(target=_read_all, args=(folder, results)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(1_001, 3_001):
        text = line(step)
        log(folder, text[:7])
        log(folder, text[7:])
    sums = [results.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join(10)
    assert sums == pytest.approx([sum(1 / step for step in range(1, 3_001))] * 3)
