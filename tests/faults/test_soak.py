"""A small soak (tests/benchmarks/soak.py): five real runs, two at once, a blow to most, raters who are killed meanwhile, the
clock set back and forth; then all of it is looked at. And: each of those looks can find something."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from tests.benchmarks import soak, soak_left, soak_truth, soak_votes
from tests.benchmarks.soak_stage import Told
from tests.faults.drill import until_step


@pytest.mark.timeout(900)
def test_five_runs_with_blows_stand_where_they_must_and_leave_nothing():
    """The exit code is 1 where something is untrue or left over; the output says what."""
    words = [sys.executable, soak.__file__, "--small"]
    said = subprocess.run(words, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Nothing was untrue." in said.stdout
    # On both databases. A vote may be stored and its rater killed before hearing so: acknowledged may be less.
    assert len(re.findall(r"\| 2\d\d \| (?:200|19\d) \| 0, 0 \| 2 \|", said.stdout)) == 2, said.stdout


def test_a_process_that_is_left_is_found(tmp_path):
    held = [sys.executable, "-c", "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ntime.sleep(60)", str(tmp_path)]  # fmt: skip
    child = subprocess.Popen(held, env=os.environ | {soak_left.MARK: "a"}, stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline())
        assert list(soak_left.marked("a")) == [child.pid] and soak_left.marked("b") == {}
        assert soak_left.of_folder(tmp_path) == [child.pid]
        assert soak_left.taken({port}, "a") == [f"port {port}"] and soak_left.taken({port}, "b") == []
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert soak_left.marked("a") == {} and soak_left.taken({port}, "a") == []


def test_handles_and_parts_that_are_left_are_found(tmp_path):
    before = soak_left.handles()
    with open(tmp_path / "x", "w") as _, socket.socket():
        assert soak_left.more_than(before, soak_left.handles()) == [f"1 x {tmp_path / 'x'}", "1 x socket"]
    assert soak_left.more_than(before, soak_left.handles()) == []
    (tmp_path / "run/checkpoints/.step-6").mkdir(parents=True)
    for name in (".lock", ".status.json.17"):
        (tmp_path / "run" / name).touch()
    assert sorted(soak_left.half_written(tmp_path / "run")) == [
        "run/.status.json.17",
        "run/checkpoints/.step-6",
    ]


def test_an_untrue_state_is_found(fake_launch):
    run = fake_launch(steps=3)
    assert run.wait(30).state == "finished"
    status = vars(run.status)
    told = Told("nothing", folder=run.folder, state="failed", reason="^rank 0")
    assert "should be failed" in soak_truth.audited(told, status, [])[0]
    assert soak_truth.unlike_proc(run.folder, "finished") == ""
    (run.folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 3, "loss": 1.0}\n')
    assert any("with the steps [1, 3]" in line for line in soak_truth.audited(told, status, []))


def test_a_store_that_is_not_whole_is_found(tmp_path):
    from sftkit.ratings import Rating, RatingStore

    store = RatingStore(tmp_path / "ratings.db")
    store.add_many(
        Rating("human:a", f"p{n}", "base", "tuned", "a", key=f"k{n}", note="so " * 99) for n in range(300)
    )
    store.close()
    assert soak_votes.whole(tmp_path / "ratings.db", 300) == []
    assert soak_votes.whole(tmp_path / "ratings.db", 301) == ["(300, 300) of 301 votes"]
    with (tmp_path / "ratings.db").open("r+b") as file:
        file.seek(4096 * 30)
        file.write(os.urandom(4096 * 3))
    assert soak_votes.whole(tmp_path / "ratings.db", 300) != []


@pytest.mark.parametrize("where", ["left", "wrong", "untrue", "votes"])
def test_whatever_is_found_is_told(where):
    result = {
        "left": {"ports": []},
        "untrue": [],
        "votes": {"SQLite": {"wrong": []}},
        "stories": [{"wrong": []}],
    }
    assert soak.faults(result) == []
    places = {
        "left": result["left"]["ports"], "wrong": result["stories"][0]["wrong"], "untrue": result["untrue"],
        "votes": result["votes"]["SQLite"]["wrong"],
    }  # fmt: skip
    places[where].append("bad")
    assert [fault.rpartition(" ")[2] for fault in soak.faults(result)] == ["bad"]


def test_kill_leaves_no_half_written_checkpoint(fake_launch):
    """As the soak found one: nobody is left to take it away."""
    run = fake_launch(steps=2000)
    until_step(run, 1)
    (run.checkpoints / ".step-9/zero").mkdir(parents=True)
    run.kill()
    assert soak_left.half_written(run.folder) == []
