import math

import pandas as pd
import pytest
from scipy.stats import binomtest

from sftkit.ratings import Rating, RatingStore
from sftkit.ratings.consistency import consistency

AGAIN = {"repeat": True}


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path}/r.db")


def vote(store, prompt, verdict, shown="a", evidence=None, rater="human:ana", a="base", b="tuned", **more):
    store.add(Rating(rater, prompt, a, b, verdict, shown_first=shown, evidence=evidence or {}, **more))


def row(store, rater="human:ana"):
    return consistency(store.frame()).set_index("rater").loc[rater]


def test_repeats_agree_by_the_model_that_wins_not_by_the_side(store):
    for prompt, one, two in (
        ("p0", "a", "a"),
        ("p1", "b", "b"),
        ("p2", "a", "b"),
        ("p3", "tie", "tie"),
        ("p4", "tie", "a"),
    ):
        vote(store, prompt, one)
        vote(store, prompt, two, "b", AGAIN)
    vote(store, "p5", "a")
    found = row(store)
    assert (found.repeats, found.agree, found.rate, found.checks, found.passed) == (5, 3, 0.6, 0, 0)
    known = binomtest(3, 5).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-6)


def test_a_repeat_stored_with_the_models_named_the_other_way_round(store):
    vote(store, "p0", "a")
    vote(store, "p0", "b", "a", AGAIN, a="tuned", b="base")
    assert row(store).agree == 1


def test_a_changed_mind_counts_as_it_stands_and_what_was_taken_back_or_skipped_does_not(store):
    vote(store, "p0", "a")
    vote(store, "p0", "b", "b", AGAIN)
    vote(store, "p0", "a", "b", AGAIN)
    vote(store, "p1", "a")
    vote(store, "p1", "skipped", "b", AGAIN, reason="unclear")
    vote(store, "p2", "open", note="hm")
    vote(store, "p2", "a", "b", AGAIN)
    assert tuple(row(store)[["repeats", "agree"]]) == (1, 1)


def test_both_bad_and_a_tie_are_the_same_verdict(store):
    vote(store, "p0", "both_bad")
    vote(store, "p0", "tie", "b", AGAIN)
    assert row(store).agree == 1


def ranking(store, prompt, order, evidence, models=("base", "x", "y")):
    """One rating for each two models, as the grid stores a ranking: `order` has the best first."""
    kept = evidence | {
        "ranking": {"models": list(models), "ranks": [order.index(name) + 1 for name in models]}
    }
    for n, a in enumerate(models):
        for b in models[n + 1 :]:
            vote(
                store,
                prompt,
                "a" if order.index(a) < order.index(b) else "b",
                "b" if evidence else "a",
                kept,
                a=a,
                b=b,
            )


def test_a_ranking_agrees_where_every_two_models_stand_as_before(store):
    ranking(store, "p0", ["x", "base", "y"], {})
    ranking(store, "p0", ["x", "base", "y"], AGAIN)
    ranking(store, "p1", ["x", "base", "y"], {})
    ranking(store, "p1", ["x", "y", "base"], AGAIN)
    assert tuple(row(store)[["repeats", "agree"]]) == (2, 1)


def test_a_check_is_passed_only_where_the_worse_answer_loses(store):
    check = {"check": True}
    vote(store, "p0", "a", evidence=check, b="canary:stub")
    vote(store, "p1", "b", evidence=check, a="canary:elsewhere", b="base")
    vote(store, "p2", "tie", evidence=check, b="canary:stub")
    vote(store, "p3", "b", evidence=check, b="canary:stub")
    vote(store, "p4", "both_bad", evidence=check, b="canary:stub")
    three = check | {"ranking": {"models": ["base", "x", "canary:stub"], "ranks": [1, 3, 2]}}
    vote(store, "p5", "a", evidence=three, a="base", b="canary:stub")
    vote(store, "p5", "b", evidence=three, a="x", b="canary:stub")
    found = row(store)
    assert (found.checks, found.passed, found.repeats) == (6, 2, 0) and math.isnan(found.rate)


def test_raters_are_kept_apart_and_who_met_neither_is_left_out(store):
    for rater, two in (("human:ana", "a"), ("human:bo", "b")):
        vote(store, "p0", "a", rater=rater)
        vote(store, "p0", two, "b", AGAIN, rater=rater)
    vote(store, "p0", "a", rater="human:cy")
    vote(store, "p0", "a", rater="judge:gpt/v1")
    vote(store, "p0", "b", "b", rater="judge:gpt/v1")
    found = consistency(store.frame())
    assert found[["rater", "agree"]].to_numpy().tolist() == [["human:ana", 1], ["human:bo", 0]]


def test_an_empty_store_gives_the_columns(store):
    found = consistency(store.frame())
    assert isinstance(found, pd.DataFrame) and found.empty
    assert list(found) == ["rater", "repeats", "agree", "rate", "low", "high", "checks", "passed"]
