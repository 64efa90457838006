"""Four answers ranked in a real JupyterLab, by keys and by drag: ties, skips, tags, flags, undo, the filter, the names."""

from __future__ import annotations

import os

from playwright.sync_api import expect

from sftkit.ratings import RatingStore

LANG = os.environ.get("SFTKIT_SHOT_LANG", "en")  # for pictures
MAKE = f"""import pandas as pd, sftkit as sk
sk.set_language("{LANG}")
store = sk.RatingStore("sqlite:///ratings.db")
models = ["secret-base", "secret-small", "secret-big", "secret-tuned"]
answers = sk.Generations.from_frame(pd.DataFrame([
    dict(prompt_id=f"p{{i}}", prompt=f"Explain {{i}} plus {{i}} to a child.", task=("sums", "words")[i % 2], model=model, reference=str(2 * i),
         response=f"Answer {{place}}: take {{i}} apples and {{i}} more, that makes **{{2 * i}}**. " + "It is easy to check by counting. " * place)
    for i in range(5) for place, model in enumerate(models)]))"""
GRID = 'grid = sk.ComparisonGrid(answers, store=store, rater="ana")\ngrid'
READ = 'print(grid.filter, "|", grid.selected["row"].tolist(), "|", "secret" in repr(grid.selected))'


def test_rankings_by_keys_and_by_mouse(notebook, page, lab):
    page.set_viewport_size({"width": 1400, "height": 1100})
    notebook.write(MAKE, GRID, READ)
    notebook.run("import pandas")
    notebook.run("grid = ")
    grid = notebook.area("grid = ").locator(".sftkit-grid")
    row = grid.locator(".row.open")
    expect(row.locator(".answer").first).to_be_visible()
    grid.locator(".bar").click(position={"x": 2, "y": 2})

    for key in ("c", "a", "="):
        page.keyboard.press(key)
    expect(grid.locator(".zone.tying")).to_have_count(1)
    page.keyboard.press("b")
    notebook.shot(f"ranking-{LANG}", grid)
    page.keyboard.press("d")
    expect(row).to_have_attribute("aria-rowindex", "3")
    page.keyboard.press("u")  # back, and its last place empty again
    expect(row).to_have_attribute("aria-rowindex", "2")
    expect(grid.locator(".tray .chip-side")).to_have_text(["D"])
    page.keyboard.press("d")
    expect(row).to_have_attribute("aria-rowindex", "3")

    for side, place in (("d", 0), ("b", 1), ("a", 2), ("c", 2)):
        grid.locator(f".chip-side[data-side={side}]").drag_to(grid.locator(".zone").nth(place))
    expect(row).to_have_attribute("aria-rowindex", "4")

    grid.locator(".bar").click(position={"x": 2, "y": 2})
    page.keyboard.press("g")
    page.keyboard.type("odd")
    for key in ("Enter", "Escape", "f", "s"):
        page.keyboard.press(key)
    notebook.shot(f"ranking_skip-{LANG}", grid)
    page.keyboard.press("2")
    expect(row).to_have_attribute("aria-rowindex", "5")

    page.keyboard.press("/")
    page.keyboard.type("task == 'sums' and not flagged")
    page.keyboard.press("Enter")
    expect(grid.locator(".filter [role=status]")).to_contain_text("2")
    notebook.shot(f"ranking_filter-{LANG}", grid)
    notebook.run("grid.filter")
    assert notebook.output("grid.filter").split("|") == [
        "task == 'sums' and not flagged ",
        " [0, 4] ",
        " False\n",
    ]
    grid.locator(".filter button").last.click()
    for opened in ("6", "5"):
        expect(row).to_have_attribute("aria-rowindex", opened)
        for key in ("a", "b", "c", "d"):
            page.keyboard.press(key)
    panel = grid.locator(".panel")
    expect(panel).to_be_visible()
    notebook.shot(f"ranking_done-{LANG}", grid)
    assert "secret" not in grid.inner_html()  # the cell above names them
    panel.locator(".reveal button").click()
    notebook.shot(f"ranking_reveal-{LANG}", grid)
    panel.locator(".reveal .danger").click()
    expect(row.locator(".answers")).to_contain_text("secret-")
    notebook.shot(f"ranking_names-{LANG}", grid)

    votes = RatingStore(f"sqlite:///{lab.folder / 'notebooks/ratings.db'}").votes()
    assert len(votes) == 4 * 6 and sorted(votes["outcome"].unique()) == [0.0, 0.5, 1.0]
    assert page.watched.left == [] and page.watched.errors == []
