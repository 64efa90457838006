"""Report: tables with known figures, plain words, edge cases that give a word, and an HTML file that is safe."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftkit.errors import ReportError
from sftkit.generation import Generations
from sftkit.ratings import Rating, RatingStore
from sftkit.report import Report, win_rate

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\"'&"


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


def fill(store, verdicts, rater="human:ana", models=("base", "tuned"), text="answer", **extra):
    """Verdicts on prompts p0, p1, … with alternating tasks, and the answers registered."""
    rows = [
        {
            "prompt_id": f"p{i}",
            "prompt": f"question {i}",
            "task": ("sums", "facts")[i % 2],
            "model": m,
            "response": text,
        }
        for i in range(len(verdicts))
        for m in models
    ]
    store.register(Generations.from_frame(pd.DataFrame(rows)))
    for i, verdict in enumerate(verdicts):
        said = {"reason": "no reply"} if verdict == "unscored" else {}
        store.add(Rating(rater, f"p{i}", *models[:2], verdict, **said, **extra))
    return store


def test_known_figures(store):
    fill(store, ["b", "b", "b", "tie", "a", "unscored"], scores={"honesty": {"a": 2, "b": 4}})
    report = Report(store)
    [row] = report.win_rates.to_dict("records")
    assert (row["rater"], row["model"], row["baseline"]) == ("human:ana", "tuned", "base")
    assert (row["win_rate"], row["n"], row["unscored"]) == (0.7, 5, 1)
    assert (row["wins"], row["ties"], row["losses"]) == (3, 1, 1)
    assert row["low"] < 0.5 < 0.7 < row["high"]
    tasks = report.by_task.set_index("task")
    assert tasks.loc["sums", "win_rate"] == pytest.approx(2 / 3) and tasks.loc["facts", "win_rate"] == 0.75
    assert tasks.loc["facts", "unscored"] == 1
    [score] = report.by_dimension.to_dict("records")
    assert (score["dimension"], score["mean"], score["mean_baseline"], score["difference"], score["n"]) == (
        "honesty",
        4,
        2,
        2,
        6,
    )
    assert score["low"] < 2 < score["high"]


def test_a_judges_two_orders_count_once_in_scores_and_its_leaning_is_seen(store):
    fill(store, ["a"] * 10, rater="judge:m/pairwise-v1", shown_first="a", scores={"safety": {"a": 5, "b": 1}})
    for i in range(10):
        verdict, scores = ("b", {"a": 1, "b": 5}) if i < 8 else ("a", {"a": 5, "b": 1})
        rating = Rating(
            "judge:m/pairwise-v1",
            f"p{i}",
            "base",
            "tuned",
            verdict,
            shown_first="b",
            scores={"safety": scores},
        )
        store.add(rating)
    report = Report(store)
    [row] = report.bias.to_dict("records")
    assert (row["first"], row["n"], row["flips"], row["flips_n"], row["verdicts"]) == (0.9, 20, 0.8, 10, 20)
    assert row["low"] > 0.5
    [row] = report.win_rates.to_dict("records")
    assert (row["win_rate"], row["ties"], row["n"]) == (0.4, 8, 10)
    [row] = report.by_dimension.to_dict("records")
    assert row["n"] == 10 and row["mean"] == pytest.approx((8 * 3 + 2 * 1) / 10)


def test_agreement_of_humans_and_judges(store):
    fill(store, ["b", "b", "a", "tie"])
    fill(store, ["b", "b", "a", "a"], rater="human:bo")
    fill(store, ["b", "a", "a", "tie"], rater="judge:reference/v1")
    table = Report(store).agreement.set_index(["rater_x", "rater_y"])
    assert table.loc[("human:*", "human:*"), ["agreement", "n", "n_without_ties"]].tolist() == [0.75, 4, 3]
    assert table.loc[("human:*", "judge:reference/v1"), ["agreement", "n"]].tolist() == [5 / 8, 8]
    assert len(table) == 2


def test_the_headline_says_who_and_how_sure(store):
    fill(store, ["b"] * 30 + ["tie"] * 10, rater="judge:reference/v1")
    fill(store, ["a"] * 12, rater="human:ana")
    fill(store, ["a", "b"], rater="judge:fake-judge/pairwise-v1")
    lines = Report(store).headlines
    assert lines[0].startswith("tuned beats base: win rate 88 % (95 % interval 79 to 93)")
    assert "30 wins, 10 ties and 0 losses in 40 votes" in lines[0]
    assert lines[0].endswith("a rule that compares answers with references, no GPT-4 and no human.")
    assert lines[1].startswith("tuned loses to base") and lines[1].endswith("says the human rater ana.")
    assert lines[2].startswith("No clear difference") and "a fake judge" in lines[2]


def test_several_models_against_the_first(store):
    fill(store, ["b", "b"], models=("base", "x"))
    fill(store, ["a", "tie"], models=("base", "y"))
    report = Report(store)
    assert report.win_rates[["model", "win_rate"]].to_numpy().tolist() == [["x", 1.0], ["y", 0.25]]
    assert Report(store, baseline="x").win_rates["model"].tolist() == ["base"]
    assert "x, y against base" in report.table() and "model" in report.table()


EDGES = {
    "no ratings": [],
    "one prompt": ["b"],
    "all ties": ["tie"] * 8,
    "all unscored": ["unscored"] * 3,
    "all won": ["b"] * 8,
}


@pytest.mark.parametrize("verdicts", EDGES.values(), ids=EDGES.keys())
def test_edge_cases_give_a_word(store, tmp_path, verdicts):
    report = Report(fill(store, verdicts) if verdicts else store)
    page = report.to_html(tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    for text in (str(report), repr(report), report._repr_html_(), page, *report.headlines):
        assert text and not re.search(r"\bnan\b|None|inf\b", text)
    assert report.png(tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    json.loads(report.figure().to_json())
    if not verdicts:
        assert report.headline.startswith("No ratings yet")
    if set(verdicts) == {"unscored"}:
        assert (
            report.headline == "the human rater ana: none of 3 comparisons of tuned with base has a verdict."
        )


class Watcher(HTMLParser):
    """Collects every tag and every attribute of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_hostile_names_and_answers_stay_text(store, tmp_path):
    models = (f"base{HOSTILE}", f"tuned{HOSTILE}")
    rows = [
        {
            "prompt_id": f"p{i}",
            "prompt": HOSTILE,
            "task": HOSTILE,
            "reference": HOSTILE,
            "model": m,
            "response": HOSTILE,
        }
        for i in range(4)
        for m in models
    ]
    store.register(Generations.from_frame(pd.DataFrame(rows)))
    for i, verdict in enumerate("bba"):
        store.add(Rating(f"human:{HOSTILE}", f"p{i}", *models, verdict, scores={"honesty": {"a": 1, "b": 2}}))
    report = Report(store)
    for page in (report.to_html(tmp_path / "r.html").read_text(encoding="utf-8"), report._repr_html_()):
        seen = Watcher(page)
        assert not {"script", "img", "iframe", "object", "link", "form"} & set(seen.tags)
        assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "src"]
        assert all(value.startswith("#x") for name, value in seen.attributes if name == "href")
        assert HOSTILE in seen.texts, "the answers are there to be read, as text"
        assert "49" not in seen.texts
    figure = report.figure().to_json()
    assert "<script" not in figure and "<img" not in figure
    report.png(tmp_path / "r.png")


def test_the_page_asks_for_nothing_from_outside(store, tmp_path):
    page = Report(fill(store, ["b"] * 5)).to_html(tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", page)
    assert "default-src 'none'" in page and len(page) < 60_000


def test_a_terminal_obeys_no_control_characters(store):
    fill(store, ["b"], models=("base", "tuned\x1b[31m\x07"))
    report = Report(store)
    assert "\x1b" not in str(report) + repr(report) and "\x07" not in str(report) + repr(report)


def test_plain_votes_are_enough():
    votes = pd.DataFrame(
        {"prompt_id": [1, 2, 3], "model_a": "t", "model_b": "b", "rater": "r", "outcome": [1, 0.5, np.nan]}
    )
    report = Report(votes, baseline="b")
    assert report.win_rates["win_rate"].tolist() == [0.75] and report.by_task.empty
    assert report.win_rates["low"][0] == win_rate(votes, "t").low
    assert "win rate 75 %" in str(report)


def test_wrong_sources_are_refused_in_words(store):
    with pytest.raises(ReportError, match="a RatingStore or of votes, not of dict"):
        Report({})
    with pytest.raises(ReportError, match="no model 'x'; models: base, tuned"):
        Report(fill(store, ["b"]), baseline="x")
    with pytest.raises(ReportError, match="lack the column"):
        Report(pd.DataFrame({"a": [1]}))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from("xyz"), st.sampled_from([0, 0.5, 1, None])), min_size=1
    )
)
def test_row_order_changes_no_table(votes):
    frame = pd.DataFrame(votes, columns=["prompt_id", "rater", "outcome"]).assign(
        model_a="base", model_b="tuned"
    )
    frame = frame.drop_duplicates(["prompt_id", "rater"])
    one, other = Report(frame, baseline="base"), Report(frame.iloc[::-1], baseline="base")
    pd.testing.assert_frame_equal(one.win_rates, other.win_rates)
    pd.testing.assert_frame_equal(one.agreement, other.agreement)


def test_the_report_loads_no_torch_and_no_widgets():
    code = (
        "import sys, sftkit.report as r; r.Report\n"
        "print([m for m in ('torch', 'transformers', 'ipywidgets', 'plotly', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_rater_with_several_rows_stands_above_them_in_the_terminal():
    from sftkit.report.words import text_table

    rows = [["ana", "x", "1"], ["", "y", "2"], ["ben", "x", "3"]]
    assert text_table(["rater", "task", "n"], rows) == (
        "ana\ntask  n\n----  -\nx     1\ny     2\n\nben\ntask  n\n----  -\nx     3"
    )
