"""Calibration by human votes: published figures, coverage, unequal sampling, votes still needed, words at the edges."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from sftkit.errors import ReportError
from sftkit.report.calibration import (
    calibrated_win_rate,
    calibration,
    calibration_path,
    prediction_powered,
    votes_needed,
)


def test_the_published_nine_cases(oracle):
    known = json.loads(oracle("ppi/mt_bench_ppi.json").read_text())
    human, judge = (np.array([row[name] for row in known["rows"]]) for name in ("human", "judge"))
    assert len(known["cases"]) == 9
    for case in known["cases"]:
        order = np.random.default_rng(case["seed"]).permutation(len(human))
        some, rest = order[: case["n"]], order[case["n"] :]
        lam = None if case["lam"] == "tuned" else case["lam"]
        found = prediction_powered(human[some], judge[some], judge[rest], lam=lam)
        expected = (case["point"], case["lo"], case["hi"])
        assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-5)


def study(random, n, of, chance=None):
    """Human and judge verdicts of `of` prompts; the judge is good and biased. Which n humans see: at random, or by
    `chance` (the judge's ties and doubts more often). Returns human, judge, seen, probability."""
    easy = random.beta(2, 1.5, of)
    human = (random.random(of) < easy).astype(float)
    judge = np.where(random.random(of) < 0.75, human, random.choice([0, 0.5, 1], of, p=[0.1, 0.2, 0.7]))
    if chance is None:
        seen = np.zeros(of, bool)
        seen[random.permutation(of)[:n]] = True
        return human, judge, seen, np.full(of, n / of)
    odds = np.where(
        judge == 0.5, 4.0, np.where(human != judge, 2.0, 0.6)
    )  # a queue that knows where the judge errs
    p = np.clip(odds * n / odds.sum(), 0.02, 1)
    return human, judge, random.random(of) < p, p


TRUTH = 2 / 3.5


@pytest.mark.parametrize("n", [50, 200])
@pytest.mark.parametrize("unequal", [False, True])
def test_intervals_cover(n, unequal):
    random, hits = np.random.default_rng(n), []
    for _ in range(400):
        human, judge, seen, p = study(random, n, 805, unequal or None)
        chance = p[seen] if unequal else None
        found = prediction_powered(human[seen], judge[seen], judge[~seen], probability=chance)
        hits.append(found.low <= TRUTH <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_unequal_sampling_misleads_without_its_probabilities():
    random, plain, weighted = np.random.default_rng(5), [], []
    for _ in range(80):
        human, judge, seen, p = study(random, 200, 805, True)
        plain.append(prediction_powered(human[seen], judge[seen], judge[~seen]).value)
        weighted.append(prediction_powered(human[seen], judge[seen], judge[~seen], probability=p[seen]).value)
    assert abs(np.mean(plain) - TRUTH) > 0.03 and abs(np.mean(weighted) - TRUTH) < 0.015


def votes(n=100, of=400, seed=0, probability=False):
    human, judge, seen, p = study(np.random.default_rng(seed), n, of, probability or None)
    base = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(of)], "model_a": "base", "model_b": "tuned"})
    people = base[seen].assign(rater="human:ana", outcome=1 - human[seen])
    if probability:
        people["probability"] = p[seen]
    return pd.concat([people, base.assign(rater="judge:j/v1", outcome=1 - judge)], ignore_index=True)


def test_from_votes():
    frame = votes()
    found = calibrated_win_rate(frame, "tuned", "base", "judge:j/v1")
    human = 1 - frame[frame["rater"] == "human:ana"].set_index("prompt_id")["outcome"]
    judge = 1 - frame[frame["rater"] == "judge:j/v1"].set_index("prompt_id")["outcome"]
    plain = prediction_powered(human, judge[human.index], judge.drop(human.index))
    assert found.n == 100 and found.value == pytest.approx(plain.value, abs=0.005)
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.06)
    other = calibrated_win_rate(frame, "base", "tuned", "judge:j/v1")
    assert (other.value, other.low) == pytest.approx((1 - found.value, 1 - found.high))
    shuffled = calibrated_win_rate(frame.sample(frac=1, random_state=1), "tuned", "base", "judge:j/v1")
    assert (shuffled.value, shuffled.low) == pytest.approx((found.value, found.low))
    weighted = calibrated_win_rate(votes(probability=True), "tuned", "base", "judge:j/v1")
    assert "weighted by sampling probability" in weighted.method
    some = votes(probability=True)
    some.loc[some.index[:3], "probability"] = np.nan
    found = calibrated_win_rate(some, "tuned", "base", "judge:j/v1")
    assert found.n == weighted.n - 3 and "3 comparisons with human votes that the queue did not" in found.note


def test_it_tightens_with_each_vote_and_says_how_many_more():
    frame = votes(n=200)
    path = calibration_path(frame, "tuned", "base", "judge:j/v1")
    width, alone = path["high"] - path["low"], path["human_high"] - path["human_low"]
    assert path["n"].iloc[-1] == 200 and width.iloc[-1] < width.iloc[5] < width.iloc[0]
    assert (width.iloc[5:] < alone.iloc[5:]).all()
    few = frame[(frame["rater"] != "human:ana") | (frame.groupby("rater").cumcount() < 60)]
    needed = votes_needed(few, "tuned", "base", "judge:j/v1", width=float(width.iloc[-1]))
    assert needed.have == 60 and needed.total == pytest.approx(200, rel=0.35) and needed.total < needed.alone
    assert "more human votes make the interval" in str(needed)
    assert votes_needed(frame, "tuned", "base", "judge:j/v1", width=0.5).more == 0
    beyond = votes_needed(frame, "tuned", "base", "judge:j/v1", width=0.01)
    assert beyond.total is None and "judge more prompts" in str(beyond)
    with pytest.raises(ReportError, match="a width is above 0"):
        votes_needed(frame, "tuned", "base", "judge:j/v1", width=0)


def test_the_table_of_judges():
    frame = votes()
    [row] = calibration(frame, "base").to_dict("records")
    assert (row["rater"], row["model"], row["human_n"], row["judge_n"], row["n"]) == (
        "judge:j/v1",
        "tuned",
        100,
        400,
        100,
    )
    assert (
        row["low"] < row["calibrated"] < row["high"] and row["judge_low"] < row["judge"] < row["judge_high"]
    )
    assert 0 < row["narrower"] < 0.5 and row["correlation"] > 0.5 and row["more_votes"] > 0


def test_edge_cases_give_a_word():
    frame = votes()
    judge = frame[frame["rater"] == "judge:j/v1"]
    assert "no comparisons with a verdict" in str(calibrated_win_rate(judge, "tuned", "base", "judge:j/v1"))
    [row] = calibration(judge, "base").to_dict("records")
    assert row["n"] == 0 and "calibration needs two or more" in row["note"] and row["judge_n"] == 400
    assert "give five or more" in str(votes_needed(judge, "tuned", "base", "judge:j/v1"))
    same = frame.assign(outcome=0.0)
    found = calibrated_win_rate(same, "tuned", "base", "judge:j/v1")
    assert found.value == 1 and 0.9 < found.low < 1 and "no spread" in found.note
    assert votes_needed(same, "tuned", "base", "judge:j/v1").more is not None
    with pytest.raises(ReportError, match="'judge:k' has no scored vote"):
        calibrated_win_rate(frame, "tuned", "base", "judge:k")
    with pytest.raises(ReportError, match="2 human scores but 1"):
        prediction_powered([1, 0], [1], [])
    assert "one" not in str(prediction_powered([], [], [1])) and "no human scores" in str(
        prediction_powered([], [], [1])
    )
    assert prediction_powered([1, 0, 1], [1, 0, 1], []).value == pytest.approx(2 / 3)
    assert calibration(frame.assign(outcome=np.nan), "base").empty and calibration(frame, "nobody").empty


def test_a_small_sample_has_a_wider_interval_round_the_same_value():
    rng = np.random.default_rng(5)
    for n, least, most in ((8, 1.15, 2.6), (50, 1.02, 1.1), (2000, 1.0, 1.005)):
        human = (rng.random(n + 500) < 0.6).astype(float)
        judge = np.where(rng.random(n + 500) < 0.75, human, 1.0)
        parts = human[:n], judge[:n], judge[n:]
        plain, small = prediction_powered(*parts), prediction_powered(*parts, small_sample=True)
        assert small.value == plain.value and small.method == plain.method
        assert least < (small.high - small.low) / (plain.high - plain.low) < most
    alone = prediction_powered(
        [1, 0, 1, 1], [1, 1, 1, 1], [], small_sample=True
    )  # Student's interval of a mean
    error = np.std([1, 0, 1, 1], ddof=1) / 2
    assert alone.high - alone.value == pytest.approx(stdtrit(3, 0.975) * error * np.sqrt(4 / 3))
