"""A run folder that an enemy has made, or mailed: looked at, it does nothing; acted on, it reaches no other file or process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pytest

from sftkit.config import SFTConfig
from sftkit.errors import RunError, RunNotFound
from sftkit.runs import folder as disk
from sftkit.runs import launch, list_runs, load_run, process
from sftkit.runs.rank import worker_command

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
KNOWN_TAGS = {"img", "script", "iframe", "object", "embed", "link", "base", "form"}


def make(folder: Path, record: dict | None = None, **files: str) -> Path:
    """A finished run, as far as its files tell."""
    folder.mkdir(parents=True)
    config = SFTConfig(pretrain="m", dataset="d").to_dict()
    record = {"id": folder.name, "config": config, "cwd": str(folder)} | (record or {})
    status = json.dumps(
        {"state": "failed", "step": 1, "total_steps": 2, "reason": "so", "updated": time.time()}
    )
    for name, text in {"run_json": json.dumps(record), "status_json": status, **files}.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


class Tags(HTMLParser):
    """What a browser would make of a text."""

    def __init__(self, html: str):
        super().__init__()
        self.dangerous: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        runs = [name for name, value in attributes if name.startswith("on") or "javascript:" in (value or "")]
        pictures = dict(attributes).get("src", "") or ""
        if runs or (tag in KNOWN_TAGS and not pictures.startswith("data:image/png;base64,")):
            self.dangerous.append(tag)


def htmls(widget: ipywidgets.Widget) -> list[str]:
    """Every text that a widget tree shows as HTML."""
    children = [part for part in getattr(widget, "children", ()) if isinstance(part, ipywidgets.Widget)]
    own = [str(widget.value)] if isinstance(widget, (ipywidgets.HTML, ipywidgets.HTMLMath)) else []
    own += [str(getattr(widget, name)) for name in ("description", "placeholder") if hasattr(widget, "description_allow_html") and widget.description_allow_html]  # fmt: skip
    return own + [text for part in children for text in htmls(part)]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    evil = SFTConfig(pretrain=EVIL, dataset=EVIL, save_path=EVIL.replace("/", "")).to_dict()
    record = {
        "config": evil, "command": [EVIL], "host": None, "created": EVIL, "git_commit": EVIL, "versions": {EVIL: EVIL},
        "gpus": [EVIL], "data": [{"path": EVIL, "sha256": EVIL, "rows": EVIL, "split": EVIL}], "copied_from": EVIL,
        "machine": {EVIL: EVIL}, "model": {EVIL: EVIL},
    }  # fmt: skip
    lines = [{"step": n, "loss": 1.0, "eval_loss": 1.0, EVIL: 3.0, "eval_loss_by_task": {EVIL: 2.0}} for n in (1, 2)]  # fmt: skip
    sample = {"step": 1, "prompt": [{"role": EVIL, "content": EVIL}], "response": EVIL, "reference": EVIL, "task": EVIL, "source": EVIL, "row": 1}  # fmt: skip
    status = {"state": "failed", "step": 1, "total_steps": 2, "reason": EVIL, "updated": 1.0}
    return make(
        tmp_path / "runs" / EVIL.replace("/", ""),
        record,
        status_json=json.dumps(status),
        metrics_jsonl="".join(json.dumps(line) + "\n" for line in lines),
        samples_jsonl=json.dumps(sample) + "\n",
        train_log=f"{EVIL}\nTraceback (most recent call last):\nValueError: {EVIL}\n\x1b]0;title\x07\x1b[2J",
    )


def test_texts_of_a_run_folder_are_shown_as_text(hostile):
    """RunMonitor, RunsTable, the curves, a run's own card, and its card as a page."""
    import sftkit as sk
    from sftkit.report.run_card import RunCard

    run = load_run(hostile)
    shown = [run._repr_html_(), RunCard(run)._repr_html_()]
    for widget in (sk.RunMonitor(run), sk.RunsTable(hostile.parent)):
        shown += htmls(widget)
        widget.close()
    told = "\n".join(shown)
    assert "&lt;img" in told  # it is shown, as text
    assert not Tags(told).dangerous


def test_a_number_that_names_another_process_kills_nothing(tmp_path):
    """run.json may hold the pid, start and boot id of any process of the user's."""
    victim = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        folder = make(tmp_path / "run", process.identity(victim.pid), status_json='{"state": "running"}')
        run = load_run(folder)
        assert run.status.state == "running"  # as it says
        with pytest.raises(RunError, match="does not supervise"):
            run.kill()
        assert victim.poll() is None
    finally:
        victim.communicate()


def test_a_real_supervisor_is_known_and_not_that_of_another_run(tmp_path):
    words = [sys.executable, "-c", "input()", "sftkit.runs.supervisor", str(tmp_path / "one")]
    like = subprocess.Popen(words, stdin=subprocess.PIPE)
    try:
        until = time.monotonic() + 30
        while not process.supervises(like.pid, tmp_path / "one") and time.monotonic() < until:
            time.sleep(0.01)  # until it is itself, not a copy of us
        assert process.supervises(like.pid, tmp_path / "one")
        assert not process.supervises(like.pid, tmp_path / "two")
    finally:
        like.communicate()


@pytest.mark.parametrize("name", ["train.log", ".lock", "stop", "metrics.jsonl", "rank-0.log"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    folder = make(tmp_path / "run")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(thesis)
    run = load_run(folder)
    for deed in (run.resume, run.stop, run.kill):
        with pytest.raises(RunError, match="leads elsewhere"):
            deed()
    try:
        run.delete(confirm=run.id)
    except (RunError, OSError):
        assert name == ".lock"
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl", "train.log", "samples.jsonl"])
def test_a_pipe_in_the_place_of_a_file_holds_nobody(tmp_path, name):
    folder = make(tmp_path / "runs" / "piped")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    make(tmp_path / "runs" / "sound")
    with pytest.raises(RunNotFound, match="neither a file nor a folder"):
        load_run(folder)
    assert disk.read_json(folder / name) == {}
    assert list(list_runs(tmp_path / "runs")["id"]) == ["sound"]


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    "files",
    [
        {"run_json": DEEP}, {"status_json": DEEP}, {"run_json": '{"config": 5, "pid": "x", "gpus": 7, "data": "no", "created": [], "host": {}}'},
        {"run_json": '{"config": [], "pid": 1e999, "processes": {}, "data": [1], "cwd": 9}'}, {"run_json": "\x00"},
        {"status_json": '{"state": ["running"], "step": "many", "reason": {"a": 1}, "updated": "now"}'},
        {"metrics_jsonl": DEEP + "\n" + '{"step": 1, "loss": 2.0}\n{"step": "x", "loss": []}\n'},
        {"run_json": '{"config": {"pretrain": "m", "dataset": "d"}, "pid": ' + "9" * 4000 + "}"},
    ],
)  # fmt: skip
def test_a_damaged_run_hides_no_other(tmp_path, files):
    make(tmp_path / "runs" / "bad", **files)
    make(tmp_path / "runs" / "sound")
    assert "sound" in list(list_runs(tmp_path / "runs")["id"])
    run = load_run(tmp_path / "runs" / "bad")
    run._repr_html_()
    assert len(run.metrics()) <= 2
    assert run.status.state in disk.STATES


def test_a_log_without_an_end_is_read_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "LONGEST_TAIL", 1 << 20)
    folder = make(tmp_path / "run", train_log="x" * (8 << 20))
    assert len(load_run(folder).log(10)) <= (1 << 20) + 65_536


def test_a_large_file_is_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "LARGEST_JSON", 1000)
    (tmp_path / "status.json").write_text(json.dumps({"reason": "x" * 1000}))
    assert disk.read_json(tmp_path / "status.json") == {}


def test_ids_are_names_and_no_paths(tmp_path):
    """The folder is what names a run, whatever its record says."""
    folder = make(tmp_path / "runs" / "here", {"id": "../../elsewhere"})
    assert load_run(folder).id == "here"
    with pytest.raises(RunError):
        load_run(folder).delete(confirm="../../elsewhere")


def test_deleting_takes_nothing_from_outside(tmp_path):
    """A record that names somebody's documents as its model and checkpoints, and a link to them in the folder."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "letter").write_text("dear")
    config = SFTConfig(
        pretrain="m", dataset="d", save_path=str(documents), ckpt_path=str(documents)
    ).to_dict()
    folder = make(tmp_path / "runs" / "evil", {"config": config})
    (folder / "linked").symlink_to(documents)
    load_run(folder).delete(confirm="evil", outside=True)
    assert (documents / "letter").read_text() == "dear"
    assert not folder.exists()


def test_a_folder_where_a_run_is_resumed_lends_no_modules(tmp_path):
    """The training process starts in the folder that run.json names; a torch.py there is not imported."""
    (tmp_path / "torch.py").write_text("import os; os.mkdir('mark')")
    (tmp_path / "json.py").write_text("import os; os.mkdir('mark')")
    command = worker_command(tmp_path / "run")
    assert command[1:3] == ["-P", "-m"]
    done = subprocess.run(
        [*command[:2], "-c", "import json, importlib.util; print(importlib.util.find_spec('torch').origin)"], cwd=tmp_path, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout
    assert not (tmp_path / "mark").exists()


def test_a_command_from_a_record_is_never_run(tmp_path, tiny_model, tiny_rows, monkeypatch):
    """run.json keeps the command and the Python for reading; a start takes neither."""
    mark = tmp_path / "mark"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\nmkdir {mark}\n")
    script.chmod(0o755)
    monkeypatch.setenv(
        "SFTKIT_WORKER", f"{sys.executable} {Path(__file__).parents[1] / 'runs' / 'fake_worker.py'}"
    )
    run = launch(
        SFTConfig(pretrain=str(tiny_model), dataset=str(tiny_rows), num_processes=1), tmp_path / "runs"
    )
    run.kill()
    record = run.record | {"python": str(script), "command": [str(script)], "worker": [str(script)]}
    (run.folder / "run.json").write_text(json.dumps(record))
    status = run.resume().wait(60)
    assert status.state == "finished"
    assert not mark.exists()
