"""The report in a real JupyterLab: tabs, examples behind a figure, weights that re-rank while they are moved, planning, keys."""

from __future__ import annotations

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from playwright.sync_api import expect

HERE = Path(__file__).parent
HOSTILE = "<img src=x onerror=window.hacked=1>"


def rated(url: str, **how):
    spec = spec_from_file_location("rated", HERE.parent / "report/rated.py")
    spec.loader.exec_module(module := module_from_spec(spec))
    return module.rated(url, **how)


def test_a_report_is_looked_through(notebook, lab, page, outside):
    url = f"sqlite:///{lab.folder / 'ratings.db'}"
    rated(url, text=HOSTILE)
    page.set_viewport_size({"width": 1280, "height": 1800})
    notebook.write(
        f"import sftkit as sk\nstore = sk.RatingStore({url!r})",
        "view = sk.ReportView(store)\nview",
        "print(view.weights, view.ranking['model'].tolist())",
        "sk.ReportView(sk.RatingStore('sqlite:///empty.db'), lang='zh')",
        "sk.Report(store)",
    )
    notebook.run("import sftkit")
    notebook.run("view = sk.ReportView")
    area = notebook.area("view = sk.ReportView")
    report = area.locator(".sftkit-report-view")

    # The headline, with the alarm before it: the judge was had, so that the humans' word stands first.
    expect(report.locator(".alarm")).to_contain_text("can be fooled")
    expect(report.locator(".headline")).to_contain_text("tuned beats base: win rate")
    expect(report.locator(".headline")).to_contain_text("say all human raters together")
    expect(report.get_by_role("tab")).to_have_count(5)
    expect(report.locator("[data-name=pairs] td.heat").first).to_be_visible()
    notebook.shot("report-result", report)

    # One click on a figure shows the comparisons behind it, as text; Escape brings the focus back.
    bar = report.locator("[data-name=win_rates] td.number a").first
    assert "n = " in bar.evaluate("bar => bar.closest('[title]').title")
    bar.click()
    examples = report.locator(".examples")
    expect(examples).to_contain_text("tuned against base, by all human raters together")
    expect(examples.locator("pre").filter(has_text=HOSTILE).first).to_be_visible()
    expect(examples.locator(".said li").first).to_contain_text("human:")
    notebook.shot("report-examples", report)
    page.keyboard.press("Escape")
    expect(examples).to_have_count(0)
    expect(bar).to_be_focused()

    # Tabs by keys; a slider moved by keys re-ranks, keeps the focus, and the kernel knows.
    report.get_by_role("tab", name="Who won").focus()
    page.keyboard.press("ArrowRight")
    expect(report.get_by_role("tab", name="Scores and weights")).to_have_attribute("aria-selected", "true")
    ranks = report.locator("[data-name=weights] tbody tr")
    expect(ranks).to_have_count(3)
    expect(report.locator("[data-name=weights]")).to_contain_text("Equal weights on 2 dimensions")
    slider = report.get_by_role("slider", name="safety")
    slider.focus()
    page.keyboard.press("End")
    expect(report.locator("[data-name=weights] .about")).to_contain_text("Weights as set")
    expect(slider).to_be_focused()
    notebook.shot("report-weights", report)
    notebook.run("print(view.weights")
    assert "'safety': 100.0" in notebook.output("print(view.weights")

    area = notebook.area("view = sk.ReportView")
    report.get_by_role("tab", name="Raters").click()
    expect(report.locator("[data-name=agreement] .mark")).to_have_count(
        1
    )  # the human ceiling, on the judge's bar
    notebook.shot("report-raters", report)
    report.get_by_role("tab", name="Judges").click()
    expect(report.locator("[data-name=bias_card] td.red")).to_have_count(1)
    report.locator("[data-name=bias_card] td.red a").click()
    expect(report.locator(".examples")).to_contain_text("canary:constant")
    notebook.shot("report-judges", report)
    report.get_by_role("tab", name="Planning").click()
    report.get_by_label("Difference, points").fill("7")
    expect(report.locator("[data-name=plan]")).to_contain_text("To show a win rate of 57 %")
    report.get_by_label("Difference, points").fill("60")
    expect(report.locator("[data-name=plan]")).to_contain_text(
        "To show a win rate of 57 %"
    )  # out of bounds: not asked
    notebook.shot("report-plan", report)

    # Later votes come in with Refresh; the tab stays.
    rated(url, prompts=60, text=HOSTILE)
    report.get_by_role("button", name="Refresh").click()
    expect(report.locator(".facts")).to_contain_text("60 prompts")
    expect(report.get_by_role("tab", name="Planning")).to_have_attribute("aria-selected", "true")

    notebook.run("empty.db")
    expect(notebook.area("empty.db").locator(".headline")).to_contain_text("尚无评分")
    notebook.run("sk.Report(store)")
    static = notebook.area("sk.Report(store)").locator(".sftkit-report")
    expect(static.locator(".headline")).to_contain_text("tuned beats base")
    notebook.shot("report-static", static)
    static.locator("[data-name=win_rates] td.number button").first.click()
    behind = static.locator(".behind:popover-open")
    expect(behind.locator("pre").first).to_be_visible()
    if shots := os.environ.get("SFTKIT_SHOTS"):
        page.screenshot(path=f"{shots}/report-behind.png")
    page.keyboard.press("Escape")
    expect(behind).to_have_count(0)
    assert page.evaluate("window.hacked") is None
    assert page.watched.left == [] and outside.asked == [] and page.watched.errors == []
