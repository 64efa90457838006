"""Rating in a real JupyterLab: twenty pairs by keys alone, with a reload, a restarted kernel and a lost connection in the middle;
two notebooks on one store; and no model's name in anything that reaches the browser."""

from __future__ import annotations

import re
import zlib
from collections import Counter

import pandas as pd
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

import sftkit as sk

MODELS = ("zebra-secret-7b", "okapi-secret-7b")
PAIRS = 20
OPEN = """import sftkit as sk
store = sk.RatingStore("sqlite:///../ratings.db")
answers = sk.Generations.load("../answers.parquet")"""
GRID = 'grid = sk.ComparisonGrid(answers, store=store, rater="ana")\ngrid'
TEAM = 'team = sk.ComparisonGrid(store=store, rater="{rater}", project="pilot")\nteam'
LOOK = """import json, ipywidgets
state = json.dumps(ipywidgets.Widget.get_manager_state(widgets=None), default=str)
print(len(state), "secret" in state)"""


class Wire:
    """The page's line to the kernel: everything on it is kept, and it can be cut."""

    def __init__(self, page: Page):
        self.texts: list[str] = []
        self.cut = False
        self._lines: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/channels"), self._route)

    def _route(self, line: WebSocketRoute) -> None:
        server = line.connect_to_server()
        line.on_message(lambda message: self._pass(message, server))
        server.on_message(lambda message: self._pass(message, line))
        self._lines.append(line)
        if self.cut:
            line.close()

    def _pass(self, message: str | bytes, to: WebSocketRoute) -> None:
        if not self.cut:
            self.texts.append(message if isinstance(message, str) else unpacked(message))
            to.send(message)

    def lose(self) -> None:
        self.cut = True
        for line in self._lines:
            line.close()

    def mend(self) -> None:
        self.cut = False


def unpacked(message: bytes) -> str:
    """The message as text, with what is compressed in it (sftkit/widgets/packed.py)."""
    texts = [message.decode("utf-8", "replace")]
    for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", message):
        try:
            texts.append(zlib.decompressobj().decompress(message[found.start() :]).decode("utf-8", "replace"))
        except zlib.error:
            continue  # two bytes that happen to look like it
    return "\n".join(texts)


def save(folder) -> sk.Generations:
    rows = [
        dict(prompt_id=f"p{n}", prompt=f"Question {n}?", task="qa", reference="r", model=model, response=f"{word} answer to {n}")
        for n in range(PAIRS)
        for model, word in zip(MODELS, ("First", "Second"))
    ]  # fmt: skip
    answers = sk.Generations.from_frame(pd.DataFrame(rows))
    answers.save(folder / "answers.parquet")
    return answers


def shown(area: Locator) -> Locator:
    grid = area.locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer").first).to_be_visible()
    return grid


def press(grid: Locator, keys: str, done: int, total: int = PAIRS) -> int:
    """Each key when the row before is on disk, which is when the next one opens."""
    grid.locator(".bar").click(position={"x": 2, "y": 2})
    for key in keys:
        opened = grid.locator(".row.open")
        expect(opened.locator(".answer").first).to_be_visible()
        row = opened.get_attribute("aria-rowindex")
        grid.page.keyboard.press(key)
        done += 1
        expect(grid.locator(".count")).to_contain_text(f"{done} of {total}")
        if done < total:
            expect(opened).not_to_have_attribute("aria-rowindex", row)
    return done


def test_twenty_pairs_by_keys_and_nothing_is_lost_meanwhile(notebook, page, lab):
    save(lab.folder)
    wire = Wire(page)
    notebook.write(OPEN, GRID, LOOK)
    notebook.run("import sftkit")
    notebook.run("grid = ")
    grid = shown(notebook.area("grid = "))
    done = press(grid, "abtxa", 0)

    notebook.save()
    page.reload()  # the kernel lives on, and so does the widget
    notebook.wait()
    grid = shown(notebook.area("grid = "))
    expect(grid.locator(".count")).to_contain_text(f"{done} of {PAIRS}")
    done = press(grid, "babat", done)

    expect(grid.locator(".row.open .answer").first).to_be_visible()
    wire.lose()
    page.keyboard.press("a")
    expect(grid.locator(".saving")).to_contain_text("1 not saved")
    notebook.shot("grid_connection_lost", page)
    assert len(votes(lab)) == done
    wire.mend()
    expect(grid.locator(".saving")).to_have_text("All saved")
    done += 1
    expect(grid.locator(".count")).to_contain_text(f"{done} of {PAIRS}")
    assert len(votes(lab)) == done
    done = press(grid, "ba", done)

    expect(grid.locator(".row.open .answer").first).to_be_visible()
    notebook.restart()
    page.keyboard.press("b")
    expect(grid).to_contain_text("The kernel was restarted. Run the cell again")
    notebook.shot("grid_kernel_restarted", page)
    assert len(votes(lab)) == done
    notebook.run("import sftkit")
    notebook.run("grid = ")
    grid = shown(notebook.area("grid = "))
    done += 1
    expect(grid.locator(".count")).to_contain_text(f"{done} of {PAIRS}")
    done = press(grid, "abtxab", done)
    assert done == PAIRS
    expect(grid).to_contain_text(f"All {PAIRS}")
    notebook.shot("grid_all_rated", page)

    kept = votes(lab)
    assert (
        len(kept) == PAIRS
        and Counter(kept["verdict"])["tie"] == 3
        and Counter(kept["verdict"])["both_bad"] == 2
    )
    assert (kept["seconds"] >= 0).all() and kept["seconds"].sum() > 0
    notebook.run("import json")
    said = notebook.output("import json").split()
    assert int(said[0]) > 5_000 and said[1] == "False"
    everything = "\n".join([*wire.texts, page.content(), page.evaluate("JSON.stringify({...localStorage})")])
    assert len(wire.texts) > 100 and "Second answer to 3" in everything
    assert any(
        '"answers": ["' in text and "Second answer to 12" in text for text in wire.texts
    )  # packed, and searched
    for name in MODELS:
        assert name not in everything
    assert notebook.cells == [OPEN, GRID, LOOK]  # no key of ours reached JupyterLab
    assert page.watched.left == [] and page.watched.errors == []


def votes(lab) -> pd.DataFrame:
    frame = sk.RatingStore(f"sqlite:///{lab.folder / 'ratings.db'}").frame()
    return frame[frame["current"]]


def test_two_notebooks_on_one_store_see_each_others_progress(notebook, page, lab):
    answers = save(lab.folder)
    sk.RatingStore(f"sqlite:///{lab.folder / 'ratings.db'}").project("pilot", answers, overlap=1)
    notebook.write(OPEN, TEAM.format(rater="ana"), path="notebooks/ana.ipynb")
    notebook.run("import sftkit")
    notebook.run("team = ")
    ana = shown(notebook.area("team = "))
    size = {"width": 1280, "height": 900}
    second = page.context.browser.new_context(
        viewport=size
    )  # JupyterLab tells two tabs of one browser apart by moving one
    other = type(notebook)(second.new_page(), lab)
    other.page.set_default_timeout(60_000)
    other.write(OPEN, TEAM.format(rater="ben"), path="notebooks/ben.ipynb")
    other.run("import sftkit")
    other.run("team = ")
    ben = shown(other.area("team = "))
    assert ana.locator(".row.open").get_attribute("aria-rowindex") != ben.locator(".row.open").get_attribute(
        "aria-rowindex"
    )
    press(ana, "abt", 0)
    press(ben, "ba", 0)
    for grid, book, name in ((ana, notebook, "ana"), (ben, other, "ben")):
        expect(grid.locator(".bar")).to_contain_text(f"5 of {PAIRS}")
        book.shot(f"grid_team_{name}", book.page)
    kept = votes(lab)
    assert len(kept) == 5 and kept["prompt_id"].nunique() == 5  # nobody rated what the other one had
    assert dict(Counter(kept["rater"])) == {"human:ana": 3, "human:ben": 2}
    expect(ben.locator(".row.state-x")).not_to_have_count(0)
    assert page.watched.left == [] and page.watched.errors == []
