"""Scores by dimension and the raters' cards: known figures, a planted severity found, edge cases that give a word."""

import numpy as np
import pandas as pd
import pytest

from sftkit.report.raters import consistency, rater_cards, severity, with_others
from sftkit.report.scores import long_scores, mean_scores, reliability, score_agreement
from sftkit.report.tables import by_dimension, by_length, win_rates


def rated(rater, prompt, verdict="a", scores=None, a="base", b="tuned", first=None, seconds=10.0):
    """A row of RatingStore.frame()."""
    return {
        "rater": rater,
        "prompt_id": prompt,
        "model_a": a,
        "model_b": b,
        "verdict": verdict,
        "scores": scores or {},
        "shown_first": first,
        "current": True,
        "seconds": seconds,
    }


def panel(prompts=60, harsh=0.8, seed=0):
    """Three raters score both answers of every prompt on two dimensions; cy scores `harsh` points lower."""
    random = np.random.default_rng(seed)
    rows = []
    for p in range(prompts):
        good = {side: random.normal(3 + (side == "b"), 0.7) for side in "ab"}
        for rater in ("human:ana", "human:bo", "human:cy"):
            off = harsh if rater == "human:cy" else 0
            scores = {
                d: {s: float(np.clip(good[s] - off + random.normal(0, 0.3), 1, 5)) for s in "ab"}
                for d in ("honesty", "safety")
            }
            rows.append(rated(rater, f"p{p}", "b", scores))
    return pd.DataFrame(rows)


def test_known_scores():
    frame = pd.DataFrame(
        [
            rated("human:ana", "p1", scores={"honesty": {"a": 2, "b": 4}, "style": 3}),
            rated("human:ana", "p2", scores={"honesty": {"a": 4, "b": 4}}),
            rated("judge:j", "p1", scores={"honesty": {"a": 1, "b": 5}}, first="a"),
            rated("judge:j", "p1", scores={"honesty": {"a": 3, "b": 5}}, first="b"),
        ]
    )
    long = long_scores(frame)
    assert len(long) == 6 and set(long["dimension"]) == {"honesty"}
    table = mean_scores(frame).set_index(["rater", "model"])
    assert table.loc[("human:ana", "base"), "mean"] == 3 and table.loc[("judge:j", "base"), "mean"] == 2
    row = by_dimension(frame, "base").set_index("rater").loc["human:ana"]
    assert (row["difference"], row["win_rate"], row["n"]) == (1, 0.75, 2)
    [row] = score_agreement(frame).to_dict("records")
    assert (row["rater_x"], row["rater_y"], row["n"], row["same"]) == ("human:ana", "judge:j", 2, 0.5)


def test_a_harsh_rater_is_found_by_as_much_as_he_is():
    frame = panel()
    table = severity(frame).set_index("rater")
    assert table["severity"].sum() == pytest.approx(0, abs=1e-9)
    gap = table.loc["human:cy", "severity"] - table.loc["human:ana", "severity"]
    assert gap == pytest.approx(0.75, abs=0.12)
    assert table.loc["human:cy", "low"] > 0 > table.loc["human:ana", "high"]
    renamed = severity(frame.replace({"rater": {"human:cy": "human:aa"}}).sample(frac=1, random_state=0))
    assert renamed.set_index("rater").loc["human:aa", "severity"] == pytest.approx(
        table.loc["human:cy", "severity"]
    )


def test_scores_agree_as_far_as_they_do():
    steady = panel(harsh=0)
    table = score_agreement(
        steady.assign(
            scores=[{d: {s: round(v) for s, v in c.items()} for d, c in x.items()} for x in steady["scores"]]
        )
    )
    assert (
        (table["rater_x"] == "human:*").all() and (table["kappa"] > 0.6).all() and (table["n"] == 360).all()
    )
    alpha = reliability(steady).set_index("dimension")["alpha"]
    assert (alpha > reliability(panel(harsh=1.5)).set_index("dimension")["alpha"] + 0.1).all()


def test_both_ways_round():
    frame = pd.DataFrame(
        [
            rated("judge:j", "p1", "a", first="a"),
            rated("judge:j", "p1", "b", first="a", a="tuned", b="base"),  # base again, tuned shown first
            rated("judge:j", "p2", "a", first="a"),
            rated("judge:j", "p2", "b", first="b"),
            rated("judge:j", "p3", "a", first="a"),
            rated("judge:j", "p3", "unscored", first="b"),
            rated("judge:j", "p4", "a", first="a"),
        ]
    )
    [row] = consistency(frame).to_dict("records")
    assert (row["same"], row["n"], row["unscored"]) == (0.5, 2, 1)


def test_cards_and_edges():
    frame = panel(prompts=12)
    votes = pd.DataFrame(
        {
            "prompt_id": frame["prompt_id"],
            "model_a": "base",
            "model_b": "tuned",
            "rater": frame["rater"],
            "outcome": np.where(frame["rater"] == "human:cy", 0.5, 0.0),
        }
    )
    cards = rater_cards(votes, frame).set_index("rater")
    assert cards.loc["human:cy", "ties"] == 1 and cards.loc["human:ana", "humans"] == 0.5
    assert (
        cards["seconds"].eq(10).all()
        and cards["severity_n"].eq(48).all()
        and cards["consistency_n"].eq(0).all()
    )
    assert cards["note"].eq("saw no comparison both ways round").all()
    one = votes[votes["rater"] == "human:ana"]
    [row] = with_others(one).to_dict("records")
    assert row["n"] == 0 and row["note"] == "no comparison in common with a human"
    alone = severity(frame[frame["rater"] == "human:ana"])
    assert alone["note"].tolist() == ["shares no scored answer with another rater"]
    empty = frame.iloc[:0]
    for table in (
        severity(empty),
        consistency(empty),
        score_agreement(empty),
        reliability(empty),
        mean_scores(empty),
        by_dimension(empty, "base"),
    ):
        assert table.empty and len(table.columns) > 4
    assert (
        "all verdicts are the same"
        in score_agreement(
            pd.DataFrame(
                [
                    rated(r, f"p{i}", scores={"safety": {"a": 3, "b": 3}})
                    for r in ("human:x", "human:y")
                    for i in range(4)
                ]
            )
        )["note"][0]
    )
    assert len(rater_cards(votes, empty)) == 3


def test_win_rates_by_length():
    votes = pd.DataFrame(
        {
            "prompt_id": ["p1", "p2", "p3", "p4"],
            "model_a": ["base", "base", "tuned", "base"],
            "model_b": ["tuned", "tuned", "base", "tuned"],
            "rater": "human:ana",
            "outcome": [1, 0, 1, np.nan],
            "len_a": [200, 100, 100, 100],
            "len_b": [100, 200, 90, 1000],
        }
    )
    table = by_length(votes, "base")
    assert table[["length", "win_rate", "n", "unscored"]].to_numpy().tolist() == [
        ["shorter", 0.0, 1, 0],
        ["similar", 1.0, 1, 0],
        ["longer", 1.0, 1, 1],
    ]
    assert by_length(votes.drop(columns=["len_a", "len_b"]), "base").empty
    assert win_rates(votes, "base")["n"].tolist() == [3]
