"""Reading a judge's reply: exactly what was asked for, or no verdict with the reason."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftkit.judging.probability import probabilities
from sftkit.judging.verdict import Shape, Unscorable, read_questions, read_verdict
from sftkit.ratings.dimensions import DIMENSIONS

NAMES = tuple(d.name for d in DIMENSIONS)
A_FIRST = Shape("pairwise", (("answer_1", "a"), ("answer_2", "b")), NAMES)
B_FIRST = Shape("pairwise", (("answer_1", "b"), ("answer_2", "a")), NAMES)


def reply(verdict="answer_1", first=5, second=2, **changes):
    cell = {
        "answer_1": {"evidence": "one", "score": first},
        "answer_2": {"evidence": "two", "score": second},
    }
    return {"scores": {d.name: cell for d in DIMENSIONS}, "verdict": verdict} | changes


def test_both_orders_mean_the_same_answer():
    shown_a = read_verdict(json.dumps(reply()), A_FIRST)
    assert shown_a.verdict == "a" and shown_a.scores["honesty"] == {"a": 5, "b": 2}
    shown_b = read_verdict(json.dumps(reply()), B_FIRST)
    assert shown_b.verdict == "b" and shown_b.scores["honesty"] == {"a": 2, "b": 5}
    assert shown_b.quotes["safety"] == {"a": "two", "b": "one"}
    assert read_verdict(json.dumps(reply("tie")), B_FIRST).verdict == "tie"


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
        read_verdict(text, A_FIRST)


@given(st.text())
def test_free_text_never_is_a_verdict(text):
    with pytest.raises(Unscorable):
        read_verdict(text, A_FIRST)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("no", "bad_json"), ("{}", "schema"), (json.dumps(reply("maybe")), "schema")],
)
def test_a_failure_has_its_kind(text, reason):
    with pytest.raises(Unscorable) as caught:
        read_verdict(text, A_FIRST)
    assert caught.value.reason == reason


def test_a_shape_survives_the_store():
    shape = Shape("pairwise", (("M", "b"), ("K", "a")), ("safety",), evidence=False, reasoning=True)
    assert Shape.from_json(json.loads(json.dumps(shape.to_json()))) == shape
    text = json.dumps(
        {"reasoning": "so", "scores": {"safety": {"M": {"score": 2}, "K": {"score": 5}}}, "verdict": "M"}
    )
    found = read_verdict(text, shape)
    assert (found.verdict, found.scores, found.reasoning) == ("b", {"safety": {"a": 5, "b": 2}}, "so")


def test_an_answer_alone_has_scores_and_no_verdict():
    shape = Shape("pointwise", (("answer", "a"),), ("safety", "honesty"))
    cells = {name: {"evidence": "", "score": 4} for name in ("safety", "honesty")}
    found = read_verdict(json.dumps({"scores": cells}), shape)
    assert found.verdict == "open" and found.scores == {"safety": {"a": 4}, "honesty": {"a": 4}}


def test_three_questions_at_most():
    assert (
        read_questions('{"questions": ["Is it 4?"]}') == ["Is it 4?"]
        and read_questions('{"questions": []}') == []
    )
    for bad in ('{"questions": ["a", "b", "c", "d"]}', '{"questions": [""]}', '{"questions": "a"}', '["a"]'):
        with pytest.raises(Unscorable):
            read_questions(bad)


def token(text, **alternatives):
    tops = [{"token": name, "logprob": math.log(p)} for name, p in alternatives.items()]
    return {"token": text, "logprob": 0.0, "top_logprobs": tops}


def test_the_probability_is_that_of_the_deciding_token():
    shape = Shape("pairwise", (("K", "b"), ("M", "a")), ())
    tokens = [token('{"verdict'), token('": "'), token("K", K=0.6, M=0.3, tie=0.05), token('"}')]
    found = probabilities('{"verdict": "K"}', tokens, shape)
    assert found == pytest.approx({"a": 0.3 / 0.95, "b": 0.6 / 0.95, "tie": 0.05 / 0.95}, abs=1e-5)
    glued = [token('{"verdict":'), token(' "K', **{' "K': 0.5, ' "M': 0.25, ' "tie': 0.25}), token('"}')]
    assert probabilities('{"verdict": "K"}', glued, shape) == pytest.approx(
        {"a": 0.25, "b": 0.5, "tie": 0.25}
    )
    plain = Shape("pairwise", (("answer_1", "a"), ("answer_2", "b")), ())
    late = [
        token('{"verdict": "'),
        token("answer", answer=0.8, tie=0.2),
        token("_"),
        token("1", **{"1": 0.75, "2": 0.25}),
    ]
    late += [token('"}')]
    found = probabilities('{"verdict": "answer_1"}', late, plain)
    assert found["a"] == pytest.approx(0.75) and found["b"] == pytest.approx(0.25)
    assert probabilities('{"verdict": "K"}', tokens[:-1], shape) is None, "tokens of another text"
    assert probabilities("", [], shape) is None
