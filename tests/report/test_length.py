"""Length control: AlpacaEval's published figures, a known advantage taken out, the prior, the refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from sftkit.errors import ReportError
from sftkit.report.estimates import win_rate
from sftkit.report.length import ALPACA_PRIOR, length_controlled_win_rate


def test_alpaca_eval_published_length_controlled_win_rates(oracle, alpaca):
    expected = pd.read_csv(oracle("alpaca_eval2/expected_leaderboard.csv"))
    difficulty = pd.read_csv(oracle("alpaca_eval2/instruction_difficulty.csv"))
    prior = json.loads(oracle("alpaca_eval2/lc_prior.json").read_text())
    votes = alpaca.rename(columns={"len_2": "len_a", "len_1": "len_b"})
    for row in expected.itertuples():
        found = length_controlled_win_rate(
            votes, row.model, "gpt4_1106_preview", difficulty=difficulty, prior=prior
        )
        assert 100 * found.value == pytest.approx(row.length_controlled_winrate, abs=0.15), row.model
        assert found.low < found.value < found.high and found.n == 805


def made(n, quality=0.4, per_sd=1.0, longer=200, seed=0):
    """Votes of a judge who likes longer answers: log-odds quality + per_sd * tanh(gap / sd); the model is longer."""
    random = np.random.default_rng(seed)
    a, b = random.normal(1000 + longer, 300, n), random.normal(1000, 300, n)
    tilt = np.tanh((a - b) / np.std(a - b, ddof=1))
    wins = random.random(n) < 1 / (1 + np.exp(-(quality + per_sd * tilt)))
    return pd.DataFrame(
        {
            "prompt_id": [f"p{i}" for i in range(n)],
            "model_a": "tuned",
            "model_b": "base",
            "rater": "judge:j",
            "outcome": wins.astype(float),
            "len_a": a,
            "len_b": b,
        }
    )


def test_a_known_advantage_of_length_is_taken_out():
    truth = 1 / (1 + np.exp(-0.4))
    hits, raw = [], []
    for seed in range(60):
        votes = made(400, seed=seed)
        found = length_controlled_win_rate(votes, "tuned", "base")
        hits.append(found.low <= truth <= found.high)
        raw.append(win_rate(votes, "tuned").value)
    assert np.mean(raw) > truth + 0.05 and np.mean(hits) >= 0.88


def test_sides_order_and_names_change_nothing():
    votes = made(80)
    plain = length_controlled_win_rate(votes, "tuned", "base")
    turned = votes.rename(
        columns={"model_a": "model_b", "model_b": "model_a", "len_a": "len_b", "len_b": "len_a"}
    )
    turned["outcome"] = 1 - turned["outcome"]
    renamed = votes.replace({"tuned": "x", "base": "zz"})
    for frame, names in ((turned.iloc[::-1], ("tuned", "base")), (renamed, ("x", "zz"))):
        again = length_controlled_win_rate(frame, *names)
        assert (again.value, again.low, again.high) == pytest.approx((plain.value, plain.low, plain.high))
    other = length_controlled_win_rate(votes, "base", "tuned")
    assert other.value == pytest.approx(1 - plain.value) and other.low == pytest.approx(1 - plain.high)
    more = pd.concat([votes, votes.head(3).assign(outcome=np.nan, prompt_id="q", len_a=np.nan)])
    again = length_controlled_win_rate(more, "tuned", "base")
    assert again.value == pytest.approx(plain.value) and again.unscored == 3


def test_a_prior_steadies_few_votes():
    spread = {prior: [] for prior in (None, ALPACA_PRIOR)}
    for seed in range(40):
        votes = made(40, quality=0.0, per_sd=1.6, longer=0, seed=seed)
        for prior, values in spread.items():
            values.append(length_controlled_win_rate(votes, "tuned", "base", prior=prior).value)
    assert np.std(spread[ALPACA_PRIOR]) < np.std(spread[None])
    assert "prior" in length_controlled_win_rate(votes, "tuned", "base", prior=(-1.6, 0.1)).method


def test_it_refuses_with_the_reason():
    votes = made(50, longer=5000)
    with pytest.raises(ReportError, match="lengths do not overlap: in 0 of 50 comparisons base is longer"):
        length_controlled_win_rate(votes, "tuned", "base")
    with pytest.raises(ReportError, match="do not overlap"):
        length_controlled_win_rate(votes, "tuned", "base", prior=ALPACA_PRIOR)
    with pytest.raises(ReportError, match="len_a and len_b of every scored vote"):
        length_controlled_win_rate(votes.drop(columns="len_a"), "tuned", "base")
    with pytest.raises(ReportError, match="no difficulty for 49 prompts"):
        length_controlled_win_rate(made(50), "tuned", "base", difficulty={"p0": 1.0})
    with pytest.raises(ReportError, match="len_gamed"):
        length_controlled_win_rate(made(50), "tuned", "base", prior={"gamed_weight_per_row": 0.1, "S_len": 1})


def test_edge_cases_give_a_word():
    votes = made(40)
    assert "no scored votes" in str(length_controlled_win_rate(votes.assign(outcome=np.nan), "tuned", "base"))
    equal = votes.assign(len_a=100, len_b=100)
    found = length_controlled_win_rate(equal, "tuned", "base")
    assert found.value == pytest.approx(votes["outcome"].mean(), abs=1e-5)
    ties = length_controlled_win_rate(votes.assign(outcome=0.5), "tuned", "base")
    assert ties.value == pytest.approx(0.5) and ties.low <= 0.5 <= ties.high
    won = length_controlled_win_rate(votes.assign(outcome=1.0), "tuned", "base")
    assert won.value > 0.99 and won.low < won.value
