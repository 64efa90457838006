"""What a run lives in goes away or goes wrong: JupyterLab, a kernel, the memory, the clock. The worker is the FAKE one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from jupyter_client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from sftkit.runs import list_runs, load_run, process
from tests.faults.drill import until, until_step

CODE = """
from sftkit.config import SFTConfig
from sftkit.runs import launch
config = SFTConfig(pretrain={pretrain!r}, dataset={dataset!r}, train_batch_size=16, learning_rate=1e-3)
print(launch(config, {runs!r}, queue={queue}).folder, flush=True)
"""


def launched(client, settings, runs: Path, queue: bool = False):
    """The run that a kernel has launched."""
    said = []
    code = CODE.format(pretrain=settings.pretrain, dataset=settings.dataset, runs=str(runs), queue=queue)
    client.execute_interactive(
        code, timeout=60, output_hook=lambda message: said.append(message["content"].get("text", ""))
    )
    return load_run("".join(said).strip())


@pytest.fixture
def jupyterlab(tmp_path, fake_worker):
    """A real JupyterLab server, whose runs are long; yields (process, runtime folder, address)."""
    runtime = tmp_path / "runtime"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command += ["--IdentityProvider.token=drill", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url="]
    places = {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    places |= {"FAKE_STEPS": "200000", "SFTKIT_QUEUE": str(tmp_path / "line")}
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | places, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until(lambda: list(runtime.glob("jpserver-*.json")), 60)
        (told,) = runtime.glob("jpserver-*.json")
        yield server, runtime, json.loads(told.read_text())["url"]
    finally:
        for kernel in [*psutil.Process(server.pid).children(recursive=True)] if server.poll() is None else []:
            kernel.kill()
        server.kill()
        server.wait()


def test_jupyterlab_killed(jupyterlab, settings, tmp_path, beside):
    """The server and all that it has started, a kernel among it, are gone at once. A run goes on, a waiting one too."""
    server, runtime, url = jupyterlab
    request = urllib.request.Request(
        f"{url}api/kernels", b"{}", {"Authorization": "token drill"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        kernel = json.load(answer)["id"]
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(60)
    run = launched(client, settings, tmp_path / "runs")
    waiting = launched(client, settings, tmp_path / "runs", queue=True)
    client.stop_channels()
    until_step(run, 2)

    tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert any("ipykernel" in " ".join(member.cmdline()) for member in tree)
    assert not {member.pid for member in tree} & {*process.group_members(run.record["pid"])}
    for member in tree:
        member.kill()
    server.wait()
    step = run.status.step
    until_step(run, step + 3)
    assert (run.status.state, waiting.status.state) == ("running", "queued")
    table = list_runs(tmp_path / "runs").set_index("id")
    assert table.loc[[run.id, waiting.id], "state"].tolist() == ["running", "queued"]
    waiting.stop()
    run.stop()
    assert run.wait(20).state == waiting.wait(20).state == "stopped"


def test_a_kernel_killed_in_the_middle_of_a_cell(fake_worker, settings, tmp_path, monkeypatch, beside):
    """SIGKILL to the process of a real kernel, which can then tell nobody anything."""
    monkeypatch.setenv("FAKE_STEPS", "200000")
    manager, client = start_new_kernel()
    run = launched(client, settings, tmp_path / "runs")
    client.execute("import time; time.sleep(600)")
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    step = run.status.step
    until_step(run, step + 3)
    run.stop()
    assert run.wait(20).state == "stopped"


def test_the_kernel_of_the_system_kills_for_memory(fake_launch, tmp_path, beside, monkeypatch):
    """A container at its memory limit, made of a control group: the OOM killer ends the rank, and that is said."""
    group = memory_group(tmp_path.name)
    monkeypatch.delenv("FAKE_STEPS", raising=False)
    try:
        run = fake_launch(fault="eat", cgroup=group)
        assert run.wait(60).state == "failed"
        assert run.status.reason.endswith("ran out of memory (the kernel's OOM killer was at work)")
        assert run.diagnosis.cause == "cpu_memory" and run.diagnosis.fixes
    finally:
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def memory_group(name: str) -> Path:
    """A control group of 200 MB, in version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    for above, limit in ((root / "memory", "memory.limit_in_bytes"), (root, "memory.max")):
        group = above / f"sftkit-{name}"
        try:
            group.mkdir()
            (group / limit).write_text(str(200 * 2**20))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        return group
    pytest.skip(
        "only the superuser can make a control group; the text of the reason is tried in test_signatures.py"
    )


CLOCK = '''
"""In every Python process that finds this: time.time() is off by what a file says."""
import time
from pathlib import Path

_true, _file = time.time, Path({file!r})
time.time = lambda: _true() + float(_file.read_text() or 0)
'''


@pytest.mark.parametrize("hours", [-26, 26])
def test_the_clock_is_set(fake_launch, tmp_path, monkeypatch, hours):
    """Back or forward by a day, in mid-run, for every process of it: it neither hangs nor counts as hung or dead."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK.format(file=str(offset)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "clock"), *sys.path]))
    monkeypatch.setenv("SFTKIT_HEARTBEAT_LIMIT", "2")
    run = fake_launch(steps=200000)
    until_step(run, 2)
    before = run.status.updated
    offset.write_text(str(hours * 3600))
    until(
        lambda: abs(run.status.updated - before) > 3600 * 25
    )  # the run's own words are dated by the new clock
    step, since = run.status.step, time.monotonic()
    while time.monotonic() - since < 2.5:  # longer than the limit after which it would count as hung
        assert run.status.state == "running", run.status
        time.sleep(0.05)
    assert run.status.step > step + 5
    other = fake_launch(steps=3)  # launched under the new clock
    assert other.wait(20).state == "finished" and other.id != run.id
    row = list_runs(tmp_path / "runs").set_index("id").loc[run.id]
    assert row["state"] == "running" and row["seconds"] >= 0
    run.stop()
    assert run.wait(20).state == "stopped"
    os.environ["FAKE_STEPS"] = str(run.status.step + 3)
    assert run.resume().wait(20).state == "finished"
    assert run.metrics()["step"].tolist() == list(range(1, run.status.step + 1))


def test_the_machine_was_restarted(fake_launch, beside, monkeypatch):
    """As a folder looks after a crash of the machine: its processes gone, its boot another one."""
    monkeypatch.setenv("FAKE_STEPS", "200000")
    run = fake_launch()
    until_step(run, 2)
    os.killpg(run.record["pid"], signal.SIGKILL)
    until(lambda: not process.group_members(run.record["pid"]))
    assert run.diagnosis.cause == "processes_killed"
    record = run.record
    record["pid_mark"] = "another-boot:" + record["pid_mark"].partition(":")[2]
    (run.folder / "run.json").write_text(json.dumps(record))
    assert run.status.state == "failed" and "restarted while the run was running" in run.status.reason
    assert run.diagnosis.cause == "machine_restarted"
    # Its pid means another process by then, ours say: kill() must not touch it.
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (run.folder / "run.json").write_text(json.dumps(record | {"pid": bystander.pid}))
        assert run.kill().state == "failed"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        (run.folder / "run.json").write_text(json.dumps(record))
