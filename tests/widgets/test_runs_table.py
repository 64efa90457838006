"""The table of runs, kernel half, against folders written by hand and a page that this test plays."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from sftkit.runs import Run
from sftkit.runs import folder as disk
from sftkit.widgets import runs_table
from sftkit.widgets.labels import table as labels
from sftkit.widgets.runs_table import RunsTable
from sftkit.wording import chinese

SOURCES = Path(__file__).parents[2] / "widgets/src"


def write_run(runs, name, state="finished", step=4, config=None):
    folder = runs / name
    folder.mkdir(parents=True)
    disk.write_json(
        folder / disk.RUN, {"config": config or {}, "created": "2026-01-02T03:04:05+00:00", "cwd": str(runs)}
    )
    disk.write_status(folder, state, step=step, total=10)
    return folder


class Page:
    """The browser half: takes in what is sent, and says so when it is told to."""

    def __init__(self, table, monkeypatch):
        self.grid, self.messages = table.grid, []
        monkeypatch.setattr(table.grid, "send", lambda content, buffers=None: self.messages.append(content))

    def say(self, **content):
        json.dumps(self.messages, allow_nan=False)
        self.grid._heard(self.grid, content, [])

    def open(self):
        self.say(kind="hello", seen=self.grid.frame, view="v", shown=True)
        self.took()

    def took(self):
        self.say(seen=self.grid.frame)


@pytest.fixture
def runs(tmp_path):
    for name in ("a", "b", "c"):
        write_run(tmp_path / "runs", name)
    return tmp_path / "runs"


@pytest.fixture
def table(runs):
    return RunsTable(runs, lang="en")


@pytest.fixture
def page(table, monkeypatch):
    page = Page(table, monkeypatch)
    page.open()
    return page


def look(table):
    return table._show(table._look())


def ids(message):
    return sorted(row["id"] for row in message["rows"])


def test_a_page_that_opens_is_told_all(table, page):
    assert ids(page.messages[0]) == ["a", "b", "c"] and page.messages[0]["all"]
    assert sorted(table.frame["id"]) == ["a", "b", "c"]
    page.open()  # another one
    assert ids(page.messages[1]) == ["a", "b", "c"]


def test_only_what_has_changed_is_sent_and_only_when_the_last_was_taken_in(table, page, runs):
    page.messages.clear()
    look(table)
    assert page.messages == []
    disk.write_status(runs / "b", "stopped")
    look(table)
    assert ids(page.messages[0]) == ["b"] and not page.messages[0]["all"]
    write_run(runs, "d")
    disk.write_status(runs / "b", "failed", "x")
    look(table)
    assert len(page.messages) == 1  # still on its way
    page.took()
    look(table)
    assert ids(page.messages[1]) == ["b", "d"]


def test_a_run_that_is_gone_leaves_the_page(table, page):
    page.messages.clear()
    page.say(kind="act", act="delete", ids=["a", "c"])
    assert sorted(page.messages[-1]["gone"]) == ["a", "c"]
    assert table.errors.messages == [] and list(table.frame["id"]) == ["b"]


def test_one_that_cannot_be_done_does_not_keep_the_others_from_it(table, page, runs, monkeypatch):
    stopped = []
    monkeypatch.setattr(Run, "stop", lambda run: stopped.append(run.id) if run.id != "b" else 1 / 0)
    page.say(kind="act", act="stop", ids=["a", "b", "gone", "c"])
    assert stopped == ["a", "c"]
    assert len(table.errors.messages) == 2 and any("gone" in words for words in table.errors.messages)


@pytest.mark.parametrize("name", ["..", "../elsewhere", "", "a/b"])
def test_a_page_can_name_only_runs_of_this_folder(table, page, runs, name):
    write_run(runs.parent, "elsewhere")
    page.say(kind="act", act="delete", ids=[name])
    assert len(table.errors.messages) == 1 and (runs.parent / "elsewhere").exists() and runs.exists()


def test_monitor_curves_and_forms_stand_below_one_at_a_time(table, page, settings, runs):
    write_run(runs, "real", config=settings.to_dict())
    page.say(kind="act", act="open", ids=["a"])
    assert table.below.run.id == "a"
    page.say(kind="act", act="compare", ids=["a", "real"])
    assert type(table.below).__name__ == "LossCurves" and "real" in repr(table.below)
    page.say(kind="act", act="duplicate", ids=["real"])
    assert table.below.config.learning_rate == 1e-3 and Path(table.below.runs_dir) == runs
    page.say(kind="act", act="new", ids=[])
    assert type(table.below).__name__ == "LaunchForm"
    table._place.children[0].children[0].click()  # close
    assert table.below is None and table._place.children == () and table.errors.messages == []


def test_an_unknown_wish_of_the_page_is_no_fault(table, page):
    page.say(kind="act", act="explode", ids=["a"])
    page.say(kind="act")
    assert table.errors.messages == [] and len(table.frame) == 3


def test_why_a_run_failed_is_said_in_the_readers_language(runs):
    disk.write_status(runs / "a", "failed", "rank 0: torch.OutOfMemoryError: CUDA out of memory")
    why = {lang: RunsTable(runs, lang=lang).frame.set_index("id").loc["a", "why"] for lang in ("en", "zh")}
    assert why["en"] == "The GPU ran out of memory"
    assert why["zh"] == chinese()["The GPU ran out of memory"]


def test_no_runs_is_no_fault(tmp_path, monkeypatch):
    table = RunsTable(tmp_path / "nothing")
    page = Page(table, monkeypatch)
    page.open()
    assert page.messages == [{"rows": [], "gone": [], "all": True}]
    assert table.frame.empty and "0 runs" in repr(table)


def test_it_moves_by_itself_until_it_is_closed(runs, monkeypatch):
    monkeypatch.setattr(runs_table, "SECONDS", 0.02)

    async def watch():
        table = RunsTable(runs)
        Page(table, monkeypatch).open()
        write_run(runs, "new")
        deadline = time.monotonic() + 10
        while "new" not in set(table.frame.get("id", ())):
            table.grid._heard(table.grid, {"seen": table.grid.frame}, [])
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        table.close()
        return table._poll.running

    assert asyncio.run(watch()) is False


def test_two_hundred_runs_are_one_quick_message(tmp_path, monkeypatch, least_seconds):
    for number in range(200):
        write_run(tmp_path, f"20260101-{number:06d}-tiny")
    table = RunsTable(tmp_path)
    page = Page(table, monkeypatch)
    page.open()
    assert len(page.messages[0]["rows"]) == 200
    assert len(json.dumps(page.messages[0])) < 120_000
    assert least_seconds(lambda: look(table)) < 0.5


def test_every_word_of_the_page_is_there_in_both_languages():
    source = "".join((SOURCES / name).read_text(encoding="utf-8") for name in ("runs.ts", "runs_state.ts"))
    source += Path(runs_table.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r'"(runs\.[a-z_]+)"', source)) - {"runs.js", "runs.css"}
    assert used and used <= set(labels())
    built = {
        f"runs.column.{name}"
        for name in re.search(r"COLUMNS = \[(.*?)\]", source).group(1).replace('"', "").split(", ")
    }
    built |= {f"runs.state.{name}" for name in disk.STATES}
    built |= {
        f"runs.{name}"
        for name in re.search(r"type Action = (.*?);", source).group(1).replace('"', "").split(" | ")
    }
    assert built <= set(labels())
    assert {key for key in labels() if key.startswith("runs.")} <= used | built


def test_a_table_of_many_people_only_looks(tmp_path, monkeypatch):
    for person in ("ana", "ben"):
        write_run(tmp_path / person, "first", "failed")
    table = RunsTable(tmp_path / "*", lang="en")
    page = Page(table, monkeypatch)
    page.open()
    assert sorted(table.frame["id"]) == ["ana/first", "ben/first"]
    for act in ("stop", "resume", "delete", "duplicate", "new"):
        page.say(kind="act", act=act, ids=["ana/first"])
        assert "is for looking" in table.errors.messages[0] and table.below is None
        table.errors.clear()
    for name in ("../ana/first", "ana", "/etc"):
        page.say(kind="act", act="open", ids=[name])
        assert "is no run of" in table.errors.messages[0]
        table.errors.clear()
    page.say(kind="act", act="open", ids=["ana/first"])
    assert table.below.run.folder == tmp_path / "ana" / "first"
    table.close()
