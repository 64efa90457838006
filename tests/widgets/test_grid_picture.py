"""The saved picture of a grid: what was said, in the rater's places or, once revealed, in models' names; never an answer."""

import pandas as pd
import pytest

from sftkit.generation import Generations
from sftkit.ratings import RatingStore
from sftkit.widgets import grid_picture
from sftkit.widgets.grid import ComparisonGrid

MODELS = ("secret-base", "secret-tuned", "secret-third")
NOTHING = {
    "verdict": None,
    "ranking": {},
    "scores": {},
    "note": "",
    "tags": [],
    "flag": False,
    "reason": None,
}


def answers(models, prompts=25):
    rows = [
        dict(prompt_id=f"p{n}", prompt=f"Prompt <b>{n}</b> " + "long " * 60, task="qa & a", model=model, response=f"reply number {n}")
        for n in range(prompts)
        for model in models
    ]  # fmt: skip
    return Generations.from_frame(pd.DataFrame(rows))


@pytest.fixture
def grid_of(tmp_path):
    def make(count):
        store = RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")
        grid = ComparisonGrid(answers(MODELS[:count]), store=store, rater="a<b")
        grid.send = lambda content, buffers=None: None
        return grid

    return make


def vote(grid, row, **opinion):
    content = {"id": grid._rows.comparisons[row].id, "opinion": NOTHING | opinion, "seconds": 1, "key": f"k{row}", "base": 0, "restored": False}  # fmt: skip
    grid._receive(grid, {"ask": "1", "kind": "vote", **content}, [])


def test_a_pairs_verdicts_are_places_until_they_are_revealed(grid_of):
    grid = grid_of(2)
    vote(grid, 0, verdict="a", flag=True)
    vote(grid, 1, verdict="tie")
    vote(grid, 2, verdict="skipped", reason="not clear")
    vote(grid, 3, note="begun")
    html = grid_picture.html(grid, "g1", "en")
    assert "2 of 25 rated by a&lt;b" in html and "A: 1" in html and "Tie: 1" in html and "Skipped: 1" in html
    assert "<td>A ⚑</td>" in html and "Prompt &lt;b&gt;7&lt;/b&gt;" in html and "qa &amp; a" in html
    assert html.count("<tr><td>") == 20 and "and 5 more rows" in html
    assert "secret" not in html and "reply number" not in html
    grid.reveal()
    html = grid_picture.html(grid, "g1", "en")
    assert f"<td>{grid._known[0].shown[0]} ⚑</td>" in html and "reply number" not in html


def test_a_ranking_is_written_from_best_to_worst(grid_of):
    grid = grid_of(3)
    vote(grid, 0, ranking={"a": 2, "b": 1, "c": 2})
    html = grid_picture.html(grid, "g1", "en")
    assert "<td>B &gt; A = C</td>" in html and "Ranked: 1" in html
    grid._revealed = True
    a, b, c = grid._known[0].shown
    assert grid_picture.verdict_words(grid._known[0], True, "en") == f"{b} > {a} = {c}"


def test_it_speaks_chinese_and_is_not_shown_outside_of_a_notebook(grid_of):
    grid = grid_of(2)
    vote(grid, 0, verdict="tie")
    assert "平局" in grid_picture.html(grid, "g1", "zh")
    grid._picture.show()
    assert grid._picture._handles == []
    grid._picture.changed()
