"""Hostile texts and names in everything that is written as HTML: reports, cards, tables, the grid's saved picture. Opened in a real
browser, nothing runs and nothing is loaded from outside."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import sftkit as sk
from sftkit.widgets import grid_picture

ROOT = Path(__file__).parents[2]
CORPUS = [row["text"] for row in json.loads((ROOT / "widgets/test/xss_corpus.json").read_text("utf-8"))]
ACTIVE = "script,iframe,object,embed,applet,img,video,audio,form,base,meta,link,frame,portal,template,marquee,dialog".split(
    ","
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """Every page by its name, made of the corpus as prompt, task, reference, answer, note, tag, model and rater."""
    store = sk.RatingStore(f"sqlite:///{tmp_path_factory.mktemp('xss') / 'ratings.db'}")
    rows = [
        {
            "prompt_id": f"p{n}",
            "prompt": [{"role": "system", "content": text}, {"role": "user", "content": text}],
            "task": CORPUS[n % 5],
            "reference": text,
            "model": model,
            "response": text,
        }
        for n, text in enumerate(CORPUS)
        for model in (f"base {CORPUS[33]}", f"tuned {CORPUS[60]}")
    ]
    answers = sk.Generations.from_frame(pd.DataFrame(rows))
    base, tuned = answers.models
    store.register(answers)
    for n, text in enumerate(CORPUS):
        both = {
            "prompt_id": f"p{n}",
            "model_a": base,
            "model_b": tuned,
            "verdict": "abt"[n % 3].replace("t", "tie"),
        }
        store.add(sk.Rating(f"human:{CORPUS[31]}", **both, note=text, tags=[text or "x"], shown_first="a"))
        store.add(sk.Rating(f"judge:{CORPUS[32]}", **both, note=text, raw_reply=text, shown_first="a"))
    report = sk.Report(store)
    report.to_html(path := store_path(store).with_suffix(".html"))
    grid = sk.ComparisonGrid(answers, store=store, rater=CORPUS[31])
    grid._revealed = True
    return {
        "report": path.read_text("utf-8"),
        "report in a cell": report._repr_html_(),
        "answers": answers._repr_html_(),
        "saved picture": grid_picture.html(grid, 'x"><script>window.pwned=1</script>', "en"),
    }


def store_path(store: sk.RatingStore) -> Path:
    return Path(str(store.url).removeprefix("sqlite:///"))


class Elements(HTMLParser):
    """Names and attributes of all elements."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", ["report", "report in a cell", "answers", "saved picture"])
def test_nothing_runs_and_nothing_is_loaded(pages, page, tmp_path, name):
    html = pages[name]
    assert "window.pwned" in html
    ours = ("meta",) if name == "report" else ()
    for tag, attributes in Elements(html).found:
        assert tag not in ACTIVE or tag in ours, (tag, attributes)
        assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
        for key in ("href", "src", "action"):
            assert (
                not (attributes.get(key) or "#")
                .lower()
                .startswith(("javascript", "data:text", "vbscript", "//"))
            )
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    (file := tmp_path / "page.html").write_text(
        f"<!doctype html><meta charset=utf-8><body>{html}" if not ours else html, "utf-8"
    )
    page.goto(file.as_uri())
    for box in page.locator("details").all():
        box.evaluate("(one) => (one.open = true)")
    page.mouse.move(200, 200)
    page.keyboard.press("Tab")
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None and dialogs == []
    assert [address for address in page.watched.left if not address.startswith("file:")] == []
    assert page.watched.errors == []
