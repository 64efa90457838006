"""TokenLens in a real JupyterLab: rows by keys and mouse, search, hostile text, a packed step, and a restart."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

HOSTILE = {
    "prompt": '<img src=x onerror="window.hacked=1"> {{7*7}} \u202eabc\u200b <script>window.hacked=1</script>',
    "response": "</span><b>bold</b>\x07 ok\tdone",
    "task": "<i>task</i>",
}
CELL = """import sftkit as sk
lens = sk.TokenLens(sk.SFTConfig(
    pretrain="data/tiny-base", dataset="data/rows.jsonl", eval_dataset="data/eval.jsonl", packing=True, max_len=96,
    train_batch_size=16, max_epochs=2, learning_rate=1e-3))
lens"""


def write(lab) -> None:
    lines = (lab.folder / "data/train.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    long = {
        "prompt": "What is the capital of Peru?",
        "response": "The capital of Peru is Lima, I think. " * 12,
    }
    rows = [*lines[:3], json.dumps(HOSTILE), json.dumps(long), *lines[3:]]
    (lab.folder / "data/rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    cells = [
        {
            "cell_type": "code",
            "id": "lens",
            "source": CELL,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
    ]
    book = {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}, "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    (lab.folder / "lens.ipynb").write_text(json.dumps(book), encoding="utf-8")


@pytest.mark.timeout(200)
def test_the_lens(notebook, page, lab, outside):
    write(lab)
    notebook.open("lens.ipynb")
    notebook.run("sk.TokenLens")
    lens = notebook.area("sk.TokenLens").locator(".sftkit-lens")
    place = lens.get_by_label("Go to row")
    expect(place).to_have_value("1")
    expect(lens.locator("div.tokens .tok").first).to_have_text("<s>")
    expect(lens.locator("div.tokens .tok.trained").last).to_have_text("</s>")
    notebook.shot("lens-row", lens)

    # Keys: the lens's own, and none of them JupyterLab's (x would cut the cell, b add one).
    lens.locator("div.tokens").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "x", "b", "d", "d"):
        lens.press(key)
    expect(place).to_have_value("2")
    assert notebook._do("return cells.length") == 1 and notebook.cell_runs is False
    lens.press("]")
    expect(lens.locator(".detail")).to_contain_text('token 1 · id 0 "<s>" · characters 0 to 3')

    # Hostile text is text.
    place.fill("4")
    place.press("Enter")
    expect(lens.locator(".facts")).to_contain_text("<i>task</i>")
    tokens = lens.locator("div.tokens")
    expect(tokens).to_contain_text("<script>window.hacked=1</script>".replace(" ", "·"))
    expect(tokens).to_contain_text("⟨U+202E⟩")
    assert page.evaluate("() => window.hacked") is None
    assert lens.locator("img, script, b.bold, i").count() == 0
    notebook.shot("lens-hostile", lens)

    # A row that does not fit.
    place.press("Escape")
    lens.press("ArrowRight")
    expect(lens.locator(".tok.cut").last).to_be_attached()
    expect(lens.locator(".warning")).to_contain_text("its end token is not taught")
    notebook.shot("lens-cut", lens)

    # Search, from the keyboard.
    lens.press("/")
    page.keyboard.type("peru")
    page.keyboard.press("Enter")
    hits = lens.locator(".hits li")
    expect(lens.locator(".found")).to_contain_text("rows found")
    assert hits.count() >= 2 and hits.first.locator("mark").inner_text() == "Peru"
    hits.nth(1).get_by_role("button").click()
    expect(tokens).to_contain_text("Peru")
    notebook.shot("lens-search", lens)

    # The step that trains the row, packed: bands with borders; a click opens another row.
    lens.get_by_role("button", name="Show its step").click()
    expect(lens.locator(".band[aria-current]")).to_have_count(1, timeout=20_000)
    bands = lens.locator(".band")
    assert bands.count() == 16 > lens.locator(".sequence").count()
    lens.locator(".fold").first.click()
    expect(lens.locator(".neighbour").first).to_be_visible()
    notebook.shot("lens-step", lens)
    name = bands.last.get_attribute("aria-label")
    bands.last.click()
    expect(lens.locator(".facts").last).to_contain_text(name.split(",")[0])

    # The eval rows. After a restart what was seen stays, and the lens says why there is no more.
    lens.locator("select.split").select_option("eval")
    expect(lens.locator(".facts").last).to_contain_text("data/eval.jsonl · row 1")
    lens.get_by_role("button", name="Next row").click()
    expect(lens.locator(".facts").last).to_contain_text("2 of 300")
    notebook.restart()
    lens.get_by_role("button", name="Row before").click()
    expect(lens.locator(".facts").last).to_contain_text("1 of 300")
    place.fill("77")
    place.press("Enter")
    expect(lens.locator(".errors")).to_contain_text("The kernel does not answer", timeout=8_000)
    assert page.watched.left == [] and outside.asked == [] and page.watched.errors == []
