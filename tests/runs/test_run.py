"""Run, from launch to end, with the FAKE worker; and what a folder says when nothing lives behind it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from sftkit.config import SFTConfig
from sftkit.errors import LaunchError, RunError, RunNotFound
from sftkit.runs import folder as disk
from sftkit.runs import launch, list_runs, load_run, process
from sftkit.runs.run import METRICS
from sftkit.runs.standing import BROKE_OFF, GONE, RESTARTED


def written(folder, state="running", **record):
    """A run folder as a worker leaves it."""
    folder.mkdir(parents=True)
    config = {"pretrain": "m", "dataset": "d.jsonl"}
    disk.write_json(
        folder / disk.RUN, {"id": folder.name, "config": config, "cwd": str(folder.parent)} | record
    )
    disk.write_status(folder, state, step=2, total=5)
    return load_run(folder)


def test_a_run_from_launch_to_end(fake_launch):
    begin = time.monotonic()
    run = fake_launch(steps=4, num_processes=2)
    took = time.monotonic() - begin
    assert took < 5.0  # seconds, on a busy machine too: launch waits for the supervisor, not for the ranks
    assert run.status.state in ("starting", "running")
    status = run.wait(20)
    assert (status.state, status.step, status.total_steps, status.reason) == ("finished", 4, 4, "")
    assert not run.is_alive
    frame = run.metrics()
    assert list(frame.columns) == list(METRICS)
    assert frame["step"].tolist() == [1, 2, 3, 4]
    assert frame["eval_loss"].isna().all()
    log = run.log()
    for rank in (0, 1):  # stdout and stderr of every rank, each line with its rank
        assert f"[rank {rank}] fake rank {rank} of 2" in log
        assert f"[rank {rank}] pid" in log
    assert "finished" in repr(run)


def test_run_json_says_what_was_run(fake_launch, tiny_rows):
    run = fake_launch()
    run.wait(20)
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert SFTConfig.from_dict(record["config"]) == run.config
    assert SFTConfig.from_command(" ".join(record["command"])) == run.config
    assert record["cwd"] == os.getcwd()
    assert {"python", "torch", "deepspeed", "transformers"} <= record["versions"].keys()
    (data,) = run.data
    assert (data["path"], data["rows"], data["split"], len(data["sha256"])) == (
        str(tiny_rows),
        64,
        "train",
        64,
    )
    assert record["processes"] == 1 and record["gpus"] == [] and record["created"].endswith("+00:00")
    assert isinstance(record["pid"], int) and abs(record["pid_started"] - time.time()) < 60
    assert run.model_path == run.folder / "model"


def test_the_environment_is_not_written_down(fake_launch, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    run = fake_launch()
    run.wait(20)
    for path in run.folder.rglob("*"):
        assert path.is_dir() or b"sk-very-secret" not in path.read_bytes()


def test_stop_writes_a_checkpoint_and_resume_goes_on(fake_launch):
    run = fake_launch(steps=400, seconds=0.02)
    while run.status.step < 3:
        time.sleep(0.02)
    run.stop()
    stopped = run.wait(20)
    assert stopped.state == "stopped"
    assert disk.newest_checkpoint(run.checkpoints).name == f"step-{stopped.step}"
    first_pid = run.record["pid"]
    os.environ["FAKE_STEPS"] = str(stopped.step + 3)
    assert run.resume() is run
    assert run.wait(20).state == "finished"
    assert run.record["resume"] is True and run.record["pid"] != first_pid
    assert run.metrics()["step"].tolist() == list(range(1, stopped.step + 4))
    assert not (run.folder / "stop").exists()
    with pytest.raises(RunError, match="is finished"):
        run.resume()


def test_resume_is_refused_while_running_and_without_a_checkpoint(fake_launch):
    run = fake_launch(steps=1000)
    with pytest.raises(RunError, match=r"is (starting|running): stop it first"):
        run.resume()
    while run.status.step < 1 or run.metrics().empty:
        time.sleep(0.02)
    run.kill()
    with pytest.raises(RunError, match="no complete checkpoint"):
        run.resume()


def test_kill_ends_every_process_and_says_so(fake_launch):
    run = fake_launch(steps=1000, num_processes=2)
    while run.status.state != "running":
        time.sleep(0.02)
    group = run.record["pid"]
    assert len(process.group_members(group)) == 3
    status = run.kill()
    assert (status.state, status.reason.split(":")[0]) == ("stopped", "killed")
    assert process.group_members(group) == []
    assert run.kill() == status  # a second time changes nothing


def test_a_finished_run_cannot_be_stopped_or_killed_into_another_state(fake_launch):
    run = fake_launch()
    run.wait(20)
    run.stop()
    assert run.kill().state == "finished"
    assert not (run.folder / "stop").exists()


def test_two_runs_at_once_do_not_meet(fake_launch):
    runs = [fake_launch(num_processes=2) for _ in range(3)]
    assert len({run.id for run in runs}) == 3
    assert [run.wait(30).state for run in runs] == ["finished"] * 3
    ports = {run.log().split("on port ")[1].split()[0] for run in runs}
    assert len(ports) == 3


def test_a_refused_launch_names_every_fault_and_starts_nothing(tmp_path):
    config = SFTConfig(pretrain=str(tmp_path / "none"), dataset=str(tmp_path / "none.jsonl"))
    with pytest.raises(LaunchError) as refused:
        launch(config, tmp_path / "runs")
    assert {"pretrain", "dataset"} <= {finding.field for finding in refused.value.findings}
    assert "pretrain" in str(refused.value) and "dataset" in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("state", ["queued", "starting", "running", "stopping"])
def test_a_dead_process_is_never_running(tmp_path, state):
    gone = {"pid": 2**22 - 3, "pid_started": 1.0, "host": os.uname().nodename}
    run = written(tmp_path / "r", state, **gone)
    assert (run.status.state, run.status.reason, run.status.step) == ("failed", GONE, 2)
    assert disk.read_json(run.folder / "status.json")["state"] == state  # readers change nothing


def test_a_pid_used_again_by_another_process_is_not_the_run(tmp_path):
    me = process.identity(os.getpid())
    assert written(tmp_path / "live", **me).status.state == "running"
    boot, _, ticks = me["pid_mark"].partition(":")
    assert (
        written(tmp_path / "later", **me | {"pid_mark": f"{boot}:{int(ticks) - 1}"}).status.state == "failed"
    )
    rebooted = written(tmp_path / "rebooted", **me | {"pid_mark": f"another-boot:{ticks}"}).status
    assert (rebooted.state, rebooted.reason) == ("failed", RESTARTED.format(state="running"))
    started_before = {key: me[key] for key in ("pid", "host")} | {"pid_started": me["pid_started"] - 60}
    assert written(tmp_path / "clock", **started_before).status.state == "failed"


def test_a_changed_clock_does_not_kill_a_run(tmp_path):
    me = process.identity(os.getpid())
    assert written(tmp_path / "r", **me | {"pid_started": me["pid_started"] - 7200}).status.state == "running"


def test_a_launch_that_broke_off_is_not_queued_for_ever(tmp_path):
    run = written(tmp_path / "r", "queued")
    assert run.status.state == "queued"
    told = disk.read_json(run.folder / "status.json")
    disk.write_json(run.folder / "status.json", told | {"updated": time.time() - 60})
    assert (run.status.state, run.status.reason) == ("failed", BROKE_OFF)


def test_a_zombie_does_not_live():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    kept = process.identity(child.pid)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not process.is_alive(kept)
    child.wait()


def test_a_run_of_another_machine_is_known_by_its_heartbeat(tmp_path):
    elsewhere = {"pid": 1, "pid_started": 1.0, "host": "another-machine"}
    run = written(tmp_path / "r", **elsewhere)
    assert run.status.state == "running"
    with pytest.raises(RunError, match="another-machine"):
        run.kill()
    told = disk.read_json(run.folder / "status.json")
    disk.write_json(run.folder / "status.json", told | {"updated": time.time() - 3600})
    assert (run.status.state, run.status.reason) == ("failed", "no word from another-machine for 60 minutes")
    assert run.diagnosis.cause == "machine_silent"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_an_end_on_disk_stays_the_end(tmp_path, state):
    assert written(tmp_path / "r", state, pid=1, pid_started=0.0).status.state == state


@pytest.mark.parametrize("text", ["", "{", '{"state": "dancing", "step": null}', "[]"])
def test_a_broken_status_file_is_not_an_error(tmp_path, text):
    run = written(tmp_path / "r", **process.identity(os.getpid()))
    (run.folder / "status.json").write_text(text)
    assert run.status.state == "queued"


def test_a_damaged_run_json_is_said_to_be_one(tmp_path):
    run = written(tmp_path / "r")
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        run.config  # noqa: B018
    assert run.status.state == "running"  # its last word is a moment old, and there is no pid to look for
    assert list_runs(tmp_path)["id"].tolist() == ["r"]
    run._repr_html_()


def test_metrics_grow_shrink_and_tolerate(tmp_path):
    run = written(tmp_path / "r")
    assert run.metrics().empty and list(run.metrics().columns) == list(METRICS)
    path = run.folder / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo')
    assert run.metrics()["step"].tolist() == [1, 2]
    with path.open("a") as file:
        file.write('ss": 1.5}\n{"step": 3, "eval_loss": 1.2, "eval_loss_by_task": {"sum": 1.0}, "odd": 7}\n')
    frame = run.metrics()
    assert frame["step"].tolist() == [1, 2, 3, 3]
    assert frame["eval_loss_by_task"].iloc[3] == {"sum": 1.0}
    assert frame["odd"].iloc[3] == 7 and frame.columns[-1] == "odd"
    # A resumed run drops what came after its checkpoint, and may have grown past it before the next look.
    for steps in (list(range(1, 40)), [1]):
        (tmp_path / "new").write_text("".join(f'{{"step": {step}, "loss": 9}}\n' for step in steps))
        os.replace(tmp_path / "new", path)
        assert run.metrics()["step"].tolist() == steps
        assert set(run.metrics()["loss"]) == {9}


def test_load_run_that_is_not_there_names_those_that_are(tmp_path):
    written(tmp_path / "20260101-000000-a")
    with pytest.raises(RunNotFound, match="None until Launch is pressed"):
        load_run(None)
    with pytest.raises(RunNotFound, match="20260101-000000-a"):
        load_run(tmp_path / "20260101-000000-b")


def test_list_runs(tmp_path, fake_launch):
    assert list_runs(tmp_path / "none").empty
    run = fake_launch(steps=3)
    run.wait(20)
    (tmp_path / "runs" / "notes").mkdir()
    table = list_runs(tmp_path / "runs")
    names = (
        "id state step total_steps loss eval_loss created model dataset seconds size checkpoints reason why"
    )
    assert list(table.columns) == names.split()
    row = table.iloc[0]
    assert (row["id"], row["state"], row["step"], row["loss"]) == (
        run.id,
        "finished",
        3,
        pytest.approx(1 / 3),
    )
    assert row["size"] > 500 and 0 <= row["seconds"] < 60


def test_the_card_is_escaped(tmp_path):
    run = written(tmp_path / "<img src=x>")
    disk.write_status(run.folder, "failed", "<script>alert(1)</script>")
    card = run._repr_html_()
    assert "<script>" not in card and "<img" not in card and "&lt;script&gt;" in card


def test_paths_in_settings_are_relative_to_the_launching_folder(tmp_path):
    config = {"pretrain": "m", "dataset": "d", "save_path": "out/model", "ckpt_path": "out/ckpt"}
    run = written(tmp_path / "runs" / "r", config=config, cwd=str(tmp_path))
    assert run.model_path == tmp_path / "out" / "model"
    assert run.checkpoints == tmp_path / "out" / "ckpt"


def test_the_supervisor_imports_nothing_heavy():
    code = "import sys, sftkit.runs.supervisor; print(sorted({'pandas','pydantic','numpy','torch','tokenizers'} & set(sys.modules)))"
    begin = time.monotonic()
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    assert time.monotonic() - begin < 10  # 0.2 on a quiet machine


def test_a_damaged_folder_hides_no_other_run(tmp_path):
    written(tmp_path / "runs" / "good", "finished")
    bad = written(tmp_path / "runs" / "bad", config=None, created=7)
    told = '{"state": "running", "step": "x", "total_steps": [], "updated": "soon"}'
    (bad.folder / disk.STATUS).write_text(told, encoding="utf-8")
    assert (bad.status.state, bad.status.step) == ("failed", 0)
    assert "bad" in bad._repr_html_()
    assert set(list_runs(tmp_path / "runs")["id"]) == {"good", "bad"}


def test_a_second_resume_is_refused_in_its_own_words(tmp_path):
    run = written(tmp_path / "r", "stopped")
    (run.checkpoints / "step-2").mkdir(parents=True)
    (run.folder / disk.LOG).write_text("Step 2: an old line\n", encoding="utf-8")
    with (run.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="This run has a supervisor already") as caught:
            run.resume()
    assert "old line" not in str(caught.value)
