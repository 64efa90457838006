from itertools import pairwise

import pandas as pd
import pytest

from sftkit.errors import ConfigError
from sftkit.generation import Generations
from sftkit.ratings.blind import comparisons


def answers(models, prompts=200, missing=()):
    rows = [
        {"prompt_id": f"p{n}", "prompt": f"Question {n}", "model": model, "response": "x"}
        for n in range(prompts)
        for model in models
        if (n, model) not in missing
    ]
    return Generations.from_frame(pd.DataFrame(rows))


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
