"""`sftkit judge` from a terminal: estimate, run, spending limit, replay, diff, and every rule as a flag."""

from functools import partial

import pytest
from typer.main import get_command

from sftkit.cli import app
from sftkit.errors import ConfigError
from sftkit.judge_command import OPTIONS, rules_of
from sftkit.judging import Protocol
from sftkit.judging.fake_server import FakeJudgeServer
from sftkit.ratings import DIMENSIONS, RatingStore


@pytest.fixture
def sftkit(sftkit):
    return partial(sftkit, "judge", seconds=60)


def test_every_rule_is_a_flag():
    flags = "--mode pointwise --both-orders=false --dimensions safety,honesty --temperature none --seed 3 --canaries 0"
    assert rules_of([*flags.split(), "--tie_margin", "0.5", "--questions", "OFF"]) == {
        "mode": "pointwise", "both_orders": False, "dimensions": (DIMENSIONS[5], DIMENSIONS[1]), "temperature": None,
        "seed": 3, "canaries": 0, "tie_margin": 0.5, "questions": "off",
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        rules_of(
            [
                "--both-order",
                "false",
                "--evidence",
                "maybe",
                "--seed",
                "x",
                "--dimensions",
                "charm",
                "--canaries",
            ]
        )
    told = str(caught.value)
    for words in (
        "Did you mean both_orders?",
        "neither true nor false",
        "no whole number",
        "'charm'",
        "needs a value",
    ):
        assert words in told


def test_dimensions_of_ones_own_come_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    own = 'name = "warmth"\n1 = "cold"\n3 = "lukewarm"\n5 = "warm"\nexample = "It sighs: 1."\n'
    path.write_text(f'[[dimension]]\n{own}[[dimension]]\nname = "safety"\n')
    warmth, safety = rules_of(["--dimensions", str(path)])["dimensions"]
    assert safety == DIMENSIONS[5]
    assert (warmth.name, warmth.anchors, warmth.example) == (
        "warmth",
        {1: "cold", 3: "lukewarm", 5: "warm"},
        "It sighs: 1.",
    )
    for text, words in {
        "": "needs name",
        '[[dimension]]\nname = "x"\n': "1 lacks 1, 3, 5, example",
        "[": "cannot be read",
    }.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            rules_of(["--dimensions", str(path)])


def test_the_exam_is_sat_from_the_terminal_once(sftkit):
    with FakeJudgeServer() as server:
        flags = ["--exam", "--model", "fake-judge", "--base-url", server.base_url, "--questions", "off"]
        text = sftkit(*flags, code=1)  # it counts letters, and fails
        assert "148 calls" in text and "Do not rely on its verdicts" in text and len(server.requests) == 148
        again = sftkit(*flags, code=1)
        assert "0 calls" in again and "Do not rely on its verdicts" in again and len(server.requests) == 148


def test_rules_are_listed(sftkit):
    text = sftkit("--rules")
    assert all(f"--{name.replace('_', '-')}" in text for name, *_ in Protocol.fields())


def test_estimate_run_replay_and_diff(sftkit, tmp_path, make_answers):
    path = str(make_answers(4).save(tmp_path / "answers.parquet"))
    prices = tmp_path / "p.toml"
    prices.write_text('[f]\ndate = "2026-01-01"\n[f.models]\n"fake-judge" = { input = 2, output = 8 }\n')
    with FakeJudgeServer(faults=["bad_json"]) as server:
        judge = [path, "--model", "fake-judge", "--base-url", server.base_url, "--prices", str(prices)]
        text = sftkit(*judge, "--estimate", "--canaries", "1")
        assert "20 calls (12 canaries, 8 pairs)" in text and "at the prices of 2026-01-01" in text
        assert not server.requests, "nothing is asked"
        text = sftkit(*judge, "--canaries", "1", "--spend-limit", "0.02")
        assert "stopped at the spending limit of $0.02" in text and "1 bad_json" in text
        text = sftkit(*judge, "--canaries", "1", "--max-concurrency", "4")
        assert "this judge can be fooled" in text and "padded must not win" in text and "a fake judge" in text
        assert len(server.requests) == 21 and "$0.0" in text
        sftkit(*judge, "--canaries", "0", "--rules-first", "false")
        asked = len(server.requests)
        assert "29 replies read again: 29 as before, 0 otherwise" in sftkit("--replay")
        raters = sorted(r for r in set(RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}").frame()["rater"]))
        assert f"0 comparisons on which {raters[0]}" in sftkit("--diff", *raters)
        assert len(server.requests) == asked


def test_every_option_is_known_where_a_slip_is_told():
    judge = get_command(app).commands["judge"]
    assert {name[2:] for option in judge.params for name in option.opts if name.startswith("--")} == {
        *OPTIONS
    }


def test_what_is_wrong_is_said(sftkit, tmp_path, make_answers):
    path = str(make_answers(1).save(tmp_path / "answers.parquet"))
    assert "Give the Parquet file" in sftkit("--model", "m", code=1)
    assert "Did you mean --spend-limit?" in sftkit(path, "--model", "m", "--spend_limit", "3", code=1)
    assert "Did you mean questions?" in sftkit(path, "--model", "m", "--question", "off", code=1)
    assert "OPENAI_API_KEY" in sftkit(path, "--model", "m", code=1)
    assert "no reply of a judge" in sftkit("--replay", code=1)
