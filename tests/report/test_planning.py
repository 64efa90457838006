"""Planning: what it promises is kept in simulated studies, both ways agree, and nonsense is refused all at once."""

import numpy as np
import pandas as pd
import pytest

from sftkit.errors import ConfigError
from sftkit.report.calibration import prediction_powered
from sftkit.report.estimates import means
from sftkit.report.planning import detectable, pilot, plan, plan_table


def test_the_textbook_figure():
    """(1.96 + 0.8416)^2 * (0.5^2 - 0.05^2) / 0.05^2, no ties."""
    assert plan(5, ties=0).prompts == 778
    assert plan(10, ties=0).prompts == 189
    assert detectable(785, ties=0) == pytest.approx(5.0, abs=0.01)
    assert plan(5, ties=0.5).prompts < plan(5).prompts < plan(5, ties=0).prompts


def outcomes(random, studies, prompts, each, p, ties, alike):
    """(studies, prompts, each) votes with mean p, this share of ties and this correlation within a prompt."""
    alone = random.random((studies, prompts, each)) > np.sqrt(alike)  # else the vote of the prompt itself
    draw = random.choice(
        [0.0, 0.5, 1.0], (studies, prompts, each + 1), p=[1 - p - ties / 2, ties, p - ties / 2]
    )
    return np.where(alone, draw[..., :each], draw[..., each:])


@pytest.mark.parametrize(("points", "ties", "each", "alike"), [(8, 0.0, 1, 0.5), (10, 0.3, 3, 0.4)])
def test_the_planned_study_finds_it_four_times_in_five(points, ties, each, alike):
    found = plan(points, ties=ties, votes_per_prompt=each, alike=alike)
    votes = outcomes(np.random.default_rng(1), 1000, found.prompts, each, 0.5 + points / 100, ties, alike)
    study = np.repeat(np.arange(1000), found.prompts * each)
    prompt = np.repeat(np.arange(1000 * found.prompts), each)
    assert (means(votes.ravel(), study, prompt)["low"] > 0.5).mean() == pytest.approx(0.8, abs=0.04)


def test_with_a_judge_calibrated():
    random, r = np.random.default_rng(2), 0.7
    found = plan(8, ties=0, correlation=r)
    assert found.calibrated < found.prompts < found.judged
    assert "or" in str(found) and str(found.calibrated) in str(found)
    shown = 0
    for _ in range(600):
        human = (random.random(found.judged) < 0.58).astype(float)
        judge = np.where(random.random(found.judged) < r, human, random.random(found.judged) < 0.58)
        n = found.calibrated
        shown += prediction_powered(human[:n], judge[:n], judge[n:]).low > 0.5
    assert shown / 600 == pytest.approx(0.8, abs=0.06)
    back = detectable(found.calibrated, ties=0, correlation=r, judged=found.judged)
    assert back == pytest.approx(8, abs=0.2)
    with pytest.raises(ConfigError, match=r"too few for 5 points\. Judge 778 or more"):
        plan(5, ties=0, correlation=0.9, judged=100)


def test_a_pilot_tells_what_to_plan_with():
    random = np.random.default_rng(3)
    draws = outcomes(random, 1, 400, 3, 0.6, 0.2, 0.5)[0]
    flat = pd.DataFrame({"prompt_id": np.repeat(np.arange(400), 3), "outcome": draws.ravel()})
    flat["rater"] = [f"human:{i % 3}" for i in range(1200)]
    judge = pd.DataFrame({"prompt_id": np.arange(400), "outcome": draws[:, 0], "rater": "judge:j"})
    votes = pd.concat([flat, judge]).assign(model_a="tuned", model_b="base")
    known = pilot(votes, "tuned", "base", "judge:j")
    assert known["ties"] == pytest.approx(0.2, abs=0.04) and known["alike"] == pytest.approx(0.5, abs=0.08)
    assert 0.6 < known["correlation"] < 1
    table = plan_table(**known, votes_per_prompt=3)
    assert table["prompts"].is_monotonic_decreasing and (table["calibrated"] < table["judged"]).all()
    assert pilot(votes.head(3), "tuned", "base") == {}
    assert plan_table()["judged"].isna().all()


def test_nonsense_is_refused_all_at_once():
    with pytest.raises(ConfigError) as caught:
        plan(0, power=1, ties=2, votes_per_prompt=0, alike=-1, correlation=3, judged=1)
    names = {fault.field for fault in caught.value.faults}
    assert names == {"points", "power", "ties", "votes_per_prompt", "alike", "correlation", "judged"}
    with pytest.raises(ConfigError, match="prompts"):
        detectable(1)
