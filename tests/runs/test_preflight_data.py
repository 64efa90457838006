"""Preflight of data in every form: several sources, folders, splits, large files, and what is said of each."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import patches, read_examples
from sftkit.runs import Finding, look, preflight, sources
from tests.runs.provoking import provokes
from tests.runs.test_preflight import mended, one, settings, world, write

__all__ = ["world"]  # the fixture

TALK = [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]
BOTH = "data/train.jsonl, data/alpaca.jsonl"


@pytest.fixture
def alpaca(world) -> Path:
    rows = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(100)]
    write(world / "alpaca.jsonl", rows)
    return world / "alpaca.jsonl"


@pytest.fixture
def saved(world) -> Path:
    """data/saved with the splits train_sft (30 rows) and test_sft (10), as `save_to_disk` lays them out."""
    folder = world / "saved"
    for split, count in (("train_sft", 30), ("test_sft", 10)):
        (folder / split).mkdir(parents=True)
        rows = [{"prompt": f"{split} {n}?", "response": "Yes."} for n in range(count)]
        save(folder / split / "data-00000-of-00001.arrow", rows)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        (folder / split / "state.json").write_text(json.dumps(state))
        (folder / split / "dataset_info.json").write_text("{}")
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train_sft", "test_sft"]}))
    return folder


def save(path: Path, rows: list[dict]) -> None:
    """Rows in Arrow's stream format."""
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def all_of(level: str, **changes) -> list[Finding]:
    return [item for item in preflight(settings(**changes)) if item.level == level]


@provokes("rows_of_each_source")
def test_several_sources_get_the_figures_of_their_mix(world, alpaca):
    found = preflight(settings(dataset=BOTH, eval_dataset=None))
    assert {item.level for item in found} == {"inform"}, "\n".join(map(str, found))
    said = " ".join(item.message for item in found)
    assert "164 rows" in said
    assert "The mix: 64 of 64 rows of data/train.jsonl (prompt -> response), 100 of 100 rows of data/alpaca.jsonl (instruction + input -> output)." in said  # fmt: skip


@pytest.mark.parametrize(
    ("mix", "rows"),
    [
        ({"dataset_caps": (10, 0)}, 110),
        ({"dataset_probs": (0.5, 0.5)}, 128),
        ({"dataset_probs": (1, 3), "dataset_caps": (20, 30)}, 40),
        ({"dataset_probs": (0.5, 0.5), "max_samples": 50}, 50),
    ],
)
def test_rows_used_are_those_that_training_reads(world, alpaca, mix, rows):
    config = SFTConfig(**settings(dataset=BOTH, **mix))
    seen = look.Look(config, Path("runs"))
    assert seen.rows_used == rows
    named = [(example.source, example.row) for example in seen.train.used]
    assert named == [(example.source, example.row) for example in read_examples(config)]
    assert f"{rows} rows of" in one("inform", "dataset", "trained tokens", dataset=BOTH, **mix).message
    draws = "max_samples" in mix
    assert (
        "max_samples draws 50" in one("inform", "dataset", "The mix", dataset=BOTH, **mix).message
    ) == draws


def test_one_finding_for_each_faulty_source(world, alpaca):
    (world / "broken.jsonl").write_text("{\n")
    names = "data/trian.jsonl, data/alpaca.jsonl, data/broken.jsonl"
    missing, broken = all_of("stop", dataset=names)
    assert (missing.field, broken.field) == ("dataset", "dataset")
    assert "There is no file data/trian.jsonl" in missing.message and "data/train.jsonl" in missing.message
    assert missing.fix == {"dataset": "data/train.jsonl, data/alpaca.jsonl, data/broken.jsonl"}
    assert "data/broken.jsonl, row 1: is not JSON" in broken.message
    mended(missing, dataset=names)


def test_rows_are_named_with_their_source(world, alpaca):
    write(world / "second.jsonl", [{"prompt": "a", "response": ""}, {"prompt": "", "response": "b"}])
    write(world / "eval.jsonl", [{"prompt": "Say 3.", "response": "3"}])
    names = {"dataset": "data/alpaca.jsonl, data/second.jsonl", "eval_dataset": "data/eval.jsonl,data/train.jsonl"}  # fmt: skip
    one("warn", "dataset", "1 of 2 rows has an empty answer (the first: row 1 of data/second.jsonl)", **names)
    assert "The first: row 1 of data/eval.jsonl." in one("warn", "eval_dataset", "1 of 65 eval prompts", **names).message  # fmt: skip
    rows = [{"prompt": "p " * 300, "response": "r"}] * 5
    write(world / "long.jsonl", rows)
    idle = one("warn", "dataset", "have no token to train on", dataset="data/alpaca.jsonl,data/long.jsonl", max_len=64)  # fmt: skip
    assert " of data/long.jsonl for one" in idle.message


def test_a_source_whose_columns_are_unknown(world, alpaca):
    write(world / "asked.jsonl", [{"question": "q", "answer": "a"}] * 20)
    names = "data/alpaca.jsonl,data/asked.jsonl"
    finding = one("stop", "input_key", "data/asked.jsonl: no column 'prompt'", dataset=names, eval_dataset=None)  # fmt: skip
    assert finding.fix == {"input_key": "question", "output_key": "answer"}  # Alpaca is found all the same
    mended(finding, dataset=names, eval_dataset=None)
    write(world / "other.jsonl", [{"left": "q", "answer": "a"}] * 20)
    three = "data/other.jsonl,data/asked.jsonl"
    fixes = [item.fix for item in all_of("stop", dataset=three, eval_dataset=None)]
    assert fixes == [{"input_key": "left", "output_key": "answer"}, {"input_key": "question", "output_key": "answer"}]  # fmt: skip


def test_columns_are_proposed_though_a_row_in_ten_lacks_one(world):
    whole = [{"left": "q", "right": "a", "n": 1}] * 18
    write(world / "gaps.jsonl", [*whole, {"left": None, "right": "a", "n": 2}, {"left": "q", "n": 3}])
    finding = one("stop", "input_key", "no column 'prompt'", dataset="data/gaps.jsonl", eval_dataset=None)
    assert finding.fix == {"input_key": "left", "output_key": "right"}
    write(world / "gaps.jsonl", [*whole[:6], *[{"left": "q", "n": 3}] * 4])
    assert not one(
        "stop", "input_key", "no column 'prompt'", dataset="data/gaps.jsonl", eval_dataset=None
    ).fix


def test_a_mapping_that_would_spoil_another_source_is_not_proposed(world):
    write(world / "talk.jsonl", [{"prompt": "q", "text": "a"}] * 20)
    finding = one("stop", "output_key", "data/talk.jsonl: no column 'response'", dataset="data/train.jsonl,data/talk.jsonl", eval_dataset=None)  # fmt: skip
    assert finding.fix == {}


def test_conversations_are_found_unasked(world):
    write(world / "talk.jsonl", [{"conversations": TALK}] * 20)
    assert not all_of("stop", dataset="data/talk.jsonl", eval_dataset=None)
    bad = [{"conversations": [*TALK, {"from": "observation", "value": "7"}]}]
    write(world / "talk.jsonl", [{"conversations": TALK}] * 20 + bad)
    finding = one("stop", "dataset", "1 row cannot be used", dataset="data/talk.jsonl", eval_dataset=None)
    assert "data/talk.jsonl, row 21" in finding.message and "calls a tool" in finding.message


@provokes("data_is_there")
def test_a_missing_split_is_named_with_those_there(world, saved):
    finding = one("stop", "dataset", "no split 'train'; it has train_sft, test_sft", dataset="data/saved", eval_dataset=None)  # fmt: skip
    assert finding.fix == {"dataset": "data/saved/train_sft"}
    mended(finding, dataset="data/saved", eval_dataset=None)
    finding = one("stop", "eval_dataset", "neither a validation nor a test split", eval_dataset="data/saved")
    assert finding.fix["eval_dataset"].startswith("data/saved/")
    named = {"dataset": "data/saved", "dataset_split": "train_sft", "eval_dataset": "data/saved", "eval_split": "test_sft"}  # fmt: skip
    found = preflight(settings(**named))
    assert {item.level for item in found} == {"inform"}, "\n".join(map(str, found))  # two splits are two sets
    assert "30 rows" in " ".join(item.message for item in found)
    one("warn", "eval_dataset", "the training data itself", **{**named, "eval_split": "train_sft"})


def test_a_saved_folder_that_is_not_whole(world, saved):
    (saved / "train_sft" / "data-00000-of-00001.arrow").unlink()
    finding = one("stop", "dataset", "lacks data-00000-of-00001.arrow", dataset="data/saved/train_sft")
    assert not finding.fix
    (saved / "dataset_dict.json").write_text("[")
    one("stop", "dataset", "dataset_dict.json", dataset="data/saved")


def test_folders_that_were_not_saved_and_folders_near_a_wrong_name(world, saved, alpaca):
    assert one("stop", "dataset", "is a folder; name a file in it. It has alpaca.jsonl, eval.jsonl", dataset="data").fix == {"dataset": "data/train.jsonl"}  # fmt: skip
    assert one("stop", "dataset", "There is no file data/savd", dataset="data/savd").fix == {"dataset": "data/saved"}  # fmt: skip


def test_a_hub_id_among_the_sources_leaves_the_rows_uncounted(world, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = "tatsu-lab/alpaca@part, data/train.jsonl"
    found = preflight(settings(dataset=names, train_batch_size=128))
    said = [item.message for item in found]
    assert "tatsu-lab/alpaca@part is no file here: the run will fetch it from the hub, unchecked." in said
    assert not [words for words in said if "steps an epoch" in words or "trained tokens" in words]
    assert {item.level for item in found} == {"inform"}, "\n".join(map(str, found))


def test_tasks_by_the_column_that_holds_them(world):
    rows = [{"instruction": "q", "context": "", "response": "a", "category": kind} for kind in ("qa", "summary")]  # fmt: skip
    write(world / "dolly.jsonl", rows * 20)
    finding = one("warn", "eval_dataset", "never evaluated: qa, summary", dataset="data/dolly.jsonl")
    assert "(by column category)" in finding.message


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "arrow"])
def test_large_files_are_sampled(world, monkeypatch, form):
    monkeypatch.setattr(look, "LIMITS", sources.Limits(whole=4000, head=2000))
    rows = [{"prompt": f"Add {i:04}.", "response": "The sum is 7."} for i in range(1000)]
    path = world / f"large.{form}"
    if form == "jsonl":
        write(path, rows)
    elif form == "csv":
        path.write_text("prompt,response\n" + "".join(f"{row['prompt']},{row['response']}\n" for row in rows))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        save(path, rows)
    finding = one("inform", "dataset", "trained tokens an epoch", dataset=str(path))
    said = int(finding.message.split()[1].replace(",", ""))
    assert finding.message.startswith("about ") and abs(said - 1000) < (30 if form == "csv" else 1)
    assert len(look.Look(SFTConfig(**settings(dataset=str(path))), Path("runs")).train.sources[0].rows) < 600
    mix = {"dataset": f"{path}, data/eval.jsonl", "dataset_probs": (0.9, 0.1)}
    seen = look.Look(SFTConfig(**settings(**mix)), Path("runs"))
    assert seen.rows_used == 20 and sum(example.source == str(path) for example in seen.train.used) == 18


def test_large_data_costs_the_form_little_time(world, least_seconds):
    """A million rows in Arrow, 100 MB: only the beginning is read."""
    rows = pa.table({"prompt": [f"Add {n} and {n}, please." for n in range(10_000)] * 100, "response": ["The sum is 7, or so it seems to me, after all that was said of it."] * 1_000_000})  # fmt: skip
    with pa.OSFile(str(world / "large.arrow"), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=1000)
    assert (world / "large.arrow").stat().st_size > 90_000_000
    preflight(settings())
    look = {"dataset": "data/large.arrow"}
    assert least_seconds(lambda: one("inform", "dataset", "about 1,000,000 rows", **look)) < 3


# files beside the rows


@provokes("nothing_lies_beside_the_rows")
def test_rows_beside_a_saved_folder_are_not_read(world, saved):
    folder = saved / "train_sft"
    for name in ("cache-1a2b.arrow", "dataset_infos.json", "._data.jsonl"):
        (folder / name).write_text("{}")
    assert not all_of("warn", dataset="data/saved/train_sft", eval_dataset=None)
    write(folder / "more.jsonl", [{"prompt": "a", "response": "b"}] * 3)
    finding = one("warn", "dataset", "more.jsonl in data/saved/train_sft is not read", dataset="data/saved/train_sft", eval_dataset=None)  # fmt: skip
    assert finding.fix == {"dataset": "data/saved/train_sft, data/saved/train_sft/more.jsonl"}


@provokes("data_is_there", "nothing_lies_beside_the_rows")
def test_a_file_that_describes_data_is_not_taken_for_the_rows(world):
    folder = world / "set"
    folder.mkdir()
    write(folder / "dataset_info.json", [{"prompt": "a", "response": "b"}])
    write(folder / "train-0.jsonl", [{"prompt": "a", "response": "b"}] * 20)
    write(folder / "test-0.jsonl", [{"prompt": "c", "response": "d"}] * 20)
    finding = one("stop", "dataset", "is a folder; name a file in it", dataset="data/set", eval_dataset=None)
    assert finding.message.endswith("Not rows: dataset_info.json.")
    assert finding.fix == {"dataset": "data/set/train-0.jsonl"}
    mended(finding, dataset="data/set", eval_dataset=None)
    finding = one("stop", "eval_dataset", "is a folder; name a file in it", eval_dataset="data/set")
    assert finding.fix == {"eval_dataset": "data/set/test-0.jsonl"}
    named = {"dataset": "data/set/dataset_info.json", "eval_dataset": None}
    mended(one("warn", "dataset", "looks like a file that describes data", **named), **named)


def test_packing_is_told_in_tokens(world):
    words = one("inform", "train_batch_size", "packed", packing=True, micro_train_batch_size=2).message
    assert words == "One optimizer step is 16 rows over 1 process, packed: at most 2 sequences of 256 tokens (512 tokens) at a time."  # fmt: skip


@provokes("patches_fit", "nothing_lies_beside_the_rows")
def test_a_patch_says_what_it_does_and_what_of_it_fits_no_more(world):
    """Also over many changes, lines that a crash has cut, and a patch that is taken for the data."""
    path = world / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    patches.edit(path, 1, "prompt", "another")
    patches.exclude(path, [3, *range(5, 15)])
    with patches.place_of(path).open("ab") as file:
        file.write(b'{"op": "edit", "id"')
    found = "\n".join(finding.message for finding in preflight(settings()) if finding.key == "patches_fit")
    assert "edits 1 rows of data/train.jsonl and leaves 11 out" in found and "(line 13)" in found
    write(path, [{"prompt": "new", "response": "x"}, *rows[:4], *rows[14:]])
    found = "\n".join(finding.message for finding in preflight(settings()) if finding.key == "patches_fit")
    assert "10 changes in train.jsonl.patch.jsonl are not applied" in found
    assert "row 5, row 6, row 7, row 8, row 9 and 5 more" in found
    assert "2 changes" in found and "stand elsewhere" in found and "(they were row 1, row 3)" in found
    patches.place_of(path).write_bytes(
        b"\n".join(patches.place_of(path).read_bytes().split(b"\n")[:12]) + b"\n"
    )
    [finding] = [finding for finding in preflight(settings(dataset="data/train.jsonl.patch.jsonl")) if finding.key == "nothing_lies_beside_the_rows"]  # fmt: skip
    assert "describes data" in finding.message and finding.fix["dataset"].endswith(".jsonl")
    assert "patch" not in str(finding.fix)
