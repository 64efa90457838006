"""Several models on one scale: the published rankings of real votes, symmetries, what no vote can decide."""

import numpy as np
import pandas as pd
import pytest

from sftkit.errors import ReportError
from sftkit.report.estimates import win_rate
from sftkit.report.strength import bradley_terry, pair_matrix, rankings


@pytest.fixture(scope="module")
def crowd(oracle):
    """8,931 crowd votes on 59 models (LLMFAO, Ustalov 2023)."""
    frame = pd.read_csv(oracle("llmfao/crowd-comparisons.csv"))
    wins = frame["winner"].map({"left": 1.0, "tie": 0.5, "right": 0.0})
    columns = {"prompt_id": frame["prompt"].astype(str), "model_a": frame["left"], "model_b": frame["right"]}
    return pd.DataFrame({**columns, "rater": "human:" + frame["worker"].astype(str), "outcome": wins})


def centred(scores):
    logs = np.log(scores)
    return logs - logs.mean()


@pytest.mark.parametrize(("ties", "published"), [("half", "bradley_terry"), ("model", "newman")])
def test_published_strengths(oracle, crowd, ties, published):
    golden = pd.read_csv(oracle("llmfao/golden_rankings.csv")).set_index(["algorithm", "item"])["score"]
    found = bradley_terry(crowd, ties).set_index("model")
    assert len(found) == 59 and not found["note"].any()
    assert (found["log_strength"] - centred(golden[published])).abs().max() < 1e-6
    assert (found["low"] < found["log_strength"]).all() and (found["log_strength"] < found["high"]).all()
    if ties == "half":
        three = pd.read_csv(oracle("llmfao/bt_log_centred_three_ways.csv")).set_index("item")["bt_log"]
        assert (found["log_strength"] - three).abs().max() < 1e-6


def test_every_published_ranking(oracle, crowd):
    golden = pd.read_csv(oracle("llmfao/golden_rankings.csv"))
    found = rankings(crowd).set_index(["algorithm", "model"])["score"]
    assert len(golden) == len(found) == 7 * 59
    strengths = golden["algorithm"] == "bradley_terry"  # on another scale there
    logs = centred(golden[strengths].set_index("item")["score"])
    assert (centred(found["bradley_terry"]) - logs).abs().max() < 1e-6
    for row in golden[~strengths].itertuples():
        assert found[row.algorithm, row.item] == pytest.approx(row.score, rel=1e-6), row


def test_a_pair_matrix_is_the_win_rates_of_all_pairs(mt_bench):
    votes = mt_bench(1)
    table = pair_matrix(votes).set_index(["model", "against"])
    assert len(table) == 30
    for one, other in [("gpt-4", "llama-13b"), ("claude-v1", "vicuna-13b-v1.2")]:
        direct = win_rate(votes, one, other)
        row = table.loc[(one, other)]
        assert (row["win_rate"], row["low"], row["high"]) == pytest.approx((direct, direct.low, direct.high))
        assert row["n"] == direct.n and row["win_rate"] + table.loc[
            (other, one), "win_rate"
        ] == pytest.approx(1)


def made(n=400, models=5, seed=0, ties=0.2, raters=1):
    random = np.random.default_rng(seed)
    strength = np.linspace(-1, 1, models)
    a = random.integers(0, models, n)
    b = (a + random.integers(1, models, n)) % models
    wins = (random.random(n) < 1 / (1 + np.exp(strength[b] - strength[a]))).astype(float)
    wins[random.random(n) < ties] = 0.5
    return pd.DataFrame(
        {
            "prompt_id": [f"p{i // 3}" for i in range(n)],
            "model_a": [f"m{i}" for i in a],
            "model_b": [f"m{i}" for i in b],
            "rater": [f"human:{i % raters}" for i in range(n)],
            "outcome": wins,
        }
    )


@pytest.mark.parametrize("ties", ["half", "model"])
def test_sides_order_names_and_unscored_change_nothing(ties):
    votes = made()
    plain = bradley_terry(votes, ties).set_index("model")
    swap = np.random.default_rng(1).random(len(votes)) < 0.5
    turned = votes.copy()
    turned.loc[swap, ["model_a", "model_b"]] = votes.loc[swap, ["model_b", "model_a"]].to_numpy()
    turned.loc[swap, "outcome"] = 1 - votes.loc[swap, "outcome"]
    names = {f"m{i}": f"other{(i + 2) % 5}" for i in range(5)}
    more = pd.concat([votes, votes.head(9).assign(outcome=np.nan)])
    for frame, back in (
        (turned.sample(frac=1, random_state=2), {}),
        (votes.replace(names), {v: k for k, v in names.items()}),
        (more, {}),
    ):
        again = bradley_terry(frame, ties).replace({"model": back}).set_index("model").loc[plain.index]
        pd.testing.assert_frame_equal(again, plain, rtol=1e-6, atol=1e-8)


def test_intervals_cover():
    truth, hits = np.linspace(-1, 1, 5), []
    for seed in range(120):
        found = bradley_terry(made(seed=seed, ties=0)).set_index("model").sort_index()
        hits.append(((found["low"] <= truth) & (truth <= found["high"])).to_numpy())
    assert 0.92 <= np.mean(hits) <= 0.98


def test_edge_cases_give_a_word():
    votes = made(60, models=3)
    champion = pd.concat([votes, votes.head(20).assign(model_a="best", outcome=1.0)])
    table = bradley_terry(champion).set_index("model")
    assert table.index[0] == "best" and "never lost" in table.loc["best", "note"]
    assert np.isfinite(table[["log_strength", "low", "high"]].to_numpy()).all()
    island = pd.concat([votes, votes.head(20).assign(model_a="x", model_b="y")])
    assert bradley_terry(island)["note"].str.contains("2 groups").all()
    one = bradley_terry(votes.assign(prompt_id="p"))
    assert one["note"].str.contains("one prompt").all() and one["log_strength"].notna().all()
    ties = bradley_terry(votes.assign(outcome=0.5))
    assert ties["log_strength"].abs().max() < 1e-9 and (ties["rank"] == 1).all()
    assert bradley_terry(votes.assign(outcome=0.5), "model")["log_strength"].abs().max() < 1e-6
    empty = votes.assign(outcome=np.nan)
    assert bradley_terry(empty).empty and rankings(empty).empty
    assert pair_matrix(empty)["unscored"].sum() == 2 * 60
    with pytest.raises(ReportError, match="'half' a win"):
        bradley_terry(votes, ties="none")
    with pytest.raises(ReportError, match="no such ranking: best"):
        rankings(votes, ("best",))
