"""Endpoints that know less than OpenAI's, and endpoints with limits."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sftkit.errors import JudgeError
from sftkit.judging import Judge
from sftkit.judging.asking import backoff
from sftkit.judging.endpoint import _reply, _retry_after
from sftkit.judging.fake_server import KNOWS, FakeJudgeServer

OPTIONS = {"logprobs", "temperature", "seed"}


def rate(server, answers, store=None, **options):
    judge = Judge("fake-judge", server.base_url, **{"timeout": 5, "canaries": 0, **options})
    return judge.rate(answers, store=store, progress=False)


@pytest.mark.parametrize(
    ("knows", "form", "refused"),
    [
        ({"json_schema"}, "json_schema", 0),
        ({"tools", "json_object"}, "tools", 1),
        ({"json_object"}, "json_object", 2),
        (set(), "plain", 3),
    ],
)
@pytest.mark.parametrize("mode", ["pairwise", "pointwise"])
def test_what_the_endpoint_does_not_know_is_learnt_once(make_answers, knows, form, refused, mode):
    with FakeJudgeServer(knows=knows | OPTIONS) as server:
        frame = rate(
            server, make_answers(5, task="arithmetic"), mode=mode, max_concurrency=1, temperature=0.0
        )
    assert frame["verdict"].eq("b").all()
    assert server.statuses[400] == refused, "the second call knows what the first has learnt"
    if mode == "pairwise":
        assert {kept["form"] for kept in frame["evidence"]} == {form}
    if form in ("json_object", "plain"):  # the words of the schema stand in for it
        assert '"verdict"' in server.requests[-1]["messages"][0]["content"] or mode == "pointwise"


@pytest.mark.parametrize("missing", sorted(OPTIONS))
def test_an_option_that_is_refused_is_left_out_and_recorded(make_answers, missing):
    with FakeJudgeServer(knows=set(KNOWS) - {missing}) as server:
        frame = rate(server, make_answers(5), max_concurrency=4)
    assert frame["verdict"].eq("b").all() and all(kept["dropped"] == [missing] for kept in frame["evidence"])
    assert missing not in server.requests[-1] and 1 <= server.statuses[400] <= 4


def test_logprobs_become_a_probability_beside_the_verdict(make_answers):
    with FakeJudgeServer() as server:
        frame = rate(server, make_answers(2))
        assert server.requests[0]["logprobs"] is True
        without = rate(server, make_answers(2), logprobs=False)
    found = [kept["probabilities"] for kept in frame["evidence"]]
    assert found == [pytest.approx({"a": 0.05, "b": 0.9, "tie": 0.05})] * 4
    assert (
        not any("probabilities" in kept for kept in without["evidence"])
        and "logprobs" not in server.requests[-1]
    )


def test_settings_of_the_protocol_are_sent(make_answers):
    with FakeJudgeServer() as server:
        rate(server, make_answers(1), temperature=0.5, seed=7)
        rate(server, make_answers(1), temperature=None, seed=None)
    assert (server.requests[0]["temperature"], server.requests[0]["seed"]) == (0.5, 7)
    assert "temperature" not in server.requests[-1] and "seed" not in server.requests[-1]


def test_a_context_too_long_is_no_missing_feature(make_answers, monkeypatch):
    words = "maximum context length is 8 tokens, your response_format takes 9"
    with FakeJudgeServer() as server:
        monkeypatch.setattr(server, "reply", lambda *_: (400, {"error": {"message": words}}))
        frame = rate(server, make_answers(2))
    assert frame["reason"].str.startswith("http_4xx: ").all() and len(server.requests) == 4


def test_a_key_without_money_ends_the_run_at_once(make_answers, monkeypatch):
    error = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with FakeJudgeServer() as server:
        monkeypatch.setattr(server, "reply", lambda *_: (429, error))
        with pytest.raises(JudgeError, match="exceeded your current quota"):
            rate(server, make_answers(50), max_concurrency=2)
    assert len(server.requests) <= 4


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"tool_calls": [{}]}}], "usage": [1]},
        {"choices": [{"message": {"content": None}}]},
    ],
)
def test_any_body_is_a_reply_with_a_fault(body):
    reply = _reply(json.loads(json.dumps(body)), "json_schema")
    assert reply.fault[0] in ("no_choices", "empty") and reply.tokens_in is None


def test_an_overrun_endpoint_is_asked_less(make_answers, store):
    """50 a second are served, 40 at once are allowed here: the pace falls, and every call is answered in the end."""
    with FakeJudgeServer(capacity=50, latency=0.05, retry_after=0.2) as server:
        started = time.monotonic()
        judge = Judge("fake-judge", server.base_url, canaries=0, max_concurrency=40, max_retries=50)
        seen = []
        frame = judge.rate(
            make_answers(120), store, progress=False, on_progress=lambda p: seen.append(p.concurrency)
        )
        seconds = time.monotonic() - started
    assert frame["verdict"].eq("b").all() and len(frame) == 240
    assert min(seen) < 20 < seen[0] + 1
    assert server.statuses[429] < 240, "about as many refused as served would be a waste"
    assert seconds < 15, f"{seconds:.1f} s for 240 calls at 50 a second"


def test_limits_a_minute_are_kept(make_answers):
    with FakeJudgeServer() as server:
        started = time.monotonic()
        rate(server, make_answers(15), requests_per_minute=600)
        requests = time.monotonic() - started
        started = time.monotonic()
        rate(server, make_answers(3), tokens_per_minute=60_000)
        tokens = time.monotonic() - started
    assert 0.9 < requests < 6, "30 requests at 10 a second, the first 20 of two seconds at once"
    assert tokens > 4, "6 calls of 1,600 tokens at 1,000 a second, the first 2,000 at once"


def test_retry_after_is_read_in_each_of_its_forms():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < _retry_after({"retry-after": soon}) <= 30
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert _retry_after({"retry-after": past}) == 0
    assert _retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert _retry_after({"retry-after": "7"}) == 7
    assert _retry_after({}) is None and _retry_after({"retry-after": "soon"}) is None


def test_a_try_that_took_long_needs_no_pause_and_pauses_grow():
    assert backoff(0, waited=0.5) == 0 == backoff(3, waited=60)
    for faults, least in ((0, 0.25), (1, 0.5), (4, 4.0), (30, 15.0)):
        assert all(least <= backoff(faults, waited=0) <= 2 * least for _ in range(50))
