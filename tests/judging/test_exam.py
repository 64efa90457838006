"""The admission exam: its pairs, and FAKE judges (judging/fake_server.py) of known ability and bias that sit it."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from sftkit.generation import Generations
from sftkit.judging import Judge, Panel
from sftkit.judging.exam import GOOD, JudgeWarning, Sitting, exam, pairs, reminder, result
from sftkit.judging.exam_card import WORDS, as_html
from sftkit.judging.exam_result import family, share
from sftkit.judging.fake_server import FakeJudgeServer
from sftkit.ratings import DIMENSIONS, Rating, RatingStore
from sftkit.report import Report

ROOT = Path(__file__).parents[2]
WORTH = {pair.bad: 1.0 + pair.tie for pair in pairs()} | {pair.good: 2.0 for pair in pairs()}


def knows(text):
    """The right answers by heart."""
    return WORTH.get(text, 0.0)


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def sit(store=None, *, rules=None, **planted):
    with FakeJudgeServer(**planted) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", JudgeWarning)
        judge = Judge("fake-judge", server.base_url, **(rules or {}))
        return exam(judge, store, progress=False)


def test_the_pairs_cover_the_dimensions_and_the_known_traps():
    assert len(pairs()) >= 60
    dimensions = Counter(pair.dimension for pair in pairs())
    assert set(dimensions) == {d.name for d in DIMENSIONS} and min(dimensions.values()) >= 10
    traps = Counter(pair.trap for pair in pairs())
    named = {"length", "position", "formatting", "confident_error", "over_refusal", "injection"}
    assert named < set(traps) and all(traps[name] >= 3 for name in named)
    assert all(pair.tie == (pair.trap == "position") for pair in pairs())
    assert len({pair.prompt_id for pair in pairs()}) == len({pair.prompt for pair in pairs()}) == len(pairs())
    texts = [text for pair in pairs() for text in (pair.good, pair.bad)]
    assert all(text.strip() for text in texts) and len(set(texts)) == len(texts)
    assert all(pair.why and pair.task for pair in pairs())


def test_no_pair_of_the_length_trap_is_won_by_length_and_most_pairs_neither():
    decided = [pair for pair in pairs() if not pair.tie]
    assert all(len(pair.bad) > len(pair.good) for pair in decided if pair.trap == "length")
    assert sum(len(pair.good) > len(pair.bad) for pair in decided) / len(decided) < 0.5


def test_what_the_pairs_claim_of_themselves_holds():
    by_id = {pair.id: pair for pair in pairs()}
    five = by_id["instruction_following-01"]
    assert len(five.good.split()) == 5 != len(five.bad.split())
    no_z = by_id["instruction_following-04"]
    assert "z" not in no_z.good.lower() and "z" in no_z.bad.lower()
    ten = by_id["instruction_following-10"]
    assert len(ten.good.split()) <= 10 < len(ten.bad.split())
    form = by_id["instruction_following-03"]
    assert json.loads(form.good) == json.loads(form.reference)
    with pytest.raises(ValueError):
        json.loads(form.bad)
    three = by_id["instruction_following-07"]
    assert three.good.count(".") <= 3 < three.bad.count(".")


def test_the_checkout_shows_the_shipped_file():
    shown = ROOT / "data/exam.jsonl"
    assert shown.read_bytes() == (ROOT / "sftkit/judging/exam.jsonl").read_bytes()


def test_a_judge_that_knows_passes_and_one_that_reads_nothing_warns(store):
    found = sit(store, score=knows)
    assert found.passed and found.accuracy.value == found.ties.value == found.consistency.value == 1
    assert found.longer.value == found.shorter.value == 0 and found.first.value == 0.5
    assert (found.by_dimension["accuracy"] == 1).all() and found.by_trap["n"].sum() == len(pairs())
    assert found.weight > 3 and found.served_by == ("fake-judge",)
    with (
        FakeJudgeServer(noise=1.0) as server,
        pytest.warns(JudgeWarning, match="Do not rely on its verdicts"),
    ):
        coin = exam(Judge("fake-judge", server.base_url), progress=False)
    assert coin.passed is False and coin.weight == 0
    assert coin.accuracy.low < 0.5 < coin.accuracy.high and coin.consistency.value < 0.75
    assert "sft-exam-failed" in coin._repr_html_() and "sft-exam-passed" in found._repr_html_()


def test_a_judge_that_counts_letters_fails_and_is_told_so():
    found = sit(score=len)
    assert found.longer.value == 1 and found.shorter.value == 0
    assert found.passed is False and found.by_trap.set_index("trap").loc["length", "accuracy"] == 0
    assert any("longer answer is the worse" in words for words in found.sentences)


@pytest.mark.parametrize("bias", [0.3, -0.3])
def test_a_planted_position_bias_comes_back(bias):
    found = sit(score=knows, position_bias=bias)
    truth = 0.5 + bias / 2
    assert found.first.low <= truth <= found.first.high
    assert not found.first.low <= 0.5 <= found.first.high
    words = "shown first" if bias > 0 else "shown last"
    assert any(words in sentence for sentence in found.sentences)


def test_a_planted_length_bias_comes_back():
    found = sit(score=knows, length_bias=0.4)
    assert found.longer.low <= 0.4 <= found.longer.high and found.shorter.value == 0


def test_other_protocols_sit_it_too():
    pointwise = sit(score=lambda text: 15.0 * (knows(text) > 1), rules={"mode": "pointwise"})
    assert pointwise.accuracy.value == 1 and pointwise.ties.value == 1
    assert not pointwise.first.n and not pointwise.consistency.n
    assert "only one order is asked" in str(pointwise)
    once = sit(score=knows, rules={"both_orders": False})
    assert once.accuracy.value == 1 and not once.consistency.n and once.first.n


def test_it_counts_nowhere_and_is_not_paid_twice(store):
    with FakeJudgeServer(score=knows) as server:
        judge = Judge("fake-judge", server.base_url, canaries=3, repeats=2)
        asked = Sitting(judge, store).estimate()
        first = exam(judge, store, progress=False)
        calls = len(server.requests)
        assert calls == asked.calls  # neither canaries nor repeats
        again = exam(judge, store, progress=False)
        assert len(server.requests) == calls and Sitting(judge, store).estimate().calls == 0
        assert result(judge, store).accuracy == first.accuracy == again.accuracy
        assert len(store.votes()) == 0 and store.answers().models == [] and judge.failures(store).empty
        assert "exam:" not in Report(store).table()


def test_a_stopped_exam_goes_on(store):
    with FakeJudgeServer(score=knows, latency=0.02) as server:
        judge = Judge("fake-judge", server.base_url, max_concurrency=4)
        sitting = Sitting(judge, store)
        half = sitting.run(False, on_progress=lambda now: sitting.stop() if now.done > 60 else None)
        assert 0 < half.missing < len(pairs()) and half.passed is None and half.weight == 0
        assert "not judged yet" in half.sentences[0]
        rest = exam(judge, store, progress=False)
        assert rest.passed and rest.missing == 0
        assert server.stats()["answered_twice"] == 0


def test_unscored_pairs_are_neither_right_nor_wrong():
    found = sit(score=knows, faults={"refusal": 0.2})
    assert found.unscored and found.accuracy.value == 1
    assert found.accuracy.n + found.ties.n + found.unscored == len(pairs())
    assert found.reasons == {"refusal": found.unscored}
    assert any("no verdict" in words and "refusal" in words for words in found.sentences)


def test_before_its_first_use_a_judge_without_an_exam_is_told_of_it_in_one_line(store, capsys):
    answers = user_answers(4)
    with FakeJudgeServer() as server:
        judge = Judge("fake-judge", server.base_url, canaries=0)
        assert "has not sat its exam" in reminder(judge, store) and "\n" not in reminder(judge, store)
        judge.rate(answers, store, limit=1, progress=False)
        judge = Judge("fake-judge", server.base_url, canaries=0, both_orders=False)  # another rater
        judge.rate(answers, store, limit=1, remind=False)
        assert "exam" not in capsys.readouterr().out
        judge = Judge("fake-judge", server.base_url, canaries=0, evidence=False)
        judge.rate(answers, store, limit=1)
        assert capsys.readouterr().out.count("has not sat its exam") == 1
        judge.rate(answers, store, limit=1)
        assert "nothing to ask" in capsys.readouterr().out
        judge.rate(answers, store)
        assert "exam" not in capsys.readouterr().out
        sat = Judge("fake-judge", server.base_url)
        with pytest.warns(JudgeWarning):
            exam(sat, store, progress=False)
        assert reminder(sat, store) == ""


def user_answers(n, names=("base", "tuned")):
    rows = [
        {
            "prompt_id": f"p{i}",
            "prompt": f"question {i}",
            "task": "chat",
            "model": name,
            "response": "x" * (3 + k),
        }
        for i in range(n)
        for k, name in enumerate(names)
    ]
    return Generations.from_frame(pd.DataFrame(rows))


def test_human_votes_in_the_store_are_judged_too(store):
    store.register(user_answers(20))
    for i in range(12):  # the FAKE prefers the longer one, "tuned"; this person does so in 9 of 12
        store.add(Rating("human:ana", f"p{i}", "base", "tuned", "b" if i < 9 else "a"))
    with FakeJudgeServer(score=len) as server, pytest.warns(JudgeWarning):
        judge = Judge("fake-judge", server.base_url)
        found = exam(judge, store, progress=False)
        assert (found.human.value, found.human.n) == (0.75, 12)
        calls = len(server.requests)
        judge.rate(user_answers(12), store, progress=False)
        assert len(server.requests) - calls == sum(2 for _ in ()) + canary_calls(
            judge, store
        )  # pairs were paid for
    few = sit(RatingStore("sqlite://"), score=knows)
    assert not few.human.n and "no human votes in this store" in str(few)


def canary_calls(judge, store):
    frame = store.frame(judge.rater)
    return int(frame["model_b"].str.startswith("canary:").sum())


def test_preference_for_its_own_maker_is_the_gap_to_humans_on_the_same_pairs(store):
    names = ("vendor/gpt-4o", "claude-x")
    store.register(user_answers(10, names))
    for i in range(10):
        store.add(Rating("human:ana", f"p{i}", *names, "b" if i < 5 else "a"))
        store.add(Rating("judge:gpt-4.1/pairwise-v2", f"p{i}", *names, "b" if i < 2 else "a"))
    judge = Judge("gpt-4.1", "http://127.0.0.1:9/v1")
    found = result(judge, store)
    assert found.own.value == pytest.approx(0.3) and found.own.n == 10
    assert found.own.low < 0.3 < found.own.high
    other = result(Judge("qwen3-max", "http://127.0.0.1:9/v1"), store)
    assert other.own is None and "its maker's models" in str(other)


def test_makers_are_known_by_their_names():
    known = {
        "gpt-4.1": "OpenAI",
        "openai/o3-mini": "OpenAI",
        "chatgpt-4o": "OpenAI",
        "Qwen/Qwen3-8B": "Alibaba",
    }
    known |= {"meta-llama/Llama-3-8B": "Meta", "mixtral-8x7b": "Mistral", "mistral-large": "Mistral"}
    known |= {"claude-sonnet": "Anthropic", "fake-judge": None, "tuned": None, "base": None, "graphite": None}
    assert {name: family(name) for name in known} == known


def test_a_panel_takes_its_weights_from_exams(store):
    with FakeJudgeServer(score=knows) as server, FakeJudgeServer(noise=1.0) as coin:
        strong = Judge("fake-judge", server.base_url)
        weak = Judge("fake-judge", coin.base_url, evidence=False)
        with pytest.warns(JudgeWarning):
            exams = [exam(judge, store, progress=False) for judge in (strong, weak)]
        panel = Panel([strong, weak], weights={e.rater: e.weight for e in exams})
    assert panel.weights[strong.rater] > 3 and panel.weights[weak.rater] == 0


def test_hostile_names_and_reasons_stay_text(store):
    name = '<img src=x onerror="alert(1)">\x1b[31m'
    judge = Judge(name, "http://127.0.0.1:9/v1")
    pair = pairs()[0]
    store.add(
        Rating(
            judge.rater + "@exam", pair.prompt_id, GOOD, "exam:bad", "unscored",
            reason="<script>alert(2)</script>", shown_first="a",
        )
    )  # fmt: skip
    found = result(judge, store)
    page = found._repr_html_()
    assert "<img" not in page and "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in str(found)


def test_shares_have_wilsons_interval():
    found = share([1.0] * 8 + [0.0] * 2)
    assert (round(found.low, 3), round(found.high, 3)) == (0.490, 0.943)  # Wilson 1927 for 8 of 10
    assert share([]).n == 0 and str(share([])) == "not measurable here"


def test_the_card_takes_other_words():
    page = as_html(sit(score=knows), lambda key, **_: f"[{key}]")
    assert "[exam.title]" in page and not re.search("Admission|Passed", page)
    assert set(re.findall(r"\[(exam\.[\w.]+)\]", page)) <= set(WORDS)
