"""TokenLens, the kernel half: what is shown of a row is what the trainer makes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import sftkit as sk
from sftkit.data import encoder, file_facts, read_examples
from sftkit.errors import ConfigError, DataError, RunError
from sftkit.widgets import labels, worst_rows
from sftkit.widgets.token_lens import TokenLens
from sftkit.widgets.token_view import row_view, visible
from tests.conftest import train, write_rows, write_tokenizer

ROOT = Path(__file__).parents[2]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALK = [{"role": role, "content": f"{word} " * 8} for role, word in zip(["user", "assistant"] * 3, "abcdef")]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def chatty(tmp_path):
    """Settings with a tokenizer that has a chat template, and three rows: one that fits, one too long, a conversation."""
    write_tokenizer(tmp_path / "model", bos=None, chat_template=CHATML, extra=("<|im_start|>", "<|im_end|>"))
    rows = [[{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}], [TALK[0], {"role": "assistant", "content": "x " * 99}], TALK]  # fmt: skip
    data = write(tmp_path / "rows.jsonl", [{"messages": row} for row in rows])
    return sk.SFTConfig(
        pretrain=str(tmp_path / "model"), dataset=str(data), input_key="messages", output_key=None,
        apply_chat_template=True, max_len=64,
    )  # fmt: skip


def views(config):
    maker = encoder(config)
    return [row_view(maker, example) for example in read_examples(config)]


def test_states_are_the_trainers(chatty):
    seen = list(encoder(chatty).encode(read_examples(chatty)))
    for view, row in zip(views(chatty), seen):
        kept = len(row.input_ids)
        assert view.ids[:kept] == row.input_ids.tolist() and "".join(view.texts[:kept]) == row.text
        trained = [state == "t" for state in view.states[:kept]]
        assert trained == row.loss_mask.tolist()
        assert view.states[row.used : kept] == "u" * (kept - row.used)
        assert view.counts["trained"] == row.loss_mask.sum() and view.counts["tokens"] == row.used


def test_the_newline_after_the_last_answer_is_unused(chatty):
    view = views(chatty)[0]
    assert view.texts[-2:] == ["<|im_end|>", "\n"] and view.states[-3:] == "ttu"
    assert [view.texts[k] for k, special in enumerate(view.special) if special] == [
        "<|im_start|>",
        "<|im_end|>",
    ] * 2
    assert view.counts == {
        "tokens": len(view.ids) - 1,
        "trained": 2,
        "unused": 1,
        "cut": 0,
        "dropped_turns": 0,
    }


def test_what_max_len_cuts_is_shown_as_cut(chatty):
    view = views(chatty)[1]
    [whole] = encoder(chatty.with_(max_len=9_999)).encode([read_examples(chatty)[1]])
    assert view.truncated and view.ids == whole.input_ids.tolist()
    assert view.states[64:] == "c" * (len(view.ids) - 64) and view.counts["cut"] == len(view.ids) - 64
    assert view.texts[-2] == "<|im_end|>" and view.warnings()


def test_turns_left_out_are_shown_as_cut(chatty):
    view = views(chatty)[2]
    assert view.counts["dropped_turns"] in (2, 4) and not view.truncated
    cut = "".join(text for text, state in zip(view.texts, view.states) if state == "c")
    assert "e e e" in cut and "f f f" in cut
    assert view.starts[0] == 0 and all(a <= b for a, b in zip(view.starts, view.ends))


def test_a_row_without_anything_to_train_says_so(tiny_model, tmp_path):
    data = write(tmp_path / "rows.jsonl", [{"prompt": "a b c " * 30, "response": "d"}])
    config = sk.SFTConfig(pretrain=str(tiny_model), dataset=str(data), max_len=16)
    [view] = views(config)
    assert view.left_out and view.counts["trained"] == 0 and "t" not in view.states
    assert "the trainer leaves it out" in str(TokenLens(config))


def test_the_first_token_is_never_trained(tmp_path):
    write_tokenizer(tmp_path / "model", bos=None, chat_template="{% for m in messages %}{{ m.content }}</s>{% endfor %}")  # fmt: skip
    data = write(tmp_path / "rows.jsonl", [{"messages": [{"role": "assistant", "content": "Hi there"}]}])
    config = sk.SFTConfig(pretrain=str(tmp_path / "model"), dataset=str(data), input_key="messages", output_key=None, apply_chat_template=True)  # fmt: skip
    [view] = views(config)
    assert view.states[0] == "m" and set(view.states[1:]) == {"t"}


def test_a_character_of_several_tokens_stands_with_the_first(tiny_model, tmp_path):
    data = write(tmp_path / "rows.jsonl", [{"prompt": "貓🐈", "response": "é"}])
    [view] = views(sk.SFTConfig(pretrain=str(tiny_model), dataset=str(data)))
    assert "".join(view.texts).count("🐈") == 1 and "" in view.texts
    assert len(view.pieces) == len(view.texts) and all(view.pieces)


def test_nothing_hides_and_nothing_steers_the_terminal():
    assert visible("a b\tc\n") == "a·b→c⏎\n"
    shown = visible("\x1b[31m\u202e\u200b\ufeff\u00a0\x00\u2028")
    assert "\x1b" not in shown and all(
        f"⟨U+{code}⟩" in shown for code in "001B 202E 200B FEFF 00A0 0000 2028".split()
    )


def test_print_shows_the_row_in_view(chatty):
    lens = TokenLens(chatty)
    told = str(lens)
    assert "row 1 of" in told and "trained  4‹<|im_end|>›" in told
    assert "masked   ‹<|im_start|>›user⏎" in told and "unused" in told
    assert "cut" not in told and "cut" in str(lens.go(2))
    assert "TokenLens(row 2 of" in repr(lens)


def test_rows_are_found_by_number_and_text(chatty, tmp_path):
    lens = TokenLens(chatty, row=3)
    assert lens.number == 2
    assert (
        lens.search("F F") == [(chatty.dataset, 3)] and lens.search("nowhere") == [] and lens.search("") == []
    )
    sent = []
    lens.send = lambda message, *_: sent.append(message)
    with pytest.raises(DataError, match="row 9"):
        lens.go(9)
    assert sent == [] and lens.go(1) is lens  # a lens on a page goes there too
    assert sent == [{"kind": "go", "split": "train", "number": 0}]
    with pytest.raises(ConfigError, match="neither train nor eval"):
        TokenLens(chatty, split="test")


def asked(lens, **question):
    """The answer to a question of the page."""
    sent = []
    lens.send = lambda message, *_: sent.append(message)
    lens._receive(lens, {"ask": "7", **question}, [])
    assert len(sent) == 1 and sent[0].pop("ask") == "7"
    return json.loads(json.dumps(sent[0]))  # as it travels


def test_the_page_gets_rows_faults_and_errors(chatty, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text(data.read_text(encoding="utf-8") + '{"messages": []}\nnot json\n', encoding="utf-8")
    lens = TokenLens(chatty)
    assert asked(lens, kind="hello")["rows"] == {"train": 5}
    row = asked(lens, kind="row", split="train", number=1, look=True)
    assert row["row"] == 2 and row["view"]["truncated"] and lens.number == 1
    assert "holds no messages" in asked(lens, kind="row", split="train", number=3)["fault"]
    assert "is not JSON" in asked(lens, kind="row", split="train", number=4)["fault"]
    assert "no row 6" in asked(lens, kind="row", split="train", number=5)["error"]
    assert "KeyError" in asked(lens, kind="hack")["error"]
    assert asked(lens, kind="find", split="train", source=chatty.dataset, row=3) == {"number": 2}
    assert asked(lens, kind="find", split="train", source=chatty.dataset, row=99) == {"number": None}
    found = asked(lens, kind="search", split="train", text="4", **{"from": 0})
    assert [hit["row"] for hit in found["hits"]] == [1] and found["next"] == found["total"] == 5


def test_a_search_comes_in_pieces(tiny_model, tmp_path, monkeypatch):
    data = write_rows(tmp_path / "rows.jsonl", 300)
    lens = TokenLens(sk.SFTConfig(pretrain=str(tiny_model), dataset=str(data)))
    monkeypatch.setattr("sftkit.widgets.token_lens.SLICE", 0.0)
    monkeypatch.setattr("sftkit.widgets.token_lens.BLOCK", 40)
    hits, at, pieces = [], 0, 0
    while at < 300:
        reply = asked(lens, kind="search", split="train", text="sum is", **{"from": at})
        hits += reply["hits"]
        assert reply["next"] > at
        at, pieces = reply["next"], pieces + 1
    text = data.read_text(encoding="utf-8").splitlines()
    assert [hit["row"] for hit in hits] == [
        n for n, line in enumerate(text, 1) if "sum is" in line
    ] and pieces > 1


def test_a_search_ends_at_its_limit_and_goes_on_from_there(tiny_model, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", 300)
    lens = TokenLens(sk.SFTConfig(pretrain=str(tiny_model), dataset=str(data)))
    every = lens.search("Add", 1_000)
    assert len(every) == 300 and lens.search("Add", 7) == every[:7]
    after = lens._search("Add", 0, 7, 9.0)[1]
    assert after == 7 and lens._search("Add", after, 1, 9.0)[0][0]["row"] == 8


def test_steps_are_measured_in_pieces_and_then_laid_out(tiny_model, tiny_rows):
    config = sk.SFTConfig(pretrain=str(tiny_model), dataset=str(tiny_rows), packing=True, max_len=128, train_batch_size=16, max_epochs=2)  # fmt: skip
    lens = TokenLens(config)
    assert asked(lens, kind="step", step=1) == {"measured": 0, "total": 64}
    while asked(lens, kind="measure")["measured"] < 64:
        pass
    step = asked(lens, kind="step", number=5)
    assert step["steps"] == 8 and len(step["of"]) == 2 and step["step"] == step["of"][0]
    rows = [row for hand in step["layout"] for micro in hand for rows in micro for row in rows]
    assert 5 in rows and len(rows) == 16 and set(step["rows"]) == {str(row) for row in rows}
    for rows in (rows for hand in step["layout"] for micro in hand for rows in micro):
        assert sum(step["rows"][str(row)][2] for row in rows) <= 128
    assert "no step 9" in asked(lens, kind="step", step=9)["error"]


def fake_run(tmp_path, **tables):
    return SimpleNamespace(
        folder=tmp_path, **{name: (lambda table=table: table) for name, table in tables.items()}
    )


LOSSES = pd.DataFrame({"source": "a", "row": [1, 2, 3], "times": 1, "tokens": [5, 6, 7], "first_loss": [3.0, 2.0, 9.0], "last_loss": [1.0, 2.5, 0.5]})  # fmt: skip
SCORES = pd.DataFrame({"source": "a", "row": [1, 2, 4], "tokens": [5, 6, 8], "base_loss": [4.0, 3.0, 1.0], "tuned_loss": [1.0, 3.5, 2.0]})  # fmt: skip


def test_worst_rows_while_training(tmp_path):
    worst = worst_rows.table(fake_run(tmp_path, row_losses=LOSSES))
    assert worst["row"].tolist() == [2, 1, 3] and worst.attrs["by"] == "last_loss"
    assert worst_rows.table(fake_run(tmp_path, row_losses=LOSSES), "change", 1)["row"].tolist() == [2]
    with pytest.raises(RunError, match="there are first_loss, last_loss, change"):
        worst_rows.table(fake_run(tmp_path, row_losses=LOSSES), "gain")
    with pytest.raises(RunError, match="recorded no losses"):
        worst_rows.table(fake_run(tmp_path, row_losses=LOSSES.head(0)))


def test_worst_rows_before_and_after(tmp_path):
    (tmp_path / "row_scores.parquet").touch()
    worst = worst_rows.table(fake_run(tmp_path, row_losses=LOSSES, row_scores=SCORES))
    assert worst.attrs["by"] == "tuned_loss" and worst["row"].tolist() == [2, 4, 1]
    assert worst["tokens"].tolist() == [6, 8, 5] and worst["gain"].tolist() == [0.5, 1.0, -3.0]
    assert np.isnan(worst["last_loss"][1])


class FakeScoring:
    done, progress, error = False, 0.4, None

    def stop(self):
        self.done, self.error = True, "stopped"


def test_a_measurement_is_followed_and_stopped(tiny_model, tiny_rows, tmp_path):
    lens = TokenLens(sk.SFTConfig(pretrain=str(tiny_model), dataset=str(tiny_rows)))
    assert asked(lens, kind="scoring") == {"scoring": None}
    assert "Only the rows of a run" in asked(lens, kind="score")["error"]
    limits = []
    lens.run = SimpleNamespace(score_rows=lambda limit: limits.append(limit) or FakeScoring())
    assert asked(lens, kind="score") == {"scoring": {"done": False, "share": 0.4, "error": ""}}
    assert asked(lens, kind="stop")["scoring"] == {"done": True, "share": 0.4, "error": "stopped"}
    worst_rows.score(lens.run, 500_000)
    assert limits == [None, 2_000]


def test_words_are_all_there_and_none_lies_unused():
    source = "".join(path.read_text(encoding="utf-8") for path in [*(ROOT / "widgets/src").glob("lens*.ts"), *(ROOT / "sftkit/widgets").glob("token_*.py")])  # fmt: skip
    used = set(re.findall(r'"(lens\.[a-z_.]+)"', source)) - {"lens.js", "lens.css"}
    built = {f"lens.tab.{name}" for name in ("row", "step", "worst")} | {
        "lens.split.train",
        "lens.split.eval",
    }
    built |= {f"lens.{state}" for state in ("trained", "masked", "unused", "cut")}
    built |= {f"lens.{why}{name}" for name in worst_rows.COLUMNS for why in ("", "why.")}
    assert {key for key in labels.table() if key.startswith("lens.")} == used | built


@pytest.mark.timeout(240)
def test_a_real_runs_steps_and_losses(tiny_model, tmp_path):
    """What the lens says of a step, before it was trained, is what the run then wrote down."""
    write_rows(tmp_path / "a.jsonl", 30)
    write_rows(tmp_path / "b.jsonl", 20, seed=1)
    config = sk.SFTConfig(
        pretrain=str(tiny_model), dataset="a.jsonl,b.jsonl", max_samples=40, packing=True, max_len=96, bf16=False,
        train_batch_size=16, micro_train_batch_size=2, max_epochs=2, learning_rate=1e-3,
    )  # fmt: skip
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (run_folder / name).write_bytes((tmp_path / name).read_bytes())
    train(run_folder, config)
    record = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    record["data"] = [
        {**file_facts(run_folder / name), "path": name, "split": "train"} for name in ("a.jsonl", "b.jsonl")
    ]
    (run_folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    run = sk.load_run(run_folder)
    lens = TokenLens(run)
    assert asked(lens, kind="stale") == {"stale": []}
    assert lens.plan.known, "the run kept every row: nothing is to be measured"
    for step in range(1, lens.plan.order.steps + 1):
        told = {lens.drawn.place(int(row)) for row in lens.plan.rows_of(step)}
        trained = run.rows_at(step)
        assert told == set(zip(trained["source"], trained["row"]))
    step, recorded = asked(lens, kind="step", step=2), run.rows_at(2)
    told = {(source, row): loss for source, row, _, loss in step["rows"].values()}
    assert told == dict(zip(zip(recorded["source"], recorded["row"]), recorded["loss"]))
    worst = asked(lens, kind="worst", limit=5)
    assert worst["by"] == "last_loss" and worst["of"] == 40 and len(worst["rows"]) == 5
    first = worst["rows"][0]
    assert lens.drawn.place(first["number"]) == (first["source"], first["row"])
    assert first["last_loss"] == run.row_losses()["last_loss"].max()

    # Measured under the model before and after: rows of the highest loss after.
    assert asked(lens, kind="score")["scoring"]["error"] == ""
    lens._measuring.wait(120)
    assert asked(lens, kind="scoring")["scoring"] == {"done": True, "share": 1.0, "error": ""}
    worst = asked(lens, kind="worst", limit=40)
    assert worst["by"] == "tuned_loss" and set(worst_rows.COLUMNS) == set(worst["columns"])
    assert [row["tuned_loss"] for row in worst["rows"]] == sorted(
        (row["tuned_loss"] for row in worst["rows"]), reverse=True
    )
    assert sum(row["gain"] for row in worst["rows"]) < 0, "training made the rows better"

    # Data that changed since are told.
    with (run_folder / "b.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"prompt": "more", "response": "rows"}\n')
    assert asked(lens, kind="stale") == {"stale": ["b.jsonl"]}
