"""The line of runs for the same device: real supervisors, the FAKE worker, a line of its own for every test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sftkit.config import SFTConfig
from sftkit.errors import LaunchError
from sftkit.runs import folder as disk
from sftkit.runs import hardware, launch, list_runs, process, queue, queue_room, supervisor


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    return tmp_path / "line"


@pytest.fixture
def start(line, fake_worker, settings, tmp_path, monkeypatch):
    """`start(queue=True, seconds=…)`: a run; none outlives the test."""
    started = []

    def begin(runs: str = "runs", queue: bool = True, steps: int = 3, **changes):
        monkeypatch.setenv("FAKE_STEPS", str(steps))
        run = launch(settings.with_(**changes), tmp_path / runs, queue=queue)
        started.append(run)
        return run

    yield begin
    for run in started:
        if run.folder.is_dir() and run.folder.joinpath("run.json").is_file():
            run.kill()


def until(what, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_first_come_first_served_across_folders_and_kernels(start, line, settings, tmp_path):
    """The third is launched by another process into another folder, and waits in the same line."""
    first = start(steps=2000)
    second = start(runs="elsewhere")
    until(lambda: second.status.reason)
    assert second.status.state == "queued"
    assert second.status.reason == f"waiting for CPU, held by run {first.id}"
    code = (
        "import sys; from sftkit.config import SFTConfig; from sftkit.runs import launch\n"
        "config = SFTConfig(pretrain=sys.argv[1], dataset=sys.argv[2], train_batch_size=16, learning_rate=1e-3)\n"
        "print(launch(config, sys.argv[3], queue=True).folder)"
    )
    command = [sys.executable, "-c", code, settings.pretrain, settings.dataset, str(tmp_path / "third")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    from sftkit.runs import load_run

    third = load_run(said)
    try:
        until(lambda: "before it" in third.status.reason)
        assert third.status.reason.endswith("(1 run before it in the queue)")
        assert [place.run for place in queue.holders(["CPU"])] == [first.id, second.id, third.id]
        assert [place.waits for place in queue.holders(["CPU"])] == [False, True, True]
        assert not (second.folder / "rank-0.log").exists()  # nothing of it has begun
        first.stop()
        assert second.wait(20).state == third.wait(20).state == "finished"
        assert second.status.updated < third.record["pid_started"] + 60
        ends = [run.folder.joinpath("rank-0.log").stat().st_mtime for run in (second, third)]
        assert ends == sorted(ends)
        until(lambda: not queue.holders(["CPU"]))
    finally:
        third.kill()


@pytest.mark.parametrize("victim", ["holder", "waiter before us"])
def test_a_killed_run_frees_its_place_at_once(start, victim):
    first, second, third = start(steps=2000), start(steps=2000), start(steps=3)
    until(lambda: "before it" in third.status.reason)
    if victim == "holder":
        os.killpg(first.record["pid"], signal.SIGKILL)
        until(lambda: second.status.state == "running")
        assert third.status.state == "queued"
    else:
        os.kill(second.record["pid"], signal.SIGKILL)
        until(lambda: "before it" not in third.status.reason)
        assert second.status.state == "failed" and first.status.state in ("starting", "running")
        first.stop()
        assert third.wait(20).state == "finished"


def test_different_devices_do_not_wait_for_each_other(start, line, tmp_path):
    mine = queue.Ticket("on a card", tmp_path, ["GPU 0", "GPU 1"], waits=False)
    assert start().wait(20).state == "finished"
    other = queue.Ticket("another", tmp_path, ["GPU 2"], waits=True)
    assert other.try_to_start() == ""
    both = queue.Ticket("wide", tmp_path, ["GPU 1", "GPU 2"], waits=True)
    assert both.try_to_start() == "waiting for GPU 1, GPU 2, held by run on a card, another"
    # A narrow one behind the wide one does not overtake it, or the wide one would wait for ever.
    narrow = queue.Ticket("narrow", tmp_path, ["GPU 2"], waits=True)
    other.leave()
    assert narrow.try_to_start() == "waiting for GPU 2 (1 run before it in the queue)"
    assert both.try_to_start() == "waiting for GPU 1, held by run on a card"
    mine.leave()
    assert both.try_to_start() == "" and narrow.try_to_start().startswith(
        "waiting for GPU 2, held by run wide"
    )


def test_a_run_that_does_not_wait_starts_beside_others_and_is_waited_for(start):
    first = start(queue=False, steps=2000)
    second = start(queue=False, steps=2000)
    until(lambda: first.status.state == second.status.state == "running")
    third = start()
    until(lambda: third.status.reason)
    assert third.status.reason == f"waiting for CPU, held by run {first.id}, {second.id}"


@pytest.mark.parametrize("how", ["stop", "kill", "SIGTERM", "delete", "folder gone"])
def test_a_waiting_run_leaves_the_line_and_nothing_half(start, how, tmp_path):
    first, second = start(steps=2000), start()
    until(lambda: second.status.reason)
    pid = second.record["pid"]
    assert second.can == {"stop", "kill", "delete", "duplicate"}
    if how == "stop":
        second.stop()
    elif how == "kill":
        second.kill()
    elif how == "SIGTERM":
        os.kill(pid, signal.SIGTERM)
    elif how == "delete":
        assert second.delete(confirm=second.id).bytes > 0
        assert not second.folder.exists() and list(tmp_path.glob("runs/.*")) == []
    else:
        disk.shutil.rmtree(second.folder)
    until(lambda: not process.group_members(pid))
    assert [place.run for place in queue.holders(["CPU"])] == [first.id]
    assert first.status.state in ("starting", "running")
    if how in ("stop", "SIGTERM"):
        assert (second.status.state, second.status.reason) == ("stopped", supervisor.LEFT_QUEUE)
    if how in ("stop", "kill", "SIGTERM"):
        assert second.status.state == "stopped" and "queue: nothing was trained" in second.status.reason
        assert not {"stop", "checkpoints", "rank-0.log", "metrics.jsonl"} & {
            path.name for path in second.folder.iterdir()
        }
        # What has never begun begins when resumed, in the line again if so wished.
        assert "resume" in second.can
        second.resume(queue=True)
        until(lambda: "held by" in second.status.reason)
        assert second.status.state == "queued"
        first.stop()
        assert second.wait(20).state == "finished"


def test_a_queued_run_outlives_the_kernel_that_launched_it(start, settings, tmp_path):
    first = start(steps=2000)
    code = (
        "import sys, time; from sftkit.config import SFTConfig; from sftkit.runs import launch\n"
        "config = SFTConfig(pretrain=sys.argv[1], dataset=sys.argv[2], train_batch_size=16, learning_rate=1e-3)\n"
        "print(launch(config, sys.argv[3], queue=True).folder, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, settings.pretrain, settings.dataset, str(tmp_path / "runs")]
    os.environ["FAKE_STEPS"] = "3"
    kernel = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    from sftkit.runs import load_run

    second = load_run(kernel.stdout.readline().strip())
    os.killpg(kernel.pid, signal.SIGKILL)
    kernel.communicate()
    until(lambda: second.status.reason)
    assert second.status.state == "queued"
    first.stop()
    assert second.wait(20).state == "finished"


def test_who_stands_in_the_door_is_waited_for(line, tmp_path, monkeypatch):
    import fcntl

    ticket = queue.Ticket("r", tmp_path, ["CPU"], waits=True)
    monkeypatch.setattr(queue_room, "DOOR_LIMIT", 0.1)
    with (line / queue_room.DOOR).open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="locked"):
            ticket.try_to_start()
        assert [place.run for place in queue.holders(["CPU"])] == ["r"]  # looking needs no door
    assert ticket.try_to_start() == ""


def test_what_a_dead_run_left_is_cleared_away(line, tmp_path):
    code = (
        "import os, pathlib; from sftkit.runs import queue\n"
        "queue.Ticket('dead', pathlib.Path('.'), ['CPU'], waits=False); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = line.glob("0*")
    assert json.loads(left.read_text())["run"] == "dead"
    assert queue.holders(["CPU"]) == []
    ticket = queue.Ticket("new", tmp_path, ["CPU"], waits=True)
    assert ticket.try_to_start() == "" and not left.exists()


def test_a_line_that_is_not_ours_is_refused(monkeypatch, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "line").symlink_to(tmp_path / "target")
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    with pytest.raises(PermissionError, match="SFTKIT_QUEUE"):
        queue.Ticket("r", tmp_path, ["CPU"], waits=True)


def test_a_broken_line_stops_only_who_would_wait_in_it(settings, fake_worker, tmp_path, monkeypatch):
    (tmp_path / "line").write_text("a file where the folder should be")
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    with pytest.raises(LaunchError, match="The queue cannot be used"):
        launch(settings, tmp_path / "runs", queue=True)
    assert list_runs(tmp_path / "runs")["state"].tolist() == ["failed"]
    run = launch(settings, tmp_path / "runs")
    assert run.wait(20).state == "finished"
    assert "do not see this one" in run.log()


def test_devices_of_settings(monkeypatch):
    def config(**changes):
        return SFTConfig(pretrain="m", dataset="d", **changes)

    cards = [hardware.GPU(number, "card", 80_000, 0, 0) for number in range(4)]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "gpus", lambda: cards)
    assert queue.devices(config()) == ("GPU 0",)
    assert queue.devices(config(num_processes=2)) == ("GPU 0", "GPU 1")
    assert queue.devices(config(gpus=[2, 3])) == ("GPU 2", "GPU 3")
    assert queue.devices(config(launcher="slurm", num_processes=2)) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert queue.devices(config()) == ("GPU 3",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert queue.devices(config()) == ("CPU",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(hardware, "gpus", list)
    assert queue.devices(config(num_processes=2)) == ("CPU",)


def test_no_queue_for_runs_that_slurm_places(settings, tmp_path):
    with pytest.raises(LaunchError, match="has its own"):
        launch(settings.with_(launcher="slurm", num_processes=2), tmp_path / "runs", queue=True)
    assert not (tmp_path / "runs").exists()
