"""Win rate and agreement: exact known answers, AlpacaEval's and MT-Bench's published figures, symmetries, coverage."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sftkit.errors import ReportError
from sftkit.report.agreement import agreement
from sftkit.report.estimates import estimate_mean, win_rate


def votes(outcomes, rater="human:ana", a="tuned", b="base", prompts=None):
    return pd.DataFrame(
        {
            "prompt_id": prompts or [f"p{i}" for i in range(len(outcomes))],
            "model_a": a,
            "model_b": b,
            "rater": rater,
            "outcome": outcomes,
        }
    )


def test_a_known_win_rate():
    estimate = win_rate(votes([1, 1, 1, 0, 0.5, None]), "tuned")
    assert (estimate.value, estimate.n, estimate.unscored) == (0.7, 5, 1)
    assert estimate.se == pytest.approx(np.std([1, 1, 1, 0, 0.5], ddof=1) / math.sqrt(5))
    other = win_rate(votes([1, 1, 1, 0, 0.5, None]), "base", "tuned")
    assert other.value == pytest.approx(0.3)
    assert (other.low, other.high) == pytest.approx((1 - estimate.high, 1 - estimate.low))


def test_clusters_count_once():
    single = win_rate(votes([1, 0, 1, 1]), "tuned")
    doubled = win_rate(pd.concat([votes([1, 0, 1, 1]), votes([1, 0, 1, 1], rater="human:bo")]), "tuned")
    assert doubled.n == 8 and doubled.se == pytest.approx(single.se)
    assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high))


@pytest.mark.parametrize("outcomes", [[1] * 20, [0] * 20, [0.5] * 20, [1], [0.5], [0, 1], [1, 0.5]])
def test_no_interval_has_zero_width_or_leaves_the_scale(outcomes):
    estimate = win_rate(votes(outcomes), "tuned")
    assert 0 <= estimate.low < estimate.high <= 1
    assert estimate.low <= estimate.value <= estimate.high


def test_all_wins_is_wilsons_interval():
    estimate = win_rate(votes([1] * 20), "tuned")
    known = stats.binomtest(20, 20).proportion_ci(0.95, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((known.low, known.high))


def test_unscored_only_gives_a_word():
    estimate = win_rate(votes([None, None]), "tuned")
    assert (estimate.n, estimate.unscored) == (0, 2)
    assert str(estimate) == "no scored votes; 2 unscored"


def test_wrong_votes_are_refused_in_words():
    with pytest.raises(ReportError, match="models with votes: base, tuned"):
        win_rate(votes([1]), "tunde")
    with pytest.raises(ReportError, match="lack the column"):
        win_rate(pd.DataFrame({"prompt_id": []}), "tuned")
    with pytest.raises(ReportError, match=r"outside 0\.\.1"):
        win_rate(votes([2]), "tuned")


outcome_lists = st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(outcome_lists, st.randoms(use_true_random=False))
def test_sides_order_and_names_change_nothing(outcomes, random):
    frame = votes(outcomes)
    plain = win_rate(frame, "tuned")
    swap = pd.Series([random.random() < 0.5 for _ in outcomes])
    mirrored = frame.copy()
    mirrored.loc[swap, ["model_a", "model_b"]] = frame.loc[swap, ["model_b", "model_a"]].to_numpy()
    numbers = pd.to_numeric(frame["outcome"])
    mirrored["outcome"] = numbers.where(~swap, 1 - numbers)
    order = random.sample(range(len(frame)), len(frame))
    for changed, name in [
        (mirrored, "tuned"),
        (frame.iloc[order], "tuned"),
        (frame.replace({"model_a": {"tuned": "x"}}), "x"),
    ]:
        assert_same(win_rate(changed, name), plain)
    assert_same(
        agreement(pd.concat([frame, mirrored.assign(rater="r2")]), "human:ana", "r2"), None, perfect=True
    )


@settings(max_examples=40, deadline=None)
@given(outcome_lists, st.integers(1, 5))
def test_unscored_votes_change_only_their_count(outcomes, extra):
    plain = win_rate(votes(outcomes), "tuned")
    more = pd.concat([votes(outcomes), votes([None] * extra, prompts=[f"q{i}" for i in range(extra)])])
    assert_same(win_rate(more, "tuned"), plain)
    assert win_rate(more, "tuned").unscored == plain.unscored + extra


def assert_same(one, other, perfect=False):
    if perfect:
        assert one.n == 0 or one.value == 1
        return
    for field in ("value", "se", "low", "high", "n"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), nan_ok=True)


@pytest.mark.parametrize(("prompts", "raters"), [(20, 1), (50, 3), (200, 1)])
def test_intervals_cover(prompts, raters):
    """Simulated studies with prompt difficulty shared by raters: nominal 95 % covers 93 to 97.5 %."""
    random = np.random.default_rng(7)
    chance = np.clip(random.normal(0.7, 0.25, (600, prompts)), 0, 1)
    truth = np.clip(random.normal(0.7, 0.25, 10**6), 0, 1).mean()
    wins = random.random((600, prompts, raters)) < chance[:, :, None]
    clusters = np.repeat(np.arange(prompts), raters)
    hits = [e.low <= truth <= e.high for e in (estimate_mean(w.ravel(), clusters) for w in wins)]
    assert 0.93 <= np.mean(hits) <= 0.975


def test_agreement_counts_ties_or_leaves_them_out():
    x = votes([1, 0, 0.5, 1, None])
    y = votes([0, 0, 0.5, 0, 1], rater="judge:j/v1", a="base", b="tuned")  # the other way round
    both = agreement(pd.concat([x, y]), "human:ana", "judge:j/v1")
    assert (both.value, both.n, both.unscored) == (0.75, 4, 1)
    decided = agreement(pd.concat([x, y]), "human:*", "judge:*", ties=False)
    assert (decided.value, decided.n) == (pytest.approx(2 / 3), 3)
    assert agreement(x, "human:ana", "human:nobody").n == 0


def test_alpaca_eval_published_win_rates(oracle, alpaca):
    expected = pd.read_csv(oracle("alpaca_eval2/expected_leaderboard.csv"))
    assert len(expected) >= 7
    for row in expected.itertuples():
        estimate = win_rate(alpaca, row.model, "gpt4_1106_preview")
        assert 100 * estimate.value == pytest.approx(row.win_rate, abs=1e-9)
        assert 100 * estimate.se == pytest.approx(row.standard_error, abs=1e-9)
        assert estimate.n == row.n_total


@pytest.mark.parametrize(
    ("turn", "ties", "judge", "judge_n", "human", "human_n"),
    [
        (1, True, 0.66, 1343, 0.63, 721),
        (1, False, 0.85, 859, 0.81, 479),
        (2, True, 0.66, 1325, 0.67, 707),
        (2, False, 0.85, 864, 0.82, 474),
    ],
)
def test_mt_bench_published_agreement(mt_bench, turn, ties, judge, judge_n, human, human_n):
    frame = mt_bench(turn)
    with_judge = agreement(frame, "judge:gpt4_pair", "human:*", ties=ties)
    assert (round(with_judge.value, 2), with_judge.n) == (judge, judge_n)
    with_human = agreement(frame, "human:*", "human:*", ties=ties)
    assert (round(with_human.value, 2), with_human.n) == (human, human_n)
