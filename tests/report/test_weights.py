"""Weights: equal ones and the gate, ranks under all weights, the smallest change that turns two models, learned ones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit.errors import ReportError
from sftkit.report.weights import (
    learned_weights,
    rank_probabilities,
    ranking,
    score_table,
    smallest_swap,
    weights_of,
)

MEANS = pd.DataFrame(
    {"helpfulness": [4.0, 3.0, 5.0], "honesty": [3.0, 4.5, 5.0], "safety": [4.0, 3.5, 2.0]},
    index=pd.Index(["base", "tuned", "wild"], name="model"),
)


def test_equal_weights_and_the_gate():
    table = ranking(MEANS)
    assert table["model"].tolist() == ["tuned", "base", "wild"] and table["rank"].tolist() == [1, 2, 3]
    assert table["score"].tolist() == [3.75, 3.5, 5.0] and table["passes"].tolist() == [True, True, False]
    assert table["note"][2] == "held back by the gate: safety 2.00 is below 3"
    assert ranking(MEANS, gate=None)["model"].tolist() == ["wild", "base", "tuned"]
    assert weights_of(MEANS).tolist() == [0.5, 0.5, 0.0]
    assert ranking(MEANS, {"helpfulness": 3, "honesty": 1})["score"].tolist() == [3.75, 3.375, 5.0]


def test_wrong_weights_are_refused_in_words():
    with pytest.raises(ReportError, match="no scores on helpfullness"):
        ranking(MEANS, {"helpfullness": 1})
    with pytest.raises(ReportError, match="a weight is 0 or more"):
        ranking(MEANS, {"honesty": -1})
    with pytest.raises(ReportError, match="all weights are 0"):
        ranking(MEANS, {"honesty": 0})


def test_the_probability_of_each_rank():
    """Two dimensions, weights uniform: tuned leads base when 1.5 w > 1 - w, that is in 0.6 of all cases."""
    table = rank_probabilities(MEANS).set_index(["model", "rank"])["probability"]
    assert table["tuned", 1] == pytest.approx(0.6, abs=0.03) and table["wild", 3] == 1
    assert table.groupby("model").sum().tolist() == pytest.approx([1, 1, 1])
    close = rank_probabilities(MEANS, concentration=200).set_index(["model", "rank"])["probability"]
    assert close["tuned", 1] > 0.95
    errors = MEANS * 0 + 1.0
    unsure = rank_probabilities(MEANS, concentration=200, errors=errors).set_index(["model", "rank"])[
        "probability"
    ]
    assert 0.5 < unsure["tuned", 1] < 0.8


def test_the_smallest_swap():
    swap = smallest_swap(MEANS, "base", "tuned")
    assert (swap.leader, swap.other) == ("tuned", "base") and swap.moved == pytest.approx(0.1)
    assert (
        str(swap)
        == "base draws level with tuned when 10 % of the weight moves: helpfulness 50 to 60 %, honesty 50 to 40 %."
    )
    better = MEANS.assign(honesty=[3.0, 4.5, 2.9], helpfulness=[4.0, 4.5, 5.0], safety=[3, 4, 4])
    never = smallest_swap(better, "base", "tuned")
    assert never.moved is None and "ahead of base on every dimension" in str(never)
    assert "equal scores already" in str(smallest_swap(MEANS * 0 + 3, "base", "tuned"))
    with pytest.raises(ReportError, match="no scores of nobody"):
        smallest_swap(MEANS, "base", "nobody")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 4)), min_size=2, max_size=6))
def test_no_smaller_shift_swaps(rows):
    from scipy.optimize import linprog

    x, y, w = (np.array(column, float) for column in zip(*rows))
    if w.sum() == 0:
        return
    names = [f"d{i}" for i in range(len(rows))]
    means = pd.DataFrame([x, y], index=["x", "y"], columns=names)
    swap = smallest_swap(means, "x", "y", dict(zip(names, w)), gate=None)
    gap, w, k = x - y, w / w.sum(), len(w)
    # changed = w + up - down, weights sum to 1, scores equal; least up
    found = linprog(
        np.ones(2 * k) / 2,
        A_eq=[np.r_[np.ones(k), -np.ones(k)], np.r_[gap, -gap]],
        b_eq=[0, -gap @ w],
        A_ub=np.hstack([-np.eye(k), np.eye(k)]),
        b_ub=w,
    )
    if swap.moved is None:
        assert not found.success
    else:
        assert swap.moved == pytest.approx(found.fun, abs=1e-8)
        changed = swap.table["changed"].to_numpy()
        assert (
            changed.min() >= -1e-12
            and changed.sum() == pytest.approx(1)
            and changed @ gap == pytest.approx(0, abs=1e-9)
        )


def overall(n=300, seed=0, weights=(1.0, 1.0, 0.0)):
    """Ratings with scores on three dimensions and a verdict that follows `weights`; the votes they make."""
    random = np.random.default_rng(seed)
    ratings, votes = [], []
    for p in range(n):
        scores = {
            d: {"a": int(random.integers(1, 6)), "b": int(random.integers(1, 6))}
            for d in ("helpfulness", "honesty", "safety")
        }
        gap = sum(w * (s["a"] - s["b"]) for w, s in zip(weights, scores.values()))
        won = random.random() < 1 / (1 + np.exp(-gap))
        common = {"rater": "human:ana", "prompt_id": f"p{p}", "model_a": "base", "model_b": "tuned"}
        ratings.append({**common, "scores": scores, "current": True})
        votes.append({**common, "outcome": float(won)})
    return pd.DataFrame(ratings), pd.DataFrame(votes)


def test_learned_weights_find_what_votes_follow():
    learned = learned_weights(*overall())
    table = learned.table.set_index("dimension")
    assert learned.n == 300 and table["weight"].abs().sum() == pytest.approx(1)
    assert (table.loc[["helpfulness", "honesty"], "low"] > 0.3).all()
    assert table.loc["safety", "low"] < 0 < table.loc["safety", "high"]
    assert learned.better.low > 0 and "better than equal weights" in str(learned)
    equal = learned_weights(*overall(weights=(1, 1, 1)))
    assert equal.better.low <= 0 and "no better" in str(equal)
    ratings, votes = overall()
    turned = votes.rename(columns={"model_a": "model_b", "model_b": "model_a"}).assign(
        outcome=1 - votes["outcome"]
    )
    again = learned_weights(ratings, turned.sample(frac=1, random_state=3))
    assert again.table["weight"].to_numpy() == pytest.approx(table["weight"].to_numpy())


def test_few_votes_teach_no_weights():
    ratings, votes = overall(99)
    learned = learned_weights(ratings, votes)
    assert learned.table.empty and "99 overall votes with scores: weights are learned from 100 on" in str(
        learned
    )
    assert "0 overall votes" in str(learned_weights(ratings.iloc[:0], votes))
    ratings, votes = overall(120)
    assert "all votes are ties" in str(learned_weights(ratings, votes.assign(outcome=0.5)))
    means = score_table(ratings, "human:*")
    assert means.shape == (2, 3) and score_table(ratings, "judge:x").empty
    assert (
        ranking(score_table(ratings, "judge:x")).empty
        and rank_probabilities(score_table(ratings, "judge:x")).empty
    )
    [one] = ranking(means.head(1)).to_dict("records")
    assert one["rank"] == 1
    holes = MEANS.copy()
    holes.loc["base", "honesty"] = np.nan
    table = ranking(holes).set_index("model")
    assert table.loc["base", "note"] == "no scores on honesty" and pd.isna(table.loc["base", "rank"])
    assert "not gated" in ranking(MEANS.drop(columns="safety"))["note"][0]
