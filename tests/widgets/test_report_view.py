"""ReportView, kernel half, as a page talks to it."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import sftkit as sk
from sftkit.errors import ReportError
from sftkit.report.parts import PARTS

spec = spec_from_file_location("rated", Path(__file__).parents[1] / "report/rated.py")
spec.loader.exec_module(made := module_from_spec(spec))


class Page:
    """Sends what a page sends, and gives the answer."""

    def __init__(self, view, monkeypatch):
        self.view, self.told = view, []
        monkeypatch.setattr(view, "send", self.told.append)

    def ask(self, kind, **more):
        self.view._receive(self.view, {"kind": kind, "ask": "q1", **more}, [])
        assert self.told[-1]["ask"] == "q1"
        return self.told.pop()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made.rated(f"sqlite:///{tmp_path_factory.mktemp('view') / 'r.db'}", text="<b>answer")


@pytest.fixture
def page(store, monkeypatch):
    return Page(sk.ReportView(store), monkeypatch)


def test_the_head_then_each_tab_when_it_is_asked_for(page):
    told = page.ask("hello")
    assert "tuned beats base" in told["head"] and "can be fooled" in told["head"]
    assert [name for name, _ in told["tabs"]] == list(PARTS)
    assert "agreement" not in page.view.report.__dict__, "a tab that is not opened costs nothing"
    for name in PARTS:
        html = page.ask("part", name=name)["html"]
        assert "<section" in html and "<b>answer" not in html


def test_examples_of_a_cell_are_escaped(page):
    html = page.ask("part", name="result")["html"]
    key = re.search(r'data-cell="([^"]+)"', html)[1]
    found = page.ask("cell", cell=key)["html"]
    assert "&lt;b&gt;answer" in found and "<b>answer" not in found and "who said what" in found
    assert "older report" in page.ask("cell", cell="x-9")["error"]


def test_weights_are_set_on_the_page_and_read_in_the_notebook(page):
    told = page.ask("part", name="scores")
    assert [name for name, *_ in told["dimensions"]] == ["helpfulness", "honesty", "safety"]
    assert [share for *_, share in told["dimensions"]] == [50, 50, 0] and told["gate"] == 3
    assert told["voices"][0][0] == "human:*"
    html = page.ask("weights", weights={"safety": 60, "honesty": 20}, gate=0, voice=made.JUDGE)["html"]
    assert "Weights as set" in html and "a gate at" not in html
    view = page.view
    assert view.weights == {"safety": 60.0, "honesty": 20.0} and view.gate is None
    means = view.report.score_table(made.JUDGE)
    best = (0.75 * means["safety"] + 0.25 * means["honesty"]).idxmax()
    assert view.ranking["model"][0] == best
    told = page.ask("weights", weights={"honesty": 0}, gate=3, voice="")
    assert "all weights are 0" in told["error"] and view.weights == {"safety": 60.0, "honesty": 20.0}


def test_planning_and_what_cannot_be(page):
    assert "To show a win rate of 57 %" in page.ask("plan", points="7", power="80", each="2")["html"]
    assert "no part 'x'" in page.ask("part", name="x")["error"]
    assert "ValueError" in page.ask("plan", points="many", power="80", each="1")["error"]
    page.view._receive(page.view, {"kind": "unheard of"}, [])
    assert page.told == []


def test_refresh_takes_in_later_ratings_but_not_into_a_given_report(tmp_path, monkeypatch):
    store = made.rated(f"sqlite:///{tmp_path / 'r.db'}", prompts=4)
    view, fixed = sk.ReportView(store), sk.ReportView(sk.Report(store))
    page, other = Page(view, monkeypatch), Page(fixed, monkeypatch)
    made.rated(f"sqlite:///{tmp_path / 'r.db'}", prompts=8)
    assert "on 4 prompts" in page.ask("hello")["head"]
    assert "on 8 prompts" in page.ask("hello", again=True)["head"]
    assert "on 4 prompts" in other.ask("hello", again=True)["head"]
    view.refresh()
    assert page.told == [{"kind": "changed"}]


def test_an_empty_store_and_no_scores_say_so_in_the_readers_language(tmp_path, monkeypatch):
    empty = Page(sk.ReportView(sk.RatingStore(f"sqlite:///{tmp_path / 'e.db'}"), lang="zh"), monkeypatch)
    told = empty.ask("hello")
    assert "尚无评分" in told["head"] and told["tabs"] == []
    bare = Page(
        sk.ReportView(made.rated(f"sqlite:///{tmp_path / 'b.db'}", prompts=4, scored=False), lang="zh"),
        monkeypatch,
    )
    told = bare.ask("part", name="scores")
    assert "尚无分数" in told["html"] and "dimensions" not in told
    with pytest.raises(ReportError, match="no scores yet"):
        _ = bare.view.ranking


def test_wrong_sources_are_refused():
    with pytest.raises(ReportError, match="a RatingStore or of votes"):
        sk.ReportView(3)
