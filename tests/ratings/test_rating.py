import numpy as np
import pytest

from sftkit.errors import RatingError, StoreError
from sftkit.ratings import DIMENSIONS, Dimension, Rating

GOOD = {"rater": "human:ana", "prompt_id": "p1", "model_a": "base", "model_b": "tuned", "verdict": "a"}


def test_six_dimensions_have_anchors_and_an_example():
    assert [d.name for d in DIMENSIONS] == [
        "helpfulness",
        "honesty",
        "harmlessness",
        "instruction_following",
        "content_accuracy",
        "safety",
    ]
    for dimension in DIMENSIONS:
        assert set(dimension.anchors) == {1, 3, 5}
        assert all(dimension.anchors.values()) and dimension.example and dimension.label


def test_a_dimension_without_an_anchor_is_refused():
    with pytest.raises(ValueError, match="anchors for 1, 3 and 5"):
        Dimension("style", "Style", {1: "bad", 5: "good"}, "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rater": ""}, "rater"),
        ({"prompt_id": None}, "prompt_id"),
        ({"model_b": "base"}, "model_b"),
        ({"verdict": "A"}, "verdict"),
        ({"verdict": "unscored"}, "reason"),
        ({"shown_first": "left"}, "shown_first"),
        ({"scores": {"safety": 6}}, "scores['safety']"),
        ({"scores": {"safety": {"a": True}}}, "scores['safety']"),
        ({"scores": {"safety": {"c": 3}}}, "scores['safety']"),
        ({"scores": {"safety": float("nan")}}, "scores['safety']"),
        ({"scores": {"helpfullness": 3}}, "scores['helpfullness']"),
        ({"scores": [3]}, "scores"),
        ({"seconds": -1}, "seconds"),
        ({"price": float("inf")}, "price"),
        ({"evidence": {"x": float("nan")}}, "evidence"),
        ({"evidence": []}, "evidence"),
        ({"note": None}, "note"),
        ({"verdict": "skipped"}, "reason"),
        ({"tags": "good"}, "tags"),
        ({"tags": ["good", ""]}, "tags"),
        ({"tags": [3]}, "tags"),
        ({"flag": 1}, "flag"),
        ({"flag": None}, "flag"),
        ({"project": ""}, "project"),
        ({"project": 7}, "project"),
        ({"probability": 0}, "probability"),
        ({"probability": 1.5}, "probability"),
        ({"probability": "half"}, "probability"),
    ],
)
def test_nonsense_is_refused_with_its_field(change, field):
    with pytest.raises(RatingError) as caught:
        Rating(**{**GOOD, **change})
    assert [fault.field for fault in caught.value.faults] == [field]
    assert isinstance(caught.value, StoreError) and isinstance(caught.value, ValueError)


def test_all_faults_come_at_once_and_the_near_name_is_given():
    with pytest.raises(RatingError) as caught:
        Rating("", "p", "m", "m", "x", scores={"content_acuracy": 9})
    assert len(caught.value.faults) == 5
    assert "Did you mean content_accuracy?" in str(caught.value)


def test_scores_may_be_custom_partial_bare_or_numpy():
    scores = {
        "style": 4,
        "safety": {"a": np.int64(3)},
        "honesty": np.float64(4.5),
        "helpfulness": {"a": 1, "b": 5},
    }
    assert Rating(**GOOD, scores=scores).scores == {
        "style": 4,
        "safety": {"a": 3},
        "honesty": 4.5,
        "helpfulness": {"a": 1, "b": 5},
    }
    assert type(Rating(**GOOD, scores=scores).scores["safety"]["a"]) is int


def test_the_fields_of_a_project_with_a_numpy_flag_and_probability():
    rating = Rating(**{**GOOD, "verdict": "both_bad"}, tags=("x",), flag=np.bool_(True), project="p", probability=np.float64(0.25))  # fmt: skip
    assert (rating.tags, rating.flag, rating.project, rating.probability) == (["x"], True, "p", 0.25)
    assert type(rating.flag) is bool and type(rating.probability) is float


def test_every_fault_of_the_new_fields_comes_at_once():
    with pytest.raises(RatingError) as caught:
        Rating(**{**GOOD, "verdict": "skipped"}, tags=3, flag="yes", project=" ", probability=-1)
    assert [fault.field for fault in caught.value.faults] == [
        "reason",
        "tags",
        "flag",
        "project",
        "probability",
    ]
