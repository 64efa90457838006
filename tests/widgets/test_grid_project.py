"""The grid's kernel half in a project: leases, closed rows, what comes next, how far all are."""

import asyncio
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sftkit.errors import ConfigError, StoreError
from sftkit.ratings import DIMENSIONS, Rating, RatingStore

SPEC = spec_from_file_location("grid_page", Path(__file__).with_name("grid_page.py"))
grid_page = module_from_spec(SPEC)
SPEC.loader.exec_module(grid_page)
Page, answers = grid_page.Page, grid_page.answers


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def rater(store, name, **more):
    return Page(store=RatingStore(store.url), rater=name, project="pilot", **more)


def test_two_raters_share_the_rows_and_see_each_other(store):
    store.project("pilot", answers("ab", prompts=4), overlap=1)
    ana, bo = rater(store, "ana"), rater(store, "bo")
    assert ana.ask("hello")["project"] == {"name": "pilot", "overlap": 1}
    assert ana.ask("next", row=-1)["row"] == 0 and bo.ask("next", row=-1)["row"] == 1
    assert ana.vote(0, "a")["next"] == 2
    assert bo.ask("hello")["states"] == "x.x." and bo.ask("hold", row=2)["closed"]
    assert bo.vote(1, "b")["next"] == 3 and bo.ask("hold", row=3)["closed"] is None
    assert ana.vote(2, "tie")["next"] is None
    told = ana.ask("progress")
    assert told["states"] == "axtx" and (told["all"]["votes"], told["all"]["needed"]) == (3, 4)
    lines = {
        line["rater"]: (line["votes"], line["leased"], line["seconds"]) for line in told["all"]["raters"]
    }
    assert lines == {"ana": (2, 0, 2.5), "bo": (1, 1, 2.5)}
    assert set(store.frame()["project"]) == {"pilot"} and ana.grid.progress == (2, 4)


def test_with_an_overlap_everybody_may_and_a_row_once_rated_is_not_closed_to_its_rater(store):
    store.project("pilot", answers("abc", prompts=2), overlap=2)
    pages = [rater(store, name) for name in ("ana", "bo", "cem")]
    for page in pages[:2]:
        page.rank(0, "a,b,c")
    assert (
        pages[2].ask("hello")["states"] == "xx" and pages[0].ask("hello")["states"] == "r."
    )  # both hold the next
    pages[0].grid.project.release("human:ana")
    assert pages[2].ask("progress")["states"] == "x."
    assert pages[0].rank(0, "c,b,a")["state"] == "r"  # a changed mind needs no lease
    assert pages[0].ask("progress")["all"] | {"raters": 0} == {"votes": 2, "needed": 4, "raters": 0}


def test_a_vote_that_comes_after_its_lease_is_kept(store):
    store.project("pilot", answers("ab", prompts=1), overlap=1)
    ana, bo = rater(store, "ana"), rater(store, "bo")
    bo.vote(0, "a")
    assert ana.vote(0, "b")["state"] == "b" and len(store.votes()) == 2
    assert ana.ask("progress")["all"]["votes"] == 1  # beyond the overlap it counts for nothing


def test_everything_else_comes_from_the_project(store):
    rubric = [DIMENSIONS[1]]
    store.project("pilot", answers("abc", prompts=12), models=["secret-c", "secret-a"], seed=5, dimensions=rubric, repeats=0.2)  # fmt: skip
    page = rater(store, "ana")
    hello = page.ask("hello")
    assert [d["name"] for d in hello["dimensions"]] == ["honesty"] and hello["columns"] == 2
    assert len(hello["states"]) == 12 + 2 and page.grid.seed == 5
    with pytest.raises(ConfigError, match="come from the project"):
        Page(answers("ab"), store=store, project="pilot")
    with pytest.raises(StoreError, match="pilot"):
        Page(store=store, project="pilto")


def test_ratings_outside_of_the_project_are_not_its_own(store):
    plain = Page(answers("ab", prompts=2), store=store)
    plain.vote(0, "a")
    store.project("pilot", answers("ab", prompts=2))
    page = rater(store, "ana")
    assert page.ask("hello")["states"] == ".." and page.grid.ratings.empty
    page.vote(1, "b")
    assert rater(store, "ana").ask("hello")["states"] == ".b"


def test_a_repeat_comes_only_of_what_this_rater_has_rated(store):
    store.project("pilot", answers("ab", prompts=12), overlap=1, repeats=0.1)
    bo = rater(store, "bo")
    ana = rater(store, "ana")
    repeat = next(n for n, c in enumerate(ana.grid._rows.comparisons) if c.repeat)
    row = ana.ask("next", row=repeat - 1)["row"]
    assert row != repeat
    for number in range(len(bo.grid._rows)):
        bo.vote(number, "a")
    assert ana.ask("next", row=-1)["row"] is None


def test_a_sampled_vote_carries_its_probability_and_design(store):
    page = Page(answers("ab", prompts=40), store=store, strategy="random")
    order = page.ask("hello")["order"]
    assert sorted(order) == list(range(40)) and order != sorted(order)
    page.vote(order[0], "a")
    rating = store.frame().iloc[0]
    assert 0 < rating["probability"] < 1 and rating["evidence"]["queue"].startswith("random")
    with pytest.raises(ConfigError, match="strategy"):
        Page(answers("ab"), store=store, strategy="best")


def test_the_others_are_looked_up_beside_the_kernels_thread(store):
    store.project("pilot", answers("ab", prompts=2))
    page = rater(store, "ana")

    async def ask() -> tuple[int, int]:
        page.grid._receive(page.grid, {"ask": "q", "kind": "progress"}, [])
        before = len(page.heard)
        for _ in range(200):
            await asyncio.sleep(0.01)
            if len(page.heard) > before:
                break
        return before, len(page.heard)

    assert asyncio.run(ask()) == (0, 1) and page.heard[0]["all"]["needed"] == 2


def test_what_a_judge_and_others_said_does_not_show_in_what_comes_next(store):
    page = Page(answers("ab", prompts=3), store=store)
    store.add(Rating("judge:m", "p0", "secret-a", "secret-b", "a"))
    assert page.ask("hello")["states"] == "..." and page.ask("hello")["order"] is None
