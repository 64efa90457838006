"""Copies of a run, its deletion, and the table of many. Folders written by hand, or runs of the FAKE worker."""

from __future__ import annotations

import json
import os
import time

import pytest

from sftkit.errors import ConfigError, RunError
from sftkit.runs import deletion, hardware, list_runs, load_run, process
from sftkit.runs import folder as disk


def written(folder, state="finished", record=None, **settings):
    """A run folder as a worker leaves it."""
    folder.mkdir(parents=True)
    config = {"pretrain": "m", "dataset": "d.jsonl"} | settings
    told = {
        "id": folder.name,
        "config": config,
        "cwd": str(folder.parents[1]),
        "created": "2026-11-01T10:00:00+00:00",
    }
    disk.write_json(folder / disk.RUN, told | (record or {}))
    disk.write_status(folder, state, step=2, total=5)
    for step in (1, 2):
        (folder / "checkpoints" / f"step-{step}").mkdir(parents=True)
        (folder / "checkpoints" / f"step-{step}" / "weights").write_bytes(b"x" * 1000)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"y" * 5000)
    return load_run(folder)


# copies


def test_a_copy_with_changes(fake_launch):
    run = fake_launch()
    run.wait(20)
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    other = run.duplicate(learning_rate=3e-4, seed=7)
    assert other.wait(20).state == "finished"
    assert other.id != run.id and other.folder.parent == run.folder.parent
    assert other.config == run.config.with_(learning_rate=3e-4, seed=7)
    assert other.record["copied_from"] == run.id
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    with pytest.raises(ConfigError, match="learning_rat"):
        run.duplicate(learning_rat=1e-5)


def test_a_copy_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = written(tmp_path / "runs" / "r", save_path="out/model", ckpt_path="out/steps", load_checkpoint=True)
    (tmp_path / "out" / "model-2").mkdir(parents=True)
    copy = run.settings_for_copy()
    assert (copy.save_path, copy.ckpt_path, copy.load_checkpoint) == ("out/model-3", "out/steps-2", False)
    assert copy.with_(save_path="out/model", ckpt_path="out/steps", load_checkpoint=True) == run.config
    chosen = run.settings_for_copy(save_path="elsewhere", ckpt_path="out/steps", load_checkpoint=True)
    assert (chosen.save_path, chosen.ckpt_path, chosen.load_checkpoint) == ("elsewhere", "out/steps", True)


def test_two_copies_before_either_has_saved_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = written(tmp_path / "runs" / "r", save_path="out/model")
    first = run.settings_for_copy()
    written(tmp_path / "runs" / "copy", save_path=first.save_path)
    assert run.settings_for_copy().save_path not in (first.save_path, "out/model")


def test_a_copy_made_elsewhere_means_the_same_files(tmp_path, monkeypatch):
    home, away = tmp_path / "home", tmp_path / "away"
    for path in (home, away):
        path.mkdir()
    (home / "m").mkdir()
    (home / "a.jsonl").write_text("{}\n")
    run = written(home / "runs" / "r", pretrain="m", dataset="a.jsonl, owner/on-the-hub", save_path="out")
    monkeypatch.chdir(away)
    copy = run.settings_for_copy()
    assert copy.pretrain == str(home / "m")
    assert copy.sources == [str(home / "a.jsonl"), "owner/on-the-hub"]
    assert copy.save_path == str(home / "out-2")
    monkeypatch.chdir(home)
    assert run.settings_for_copy().pretrain == "m"


# deletion


def test_deleting_asks_twice_and_says_what_goes(tmp_path):
    run = written(tmp_path / "runs" / "r")
    for wrong in ("", "another"):
        with pytest.raises(RunError, match=r"kB, with 2 checkpoints and its model.*confirm='r'") as asked:
            run.delete(wrong)
        assert ("'another' is not the id" in str(asked.value)) == bool(wrong)
        assert run.status.state == "finished"
    size = disk.size_of(run.folder)
    done = run.delete(confirm="r")
    assert (done.id, done.bytes, done.kept) == ("r", size, ())
    assert str(done).startswith(f"The run r was deleted: {disk.size_words(size)} freed")
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_model_can_stay_where_it_is(tmp_path):
    run = written(tmp_path / "runs" / "r")
    model = run.model_path
    done = run.delete(confirm="r", keep_model=True)
    assert done.kept == (model,) and done.bytes < disk.size_of(tmp_path)
    assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["r"]
    assert list_runs(tmp_path / "runs").empty


def test_a_living_run_is_not_deleted(fake_launch):
    run = fake_launch(steps=2000)
    with pytest.raises(RunError, match=r"stop\(\) or kill\(\)"):
        run.delete(confirm=run.id)
    assert run.status.state in ("starting", "running")
    run.kill()
    run.delete(confirm=run.id)
    assert not run.folder.exists()


def test_a_run_whose_machine_died_can_be_deleted(tmp_path):
    me = process.identity(os.getpid())
    died = me | {"pid_mark": "another-boot:1"}
    run = written(tmp_path / "runs" / "r", "running", died)
    assert run.can == {"delete", "duplicate", "resume"}
    run.delete(confirm="r")
    assert not run.folder.exists()


def test_an_interrupted_deletion_never_looks_like_a_run(tmp_path, monkeypatch):
    """What is left of a run is invisible, and the next deletion clears it away."""
    first, second = written(tmp_path / "runs" / "a"), written(tmp_path / "runs" / "b")
    monkeypatch.setattr(deletion.shutil, "rmtree", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.delete(confirm="a")
    assert list_runs(tmp_path / "runs")["id"].tolist() == ["b"]
    assert not first.folder.exists()
    monkeypatch.undo()
    second.delete(confirm="b")
    assert list((tmp_path / "runs").iterdir()) == []


def _interrupted(path, **_):
    os.unlink(path / "status.json")
    raise KeyboardInterrupt


def test_links_are_not_followed(tmp_path):
    run = written(tmp_path / "runs" / "r")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"z" * 100_000)
    (run.folder / "link").symlink_to(tmp_path / "precious")
    (run.folder / "checkpoints" / "step-9").symlink_to(tmp_path / "precious")
    assert run.delete(confirm="r").bytes < 50_000
    assert (tmp_path / "precious" / "file").exists()
    far = written(tmp_path / "elsewhere" / "r2")
    (tmp_path / "runs" / "r2").symlink_to(far.folder)
    with pytest.raises(RunError, match="is a link"):
        load_run(tmp_path / "runs" / "r2").delete(confirm="r2")
    assert far.status.state == "finished"


def elsewhere(tmp_path):
    """A model and checkpoints outside the run's folder."""
    run = written(tmp_path / "runs" / "r", save_path="out/model", ckpt_path="out/steps")
    for name in ("out/model", "out/steps/step-3"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}" * 500)
    (tmp_path / "out/steps/notes.txt").write_text("mine")
    return run


def test_what_lies_outside_stays_unless_asked_for(tmp_path):
    run = elsewhere(tmp_path)
    with pytest.raises(RunError, match="elsewhere stays"):
        run.delete()
    done = run.delete(confirm="r")
    assert done.kept == (tmp_path / "out/model", tmp_path / "out/steps")
    assert (tmp_path / "out/model/config.json").exists() and (tmp_path / "out/steps/step-3").exists()


def test_what_lies_outside_goes_when_asked_for_but_nothing_of_others(tmp_path):
    run = elsewhere(tmp_path)
    with pytest.raises(RunError, match="elsewhere goes too"):
        run.delete(outside=True)
    size = disk.size_of(run.folder)
    done = run.delete(confirm="r", outside=True)
    assert done.bytes == size + 2000
    assert not (tmp_path / "out/model").exists() and not (tmp_path / "out/steps/step-3").exists()
    assert done.kept == (tmp_path / "out/steps",)  # a file that is none of ours is in it
    assert (tmp_path / "out/steps/notes.txt").exists()


def test_a_place_that_another_run_names_stays(tmp_path):
    run = elsewhere(tmp_path)
    written(tmp_path / "runs" / "on top", pretrain="out/model", ckpt_path="out/steps")
    done = run.delete(confirm="r", outside=True)
    assert set(done.kept) == {tmp_path / "out/model", tmp_path / "out/steps"}
    assert (tmp_path / "out/model").exists() and (tmp_path / "out/steps/step-3").exists()


def test_nobody_resumes_what_is_being_deleted(tmp_path, monkeypatch):
    run = written(tmp_path / "runs" / "r", "stopped")
    refused = []

    def remove(folder, keep_model):
        with pytest.raises(RunError, match="supervisor already"):
            run.resume()
        refused.append(folder)
        return 0

    monkeypatch.setattr(deletion, "_remove", remove)
    run.delete(confirm="r")
    assert refused == [run.folder] and run.status.state == "stopped"


# the table


def test_the_table_tells_losses_checkpoints_and_why(tmp_path):
    evaluated = written(
        tmp_path / "runs" / "a", eval_dataset="e.jsonl", record={"created": "2026-11-02T10:00:00+00:00"}
    )
    lines = [{"step": step, "loss": 1 / step, "text": '"loss": "hostile"'} for step in range(1, 3000)]
    lines.insert(
        1000, {"step": 1000, "eval_loss": 0.75, "eval_loss_by_task": {"loss": 9.0, "eval_loss": 8.0}}
    )
    (evaluated.folder / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3000, "lo'
    )
    failed = written(tmp_path / "runs" / "b", "failed")
    disk.write_status(
        failed.folder, "failed", "rank 1: OutOfMemoryError: CUDA out of memory. Tried to allocate 260.00 MiB."
    )
    table = list_runs(tmp_path / "runs").set_index("id")
    assert table.loc["a", ["loss", "eval_loss", "checkpoints", "why"]].tolist() == [1 / 2999, 0.75, 2, ""]
    assert table.loc["b", "why"] == "The GPU ran out of memory" and "rank 1" in table.loc["b", "reason"]
    assert table.loc["b", "loss"] != table.loc["b", "loss"]
    assert table.index.tolist() == ["a", "b"]  # newest first


DAMAGE = {
    "no settings": ("run.json", b'{"config": null}'),
    "settings of the wrong kind": ("run.json", b'{"config": {"pretrain": 7, "ckpt_path": ["x"]}, "created": 5, "cwd": 3}'),
    "a name that no system knows": ("run.json", b'{"config": {"ckpt_path": "\\u0000"}, "pid": 1e308, "pid_mark": []}'),
    "half a record": ("run.json", b'{"config": {"pretr'),
    "not text": ("run.json", b"\xff\x00\xfe"),
    "status of the wrong kind": ("status.json", b'{"state": ["x"], "step": "7", "reason": {"a": 1}}'),
    "metrics are noise": ("metrics.jsonl", b'\x00"loss": \xff\n{"loss": "x"}\n{"loss":\n'),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_bad_folder_hides_no_other(tmp_path, damage):
    written(tmp_path / "runs" / "good")
    bad = written(tmp_path / "runs" / "bad")
    name, content = DAMAGE[damage]
    (bad.folder / name).write_bytes(content)
    (tmp_path / "runs" / "folder" / "run.json").mkdir(parents=True)
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs" / "loop")
    table = list_runs(tmp_path / "runs")
    assert sorted(table["id"]) == ["bad", "good"]
    assert table.set_index("id").loc["good", "state"] == "finished"
    assert bad.can <= {"stop", "kill", "resume", "duplicate", "delete"} and bad.usage().processes == 0
    assert bad._repr_html_() and not bad.is_alive


def test_two_hundred_runs_in_half_a_second(tmp_path):
    """Each with 5,000 steps of metrics, three checkpoints and a model."""
    text = "".join(
        json.dumps(
            {"step": step, "loss": 1.0, "learning_rate": 1e-5, "grad_norm": 0.5, "tokens": step * 4096}
        )
        + "\n"
        for step in range(5000)
    )
    for number in range(200):
        run = written(tmp_path / "runs" / f"r{number:03d}", eval_dataset="e.jsonl")
        (run.folder / "metrics.jsonl").write_text('{"step": 1, "eval_loss": 0.5}\n' + text)
    list_runs(tmp_path / "runs")
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        table = list_runs(tmp_path / "runs")
        took.append(time.perf_counter() - begin)
    assert len(table) == 200 and set(table["eval_loss"]) == {0.5}
    assert min(took) < 0.5, took


# use


def test_what_a_run_takes(fake_launch):
    run = fake_launch(steps=2000, num_processes=2)
    while run.status.state != "running":
        time.sleep(0.02)
    first = run.usage()
    assert (first.processes, first.cpu, first.gpu_memory_mb) == (3, None, None)
    assert first.memory_mb > 10
    time.sleep(0.2)
    assert 0 <= run.usage().cpu < 1000
    run.kill()
    assert run.usage() == hardware.RunUse(0, run.usage().cpu, 0.0, None)
