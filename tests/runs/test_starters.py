"""What starts the ranks of several hosts: its command, its environment, and the hosts that it refuses."""

from __future__ import annotations

import json

import pytest

from sftkit.errors import DataError, RunError
from sftkit.runs import starters


def test_joining_what_waits_for_nobody(tmp_path):
    def run(**changes):
        (tmp_path / "run.json").write_text(json.dumps({"config": {"launcher": "manual"}, **changes}))

    run(config={"launcher": "local"})
    with pytest.raises(RunError, match="nothing to join"):
        starters.join(tmp_path, 1)
    run(hosts=[["a", 1], ["b", 1]])
    with pytest.raises(RunError, match="no host 2"):
        starters.join(tmp_path, 2)
    with pytest.raises(RunError, match="not waiting"):
        starters.join(tmp_path, 1)


@pytest.fixture
def plan(tmp_path):
    """`plan("a slots=1", launcher="pdsh")`: the start of a run on these hosts."""

    def make(text: str, processes: int = 2, **settings) -> starters.Start:
        (tmp_path / "hostfile").write_text(text)
        run = {"config": {"hostfile": "hostfile", **settings}, "cwd": str(tmp_path), "processes": processes}
        return starters.plan(tmp_path, run, 4711)

    return make


def test_over_pdsh_no_secret_stands_in_the_command(plan, monkeypatch):
    # DeepSpeed hands every variable that begins with MLFLOW to the other hosts in a command line.
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p4ssw0rd")
    start = plan("127.0.0.1 slots=1\n127.0.0.2 slots=1\n", launcher="pdsh")
    assert "MLFLOW_TRACKING_PASSWORD" not in start.environment
    assert "p4ssw0rd" not in " ".join(start.command) and "deepspeed.launcher.runner" in start.command
    by_hand = plan("127.0.0.1 slots=1\n127.0.0.2 slots=1\n", launcher="manual")
    assert by_hand.environment["MLFLOW_TRACKING_PASSWORD"] == "p4ssw0rd"  # rank 0 is a child of ours
    assert by_hand.waits_for.startswith("waiting for host 127.0.0.2: run there: ")


def test_hosts_that_cannot_be_used(plan):
    with pytest.raises(RunError, match="3 slots and num_processes is 2"):
        plan("a slots=3", launcher="pdsh")
    with pytest.raises(RunError, match="not known here"):
        plan("nobody.invalid slots=2", launcher="pdsh")
    with pytest.raises(DataError, match="row 1"):
        plan("a", launcher="pdsh")
