"""The run card: what stands on it, that hostile text stays text, that nothing secret is on it, and that its replay cell
gives the same losses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import sftkit as sk
from sftkit.errors import RunError
from sftkit.report import curves
from sftkit.report.run_card import RunCard, fenced, plain
from tests.conftest import write_rows

HOSTILE = '<img src=x onerror="hacked()"> | a | `b` **c** [d](http://evil) <script>hacked()</script> {{ 7*7 }} </pre>'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page whose elements must nest; keeps tags with their attributes, and the text."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.text, self._open = "", []
        self.feed(html)
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


def write_run(folder: Path, **more) -> sk.Run:
    """A finished run as a folder, with hostile text wherever text may come from outside."""
    folder.mkdir(parents=True)
    config = sk.SFTConfig(pretrain="models/base", dataset="rows.jsonl", input_template="Q: {} <b>|", learning_rate=1e-3, save_path="out")  # fmt: skip
    patch = {
        "file": f"rows{HOSTILE}.jsonl.patch.jsonl",
        "sha256": "cd" * 32,
        "edited": 17,
        "excluded": 29,
        "lost": 3,
    }
    data = [
        {"path": f"rows{HOSTILE}.jsonl", "sha256": "ab" * 32, "rows": 1234, "split": "train", "patch": patch}
    ]
    record = {
        "id": folder.name, "config": config.to_dict(), "cwd": str(folder.parent), "data": data, "processes": 2, "gpus": [0, 1],
        "versions": {"torch": "2.9", "python": "3.12"}, "git_commit": "0123456789" * 4, "created": "2026-11-20T10:00:00+00:00",
        "machine": {"cpu": "Some CPU", "cores": 8, "memory_mb": 64_000, "gpus": ["A100"], "system": "Linux 6"}, "host": "here",
    }  # fmt: skip
    metrics = [{"step": n, "epoch": n / 10, "loss": 3.0 / n, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens": n * 100, "tokens_per_second": 50.0, "seconds": n * 2.0, "memory_mb": 512.0} for n in range(1, 11)]  # fmt: skip
    metrics += [{"step": 10, "eval_loss": 0.5, "eval_loss_by_task": {HOSTILE: 0.25, "sum": 0.75}}]
    samples = [
        {"step": step, "prompt": [{"role": "user", "content": f"{HOSTILE} {n}"}], "response": f"{HOSTILE} at {step}", "reference": HOSTILE, "task": HOSTILE, "source": "x", "row": n}
        for step in (5, 7, 10) for n in range(2)
    ]  # fmt: skip
    counts = {"rows": 1_000, "kept": 990, "truncated": 7, "shortened": 3, "nothing_to_train": 10, "tokens": 50_000, "trained_tokens": 20_000}  # fmt: skip
    status = {"state": "finished", "step": 10, "total_steps": 10, "reason": "", "updated": 1_763_633_000.0}
    files = {"run.json": record, "status.json": status, "data.json": {"train": counts, "eval": None}, **more}
    for name, value in files.items():
        if value is not None:
            (folder / name).write_text(json.dumps(value), encoding="utf-8")
    for name, lines in (("metrics.jsonl", metrics), ("samples.jsonl", samples)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return sk.load_run(folder)


@pytest.fixture
def card(tmp_path):
    return RunCard(write_run(tmp_path / "run-1"))


def cells(card, title, number=0):
    [section] = [section for section in card.sections if section.title == title]
    return {row[0]: row[1:] for row in section.tables[number].rows}


def test_what_stands_on_it(card):
    assert [section.title for section in card.sections] == ["Data", "Settings", "Loss", "Eval loss by task", "Answers", "Time and memory", "Machine and versions", "Replay"]  # fmt: skip
    assert cells(card, "Data", 1)["rows left out, with nothing to train"] == ("10",)
    assert cells(card, "Data", 1)["of them trained"] == ("20,000",)
    assert cells(card, "Settings")["learning_rate"][0] == "0.001"
    [patch] = cells(card, "Data", 2).values()
    assert patch[1:4] == ("17", "29", "3") and patch[4] == "cd" * 32
    assert list(cells(card, "Settings"))[:2] == ["pretrain", "dataset"] and "seed" in cells(
        card, "Settings", 1
    )
    assert cells(card, "Eval loss by task")["sum"] == ("0.7500",)
    assert cells(card, "Time and memory")["training steps alone"] == ("20.0 s",)
    there = cells(card, "Machine and versions")
    assert there["git"] == ("commit " + "0123456789" * 4,) and there["GPUs used"] == ("0, 1",)
    assert cells(card, "Machine and versions", 1)["torch"] == ("2.9",)
    assert card.summary[1] == "Loss 3.0000 at the first logged step, 0.3000 at the last; eval loss 0.5000."


def test_first_and_last_answers_stand_side_by_side(card):
    [answers] = [section.answers for section in card.sections if section.answers]
    assert len(answers) == 2 and [name for name, _ in answers[0].answers] == ["step 5", "step 10"]
    assert answers[0].answers[0][1].endswith("at 5") and answers[0].prompt.endswith(" 0")


def test_the_page_is_whole_and_can_be_read_by_all(card, tmp_path):
    page = Page(card.to_html(tmp_path / "out/card.html").read_text(encoding="utf-8"))
    assert (
        page.all("html") == [{"lang": "en"}]
        and page.all("title")
        and len(page.all("h1")) == 1
        and page.all("main") == [{}]
    )
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    [picture] = page.all("img")
    assert (
        picture["src"].startswith("data:image/png;base64,")
        and "from 3.000 at step 1 to 0.300 at step 10" in picture["alt"]
    )
    assert not [1 for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert "prefers-color-scheme: dark" in card.html() and "@media print" in card.html()


def test_hostile_text_stays_text(card):
    for html in (card.html(), card._repr_html_()):
        page = Page(html)
        assert len(page.all("img")) == 1 and HOSTILE in page.text
    rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(card.markdown("p.png"))
    page = Page(re.sub(r"<(hr|br|img)([^>]*?) ?/>", r"<\1\2>", rendered))
    assert (
        page.all("img") == [{"src": "p.png", "alt": page.all("img")[0]["alt"]}]
        and not page.all("a")
        and not page.all("script")
    )
    assert page.text.count("<script>hacked()</script>") >= 10


@pytest.mark.parametrize("text", ["- a", "+ a", "1. a", "12) a", "# a", "> a", "a\n\n# b", "a | b", "~~~", "```\n# x", "    code", "[a]: http://b", "<b>", "&lt;", "a\\*b*", "=== x", "www.evil.example http://evil.example mailto:a@b.c", "![x](y)", "_a_ ~b~"])  # fmt: skip
def test_markdown_of_any_text_is_that_text(text):
    rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(plain(text))
    page = Page(rendered)
    assert [tag for tag, _ in page.tags] == ["p"] and page.text.strip() == " ".join(text.split())


def test_a_fence_is_longer_than_any_in_it():
    text = "```python\n````\nx"
    page = Page(MarkdownIt().render(fenced(text, "text")))
    assert page.text.rstrip("\n") == text and [tag for tag, _ in page.tags] == ["pre", "code"]


def test_nothing_in_the_markdown_steers_a_terminal():
    for text in ("a\x1b[31mred", "a\u202eb", "a\x07"):
        for shown in (plain(text), fenced(text)):
            assert all(character.isprintable() or character == "\n" for character in shown) and "a" in shown


def test_no_secret_and_no_home_is_on_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_API_KEY", "wandb-very-secret-value")
    run = write_run(tmp_path / "home/project/run-1")
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    home = str(tmp_path / "home")
    record["config"] |= {"pretrain": f"{home}/models/base", "dataset": f"{home}/project/rows.jsonl, {home}/other/b.jsonl"}  # fmt: skip
    record["config"]["input_template"] = "hf_abcdefghijklmnopqrstuv {} wandb-very-secret-value"
    (run.folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (run.folder / "status.json").write_text(json.dumps({"state": "failed", "step": 1, "total_steps": 9, "reason": f"rank 0: cannot open {home}/project/x with sk-abcdefghijklmnopqrst at https://ana:pw@host/x?token=abc", "updated": 1.0}), encoding="utf-8")  # fmt: skip
    card = RunCard(sk.load_run(run.folder))
    for text in (card.html(), card.markdown()):
        for hidden in (home, "hf_abcdef", "wandb-very-secret-value", "sk-abcdef", "ana:pw", "token=abc"):
            assert hidden not in text, hidden
    assert "pretrain='~/models/base'" in card.sections[-1].code
    assert "dataset='rows.jsonl, ~/other/b.jsonl'" in card.sections[-1].code


def test_what_an_old_run_did_not_record_is_said_to_be_missing(tmp_path):
    run = write_run(tmp_path / "old", **{"data.json": None})
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    for name in ("machine", "versions", "git_commit", "created", "processes"):
        del record[name]
    (run.folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (run.folder / "samples.jsonl").unlink()
    (run.folder / "metrics.jsonl").unlink()
    card = RunCard(sk.load_run(run.folder))
    assert [section.title for section in card.sections] == [
        "Data",
        "Settings",
        "Time and memory",
        "Machine and versions",
        "Replay",
    ]
    assert card.html().count("not recorded") >= 8 and "not recorded" in card.sections[0].about


def test_a_failed_run_says_why(tmp_path):
    reason = "rank 0: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    run = write_run(tmp_path / "bad", **{"status.json": {"state": "failed", "step": 3, "total_steps": 10, "reason": reason, "updated": 1.0}})  # fmt: skip
    (run.folder / "train.log").write_text(f"{HOSTILE}\n{reason}\n", encoding="utf-8")
    card = RunCard(sk.load_run(run.folder))
    assert card.sections[0].title.startswith("Why it failed: ") and card.sections[0].text
    assert "CUDA out of memory" in card.html() and len(Page(card.html()).all("script")) == 0
    assert "failed after 3 of 10 steps" in card.summary[0]


def test_the_command(tmp_path):
    run = write_run(tmp_path / "runs/run-1")
    call = [sys.executable, "-m", "sftkit.cli", "card", "run-1", "--html", "a/card.html", "--md", "card.md"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a/card.html").is_file() and (tmp_path / "card-loss.png").read_bytes().startswith(
        b"\x89PNG"
    )
    assert "](card-loss.png)" in (tmp_path / "card.md").read_text(encoding="utf-8")
    said = subprocess.run([*call[:4], str(run.folder)], cwd="/", capture_output=True, text=True, timeout=120)
    assert said.stdout.startswith("# Run run-1")
    chinese = [*call[:4], str(run.folder), "--language"]
    told = [subprocess.run([*chinese, lang], cwd="/", capture_output=True, text=True, timeout=120) for lang in ("zh", "fr")]  # fmt: skip
    assert told[0].stdout.startswith("# 运行 run-1")
    assert told[1].returncode == 1 and "en, zh" in told[1].stderr and not told[1].stdout
    missing = subprocess.run(
        [*call[:4], "nothing"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (
        missing.returncode == 1 and "There is no run" in missing.stderr and "Traceback" not in missing.stderr
    )


@pytest.fixture(scope="module")
def real(tiny_model, tmp_path_factory):
    """A real run, launched from a folder of its own, and its card."""
    folder = tmp_path_factory.mktemp("project")
    write_rows(folder / "rows.jsonl", 40)
    write_rows(folder / "eval.jsonl", 8, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = sk.SFTConfig(pretrain=str(tiny_model), dataset="rows.jsonl", eval_dataset="eval.jsonl", train_batch_size=16, max_epochs=2, learning_rate=1e-3, bf16=False, save_steps=3, save_path="tuned")  # fmt: skip
        run = sk.launch(config)
        assert run.wait(120).state == "finished", run.log()
        return RunCard(run)


def replayed(card: RunCard, folder: Path, monkeypatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(card.sections[-1].code, names)  # as a notebook runs the cell
    return names


@pytest.mark.timeout(240)
def test_the_replay_cell_gives_the_same_losses(real, monkeypatch, capsys):
    folder = real.run.folder.parents[1]
    tuned = (folder / "tuned/model.safetensors").stat().st_mtime_ns
    names = replayed(real, folder, monkeypatch)
    assert capsys.readouterr().out == "The same losses, bit for bit, in all 6 logged steps.\n"
    again = names["again"]
    assert again.metrics()["loss"].dropna().tolist() == real.run.metrics()["loss"].dropna().tolist()
    assert again.id != real.run.id and (folder / "tuned/model.safetensors").stat().st_mtime_ns == tuned


@pytest.mark.timeout(240)
def test_a_replay_of_other_data_is_refused_and_says_so(real, tmp_path, monkeypatch, capsys):
    write_rows(tmp_path / "rows.jsonl", 40, seed=9)
    write_rows(tmp_path / "eval.jsonl", 8, seed=1)
    with pytest.raises(
        RunError, match=r"would not be the same run:\n  - train data rows.jsonl is another file\n"
    ):
        replayed(real, tmp_path, monkeypatch)
    assert "differs: train data rows.jsonl is another file" in capsys.readouterr().out
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(RunError, match=r"train data rows.jsonl cannot be read here: .*no such file"):
        replayed(real, tmp_path, monkeypatch)
    code = real.sections[-1].code.replace("replay.launch()", "replay.launch(anyway=True)")
    write_rows(tmp_path / "rows.jsonl", 40, seed=9)
    names: dict = {}
    exec(code, names)
    assert capsys.readouterr().out.endswith(f"was {names['replay'].last:.6f}.\n")


def test_other_versions_machine_model_and_defaults_are_told(real, monkeypatch, tmp_path):
    from dataclasses import replace

    replay = sk.Replay.of(real.run)
    monkeypatch.chdir(real.run.folder.parents[1])
    assert replay.differences() == []
    other = replace(
        replay, versions={**replay.versions, "torch": "1.0", "gone": "3"}, machine={**replay.machine, "cores": 512},
        model={"weights": "00", "tokenizer": replay.model["tokenizer"]}, settings="00",
    )  # fmt: skip
    told = "\n".join(other.differences())
    for words in ("torch was 1.0 and is ", "gone was 3 and is not installed", "cores was 512 and is ", "the model has another weights", "a setting's default is another one"):  # fmt: skip
        assert words in told
    assert replay.unknown() == []
    bare = replace(replay, versions={}, machine={}, model={}, data={"train: owner/name": None})
    assert bare.unknown() == ["what was in train data owner/name", f"which files {replay.config.pretrain} had", "the versions", "the machine"]  # fmt: skip
    nowhere = replace(replay, config=replay.config.with_(pretrain=str(tmp_path / "none")))
    assert nowhere.differences()[0] == f"there is no model in {tmp_path / 'none'}"


def test_in_chinese(tmp_path):
    card = RunCard(write_run(tmp_path / "run-1"), "zh")
    assert card.title == "运行 run-1" and '<html lang="zh">' in card.html()
    titles = [section.title for section in card.sections]
    assert {"数据", "设置", "损失", "时间与内存", "机器与版本"} <= set(titles)
    text = card.markdown()
    for words in ("参与训练的行", "学习率的峰值", "首个记录步", "由 sftkit 于"):
        assert words in text
    about = [section.about for section in card.sections if section.about]
    assert not [words for words in about if not re.search("[一-鿿]", words)]


def test_its_curve_is_in_chinese_where_a_font_has_the_signs(tmp_path, monkeypatch):
    run, drawn = write_run(tmp_path / "run-1"), []
    monkeypatch.setattr(curves, "_axes", lambda plot, x, y, *_: drawn.append((x, y)))
    for fonts in (("SimHei",), ()):
        monkeypatch.setattr(curves, "chinese_fonts", lambda fonts=fonts: fonts)
        RunCard(run, "zh")
    RunCard(run, "en")
    assert drawn == [("步", "损失"), ("step", "loss"), ("step", "loss")]
