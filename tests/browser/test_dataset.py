"""DatasetView in a real JupyterLab: a count leads to its rows; a row is mended, left out and taken back by keys and mouse;
hostile text stays text; what was changed is beside the file, and training reads it so."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from sftkit.data import patches, read_rows

HOSTILE = {
    "prompt": '<img src=x onerror="window.hacked=1"> {{7*7}} <script>window.hacked=1</script>',
    "response": "</span><b>bold</b> As an AI language model I cannot \u202eabc",
    "task": "<i>task</i>",
}
CELL = 'import sftkit as sk\nview = sk.DatasetView("data/rows.jsonl", "data/tiny-base")\nview'
CHINESE = 'sk.DatasetView("data/rows.jsonl", "data/tiny-base", lang="zh")'


def write(lab) -> None:
    lines = (lab.folder / "data/train.jsonl").read_text(encoding="utf-8").splitlines()[:600]
    empty = {"prompt": "What is the capital of Peru?", "response": "", "task": "facts"}
    long = {
        "prompt": "Tell me more.",
        "response": "The capital of Peru is Lima, I think. " * 70,
        "task": "facts",
    }
    rows = [*lines[:2], json.dumps(HOSTILE), json.dumps(empty), json.dumps(long), *lines[2:], *lines[10:17]]
    (lab.folder / "data/rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.timeout(200)
def test_from_a_count_to_its_rows_mended_and_left_out(notebook, page, lab, outside):
    write(lab)
    data = lab.folder / "data/rows.jsonl"
    before = data.read_bytes()
    notebook.write(CELL, CHINESE, path="view.ipynb")
    notebook.run("view = sk")
    view = notebook.area("view = sk").locator(".sftkit-dataset")
    expect(view.locator(".chip", has_text="exact duplicate")).to_contain_text("7")
    notebook.shot("dataset", view)

    # A count, its rows, all of them left out, undone.
    view.locator(".chip", has_text="exact duplicate").click()
    expect(view.locator(".tools .count")).to_have_text("7 rows")
    expect(view.locator(".line:not([data-empty])")).to_have_count(7)
    view.get_by_role("button", name="Leave all 7 out").click()
    view.get_by_role("button", name="Yes").click()
    expect(view.locator(".line.excluded")).to_have_count(7)
    assert len(read_rows(data)) == 603
    assert set(patches.listing(data)["reason"]) == {"exact duplicate"}
    notebook.shot("dataset-excluded", view)
    view.get_by_role("button", name="Undo").click()
    expect(view.locator(".line.excluded")).to_have_count(0)
    assert len(read_rows(data)) == 610

    # A row opened and mended; hostile text is text.
    view.get_by_role("button", name="Show all rows").click()
    view.locator(".line", has_text="capital of Peru?").first.click()
    view.get_by_role("button", name="Edit response").click()
    box = view.get_by_role("textbox", name="response")
    box.fill("The capital of Peru is Lima. 利马")
    notebook.shot("dataset-edit", view)
    box.press("Control+Enter")
    expect(view.locator(".whole .part.answer .text").first).to_have_text("The capital of Peru is Lima. 利马")
    assert (
        read_rows(data)[3]["response"] == "The capital of Peru is Lima. 利马" and data.read_bytes() == before
    )
    view.locator(".line", has_text="{{7*7}}").click()
    expect(view.locator(".whole")).to_contain_text("<script>window.hacked=1</script>")
    expect(view.locator(".whole")).to_contain_text("speaks of itself as an AI")
    expect(view.locator(".whole .sign")).to_have_text("U+202E")
    assert page.evaluate("() => window.hacked") is None
    assert view.locator("img, script, .whole b.bold, .line i").count() == 0

    # Keys: the view's own, and none of them JupyterLab's.
    view.get_by_role("button", name="Close the row").click()
    rows = view.locator(".rows")
    rows.press("Home")
    for key in ("ArrowDown", "ArrowDown", "x", "b", "d", "d"):
        rows.press(key)
    expect(view.locator(".line.excluded")).to_contain_text("{{7*7}}")
    assert len(notebook.cells) == 2 and len(read_rows(data)) == 609
    view.locator("summary", has_text="Changes").click()
    expect(view.locator(".changes tbody tr")).to_have_count(2)
    notebook.shot("dataset-changes", view)
    rows.press("u")
    expect(view.locator(".line.excluded")).to_have_count(0)
    rows.press("Shift+ArrowDown")
    rows.press("Shift+ArrowDown")
    view.get_by_role("button", name="Leave 3 out").click()
    expect(view.locator(".line.excluded")).to_have_count(3)

    # Search, sort, the far end of the table, and what was changed taken back one by one.
    view.locator("input[type=search]").fill("lima, i THINK")
    expect(view.locator(".tools .count")).to_have_text("1 rows")
    view.locator("input[type=search]").fill("")
    expect(view.locator(".tools .count")).to_have_text("610 rows")
    view.get_by_role("button", name="Length").click()
    view.get_by_role("button", name="Length").click()
    expect(view.locator(".line").first).to_contain_text("Tell me more.")
    rows.press("End")
    expect(view.locator(".line.at .cell.row")).not_to_be_empty()
    while view.locator(".changes tbody tr").count():
        left = view.locator(".changes tbody tr").count()
        view.locator(".changes .revert").first.click()
        expect(view.locator(".changes tbody tr")).to_have_count(left - 1)
    assert len(read_rows(data)) == 610 and read_rows(data)[3]["response"] == ""
    assert data.read_bytes() == before

    notebook.run(CHINESE)
    chinese = notebook.area(CHINESE).locator(".sftkit-dataset")
    expect(chinese.locator(".chip", has_text="完全重复")).to_contain_text("7")
    notebook.shot("dataset-zh", chinese)
    assert not page.watched.errors and not page.watched.left and not outside.asked


FORM = 'form = sk.EvalSetForm("data/rows.jsonl", size=40)\nform'


@pytest.mark.timeout(200)
def test_an_eval_set_is_looked_at_and_made(notebook, page, lab, outside):
    write(lab)
    data, made = lab.folder / "data/rows.jsonl", lab.folder / "data/rows_eval.jsonl"
    notebook.write("import sftkit as sk", FORM, path="form.ipynb")
    notebook.run("import sftkit")
    notebook.run(FORM)
    form = notebook.area(FORM).locator(".sft-evalset")
    form.get_by_role("button", name="Preview").click()
    expect(form).to_contain_text("40 eval rows out of 610")
    assert not made.exists()
    notebook.shot("evalset", form)
    form.get_by_role("button", name="Make").click()
    expect(form).to_contain_text("40 rows written to data/rows_eval.jsonl")
    assert len(read_rows(made)) == 40 and len(read_rows(data)) == 570
    notebook.shot("evalset-made", form)

    # Once more: now a file is in the way.
    form.get_by_label("Seed").fill("7")
    form.get_by_label("Seed").press("Tab")
    form.get_by_role("button", name="Make").click()
    expect(form.get_by_role("alert")).to_contain_text("data/rows_eval.jsonl is there already. Overwrite it?")
    form.get_by_role("button", name="Cancel").click()
    form.get_by_role("button", name="Take its rows back into training").click()
    expect(form).to_contain_text("40 rows are trained again")
    assert len(read_rows(data)) == 610
    assert page.evaluate("() => window.hacked") is None
    assert not page.watched.errors and not page.watched.left and not outside.asked
