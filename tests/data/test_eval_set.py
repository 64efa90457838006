"""The eval set: drawn in proportion, unlike any training row, held out of what training reads, the same for the same seed."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

import sftkit as sk
from sftkit.data import patches, read_examples
from sftkit.data.lens import strata
from sftkit.data.lens.eval_files import REASON, SIDECAR, release
from sftkit.data.lens.rows import read
from sftkit.data.reading import read_rows

REAL = Path(__file__).parents[3] / "shared" / "real"
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "ra", "to", "lis", "mek")]


def text(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))


def planted(counts: dict[str, int], seed: int = 0) -> list[dict]:
    """So many rows of each task type, each unlike any other, of lengths that differ."""
    chance = random.Random(seed)
    rows = [
        {"prompt": text(chance, chance.randint(6, 14)), "response": text(chance, chance.randint(5, 60)), "task": task}
        for task, count in counts.items()
        for _ in range(count)
    ]  # fmt: skip
    chance.shuffle(rows)
    return rows


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


COUNTS = {"qa": 400, "code": 150, "poem": 40, "rare": 4}


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return written(tmp_path / "train.jsonl", planted(COUNTS))


def test_shares_are_in_proportion_with_a_least_number(train):
    made = sk.make_eval_set(train, 100, least=6, progress=False)
    taken = Counter(made.frame["task"])
    assert sum(taken.values()) == len(made) == 100
    assert taken["poem"] >= 6 and taken["rare"] == 2  # half of them stay for training
    assert taken["qa"] / taken["code"] == pytest.approx(400 / 150, rel=0.1)
    bands = made.strata[made.strata["stratum"] == "qa"]
    assert bands["taken"].tolist() == pytest.approx((bands["rows"] * taken["qa"] / 400).tolist(), abs=1)
    assert any("rare: 2 rows instead of" in note for note in made.notes)
    assert made.report.missing == [] and made.report.thin == ["poem", "rare"]
    assert made.report.traits.set_index("trait").loc["answer lengths", "level"] == "alike"


def test_the_seed_and_the_content_choose_and_not_the_order(train, tmp_path):
    rows = read_rows(train)
    first = sk.make_eval_set(train, 50, progress=False)
    turned = sk.make_eval_set(written(tmp_path / "turned.jsonl", rows[::-1]), 50, progress=False)
    assert set(first.hashes) == set(turned.hashes)
    assert first.hashes == sk.make_eval_set(train, 50, progress=False).hashes
    other = sk.make_eval_set(train, 50, seed=7, progress=False)
    assert len(set(first.hashes) & set(other.hashes)) < 25


def test_rows_that_are_like_others_stay_in_training(tmp_path):
    rows = planted({"qa": 200})
    chance = random.Random(3)
    twins = [dict(row) for row in rows[:40]]
    for twin in twins[:20]:  # one word of the answer is another
        said = twin["response"].split()
        said[chance.randrange(len(said))] = "otherwise"
        twin["response"] = " ".join(said)
    asked_again = [{**row, "response": "quite another answer of five words"} for row in rows[40:50]]
    longer = [{**row, "prompt": "an essay", "response": f"{text(chance, 40)} {row['prompt']} {row['response']} {text(chance, 40)}"} for row in rows[50:60]]  # fmt: skip
    path = written(tmp_path / "train.jsonl", [*rows, *twins, *asked_again, *longer])
    made = sk.make_eval_set(path, 120, by=None, progress=False)
    assert len(made) == 120
    assert made.leaks.rows == 0
    assert not set(made.frame["row"]) & set(range(1, 61))
    assert sk.leaks(made.rest, made.items, progress=False).rows == 0


def test_saved_rows_are_held_out_of_training_and_released(train, tmp_path):
    config = sk.SFTConfig(pretrain="model", dataset=str(train))
    before = read_rows(train)
    made = sk.make_eval_set(train, 60, out=tmp_path / "eval.jsonl", progress=False)
    raw = train.read_bytes()
    assert read_rows(tmp_path / "eval.jsonl") == [before[row - 1] for row in made.frame["row"]]
    left = read_examples(config)
    assert len(left) == len(before) - 60
    assert not {example.row for example in left} & set(made.frame["row"])
    assert set(patches.listing(train)["reason"]) == {REASON} and train.read_bytes() == raw
    assert sk.leaks(train, tmp_path / "eval.jsonl", progress=False).rows == 0
    facts = json.loads((tmp_path / f"eval.jsonl{SIDECAR}").read_text(encoding="utf-8"))
    assert facts["seed"] == 42 and facts["by"] == ["task"] and facts["tasks_guessed"] is None
    assert [row["hash"] for row in facts["rows"]] == made.hashes
    assert [patches.row_hash(row) for row in read_rows(tmp_path / "eval.jsonl")] == made.hashes
    # a second eval set never takes the rows of the first, and overwriting the first does not train its rows
    second = sk.make_eval_set(train, 60, progress=False)
    assert not set(second.hashes) & set(made.hashes)
    second.save(tmp_path / "eval.jsonl", overwrite=True)
    assert len(read_examples(config)) == len(before) - 120
    assert release(tmp_path / "eval.jsonl") == 120
    assert len(read_examples(config)) == len(before)


def test_templated_rows_leave_no_leak_whatever_it_costs():
    """The project's own world: a few hundred sentences with other names in them."""
    train = Path(__file__).parents[2] / "data" / "train.jsonl"
    made = sk.make_eval_set(read_rows(train)[:2000], 150, by=["task", "lang"], progress=False)
    assert made.leaks.rows == 0 and sk.leaks(made.rest, made.items, progress=False).rows == 0
    assert 100 < len(made) <= 150 and {"en", "zh"} <= {row["lang"] for row in made.rows}
    assert any("are unlike every other row" in note for note in made.notes)


def test_what_was_not_looked_at_is_not_called_like_others(monkeypatch):
    """Looking for others in the place of rows that training rows hold ends some time: then no more is said than is known."""
    rows = read_rows(Path(__file__).parents[2] / "data" / "train.jsonl")[:800]
    monkeypatch.setattr("sftkit.data.lens.eval_set.ROUNDS", 1)
    monkeypatch.setattr("sftkit.data.lens.eval_set.READ", 0)
    made = sk.make_eval_set(rows, 150, by=None, progress=False)
    [line] = made.by_stratum.itertuples()
    assert line.taken < line.unlike < line.rows and made.leaks.rows == 0
    said = rf"all rows: {line.taken} rows .* {line.taken} were found unlike every other row in [1-9] rounds, and {line.unlike - line.taken} that may be were not looked at"
    assert re.match(said, made.notes[0]) and "only" not in made.notes[0]
    monkeypatch.undo()
    again = sk.make_eval_set(rows, 150, by=None, progress=False)
    assert len(again) > len(made) and "not looked at" not in str(again.notes)


def test_texts_are_not_kept(tmp_path):
    """A hundred thousand rows take as much memory as their texts do not: some 100 bytes a row, whatever is in them."""
    chance = random.Random(4)
    path = written(tmp_path / "long.jsonl", [{"prompt": text(chance, 9), "response": text(chance, 400)} for _ in range(2000)])  # fmt: skip
    read(path, progress=False)  # what is imported and cached once
    tracemalloc.start()
    rows = read(path, progress=False)
    held = tracemalloc.get_traced_memory()[0]
    texts = sum(map(len, rows.items.texts()))
    tracemalloc.stop()
    assert held < 2000 * 300 < texts / 5
    assert rows.items[1999].row == 2000 and rows.items[-1].text == list(rows.items.texts())[-1]


def test_data_that_changed_since_they_were_drawn_are_not_saved(train, tmp_path):
    made = sk.make_eval_set(train, 30, progress=False)
    train.write_bytes(train.read_bytes().replace(b"lis", b"liz"))  # in place, and of the same length
    with pytest.raises(sk.DataError, match="has changed since it was read"):
        made.save(tmp_path / "eval.jsonl")
    assert not (tmp_path / "eval.jsonl").exists()
    assert len(read_examples(sk.SFTConfig(pretrain="model", dataset=str(train)))) == sum(COUNTS.values())


def test_rows_of_one_instruction_can_be_drawn():
    rows = [{**one, "prompt": "Go on."} for one in planted({"qa": 120})]
    made = sk.make_eval_set(rows, 30, progress=False)
    assert len(made) == 30 and made.leaks.rows == 0


def test_a_save_that_fails_holds_nothing_out(train, tmp_path, monkeypatch):
    before = len(read_examples(sk.SFTConfig(pretrain="model", dataset=str(train))))
    made = sk.make_eval_set(train, 30, progress=False)
    monkeypatch.setattr("sftkit.data.lens.eval_files._lines", lambda rows: (_ for _ in ()).throw(OSError("disk full")))  # fmt: skip
    with pytest.raises(OSError, match="disk full"):
        made.save(tmp_path / "eval.jsonl")
    assert len(read_examples(sk.SFTConfig(pretrain="model", dataset=str(train)))) == before
    assert not (tmp_path / "eval.jsonl").exists() and set(patches.listing(train)["state"]) == {"reverted"}


def test_a_patched_row_is_taken_as_edited(train, tmp_path):
    patches.edit(train, 1, "response", "mended by hand, as everybody can see here")
    patches.exclude(train, range(3, 595))
    made = sk.make_eval_set(train, 1, by=None, out=tmp_path / "eval.jsonl", progress=False)
    assert len(made) + len(made.rest) == 2
    row = made.frame["row"][0]
    assert made.hashes == [patches.row_hash(read_rows_as_is(train)[row - 1])]
    both = [*read_rows(tmp_path / "eval.jsonl"), *read_rows(train)]
    assert sum("mended by hand" in one["response"] for one in both) == 1


def read_rows_as_is(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_other_rows_as_a_file_of_their_own(train, tmp_path):
    made = sk.make_eval_set(train, 0.1, progress=False)
    made.save(tmp_path / "eval.jsonl", train_out=tmp_path / "rest.jsonl")
    assert not Path(f"{train}.patch.jsonl").exists()
    both = [*read_rows(tmp_path / "eval.jsonl"), *read_rows(tmp_path / "rest.jsonl")]
    assert sorted(map(patches.row_hash, both)) == sorted(map(patches.row_hash, read_rows(train)))


def test_sources_of_different_columns_become_one_file(tmp_path):
    one = written(tmp_path / "one.jsonl", planted({"qa": 60}))
    talks = [{"conversations": [{"from": "human", "value": row["prompt"]}, {"from": "gpt", "value": row["response"]}]} for row in planted({"x": 60}, seed=5)]  # fmt: skip
    two = written(tmp_path / "two.jsonl", talks)
    made = sk.make_eval_set([one, two], 20, by="source", out=tmp_path / "eval.jsonl", progress=False)
    assert Counter(made.frame["source"]) == {str(one): 10, str(two): 10}
    config = sk.SFTConfig(pretrain="model", dataset=f"{one},{two}", eval_dataset=str(tmp_path / "eval.jsonl"))
    assert [example.messages for example in read_examples(config, "eval")] == [item.example.messages for item in made.items.items]  # fmt: skip
    assert len(read_examples(config)) == 100
    assert sk.leaks(config, progress=False).rows == 0


def test_guessed_task_types_are_marked(tmp_path):
    rows = [{"prompt": f"Translate {row['prompt']} into French." if number % 2 else f"Summarize: {row['prompt']}", "response": row["response"]} for number, row in enumerate(planted({"": 80}))]  # fmt: skip
    path = written(tmp_path / "train.jsonl", rows)
    made = sk.make_eval_set(path, 20, out=tmp_path / "eval.jsonl", progress=False)
    assert Counter(made.frame["task"]) == {"translation": 10, "summarization": 10}
    assert all(made.frame["guessed"]) and made.guessed == "guessed by rules"
    assert "guessed by rules" in str(made) and "guessed by rules" in made.html()
    assert all(row["task_guessed"] and row["task"] for row in read_rows(tmp_path / "eval.jsonl"))
    assert json.loads((tmp_path / f"eval.jsonl{SIDECAR}").read_text())["tasks_guessed"] == "guessed by rules"
    labelled = sk.make_eval_set(path, 20, label=lambda prompts: ["<b>one</b>"] * len(prompts), progress=False)
    assert set(labelled.frame["task"]) == {"<b>one</b>"} and labelled.guessed == "guessed by a judge"
    assert "<b>one" not in labelled.html()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"size": 0}, "ask for 1 to 297"),
        ({"size": 298}, "ask for 1 to 297"),
        ({"size": 10, "by": "kind"}, "rows cannot be drawn by kind: name task, language, source, turns or a column of the data: prompt"),
        ({"size": 10, "out": "train.jsonl"}, "is the training data itself"),
        ({"size": 10, "out": "eval.csv"}, "name it .jsonl"),
        ({"size": 10, "out": "none/eval.jsonl"}, "its folder is not there"),
        ({"size": 10, "out": "e.jsonl", "train_out": "e.jsonl"}, "both"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_nothing_is_written(train, tmp_path, monkeypatch, how, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sk.DataError, match=words):
        sk.make_eval_set("train.jsonl", progress=False, **how)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_rows_that_are_all_alike_or_that_cannot_be_read(tmp_path):
    one = {"prompt": "Where is the old harbour?", "response": "By the sea, below the town."}
    with pytest.raises(sk.DataError, match="no row can be taken: each of 40 is like another one"):
        sk.make_eval_set([one] * 40, 5, progress=False)
    path = written(tmp_path / "train.jsonl", [*planted({"qa": 40}), {"prompt": ["?"], "response": "x", "task": "qa"}])  # fmt: skip
    made = sk.make_eval_set(path, 5, progress=False)
    assert any("cannot be read: 1 rows. The first: " in note and "row 41" in note for note in made.notes)
    for size in (float("nan"), "5", True, 2.5):
        with pytest.raises(sk.DataError, match="ask for 1 to 20"):
            sk.make_eval_set(path, size, progress=False)
    with pytest.raises(sk.DataError, match="'near': a similarity is over 0 and up to 1, not 2"):
        sk.make_eval_set(path, 5, near=2, progress=False)


def test_a_file_in_the_way_is_kept(train, tmp_path):
    (tmp_path / "eval.jsonl").write_text("mine")
    with pytest.raises(sk.DataError, match="is there already"):
        sk.make_eval_set(train, 10, out=tmp_path / "eval.jsonl", progress=False)
    assert (tmp_path / "eval.jsonl").read_text() == "mine" and not Path(f"{train}.patch.jsonl").exists()
    with pytest.raises(sk.DataError, match="give train_out"):
        sk.make_eval_set(read_rows(train), 10, out=tmp_path / "new.jsonl", progress=False)


def test_sharing_out():
    assert strata.shared_out({"a": 900, "b": 12}, 100, least=5, most={"a": 800, "b": 6}) == {"a": 95, "b": 5}
    assert strata.shared_out({"a": 1, "b": 1, "c": 1}, 100, most={"a": 10, "b": 20, "c": 15}) == {"a": 10, "b": 20, "c": 15}  # fmt: skip
    assert strata.shared_out({"a": 1, "b": 1}, 30, most={"a": 10, "b": 25}) == {"a": 10, "b": 20}
    chance = random.Random(1)
    for _ in range(200):
        weights = {name: chance.randint(0, 50) for name in "abcdef"}
        most = {name: chance.randint(0, weight) for name, weight in weights.items()}
        size, least = chance.randint(0, 120), chance.randint(0, 8)
        given = strata.shared_out(weights, size, most=most, least=least)
        assert sum(given.values()) == min(size, sum(most.values()))
        floor = min(least, size // len(weights))
        assert all(min(floor, most[name]) <= given[name] <= most[name] for name in weights)


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is not there")
def test_dolly_split_and_matched(tmp_path):
    path = tmp_path / "dolly.jsonl"
    path.write_bytes((REAL / "dolly_3k.jsonl").read_bytes())
    made = sk.make_eval_set(path, 300, out=tmp_path / "eval.jsonl", progress=False)
    assert len(made) == 300 and not made.guessed and not made.notes
    assert len(made.report.tasks) == 8 and made.report.missing == made.report.thin == []
    assert made.report.alike and made.leaks.rows == 0
    assert sk.match(path, tmp_path / "eval.jsonl", progress=False).tasks.equals(made.report.tasks)


def test_rows_are_tried_until_none_is_left_before_a_task_is_called_scarce():
    """In the small world most refusals share their sentences: what is said to be unlike all others must be taken."""
    rows = read_rows(Path(__file__).parents[2] / "data/train.jsonl")[:1500]
    made = sk.make_eval_set(rows, 100, progress=False)
    assert len(made) == 100 and made.leaks.rows == 0
    short = made.by_stratum[made.by_stratum["taken"] < made.by_stratum["wanted"]]
    assert short["stratum"].tolist() == ["refuse"] and short["taken"].tolist() == short["unlike"].tolist()


def test_what_a_notebook_keeps_of_them_is_short():
    rows = planted({"qa": 300})
    made = sk.make_eval_set(rows, 30, progress=False)
    shown = (
        made,
        made.report,
        made.leaks,
        sk.mix(rows, progress=False),
        sk.profile(rows, progress=False, cache=False),
    )
    assert all(repr(one) == str(one) and len(repr(one)) < 2000 for one in shown)


def test_too_little_to_draw_from_is_said(tmp_path):
    for nothing in ([], pd.DataFrame(), pd.DataFrame({"prompt": [], "response": []})):
        for look in (sk.make_eval_set, sk.match, sk.leaks):
            with pytest.raises(sk.DataError, match="rows in memory: holds no rows"):
                look(nothing, 1) if look is sk.make_eval_set else look(
                    nothing, [{"prompt": "a", "response": "b"}]
                )
        with pytest.raises(sk.DataError, match="rows in memory: holds no rows"):
            sk.profile(nothing)
    with pytest.raises(sk.DataError, match="there is one row only"):
        sk.make_eval_set(planted({"qa": 1}), 1)
    path = written(tmp_path / "a,b.jsonl", planted({"qa": 4}))
    for data in (path, [str(path)]):
        with pytest.raises(sk.DataError, match="has a comma in its name"):
            sk.make_eval_set(data, 1)


def test_rows_in_memory_and_on_the_hub_have_no_patch():
    rows = planted({"qa": 4})
    for change in (lambda source: patches.exclude(source, 1), lambda source: patches.edit(source, 1, "prompt", "?"), patches.listing):  # fmt: skip
        for source in (rows, pd.DataFrame(rows), "rows in memory"):
            with pytest.raises(sk.DataError, match="write them to one, and name that"):
                change(source)
        with pytest.raises(sk.DataError, match="owner/name: is on the hub, where no patch"):
            change("owner/name")
