"""The judge in a real JupyterLab: its panel (a FAKE judge over HTTP), its exam, and its verdict in the grid after the vote."""

from __future__ import annotations

import os

from playwright.sync_api import expect

LANG = os.environ.get("SFTKIT_SHOT_LANG", "en")  # for pictures
MAKE = f"""import pandas as pd, sftkit as sk
from sftkit.judging.fake_server import FakeJudgeServer
sk.set_language("{LANG}")
server = FakeJudgeServer(latency=0.05)  # a FAKE judge: the longer answer wins
store = sk.RatingStore("sqlite:///ratings.db")
rows = [dict(prompt_id=f"p{{i}}", prompt=f"What is {{i}} plus {{i}}? Say it in a sentence.", task="arithmetic", reference=str(2 * i), model=name,
             response=("It is %d." % (2 * i)) if name == "base" else "The sum of %d and %d is **%d**, which is easy to check. <img src=x onerror='window.hacked=1'>" % (i, i, 2 * i))
        for i in range(12) for name in ("base", "tuned")]
answers = sk.Generations.from_frame(pd.DataFrame(rows))"""
PANEL = 'panel = sk.JudgePanel(answers, store=store, judge=sk.Judge("fake-judge", server.base_url))\npanel'
AGAIN = 'again = sk.JudgePanel(answers, store=store, judge=sk.Judge("fake-judge", server.base_url))\nagain'
GRID = 'grid = sk.ComparisonGrid(answers, store=store, rater="ana")\ngrid'


def own_dimension(panel, page):
    """Enter one by keyboard, put it second to last, untick another, and take both back."""
    lines = panel.locator(".sft-dimension")
    expect(lines).to_have_count(6)
    panel.locator(".sft-dimensions .sft-fold-title").click()
    panel.locator(".sft-dimensions .sft-fold input").first.click()
    for words in ("Warmth", "Cold or curt.", "Neutral.", "Kind throughout.", "The answer sighs: 1.", "\n"):
        page.keyboard.press("Enter") if words == "\n" else page.keyboard.type(words)
        page.keyboard.press("Tab")
    expect(lines).to_have_count(7)
    expect(lines.last).to_contain_text("Warmth")
    expect(lines.last).to_contain_text("5: Kind throughout.")
    lines.last.locator("button:has(i.fa-arrow-up)").click()
    expect(lines.nth(5)).to_contain_text("Warmth")
    if folder := os.environ.get("SFTKIT_SHOTS"):
        panel.locator(".sft-dimensions").screenshot(path=f"{folder}/judge_dimensions-{LANG}.png")
    lines.nth(5).locator("button:has(i.fa-trash)").click()
    expect(lines).to_have_count(6)


def test_panel_exam_run_and_the_verdict_after_the_vote(notebook, page):
    page.set_viewport_size({"width": 1280, "height": 2000})
    notebook.write(MAKE, PANEL, AGAIN, GRID)
    notebook.run("import pandas")
    notebook.run("panel = ")
    panel = notebook.area("panel = ").locator(".sft-judge")
    expect(panel.locator(".sft-figures")).to_be_visible()
    notebook.shot(f"judge_panel-{LANG}", panel)
    panel.locator(".sft-fold-title").first.click()
    expect(panel.locator(".sft-fold .sft-row").first).to_be_visible()
    own_dimension(panel, page)
    notebook.shot(f"judge_rules-{LANG}", panel)
    panel.locator(".sft-fold-title").first.click()
    exam, run, stop = (
        panel.locator(f".sft-launch button:has(i.fa-{icon})") for icon in ("graduation-cap", "play", "stop")
    )
    exam.click()
    expect(panel.locator(".sft-bar.sft-is-running")).to_be_visible()
    expect(stop).to_be_enabled()
    notebook.shot(f"judge_running-{LANG}", panel)
    expect(panel.locator(".sft-exam-failed")).to_be_visible()
    notebook.shot(f"judge_exam-{LANG}", panel)
    expect(run).to_be_enabled()
    run.focus()
    page.keyboard.press("Enter")  # by keyboard; x would cut the cell if JupyterLab took it
    page.keyboard.press("x")
    expect(panel.locator(".sft-judged")).to_be_visible()
    expect(panel.locator(".sft-bar.sft-is-finished")).to_be_visible()
    notebook.shot(f"judge_done-{LANG}", panel)
    notebook.run("again = ")
    expect(notebook.area("again = ").locator(".sft-judged")).to_be_visible()

    notebook.run("grid = ")
    grid = notebook.area("grid = ").locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer").first).to_be_visible()
    assert "fake-judge" not in grid.inner_html() and grid.locator(".judges").count() == 0
    grid.click(position={"x": 5, "y": 5})
    page.keyboard.press("a")
    expect(grid.locator(".row.open")).to_have_attribute("aria-rowindex", "3")
    assert "fake-judge" not in grid.inner_html()
    page.keyboard.press("v")
    expect(grid.locator(".judge strong")).to_contain_text("judge:fake-judge/")
    assert grid.locator(".judge img").count() == 0
    notebook.shot(f"judge_in_grid-{LANG}", grid)
    grid.locator(".judge summary").first.click()
    expect(grid.locator(".judge pre").first).to_be_visible()
    expect(grid.locator(".judge details").first).to_contain_text("BEGIN ")
    grid.locator(".judge pre").nth(1).scroll_into_view_if_needed()
    notebook.shot(f"judge_request-{LANG}", grid)
    assert page.evaluate("window.hacked") is None
    assert page.watched.left == [] and page.watched.errors == []
