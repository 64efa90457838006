"""The API reference: fresh, whole, and its examples run."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import re
import shutil
import sys
import textwrap
import types
import warnings
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import sftkit as sk

ROOT = Path(__file__).parents[1]
ROOMS = ("sftkit", "sftkit.report", "sftkit.judging", "sftkit.ratings")
NAMES = [(room, name) for room in ROOMS for name in importlib.import_module(room).__all__]


@pytest.fixture(scope="module")
def make_api() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "make_api", module)  # its dataclasses look themselves up
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """What a reader of the page sees, and where its links go."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self.anchors, self.targets, self.tags = "", [], [], set()
        self.feed(MarkdownIt("commonmark").enable("table").render(page))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        found = dict(attrs)
        self.anchors += [found["id"]] if "id" in found else []
        self.targets += [found["href"]] if "href" in found else []
        self.text += " " if tag in ("p", "li", "td", "th", "pre", "h3", "br") else ""

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def sections(page) -> dict[str, str]:
    """Path of each name ("sk.Judge") -> what a reader sees of its section, all blanks taken out."""
    parts = re.split(r'^<a id="((?:sk|sftkit)\.[\w.]+)"></a>$', page, flags=re.M)
    return {path: bare(Reader(text).text) for path, text in zip(parts[1::2], parts[2::2], strict=True)}


def bare(text: str) -> str:
    return re.sub(r"[\s`]", "", text)


def path_of(room: str, name: str, sections: dict[str, str]) -> str:
    """Where the name is told: `sk` has it first."""
    value = getattr(importlib.import_module(room), name)
    mine = name in sk.__all__ and getattr(sk, name) is value
    return f"sk.{name}" if mine else f"{room}.{name}"


def own_members(kind: type):
    kinds = (types.FunctionType, property, functools.cached_property, classmethod, staticmethod)
    for parent in kind.__mro__:
        if parent.__module__.split(".")[0] == "sftkit":
            for name, value in vars(parent).items():
                if not name.startswith("_") and isinstance(value, kinds):
                    yield (
                        name,
                        getattr(kind, name) if isinstance(value, (classmethod, staticmethod)) else value,
                    )


def parameters_of(thing) -> list[str]:
    """By Python's own account, not the generator's."""
    try:
        found = inspect.signature(thing).parameters.values()
    except ValueError:  # an error that has but a message
        return []
    return [one.name for one in found if one.name not in ("self", "cls", "args", "kwargs", "_rest", "_named")]


def test_the_page_is_fresh(make_api, page):
    assert make_api.page() == page, "docs/api.md is not what the docstrings say: run `make docs`"


@pytest.mark.parametrize("room, name", NAMES)
def test_every_public_name_is_told_with_signature_text_and_members(room, name, sections):
    value, path = getattr(importlib.import_module(room), name), path_of(room, name, sections)
    assert path in sections, f"{room}.{name} is not on the page: run `make docs`"
    said = sections[path]
    if path != f"{room.replace('sftkit', 'sk', 1) if room == 'sftkit' else room}.{name}":
        assert f"{room}.{name}" in said
    if not callable(value):
        return
    assert value.__doc__, f"{room}.{name} has no docstring"
    for line in filter(None, map(bare, value.__doc__.splitlines())):
        assert line in said, f"{room}.{name}: {line}"
    if name != "SFTConfig":  # its settings have tables of their own
        for parameter in parameters_of(value):
            assert re.search(rf"[(,*]{parameter}[:=,)]", said), f"{room}.{name}({parameter})"
    for member, what in own_members(value) if inspect.isclass(value) else ():
        assert f".{member}" in said or f"classmethod{member}(" in said or f"staticmethod{member}(" in said
        doc = what.__doc__
        assert doc, f"{room}.{name}.{member} has no docstring"
        for line in filter(None, map(bare, doc.splitlines())):
            assert line in said, f"{room}.{name}.{member}: {line}"


@pytest.mark.parametrize("name", list(sk.SFTConfig.model_fields))
def test_every_setting_is_in_the_table(name, page):
    field = sk.SFTConfig.model_fields[name]
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.replace("\\", "") for cell in re.split(r"(?<!\\) \| ", row.strip("| "))]
    assert cells[5] == field.description
    assert cells[2] == ("" if field.is_required() else f"`{field.default!r}`")
    assert cells[4] == field.json_schema_extra["unit"]
    for rule in field.metadata:
        for bound in ("gt", "ge", "lt", "le"):
            assert str(getattr(rule, bound, "")) in cells[3]


def test_links_arrive_and_nothing_on_the_page_is_this_machines(page):
    reader = Reader(page)
    assert len(reader.anchors) == len(set(reader.anchors))
    assert {target for target in reader.targets if target.startswith("#")} <= {
        f"#{one}" for one in reader.anchors
    }
    assert reader.tags <= set("h1 h2 h3 p a ul li code pre strong table thead tbody tr th td br".split())
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home)/| at 0x|<factory>", page)


def test_a_signature_says_no_more_than_the_source(make_api):
    """Annotations as written and short defaults: the same text in every version of Python."""
    from sftkit.ratings import DIMENSIONS

    def thing(
        a: int, *, b: dict[str, int] | None = None, c: list = DIMENSIONS, d: str = "x"
    ) -> list[str]: ...

    thing.__module__ = "sftkit.ratings.dimensions"
    said = make_api.signature_text("thing", thing)
    assert (
        said
        == "thing(a: int, *, b: dict[str, int] | None = None, c: list = DIMENSIONS, d: str = 'x') -> list[str]"
    )


def test_hostile_words_in_a_docstring_stay_words(make_api):
    api_text = sys.modules["api_text"]

    text = api_text.markdown("a <script> *b* [c](d) $e$ `<f>`\n\n    code = '<g>'", api_text.Links({}))
    reader = Reader(text)
    assert "script" not in reader.tags and not reader.targets
    assert "a <script> *b* [c](d) $e$ <f>" in reader.text and "code = '<g>'" in reader.text


@pytest.fixture
def folder(tmp_path, tiny_model, monkeypatch):
    """The folder of a checkout in small: a tiny model in place of the base model, some rows of the data."""
    shutil.copytree(tiny_model, tmp_path / "data" / "tiny-base")
    for name, rows in {"train.jsonl": 200, "eval.jsonl": 20}.items():
        with (ROOT / "data" / name).open(encoding="utf-8") as file:
            (tmp_path / "data" / name).write_text("".join(islice(file, rows)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SFTKIT_PRICES", raising=False)
    return tmp_path


@pytest.fixture
def fake_judge(monkeypatch):
    """What answers in the place of a judge, under whatever model's name: the longer answer is better."""
    from sftkit.judging import fake_server

    class AnyModel(fake_server.FakeJudgeServer):
        def reply(self, body, key, fault):
            return super().reply({**body, "model": fake_server.MODEL}, key, fault)

    with AnyModel() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "no-key-at-all")
        yield server


@pytest.mark.timeout(600)
def test_every_example_runs(make_api, folder, fake_judge):
    import ipywidgets

    names: dict = {"__name__": "examples"}
    examples = make_api.examples()
    assert len(examples) >= 20
    try:
        for whose, code in examples:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as that the fake judge fails its exam
                try:
                    exec(compile(code, f"example of {whose}", "exec"), names)
                except Exception as error:
                    pytest.fail(f"the example of {whose} fails: {type(error).__name__}: {error}\n\n{code}")
        assert names["run"].status.state == "finished"
        assert fake_judge.requests
        assert names["made"].leaks.exact == 0
        assert 0 <= float(names["estimate"]) <= 1
    finally:
        for widget in list(ipywidgets.Widget.widgets.values()):
            widget.close()
        if "run" in names and names["run"].is_alive:
            names["run"].kill()


def test_no_example_is_told_as_prose(make_api):
    """A docstring whose every line but the first is indented loses its indentation: what was code would be text."""
    api_text = sys.modules["api_text"]

    docs = [entry.doc for entry in make_api.entries()]
    docs += [
        make_api.own_doc(what)
        for entry in make_api.entries()
        if entry.is_class
        for _, what in make_api.members(entry.value)
    ]
    for block in (block for doc in docs for block in api_text.blocks(doc) if not api_text.is_example(block)):
        try:
            nodes = ast.walk(ast.parse(block))
        except SyntaxError:
            continue
        assert not [node for node in nodes if isinstance(node, (ast.Call, ast.Assign))], block


def test_every_fenced_example_on_the_page_is_among_those_that_run(make_api, page):
    run = {ast.dump(ast.parse(code)) for _, code in make_api.examples()}
    shown = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", page, flags=re.S)]
    headed = r"[\w.]+\(|[A-Z]+ = "  # a signature, a constant
    examples = [code for code in shown if not re.match(headed, code) or ast_or_none(code) in run]
    assert examples and all(ast_or_none(code) in run for code in examples)
    assert len(examples) == len(make_api.examples())


def ast_or_none(code: str) -> str | None:
    try:
        return ast.dump(ast.parse(code))
    except SyntaxError:
        return None
