import math
from collections import Counter
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit.errors import ConfigError
from sftkit.generation import Generations
from sftkit.ratings.blind import RULE, check_answer, check_answers, comparisons


def answers(models, prompts=200, missing=(), response=lambda n, model: "x"):
    rows = [
        {"prompt_id": f"p{n}", "prompt": f"Question {n}", "model": model, "response": response(n, model)}
        for n in range(prompts)
        for model in models
        if (n, model) not in missing
    ]
    return Generations.from_frame(pd.DataFrame(rows, columns=["prompt_id", "prompt", "model", "response"]))


def long_answers(prompts):
    return answers(
        ["base", "tuned"], prompts, response=lambda n, name: f"{name} answers question {n} at length. " * 5
    )


def lefts(found):
    return {c.id: c.baseline if c.baseline_left else c.other for c in found}


def test_sides_are_even_and_the_same_again():
    pair = answers(["base", "tuned"])
    found = comparisons(pair, "human:ana")
    assert found == comparisons(pair, "human:ana")
    assert 70 < sum(c.baseline_left for c in found) < 130  # of 200; chance alone leaves this 1 time in 50,000


def test_sides_change_with_rater_and_seed_and_not_with_who_is_called_baseline():
    pair = answers(["base", "tuned"])
    ana = lefts(comparisons(pair, "human:ana"))
    assert ana == lefts(comparisons(pair, "human:ana", models=["tuned", "base"]))
    for other in (comparisons(pair, "human:bo"), comparisons(pair, "human:ana", seed=1)):
        assert 50 < sum(ana[key] != left for key, left in lefts(other).items()) < 150


def test_each_other_model_meets_the_first_and_no_prompt_comes_twice_in_a_row():
    found = comparisons(answers(["base", "x", "y"], prompts=4), "human:ana")
    assert len(found) == len({c.id for c in found}) == 8
    assert {c.baseline for c in found} == {"base"} and [c.other for c in found[:4]] == ["x", "y", "x", "y"]
    assert all(one.prompt_id != two.prompt_id for one, two in pairwise(found))


def test_an_unanswered_prompt_is_left_out_and_an_id_names_no_model():
    found = comparisons(answers(["base", "tuned"], prompts=3, missing=[(1, "tuned")]), "human:ana")
    assert [c.prompt_id for c in found] == ["p0", "p2"]
    assert not any("base" in c.id or "tuned" in c.id for c in found)


def test_models_choose_and_unknown_ones_are_named():
    assert comparisons(answers(["base", "tuned"]), "human:ana", models=["base"]) == []
    with pytest.raises(ConfigError, match=r"'tunde' has no answers here\. Known: 'base', 'tuned'"):
        comparisons(answers(["base", "tuned"]), "human:ana", models=["base", "tunde"])


NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=6, unique=True)
SLOW = settings(max_examples=30, deadline=None)


def shown(found):
    return {c.id: c.shown for c in found}


def test_pairs_stand_where_the_first_version_of_the_rule_put_them():
    """Ratings of stores that are in use keep their meaning: ids and sides as written down before there were rankings."""
    found = comparisons(answers(["base", "tuned"], prompts=4), "human:ana")
    assert [c.id for c in found] == ["6c6c70d73c7f", "3ffb95040a88", "2451276cf75c", "ac2d90a77f3a"]
    assert [c.baseline_left for c in found] == [True, False, False, False]


@SLOW
@given(NAMES, st.integers(0, 99), st.randoms())
def test_who_stands_where_depends_on_rater_seed_prompt_and_the_set_of_models_only(names, seed, chance):
    table = answers(names, prompts=3)
    mixed = chance.sample(names, len(names))
    one = comparisons(table, "human:ana", seed=seed, across=len(names))
    two = comparisons(table, "human:ana", models=mixed, seed=seed, across=len(names))
    alone = comparisons(answers(names, prompts=1), "human:ana", seed=seed, across=len(names))
    assert shown(one) == shown(two) and shown(alone).items() <= shown(one).items()
    assert all(c.models[0] == names[0] and sorted(c.shown) == sorted(names) for c in one)


@SLOW
@given(NAMES, st.integers(0, 10**9))
def test_no_name_is_favoured_by_any_place(names, seed):
    found = comparisons(answers(names, prompts=300), "human:ana", seed=seed, across=len(names))
    share = 300 / len(names)
    counts = Counter((name, place) for c in found for place, name in enumerate(c.shown))
    assert all(abs(counts[name, at] - share) < 6 * share**0.5 for name in names for at in range(len(names)))


def test_every_order_of_four_comes_about_equally_often():
    found = comparisons(answers(list("wxyz"), prompts=2400), "human:ana", across=4)
    counts = Counter(c.shown for c in found)
    assert len(counts) == 24
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 56  # chi-squared, 23 degrees: once in 7,000


@pytest.mark.parametrize("across", [2, 3, 4])
def test_two_raters_see_different_orders(across):
    table = answers(list("wxyz")[:across], prompts=600)
    ana, bo = (shown(comparisons(table, rater, across=across)) for rater in ("human:ana", "human:bo"))
    share = sum(ana[name] == bo[name] for name in ana) / 600
    even = 1 / math.factorial(across)
    assert ana.keys() == bo.keys() and abs(share - even) < 4 * (even * (1 - even) / 600) ** 0.5


def test_models_that_do_not_fit_in_one_row_take_turns():
    found = comparisons(answers(["base", *"uvwxy"], prompts=10), "human:ana", across=3)
    assert len(found) == 30 and all(c.models[0] == "base" for c in found)
    met = Counter((c.prompt_id, name) for c in found for name in c.models[1:])
    assert len(met) == 50 and set(met.values()) == {1}
    assert {len(c.models) for c in found} == {3, 2}
    half = Counter(name for c in found[:10] for name in c.models[1:])
    assert set(half.values()) == {4}


def test_a_row_leaves_out_who_did_not_answer():
    table = answers(["base", "x", "y"], prompts=3, missing=[(0, "base"), (1, "x"), (2, "x"), (2, "y")])
    found = comparisons(table, "human:ana", models=["base", "x", "y"], across=3)
    assert [c.models for c in found] == [("base", "y")]


@SLOW
@given(st.integers(0, 60), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 99), st.integers(2, 3))
def test_repeats_come_late_and_reversed_and_nothing_but_text_tells_them(prompts, again, worse, seed, across):
    names = ["base", "x", "y"][:across]
    table = answers(names, prompts=prompts, response=lambda n, name: f"{name} says {n} " * 12)
    found = comparisons(table, "human:ana", seed=seed, across=across, repeats=again, checks=worse)
    plain = [c for c in found if not (c.repeat or c.check)]
    assert plain == comparisons(table, "human:ana", seed=seed, across=across)
    assert len({c.id for c in found}) == len(found) and all(len(c.id) == 12 for c in found)
    place = {(c.prompt_id, c.models): at for at, c in enumerate(found) if not (c.repeat or c.check)}
    repeats = {at: c for at, c in enumerate(found) if c.repeat}
    for at, c in repeats.items():
        first = place[c.prompt_id, c.models]
        assert at > first + 10 and c.shown == found[first].shown[::-1]
    assert len(repeats) == min(round(again * prompts), max(0, prompts - 10))
    checks = [c for c in found if c.check]
    assert len(checks) == round(worse * prompts) if prompts > 1 else len(checks) < 2
    assert all(len(c.models) == across and c.models[-1].startswith("canary:") for c in checks)


def test_repeats_and_checks_keep_no_beat():
    found = comparisons(long_answers(300), "human:ana", repeats=0.1, checks=0.1)
    for kind in ("repeat", "check"):
        places = [at for at, c in enumerate(found) if getattr(c, kind)]
        steps = [two - one for one, two in pairwise(places)]
        assert len(places) == 30 and len(set(steps)) > 8
        assert places[0] < 90 and places[-1] > 270
        other = comparisons(long_answers(300), "human:bo", repeats=0.1, checks=0.1)
        assert {c.id for c in found if getattr(c, kind)} != {c.id for c in other if getattr(c, kind)}
    gaps = [
        at
        - next(n for n, c in enumerate(found) if (c.prompt_id, c.models) == (again.prompt_id, again.models))
        for at, again in enumerate(found)
        if again.repeat
    ]
    assert len(set(gaps)) > 10


def test_a_check_stands_on_either_side_and_its_text_is_worse():
    table = long_answers(200)
    checks = [c for c in comparisons(table, "human:ana", checks=0.5) if c.check]
    texts = check_answers(checks, table)
    left = sum(c.shown[0].startswith("canary:") for c in checks)
    assert len(checks) == len(texts) == 100 and 30 < left < 70
    assert {c.models[-1] for c in checks} == {"canary:elsewhere", "canary:stub"}
    for c in checks:
        text, real = texts[c.prompt_id, c.models[-1]], table.response(c.prompt_id, c.models[0])
        assert text == check_answer(c, table) and text.strip() and text != real
        if c.models[-1] == "canary:stub":
            assert real.startswith(text) and len(text) <= 24 < len(real) / 5
        else:
            assert text in set(table.frame[table.frame["model"] == c.models[0]]["response"])


def test_no_check_is_made_of_silence_or_without_another_prompt():
    empty = answers(["base", "tuned"], prompts=30, response=lambda n, name: " ")
    assert not [c for c in comparisons(empty, "human:ana", checks=0.5) if c.check]
    short = answers(["base", "tuned"], prompts=1, response=lambda n, name: "Paris.")
    assert len(comparisons(short, "human:ana", checks=0.5)) == 1


def test_a_check_that_would_say_the_same_is_not_made():
    """All models say "No." to everything: an answer to another prompt is no worse."""
    same = answers(["base", "tuned"], prompts=30, response=lambda n, name: "No.")
    assert not [c for c in comparisons(same, "human:ana", checks=0.5) if c.check]


def test_every_argument_out_of_range_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        comparisons(answers(["base", "tuned"]), "human:ana", ["tunde"], across=7, repeats=0.6, checks=-1)
    assert [fault.field for fault in caught.value.faults] == ["models", "across", "repeats", "checks"]


@pytest.mark.parametrize(
    ("count", "known"),
    [
        (3, {"p0": "cab", "p1": "cab", "p193": "cba"}),
        (5, {"p0": "dbcea", "p1": "ecabd", "p381": "daebc"}),
        (6, {"p0": "bcedfa", "p1": "adcbfe", "p117": "cabfed"}),
    ],
)
def test_the_rule_is_what_its_name_stands_for(count, known):
    """Stores name the rule, so it must not move under its name. The last of each meets a byte that is passed over."""
    found = comparisons(answers(list("abcdef")[:count], prompts=400), "human:ana", across=count)
    assert RULE == "sha256-sides-v2"
    assert known.items() <= {c.prompt_id: "".join(c.shown) for c in found}.items()
