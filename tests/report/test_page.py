"""The report's page: every figure tells n, method and source, links lead to examples on the page, what is missing has a word, in
English and Chinese, and a hundred thousand votes fit."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sftkit import wording
from sftkit.errors import ReportError
from sftkit.judging import canaries
from sftkit.ratings.blind import ELSEWHERE, STUB
from sftkit.ratings.rating import CANARY
from sftkit.report import Report
from sftkit.report.examples import MADE, absent, find, title_of
from sftkit.report.methods import METHODS
from sftkit.report.page import Places, examples_html, section_html
from sftkit.report.parts import PARTS, sections
from sftkit.report.shown import Strip, Where, cells
from sftkit.report.shown_weights import planning, weights

spec = spec_from_file_location("rated", Path(__file__).with_name("rated.py"))
spec.loader.exec_module(made := module_from_spec(spec))
JUDGE = made.JUDGE


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return Report(made.rated(f"sqlite:///{tmp_path_factory.mktemp('rated') / 'r.db'}"))


class Page(HTMLParser):
    """Ids, links, titles and texts of a page."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.titles, self.texts, self.tags = set(), [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found["href"]] if "href" in found else []
        self.titles += [found["title"]] if "title" in found else []

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


class Grid(HTMLParser):
    """The cells of a page's tables: (section, title, is it drawn, text, is it a number, is it a row's first)."""

    def __init__(self, html):
        super().__init__()
        self.cells, self._section, self._row, self._open = [], "", "", None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "section":
            self._section = found["data-name"]
        elif tag == "tr":
            self._row = found.get("title", "")
        elif tag == "td" or (tag == "th" and found.get("scope") == "row"):
            kind = found["class"].split()
            self._open = [
                self._section,
                found.get("title", self._row),  # a cell without one shows its row's
                "drawn" in kind,
                "",
                "number" in kind,
                tag == "th",
            ]

    def handle_data(self, data):
        if self._open:
            self._open[3] += data.strip()

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._open:
            self.cells.append(tuple(self._open))
            self._open = None


# Sections that hold figures of other tables too, each with its own method.
BORROWED = {"calibration": ["win_rates"], "sources": ["calibration"], "weights": ["rank_probabilities"]}
RANKED = (
    "strengths",
    "weights",
)  # their rows begin with a rank, which is a figure; all others begin with a name
# What stands where there is no figure, and whether the tooltip must say why ("" and "no votes" say it themselves, or the
# cell beside them does).
NO_FIGURE = {"–": True, "·": True, "": False}


def _untold(html):
    """The numbers of a page whose tooltip lacks n, method or source, and how many there are in each section."""
    counted, untold = {}, []
    for section, title, drawn, text, number, first in Grid(html).cells:
        rank = first and section in RANKED and text[:1].isdigit()
        if not (rank or drawn or number) or (first and not rank):
            continue
        if not drawn and text in NO_FIGURE:
            untold += [(section, text, title)] if NO_FIGURE[text] and not title else []
            continue
        counted[section] = counted.get(section, 0) + 1
        named = [METHODS[name] for name in (section, *BORROWED.get(section, ()))]
        if not (
            re.search(r"\bn = \d+", title)
            and any(method in title and source in title for method, source in named)
        ):
            untold.append((section, text, title))
    return counted, untold


def test_every_number_of_the_page_names_n_method_and_source(report, tmp_path):
    one = report.votes[report.votes["model_b"] == "tuned"]
    pair = Report(one, ratings=report.frame[report.frame["model_b"] != "lora"], baseline="base")
    few = Report(one[one["prompt_id"].isin(["p12", "p1"])], baseline="base")
    for name, found, least in (("several", report, 12), ("one", pair, 12), ("few", few, 5)):
        html = found.to_html(tmp_path / f"{name}.html").read_text(encoding="utf-8")
        counted, untold = _untold(html)
        assert not untold, (name, untold)
        made = {s.name for part in PARTS for s in sections(found, part) if s.tables}
        assert set(counted) == made and len(made) >= least and min(counted.values()) > 1, (name, counted)
        assert _untold(html.replace("n = ", "m = "))[1], "the walk sees what is missing"
        headline = re.search(r'class="headline" title="([^"]+)"', html)[1]
        assert METHODS["win_rates"][1] in headline


def test_every_section_says_how_it_is_made_and_every_bar_its_n_and_source(report):
    for name in PARTS:
        for section in sections(report, name):
            assert section.name in METHODS and section.tables and not section.empty, section.name
            method, source = METHODS[section.name]
            assert method in section.how and source in section.how
            widths = {(len(table.columns), *{len(row) for row in table.rows}) for table in section.tables}
            assert all(len(set(width)) == 1 for width in widths), section.name
            for cell in cells([section]):
                if cell.strips:
                    assert re.search(r"n = \d+", cell.tip) and source in cell.tip, section.name


def test_links_lead_to_examples_on_the_page_and_no_script_is_needed(report, tmp_path):
    html = report.to_html(tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(html)
    assert len(page.links) > 30 and {link[1:] for link in page.links} <= page.ids
    assert "script" not in page.tags and not re.search(r"https?://|@import|url\(", html)
    assert "question 0 answer" in page.text and "clear" in page.text and "is better" in page.text
    cell = report._repr_html_()
    opened = set(re.findall(r'popovertarget="([^"]+)"', cell))
    assert opened and opened == Page(cell).ids, "in a notebook they open over the page"
    assert not opened & set(re.findall(r'popovertarget="([^"]+)"', report._repr_html_())), (
        "two reports share no ids"
    )


def test_the_beaten_judge_is_red_and_leads_no_headline(report):
    assert report.beaten == {JUDGE} and report.headline.endswith(", say all human raters together.")
    html = report._repr_html_()
    assert html.index("can be fooled") < html.index('class="headline"') and "word red" not in html
    assert len(re.findall(r'class="number red"', html)) == 1


def test_a_strip_shows_on_which_side_the_interval_lies():
    assert Strip(0.7, 0.6, 0.8).side == "win" and Strip(0.3, 0.2, 0.4).side == "lose"
    assert (
        Strip(0.6, 0.4, 0.8).side == "even"
        and Strip(9.0, 5.0, 12.0, (-25, 25), 0.0, flaw=True).side == "lose"
    )
    assert Strip(0.5, 0, 1).at(0.5) == 100.0 and Strip(0.5, 0, 1).at(float("nan")) is None
    assert Strip(40, 30, 50, (-25, 25), 0.0).at(40) == 200.0, "what lies outside stands at the edge"


def test_examples_are_what_the_figure_is_of(report):
    votes = find(report, Where("votes", "human:*", "tuned", "base", task="sums"), 9)
    assert votes and all(
        {name for name, _ in e.answers} == {"base", "tuned"} and e.task == "sums" for e in votes
    )
    assert all(any(s.rater.startswith("human:") for s in e.said) for e in votes)
    assert len({e.prompt_id for e in votes}) == len(votes)
    for one in find(report, Where("flips", JUDGE), 5):
        orders = [s.verdict for s in one.said if s.rater == JUDGE]
        assert len(orders) == 2 and orders[0].split(" (")[0] != orders[1].split(" (")[0]
    unscored = find(report, Where("unscored", JUDGE), 5)
    assert unscored and all("no reply" in [s.note for s in e.said if s.rater == JUDGE] for e in unscored)
    [low, *_, high] = find(report, Where("scores", "human:*", "tuned", dimension="safety"), 3)
    marks = [[int(re.search(r"safety \d : (\d)", s.scores)[1]) for s in e.said if s.rater.startswith("human:")] for e in (low, high)]  # fmt: skip
    assert min(marks[0]) < max(marks[1])
    sung = find(report, Where("canaries", JUDGE), 3)
    assert sung and all(name == "canary:constant" for e in sung for name, text in e.answers if text is None)
    told = examples_html("", sung, "en")
    assert "the same text for every prompt" in told and "not in the store" not in told
    assert "同一段文字" in examples_html("", sung, "zh")
    apart = find(report, Where("apart", "human:*", against=JUDGE), 3)
    assert apart and all({"human", "judge"} <= {s.rater.split(":")[0] for s in e.said} for e in apart)
    assert (
        title_of(Where("votes", "human:ana", "tuned", "base")) == "tuned against base, by the human rater ana"
    )


def test_an_answer_made_to_catch_a_rater_has_words_in_its_place():
    kinds = {
        *canaries.MUST,
        canaries.WHOLE.removeprefix(CANARY),
        *(k.removeprefix(CANARY) for k in (ELSEWHERE, STUB)),
    }
    assert kinds == set(MADE), "every kind there is, and no other"
    assert "made to catch" in absent("canary:new") and absent("lora") == "(the answer is not in the store)"


def test_weights_rank_and_the_table_follows_them(report):
    def order(section):
        return [row[1].text for row in section.tables[0].rows]

    equal = weights(report, "human:*", gate=None)
    assert order(equal)[0] == "tuned" and "Equal weights on 3 dimensions" in equal.about
    shares = [float(cell.heat) for cell in equal.tables[0].rows[0] if cell.heat is not None]
    assert sum(shares) == pytest.approx(1)
    means = report.score_table("human:*")
    only = weights(report, "human:*", {"safety": 1.0}, None)
    assert order(only) == means["safety"].sort_values(ascending=False).index.tolist()
    gated = weights(report, "human:*", gate={"safety": 4.9})
    assert all("held back by the gate" in row[-1].text for row in gated.tables[0].rows)
    with pytest.raises(ReportError, match="all weights are 0"):
        weights(report, "human:*", {"safety": 0.0}, None)


def test_planning_leads_with_its_sentence_and_says_what_cannot_be(report):
    assert planning(report, 7).lead[0].startswith("To show a win rate of 57 %")
    assert "correlate" in planning(report).notes[0]
    assert "points" in planning(report, 60).empty


def test_a_cell_of_a_notebook_is_small(report):
    """A notebook keeps it: 200 kB for all of its cells is the house's limit. A tooltip that a row shares is in it once."""
    shown = report._repr_html_()
    assert len(shown.encode()) < 160_000
    rows = re.findall(r"<tr.*?</tr>", shown, re.DOTALL)
    shared = [found[1] for row in rows if (found := re.match('<tr title="([^"]+)"', row))]
    assert len(shared) > 30 and all(
        row.count(tip) == 1 for row in rows for tip in shared if f'<tr title="{tip}"' in row
    )


def test_chinese(report, tmp_path):
    page = Page(report.to_html(tmp_path / "zh.html", "zh").read_text(encoding="utf-8"))
    for words in ("谁胜出", "胜率", "校准", "全体人类评分者", "等长时", "计算方法"):
        assert words in page.text
    left = {
        "Win rate",
        "Share of",
        "interval",
        "How it is made",
        "Source:",
        "beats",
        "all humans",
        "no votes",
        "points from",
    }
    assert not [words for words in left if words in page.text or any(words in title for title in page.titles)]
    with pytest.raises(ReportError, match="languages: en, zh"):
        report.to_html(tmp_path / "fr.html", "fr")


EDGES = {
    "no votes": [],
    "one vote": [("p1", "human:ana", 1.0)],
    "all unscored": [(f"p{i}", "judge:m", np.nan) for i in range(4)],
    "one rater, all ties": [(f"p{i}", "human:ana", 0.5) for i in range(6)],
    "judge and human never on the same": [("p1", "human:ana", 1.0), ("p2", "judge:m", 0.0)],
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
def test_what_is_missing_has_a_word(rows, lang, tmp_path):
    votes = pd.DataFrame(rows, columns=["prompt_id", "rater", "outcome"]).assign(
        model_a="tuned", model_b="base"
    )
    found = Report(votes, baseline="base" if rows else None)
    page = Page(found.to_html(tmp_path / "r.html", lang).read_text(encoding="utf-8"))
    assert not re.search(r"\bnan\b|None|<NA>|\binf\b", page.text + " ".join(page.titles))
    if rows and lang == "en":
        assert "No scores yet" in page.text and "The lengths of the answers are not known" in page.text
        assert "Calibration needs a judge and humans" in page.text or "No task is known" in page.text


def test_a_hundred_thousand_votes_on_fifty_models_take_seconds_and_one_page():
    random, n = np.random.default_rng(0), 100_000
    names = np.array([f"model-{i:02d}" for i in range(50)], dtype=object)
    a = random.integers(0, 50, n)
    b = (a + random.integers(1, 50, n)) % 50
    raters = np.array(["human:ana", "human:bo", "judge:gpt-4/v2"], dtype=object)
    votes = pd.DataFrame({"prompt_id": [f"p{i}" for i in random.integers(0, 2000, n)], "model_a": names[a], "model_b": names[b], "rater": raters[random.integers(0, 3, n)], "outcome": random.integers(0, 3, n) / 2})  # fmt: skip
    began = time.process_time()
    report = Report(votes, baseline="model-00")
    first = sections(report, "result")
    assert report.headline and len(first) > 3
    assert time.process_time() - began < 20, "the first tab takes about 2 seconds"
    page = section_html(first, Places(), "en")
    assert len(page) < 1_500_000 and "more</summary>" in page


def test_sentences_of_the_statistics_are_known_again_in_chinese():
    from sftkit.report.notes import FORMS, said
    from sftkit.report.planning import plan
    from sftkit.wording import in_language

    for sentence in (plan(5), plan(5, votes_per_prompt=3), plan(7, correlation=0.6)):
        assert "检出" in in_language(said(str(sentence)), "zh") and said(str(sentence)) == str(sentence)
    assert (
        in_language(said("held back by the gate: safety 2.5 is below 3"), "zh")
        == "未过门槛：safety 2.5 is below 3"
    )
    assert in_language(said("{x} not known"), "zh") == "{x} not known"
    assert len({form.template for form in FORMS}) == len(FORMS)


def test_models_may_be_numbers(tmp_path):
    votes = pd.DataFrame(
        {"prompt_id": range(8), "model_a": 1, "model_b": 2, "rater": "human:ana", "outcome": [1, 0] * 4}
    )
    found = Report(votes)
    assert "No clear difference between" in found._repr_html_() and "against" in str(found)
    assert found.png(tmp_path / "r.png").stat().st_size > 1000


def test_one_vote_of_one_rater_is_said_so():
    votes = pd.DataFrame(
        {"prompt_id": [1], "model_a": "t", "model_b": "b", "rater": "human:ana", "outcome": [1.0]}
    )
    assert repr(Report(votes)).startswith("Report(1 vote of 1 rater: ")
    assert Report(votes).headline.endswith(", says the human rater ana.")


def test_in_a_notebook_it_speaks_the_language_that_was_chosen(report, monkeypatch):
    for lang, said in (("en", False), ("zh", True)):
        monkeypatch.setattr(wording, "chosen", lang)
        assert ("胜率" in report._repr_html_()) is said
