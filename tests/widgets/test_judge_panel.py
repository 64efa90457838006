"""The judge panel: what is entered, what it takes, exam, run, stop and results; the judge is a FAKE over real HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pandas as pd
import pytest

from sftkit.errors import ConfigError, JudgeError
from sftkit.generation import Generations
from sftkit.judging import Judge
from sftkit.judging.exam import pairs
from sftkit.judging.exam_card import WORDS
from sftkit.judging.fake_server import FakeJudgeServer
from sftkit.judging.ledger import FAILURES
from sftkit.judging.protocol import Protocol
from sftkit.ratings import DIMENSIONS, RatingStore
from sftkit.widgets import judge_job, labels
from sftkit.widgets.judge_panel import JudgePanel


def answers(n=6, names=("base", "tuned")):
    rows = [
        {"prompt_id": f"p{i}", "prompt": f"question {i}", "task": "chat", "reference": f"reference {i}", "model": name,
         "response": "<b>x</b>" * (k + 1)}
        for i in range(n)
        for k, name in enumerate(names)
    ]  # fmt: skip
    return Generations.from_frame(pd.DataFrame(rows))


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


@pytest.fixture
def fake():
    with FakeJudgeServer() as server:
        yield server


def panel_on(fake, store, n=6, lang="en", **rules):
    return JudgePanel(answers(n), store=store, judge=Judge("fake-judge", fake.base_url, **rules), lang=lang)


def page(panel):
    """Everything that the panel shows, as one text."""
    texts = []

    def walk(widget):
        texts.extend(str(getattr(widget, name, "")) for name in ("value", "description"))
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(panel)
    return "\n".join(texts)


def test_every_rule_of_a_judge_has_its_switch_and_words_in_both_languages(fake, store):
    panel = panel_on(fake, store)
    assert set(panel.rules.rows) == {name for name, *_ in Protocol.fields()}
    for name, _, _, words in Protocol.fields():
        assert labels.table()[f"judge.help.{name}"]["en"] == words
        assert re.search("[一-鿿]", labels.label(f"judge.help.{name}", "zh"))
    assert {key: labels.table()[key]["en"] for key in WORDS} == WORDS
    assert not [kind for kind in FAILURES if f"judge.reason.{kind}" not in labels.table()]
    assert panel.judge.protocol == Protocol() and panel.rules.changed() == 0


def test_what_is_entered_is_the_judge(fake, store):
    panel = panel_on(fake, store, both_orders=False, seed=None)
    assert panel.judge.protocol.both_orders is False and panel.judge.protocol.seed is None
    panel.rules.rows["both_orders"].input.value = True
    panel.rules.rows["seed"].input.value = "7"
    panel.rules.rows["questions"].input.value = "off"
    panel.rules.rows["temperature"].input.value = ""
    panel.rows["at_once"].input.value = "3"
    panel.rows["tpm"].input.value = "50,000"
    judge = panel.judge
    p = judge.protocol
    assert (p.both_orders, p.seed, p.questions, p.temperature) == (True, 7, "off", None)
    assert (judge.max_concurrency, judge.tokens_per_minute, judge.model) == (3, 50_000, "fake-judge")
    assert "3 changed" in panel._fold.title  # seed, questions, temperature


def test_dimensions_are_ticked_ordered_added_changed_and_removed(fake, store):
    panel = panel_on(fake, store)
    form = panel.rules.rows["dimensions"]
    names = [d.name for d in DIMENSIONS]
    assert [line.dimension.name for line in form._lines] == names and "1: Does not help" in page(form)
    form._lines[2].tick.value = False
    form._lines[5].up.click()
    wanted = [*names[:2], names[3], names[5], names[4]]
    assert [d.name for d in panel.judge.protocol.dimensions] == wanted and "1 changed" in panel._fold.title
    fields = form._new.fields
    form._new.button.click()
    assert form._new.note.value.count("is empty") == 5
    for name, text in {
        "name": "Warm <b>tone</b>",
        "1": "cold",
        "3": "lukewarm",
        "5": "warm",
        "example": "None.",
    }.items():
        fields[name].value = text
    form._new.button.click()
    new = panel.judge.protocol.dimensions[-1]
    assert (new.name, new.label) == ("warm_b_tone_b", "Warm <b>tone</b>") and new.anchors == {
        1: "cold",
        3: "lukewarm",
        5: "warm",
    }
    assert "<b>tone" not in form._lines[-1].children[-1].value and fields["name"].value == ""
    form.edit(form._lines[-1])
    fields["1"].value = "<img src=x>"
    form._new.button.click()
    assert panel.judge.protocol.dimensions[-1].anchors[1] == "<img src=x>" and len(form._lines) == 7
    assert "<img" not in page(form._list)
    panel.run_button.click()
    assert set(store.frame(panel.judge.rater)["scores"].iloc[-1]) == {*wanted, "warm_b_tone_b"}
    form.remove(form._lines[-1])
    assert [d.name for d in panel.judge.protocol.dimensions] == wanted


def test_a_dimension_that_cannot_be_is_refused_where_it_is_entered(fake, store):
    panel = panel_on(fake, store, lang="zh", mode="pointwise")
    form = panel.rules.rows["dimensions"]
    texts = {"name": "Safety", "1": "a", "3": "b", "5": "c", "example": "d"}
    for name, text in texts.items():
        form._new.fields[name].value = text
    form._new.button.click()
    assert "六个固有维度" in form._new.note.value and len(form._lines) == 6 and "安全" in page(form._list)
    form._new.fields["name"].value = "Helpfullness"  # the store would refuse its scores
    form._new.button.click()
    assert "helpfulness" in form._note.value and panel.run_button.disabled
    form.remove(form._lines[-1])
    assert form._note.value == "" and not panel.run_button.disabled
    for line in form._lines:
        line.tick.value = False
    assert "needed" in form._note.value and panel.run_button.disabled


def test_faults_stand_beside_their_fields_all_at_once_and_bar_the_run(fake, store):
    panel = panel_on(fake, store)
    panel.rules.rows["temperature"].input.value = "warm"
    assert "between 0 and 2" in panel.rules.rows["temperature"].children[1].value
    panel.rules.rows["temperature"].input.value = "9"
    panel.rules.rows["canaries"].input.value = "many"
    panel.rows["limit"].input.value = "-2"
    with pytest.raises(ConfigError) as told:
        _ = panel.judge
    assert {fault.field for fault in told.value.faults} == {"temperature", "canaries", "limit"}
    for row in (panel.rules.rows["temperature"], panel.rules.rows["canaries"], panel.rows["limit"]):
        assert "sft-stop" in row.children[1].value
    assert panel.run_button.disabled and panel.exam_button.disabled
    panel.rules.rows["temperature"].input.value = "0"
    panel.rules.rows["canaries"].input.value = "5"
    panel.rows["limit"].input.value = ""
    assert not panel.run_button.disabled and "sft-stop" not in panel.rows["limit"].children[1].value


def test_the_key_is_never_shown(fake, store, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    judge = Judge("gpt-4.1", api_key_env="MY_KEY")
    panel = JudgePanel(answers(), store=store, judge=judge, lang="en")
    assert "MY_KEY is set" in page(panel) and "very-secret" not in page(panel)
    panel.rows["key_env"].input.value = "OTHER_KEY"
    assert "OTHER_KEY is not set" in page(panel)
    panel.rows["base_url"].input.value = fake.base_url
    assert "asked without a key" in page(panel)


def test_estimate_run_and_results(fake, store):
    panel = panel_on(fake, store)
    planned = panel.seen.estimate.calls
    assert f"{planned:,} (" in panel._estimate.value and "unknown: no price" in panel._estimate.value
    assert "FAKE judge" in panel._key.value and "has not sat its exam" in panel._card.value
    assert not fake.requests  # nothing is spent by looking
    panel.run_button.click()
    assert len(fake.requests) == planned and panel.job.done and panel.errors.messages == []
    assert (
        "6 of 6 comparisons" in panel._results.value
        and "tuned against base: wins 100 %" in panel._results.value
    )
    assert "padded copy" in panel._results.value  # the canaries: the FAKE likes length and can be fooled
    assert "this judge can be fooled" in panel._results.value and "sk.Report(store)" in panel._results.value
    assert "Finished" in panel._progress.value and f"{planned} of {planned} calls" in panel._progress.value
    assert panel.run_button.disabled and "nothing is left" in panel._estimate.value


def test_the_panel_shows_what_is_in_the_store_when_the_cell_is_run_again(fake, store):
    panel_on(fake, store).run_button.click()
    again = panel_on(fake, RatingStore(store.url), lang="zh")
    assert "已评判 6 / 6 个比较" in again._results.value and again.run_button.disabled
    other = panel_on(fake, store, evidence=False)  # another rater
    assert other._results.value == "" and not other.run_button.disabled


def test_the_exam_shows_its_card(fake, store):
    panel = panel_on(fake, store)
    panel.exam_button.click()
    assert panel.job.kind == "exam" and panel.seen.exam.passed is False
    assert "sft-exam-failed" in panel._card.value and "Do not rely on its verdicts" in panel._card.value
    assert panel.exam_button.disabled and not panel.run_button.disabled
    assert panel._results.value == ""  # the exam counts as no verdict on these answers
    chinese = panel_on(fake, store, lang="zh")
    assert "准入考试" in chinese._card.value and "Admission" not in chinese._card.value
    assert len(panel.seen.exam.pairs) == len(pairs())


def test_failures_are_told_by_reason(store):
    with FakeJudgeServer(faults={"refusal": 0.4, "bad_json": 0.3}) as server:
        panel = panel_on(server, store, n=20, canaries=0)
        panel.run_button.click()
    assert "the judge refused" in panel._results.value and "the reply is no JSON" in panel._results.value
    shown = dict(re.findall(r"<td>(the [^<]+)</td><td>(\d+)</td>", panel._results.value))
    assert shown["the judge refused"] == str(panel.seen.failures.set_index("reason").loc["refusal", "n"])
    assert (
        "without a verdict" in panel._progress.value and not panel.run_button.disabled
    )  # can be asked again


def test_errors_show_under_the_widget_and_the_panel_goes_on(store):
    with FakeJudgeServer() as server:
        judge = Judge("no-such-model", server.base_url)
        panel = JudgePanel(answers(), store=store, judge=judge, lang="en")
        panel.run_button.click()
        assert (
            "its only model is" in panel.errors.messages[0] and "Ended by an error" in panel._progress.value
        )
        panel.rows["model"].input.value = "fake-judge"
        panel.run_button.click()
        assert panel.errors.messages == [] and "6 of 6" in panel._results.value
        panel.rows["spend"].input.value = "1"
        assert "no price" in panel._status.value or "needs a price" in panel._status.value


def test_hostile_names_are_text(store):
    models = ("base", '<img src=x onerror="alert(1)">')
    with FakeJudgeServer() as server:
        judge = Judge("fake-judge", server.base_url, canaries=0)
        panel = JudgePanel(answers(names=models), store=store, judge=judge, lang="en")
        panel.run_button.click()
    assert "<img" not in panel._results.value and "&lt;img" in panel._results.value


def test_one_model_is_no_comparison(store):
    with pytest.raises(JudgeError, match="two models"):
        JudgePanel(answers(names=("base",)), store=store)


async def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def test_a_run_holds_nothing_up_can_be_stopped_and_goes_on(store):
    async def story(server):
        panel = panel_on(server, store, n=60, canaries=0, max_concurrency=2)
        await until(lambda: panel.seen is not None)
        started = time.monotonic()
        panel.run_button.click()
        assert time.monotonic() - started < 0.5  # the click returns at once
        await until(lambda: panel.job.progress.done > 3)
        assert "Judging" in panel._progress.value and not panel.stop_button.disabled
        again = panel_on(server, store, n=60, canaries=0, max_concurrency=2)  # the cell is run once more
        panel.close()
        assert again.job is panel.job and again.run_button.disabled
        again.stop_button.click()
        await until(lambda: "Stopping" in again._progress.value and again.stop_button.disabled)
        await until(lambda: again.job.done and "Stopped" in again._progress.value)
        await until(lambda: again.seen is not None and not again.run_button.disabled)
        left = again.seen.estimate.calls
        assert 0 < left < 120 and judge_job.running(store) is None
        again.run_button.click()
        await until(lambda: again.job.done)
        await until(lambda: "60 of 60" in again._results.value)
        assert server.stats()["answered_twice"] == 0

    with FakeJudgeServer(latency=0.03) as server:
        asyncio.run(story(server))


def test_a_stop_before_the_first_call_is_not_lost(store):
    async def story(server):
        panel = panel_on(server, store, n=40, canaries=0, max_concurrency=1)
        await until(lambda: panel.seen is not None)
        panel.run_button.click()
        panel.stop_button.click()
        await until(lambda: panel.job.done)
        assert len(server.requests) < 30

    with FakeJudgeServer(latency=0.05) as server:
        asyncio.run(story(server))


def test_every_label_of_the_panel_is_used_or_built_and_is_there():
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(labels.__file__).parent.glob("judge_*.py")
    )
    used = set(re.findall(r"""["'](judge\.[a-z_]+(?:\.[a-z_]+)?)["']""", source))
    built = ("judge.rule.", "judge.help.", "judge.group.", "judge.reason.", "judge.canary.", "judge.must.", "judge.part.", "judge.state.")  # fmt: skip
    used -= {"judge.css", *(prefix.rstrip(".") for prefix in built)}
    assert len(used) > 40 and used <= set(labels.table())
    fields = {f"judge.{name}{end}" for name in ("limit", "spend", "at_once", "rpm", "tpm", "base_url", "key_env", "model") for end in ("", "_help")}  # fmt: skip
    columns = {f"judge.{name}" for name in ("canary", "must", "broke", "of", "reason")}
    unused = {key for key in labels.table() if key.startswith("judge.") and not key.startswith(built)}
    assert unused - used - fields - columns == set()
