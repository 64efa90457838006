"""Generations: what it takes, what it refuses, what it shows, and that a file gives back the same table."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit.errors import GenerationError
from sftkit.generation import Generations
from sftkit.generation.table import COLUMNS, prompt_id_of


def answers(**extra):
    rows = [
        {"prompt": "2+2?", "model": "base", "response": "five"},
        {"prompt": "2+2?", "model": "tuned", "response": "4"},
        {"prompt": [{"role": "user", "content": "中文?"}], "model": "base", "response": ""},
        {"prompt": [{"role": "user", "content": "中文?"}], "model": "tuned", "response": "好"},
    ]
    return pd.DataFrame([row | extra for row in rows])


def test_prompt_model_and_response_are_enough():
    made = Generations.from_frame(answers())
    assert list(made.frame.columns) == list(COLUMNS)
    assert made.models == ["base", "tuned"]
    assert made.prompts["prompt"].tolist()[0] == [{"role": "user", "content": "2+2?"}]
    first = made.prompts["prompt_id"][0]
    assert first == prompt_id_of([{"role": "user", "content": "2+2?"}]) and len(first) == 12
    assert made.response(first, "tuned") == "4"
    assert made.frame["task"].tolist() == [None] * 4


def test_prompt_id_is_pinned():
    # sha256 of [{"content":"2+2?","role":"user"}]; a change would orphan every stored rating
    assert prompt_id_of([{"role": "user", "content": "2+2?"}]) == "ed60fcb98482"


def test_parquet_gives_back_the_same_table(tmp_path):
    made = Generations.from_frame(
        answers(
            task="math",
            reference="4",
            finish_reason="stop",
            tokens=3,
            seconds=0.5,
            sampling={"temperature": 0.0},
            fingerprint="ab",
        )
    )
    again = Generations.load(made.save(tmp_path / "deep" / "answers.parquet"))
    pd.testing.assert_frame_equal(again.frame, made.frame)
    assert again.frame["sampling"][0] == {"temperature": 0.0}


def test_unknown_values_survive_parquet(tmp_path):
    made = Generations.from_frame(answers(tokens=None, task=float("nan"), reference=["4", "four"]))
    again = Generations.load(made.save(tmp_path / "a.parquet"))
    assert again.frame["tokens"].isna().all() and again.frame["task"].tolist() == [None] * 4
    assert json.loads(again.frame["reference"][0]) == ["4", "four"]


def test_every_fault_is_named_at_once():
    bad = answers()
    bad.loc[1, "response"] = None
    bad.at[2, "prompt"] = [{"role": "wizard", "content": "x"}]
    with pytest.raises(GenerationError) as caught:
        Generations.from_frame(bad)
    assert (
        "2 fault(s)" in str(caught.value) and "row 1" in str(caught.value) and "wizard" in str(caught.value)
    )
    with pytest.raises(GenerationError, match=r"lack the column.*model, response"):
        Generations.from_frame(pd.DataFrame({"prompt": ["x"]}))
    with pytest.raises(GenerationError, match="more than one answer"):
        Generations.from_frame(pd.concat([answers(), answers()]))
    with pytest.raises(GenerationError, match="different prompts"):
        Generations.from_frame(answers(prompt_id="same").drop([1, 2]))


def test_missing_files_and_answers_say_what_to_do(tmp_path):
    with pytest.raises(GenerationError, match="no answers at"):
        Generations.load(tmp_path / "none.parquet")
    (tmp_path / "junk.parquet").write_text("junk", encoding="utf-8")
    with pytest.raises(GenerationError, match="not a readable Parquet"):
        Generations.load(tmp_path / "junk.parquet")
    with pytest.raises(GenerationError, match="models: base, tuned"):
        Generations.from_frame(answers()).response("nope", "base")


def test_pairs_compare_every_model_with_the_first():
    third = answers().assign(model=lambda f: f["model"].replace({"base": "third"}))
    rows = pd.concat([answers(), third[third["model"] == "third"].head(1)])
    pairs = Generations.from_frame(rows).pairs()
    assert list(zip(pairs["model_a"], pairs["model_b"], pairs["response_b"], strict=True)) == [
        ("base", "tuned", "4"),
        ("base", "tuned", "好"),
        ("base", "third", "five"),  # the second prompt has no answer of third
    ]
    assert Generations.from_frame(answers().head(1)).pairs().empty


def test_preview_is_escaped_and_short():
    rows = answers()
    rows["response"] = "<script>alert(1)</script>" + "x" * 1000
    page = Generations.from_frame(rows)._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and len(page) < 4000


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(tmp_path_factory, prompt, response):
    made = Generations.from_frame(pd.DataFrame([{"prompt": prompt, "model": "m", "response": response}]))
    again = Generations.load(made.save(tmp_path_factory.mktemp("t") / "a.parquet"))
    assert again.frame["response"][0] == response
    assert again.frame["prompt"][0] == [{"role": "user", "content": prompt}]


def test_the_kernel_side_loads_no_torch():
    code = "import sys, sftkit.generation as g; g.Generations; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
