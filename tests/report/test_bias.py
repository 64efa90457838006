"""The bias card: planted leanings are found as large as they are and taken out; nothing known gives a word."""

import numpy as np
import pandas as pd
import pytest

from sftkit.report.bias import BIASES, bias_card, family_of
from sftkit.report.leanings import features, leaning, verdict_rows
from sftkit.report.tables import bias

JUDGE = "judge:gpt-4.1/pairwise-v1"


def study(n=600, first=0.15, per_sd=0.2, lists=0.1, quality=0.0, seed=0, orders="drawn"):
    """Ratings of one judge on n prompts and the answers: P(a wins) is 0.5 + quality and what the leanings add."""
    random = np.random.default_rng(seed)
    size = random.integers(200, 2000, (n, 2))
    listed = random.random((n, 2)) < 0.4
    texts = [
        [("- x\n- y\n" if mark else "") + "z" * (s - 8 * mark) for s, mark in zip(*row)]
        for row in zip(size, listed)
    ]
    answers = pd.DataFrame(
        [
            {"prompt_id": f"p{i}", "model": m, "response": texts[i][k]}
            for i in range(n)
            for k, m in enumerate(("base", "tuned"))
        ]
    )
    gap = (size[:, 0] - size[:, 1]) / max(np.std(size[:, 0] - size[:, 1]), 1)
    rows = []
    for order in ("a", "b") if orders == "both" else (None,):
        shown = random.choice(["a", "b"], n) if order is None else np.full(n, order)
        p = 0.5 + quality + first / 2 * np.where(shown == "a", 1, -1)
        p = p + per_sd / np.tanh(1) * np.tanh(gap) + lists * (listed[:, 0].astype(float) - listed[:, 1])
        won = random.random(n) < np.clip(p, 0, 1)
        rows.append(
            pd.DataFrame(
                {
                    "prompt_id": [f"p{i}" for i in range(n)],
                    "shown_first": shown,
                    "verdict": np.where(won, "a", "b"),
                }
            )
        )
    ratings = pd.concat(rows, ignore_index=True)
    ratings = ratings.assign(
        rater=JUDGE, model_a="base", model_b="tuned", scores=None, current=True, evidence=None
    )
    ratings["id"] = range(len(ratings))
    return ratings, answers


def votes_of(ratings, answers):
    from sftkit.ratings.votes import combine, describe, of_models

    return describe(combine(of_models(ratings), ["base", "tuned"]), answers.assign(task="all"))


def card(ratings, answers):
    return bias_card(votes_of(ratings, answers), ratings, answers).set_index(["rater", "bias"])


def test_planted_leanings_are_found_as_large_as_they_are():
    found = {term: [] for term in ("first", "length", "lists")}
    for seed in range(20):
        ratings, answers = study(seed=seed)
        effect = leaning(verdict_rows(votes_of(ratings, answers), ratings, answers)).effect
        for term, values in found.items():
            values.append((effect[term].value, effect[term].low, effect[term].high))
    for term, truth in (("first", 15), ("length", 20), ("lists", 10)):
        value, low, high = np.array(found[term]).T
        assert value.mean() == pytest.approx(truth, abs=2.5), term
        assert np.mean((low <= truth) & (truth <= high)) >= 0.8, term


def test_a_leaning_that_decides_the_ranking_is_taken_out():
    """tuned is better, but base's answers are longer than usual where it matters: without length they change places."""
    ratings, answers = study(n=2000, first=0.0, per_sd=0.3, lists=0.0, quality=-0.04, seed=3)
    ratings.loc[ratings.index[:900], "verdict"] = "a"  # the judge falls for long answers
    longer = answers["prompt_id"].isin([f"p{i}" for i in range(900)]) & (answers["model"] == "base")
    answers.loc[longer, "response"] = answers.loc[longer, "response"] + "w" * 3000
    row = card(ratings, answers).loc[(JUDGE, "length")]
    assert row["ranking"] == ["base", "tuned"] and row["without"] == ["tuned", "base"] and row["swaps"] == 1
    assert row["effect_low"] > 0 and row["moves"] > 5


def test_both_orders_leave_nothing_of_the_place():
    ratings, answers = study(n=200, orders="both", first=0.4)
    table = card(ratings, answers)
    row = table.loc[(JUDGE, "first")]
    assert 0.6 < row["low"] < row["value"] < row["high"] and row["effect"] == pytest.approx(40, abs=10)
    assert row["moves"] == pytest.approx(0, abs=1e-9) and row["swaps"] == 0
    flips = table.loc[(JUDGE, "flips")]
    assert flips["n"] == 200 and flips["value"] > 0.4


def test_flips_of_real_verdicts(mt_bench):
    both = pd.concat([mt_bench(turn).assign(turn=turn) for turn in (1, 2)])
    votes = both[both["rater"] == "judge:gpt4_pair"]
    votes = votes.assign(prompt_id=votes["prompt_id"] + "/" + votes["turn"].astype(str))
    row = bias_card(votes, pd.DataFrame()).set_index("bias").loc["flips"]
    assert (round(row["value"] * row["n"]), row["n"]) == (380, 2400)
    ratings = pd.DataFrame(columns=["rater", "prompt_id", "verdict", "shown_first", "current"]).astype(
        {"current": bool}
    )
    assert bias(votes, ratings).empty


def test_families_flags_failures_and_canaries():
    ratings, answers = study(n=100, first=0, per_sd=0, lists=0)
    ratings = ratings.replace({"model_a": {"base": "gpt-4o-mini"}, "model_b": {"tuned": "llama-3"}})
    ratings["verdict"] = ["a"] * 70 + ["b"] * 20 + ["unscored"] * 10
    ratings["evidence"] = [{"flags": {"a": ["asks for the verdict"]}}] * 5 + [None] * 95
    human = ratings.assign(rater="human:ana", verdict=["a", "b"] * 50, evidence=None)
    canary = ratings.head(20).assign(model_b="canary:empty", verdict=["a"] * 19 + ["b"])
    frame = pd.concat([ratings, human, canary], ignore_index=True).assign(id=range(220))
    names = answers.replace({"model": {"base": "gpt-4o-mini", "tuned": "llama-3"}})
    table = card(frame, names).loc[JUDGE]
    share = 100 * (70 / 90 - 0.5)
    assert table.loc["family", "value"] == pytest.approx(share) and table.loc["family", "low"] > 0
    assert table.loc["unscored", ["value", "n"]].tolist() == [0.1, 100]
    assert table.loc["unscored", "moves"] == pytest.approx(100 * (70 / 90 - 70 / 100))
    assert table.loc["flagged", "value"] == 0.05 and table.loc["canaries", ["value", "n"]].tolist() == [
        0.05,
        20,
    ]
    assert "no ranking" in table.loc["canaries", "note"]


def test_family_names():
    known = {"judge:gpt-4.1/pairwise-v1": "gpt", "o3-mini": "gpt", "anthropic/claude-3": "claude", "Meta-Llama-3-8B": "llama", "tuned": None, "judge:reference/v1": None, "dolphin": None}  # fmt: skip
    assert {name: family_of(name) for name in known} == known


def test_text_features():
    texts = [
        "plain - not a list",
        "- one\n- two",
        "1. a\n2) b",
        "## Head\ntext",
        "so **bold**",
        "```\ncode\n```",
        "3 * 4 * 5",
        "",
    ]
    table = features(pd.DataFrame({"prompt_id": range(8), "model": "m", "response": texts}))
    assert table["lists"].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert table["markdown"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_sides_order_and_names_change_nothing():
    ratings, answers = study(n=120, orders="both")
    plain = card(ratings, answers).reset_index()
    turned = ratings.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    turned = turned.replace({"verdict": {"a": "b", "b": "a"}, "shown_first": {"a": "b", "b": "a"}})
    again = card(turned.sample(frac=1, random_state=0), answers.iloc[::-1]).reset_index()
    figures = ["value", "low", "high", "n", "effect", "moves"]
    pd.testing.assert_frame_equal(again[figures], plain[figures], rtol=1e-8)
    names = {"base": "zeta", "tuned": "alpha"}
    renamed = ratings.replace({"model_a": names, "model_b": names})
    other = card(renamed, answers.replace({"model": names})).reset_index()
    pd.testing.assert_frame_equal(other[figures], plain[figures], rtol=1e-8)


@pytest.mark.parametrize("verdict", ["tie", "unscored", "a"])
@pytest.mark.parametrize("n", [1, 5])
def test_edge_cases_give_a_word(verdict, n):
    ratings, answers = study(n=n)
    table = card(ratings.assign(verdict=verdict), answers).reset_index()
    assert set(table["bias"]) == set(BIASES)
    silent = table[table["value"].isna()]
    assert silent["note"].str.len().gt(0).all()
    assert table.loc[table["low"].isna() & table["value"].notna(), "note"].str.len().gt(0).all()
    empty = bias_card(votes_of(ratings, answers).iloc[:0], ratings.iloc[:0], answers)
    assert empty.empty and "moves" in empty
