"""Prices, the estimate, the spending limit."""

import math
import tomllib

import pytest

from sftkit.errors import JudgeError
from sftkit.judging import Judge
from sftkit.judging.fake_server import FakeJudgeServer
from sftkit.judging.money import SHIPPED, Price, price_of, smallest_difference

PRICES = {"fake-judge": {"input": 2.0, "output": 8.0}}
A_CALL = (1000 * 2.0 + 200 * 8.0) / 1e6  # dollars; the fake says it used 1,000 tokens in and 200 out


def test_the_shipped_prices_are_dated_and_name_their_source():
    for listed in tomllib.loads(SHIPPED.read_text(encoding="utf-8")).values():
        assert listed["date"] and listed["source"].startswith("https://") and listed["models"]
    price = price_of("gpt-4.1")
    assert (price.input, price.cached_input, price.output) == (2.0, 0.5, 8.0) and price.date
    assert price_of("gpt-4.1-2025-04-14") == price, "a snapshot costs what its model costs"
    assert (
        price_of("gpt-4.1-tuned") is None and price_of("my-vllm") is None and price_of("fake-judge") is None
    )


def test_the_users_file_comes_first(tmp_path, monkeypatch):
    path = tmp_path / "prices.toml"
    path.write_text(
        '[mine]\ndate = "2026-01-02"\nsource = "invoice"\n[mine.models]\n"gpt-4.1" = { input = 1, output = 4 }\n'
    )
    monkeypatch.setenv("SFTKIT_PRICES", str(path))
    assert price_of("gpt-4.1") == Price(1.0, 4.0, 1.0, "2026-01-02", "invoice")
    assert price_of("gpt-4o").input == 2.5, "what it does not say is in ours"
    assert price_of("gpt-4.1", {"gpt-4.1": {"input": 9, "output": 9}}).input == 9
    monkeypatch.delenv("SFTKIT_PRICES")
    home = tmp_path / ".config" / "sftkit"
    home.mkdir(parents=True)
    (home / "prices.toml").write_text(path.read_text().replace("input = 1,", "input = 3,"))
    assert price_of("gpt-4.1").input == 3 and price_of("gpt-4.1", path).input == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("[x", "cannot be read"), ('date = "x"', r"needs date, source and \[date.models\]"), ('[x]\n[x.models]\n"m" = { input = 1 }', "the price of m: give"), ('[x]\n[x.models]\n"m" = { input = -1, output = 1 }', "0 or more")],
)  # fmt: skip
def test_a_bad_price_file_is_named(tmp_path, text, words):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(JudgeError, match=words):
        price_of("m", path)


def test_cached_tokens_cost_less():
    price = Price(2.0, 8.0, 0.5, "", "")
    assert price.of(1000, 100) == pytest.approx(0.0028) and price.of(1000, 100, 800) == pytest.approx(0.0016)


def test_the_smallest_difference_is_that_of_the_power_formula():
    """(1.960 + 0.842) * 0.5 / sqrt(n); and a test on that many coins finds it in 80 % of cases."""
    assert smallest_difference(805) == pytest.approx(0.0494, abs=1e-4)
    assert smallest_difference(0) is None
    n, gap = 200, smallest_difference(200)
    p = 0.5 + gap
    sd = math.sqrt(p * (1 - p) / n)
    power = 0.5 * math.erfc((0.5 + 1.96 * 0.5 / math.sqrt(n) - p) / sd / math.sqrt(2))
    assert power == pytest.approx(0.8, abs=0.02)


def test_the_estimate_learns_from_what_calls_really_used(store, make_answers):
    with FakeJudgeServer() as server:
        judge = Judge("fake-judge", server.base_url, canaries=0, prices=PRICES, requests_per_minute=6000)
        answers = make_answers(20)
        before = judge.estimate(answers, store)
        judge.rate(answers, store, limit=5, progress=False)
        after = judge.estimate(answers, store)
    assert (before.calls, after.calls, before.prompts) == (40, 30, 20)
    assert after.tokens_in == pytest.approx(30_000, rel=0.01) and after.tokens_out == 6000
    assert after.dollars == pytest.approx(30 * A_CALL, rel=0.01)
    assert before.tokens_in == pytest.approx(40 * 1290, rel=0.1), "rough: 4 characters a token"
    assert after.minutes == pytest.approx(30 / 6000, rel=0.01) and "20 prompts show a win rate" in str(after)
    assert "$" in str(after) and "unknown" in str(Judge("m", "http://127.0.0.1:9").estimate(answers))


def test_every_call_stores_its_price(store, make_answers):
    with FakeJudgeServer(faults=["bad_json", "500"]) as server:
        judge = Judge(
            "fake-judge", server.base_url, canaries=0, prices=PRICES, max_concurrency=1, max_retries=0
        )
        frame = judge.rate(make_answers(2), store, progress=False)
    assert frame["price"].tolist()[0] == pytest.approx(A_CALL), "a reply that says nothing was paid for too"
    assert math.isnan(frame["price"].tolist()[1]) and frame["price"].sum() == pytest.approx(3 * A_CALL)
    assert judge.progress.spent == pytest.approx(3 * A_CALL)


def test_a_spending_limit_stops_cleanly_and_the_next_run_goes_on(store, make_answers):
    limit = 20.5 * A_CALL
    with FakeJudgeServer(latency=0.02) as server:
        judge = Judge("fake-judge", server.base_url, canaries=0, prices=PRICES, max_concurrency=8)
        frame = judge.rate(make_answers(50), store, progress=False, spend_limit=limit)
        assert judge.progress.stopped == "spend_limit" and judge.progress.spent <= limit
        assert 15 <= len(frame) == len(server.requests) <= 20 and frame["verdict"].eq("b").all()
        judge.rate(make_answers(50), store, progress=False, spend_limit=100)
    assert len(server.requests) == 100 and store.votes()["outcome"].tolist() == [0.0] * 50


def test_a_limit_needs_a_price(make_answers):
    with pytest.raises(JudgeError, match="no price of fake-judge"):
        Judge("fake-judge", "http://127.0.0.1:9").rate(make_answers(1), spend_limit=1)
