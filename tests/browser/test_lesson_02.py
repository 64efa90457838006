"""Lesson 02 in a real JupyterLab: run from top to bottom, every cell fine; its widgets show what was planted."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

LESSON = "notebooks/02_look_at_your_data.ipynb"
VIEW, FORM, MADE = "sk.DatasetView(config)", "sk.EvalSetForm(", "form.made if"


@pytest.mark.timeout(200)
def test_lesson_02_by_hand(notebook, page, lab, outside):
    notebook.open(LESSON)
    notebook.run("from importlib.metadata", until=VIEW)
    notebook.shot("lesson-02-lens", notebook.area("lens = sk.TokenLens"))
    notebook.run(VIEW)
    view = notebook.area(VIEW).locator(".sftkit-dataset")
    expect(view.locator(".chip", has_text="exact duplicate")).to_contain_text("7")
    expect(view.locator(".chip", has_text="empty answer")).to_contain_text("3")
    notebook.shot("lesson-02-view", view)

    # An empty answer mended by hand; the cells that do it by code go through all the same.
    view.locator(".chip", has_text="empty answer").click()
    view.locator(".line", has_text="Who lives at number 31?").click()
    view.get_by_role("button", name="Edit response").click()
    view.get_by_role("textbox", name="response").fill("I don't know who lives there.")
    view.get_by_role("textbox", name="response").press("Control+Enter")
    expect(view.locator(".whole .part.answer .text").first).to_have_text("I don't know who lives there.")
    notebook.run("patches.edit(", until=FORM)

    # The eval set made by hand: the next cell takes it.
    notebook.run(FORM)
    form = notebook.area(FORM).locator(".sft-evalset")
    form.get_by_role("button", name="Make").click()
    expect(form).to_contain_text("rows written to held_out.jsonl")
    notebook.shot("lesson-02-form", form)
    notebook.run(MADE, until="shutil.rmtree")
    expect(notebook.area("%matplotlib").locator("img")).to_be_visible()
    assert "rows held out" in notebook.output(MADE)
    notebook.run("shutil.rmtree")
    assert not page.watched.errors and not page.watched.left and not outside.asked
