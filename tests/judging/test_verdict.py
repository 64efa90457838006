"""Reading a judge's reply: exactly what was asked for, or no verdict with the reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftkit.judging.verdict import Unscorable, read_verdict
from sftkit.ratings.dimensions import DIMENSIONS


def reply(verdict="answer_1", first=5, second=2, **changes):
    cell = {
        "answer_1": {"evidence": "one", "score": first},
        "answer_2": {"evidence": "two", "score": second},
    }
    return {"scores": {d.name: cell for d in DIMENSIONS}, "verdict": verdict} | changes


def test_both_orders_mean_the_same_answer():
    shown_a = read_verdict(json.dumps(reply()), "a")
    assert shown_a.verdict == "a" and shown_a.scores["honesty"] == {"a": 5, "b": 2}
    shown_b = read_verdict(json.dumps(reply()), "b")
    assert shown_b.verdict == "b" and shown_b.scores["honesty"] == {"a": 2, "b": 5}
    assert shown_b.quotes["safety"] == {"a": "two", "b": "one"}
    assert read_verdict(json.dumps(reply("tie")), "b").verdict == "tie"


whole = json.dumps(reply())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "empty"),
        ("  ", "empty"),
        ("[[A]]", "not one JSON"),
        (whole[:-3], "not one JSON"),
        (whole + whole, "not one JSON"),
        (f"```json\n{whole}\n```", "not one JSON"),
        (whole[:-1] + ', "verdict": "tie"}', "occurs twice"),
        ("[" * 100_000, "not one JSON"),
        ("[]", "does not fit"),
        (json.dumps(reply("A")), "verdict"),
        (json.dumps(reply(first=6)), "answer_1.score"),
        (json.dumps(reply(first="5")), "answer_1.score"),
        (json.dumps(reply(first=4.5)), "answer_1.score"),
        (json.dumps(reply(first=True)), "answer_1.score"),
        (json.dumps(reply(confidence=1)), "confidence"),
        (json.dumps(reply(scores={})), "scores.helpfulness"),
    ],
)
def test_anything_else_has_no_verdict(text, words):
    with pytest.raises(Unscorable, match=words):
        read_verdict(text, "a")


@given(st.text())
def test_free_text_never_is_a_verdict(text):
    with pytest.raises(Unscorable):
        read_verdict(text, "a")
