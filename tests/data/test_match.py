"""The match report: a planted shift is told with its figures, and rows drawn at random are told to be alike."""

from __future__ import annotations

import random

import numpy as np
import pytest

import sftkit as sk
from sftkit.data.lens import distances

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "ra", "to", "lis", "mek")]
ENGLISH = "the of and to in is that it for was on are with as at by".split()


def rows(count: int, seed: int, *, tasks=("qa", "code", "poem"), weights=(6, 3, 1), long=40, words=WORDS) -> list[dict]:  # fmt: skip
    chance = random.Random(seed)
    return [
        {
            "prompt": " ".join(chance.choices([*ENGLISH, *words[:100]], k=chance.randint(6, 20))),
            "response": " ".join(chance.choices([*ENGLISH * 5, *words], k=chance.randint(10, long))),
            "task": chance.choices(tasks, weights)[0],
        }
        for _ in range(count)
    ]


def levels(found: sk.Match) -> dict[str, str]:
    return dict(zip(found.traits["trait"], found.traits["level"]))


def test_random_rows_are_alike():
    found = [sk.match(rows(900, seed), rows(150, 100 + seed), progress=False) for seed in range(6)]
    off = [trait for one in found for trait, level in levels(one).items() if level != "alike"]
    assert len(off) <= 2, off  # of 36, each with a chance of 1 in 100
    assert all(one.alike for one in found) and "as alike as rows drawn at random" in str(found[0])


@pytest.mark.parametrize(
    ("trait", "planted"),
    [
        ("task types", {"weights": (1, 3, 6)}),
        ("answer lengths", {"long": 120}),
        ("words", {"words": WORDS[:60]}),
    ],
)
def test_a_planted_shift_is_found(trait, planted):
    found = sk.match(rows(900, 1), rows(150, 2, **planted), progress=False)
    assert levels(found)[trait] == "differs" and not found.alike
    line = found.traits.set_index("trait").loc[trait]
    assert line["distance"] > line["noise"] > 0
    assert str(line["verdict"]).startswith("not alike: ")


def test_languages_and_turns():
    talk = [{"messages": [{"role": role, "content": "Where is the way to the old harbour of the town?"} for role in ("user", "assistant") * 2]} for _ in range(40)]  # fmt: skip
    train = [{"messages": [{"role": "user", "content": f"What is the name of this? {n}"}, {"role": "assistant", "content": "It is the name of the house."}]} for n in range(300)]  # fmt: skip
    evals = [{"messages": [{"role": "user", "content": f"这是什么名字？{n}"}, {"role": "assistant", "content": "这是房子的名字。"}]} for n in range(60)]  # fmt: skip
    found = sk.match(train, [*evals, *talk], progress=False)
    assert levels(found)["languages"] == levels(found)["turns"] == "differs"
    assert "zh (0.0% of train, 60.0% of eval)" in str(found) and "4 (0.0% of train, 40.0% of eval)" in str(found)  # fmt: skip
    assert found.guessed == "guessed by rules"


def test_missing_thin_and_new_task_types():
    train = [*rows(100, 1, tasks=("qa",), weights=(1,)), *rows(20, 2, tasks=("<b>poem</b>",), weights=(1,)), *rows(30, 3, tasks=("code",), weights=(1,))]  # fmt: skip
    evals = [*rows(50, 4, tasks=("qa",), weights=(1,)), *rows(9, 5, tasks=("code",), weights=(1,)), *rows(1, 6, tasks=("maths",), weights=(1,))]  # fmt: skip
    found = sk.match(train, evals, progress=False)
    assert (found.missing, found.thin, found.new) == (["<b>poem</b>"], ["code"], ["maths"])
    assert found.tasks.set_index("task").loc["code", ["train_rows", "eval_rows"]].tolist() == [30, 9]
    assert not found.alike and "Trained and not evaluated: <b>poem</b>." in str(found)
    assert "<b>poem" not in found.html() and "&lt;b&gt;poem" in found.html()
    assert "缺失" in found.html("zh") and "评估数据与训练数据对比" in found.html("zh")


def test_too_few_rows_are_called_too_few():
    found = sk.match(rows(300, 1), rows(5, 2), progress=False)
    assert levels(found)["prompt lengths"] == "few" and "too few eval rows to tell" in str(found)


def test_distances_against_their_definitions():
    from scipy.stats import ks_2samp

    chance = np.random.default_rng(0)
    one, other = chance.normal(size=200), chance.normal(0.3, size=70)
    assert distances.ks(one, other) == pytest.approx(ks_2samp(one, other).statistic)
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    m = (p + q) / 2
    divergence = 0.5 * (p[:2] * np.log2(p[:2] / m[:2])).sum() + 0.5 * (q * np.log2(q / m)).sum()
    assert distances.js(p, q) == pytest.approx(divergence**0.5)
    assert distances.js(p, p) == 0 and distances.js(np.array([1, 0]), np.array([0, 1])) == 1
    assert distances.wasserstein(one, one + 2) == pytest.approx(2)
