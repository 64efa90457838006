"""Which rows are used: shares, caps and max_samples, for any sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftkit.config import SFTConfig
from sftkit.data import encoder, read_examples
from sftkit.data.mixing import drawn, sizes
from sftkit.errors import DataError

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"


@st.composite
def mixes(draw, with_probs: bool | None = None):
    """Row counts with settings that fit them."""
    counts = draw(st.lists(st.integers(1, 300), min_size=1, max_size=5))
    each = {"min_size": len(counts), "max_size": len(counts)}
    probs = draw(st.lists(st.floats(0, 10, allow_subnormal=False), **each).filter(lambda p: sum(p) > 0))
    caps = draw(st.none() | st.lists(st.integers(0, 300), **each))
    if with_probs is False or (with_probs is None and draw(st.booleans())):
        probs = None
    return counts, {"probs": probs, "caps": caps, "seed": draw(st.integers(0, 2**32 - 1))}


@given(mixes(), st.none() | st.integers(1, 1000))
def test_no_row_twice_none_invented_and_the_seed_decides(mix, max_samples):
    counts, settings = mix
    taken = drawn(counts, max_samples=max_samples, **settings)
    assert taken == drawn(counts, max_samples=max_samples, **settings)
    for numbers, count, cap in zip(taken, counts, settings["caps"] or [0] * len(counts)):
        assert list(numbers) == sorted(set(numbers)) and all(0 <= number < count for number in numbers)
        assert not cap or len(numbers) <= cap
    size = sum(sizes(counts, probs=settings["probs"], caps=settings["caps"]))
    assert sum(map(len, taken)) == min(size, max_samples or size)


@given(mixes(with_probs=True))
def test_shares_are_right_within_one_row_and_the_mix_is_the_largest(mix):
    counts, settings = mix
    probs, caps = settings["probs"], settings["caps"] or [0] * len(counts)
    given_up = sizes(counts, probs=probs, caps=caps)
    most = [min(count, cap or count) for count, cap in zip(counts, caps)]
    total = min(count * sum(probs) / share for count, share in zip(most, probs) if share > 0)
    for size, share, there in zip(given_up, probs, most):
        assert abs(size - total * share / sum(probs)) <= 0.5 + 1e-6
        assert size <= there
    assert any(size == there for size, there, share in zip(given_up, most, probs) if share > 0)


@given(mixes(with_probs=False))
def test_without_shares_every_row_but_for_the_caps(mix):
    counts, settings = mix
    caps = settings["caps"] or [0] * len(counts)
    taken = drawn(counts, **settings)
    assert [len(numbers) for numbers in taken] == [
        min(count, cap or count) for count, cap in zip(counts, caps)
    ]


def test_shares_in_figures():
    assert sizes([2000, 300], probs=[0.7, 0.3]) == [700, 300]
    assert sizes([2000, 300], probs=[7, 3]) == [700, 300]
    assert sizes([2000, 300], probs=[0.7, 0.3], caps=[350, 0]) == [350, 150]
    assert sizes([2000, 300], probs=[0, 1]) == [0, 300]
    assert sizes([10, 10, 10], probs=[1e308, 1e308, 0]) == [10, 10, 0]


def test_the_head_is_not_preferred_and_sources_are_drawn_apart():
    """Over many seeds every row is taken about equally often: 400 of 2,000 draws, give or take 5 deviations (90)."""
    for settings in ({"caps": [20, 20]}, {"probs": [1, 1], "caps": [20, 0]}, {"max_samples": 40}):
        often = [[0] * 100, [0] * 100]
        apart = 0
        for seed in range(2000):
            taken = drawn([100, 100], seed=seed, **settings)
            apart += list(taken[0]) != list(taken[1])
            for times, numbers in zip(often, taken):
                for number in numbers:
                    times[number] += 1
        assert all(310 < count < 490 for times in often for count in times), settings
        assert apart > 1990


def test_another_seed_draws_other_rows():
    for settings in ({"caps": [20, 0]}, {"probs": [1, 1]}, {"max_samples": 20}):
        assert drawn([200, 100], seed=1, **settings) != drawn([200, 100], seed=2, **settings)


def test_max_samples_of_one_source_draws_as_ever():
    import random

    assert drawn([200], max_samples=20, seed=7) == [sorted(random.Random(7).sample(range(200), 20))]


def test_max_samples_keeps_shares_on_average():
    taken = drawn([100_000, 100_000], probs=[3, 1], max_samples=10_000)
    assert len(taken[0]) + len(taken[1]) == 10_000
    assert abs(len(taken[0]) - 7500) < 220  # 5 deviations


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def three(tmp_path) -> list[str]:
    """Sources of three shapes: prompt and response, messages, Alpaca."""
    talk = [{"role": "user", "content": "m"}, {"role": "assistant", "content": "a"}]
    return [
        write(tmp_path / "pairs.jsonl", [{"prompt": f"p{n}", "response": "r"} for n in range(30)]),
        write(tmp_path / "talks.jsonl", [{"messages": talk}] * 20),
        write(tmp_path / "alpaca.jsonl", [{"instruction": f"i{n}", "input": "", "output": "o"} for n in range(10)]),
    ]  # fmt: skip


def test_each_source_finds_its_own_columns_and_rows_name_their_source(three):
    config = SFTConfig(pretrain="m", dataset=", ".join(three), dataset_caps=(0, 5, 3))
    examples = read_examples(config)
    assert [example.source for example in examples] == [three[0]] * 30 + [three[1]] * 5 + [three[2]] * 3
    assert [example.row for example in examples[:30]] == list(range(1, 31))
    assert all(example.messages[0]["content"] == f"i{example.row - 1}" for example in examples[35:])
    shares = read_examples(config.with_(dataset_caps=None, dataset_probs=(1, 1, 1), max_samples=12))
    assert len(shares) == 12 and {example.source for example in shares} == set(three)


def test_held_out_rows_are_all_used(three):
    config = SFTConfig(pretrain="m", dataset=three[0], eval_dataset=f"{three[1]},{three[2]}", dataset_caps=(5,), max_samples=2)  # fmt: skip
    assert len(read_examples(config, "eval")) == 30


def test_a_fault_names_file_and_row(three, tmp_path):
    bad = write(tmp_path / "bad.jsonl", [{"prompt": "p", "response": "r"}, {"prompt": "p", "response": []}])
    with pytest.raises(DataError, match=r"bad.jsonl, row 2, field 'response'"):
        read_examples(SFTConfig(pretrain="m", dataset=f"{three[0]},{bad}"))
    other = write(tmp_path / "other.jsonl", [{"left": "p", "right": "r"}])
    with pytest.raises(DataError, match=r"other.jsonl: no column 'prompt'"):
        read_examples(SFTConfig(pretrain="m", dataset=f"{three[0]},{other}"))


def test_named_columns_of_one_source_beside_the_known_shapes_of_others(three, tmp_path):
    asked = write(tmp_path / "asked.jsonl", [{"question": "q", "answer": "a"}])
    config = SFTConfig(pretrain="m", dataset=", ".join([asked, *three]), input_key="question", output_key="answer")  # fmt: skip
    assert len(read_examples(config)) == 61
    with pytest.raises(DataError, match="no column 'qestion'"):  # but a wrong name stays a fault
        read_examples(config.with_(input_key="qestion"))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data is not at {REAL}")
def test_real_alpaca_and_dolly_as_they_are_and_mixed():
    alpaca, dolly = str(REAL / "alpaca_2000.jsonl"), str(REAL / "dolly_3k.jsonl")
    config = SFTConfig(pretrain="m", dataset=f"{alpaca},{dolly}")
    examples = read_examples(config)
    assert len(examples) == 2000 + 2996
    assert {example.task for example in examples if example.source == alpaca} == {""}
    assert len({example.task for example in examples if example.source == dolly}) == 8
    raw = json.loads(Path(dolly).read_text(encoding="utf-8").splitlines()[41])
    same = next(example for example in examples if (example.source, example.row) == (dolly, 42))
    asked = "\n\n".join(filter(None, [raw["instruction"], raw["input"]]))
    assert [turn["content"] for turn in same.messages] == [asked, raw["output"]]
    half = read_examples(config.with_(dataset_probs=(0.5, 0.5), dataset_caps=(500, 0)))
    assert len(half) == 1000 and sum(example.source == dolly for example in half) == 500


def test_a_template_that_refuses_a_row_names_its_source(three, tiny_model, tmp_path):
    strict = "{% if messages[0]['content'] == 'i4' %}{{ raise_exception('no') }}{% endif %}{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    (tmp_path / "strict.jinja").write_text(strict)
    config = SFTConfig(pretrain=str(tiny_model), dataset=",".join(three), chat_template=str(tmp_path / "strict.jinja"))  # fmt: skip
    with pytest.raises(DataError, match=r"alpaca.jsonl, row 5: .*no"):
        list(encoder(config).encode(read_examples(config)))
    rows = list(encoder(config.with_(chat_template=None)).encode(read_examples(config)))
    assert [(row.source, row.row) for row in rows[-1:]] == [(three[2], 10)]
