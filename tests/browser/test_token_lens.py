"""TokenLens and the run card in a real JupyterLab: rows by keys and mouse, search, hostile text, a packed step, a restart;
the worst rows of a real run, measured before and after."""

from __future__ import annotations

import json
import re

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
RUN = """config = sk.SFTConfig(
    pretrain="data/tiny-base", dataset="data/rows.jsonl", max_samples=96, max_len=96, train_batch_size=32, max_epochs=2,
    learning_rate=1e-3, bf16=False, save_steps=3)
run = sk.launch(config)
run.wait()"""
CELLS = [CELL, RUN, 'sk.TokenLens(run, lang="zh")', "sk.RunCard(run)", "_ = lens.go(3)"]


def cell(number: int, source: str) -> dict:
    return {
        "cell_type": "code",
        "id": f"c{number}",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }


def write(lab) -> None:
    lines = (lab.folder / "data/train.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    long = {
        "prompt": "What is the capital of Peru?",
        "response": "The capital of Peru is Lima, I think. " * 12,
    }
    rows = [*lines[:3], json.dumps(HOSTILE), json.dumps(long), *lines[3:]]
    (lab.folder / "data/rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    cells = [cell(number, source) for number, source in enumerate(CELLS)]
    book = {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}, "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    (lab.folder / "lens.ipynb").write_text(json.dumps(book), encoding="utf-8")


@pytest.mark.timeout(200)
def test_the_lens(notebook, page, lab, outside):
    write(lab)
    notebook.open("lens.ipynb")
    notebook.run("lens = sk.TokenLens")
    lens = notebook.area("lens = sk.TokenLens").locator(".sftkit-lens")
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
    assert notebook._do("return cells.length") == len(CELLS) and notebook.cell_runs is False
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

    # The kernel brings a row into view, whichever panel is open.
    lens.get_by_role("tab", name="Step").click()
    notebook.run("_ = lens.go(3)")
    expect(place).to_have_value("3")
    expect(lens.locator(".facts").last).to_contain_text("data/rows.jsonl · row 3")

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


@pytest.mark.timeout(200)
def test_the_worst_rows_and_the_card_of_a_run(notebook, page, lab, outside):
    write(lab)
    notebook.open("lens.ipynb")
    notebook.run("lens = sk.TokenLens", until="sk.TokenLens(run")
    notebook.run("sk.TokenLens(run")
    lens = notebook.area("sk.TokenLens(run").locator(".sftkit-lens")
    lens.get_by_role("tab", name="最差的行").click()
    table = lens.locator("table")
    expect(table.locator("tbody tr")).to_have_count(50)
    losses = [float(text) for text in table.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1] > 0
    lens.get_by_role("button", name="测量训练前后").click()
    expect(table.locator("th")).to_have_count(9, timeout=60_000)
    expect(table.locator("th[aria-sort]")).to_have_text("训练后 ▾")
    notebook.shot("lens-worst-zh", lens)
    row = table.locator("tbody .link").first
    number = row.inner_text()
    row.click()
    expect(lens.get_by_label("转到行")).to_have_value(number)
    notebook.shot("lens-row-zh", lens)

    notebook.run("sk.RunCard(run)")
    card = notebook.area("sk.RunCard(run)").locator(".sftkit-card")
    expect(card.get_by_role("heading", name="Replay")).to_be_visible()
    expect(card.locator("img")).to_have_attribute("alt", re.compile("Loss by step"))
    card.locator("summary").click()
    notebook.shot("run-card", card)
    assert page.watched.left == [] and outside.asked == [] and page.watched.errors == []
