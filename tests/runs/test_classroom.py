"""A class on one machine: caps, places of runs, whose turn it is; and real people, where this is run as root."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftkit.errors import ConfigError, DryRunError, LaunchError
from sftkit.runs import classroom, launch, limits, preflight, process, queue, queue_room, queue_turn
from sftkit.runs.classroom import Caps, runs_folder, teach
from sftkit.runs.dry_run import dry_run
from sftkit.runs.queue_turn import Machine, Place, waits_for
from tests.runs.classroom_users import FIRST, ROOT, Classroom, lacking
from tests.runs.conftest import wait_for
from tests.runs.provoking import provokes

people = pytest.mark.skipif(bool(lacking()), reason=lacking() or "")


@pytest.fixture(autouse=True)
def untaught(monkeypatch, tmp_path):
    """No class but the test's own; what `teach` puts into the environment goes with it."""
    for name in (classroom.TEACH, classroom.RUNS_DIR, *classroom.VARIABLES.values()):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(classroom, "_for_all", None)
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))


@pytest.fixture
def room():
    made = Classroom({"SFTKIT_CORES": "1", "SFTKIT_MEMORY_GB": "2", "SFTKIT_RUNS": "1"})
    shutil.copytree(ROOT / "data" / "tiny-base", made.shared / "tiny-base")
    rows = (ROOT / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:64]
    (made.shared / "train.jsonl").write_text("".join(rows), encoding="utf-8")
    yield made
    made.close()


# caps


def test_teach_tightens_and_never_widens_what_the_administrator_has_set(monkeypatch):
    monkeypatch.setenv("SFTKIT_CORES", "2")
    monkeypatch.setenv("SFTKIT_MEMORY_GB", "1.5")
    assert classroom.caps() == Caps(2, 1.5, None) and not classroom.teaching()
    taught = teach(cores=8, memory_gb=1, runs=3)
    assert taught.caps == classroom.caps() == Caps(2, 1.0, 3) and classroom.teaching()
    assert "2 cores and 1 GiB" in repr(taught) and "3 runs at a time" in repr(taught)
    assert teach(cores=1).caps == Caps(1, 1.5, None)  # each call begins from the administrator's
    assert teach(False).caps == classroom.caps() == Caps(2, 1.5, None) and not classroom.teaching()


@pytest.mark.parametrize("bad", [{"cores": 0}, {"cores": 1.5}, {"memory_gb": -1}, {"runs": "many"}, {"cores": True}, {"memory_gb": float("nan")}])  # fmt: skip
def test_what_is_no_cap_is_refused(bad):
    with pytest.raises(ConfigError, match=f"{next(iter(bad))}.* is no cap"):
        teach(**bad)
    assert not classroom.teaching()


def test_a_faulty_variable_is_named_and_stops_the_launch(monkeypatch, settings, tmp_path):
    monkeypatch.setenv("SFTKIT_CORES", "two")
    monkeypatch.setenv("SFTKIT_RUNS", "0")
    with pytest.raises(LaunchError, match=r"(?s)SFTKIT_CORES.*'two' is no cap.*SFTKIT_RUNS.*'0' is no cap"):
        launch(settings, tmp_path / "runs")


def test_where_runs_lie(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert runs_folder("runs") == Path("runs") and runs_folder("/x/runs") == Path("/x/runs")
    monkeypatch.setenv("JUPYTERHUB_USER", "ana")
    monkeypatch.setenv("SFTKIT_RUNS_DIR", str(tmp_path / "all" / "{user}"))
    assert runs_folder("runs") == runs_folder("../runs") == tmp_path / "all" / "ana"
    assert runs_folder("mine/others") == Path("mine/others") and runs_folder("/x/runs") == Path("/x/runs")


# whose turn it is

EIGHT = Machine(cores=8, memory=16 * 2**30)


def place(number, person="ana", waits=True, cores=1, memory=None, runs=None, devices=("CPU",), cpus=()):
    return Place(number, f"run{number}", devices, waits, (1, person), cores, memory, runs, cpus)


def test_capped_runs_share_the_cores_and_one_without_a_cap_wants_all():
    four = [place(n, f"p{n}", waits=False, cores=2) for n in range(1, 5)]
    mine = place(9, "me", cores=2)
    assert waits_for(mine, four[:3], EIGHT) == ""
    assert waits_for(mine, four, EIGHT).startswith("waiting for CPU, held by run run1 of p1, run2 of p2, run3 of p3 and 1 more")  # fmt: skip
    everything = place(9, "me", cores=None)
    assert waits_for(everything, four[:1], EIGHT) == "waiting for CPU, held by run run1 of p1"
    assert waits_for(mine, [place(1, "p", waits=False, cores=None)], EIGHT)
    assert waits_for(place(9, cores=99), [], EIGHT) == ""  # more than there are: all of them
    # Who has waited longer goes first, even where a narrower run would fit.
    wide = place(5, "p5", cores=4)
    assert waits_for(wide, four[:3], EIGHT) and waits_for(mine, [*four[:3], wide], EIGHT).endswith("(1 run before it in the queue)")  # fmt: skip


def test_capped_memory_is_shared_too():
    gib = 2**30
    five = [place(n, f"p{n}", waits=False, memory=3 * gib) for n in range(1, 6)]
    assert waits_for(place(9, "me", memory=3 * gib), five[:4], EIGHT) == ""
    assert waits_for(place(9, "me", memory=3 * gib), five, EIGHT)
    assert waits_for(place(9, "me", memory=99 * gib), [], EIGHT) == ""


def test_a_persons_second_run_waits_for_the_first_and_keeps_nobody_else_waiting():
    first, second = place(1, "ana", waits=False, runs=1), place(2, "ana", runs=1)
    assert waits_for(second, [first], EIGHT) == "waiting for run1 of yours: 1 run at a time"
    assert waits_for(place(3, "ben", cores=7, runs=1), [first, second], EIGHT) == ""
    assert waits_for(place(3, "ben", runs=2), [place(1, "ben", waits=False), place(2, "ben", waits=False)], EIGHT).endswith("2 runs at a time")  # fmt: skip


def test_each_gets_the_cores_that_fewest_are_on():
    there = [place(1, waits=False, cpus=(0, 1)), place(2, waits=False, cpus=(0,)), place(3, cpus=(2,))]
    assert queue_turn.least_used(there, [0, 1, 2, 3], 2) == (2, 3)
    assert queue_turn.least_used(there, [0, 1], 1) == (1,)
    assert queue_turn.least_used([], [4, 5], 9) == (4, 5)


def test_a_place_whose_file_says_nonsense_is_read_all_the_same():
    told = {"run": 7, "devices": "CPU", "cores": "all", "runs": -1, "cpus": [1, "x"], "user": "<b>" * 99}
    read = Place.of(1, 1000, told)
    assert (read.devices, read.cores, read.runs, read.cpus) == ((), None, None, (1,)) and len(read.person[1]) == 40  # fmt: skip


# caps on processes


def test_a_capped_run_keeps_to_its_cores_and_may_not_ask_for_more_memory(fake_launch, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    teach(cores=1, memory_gb=1)
    run = fake_launch(steps=2000)
    wait_for(lambda: run.status.state == "running")
    assert run.record["caps"] == {"cores": 1, "memory_gb": 1.0}
    (rank,) = [pid for pid in process.group_members(run.record["pid"]) if pid != run.record["pid"]]
    assert len(os.sched_getaffinity(rank)) == 1 and len(os.sched_getaffinity(0)) >= 1
    data = next(line for line in Path(f"/proc/{rank}/limits").read_text().splitlines() if line.startswith("Max data size"))  # fmt: skip
    assert data.split()[3:5] == [str(2**30 + limits.ROOM)] * 2
    wait_for(lambda: "threads 1\n" in run.log() + "\n")
    (held,) = queue.holders(["CPU"])
    assert held.cpus == tuple(os.sched_getaffinity(rank)) and (held.cores, held.memory) == (1, 2**30)
    run.kill()


def test_answers_and_scores_keep_within_the_caps_too(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)  # no cards here
    assert limits.for_child() is None
    teach(cores=1, memory_gb=1)
    code = "import os, resource; print(len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_DATA)[0])"
    said = subprocess.run([sys.executable, "-c", code], preexec_fn=limits.for_child(), capture_output=True, text=True, check=True)  # fmt: skip
    assert said.stdout.split() == ["1", str(2**30 + limits.ROOM)]


HUNGRY = "import numpy; held = numpy.ones(2**29)  # 4 GiB at once"


@pytest.mark.parametrize("how", ["bit by bit", "at once", "in two processes"])
def test_a_run_over_its_memory_is_ended_and_told_so(fake_launch, tmp_path, monkeypatch, how):
    teach(memory_gb=0.25)
    if how == "at once":
        (tmp_path / "hungry.py").write_text(HUNGRY)
        monkeypatch.setenv("SFTKIT_WORKER", f"{sys.executable} {tmp_path / 'hungry.py'}")
    monkeypatch.setattr("sftkit.runs.launcher.preflight", lambda *_: [])  # it would say so beforehand
    run = fake_launch(num_processes=2 if how == "in two processes" else None, fault="eat", steps=2000)
    assert run.wait(30).state == "failed"
    assert "a run may take 0.25 GiB here" in run.status.reason, run.log()
    found = run.diagnosis
    assert found.cause == "memory_cap" and "0.25 GiB of memory here" in str(found)
    assert {"micro_train_batch_size", "gradient_checkpointing"} <= {name for fix in found.fixes for name in fix.fix}  # fmt: skip
    if how == "at once":
        assert "Unable to allocate" in found.evidence


@provokes(
    "what_a_run_may_take", "processes_have_a_core_each", "caps_hold_on_this_machine_only", "caps_are_numbers"
)
def test_preflight_says_beforehand_what_a_cap_does_not_hold(settings, tmp_path, monkeypatch):
    def said(**changes):
        found = preflight(settings.with_(**changes), tmp_path / "runs")
        return {finding.key: finding for finding in found}

    assert "what_a_run_may_take" not in said()
    teach(cores=2, memory_gb=4, runs=1)
    told = said()
    assert told["what_a_run_may_take"].message == "A run may use 2 cores and 4 GiB of memory. You may have 1 run at a time; more wait in the queue."  # fmt: skip
    assert told["memory_suffices"].level == "inform" and "of the 4 GiB that a process of a run may take here" in told["memory_suffices"].message  # fmt: skip
    assert told["what_a_run_may_take"].message_in("zh").startswith("每次运行可用：2 个核心 和 4 GiB 内存。")
    shared = said(num_processes=4, train_batch_size=32, micro_train_batch_size=8)["processes_have_a_core_each"]  # fmt: skip
    assert shared.level == "warn" and shared.apply(settings.with_(num_processes=4, micro_train_batch_size=4)).processes == 1  # fmt: skip
    away = said(launcher="slurm", num_processes=2)["caps_hold_on_this_machine_only"]
    assert away.level == "stop" and away.fix["launcher"] == "local"
    teach(memory_gb=0.3)
    assert said()["memory_suffices"].level == "stop" and "larger cap" in said()["memory_suffices"].message
    holder = queue.Ticket("another", tmp_path, ["CPU"], waits=False)
    assert "Launched now, it would be waiting for CPU, held by run another." in said()["what_a_run_may_take"].message  # fmt: skip
    holder.leave()
    monkeypatch.setenv("SFTKIT_CORES", "two")
    no_number = said()["caps_are_numbers"]
    assert no_number.level == "stop" and "'two' is no cap" in no_number.message


def test_under_caps_runs_wait_without_being_asked_to(fake_launch):
    teach(runs=1, cores=1)
    first, second = fake_launch(steps=2000), fake_launch(steps=3)
    wait_for(lambda: second.status.reason)
    assert second.status.state == "queued" and "of yours: 1 run at a time" in second.status.reason
    first.stop()
    assert second.wait(20).state == "finished"


def test_a_dry_run_waits_for_its_turn_too_and_says_so(settings, fake_worker, tmp_path):
    teach(cores=10_000)
    holder, said = queue.Ticket("holder", tmp_path, ["CPU"], waits=False), []
    with pytest.raises(DryRunError, match="took longer"):
        dry_run(settings, tmp_path / "runs", timeout=3, progress=said.append)
    assert "waiting for CPU, held by run holder" in said
    holder.leave()
    assert queue.holders(["CPU"]) == []


# the folder of the queue


def test_a_folder_for_all_is_taken_and_one_that_is_just_open_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "getuid", lambda: 12_345)  # whoever made it, it is not ours
    (tmp_path / "line").mkdir()
    with pytest.raises(PermissionError, match="install -d -m 1777"):
        queue_room.room()
    (tmp_path / "line").chmod(0o1777)
    assert queue_room.room() == tmp_path / "line"
    monkeypatch.delenv("SFTKIT_QUEUE")
    monkeypatch.setattr(queue_room, "LOCAL", tmp_path)
    (tmp_path / "sftkit-12345").mkdir()
    (tmp_path / "sftkit-12345").chmod(0o1777)  # somebody was there before us, where only we should be
    with pytest.raises(PermissionError):
        queue_room.room()


def test_what_others_put_into_the_line_is_read_with_care(tmp_path):
    line = queue_room.room()
    os.mkfifo(line / "00000001")  # opening it would wait for ever
    (line / "00000002").symlink_to("/etc/passwd")
    (line / "00000003").mkdir()
    (line / "00000004").write_text("not held by anybody")
    ticket = queue.Ticket("mine", tmp_path, ["CPU"], waits=True)
    assert ticket.try_to_start() == "" and [place.run for place in queue.holders(["CPU"])] == ["mine"]
    assert not (line / "00000004").exists()
    ticket.leave()


# the page for teachers


def test_the_page_for_teachers_names_what_there_is(monkeypatch):
    page = (ROOT / "docs" / "classroom.md").read_text(encoding="utf-8")
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "sftkit").rglob("*.py"))
    named = set(re.findall(r"SFTKIT_[A-Z_]+", page))
    assert named >= {classroom.TEACH, classroom.RUNS_DIR, queue_room.PLACE_VARIABLE, *classroom.VARIABLES.values()}  # fmt: skip
    assert all(f'"{name}"' in source for name in named), named
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    (config,) = [compile(block, "page", "exec") for block in blocks if "c.Spawner" in block]
    hub = SimpleNamespace(Spawner=SimpleNamespace())
    exec(config, {"c": hub})
    for name, value in hub.Spawner.environment.items():
        monkeypatch.setenv(name, value)
    assert classroom.caps() == Caps(1, 2.0, 1) and classroom.teaching()
    assert runs_folder("runs") == Path("/srv/class/runs", classroom.user())
    made = []
    monkeypatch.setattr("subprocess.run", lambda command, check: made.append(command))
    hub.Spawner.pre_spawn_hook(SimpleNamespace(user=SimpleNamespace(name="root")))
    assert made == [["install", "-d", "-m", "2750", "-o", "root", "-g", "teachers", "/srv/class/runs/root"]]


# real people

LESSON = """
import json, sys
import sftkit as sk

shared, model = sys.argv[1:]
config = sk.SFTConfig(pretrain=model, dataset=f"{shared}/train.jsonl", max_samples=16, max_len=64,
                      train_batch_size=8, micro_train_batch_size=8, learning_rate=1e-3, sample_prompts=0)
run = sk.launch(config)
status = run.wait(150)
print(json.dumps({
    "state": status.state, "reason": status.reason, "steps": len(run.metrics()), "caps": run.record["caps"],
    "runs": list(sk.list_runs()["state"]), "folder": str(run.folder), "began": run.record["pid_started"],
}))
"""


@people
def test_six_people_at_once_train_for_real_and_keep_apart(room):
    """Half of them start from the shared folder of models, half from a shared cache of the hub."""
    cached = room.shared / "hub" / "models--class--tiny"
    shutil.copytree(room.shared / "tiny-base", cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    models, hub = ["class/tiny", str(room.shared / "tiny-base")], {"HF_HUB_CACHE": str(room.shared / "hub"), "HF_HUB_OFFLINE": "1"}  # fmt: skip
    before, most = room.seen(), 0
    started = [room.start(n, LESSON, str(room.shared), models[n % 2], **hub) for n in range(6)]
    while any(one.poll() is None for one in started):
        most = max(most, _busy(room))
        time.sleep(0.2)
    told = [json.loads(room.said(one)) for one in started]
    assert [one["state"] for one in told] == ["finished"] * 6, told
    assert all(one["runs"] == ["finished"] and one["steps"] == 2 for one in told)
    for person, one in enumerate(told):
        folder = Path(one["folder"])
        assert folder.parent == room.home(person) / "runs" and folder.stat().st_uid == FIRST + person
        assert one["caps"] == {"cores": 1, "memory_gb": 2.0, "runs": 1}
        assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert 1 <= most <= len(os.sched_getaffinity(0))  # never more runs than cores
    assert room.seen() == before  # nothing was written beside what all share
    assert [path.name for path in room.queue.iterdir()] == [queue_room.DOOR]


def _busy(room) -> int:
    """Runs that use the CPU now."""
    return sum(not told["waits"] for _, _, told in queue_room.told(room.queue))


LAUNCH = """
import sys, sftkit as sk
config = sk.SFTConfig(pretrain=f"{sys.argv[1]}/tiny-base", dataset=f"{sys.argv[1]}/train.jsonl", max_samples=16, train_batch_size=8)
print(sk.launch(config, "runs").folder)
"""
LOOK = """
import sys, json, sftkit as sk
run = sk.load_run(sys.argv[1])
told = {"state": run.status.state, "can": sorted(run.can), "listed": list(sk.list_runs(run.folder.parent)["state"]), "refused": []}
for what in (run.stop, run.kill, run.resume, run.score_rows, lambda: run.delete(confirm=run.id)):
    try:
        what()
    except sk.RunError as error:
        told["refused"].append(str(error))
told["steps"] = len(run.metrics())
copy = run.duplicate(max_samples=8)
told["copy"] = [str(copy.folder), copy.wait(30).state]
print(json.dumps(told))
"""


@people
def test_anothers_run_can_be_looked_at_where_it_is_open_and_not_touched(room, fake_worker, monkeypatch):
    """With caps of one core each: the second person's copy runs beside, or after, the first one's run."""
    monkeypatch.setenv("FAKE_STEPS", "150")
    room.home(0).chmod(0o755)
    (folder,) = room.said(room.start(0, LAUNCH, str(room.shared), umask=0o022)).split()
    wait_for(lambda: json.loads(Path(folder, "status.json").read_text())["state"] == "running")
    told = json.loads(room.said(room.start(1, LOOK, folder, FAKE_STEPS="2")))
    assert told["state"] in ("running", "finished") and told["can"] == ["duplicate"] and told["listed"] == [told["state"]]  # fmt: skip
    assert len(told["refused"]) == 5
    for what, words in zip(("stop", "kill", "resume", "score", "delete"), told["refused"], strict=True):
        assert f"belongs to user {FIRST}" in words and f"can {what} it" in words
    assert told["steps"] > 0  # read with the cache elsewhere: none was made in the other's folder
    assert not Path(folder, "stop").exists()
    copy, state = told["copy"]
    assert Path(copy).parent == room.home(1) / "runs" and state == "finished"
    run = json.loads(Path(folder, "run.json").read_text())
    wait_for(lambda: not process.is_alive(run), 30)
    assert json.loads(Path(folder, "status.json").read_text())["state"] == "finished"


@people
def test_a_run_lives_also_where_the_system_hides_the_processes_of_others(room, fake_worker, monkeypatch):
    monkeypatch.setenv("FAKE_STEPS", "2000")
    room.home(0).chmod(0o755)
    (folder,) = room.said(room.start(0, LAUNCH, str(room.shared), umask=0o022)).split()
    look = "import sys, sftkit as sk; from sftkit.runs import process; run = sk.load_run(sys.argv[1]); process.is_alive = lambda kept: False; print(run.status.state)"  # fmt: skip
    assert room.said(room.start(1, look, folder)).strip() in ("starting", "running")
    os.killpg(json.loads(Path(folder, "run.json").read_text())["pid"], signal.SIGKILL)
    assert room.said(room.start(1, look, folder)).strip() == "failed"


CLOSED = """
import sys, json, sftkit as sk
shared = sys.argv[1]
good = {"pretrain": f"{shared}/tiny-base", "dataset": f"{shared}/train.jsonl", "max_samples": 16, "train_batch_size": 8}
told = {}
for name, change in json.loads(sys.argv[2]).items():
    found = sk.preflight(sk.SFTConfig(**{**good, **{field: f"{shared}/{path}" for field, path in change.items()}}))
    told[name] = [(one.level, one.field, one.message) for one in found if one.level != "inform"]
for name, what in (("read", lambda: sk.profile(f"{shared}/shut/rows.jsonl")), ("run", lambda: sk.load_run(f"{shared}/shut/a-run"))):
    try:
        what()
    except sk.SftkitError as error:
        told[name] = str(error)
told["listed"] = len(sk.list_runs(shared))
print(json.dumps(told))
"""


@people
def test_what_is_closed_is_told_once_and_in_words(room):
    """Not once for every check that stumbles over it, and not as a traceback."""
    shut = room.shared / "shut"
    shutil.copytree(room.shared / "tiny-base", shut / "model")
    shutil.copy(room.shared / "train.jsonl", shut / "rows.jsonl")
    (shut / "run.json").write_text("{}")
    (room.shared / "run").mkdir()
    shutil.copytree(room.shared / "tiny-base", room.shared / "half")
    (room.shared / "half" / "model.safetensors").chmod(0o600)
    shut.chmod(0o700)
    asked = {"data": {"dataset": "shut/rows.jsonl"}, "half a model": {"pretrain": "half"}, "save": {"save_path": "mine"}}  # fmt: skip
    told = json.loads(room.said(room.start(0, CLOSED, str(room.shared), json.dumps(asked))))
    for name, field in (("data", "dataset"), ("half a model", "pretrain"), ("save", "save_path")):
        assert [one[:2] for one in told[name]] == [["stop", field]], told[name]
    assert "is closed to you" in told["data"][0][2] and "is closed to you" in told["half a model"][0][2]
    assert "is closed to you" in told["read"] and "is closed to you" in told["run"]
    assert told["listed"] == 0
