"""The kernel half of the grid, asked what the page asks; tests/browser and widgets/test look at the other half."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sftkit.errors import ConfigError
from sftkit.generation import Generations
from sftkit.judging import Judge, ReferenceJudge
from sftkit.judging.fake_server import FakeJudgeServer
from sftkit.judging.request import build_request
from sftkit.ratings import DIMENSIONS, Dimension, Rating, RatingStore
from sftkit.widgets.grid import ComparisonGrid

ROOT = Path(__file__).parents[2]
LABELS = json.loads((ROOT / "sftkit/widgets/labels.json").read_text(encoding="utf-8"))
NOTHING = {"verdict": None, "ranking": {}, "scores": {}, "note": "", "tags": [], "flag": False, "reason": None}  # fmt: skip


def text(row, side):
    """What the page shows on that side."""
    return row["answers"]["ab".index(side)]["text"]


def answers(prompts=20):
    rows = [
        {
            "prompt_id": f"p{n}",
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"问题 {n}"}],
            "task": "qa",
            "reference": f"ref {n}",
            "model": f"secret-{name}",
            "response": f"{letter} says {n} " + "long " * 100,
            "finish_reason": finish,
        }
        for n in range(prompts)
        for name, letter, finish in (("base", "X", "length"), ("tuned", "Y", "stop"))
    ]
    return Generations.from_frame(pd.DataFrame(rows))


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


class Page:
    """Asks a grid as the browser does."""

    def __init__(self, store, **more):
        self.grid = ComparisonGrid(answers(), store=store, rater="ana", **more)
        self.heard = []
        self.grid.send = lambda content, buffers=None: self.heard.append(content)

    def ask(self, kind, **content):
        self.grid._receive(self.grid, {"ask": "1", "kind": kind, **content}, [])
        return self.heard[-1]

    def vote(self, row, verdict="a", key=None, base=0, restored=False, **opinion):
        shown = self.ask("row", row=row)
        said = {**NOTHING, "verdict": verdict, **opinion}
        key = key or f"k{len(self.heard)}"
        return self.ask(
            "vote", id=shown["id"], opinion=said, seconds=1.5, key=key, base=base, restored=restored
        )


def test_a_vote_is_stored_for_the_model_that_stood_there(store):
    page = Page(store)
    for row in range(20):
        left = text(page.ask("row", row=row), "a")[0]
        page.vote(row, "a", scores={"safety": {"a": 1, "b": 5}}, note="因为")
        rating = store.frame("human:ana").iloc[-1]
        assert rating["verdict"] == ("a" if left == "X" else "b")  # X is the baseline's, stored as model_a
        assert rating["scores"]["safety"][rating["verdict"]] == 1
        assert rating["shown_first"] == rating["verdict"]
        assert (rating["model_a"], rating["note"], rating["seconds"]) == ("secret-base", "因为", 1.5)
        assert rating["evidence"] == {"sides": "sha256-sides-v2", "seed": 0}
    assert page.grid.progress == (20, 20) and len(page.grid.ratings) == 20
    assert set(store.votes()["outcome"]) == {0.0, 1.0}  # both sides occurred


def test_no_model_name_is_in_the_widgets_state_or_in_any_message(store):
    page = Page(store)
    page.ask("hello")
    page.ask("rows", **{"from": 0, "to": 50})
    page.vote(3)
    page.ask("row", row=3)
    page.ask("row", row=99)
    sent = json.dumps(page.heard) + json.dumps({k: str(v) for k, v in page.grid.get_state().items()})
    assert "secret" not in sent and "base" not in json.dumps(page.heard[1])


def test_a_new_grid_on_the_same_store_goes_on_where_the_rater_stopped(store):
    first = Page(store)
    first.vote(0, "a", scores={"honesty": {"b": 2}})
    first.vote(1, "tie")
    first.vote(2, None, note="hm")
    second = Page(RatingStore(store.url))
    hello = second.ask("hello")
    assert hello["states"] == "ato" + "." * 17 and second.grid.progress == (2, 20)
    assert hello["grid"] == first.ask("hello")["grid"]
    assert second.ask("row", row=0)["opinion"] == {**NOTHING, "verdict": "a", "scores": {"honesty": {"b": 2}}}


def test_a_rated_comparison_keeps_its_sides_under_another_seed(store):
    first = Page(store)
    for row in range(20):
        first.vote(row, "a")
    other = Page(store, seed=7)
    for row in range(20):
        shown = other.ask("row", row=row)
        assert text(shown, "a") == text(first.ask("row", row=row), "a") and shown["opinion"]["verdict"] == "a"


def test_taking_everything_back_is_a_retraction(store):
    page = Page(store)
    page.vote(0, "b")
    assert page.vote(0, None)["state"] == "."
    assert store.frame()["verdict"].iloc[-1] == "retracted" and page.grid.progress == (0, 20)
    assert store.votes().empty and len(store.frame()) == 2 and page.grid.ratings.empty


def test_a_vote_sent_twice_is_stored_once(store):
    page = Page(store)
    assert page.vote(0, key="same")["rating"] == page.vote(0, key="same", restored=True)["rating"] == 1
    assert len(store.frame()) == 1


def test_a_vote_kept_in_a_browser_does_not_overrule_a_newer_one(store):
    page = Page(store)
    page.vote(0, "b")
    reply = page.vote(0, "a", base=0, restored=True)
    assert reply["stale"] and reply["opinion"]["verdict"] == "b" and len(store.frame()) == 1
    assert not page.vote(1, "a", restored=True)["stale"]


def test_what_goes_wrong_is_answered_and_not_swallowed(store, monkeypatch):
    page = Page(store)
    assert "not a number from 1 to 5" in page.vote(0, scores={"safety": {"a": 9}})["error"]
    monkeypatch.setattr(page.grid.store, "add_many", lambda ratings: 1 / 0)
    assert page.vote(0)["error"].startswith("ZeroDivisionError")
    assert page.ask("nonsense")["error"] and page.grid.progress == (0, 20)


def test_closed_rows_are_short_and_the_open_one_is_whole(store):
    page = Page(store)
    rows = page.ask("rows", **{"from": 15, "to": 999})["rows"]
    assert len(rows) == 5 and all(len(shown) <= 240 for row in rows for shown in row["answers"])
    assert rows[0]["prompt"] == "问题 15"
    row = page.ask("row", row=15)
    assert (
        len(text(row, "a")) > 500
        and row["reference"] == "ref 15"
        and row["prompt"][0]["content"] == "Be brief."
    )
    assert [answer["cut"] for answer in row["answers"]] == [
        answer["text"][0] == "X" for answer in row["answers"]
    ]


def test_judges_and_other_raters_are_not_shown(store):
    page = Page(store)
    store.add(Rating("judge:m", "p0", "secret-base", "secret-tuned", "a"))
    store.add(Rating("human:bo", "p0", "secret-base", "secret-tuned", "a"))
    assert page.ask("hello")["states"] == "." * 20


def test_rubric_and_language(store):
    style = Dimension("style", "Style", {1: "clumsy", 3: "plain", 5: "elegant"}, "")
    shown = Page(store, lang="zh", dimensions=[DIMENSIONS[0], style]).ask("hello")["dimensions"]
    assert [d["label"] for d in shown] == ["有用性", "Style"]
    assert shown[1]["anchors"]["5"] == "elegant"


def test_nobody_and_unknown_models_are_refused(store):
    for wrong in ({"rater": " "}, {"rater": "ana", "models": ["secret-base", "gpt"]}):
        with pytest.raises(ConfigError):
            ComparisonGrid(answers(), store=store, **wrong)
    assert ComparisonGrid(answers(), store=store, rater="human:ana").rater == "human:ana"


def test_every_label_that_the_page_asks_for_is_there_in_both_languages():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "widgets/src").glob("*.ts"))
    keys = set(re.findall(r'"(grid\.(?!js")[\w.]+)"', source))
    keys |= {f"grid.role.{role}" for role in ("system", "user", "assistant")}
    keys |= {f"grid.{saving}" for saving in ("saved", "saving", "waiting")}
    keys |= {f"grid.key.{name}" for name in ("undo", "redo", "raw", "unrated", "card")}
    assert len(keys) > 40
    assert [
        key for key in sorted(keys) if not all(LABELS.get(key, {}).get(lang) for lang in ("en", "zh"))
    ] == []


def test_the_labels_of_the_six_dimensions_are_the_rubrics_words():
    for dimension in DIMENSIONS:
        key = f"dimension.{dimension.name}"
        assert LABELS[key]["en"] == dimension.label and LABELS[key]["zh"]
        assert {n: LABELS[f"{key}.{n}"]["en"] for n in (1, 3, 5)} == dimension.anchors
        assert all(LABELS[f"{key}.{n}"]["zh"] for n in (1, 3, 5))


JUDGE = "judge:fake-judge/pairwise-v2"


def judged(store, rules=None, **planted):
    """The grid's answers judged by a FAKE judge over HTTP; the longer answer wins where nothing else is planted."""
    with FakeJudgeServer(**planted) as server:
        judge = Judge("fake-judge", server.base_url, canaries=0, **(rules or {}))
        judge.rate(answers(), store, progress=False)
    return judge.rater


def test_the_judge_is_seen_only_after_the_vote(store):
    judged(store, score=lambda text: text.startswith("Y"))
    page = Page(store)
    row = page.ask("row", row=0)
    assert row["judged"] == 0 and page.ask("judge", id=row["id"]) == {"ask": "1", "judges": []}
    page.ask("hello"), page.ask("rows", **{"from": 0, "to": 20})
    page.vote(1, None, scores={"honesty": {"a": 3}})  # begun, but no vote
    assert page.ask("judge", id=page.ask("row", row=1)["id"])["judges"] == []
    sent = json.dumps(page.heard) + json.dumps({k: str(v) for k, v in page.grid.get_state().items()})
    assert "fake-judge" not in sent and JUDGE not in sent
    assert page.vote(0, "tie")["judged"] == 1
    [seen] = page.ask("judge", id=row["id"])["judges"]
    assert seen["rater"] == JUDGE and len(seen["orders"]) == 2
    assert text(row, seen["verdict"]).startswith("Y")  # in the page's sides
    assert page.ask("row", row=0)["judged"] == 1
    assert "secret" not in json.dumps(page.heard)
    page.vote(0, None)  # taken back: hidden again
    assert page.ask("judge", id=row["id"])["judges"] == [] and page.ask("row", row=0)["judged"] == 0


def test_a_vote_changed_after_the_judge_was_seen_says_so(store):
    judged(store)
    page = Page(store)
    page.vote(0, "a")
    assert "after_judge" not in store.frame("human:ana")["evidence"].iloc[-1]
    page.ask("judge", id=page.ask("row", row=0)["id"])
    page.vote(0, "b")
    assert store.frame("human:ana")["evidence"].iloc[-1]["after_judge"] is True


def test_never_means_never(store):
    judged(store)
    page = Page(store, show_judge="never")
    page.vote(0, "a")
    row = page.ask("row", row=0)
    assert row["judged"] == 0 and page.ask("judge", id=row["id"])["judges"] == []
    with pytest.raises(ConfigError, match="after_vote, never"):
        Page(store, show_judge="always")


@pytest.mark.parametrize("rules", [{}, {"questions": "on", "chain_of_thought": True}, {"mode": "pointwise"}])
def test_request_and_reply_are_there_and_the_request_is_the_one_that_was_sent(store, rules):
    judged(store, rules)
    page = Page(store)
    page.vote(2, "a")
    row = page.ask("row", row=2)
    [seen] = page.ask("judge", id=row["id"])["judges"]
    for order in seen["orders"]:
        if rules.get("mode") == "pointwise":
            roles = [message["role"] for message in order["request"]]  # of the two calls it rests on
            assert roles == ["system (A)", "user (A)", "system (B)", "user (B)"], roles
            for letter, message in zip("ab", order["request"][1::2]):
                assert text(row, letter)[:10] in message["content"]
            assert order["reply"].startswith("A: {") and "\n\nB: {" in order["reply"]
            assert order["facts"]["tokens_in"] == 2000 and order["facts"]["served_by"] == "fake-judge"
            continue
        system, user = order["request"]
        assert (
            system["role"] == "system"
            and "BEGIN" in user["content"]
            and text(row, "a")[:10] in user["content"]
        )
        assert json.loads(order["reply"])["verdict"] in (*order["labels"], "tie")
        assert set(order["labels"].values()) == {"a", "b"} and order["facts"]["served_by"] == "fake-judge"
        assert set(order["scores"]) == {d.name for d in DIMENSIONS}
        first = order["first"]
        assert order["scores"]["safety"][first]["quote"] in text(row, first)


def test_a_request_that_cannot_be_rebuilt_is_not_made_up(store, monkeypatch):
    judged(store)
    monkeypatch.setattr("sftkit.judging.plan.build_request", changed_words)
    page = Page(store)
    page.vote(0, "a")
    [seen] = page.ask("judge", id=page.ask("row", row=0)["id"])["judges"]
    assert all(order["request"] is None and order["reply"] for order in seen["orders"])


def changed_words(*args, **kwargs):
    request = build_request(*args, **kwargs)
    return replace(request, system=request.system + " And be kind.")


def test_disagreeing_orders_failures_and_rules_without_an_endpoint(store):
    rater = judged(store, position_bias=1.0)
    ReferenceJudge().rate(answers(), store=store, progress=False)
    page = Page(store)
    page.vote(0, "a")
    seen = {s["rater"]: s for s in page.ask("judge", id=page.ask("row", row=0)["id"])["judges"]}
    assert seen[rater]["verdict"] == "inconsistent"
    assert [order["first"] == order["verdict"] for order in seen[rater]["orders"]] == [True, True]
    rule = seen["judge:reference/v1"]["orders"][0]
    assert rule["request"] is None and rule["why"].keys() == {"a", "b"} and rule["reply"] is None
    failed = RatingStore("sqlite://")
    judged(failed, faults={"refusal": 1.0})
    page = Page(failed)
    page.vote(0, "a")
    [seen] = page.ask("judge", id=page.ask("row", row=0)["id"])["judges"]
    assert seen["verdict"] == "unscored" and seen["orders"][0]["reason"].startswith("refusal")
