"""The card of an exported model: what the run knows, no more, and nothing that breaks out of its cell."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from sftkit.config import SFTConfig
from sftkit.runs import model_card

SHA, COMMIT = "ab" * 32, "0123456789abcdef0123456789abcdef01234567"
PATCH = {"file": "plan.jsonl.patch.jsonl", "sha256": SHA, "edited": 2, "excluded": 31, "lost": 0}


@pytest.fixture
def card(tmp_path):
    """A function that writes a run of these settings, and returns the card of its model."""

    def make(name: str = "tuned", **settings) -> str:
        config = SFTConfig(
            **{
                "pretrain": "ana/base",
                "dataset": "/home/ana/secret/plan.jsonl",
                "eval_dataset": "eval.jsonl",
                **settings,
            }
        )
        record = {
            "config": config.to_dict(), "git_commit": COMMIT, "processes": 2, "created": "2026-11-25T10:00:00+00:00",
            "versions": {"sftkit-jupyter": "0.1.0", "torch": "2.13.0"},
            "machine": {"cpu": "EPYC <b>", "cores": 16, "system": "Linux 6"},
            "data": [
                {"path": config.dataset, "sha256": SHA, "rows": 1234, "split": "train", "patch": PATCH},
                {"path": "eval.jsonl", "sha256": None, "rows": None, "split": "eval"},
            ],
        }  # fmt: skip
        counts = {"rows": 1200, "kept": 1190, "truncated": 3, "shortened": 4, "nothing_to_train": 10, "tokens": 90_000, "trained_tokens": 30_000}  # fmt: skip
        lines = [{"step": 9, "loss": 1.25, "tokens": 180_000, "seconds": 12.5}, {"step": 9, "eval_loss": 1.5, "eval_loss_by_task": {"a|b": 1.75}}]  # fmt: skip
        (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
        (tmp_path / "data.json").write_text(json.dumps({"train": counts, "eval": None}), encoding="utf-8")
        (tmp_path / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )
        return model_card.text(tmp_path, name, "NVIDIA H100")

    return make


def test_it_says_what_the_run_knows(card):
    text = card(learning_rate=1e-4, max_epochs=2)
    for words in (
        "# tuned", "`ana/base`, all weights tuned", f"| `plan.jsonl` | train | 1,234 | `{SHA}` |",
        f"| `plan.jsonl` | `plan.jsonl.patch.jsonl` | 2 | 31 | `{SHA}` |",
        "| `eval.jsonl` | eval | not recorded | not recorded |", "| rows trained on | 1,190 |",
        "| rows left out, with nothing to train | 10 |", "| rows whose answer is cut at max_len | 3 |",
        "| tokens, over all epochs | 180,000 |", "| of them trained | 60,000 |", "| loss of the last step | 1.25 |",
        "| eval loss | 1.5, after step 9 |", r"| eval loss, a\|b | 1.75 |", "| `learning_rate` | `0.0001` |",
        f"| git commit of the folder it was launched from | `{COMMIT}` |", "| torch | 2.13.0 |", "NVIDIA H100, 2 process(es)",
        "AutoModelForCausalLM.from_pretrained(folder)",
    ):  # fmt: skip
        assert words in text, words
    assert "licence it may be used, it does not know" in text


def test_the_hub_can_read_its_head(card):
    head = yaml.safe_load(card(lora_rank=8).split("---\n")[1])
    assert (
        head["base_model"] == "ana/base" and head["library_name"] == "transformers" and "lora" in head["tags"]
    )
    assert "base_model" not in yaml.safe_load(card(pretrain="models/base/").split("---\n")[1])
    alone = card(lora_rank=8, merge_lora=False)
    assert yaml.safe_load(alone.split("---\n")[1])["library_name"] == "peft"
    assert "AutoPeftModelForCausalLM.from_pretrained(folder)" in alone


def test_the_code_in_it_is_python(card):
    for settings in ({}, {"lora_rank": 8, "merge_lora": False}):
        code = re.search(r"```python\n(.*?)```", card(name='a "b" ```c', **settings), re.DOTALL)[1]
        compile(code, "card", "exec")


def test_places_of_the_machine_and_secrets_stay_there(card):
    text = card(save_path="/home/ana/out", input_template="hf_abcdefghijklmnop1234 {}")
    assert "/home/ana" not in text and "hf_abcdefghijklmnop1234" not in text
    assert "save_path" not in text


def test_names_do_not_break_out(card):
    text = card(name="<img src=x>\n# no | `x`", eval_dataset="a`b|c.jsonl")
    assert "<img" not in text and "<b>" not in text
    assert r"# &lt;img src=x&gt; \# no \| \`x\`" in text
    assert '`` "a`b\\|c.jsonl" ``' in text or "`` a`b\\|c.jsonl ``" in text


def test_a_run_that_recorded_little_has_a_card_too(tmp_path):
    record = {"config": {"pretrain": "base", "dataset": "rows.jsonl"}}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    text = model_card.text(tmp_path, "tuned")
    assert "| optimizer steps | not recorded |" in text and "| eval loss | not measured |" in text


def test_the_readme_of_somebody_else_is_left_alone(tmp_path, card):
    assert model_card.name_for(tmp_path) == "README.md"
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    assert model_card.name_for(tmp_path) == "README-sftkit.md"
    (tmp_path / "README.md").write_text(card(), encoding="utf-8")
    assert model_card.name_for(tmp_path) == "README.md"
