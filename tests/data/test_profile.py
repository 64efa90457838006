"""The profile of a data set: faults planted in known numbers are found in those numbers, and each count leads to its rows."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pandas as pd
import pytest

import sftkit as sk
from sftkit.config import SFTConfig
from sftkit.data import patches
from sftkit.data.encoding import encoder
from sftkit.data.lens import profile_cache
from sftkit.data.lens.kinds import KINDS, name_of
from sftkit.data.patch_log import row_hash
from sftkit.data.shaping import read_examples
from sftkit.errors import DataError
from sftkit.wording import in_language

ROOT = Path(__file__).parents[2]
TRAIN, TINY = ROOT / "data" / "train.jsonl", ROOT / "data" / "tiny-base"
REAL = ROOT.parent / "shared" / "real"
WORDS = [f"{a}{b}" for a in "ba ce di fo gu ka le mi no pu ra se ti vo zu".split() for b in "n rt lm sk nd".split()]  # fmt: skip

PLANTED = {
    "unreadable": 3, "empty_prompt": 4, "empty_answer": 6, "filtered": 6, "exact_duplicate": 25, "near_duplicate": 17,
    "conflict": 9, "mojibake": 8, "html": 11, "boilerplate": 12, "echo": 7, "short": 5, "long": 10,
}  # fmt: skip


def sentence(rng: random.Random, n: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(n)) + "."


def planted() -> list[str]:
    """Lines of 600 clean rows and of PLANTED faults, each row with no other fault than its own."""
    rng = random.Random(7)

    def row(**changes: str) -> dict:
        clean = {"prompt": "What about " + sentence(rng, 12), "response": "Here is " + sentence(rng, 40)}
        return {**clean, "task": "chat", **changes}

    clean = [row() for _ in range(600)]
    rows = [*clean]
    rows += [row(prompt=" ") for _ in range(4)] + [row(response="") for _ in range(6)]
    rows += clean[:20] + clean[:5]  # the first five stand there three times
    for one in clean[100:117]:
        words = one["response"].split()
        words[20] = "changed"
        rows.append({**one, "response": " ".join(words)})
    rows += [{**row(), "prompt": one["prompt"]} for one in clean[200:209]]
    garbled = ["caf\u00c3\u00a9 au lait", "\u951f\u65a4\u62f7", "\u6d63\u72b2\u30bd\u951b\u5c7c\u7b18\u9423", "lost \ufffd here"]  # fmt: skip
    rows += [row(response=f"{sentence(rng, 30)} {garbled[n % 4]} {sentence(rng, 8)}") for n in range(8)]
    marks = ["<br/>", "<div class='x'>a</div>", "&nbsp;"]
    rows += [row(response=f"{sentence(rng, 30)} {marks[n % 3]} {sentence(rng, 8)}") for n in range(11)]
    rows += [
        row(response=f"{sentence(rng, 30)} ```html\n<br/>\n``` {sentence(rng, 8)}")
    ]  # code is not counted
    voices = [
        "As an AI language model, I cannot say.",
        "作为一个人工智能语言模型，我没有个人观点。",
        "I'm just an AI.",
    ]
    rows += [row(response=f"{voices[n % 3]} {sentence(rng, 35)}") for n in range(12)]
    for _ in range(7):
        one = row()
        rows.append({**one, "response": f"{one['prompt'].upper()} {one['response']}"})
    rows += [row(response=word) for word in WORDS[:5]] + [row(response=sentence(rng, 900)) for _ in range(10)]
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    broken = ['{"prompt": "cut sh', "[1, 2]", '{"question": "q", "answer": "a"}']
    order = list(range(len(lines)))
    return [lines[n] for n in order[:300]] + broken + [lines[n] for n in order[300:]]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("planted") / "rows.jsonl"
    path.write_text("\n".join(planted()) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(file) -> sk.Profile:
    return sk.profile(file, TINY, max_len=100_000, cache=False, progress=False)


@pytest.mark.parametrize("key", PLANTED)
def test_planted_faults_are_found_at_their_counts(found, key):
    assert found.count(key) == PLANTED[key], found.rows_of(key).excerpt.tolist()
    assert len(found.rows_of(key)) == PLANTED[key]


def test_nothing_is_found_that_was_not_planted(found):
    assert set(found.findings.key) == set(PLANTED)
    assert found.findings.share.tolist() == [count / found.rows for count in found.findings["count"]]
    assert found.rows == len(planted()) and found.trained == found.rows - 3 - 6
    assert (found.exact_duplicates, found.near_duplicates, found.cut, found.filtered) == (25, 17, 0, 6)


def test_every_count_leads_to_its_rows(found, file):
    lines = file.read_text(encoding="utf-8").split("\n")
    rows = found.rows_of("near_duplicate")
    for _, one in rows.iterrows():
        held = json.loads(lines[one["row"] - 1])
        assert one["hash"] == row_hash(held) and "changed" in held["response"]
        first = int(one["repeats"].rpartition("row ")[2])
        assert json.loads(lines[first - 1])["prompt"] == held["prompt"] and first < one["row"]
    assert "is not JSON" in found.rows_of("unreadable").problem[0]
    assert found.rows_of("unreadable").row.tolist() == [301, 302, 303]
    assert len(found.rows_of("html", limit=2)) == 2
    assert len(found.rows_of(task="chat")) == found.rows - 3
    with pytest.raises(DataError, match="no rows of the kind 'htm'"):
        found.rows_of("htm")


def test_it_counts_what_training_trains(tmp_path):
    """Trained, cut, left out and token counts: those of the trainer's own reading."""
    rows = [{"prompt": "word " * n, "response": "answer " * (n % 7)} for n in range(60)]
    turns = [{"role": role, "content": "some words here"} for role in ("user", "assistant") * 8]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    talk = tmp_path / "talk.jsonl"
    talk.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    config = SFTConfig(pretrain=str(TINY), dataset=f"{path},{talk}", max_len=60)
    found = sk.profile(config, cache=False, progress=False)
    encoded = list(encoder(config).encode(read_examples(config)))
    assert found.filtered == sum(row.used == 0 for row in encoded) > 5
    assert found.cut == sum(row.truncated and row.used > 0 for row in encoded) > 2
    assert found.count("shortened") == sum(row.dropped_turns > 0 for row in encoded) == 1
    assert found.trained == sum(row.used > 0 for row in encoded)
    assert found.facts["trained_tokens"] == sum(int(row.loss_mask[1:].sum()) for row in encoded)
    whole = list(encoder(config.with_(max_len=10_000)).encode(read_examples(config)))
    assert found.lengths.loc["whole", "sum"] == sum(len(row.input_ids) for row in whole)
    assert found.lengths.loc["answer", "max"] == max(row.loss_mask.sum() for row in whole)
    assert found.sources["rows"].tolist() == [60, 1] and found.turns == {2: 60, 16: 1}
    assert found.roles == {"user": 68, "assistant": 68}


def test_any_form_of_data_gives_the_same_counts(file, found, tmp_path):
    rows = [json.loads(line) for line in planted() if line.startswith('{"prompt": ') and line.endswith("}")]
    for data in (rows, pd.DataFrame(rows)):
        held = sk.profile(data, progress=False)
        same = [key for key in PLANTED if key not in ("unreadable", "short", "long")]  # lengths are estimated
        assert {key: held.count(key) for key in same} == {key: PLANTED[key] for key in same}
        assert held.estimated and held.rows_of("echo").source.unique().tolist() == ["rows in memory"]
    both = sk.profile([file, TRAIN], progress=False, cache=False, near=False)
    assert both.rows == found.rows + 4933 and both.near_duplicates == 0
    with pytest.raises(DataError, match="A data set is a path"):
        sk.profile([1, 2])
    with pytest.raises(DataError, match="no such file"):
        sk.profile(tmp_path / "absent.jsonl")


def test_columns_that_are_not_there_are_no_fault_of_the_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n' * 3)
    with pytest.raises(DataError, match="no column 'prompt'"):
        sk.profile(path, progress=False, cache=False)
    found = sk.profile(path, progress=False, cache=False, input_key="question", output_key="answer")
    assert found.rows == found.trained == 3 and found.exact_duplicates == 2


def test_a_broken_first_row_is_counted_like_any_other(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "cut sh\n' + '{"prompt": "q", "response": "a"}\n' * 3)
    found = sk.profile(path, progress=False, cache=False)
    assert found.rows_of("unreadable").row.tolist() == [1] and found.trained == 3
    path.write_text('{"prompt": "cut sh\n' * 3)
    with pytest.raises(DataError, match="row 1: is not JSON"):
        sk.profile(path, progress=False, cache=False)


def test_a_patch_is_honoured(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}", "response": f"r{n}"}) + "\n" for n in range(5)))
    patches.exclude(path, [2])
    patches.edit(path, 3, "response", "")
    found = sk.profile(path, progress=False, cache=False)
    assert found.rows == 4 and found.rows_of("empty_answer").row.tolist() == [3]
    assert found.rows_of("empty_answer").hash[0] == row_hash({"prompt": "p2", "response": "r2"})
    assert found.sources[["rows", "used", "excluded", "edited"]].iloc[0].tolist() == [5, 4, 1, 1]


def test_profiles_are_kept_by_content_and_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "p", "response": "<br> r"}\n' * 3)
    told: list[int] = []

    def profiled(**settings) -> sk.Profile:
        told.clear()
        return sk.profile(path, progress=lambda done, total: told.append(done), **settings)

    first = profiled()
    assert told == [3]
    again = profiled()
    assert told == [] and again.per_row.equals(first.per_row) and again.facts == first.facts
    assert again.rows_of("html").equals(first.rows_of("html"))
    for change in ({"max_len": 70}, {"near": 0.5}, {"tokenizer": TINY}):
        profiled(**change)
        assert told == [3], change
    patches.exclude(path, [1])
    assert profiled().rows == 2 and told == [2]
    path.write_text('{"prompt": "p", "response": "other"}\n' * 3)
    with pytest.raises(DataError, match="has changed since it was profiled"):
        first.rows_of("html")
    assert "has changed since it was profiled" in first._repr_html_()
    assert profiled().count("html") == 0
    for place in profile_cache.folder().iterdir():
        (place / "rows.parquet").write_bytes(b"damaged")
    assert profiled().rows == 3 and told == [3]


def test_the_page_holds_no_html_of_the_data(tmp_path):
    hostile = "<img src=x onerror=alert(1)></title><script>alert(1)</script>"
    rows = [{"prompt": f"{hostile} {n}", "response": hostile, "task": hostile} for n in range(3)]
    path = tmp_path / "<u>rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = sk.profile(path, TINY, max_len=64, progress=False, cache=False)
    for page in (found._repr_html_(), found.to_html(tmp_path / "p.html").read_text(encoding="utf-8")):
        assert "&lt;img src=x" in page
        assert not re.search("<(img|script|u>)", page)
    chinese = found.to_html(tmp_path / "zh.html", "zh").read_text(encoding="utf-8")
    assert "完全重复" in chinese and "任务类型" in chinese and not re.search(r"\brows\b(?!\.jsonl)", re.sub("<style>.*?</style>|<[^>]*>", "", chinese, flags=re.DOTALL))  # fmt: skip
    assert all(in_language(name_of(key), "zh") != name_of(key) for key in KINDS if key != "html")


def test_rows_that_the_template_refuses_are_counted(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    odd = [{"role": "system", "content": "s"}, *turns]
    template = tmp_path / "strict.jinja"
    template.write_text("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}")  # fmt: skip
    config = SFTConfig(pretrain=str(TINY), dataset="x", chat_template=str(template))
    found = sk.profile([{"messages": one} for one in (turns, odd, turns)], config=config, progress=False)
    assert found.count("unreadable") == 1 and found.trained == 2 and found.exact_duplicates == 1
    assert found.rows_of("unreadable").row.tolist() == [2]


# real data


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data beside the project is not here")
@pytest.mark.parametrize(("name", "rows", "tasks"), [("dolly_3k", 2996, 8), ("alpaca_2000", 2000, 1)])
def test_real_data(name, rows, tasks):
    found = sk.profile(REAL / f"{name}.jsonl", TINY, max_len=512, cache=False, progress=False)
    assert found.rows == rows and len(found.tasks) == tasks
    assert found.languages["en"] / rows > 0.98 and found.languages.get("unknown", 0) / rows < 0.01
    assert found.count("mojibake") == found.count("unreadable") == 0
    assert found.exact_duplicates == {"dolly_3k": 2, "alpaca_2000": 0}[name]


def test_chinese_and_english_of_the_project_are_told_apart(tmp_path):
    """By the column `lang` that the data was made with."""
    rows = [json.loads(line) for line in TRAIN.read_text(encoding="utf-8").splitlines()]
    chinese = tmp_path / "zh.jsonl"
    chinese.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["lang"] == "zh"))  # fmt: skip
    found = sk.profile(chinese, TINY, cache=False, progress=False)
    assert found.languages == {"zh": found.rows} and found.rows == 826
    assert found.count("mojibake") == found.count("echo") == found.count("boilerplate") == 0
    english = sk.profile([row for row in rows if row["lang"] == "en"], near=False, progress=False)
    assert english.languages["en"] > 0.9 * english.rows and set(english.languages) == {"en", "unknown"}


def test_a_data_set_of_the_hub(monkeypatch):
    import pyarrow as pa

    from sftkit.data.tables import RowTable

    rows = [{"prompt": "p", "response": f"r{n // 2}"} for n in range(6)]
    monkeypatch.setattr("sftkit.data.reading.hub_table", lambda source, wanted: RowTable(pa.Table.from_pylist(rows)))  # fmt: skip
    found = sk.profile("some-owner/some-set", progress=False)
    assert found.rows == 6 and found.exact_duplicates == 3 and found.count("conflict") == 2
    assert found.rows_of("exact_duplicate").repeats.tolist() == [f"some-owner/some-set, row {n}" for n in (1, 3, 5)]  # fmt: skip


def test_a_bar_shows_how_far_it_is(file, capsys):
    sk.profile(file, progress=True, cache=False, near=False)
    assert "profile: 100%" in capsys.readouterr().err
