"""The fault drill: real processes die in every way, and the run's folder tells the truth. The worker is the FAKE one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

from sftkit.runs import load_run, process
from sftkit.runs.standing import DELETED, GONE


def ranks(run) -> list[psutil.Process]:
    """The training processes of a run, in the order of their ranks."""
    found = [psutil.Process(pid) for pid in process.group_members(run.record["pid"])]
    workers = [member for member in found if "fake_worker.py" in " ".join(member.cmdline())]
    return sorted(workers, key=lambda member: int(member.environ()["RANK"]))


def until_running(run, step: int = 1) -> None:
    deadline = time.monotonic() + 20
    while not (run.status.state == "running" and run.status.step >= step):
        assert time.monotonic() < deadline, f"{run.status}\n{run.log()}"
        time.sleep(0.02)


def nobody_left(pids: list[int], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids
    ):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_killed_from_outside(fake_launch, rank, beside):
    run = fake_launch(steps=2000, num_processes=2)
    until_running(run)
    group = process.group_members(run.record["pid"])
    ranks(run)[rank].kill()
    begin = time.monotonic()
    status = run.wait(10)
    assert time.monotonic() - begin < 5
    assert status.state == "failed"
    assert status.reason == f"rank {rank} was ended by SIGKILL: killed from outside or out of memory"
    assert nobody_left(group)
    assert run.diagnosis.cause == "killed"


def test_a_rank_that_raises(fake_launch):
    run = fake_launch(steps=50, num_processes=2, fault="raise")
    status = run.wait(20)
    assert status.state == "failed"
    assert status.reason.startswith("rank 1: ValueError: row 7 has no answer (fake_worker.py:")
    assert "in misbehave)" in status.reason
    assert "Traceback" in run.log() and "The run failed: rank 1" in run.log()


def test_a_rank_that_leaves_without_an_error_file(fake_launch):
    assert fake_launch(fault="exit").wait(20).reason == (
        "rank 0 left with exit code 3: ImportError: no module named tensors"
    )


def test_a_crash_in_native_code_names_its_signal(fake_launch):
    run = fake_launch(fault="abort")
    assert run.wait(20).reason.startswith("rank 0 was ended by SIGABRT")
    assert "Fatal Python error: Aborted" in run.log()  # faulthandler says where


def test_a_rank_that_leaves_too_early_without_a_word(fake_launch):
    run = fake_launch(fault="mute")
    assert run.wait(20).reason == "the ranks left without a word on how the run ended"


def test_a_port_taken_meanwhile_is_tried_once_more(fake_launch):
    run = fake_launch(fault="port", fault_rank=0)
    assert run.wait(20).state == "finished"
    assert "once more with another one" in run.log()


def test_an_abort_after_the_end_is_no_failure(fake_launch):
    assert fake_launch(fault="crash at exit").wait(20).state == "finished"


def test_what_a_rank_leaves_behind_goes_too(fake_launch):
    run = fake_launch(fault="linger")
    run.wait(20)
    deadline = time.monotonic() + 5
    while left := process.group_members(run.record["pid"]):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def test_a_hung_rank_is_noticed_and_a_suspended_one_named(fake_launch, monkeypatch):
    monkeypatch.setenv("SFTKIT_HEARTBEAT_LIMIT", "0.6")
    run = fake_launch(steps=2000)
    until_running(run)
    (rank,) = ranks(run)
    rank.suspend()
    status = run.wait(10)
    assert status.state == "failed"
    assert status.reason.startswith("hung: no sign of life") and "rank 0 suspended" in status.reason
    assert nobody_left([rank.pid])


def test_the_supervisor_killed(fake_launch, beside):
    run = fake_launch(steps=2000, num_processes=2)
    until_running(run)
    group = process.group_members(run.record["pid"])
    os.kill(run.record["pid"], signal.SIGKILL)
    assert nobody_left(group)  # the ranks die with it
    assert (run.status.state, run.status.reason) == ("failed", GONE)
    assert run.diagnosis.cause == "processes_killed"
    assert json.loads((run.folder / "status.json").read_text())["state"] == "running"


def test_sigterm_to_the_supervisor_saves_first(fake_launch):
    run = fake_launch(steps=2000)
    until_running(run)
    os.kill(run.record["pid"], signal.SIGTERM)
    assert run.wait(10).state == "stopped"
    assert (run.checkpoints / f"step-{run.status.step}").is_dir()


def test_a_second_sigterm_ends_at_once(fake_launch):
    run = fake_launch(seconds=3600)  # never looks for the stop file
    while "fake rank 0" not in run.log():
        time.sleep(0.02)
    for _ in range(2):
        os.kill(run.record["pid"], signal.SIGTERM)
        time.sleep(0.3)
    status = run.wait(10)
    assert (status.state, status.reason) == ("failed", "ended by SIGTERM")


def test_the_run_folder_deleted(fake_launch, beside):
    run = fake_launch(steps=2000)
    until_running(run)
    group = process.group_members(run.record["pid"])
    shutil.rmtree(run.folder, ignore_errors=True)
    shutil.rmtree(run.folder, ignore_errors=True)
    assert nobody_left(group)
    assert (run.status.state, run.status.reason) == ("failed", DELETED)
    assert run.diagnosis.cause == "folder_deleted"


LAUNCH = """
import os, sys, time
from sftkit.config import SFTConfig
from sftkit.runs import launch
run = launch(SFTConfig(pretrain=sys.argv[1], dataset=sys.argv[2], train_batch_size=16, learning_rate=1e-3), sys.argv[3])
print(run.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGHUP, signal.SIGINT])
def test_the_launching_process_dies_and_the_run_goes_on(fake_worker, settings, tmp_path, monkeypatch, death):
    monkeypatch.setenv("FAKE_STEPS", "30")
    command = [sys.executable, "-c", LAUNCH, settings.pretrain, settings.dataset, str(tmp_path / "runs")]
    # Whoever runs the tests may ignore signals (nohup does, and a job in the background), and children inherit that.
    heed = partial(signal.signal, death, signal.SIG_DFL) if death != signal.SIGKILL else None
    kernel = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed
    )
    run = load_run(Path(kernel.stdout.readline().strip()))
    assert not psutil.Process(kernel.pid).children(recursive=True)  # nothing for a kernel's shutdown to end
    os.killpg(kernel.pid, death)
    kernel.communicate(timeout=20)
    os.killpg(run.record["pid"], signal.SIGHUP)  # what a closed terminal sends
    until_running(run, step=3)
    assert run.wait(20).state == "finished"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_real_kernel_shut_down_and_the_run_goes_on(fake_worker, settings, tmp_path, monkeypatch, at_once):
    monkeypatch.setenv("FAKE_STEPS", "60")
    manager, client = start_new_kernel()
    arguments = ["", settings.pretrain, settings.dataset, str(tmp_path / "runs")]
    code = LAUNCH.replace("time.sleep(600)", "").replace(
        "import os, sys, time", f"import sys; sys.argv = {arguments!r}"
    )
    said = []
    client.execute_interactive(code, timeout=60, output_hook=lambda message: said.append(message["content"]))
    client.stop_channels()
    manager.shutdown_kernel(now=at_once)
    run = load_run("".join(part.get("text", "") for part in said).strip())
    step = run.status.step
    until_running(run, step=step + 3)
    assert run.wait(20).state == "finished"


def test_two_launches_at_the_same_moment_from_two_processes(fake_worker, settings, tmp_path):
    command = [sys.executable, "-c", LAUNCH.replace("600", "0"), settings.pretrain, settings.dataset]
    kernels = [
        subprocess.Popen([*command, str(tmp_path / "runs")], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    runs = [load_run(kernel.communicate()[0].strip()) for kernel in kernels]
    assert len({run.id for run in runs}) == 3
    assert [run.wait(20).state for run in runs] == ["finished"] * 3
    assert [run.metrics()["step"].tolist() for run in runs] == [[1, 2, 3]] * 3


def test_a_folder_has_one_supervisor(fake_launch):
    from sftkit.runs import supervisor

    run = fake_launch(steps=2000)
    until_running(run)
    before = run.record
    with pytest.raises(OSError, match="has a supervisor already"):
        supervisor.start(run.folder, resume=True)
    assert run.record == before and run.status.state == "running"
