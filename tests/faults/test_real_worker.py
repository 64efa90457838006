"""The same drill with the real worker: DeepSpeed over gloo on the CPU, a model of 43,000 weights."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time

import psutil

from sftkit.runs import process, queue
from sftkit.runs.folder import newest_checkpoint, step_of
from tests.faults.drill import until, until_step


def test_stop_resume_finish(real_launch):
    run = real_launch(max_epochs=20)
    until_step(run, 2)
    run.stop()
    stopped = run.wait(60)
    assert stopped.state == "stopped", f"{stopped}\n{run.log()}"
    assert 2 <= stopped.step < stopped.total_steps == 80
    assert (run.checkpoints / f"step-{stopped.step}").is_dir()
    assert not run.model_path.exists()
    run.resume()
    assert run.wait(120).state == "finished", run.log()
    assert run.metrics()["step"].tolist() == list(range(1, 81))
    assert (run.model_path / "config.json").is_file()
    assert process.group_members(run.record["pid"]) == []


def test_a_rank_killed_while_the_other_waits_for_it(real_launch):
    run = real_launch(max_epochs=10_000, num_processes=2)
    until_step(run, 2)
    group = process.group_members(run.record["pid"])
    ranks = {psutil.Process(pid).environ().get("RANK"): pid for pid in group if pid != run.record["pid"]}
    os.kill(ranks["1"], 9)
    begin = time.monotonic()
    status = run.wait(30)
    assert time.monotonic() - begin < 10
    # Rank 0 dies of a closed connection a moment later; the reason names the one that went first.
    assert status.state == "failed" and status.reason.startswith("rank 1 was ended by SIGKILL"), run.log()
    assert process.group_members(run.record["pid"]) == []


def test_what_the_worker_raises_is_the_reason(real_launch, tiny_model, tmp_path):
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "llamma"}))
    run = real_launch(pretrain=str(other))
    status = run.wait(120)
    assert status.state == "failed"
    assert status.reason.startswith("rank 0: ") and "llamma" in status.reason
    assert "Traceback" in run.log()


def test_killed_again_and_again_it_loses_no_more_than_the_steps_since_the_checkpoint(real_launch):
    """SIGKILL to everything at moments drawn at random, in the middle of a save too: the losses are those of a run in peace."""
    settings = {"max_epochs": 10, "save_steps": 1, "max_ckpt_num": 2, "learning_rate": 1e-3}
    peace = real_launch(**settings)
    assert peace.wait(120).state == "finished", peace.log()
    run = real_launch(**settings)
    moments, kills = random.Random(0), 0
    while kills < 3 and not run.status.ended:
        until_step(run, run.status.step + 2)
        time.sleep(moments.random() * 0.3)
        if run.status.ended:
            break
        before = run.status.step
        run.kill()
        kills += 1
        newest = newest_checkpoint(run.checkpoints)
        assert newest is not None and step_of(newest) >= before - 1
        assert (newest / "checkpoint.json").is_file()
        run.resume()
    assert kills
    assert run.wait(120).state == "finished", run.log()
    assert run.metrics()["loss"].tolist() == peace.metrics()["loss"].tolist()


def test_a_rate_far_too_high_is_told_as_the_cause(real_launch):
    run = real_launch(learning_rate=1.0, max_epochs=40, lr_warmup_ratio=0, max_norm=0)
    assert run.wait(120).state == "failed", run.log()
    found = run.diagnosis
    assert found.cause == "nan" and "rows" in found.evidence
    assert found.fixes[0].fix == {"learning_rate": 0.1}


def test_data_that_change_while_a_run_waits(real_launch, tmp_path, monkeypatch, tiny_rows):
    """What preflight has seen is no longer true when the run's turn comes: the cause is told, and a change mends it."""
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    holder = queue.Ticket("holder", tmp_path, ["CPU"], waits=False)
    rows = tmp_path / "rows.jsonl"
    shutil.copy(tiny_rows, rows)
    run = real_launch(dataset=str(rows), queue=True)
    until(lambda: run.status.reason == "waiting for CPU, held by run holder")
    rows.write_text(rows.read_text().replace('"prompt"', '"demand"').replace('"response"', '"reply"'))
    holder.leave()
    assert run.wait(120).state == "failed"
    found = run.diagnosis
    assert found.cause == "missing_column" and "no column 'prompt'" in found.evidence
    other = run.duplicate(input_key="demand", output_key="reply")
    assert other.wait(120).state == "finished", other.log()


def test_a_limit_of_memory(real_launch, monkeypatch):
    """ulimit -v, as batch systems set it: an allocation fails, and nobody kills anything."""
    limited = f"sh -c 'ulimit -v 1500000; exec {sys.executable} -m sftkit.training.worker \"$0\"'"
    monkeypatch.setenv("SFTKIT_WORKER", limited)
    run = real_launch()
    assert run.wait(120).state == "failed"
    assert run.diagnosis.cause == "cpu_memory", run.log()
