"""Tables and pictures to take along: CSV unrounded, LaTeX that compiles whatever the names are, PNG and SVG."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from sftkit.errors import ReportError
from sftkit.pictures import chinese_fonts
from sftkit.report import Report
from sftkit.report.export import TABLES, tex

HOSTILE = r"t_1 & 50 % $x$ \input{/etc/passwd} ~^{}# <b>"


def votes(model="tuned", rater="human:ana"):
    rows = [(f"p{i}", rater, (1.0, 1.0, 0.5, 0.0)[i % 4]) for i in range(24)]
    frame = pd.DataFrame(rows, columns=["prompt_id", "rater", "outcome"])
    return frame.assign(model_a=model, model_b="base", task="sums")


def test_csv_holds_every_table_unrounded(tmp_path):
    report = Report(votes(), baseline="base")
    paths = report.to_csv(tmp_path / "out")
    back = pd.read_csv(tmp_path / "out/win_rates.csv")
    assert back["low"][0] == pytest.approx(report.win_rates["low"][0], rel=1e-12)
    assert {path.stem for path in paths} - {"methods"} == {
        name for name in TABLES if len(getattr(report, name))
    }
    assert "Wilson" in (tmp_path / "out/methods.csv").read_text(encoding="utf-8")


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path):
    Report(votes("=cmd|'/c calc'!A1", "human:@x"), baseline="base").to_csv(tmp_path)
    back = pd.read_csv(tmp_path / "win_rates.csv")
    assert back["model"][0].startswith("'=") and back["win_rate"][0] == pytest.approx(0.625)


def test_latex_escapes_and_puts_value_and_interval_together():
    text = Report(votes(HOSTILE), baseline="base").to_latex()
    assert r"\toprule" in text and text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"\input" not in text and r"\textbackslash{}input\{" in text and r"\$x\$" in text
    row = Report(votes(), baseline="base").win_rates.iloc[0]
    assert f"{100 * row.win_rate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    columns = len(re.search(r"tabular\}\{(\w+)\}", text)[1])
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}
    assert tex("a\nb\x07") == "a b "


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_latex_or_says_that_it_is_empty(name):
    report = Report(votes(), baseline="base")
    if len(getattr(report, name)):
        assert r"\caption{" in report.to_latex(name) and "nan" not in report.to_latex(name)
    else:
        with pytest.raises(ReportError, match="no rows yet"):
            report.to_latex(name)


def test_unknown_tables_and_figures_are_named(tmp_path):
    report = Report(votes(), baseline="base")
    with pytest.raises(ReportError, match="no table 'x'; tables: win_rates"):
        report.to_latex("x")
    with pytest.raises(ReportError, match="no figure 'x'; figures: win_rates, pairs"):
        report.png(tmp_path / "x.png", "x")


@pytest.mark.parametrize("name", ["win_rates", "pairs", "scores", "calibration"])
def test_pictures_are_drawn_with_and_without_figures_in_them(tmp_path, name):
    for source in (votes(HOSTILE), votes().head(0)):
        report = Report(source, baseline="base" if len(source) else None)
        assert report.png(tmp_path / "deep/x.png", name).read_bytes().startswith(b"\x89PNG")
        svg = ElementTree.parse(report.svg(tmp_path / "x.svg", name)).getroot()
        assert svg.tag.endswith("svg") and not svg.findall(".//{http://www.w3.org/2000/svg}script")
    if name == "win_rates":
        text = "".join(svg.itertext())
        assert "No scored votes yet" in text, "text in the SVG stays text"


def test_chinese_names_are_drawn_where_a_font_has_their_signs(tmp_path):
    """Boxes look alike, whatever name they stand for; signs do not."""
    names = ("乙乙", "一一")
    drawn = []
    for name in names:
        votes = pd.DataFrame({"prompt_id": [f"p{n}" for n in range(6)], "model_a": "基线", "model_b": name, "rater": "human:ana", "outcome": [0, 0, 1, 0, 0.5, 1]})  # fmt: skip
        report = Report(votes, baseline="基线")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # not a word about each sign that is missing
            drawn.append(report.png(tmp_path / "x.png").read_bytes())
            svg = report.svg(tmp_path / "x.svg").read_text(encoding="utf-8")
        assert name in svg and all(font in svg for font in chinese_fonts())
    assert (drawn[0] != drawn[1]) == bool(chinese_fonts())
