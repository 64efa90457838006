"""DatasetView, the kernel half: every figure leads to its rows, and what is changed on the page is beside the data."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sftkit as sk
from sftkit.data import patches, read_examples, read_rows
from sftkit.errors import DataError
from sftkit.widgets.dataset_view import DatasetView

SAME = {"question": "Where is the station, please?", "reply": "It is behind the town hall.", "task": "place"}
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Helo"}]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(count: int = 40) -> list[dict]:
    return [{"question": f"What is {n} and {n * 7}, in words?", "reply": f"The sum is {n * 8} " + "x " * n, "task": "sum" if n % 2 else "odd"} for n in range(count)]  # fmt: skip


@pytest.fixture
def data(tmp_path) -> Path:
    return write(tmp_path / "rows.jsonl", [*rows_of(), SAME, SAME, {"question": "And?", "reply": "", "task": "odd"}])  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Page:
    """What the browser does: it asks, and gets one answer."""

    def __init__(self, view: DatasetView):
        self.view, self.answers = view, []
        view.send = lambda message, *_: self.answers.append(message)

    def ask(self, kind: str, **about) -> dict:
        self.view._receive(self.view, {"ask": "1", "kind": kind, **about}, [])
        answer = self.answers[-1]
        if "error" in answer:
            raise DataError(answer["error"])
        return answer

    def look(self, only: str = "", text: str = "", sort: str = "row", down: bool = False) -> dict:
        found = self.ask("look", only=only, text=text, sort=sort, down=down)
        while found["scanned"] < found["total"]:
            found = self.ask("more", look=found["look"])
        return found

    def rows(self, **wish) -> list[dict]:
        found = self.look(**wish)
        return self.ask("rows", look=found["look"], **{"from": 0, "to": found["count"]})["rows"]


@pytest.fixture
def page(data) -> Page:
    page = Page(sk.DatasetView(str(data)))  # the columns question and reply are found unasked
    page.ask("hello")
    return page


def keys(figures: dict) -> dict[str, int]:
    bins = [one for bars in figures["lengths"] for one in bars["bins"]]
    shares = [one for table in figures["tables"] for one in table["shares"]]
    return {one["key"]: one["count"] for one in [*figures["findings"], *figures["fates"], *bins, *shares]}


def test_every_count_leads_to_as_many_rows(page):
    figures = page.ask("figures")["figures"]
    counts = keys(figures)
    assert (
        counts["kind:exact_duplicate"] == 1 and counts["kind:empty_answer"] == 1 and counts["task:sum"] == 20
    )
    for key, count in counts.items():
        assert page.look(only=key)["count"] == count, key
    [row] = page.rows(only="kind:exact_duplicate")
    assert (row["row"], row["prompt"]) == (42, SAME["question"])
    assert page.ask("row", number=row["number"])["marks"][0] == "exact duplicate"
    assert "repeats row 41" in page.ask("row", number=row["number"])["marks"][-1]
    for bars in figures["lengths"]:
        assert sum(one["count"] for one in bars["bins"]) == figures["rows"] == 43
        edges = [(one["from"], one["to"]) for one in bars["bins"]]
        assert all(high + 1 == low for (_, high), (low, _) in pairwise(edges))
    assert str(page.view).startswith("43 rows")
    with pytest.raises(DataError, match="no such figure"):
        page.look(only="nonsense:1")


def test_sorted_and_searched(page):
    lengths = [row["length"] for row in page.rows(sort="length", down=True)]
    assert lengths == sorted(lengths, reverse=True)
    tasks = [row["task"] for row in page.rows(sort="task")]
    assert tasks == sorted(tasks)
    assert [row["row"] for row in page.rows(text="TOWN hall")] == [41, 42]
    assert [row["row"] for row in page.rows(text="town", sort="row", down=True)] == [42, 41]
    assert page.rows(text="nowhere to be found") == []
    with pytest.raises(DataError, match="list of rows is gone"):
        page.ask("rows", look=999, **{"from": 0, "to": 1})


def test_a_cell_is_mended_beside_the_file_and_undone(page, data):
    before = data.read_bytes()
    counts = page.ask("edit", number=42, way=["reply"], text="And so on.")
    assert (counts["edited"], counts["undo"], counts["behind"]) == (1, 1, True)
    assert read_rows(data)[42]["reply"] == "And so on." and data.read_bytes() == before
    told = page.ask("row", number=42)
    [cell] = [cell for cell in told["cells"] if cell["name"] == "reply"]
    assert (cell["text"], cell["was"], cell["role"]) == ("And so on.", "", "assistant")
    assert page.rows(only="edited")[0]["answer"] == "And so on."
    assert page.rows(text="and so ON.")[0]["row"] == 43  # the search sees what was changed
    [change] = page.ask("changes")["changes"]
    assert (change["row"], change["field"], change["before"], change["after"], change["number"]) == (43, "reply", "", "And so on.", 42)  # fmt: skip
    assert page.ask("undo")["edited"] == 0 and read_rows(data)[42]["reply"] == ""
    assert page.ask("undo")["undo"] == 0  # nothing more to undo


def test_rows_are_left_out_and_taken_back(page, data):
    look = page.look(only="task:odd")["look"]
    page.ask("exclude", look=look, places=None, reason="odd")
    assert {row["task"] for row in read_rows(data)} == {"sum", "place"}
    assert set(page.view.changes["reason"]) == {"odd"} and page.view.changes["source"][0] == str(data)
    assert {example.task for example in read_examples(page.view.config)} == {"sum", "place"}
    assert all(row["excluded"] for row in page.rows(only="excluded"))
    page.ask("exclude", look=page.look(only="excluded")["look"], places=[0, 1], back=True)
    assert len(read_rows(data)) == 43 - 21 + 2
    assert page.ask("undo")["excluded"] == 21  # what was taken back is out again
    assert page.ask("undo")["excluded"] == 0 and len(read_rows(data)) == 43
    page.ask("exclude", numbers=[0])
    [change] = page.ask("changes")["changes"]
    page.ask("revert", source=change["source"], id=change["id"])
    assert page.ask("changes")["changes"] == [] and len(read_rows(data)) == 43
    page.ask("select", look=page.look()["look"], places=[0, 2])
    assert page.view.selected == [(str(data), 1), (str(data), 3)]


def test_what_others_change_is_seen(page, data):
    patches.exclude(data, [3], by="bob")
    assert [row["row"] for row in page.rows(only="excluded")] == [3]
    patches.edit(data, 4, "reply", "mended elsewhere", by="bob")
    assert [change["by"] for change in page.ask("changes")["changes"]] == ["bob", "bob"]
    assert page.ask("row", number=3)["cells"][1]["text"] == "mended elsewhere"


def test_the_profile_follows_the_patch(page, data):
    page.ask("exclude", numbers=[41])
    assert page.ask("figures")["behind"]
    page.ask("measure")
    told = page.ask("figures")
    assert told["figures"]["rows"] == 42 and keys(told["figures"])["kind:exact_duplicate"] == 0
    assert not told["behind"]
    [row] = page.rows(only="excluded")
    assert "length" not in row  # it was not looked at
    assert page.rows(sort="length")[-1]["row"] == 42  # and stands last


def test_all_left_out_can_be_taken_back(data):
    patches.exclude(data, range(1, 44))
    page = Page(sk.DatasetView(str(data)))
    page.ask("hello")
    assert "no row left" in page.ask("figures")["failed"]
    page.ask("exclude", look=page.look(only="excluded")["look"], places=None, back=True)
    page.ask("measure")
    assert page.ask("figures")["figures"]["rows"] == 43


def test_conversations_turn_by_turn_and_rows_of_another_shape(tmp_path):
    rows = [{"messages": TALK, "n": 3}, {"messages": "not a list"}, {"messages": TALK, "system": "Be brief."}]
    path = write(tmp_path / "chat.jsonl", rows)
    page = Page(DatasetView(path, profile=False))
    first, bad, _ = page.rows()
    assert first["turns"] == 2 and "should be a list of messages" in bad["fault"]
    cells = page.ask("row", number=0)["cells"]
    assert [(cell["role"], cell["text"], cell["fixed"]) for cell in cells[:2]] == [("user", "Hi", False), ("assistant", "Helo", False)]  # fmt: skip
    assert cells[2] == {"way": ["n"], "name": "n", "role": "", "text": "3", "fixed": True}
    page.ask("edit", number=0, way=cells[1]["way"], text="Hello")
    assert read_rows(path)[0]["messages"][1]["content"] == "Hello"
    assert page.ask("figures")["figures"] is None  # not asked for
    with pytest.raises(DataError, match="figures are not there"):
        page.look(only="kind:cut")


def test_two_files_and_a_patch_that_fits_no_more(tmp_path):
    one, two = write(tmp_path / "a.jsonl", rows_of(5)), write(tmp_path / "b.jsonl", rows_of(7))
    patches.exclude(two, [1])
    page = Page(sk.DatasetView([one, two]))
    page.ask("hello")
    assert [(row["source"], row["row"]) for row in page.rows()][4:6] == [(0, 5), (1, 1)]
    assert page.look(only=f"source:{two}")["count"] == 6
    write(two, rows_of(7)[1:])
    page = Page(sk.DatasetView([one, two]))
    [change] = page.ask("changes")["changes"]
    assert change["state"] == "lost" and change["number"] is None
    write(tmp_path / "odd.jsonl", [{"n": 1, "m": 2}])
    assert "input_key=…" in Page(sk.DatasetView(tmp_path / "odd.jsonl")).ask("hello")["faults"][-1]
    with pytest.raises(DataError, match="no such file"):
        sk.DatasetView(tmp_path / "none.jsonl")
    for rows in (rows_of(3), pd.DataFrame(rows_of(3)), []):
        with pytest.raises(DataError, match="needs a file, beside which"):
            sk.DatasetView(rows)


def test_half_a_million_rows_are_in_view_at_once(tmp_path):
    """Only what is looked at is read: a page, and the far end, in well under a second of processor time."""
    import time

    line = json.dumps({"prompt": "What is it?", "response": "It is a line like any other."}) + "\n"
    path = tmp_path / "many.jsonl"
    path.write_text(line * 500_000, encoding="utf-8")
    page = Page(DatasetView(path, profile=False))
    begin = time.process_time()
    found = page.look()
    page.ask("rows", look=found["look"], **{"from": 499_900, "to": 500_000})
    page.ask("exclude", look=found["look"], places=[499_999])
    assert time.process_time() - begin < 6  # well under 1 on a quiet machine; a whole reading takes 10
    assert found["count"] == 500_000 and page.rows(only="excluded")[0]["row"] == 500_000
    assert np.array_equal(page.view.rows.changed("excluded"), [499_999])
