"""Several hosts: hostfiles and Slurm's names as pure functions, then real runs on two hosts (two_hosts.py)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from sftkit.config import SFTConfig
from sftkit.errors import DataError
from sftkit.runs import Run, causes, hosts
from tests.conftest import train, write_rows
from tests.runs.conftest import wait_for
from tests.runs.slurm import missing as slurm_missing
from tests.runs.slurm import slurm
from tests.runs.two_hosts import missing, two_hosts

# the hostfile


def test_a_hostfile():
    text = "# two of them\nworker-0 slots=4\n\n  me@worker-1\tslots=2 max_slots=4  # the old one\n"
    found, faults = hosts.parse(text)
    assert found == [hosts.Host("worker-0", 4), hosts.Host("me@worker-1", 2)] and not faults
    assert found[1].address == "worker-1"


def test_every_faulty_line_is_named():
    text = "worker-0 slots=4\nworker-1\nworker-0 slots=2\nworker-2 slots=0\n-oProxyCommand=x slots=1\na,b;c slots=1\n"
    found, faults = hosts.parse(text)
    assert [host.name for host in found] == ["worker-0"]
    assert [row for row, _ in faults] == [2, 3, 4, 5, 6]
    assert hosts.parse("# nobody\n")[1] == [(1, "names no host: write a line for each, name slots=N.")]


def test_reading_a_hostfile(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        hosts.read(tmp_path / "absent")
    (tmp_path / "hostfile").write_text("a slots=1\nb slots=x\n")
    with pytest.raises(DataError, match="row 2"):
        hosts.read(tmp_path / "hostfile")


# Slurm's words


@pytest.mark.parametrize(
    ("short", "names"),
    [
        ("node1", ["node1"]),
        ("gpu[01-03,7],login", ["gpu01", "gpu02", "gpu03", "gpu7", "login"]),
        ("a[1-2]-b[8-9]", ["a1-b8", "a1-b9", "a2-b8", "a2-b9"]),
        ("", []),
    ],
)
def test_slurms_short_names(short, names):
    assert hosts.expand(short) == names


def task_of_slurm(**changes) -> dict[str, str]:
    task = {
        "SLURM_JOB_ID": "77", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "9", "SLURM_NODEID": "1",
        "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NODELIST": "127.0.0.[1-2]",
        "SLURM_CPUS_ON_NODE": "6",
    }  # fmt: skip
    return task | changes


def test_a_rank_of_slurm():
    place = hosts.rank_environment(task_of_slurm())
    expected = {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }
    assert place.items() >= expected.items()
    assert place["OMP_NUM_THREADS"] == "3" and place["MASTER_PORT"] == "20077"
    assert hosts.rank_environment(task_of_slurm(CUDA_VISIBLE_DEVICES="2"))["LOCAL_RANK"] == "0"
    assert hosts.rank_environment(task_of_slurm(CUDA_VISIBLE_DEVICES="2,3"))["LOCAL_RANK"] == "1"


def test_what_is_said_already_is_left_alone():
    said = {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_SIZE": "1", "MASTER_ADDR": "localhost"}
    said |= {"MASTER_PORT": "1", "GLOO_SOCKET_IFNAME": "eth7", "OMP_NUM_THREADS": "5"}
    place = hosts.rank_environment(task_of_slurm() | said)
    assert not place.keys() & said.keys() and place["LOCAL_WORLD_SIZE"] == "1"


def test_a_rank_alone():
    place = hosts.rank_environment({})
    assert (place["RANK"], place["WORLD_SIZE"], place["GLOO_SOCKET_IFNAME"]) == ("0", "1", "lo")


# the leash


def test_the_leash(tmp_path):
    now = 0.0
    hosts.hold(tmp_path, "one")
    leash = hosts.Leash(tmp_path, limit=10, clock=lambda: now)
    now = 9.0
    assert not leash.lost
    hosts.hold(tmp_path, "one")
    assert not leash.lost
    now = 18.0
    assert not leash.lost
    now = 19.5
    assert leash.lost, "silent for too long"
    hosts.hold(tmp_path, "one")
    assert not leash.lost
    hosts.drop(tmp_path)
    assert leash.lost
    hosts.hold(tmp_path, "two")
    assert leash.lost, "another start of the run"
    assert hosts.Leash(tmp_path / "nowhere").lost


# two hosts

BASE = {
    "bf16": False, "train_batch_size": 8, "micro_train_batch_size": 2, "max_epochs": 2, "learning_rate": 3e-3,
    "zero_stage": 2, "num_processes": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    if why := missing():
        pytest.skip(f"NOT TESTED, two hosts: {why}")
    with two_hosts(tmp_path_factory.mktemp("two_hosts")) as found:
        (found.folder / "hostfile").write_text("alpha slots=1\nbeta slots=1\n")
        yield found


@pytest.fixture(scope="module")
def settings(tiny_model, tmp_path_factory) -> dict:
    rows = write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", 22, seed=5)
    return {**BASE, "pretrain": str(tiny_model), "dataset": str(rows)}


@pytest.fixture(scope="module")
def one_host(settings, tmp_path_factory):
    """The same run on one host, by two processes and by one."""
    folder = tmp_path_factory.mktemp("one_host")
    with ThreadPoolExecutor(2) as pool:
        two = pool.submit(train, folder / "two", SFTConfig(**settings))
        one = pool.submit(train, folder / "one", SFTConfig(**{**settings, "num_processes": 1}))
        return [two.result().column("loss"), one.result().column("loss")]


def flags(settings: dict) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def launched(pair, settings: dict, runs: Path) -> Run:
    """A run launched on alpha."""
    command = [sys.executable, "-m", "sftkit.cli", "launch", "--runs-dir", runs, *flags(settings)]
    done = pair.start("alpha", *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, _ = done.communicate(timeout=60)
    assert done.returncode == 0, said
    return Run(next(runs.iterdir()))


@pytest.fixture
def launch(pair, settings, tmp_path):
    """`launch(launcher="pdsh", …)`: a run launched on alpha; no process of it may outlive the test."""
    started = []

    def start(**changes) -> Run:
        run = launched(pair, {**settings, "hostfile": pair.folder / "hostfile", **changes}, tmp_path / "runs")
        started.append(run)
        return run

    yield start
    for run in started:
        end(run)


def end(run: Run) -> None:
    """Kill the run; its supervisor lives in another host name's world, so by pid rather than by Run.kill's check."""
    hosts.drop(run.folder)
    if psutil.pid_exists(pid := run.record["pid"]):
        os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: not ranks_of(run), 10)


def ranks_of(run: Run) -> dict[str, int]:
    """rank -> pid of the run's training processes, wherever they are."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "sftkit.training.worker" in words and str(run.folder) in words:
            try:
                found[process.environ()["RANK"]] = process.pid
            except psutil.Error:
                continue
    return found


def joined(pair, run: Run) -> subprocess.Popen:
    """Beta's half, started as the run's status says."""
    reason = wait_for(lambda: run.status.reason)
    assert reason.startswith("waiting for host beta: run there: "), reason
    assert reason in run.log()
    log = (run.folder / "join.txt").open("wb")
    return pair.start("beta", *shlex.split(reason.partition("there: ")[2]), stdout=log, stderr=log)


def finished(run: Run, one_host) -> None:
    status = run.wait(120)
    assert status.state == "finished", f"{status}\n{run.log()}"
    for losses in one_host:
        assert run.metrics()["loss"].tolist() == pytest.approx(losses, abs=1e-5)
    assert (run.model_path / "model.safetensors").is_file()
    wait_for(lambda: not ranks_of(run), 10)


def exits(run: Run) -> list[dict]:
    """What each rank leaves when it has ended, a moment after its training process."""
    paths = [causes.exit_file(run.folder, rank) for rank in (0, 1)]
    wait_for(lambda: all(path.exists() for path in paths), 10)
    return [json.loads(path.read_text()) for path in paths]


def test_by_hand(pair, launch, one_host):
    run = launch(launcher="manual")
    half = joined(pair, run)
    finished(run, one_host)
    assert half.wait(20) == 0
    told = exits(run)
    assert [(word["code"], word["host"]) for word in told] == [(0, "alpha"), (0, "beta")]
    assert "[rank 0] 2 processes (CPU, 1 threads)" in run.log()


def until_training(run: Run) -> dict[str, int]:
    wait_for(lambda: run.status.step >= 2 or run.status.ended, 90)
    assert run.status.state == "running", f"{run.status}\n{run.log()}"
    return ranks_of(run)


def test_a_rank_killed_on_the_other_host(pair, launch):
    run = launch(launcher="manual", max_epochs=10_000)
    half = joined(pair, run)
    ranks = until_training(run)
    # Its meeting point listens on the address of the cable, and nowhere else.
    assert listening(ranks["0"]) == {"10.213.97.1"}
    os.kill(ranks["1"], signal.SIGKILL)
    status = run.wait(30)
    assert status.state == "failed" and status.reason.startswith("rank 1 on beta was ended by SIGKILL"), (
        run.log()
    )
    assert half.wait(20) != 0
    wait_for(lambda: not ranks_of(run), 10)


def listening(pid: int) -> set[str]:
    """The addresses on which a process listens, seen from inside its network namespace."""
    code = f"""import json, psutil
sockets = psutil.Process({pid}).net_connections()
print(json.dumps([socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN]))"""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", code]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


@pytest.fixture
def pdsh(pair):
    if not shutil.which("pdsh"):
        pytest.skip("NOT TESTED, DeepSpeed over pdsh: pdsh is not installed (Debian: pdsh)")


def test_over_pdsh(pdsh, launch, one_host):
    finished(launch(launcher="pdsh"), one_host)


def test_over_pdsh_killed_at_once(pdsh, launch):
    run = launch(launcher="pdsh", max_epochs=10_000)
    assert until_training(run).keys() == {"0", "1"}
    # What Run.kill does. Neither rank is in that process group, as with real ssh.
    hosts.drop(run.folder)
    os.killpg(run.record["pid"], signal.SIGKILL)
    begin = time.monotonic()
    wait_for(lambda: not ranks_of(run), 10)
    assert time.monotonic() - begin < 5


@pytest.fixture(scope="module")
def cluster(pair, tmp_path_factory):
    if why := slurm_missing():
        pytest.skip(f"NOT TESTED, Slurm: {why}")
    with slurm(pair, tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def batch(pair, cluster, settings: dict, folder: Path, *options: str) -> Run:
    """A run in a batch job of two tasks on two nodes, by the script that starters.py shows."""
    words = [
        sys.executable,
        "-m",
        "sftkit.cli",
        "launch",
        "--runs-dir",
        folder / "runs",
        "--launcher",
        "slurm",
    ]
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\n#SBATCH --nodes=2 --ntasks-per-node=1\n{shlex.join(map(str, [*words, *flags(settings)]))}\n")  # fmt: skip
    log = folder / "job.txt"
    job = pair.start(
        "alpha", "sbatch", *options, "-o", log, script, env={**cluster, "OMP_NUM_THREADS": "1"}, cwd=folder
    )
    assert job.wait(30) == 0
    try:
        wait_for(lambda: list(folder.glob("runs/*/run.json")), 60)
    except AssertionError:
        raise AssertionError(log.read_text() if log.exists() else "no output") from None
    return Run(next(folder.glob("runs/*")))


def test_slurm(pair, cluster, settings, tmp_path, one_host):
    run = batch(pair, cluster, settings, tmp_path)
    finished(run, one_host)
    told = exits(run)
    assert [word["host"] for word in told] == ["alpha", "beta"]


def test_slurm_warns_of_the_time_limit(pair, cluster, settings, tmp_path):
    run = batch(pair, cluster, {**settings, "max_epochs": 10_000}, tmp_path, "--signal=USR1@60")
    until_training(run)
    job = next(iter(slurm_jobs(pair, cluster)))
    assert pair.start("alpha", "scancel", "--signal=USR1", job, env=cluster).wait(20) == 0
    status = run.wait(60)
    assert status.state == "stopped" and "on request" in status.reason, f"{status}\n{run.log()}"
    assert run.checkpoints.is_dir()
    wait_for(lambda: not slurm_jobs(pair, cluster), 30)


def slurm_jobs(pair, cluster) -> list[str]:
    said = pair.start("alpha", "squeue", "-h", "-o", "%i", env=cluster, stdout=subprocess.PIPE, text=True)
    return said.communicate(timeout=20)[0].split()
