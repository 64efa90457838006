"""One model of all raters: planted severity, place and length are found; humans anchor it; PPI stands beside."""

import numpy as np
import pandas as pd
import pytest

from sftkit.errors import ReportError
from sftkit.report.sources import sources

NONE = pd.DataFrame()
STRENGTH = {"base": 0.0, "tuned": 0.6, "other": -0.3}


def study(seed=0, prompts=300, humans=60, hard_on_tuned=0.8, place=0.5, length=0.7):
    """Humans see some prompts, two judges all: judge:hard is harder on tuned, judge:place likes the first and the long."""
    random = np.random.default_rng(seed)
    gaps = {model: random.normal(0, 500, prompts) for model in ("tuned", "other")}
    rows = []
    for model in ("tuned", "other"):
        tilt = np.tanh(gaps[model] / 500)
        for rater, many in (("human:ana", humans), ("judge:hard", prompts), ("judge:place", prompts)):
            first = random.choice([1, -1], prompts)
            odds = np.full(prompts, STRENGTH[model])
            odds = odds - hard_on_tuned * (rater == "judge:hard" and model == "tuned")
            odds = odds + (place * first + length * tilt) * (rater == "judge:place")
            won = random.random(prompts) < 1 / (1 + np.exp(-odds))
            part = {
                "prompt_id": [f"p{i}" for i in range(prompts)],
                "model_a": model,
                "model_b": "base",
                "rater": rater,
                "verdict": np.where(won, "a", "b"),
                "shown_first": np.where(first > 0, "a", "b"),
                "outcome": won.astype(float),
                "len_a": 2000 + gaps[model],
                "len_b": 2000.0,
                "current": True,
            }
            rows.append(pd.DataFrame(part).head(many))
    both = pd.concat(rows, ignore_index=True)
    votes = both[["prompt_id", "model_a", "model_b", "rater", "outcome", "len_a", "len_b"]]
    return votes, both.drop(columns=["outcome", "len_a", "len_b"])


def test_planted_terms_are_found():
    found = sources(*study(prompts=800, humans=300), baseline="base")
    raters = found.raters.set_index("rater")
    liked = raters.loc["judge:place"]
    assert liked["first"] == pytest.approx(200 * (1 / (1 + np.exp(-0.5)) - 0.5), abs=6)
    assert liked["length_low"] > 5 and abs(raters.loc["judge:hard", "length"]) < 6
    assert abs(raters.loc["human:*", "first"]) < 10 and np.isnan(raters.loc["human:*", "spread"])
    severity = found.severity.set_index(["rater", "model"])["severity"]
    assert severity["judge:hard", "tuned"] - severity["judge:hard", "base"] > 8
    assert abs(severity["judge:place", "tuned"] - severity["judge:place", "base"]) < 8
    assert 0.1 < raters.loc["judge:hard", "spread"] < 1


def test_humans_are_the_anchor_and_the_interval_covers():
    truth = 1 / (1 + np.exp(-0.6))
    hits, width, beside, values = [], [], [], []
    for seed in range(12):
        row = sources(*study(seed), baseline="base").win_rates.set_index("model").loc["tuned"]
        hits.append(row["low"] <= truth <= row["high"])
        width.append(row["high"] - row["low"])
        beside.append(row["calibrated_high"] - row["calibrated_low"])
        values.append(row["win_rate"])
    assert np.mean(hits) >= 0.85 and np.mean(width) < np.mean(beside)
    assert np.mean(values) == pytest.approx(truth, abs=0.05), (
        "one judge of two is 20 points off, humans are not"
    )


def test_ppi_stands_beside():
    votes, ratings = study()
    row = sources(votes, ratings, baseline="base").win_rates.set_index("model").loc["tuned"]
    assert (
        row["judge"] in ("judge:hard", "judge:place")
        and row["calibrated_low"] < row["calibrated"] < row["calibrated_high"]
    )
    assert (row["human_n"], row["judge_n"]) == (60, 600)


def test_sides_order_and_names_change_nothing():
    votes, ratings = study(prompts=60, humans=20)
    plain = sources(votes, ratings, baseline="base").win_rates.set_index("model").sort_index()
    turned = ratings.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    turned = turned.replace({"verdict": {"a": "b", "b": "a"}, "shown_first": {"a": "b", "b": "a"}})
    again = (
        sources(votes.sample(frac=1, random_state=1), turned, baseline="base")
        .win_rates.set_index("model")
        .sort_index()
    )
    figures = ["win_rate", "low", "high", "human_n", "calibrated"]
    pd.testing.assert_frame_equal(again[figures], plain[figures], rtol=1e-6)
    names = {"base": "z", "tuned": "a", "other": "m"}
    renamed = [frame.replace({"model_a": names, "model_b": names}) for frame in (votes, ratings)]
    other = sources(*renamed, baseline="z").win_rates.set_index("model").loc[["m", "a"]]
    assert other["win_rate"].to_numpy() == pytest.approx(plain["win_rate"].to_numpy(), rel=1e-6)


def test_edge_cases_give_a_word():
    votes, _ = study(prompts=30, humans=10)
    judges = sources(votes[votes["rater"] != "human:ana"], NONE, baseline="base")
    assert "no human votes" in judges.note and judges.win_rates["note"].str.contains("no human votes").all()
    humans = sources(votes[votes["rater"] == "human:ana"], NONE, baseline="base")
    assert humans.win_rates["note"].eq("no judge calibrated by humans").all() and humans.severity.empty
    one = sources(votes[votes["prompt_id"] == "p0"], NONE, baseline="base")
    assert "one prompt" in one.note and one.win_rates["win_rate"].notna().all()
    for outcome in (0.5, 1.0):
        same = sources(votes.assign(outcome=outcome), NONE, baseline="base").win_rates
        assert np.isfinite(same[["win_rate", "low", "high"]].to_numpy(float)).all()
    with pytest.raises(ReportError, match="no scored vote on 'nobody'"):
        sources(votes, NONE, baseline="nobody")
    with pytest.raises(ReportError, match="models with votes: none"):
        sources(votes.assign(outcome=np.nan), NONE, baseline="base")
