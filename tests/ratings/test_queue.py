from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit.errors import ConfigError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore
from sftkit.ratings.blind import Comparison, comparisons
from sftkit.ratings.queue import arrange, probabilities
from sftkit.ratings.votes import mark_current
from sftkit.ratings.worth import AGAINST, EVEN, FLIP, NARROW, is_judge, worth

ORACLES = Path(__file__).parents[3] / "shared" / "oracles" / "mt_bench_human"
SLOW = settings(max_examples=40, deadline=None)
ANA, JUDGE = "human:ana", "judge:gpt/v1"


def answers(models, prompts):
    rows = [
        {"prompt_id": f"p{n}", "prompt": f"Question {n}", "model": model, "response": f"{model} on {n}"}
        for n in range(prompts)
        for model in models
    ]
    return Generations.from_frame(pd.DataFrame(rows, columns=["prompt_id", "prompt", "model", "response"]))


def pairs(count):
    return [Comparison(f"c{n}", f"p{n}", ("base", "tuned"), ("base", "tuned")) for n in range(count)]


def frame(*ratings):
    """As `store.frame()` gives it. A rating: rater, prompt number, verdict, and what else is not as usual."""
    rows = [
        {"id": n + 1, "rater": rater, "prompt_id": f"p{prompt}", "model_a": "base", "model_b": "tuned", "verdict": said,
         "scores": {}, "shown_first": "a", "evidence": {}, "probability": None} | more
        for n, (rater, prompt, said, more) in enumerate((*r, {})[:4] for r in ratings)
    ]  # fmt: skip
    names = (
        "id rater prompt_id model_a model_b verdict scores shown_first evidence probability project".split()
    )
    found = pd.DataFrame(rows, columns=names)
    return found.assign(current=mark_current(found).astype(bool))


def both_orders(prompt, first, second, rater=JUDGE, chances=(None, None)):
    return [
        (rater, prompt, said, {"shown_first": shown, "evidence": {"probabilities": p} if p else {}})
        for said, shown, p in zip((first, second), "ab", chances)
    ]


def upcoming(queue, rows):
    return [rows[row].prompt_id for row in queue.order]


def test_unrated_is_the_order_of_the_file_with_what_is_done_behind():
    rows = pairs(5)
    said = frame((ANA, 0, "a"), (ANA, 2, "skipped"), (ANA, 3, "open"), (ANA, 1, "b"), (ANA, 1, "retracted"))
    queue = arrange(rows, said, "unrated", rater=ANA)
    assert queue.order == [1, 3, 4, 0, 2] and queue.probability == {} and queue.design == ""
    assert arrange(rows, said, "unrated", rater="human:bo").order == [0, 1, 2, 3, 4]


def test_overlap_comes_first_where_one_other_person_has_voted():
    said = frame(
        ("human:bo", 1, "a"), ("human:cy", 1, "a"), ("human:bo", 3, "tie"), (JUDGE, 0, "a"), ("human:bo", 2, "open"),
        ("human:cy", 4, "b", {"model_a": "tuned", "model_b": "base"}), (ANA, 4, "a"), ("human:bo", 5, "skipped"),
    )  # fmt: skip
    assert arrange(pairs(6), said, "overlap", rater=ANA).order == [3, 0, 2, 5, 1, 4]


def test_in_a_project_only_its_own_ratings_count_as_rated():
    said = frame((ANA, 0, "a", {"project": "one"}), (ANA, 1, "a"), ("human:bo", 2, "a", {"project": "two"}))
    assert arrange(pairs(3), said, "unrated", rater=ANA, project="one").order == [1, 2, 0]
    assert arrange(pairs(3), said, "overlap", rater=ANA, project="two").order == [2, 0, 1]
    assert arrange(pairs(3), said, "overlap", rater=ANA).order == [2, 0, 1]


def test_a_ranking_counts_once_every_pair_of_it_is_voted_on():
    three = [Comparison("c0", "p0", ("a", "b", "c"), ("c", "a", "b")), *pairs(1)]
    two_of_three = frame(*[(ANA, 0, "a", {"model_a": a, "model_b": b}) for a, b in ("ab", "bc")])
    all_three = frame(*[(ANA, 0, "a", {"model_a": a, "model_b": b}) for a, b in ("ab", "bc", "ca")])
    assert arrange(three, two_of_three, "unrated", rater=ANA).order == [0, 1]
    assert arrange(three, all_three, "unrated", rater=ANA).order == [1, 0]


def test_the_tiers_of_worth():
    even, sure = {"a": 0.4, "b": 0.5, "tie": 0.1}, {"a": 0.97, "b": 0.02, "tie": 0.01}
    said = frame(
        *both_orders(0, "a", "b"),
        *both_orders(1, "tie", "tie"),
        *both_orders(2, "b", "b", chances=(even, even)),
        *both_orders(3, "a", "a", chances=(sure, sure)), ("human:bo", 3, "b"),
        *both_orders(4, "a", "a", chances=(sure, sure)), ("human:bo", 4, "a"),
        *both_orders(5, "a", "b", rater="judge:gpt/v1+masked"),
        *both_orders(6, "a", "a"), *both_orders(6, "b", "b", rater="judge:other/v1"),
        (JUDGE, 7, "unscored"),
    )  # fmt: skip
    tiers, values = worth(pairs(8), said[said["current"]])
    assert tiers.tolist() == [FLIP, EVEN, EVEN, AGAINST, NARROW, NARROW, EVEN, NARROW]
    assert values[:4] == pytest.approx([1, 1, 0.9, 1]) and values[6] == 1 and (values > 0).all()


def test_a_row_is_told_the_same_whichever_model_was_called_a():
    p, q = {"a": 0.3, "b": 0.6, "tie": 0.1}, {"a": 0.6, "b": 0.3, "tie": 0.1}
    one = frame(*both_orders(0, "b", "b", chances=(p, p)))
    turned = frame(*both_orders(0, "a", "a", chances=(q, q))).assign(model_a="tuned", model_b="base")
    assert worth(pairs(1), one)[1] == pytest.approx(worth(pairs(1), turned)[1])


def test_two_orders_are_averaged_as_the_same_model_winning():
    """Sure in both orders, the models once named the other way round: not even."""
    one, two = {"a": 0.9, "b": 0.1, "tie": 0.0}, {"a": 0.1, "b": 0.9, "tie": 0.0}
    said = frame(
        (JUDGE, 0, "a", {"evidence": {"probabilities": one}}),
        (JUDGE, 0, "b", {"model_a": "tuned", "model_b": "base", "evidence": {"probabilities": two}}),
    )
    assert worth(pairs(1), said[said["current"]])[0].tolist() == [NARROW]


def test_other_readings_of_a_pair_are_no_judges():
    assert [is_judge(f"judge:org/m/v1{tail}") for tail in ("", "+masked", "#2", "@x")] == [True] + [False] * 3
    assert is_judge("judge:a+b@c/v1") and not is_judge(ANA)


def test_narrowing_prefers_what_is_least_known_and_the_gain_is_the_drop_of_the_variance():
    """The gain of a vote against the trace of the inverse information matrix, computed anew with that vote in it."""
    from sftkit.ratings.worth import _precision, _Said, gains

    said = {("p0", "x", "y"): _Said(humans=[1.0] * 6 + [0.0] * 4), ("p1", "x", "z"): _Said(humans=[1.0, 0.0])}
    found = gains("xyz", said)
    assert found["y", "z"] > found["x", "z"] > found["x", "y"] > 0
    at_par = {("p0", "x", "y"): _Said(humans=[1.0, 0.0] * 5)}
    weights = np.array([[0, 2.5, 0], [2.5, 0, 0], [0, 0, 0]])
    before = np.trace(np.linalg.inv(_precision(weights)))
    weights[0, 2] = weights[2, 0] = 0.25
    after = np.trace(np.linalg.inv(_precision(weights)))
    assert gains("xyz", at_par)["x", "z"] == pytest.approx(before - after)


@SLOW
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(1e-6, 1)), min_size=1, max_size=80),
    st.integers(1, 100), st.floats(0.01, 1),
)  # fmt: skip
def test_probabilities_add_up_to_the_budget_and_grow_with_it(found, budget, floor):
    tiers, values = (np.array(part) for part in zip(*found))
    chances = probabilities(tiers, values, budget, floor)
    assert chances.sum() == pytest.approx(min(budget, len(found)))
    assert (chances > 0).all() and (chances <= 1 + 1e-9).all()
    assert chances.min() >= min(1, floor * budget / len(found)) - 1e-9
    assert (probabilities(tiers, values, budget + 1, floor) >= chances - 1e-9).all()
    for tier, later in pairwise(sorted(set(tiers))):
        assert chances[tiers == tier].max() >= chances[tiers == later].max() - 1e-9


def test_the_sample_is_the_same_for_all_raters_comes_first_and_a_larger_budget_keeps_it():
    rows, said = (
        pairs(200),
        frame(*(row for n in range(200) for row in both_orders(n, "a", "ab"[n % 5 == 0]))),
    )
    queue = arrange(rows, said, "value", rater=ANA, budget=40)
    chosen = [rows[row].id for row in queue.order[: len(queue.probability)]]
    assert set(chosen) == queue.probability.keys() and 30 <= len(chosen) <= 50
    assert queue.inclusion.keys() == {row.id for row in rows} and min(queue.inclusion.values()) > 0
    assert sum(int(name[1:]) % 5 == 0 for name in chosen) >= 24  # flips, of 40
    assert arrange(rows, said, "value", rater="human:bo", budget=40) == queue
    assert queue.probability.keys() < arrange(rows, said, "value", rater=ANA, budget=90).probability.keys()
    assert (
        arrange(rows, said, "value", rater=ANA, budget=40, seed=1).probability.keys()
        != queue.probability.keys()
    )


def test_random_gives_every_comparison_the_same_probability_and_another_order_to_another_seed():
    rows = pairs(100)
    queue = arrange(rows, frame(), "random", rater=ANA)
    assert all(p == pytest.approx(0.25) for p in queue.inclusion.values())
    assert sorted(queue.order) == list(range(100)) != queue.order
    assert arrange(rows, frame(), "random", rater=ANA, seed=1).order != queue.order


def test_votes_of_a_design_do_not_change_it_and_those_before_do():
    rows = pairs(40)
    judged = [row for n in range(40) for row in both_orders(n, "a", "ab"[n < 5])]
    queue = arrange(rows, frame(*judged), "value", rater=ANA, budget=10)
    sampled = (ANA, 7, "b", {"probability": 0.5, "evidence": {"queue": queue.design}})
    later = frame(*judged, sampled, ("human:bo", 30, "b"), ("human:bo", 31, "b"), *both_orders(9, "b", "a"))
    after = arrange(rows, later, "value", rater="human:cy", budget=10)
    assert (after.inclusion, after.design) == (queue.inclusion, queue.design)
    other = later.assign(evidence=[e | {"queue": "another"} if e else e for e in later["evidence"]])
    assert arrange(rows, other, "value", rater="human:cy", budget=10).inclusion != queue.inclusion


@pytest.fixture(scope="module")
def draws():
    """250 samples of a world where humans dislike what the judge's flips are about; the whole truth; the judge's word."""
    chance = np.random.default_rng(5)
    flips = chance.random(100) < 0.2
    truth = np.where(flips, chance.random(100) < 0.15, chance.random(100) < 0.7).astype(float)
    said = frame(*(row for n in range(100) for row in both_orders(n, "a", "ab"[int(flips[n])])))
    queues = [arrange(pairs(100), said, "value", rater=ANA, seed=n, budget=50, floor=0.5) for n in range(250)]
    return queues, truth, np.where(flips, 0.5, 1.0)


def unbiased(found, truth):
    """The mean of the estimates lies within three standard errors, and these are small enough to tell."""
    error = np.std(found, ddof=1) / len(found) ** 0.5
    return abs(np.mean(found) - truth.mean()) < 3 * error < 0.05


def test_weighted_by_probability_the_value_queue_is_unbiased_and_the_bare_mean_is_not(draws):
    queues, truth, judge = draws
    bare, weighted, corrected = [], [], []
    for queue in queues:
        chance = np.array([queue.probability.get(f"c{n}", np.inf) for n in range(100)])
        bare.append(truth[np.isfinite(chance)].mean())
        weighted.append((truth / chance).mean())
        corrected.append((judge + (truth - judge) / chance).mean())
    assert unbiased(weighted, truth) and unbiased(corrected, truth)
    assert np.std(corrected) < np.std(weighted)
    assert truth.mean() - np.mean(bare) > 0.05 and not unbiased(bare, truth)


def test_who_stops_early_is_unbiased_with_the_factor_reached(draws):
    queues, truth, _ = draws
    found, without = [], []
    for queue in queues:
        done = [f"c{row}" for row in queue.order[:25]]
        parts = [truth[int(name[1:])] / queue.probability[name] / 100 for name in done]
        without.append(sum(parts))
        found.append(sum(parts) / queue.reached(done))
    assert unbiased(found, truth) and truth.mean() - np.mean(without) > 0.2
    assert queues[0].reached([f"c{n}" for n in range(100)]) == 1


@SLOW
@given(
    st.integers(0, 60),
    st.sampled_from(["unrated", "value", "random", "overlap"]),
    st.integers(0, 40),
    st.integers(0, 9),
)
def test_every_row_once_and_repeats_late(prompts, strategy, voted, seed):
    table = answers(["base", "tuned"], prompts)
    rows = comparisons(table, ANA, seed=seed, repeats=0.3, checks=0.2)
    said = frame(*((ANA, n, "a") for n in range(min(voted, prompts))))
    queue = arrange(rows, said, strategy, rater=ANA, seed=seed)
    assert sorted(queue.order) == list(range(len(rows)))
    place = {
        (rows[row].prompt_id, rows[row].repeat): at
        for at, row in enumerate(queue.order)
        if not rows[row].check
    }
    left = sum(not (row.check or row.repeat) for row in rows) - len(said)
    for (prompt, again), at in place.items():
        if again and int(prompt[1:]) >= len(said):
            assert at > place[prompt, False]
            assert at > place[prompt, False] + 10 or at >= left
        if again and int(prompt[1:]) < len(said):
            assert at + len(said) - int(prompt[1:]) > 10 or at >= left


def test_a_repeat_that_was_rated_is_done_and_its_first_showing_is_not_taken_for_it():
    rows = [*pairs(30), Comparison("again", "p3", ("base", "tuned"), ("tuned", "base"), repeat=True)]
    once = frame((ANA, 3, "a"))
    twice = frame((ANA, 3, "a"), (ANA, 3, "b", {"shown_first": "b", "evidence": {"repeat": True}}))
    assert 10 <= arrange(rows, once, "unrated", rater=ANA).order.index(30) < 30
    assert arrange(rows, twice, "unrated", rater=ANA).order[-2:] == [3, 30]


def test_a_rated_check_is_done():
    rows = [Comparison("k", "p0", ("base", "canary:stub"), ("base", "canary:stub"), check=True), *pairs(3)]
    said = frame((ANA, 0, "a", {"model_b": "canary:stub", "evidence": {"check": True}}))
    assert arrange(rows, said, "unrated", rater=ANA).order == [1, 2, 3, 0]


@pytest.mark.parametrize("strategy", ["unrated", "overlap", "value", "random"])
def test_an_empty_project_and_an_empty_store(strategy, tmp_path):
    store = RatingStore(f"sqlite:///{tmp_path}/r.db")
    assert arrange([], store.frame(), strategy, rater=ANA).order == []
    assert sorted(arrange(pairs(3), store.frame(), strategy, rater=ANA).order) == [0, 1, 2]


def test_the_frame_of_a_real_store_is_understood(tmp_path):
    store = RatingStore(f"sqlite:///{tmp_path}/r.db")
    for prompt, second in ((0, "a"), (1, "b")):
        for shown, said in zip("ab", ("a", second)):
            store.add(Rating(JUDGE, f"p{prompt}", "base", "tuned", said, shown_first=shown))
    queue = arrange(pairs(2), store.frame(), "value", rater=ANA, budget=1)
    assert queue.inclusion == {"c0": pytest.approx(0.15), "c1": pytest.approx(0.85)}


def test_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        arrange([], frame(), "best", rater=ANA, budget=0, floor=0)
    assert [fault.field for fault in caught.value.faults] == ["strategy", "budget", "floor"]


def mt_bench():
    """MT-Bench's 1,814 pairs that humans voted on: comparisons, GPT-4's two orders as the store has them, the humans'
    verdict (the sign of their mean) and GPT-4's, on a flip a tie."""
    if not (ORACLES / "human.jsonl").is_file():
        pytest.skip(f"REAL VOTES MISSING: {ORACLES} is not there, so the worth of the flips is NOT checked")
    sides = {"model_a": 1.0, "model_b": -1.0}
    human = pd.read_json(ORACLES / "human.jsonl", lines=True)
    gpt4 = pd.read_json(ORACLES / "gpt4_pair.jsonl", lines=True)
    both = []
    for part in (human, gpt4):
        swap = part["model_a"] > part["model_b"]
        said = part["winner"].map(sides).fillna(0.0) * np.where(swap, -1, 1)
        low, high = (
            part["model_a"].where(~swap, part["model_b"]),
            part["model_b"].where(~swap, part["model_a"]),
        )
        prompt = part["question_id"].astype(str) + ":" + part["turn"].astype(str)
        both.append(
            pd.DataFrame({"prompt_id": prompt, "a": low, "b": high, "said": said, "winner": part["winner"]})
        )
    keys = ["prompt_id", "a", "b"]
    truth = np.sign(both[0].groupby(keys, sort=False)["said"].mean()).rename("truth").reset_index()
    found = truth.merge(both[1], on=keys)
    flip = found["winner"].str.contains("inconsistent").to_numpy()
    verdict = found["said"].map({1.0: "a", -1.0: "b", 0.0: "tie"})
    orders = [found.assign(verdict=np.where(flip, said, verdict), shown_first=said) for said in "ab"]
    stored = pd.concat(orders, ignore_index=True).rename(columns={"a": "model_a", "b": "model_b"})
    stored = stored.assign(id=range(len(stored)), rater=JUDGE, scores=None, evidence=None, current=True)
    rows = [
        Comparison(f"c{n}", *((p, (a, b), (a, b))))
        for n, (p, a, b) in enumerate(zip(*(found[k] for k in keys)))
    ]
    return rows, stored, found["truth"].to_numpy(), found["said"].to_numpy(), flip


def test_flips_to_humans_first_lifts_the_labels_of_mt_bench_as_measured():
    rows, stored, truth, judge, flip = mt_bench()
    right = truth == judge
    budget = int(flip.sum())
    assert (len(rows), round(budget / len(rows), 2), round(right.mean(), 3)) == (1814, 0.16, 0.674)

    def accuracy(strategy, seed=0, **options):
        """Labels right, those of the first `budget` of the queue being the humans'."""
        queue = arrange(rows, stored, strategy, rater=ANA, seed=seed, budget=budget, **options)
        asked = np.zeros(len(rows), dtype=bool)
        asked[queue.order[:budget]] = True
        return (right | asked).mean(), flip[asked].mean()

    assert accuracy("value", floor=1e-9) == (pytest.approx(0.777, abs=5e-4), 1.0)
    by_chance = np.mean([accuracy("random", seed)[0] for seed in range(10)])
    assert by_chance == pytest.approx(0.726, abs=0.004)
    usual, flips = accuracy("value")
    # three tenths of the default go to chance, so that estimates stay valid
    assert 0.755 < usual < 0.77 and 0.7 < flips < 0.8


def test_flips_then_ties_of_mt_bench():
    rows, stored, truth, judge, flip = mt_bench()
    ties = ~flip & (judge == 0)
    budget = int((flip | ties).sum())
    queue = arrange(rows, stored, "value", rater=ANA, budget=budget, floor=1e-9)
    asked = np.zeros(len(rows), dtype=bool)
    asked[queue.order[:budget]] = True
    assert round(budget / len(rows), 3) == 0.248 and ((truth == judge) | asked).mean() == pytest.approx(
        0.818, abs=5e-4
    )
