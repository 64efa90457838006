"""`sftkit rate` in a real browser: a rater enters by the link, rates by keys, and the server may die meanwhile; hostile texts
and names do nothing, also where no policy of the page stops them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from sftkit.generation import Generations
from sftkit.rate_command import Wishes, _desk
from sftkit.ratings import Rating, RatingStore

TESTS = Path(__file__).parents[1]
SPEC = spec_from_file_location("rate_client", TESTS / "rate_client.py")
client = sys.modules["rate_client"] = module_from_spec(SPEC)
SPEC.loader.exec_module(client)
JUDGE = "judge:<img src=x onerror=window.pwned=1>/pairwise"
TOKEN, MODELS = client.TOKEN, client.MODELS
INSTRUCTIONS = "# Before you begin\n\nRead **both** answers.\n\n1. Facts first.\n2. Then style."
KINDS: dict[str, list[str]] = {}
for row in json.loads((TESTS.parent / "widgets/test/xss_corpus.json").read_text("utf-8")):
    KINDS.setdefault(row["kind"], []).append(row["text"])
CORPUS = [
    text for texts in zip_longest(*KINDS.values()) for text in texts if text is not None
]  # each kind soon
TWO = list(zip(CORPUS[::2], CORPUS[1::2]))


class Terminal:
    """`sftkit rate` as it is typed, always on the same port."""

    def __init__(self, store: RatingStore):
        self.command = [
            sys.executable,
            "-m",
            "sftkit.cli",
            "rate",
            str(store.url),
            "--project",
            "pilot",
            "--no-browser",
        ]
        self.port, self.process = "0", None

    def start(self) -> None:
        environment = {**os.environ, "SFTKIT_RATE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*self.command, "--port", self.port], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )  # fmt: skip
        told = ""
        while "Ctrl-C" not in told:
            told += (line := self.process.stdout.readline())
            assert line, told
        self.port = re.search(r":(\d+)/\?token", told)[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    store = RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")
    store.project("pilot", client.answers(prompts=12), instructions=INSTRUCTIONS)
    terminal = Terminal(store)
    terminal.store = store
    terminal.start()
    try:
        yield terminal
    finally:
        terminal.kill()


def heard(page: Page) -> list[str]:
    """Every text that a websocket of the page carries from now on, and what the server answers over HTTP."""
    texts: list[str] = []

    def keep(payload: str | bytes) -> None:
        texts.append(payload if isinstance(payload, str) else payload.decode("utf-8", "replace"))

    def socket(line) -> None:
        line.on("framereceived", keep)
        line.on("framesent", keep)

    page.on("websocket", socket)
    page.on("response", lambda answer: texts.append(f"{answer.url} {answer.headers}"))
    return texts


def press(page: Page, keys: str, done: int, total: int) -> int:
    """Each key when the row before is on disk, which is when the next one opens."""
    for key in keys:
        opened = page.locator(".row.open")
        expect(opened.locator(".answer").first).to_be_visible()
        row = opened.get_attribute("aria-rowindex")
        page.keyboard.press(key)
        done += 1
        expect(page.locator(".count")).to_contain_text(f"{done} of {total}")
        if done < total:
            expect(opened).not_to_have_attribute("aria-rowindex", row)
    return done


def test_a_rater_by_link_name_and_keys_and_the_server_killed_meanwhile(terminal, page, notebook_shot):
    texts = heard(page)
    address = f"http://127.0.0.1:{terminal.port}/"
    page.goto(address)
    expect(page.locator("h2")).to_have_text("This link does not open")
    page.goto(f"{address}?token={TOKEN}")
    assert page.url == address  # the token is no longer in sight
    notebook_shot("rate_name", page)
    expect(page.locator("input[name=name]")).to_be_focused()  # typing before that loses a letter
    page.keyboard.type("ana")
    page.keyboard.press("Enter")
    expect(page.locator(".row.open .answer").first).to_be_visible()
    expect(page.locator(".card .instructions strong")).to_have_text("both")
    notebook_shot("rate_instructions", page)
    page.keyboard.press("Enter")  # "Begin" has the focus
    expect(page.locator(".card")).to_have_count(0)
    notebook_shot("rate_grid", page)
    done = press(page, "abt", 0, 12)
    expect(page.locator(".row.open .answer").first).to_be_visible()

    terminal.kill()
    expect(page.locator("#line")).to_contain_text("kept in this browser")
    page.keyboard.press("a")
    expect(page.locator(".saving")).to_contain_text("not saved yet")
    notebook_shot("rate_lost", page)
    assert len(terminal.store.frame()) == 3
    terminal.start()
    expect(page.locator("#line")).to_be_hidden()
    expect(page.locator(".saving")).to_contain_text("All saved")
    expect(page.locator(".count")).to_contain_text("4 of 12")
    assert len(terminal.store.frame()) == 4

    page.reload()
    expect(page.locator(".count")).to_contain_text("4 of 12")
    done = press(page, "ab", 4, 12)
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".count")).to_contain_text(f"{done} / 12")
    expect(page.locator(".row.open .answer").first).to_be_visible()
    page.keyboard.press("u")  # the steps of before are there, in the other language
    expect(page.locator(".count")).to_contain_text(f"{done - 1} / 12")
    page.keyboard.press("Shift+U")
    expect(page.locator(".count")).to_contain_text(f"{done} / 12")
    expect(page.locator(".saving")).to_have_text("已全部保存")
    page.keyboard.press("i")
    expect(page.locator(".card .instructions")).to_be_visible()
    page.keyboard.press("Escape")
    notebook_shot("rate_zh", page)
    votes = terminal.store.frame()
    assert votes["verdict"].tolist().count("retracted") == 1 and len(votes) == 8
    votes = votes[votes["current"]]
    assert len(votes) == 6 and set(votes["rater"]) == {"human:ana"} and set(votes["project"]) == {"pilot"}
    everything = "\n".join([*texts, page.content(), page.evaluate("JSON.stringify(localStorage)")])
    for word in (*MODELS, "ratings.db", "sqlite", str(terminal.store.url)):
        assert word not in everything
    assert len(texts) > 30
    assert page.watched.left == [] and page.watched.errors == []


@pytest.fixture
def notebook_shot():
    """A picture of the page, where SFTKIT_SHOTS says."""

    def shot(name: str, page: Page) -> None:
        if folder := os.environ.get("SFTKIT_SHOTS"):
            page.screenshot(path=Path(folder) / f"{name}.png")

    return shot


def hostile() -> Generations:
    """Two texts of the corpus a prompt: each by itself as an answer, both as prompt, system prompt, task and reference."""
    names = (
        f"<img src=x onerror=window.pwned=1>{MODELS[0]}",
        f"{{{{7*7}}}}<svg/onload=window.pwned=1>{MODELS[1]}",
    )
    rows = [
        {
            "prompt_id": f"p{n}",
            "prompt": [
                {"role": "system", "content": "\n\n".join(two)},
                {"role": "user", "content": "\n".join(two)},
            ],
            "task": " ".join(two),
            "reference": "\n".join(two),
            "model": model,
            "response": text,
        }
        for n, two in enumerate(TWO)
        for model, text in zip(names, two)
    ]
    return Generations.from_frame(pd.DataFrame(rows))


def said(project: str, rater: str) -> list[Rating]:
    """A vote with a note and tags on every prompt but the first, and a judge's verdict on each, all of it hostile."""
    base, tuned = hostile().models
    found = []
    for n, two in enumerate(TWO):
        text = "\n".join(two)
        both = {"prompt_id": f"p{n}", "model_a": base, "model_b": tuned, "verdict": "a", "shown_first": "a"}
        kept = {
            "reasoning": text,
            "a": text,
            "b": text,
            "quotes": {"safety": {"a": text}},
            "flags": {"a": [{"text": text}]},
        }
        found.append(
            Rating(
                JUDGE, **both, scores={"safety": {"a": 3, "b": 2}}, note=text, raw_reply=text, evidence=kept
            )
        )
        if n:
            found.append(
                Rating(f"human:{rater}", **both, note=text, tags=[each[:50] for each in two], project=project)
            )
    return found


@pytest.mark.parametrize("policy", [True, False], ids=["with the page's policy", "without it"])
def test_hostile_texts_do_nothing_on_the_page(page, tmp_path, policy):
    """All of them, opened one by one as Markdown, as raw text and as differences; with the policy none is even tried."""
    store = RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")
    name, rater = "<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>"
    store.project(name, hostile())
    store.add_many(said(name, rater))
    desk = _desk(Wishes(str(store.url), name, show_judge=True), store, store.project(name), TOKEN)
    context = page.context.browser.new_context(bypass_csp=not policy)
    own = context.new_page()
    watched, dialogs, refused = page.watched, [], []
    own.on("request", watched.request)
    own.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    own.on("pageerror", lambda error: watched.errors.append(str(error)))
    own.on(
        "console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None
    )
    with client.running(desk) as port:
        own.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
        own.fill("input", rater)
        own.keyboard.press("Enter")
        expect(own.locator(".row.open .answer").first).to_be_visible()
        rows = 60 if policy else len(TWO)
        seen = own.evaluate(WALK, rows)
        assert seen["bad"] == [], seen["bad"]
        assert seen["rows"] == rows and seen["judges"] == rows - 1
        assert seen["code"] and seen["math"]  # the parts that are fetched when they are needed were
        assert seen["markdown"] >= 2 * rows and seen["raw"] >= 4 * rows
        own.keyboard.press("n")
        own.keyboard.type(CORPUS[0])
        own.keyboard.press("Escape")
        own.wait_for_timeout(300)
        assert own.evaluate("window.pwned") is None
    assert dialogs == [] and watched.left == [] and watched.errors == [] and refused == []
    context.close()


# Opens every row, in each look; what is on the page then may hold no active element, no handler and no address of ours.
WALK = """async (count) => {
  const root = document.querySelector('.sftkit-grid');
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const key = (name) => root.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
  const until = async (done, times = 400) => { for (let n = 0; n < times && !done(); n++) await pause(5); return done(); };
  const bad = [], rows = new Set();
  let markdown = 0, raw = 0, judges = 0, code = 0, math = 0;
  const ACTIVE = 'script,iframe,object,embed,applet,img,svg,video,audio,form,base,meta,link,style,frame,frameset,portal,template,isindex,marquee,dialog,[srcdoc],[formaction],[ping],[action]';
  // what the parts make that are fetched when they are needed: code in colour, math set (or TeX that cannot be)
  const made = () => [...root.querySelectorAll('.answer code[data-language=html]')].every((code) => code.querySelector('span'))
    && [...root.querySelectorAll('.answer var[data-math]')].every((math) => math.matches('.set, [title=TeX]'));
  const look = (row) => {
    for (const element of root.querySelectorAll('.answer .markdown *, .answer .raw *, .row:not(.open) *, .turn *, .reference *, .chip, .judges *')) {
      if (element.matches(ACTIVE)) bad.push([row, element.outerHTML.slice(0, 200)]);
      for (const { name, value } of element.attributes) {
        if (name.startsWith('on') || (/^(href|src|xlink:href|action)$/.test(name) && !/^(https?:|mailto:)/.test(value))) bad.push([row, element.outerHTML.slice(0, 200)]);
        if (name === 'style' && /url|expression|fixed|absolute/.test(value)) bad.push([row, value]);
      }
    }
    code += root.querySelectorAll('.answer [class^=hljs-]').length;
    math += root.querySelectorAll('.answer math').length;
    markdown += root.querySelectorAll('.answer .markdown').length;
    raw += root.querySelectorAll('.answer .raw, .answer .diff').length;
  };
  for (let row = 0; row < count; row++) {
    await until(() => root.querySelector('.row.open .answer'));
    const at = root.querySelector('.row.open').getAttribute('aria-rowindex');
    rows.add(at);
    if (row > 0 && (await until(() => root.querySelector('.judge')))) {
      judges++;
      root.querySelectorAll('.judge details').forEach((box) => (box.open = true));
    }
    if (!(await until(made, 4000))) bad.push([row, 'code or math did not come']);
    look(row);
    for (const other of ['m', 'd']) { key(other); look(row); key(other); }
    if (row % 40 === 0) { for (const other of ['z', 'l']) { key(other); await pause(20); look(row); key(other); } }
    if (row + 1 < count) {
      key('j');
      await until(() => root.querySelector('.row.open .answer') && root.querySelector('.row.open').getAttribute('aria-rowindex') !== at);
    }
  }
  return { rows: rows.size, markdown, raw, judges, code, math, bad };
}"""
