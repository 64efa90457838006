"""Every table of the report from one store, through the public property: figures that agree with the functions, real
votes, hostile edges, and no table that raises."""

import numpy as np
import pandas as pd
import pytest

from sftkit.errors import ReportError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore
from sftkit.report import Report, win_rate
from sftkit.report.methods import METHODS
from sftkit.report.weights import ranking

TABLES = [
    "win_rates",
    "by_task",
    "by_length",
    "length_controlled",
    "strengths",
    "pairs",
    "rankings",
    "by_dimension",
    "mean_scores",
    "agreement",
    "score_agreement",
    "reliability",
    "rater_cards",
    "bias",
    "bias_card",
    "calibration",
]


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def fill(
    store, prompts=12, models=("base", "tuned", "other"), verdict=None, humans=("ana", "bo"), scored=True
):
    """Two humans and a judge that sees both orders, on all models against the first."""
    random = np.random.default_rng(0)
    rows = [
        {
            "prompt_id": f"p{i}",
            "prompt": f"q{i}",
            "task": ("sums", "facts")[i % 2],
            "model": m,
            "response": "x" * (50 + 37 * i % 90 + 9 * k),
        }
        for i in range(prompts)
        for k, m in enumerate(models)
    ]
    store.register(Generations.from_frame(pd.DataFrame(rows)))
    many = []
    for i in range(prompts):
        for model in models[1:]:
            for rater, orders in [
                *((f"human:{h}", [random.choice(["a", "b"])]) for h in humans),
                ("judge:gpt-4/pairwise-v2", ["a", "b"]),
            ]:
                for first in orders:
                    said = verdict or random.choice(["a", "b", "tie"], p=[0.3, 0.5, 0.2])
                    scores = {
                        d: {"a": int(random.integers(1, 6)), "b": int(random.integers(2, 6))}
                        for d in ("honesty", "safety")
                    }
                    reason = {"reason": "no reply"} if said == "unscored" else {}
                    many.append(
                        Rating(
                            rater,
                            f"p{i}",
                            models[0],
                            model,
                            str(said),
                            scores=scores if scored else {},
                            shown_first=first,
                            seconds=5.0,
                            **reason,
                        )
                    )
    store.add_many(many)
    return store


def test_every_table_is_there_and_agrees(store):
    report = Report(fill(store))
    for name in TABLES:
        table = getattr(report, name)
        assert len(table), name
        assert name in METHODS and all(METHODS[name]), name
    judge = report.votes[report.votes["rater"] == "judge:gpt-4/pairwise-v2"]
    direct = win_rate(judge, "tuned", "base")
    row = report.win_rates.set_index(["rater", "model"]).loc[("judge:gpt-4/pairwise-v2", "tuned")]
    assert (row["win_rate"], row["low"], row["n"]) == (direct.value, direct.low, direct.n)
    pair = report.pairs.set_index(["rater", "model", "against"]).loc[
        ("judge:gpt-4/pairwise-v2", "tuned", "base")
    ]
    assert pair["win_rate"] == pytest.approx(direct.value)
    cal = report.calibration.set_index("model").loc["tuned"]
    assert cal["judge"] == direct.value and cal["n"] == 12
    assert set(report.strengths["rater"]) == {"human:*", "judge:gpt-4/pairwise-v2"}
    ceiling = report.agreement.set_index(["rater_x", "rater_y"])["ceiling"]
    humans = report.agreement.set_index(["rater_x", "rater_y"])["agreement"]
    assert ceiling["human:*", "judge:gpt-4/pairwise-v2"] == humans["human:*", "human:*"]
    assert len(report.sources.win_rates) == 2
    assert ranking(report.score_table("human:*"))["rank"].notna().all()
    assert "48 overall votes with scores" in str(report.learned_weights)


def test_both_bad_is_a_tie_and_a_skipped_comparison_no_vote(store):
    fill(store, prompts=1)
    before = len(Report(store).votes)
    store.add(Rating("human:cy", "p0", "base", "tuned", "both_bad"))
    store.add(Rating("human:dee", "p0", "base", "tuned", "skipped", reason="not my field"))
    report = Report(store)
    assert len(report.votes) == before + 1
    rates = report.win_rates.set_index(["rater", "model"])
    assert rates.loc[("human:cy", "tuned"), ["win_rate", "ties", "n"]].tolist() == [0.5, 1, 1]
    assert "human:dee" not in set(report.win_rates["rater"])
    for name in TABLES:
        getattr(report, name)


def test_the_queues_probabilities_reach_the_calibrated_figure(store):
    fill(store, prompts=20, humans=())
    for i in range(10):
        store.add(
            Rating("human:ana", f"p{i}", "base", "tuned", "b" if i < 7 else "a", probability=0.2 + 0.08 * i)
        )
    report = Report(store)
    row = report.calibration.set_index("model").loc["tuned"]
    plain = (
        Report(report.votes.drop(columns="probability"), baseline="base")
        .calibration.set_index("model")
        .loc["tuned"]
    )
    assert report.votes["probability"].notna().sum() == 10
    assert row["n"] == plain["n"] == 10 and abs(row["calibrated"] - plain["calibrated"]) > 0.02


EDGES = {
    "no ratings": None,
    "one prompt": {"prompts": 1},
    "one rater": {"humans": ()},
    "all ties": {"verdict": "tie"},
    "all unscored": {"verdict": "unscored", "scored": False},
    "all won": {"verdict": "b"},
    "two models": {"models": ("base", "tuned")},
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("made", EDGES.values(), ids=EDGES.keys())
def test_no_table_raises_and_what_is_missing_has_a_word(store, made):
    report = Report(fill(store, **made) if made is not None else store)
    for name in TABLES:
        table = getattr(report, name)
        if "note" in table and name not in ("agreement",):
            figure = next(
                c
                for c in ("value", "win_rate", "log_strength", "severity", "alpha", "kappa", "calibrated")
                if c in table
            )
            assert table.loc[table[figure].isna(), "note"].str.len().gt(0).all(), name
    assert str(report.learned_weights)
    if made is None or made.get("verdict") == "unscored":
        with pytest.raises(ReportError, match="no scored vote"):
            _ = report.sources
    else:
        assert len(report.sources.win_rates)


def test_one_model_only_says_so():
    votes = pd.DataFrame(columns=["prompt_id", "model_a", "model_b", "rater", "outcome"])
    report = Report(votes)
    assert report.headline.startswith("No ratings yet") and report.win_rates.empty


def test_real_votes_go_through(mt_bench):
    report = Report(mt_bench(1), baseline="gpt-3.5-turbo")
    table = report.agreement.set_index(["rater_x", "rater_y"])
    assert round(table.loc[("human:*", "judge:gpt4_pair"), "agreement"], 2) == 0.66
    assert round(table.loc[("human:*", "judge:gpt4_pair"), "ceiling"], 2) == 0.63
    best = report.strengths.groupby("rater")["model"].first()
    assert best["human:*"] == best["judge:gpt4_pair"] == "gpt-4"
    cal = report.calibration.set_index("model")
    assert (cal["low"] <= cal["human"]).all() and (cal["human"] <= cal["high"]).all()
