"""The mix as told is the mix that training draws: the same rows, and the tokens that its encoder counts."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import pytest
from IPython.core.formatters import DisplayFormatter

import sftkit as sk
from sftkit.data import encoder, patches, read_examples
from tests.conftest import write_rows, write_tokenizer


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    write_tokenizer(tmp_path / "model")
    first = write_rows(tmp_path / "first.jsonl", 120, seed=1)
    rows = [{"prompt": f"Name {n}.", "response": f"The sum is {n}. " * 12} for n in range(300)]
    (tmp_path / "second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rows(tmp_path / "third $x$.jsonl", 40, seed=3)
    return [str(first), str(tmp_path / "second.jsonl"), str(tmp_path / "third $x$.jsonl")]


CASES = {
    "all": {},
    "probabilities": {"dataset_probs": (0.5, 0.3, 0.2)},
    "caps": {"dataset_caps": (0, 50, 10)},
    "both": {"dataset_probs": (1, 2, 1), "dataset_caps": (0, 100, 0)},
    "most": {"dataset_probs": (0.5, 0.3, 0.2), "max_samples": 60, "max_epochs": 3},
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_told_and_trained_are_the_same(sources, tmp_path, settings):
    patches.exclude(sources[1], range(1, 31))
    config = sk.SFTConfig(pretrain=str(tmp_path / "model"), dataset=",".join(sources), max_len=128, **settings)  # fmt: skip
    found = sk.mix(config, sample=None, progress=False)
    trained = read_examples(config)
    assert dict(zip(found.frame["source"], found.frame["used"])) == Counter(one.source for one in trained)
    encoded = list(encoder(config).encode(trained))
    for one in found.found:
        mine = [row for row in encoded if row.source == one.source]
        assert one.tokens == sum(row.used for row in mine)
        assert one.trained == sum(int(row.loss_mask[1 : row.used].sum()) for row in mine)
        assert one.rows == one.excluded + one.capped + one.by_probs + one.by_max_samples + one.used
        assert one.epochs == pytest.approx(config.max_epochs * one.used / (one.rows - one.excluded))
    assert found.frame["excluded"].tolist() == [0, 30, 0]
    for share in ("share_rows", "share_tokens", "share_trained"):
        assert found.frame[share].sum() == pytest.approx(1)


def test_a_sample_estimates_and_says_so(sources, tmp_path):
    config = sk.SFTConfig(pretrain=str(tmp_path / "model"), dataset=",".join(sources))
    whole, part = (sk.mix(config, sample=size, progress=False) for size in (None, 60))
    assert part.estimated and not whole.estimated and "Tokens are estimated" in str(part)
    assert part.frame["tokens"].tolist() == pytest.approx(whole.frame["tokens"].tolist(), rel=0.15)
    assert part.frame["used"].tolist() == whole.frame["used"].tolist()


def test_what_is_worth_knowing_is_said(sources, tmp_path):
    config = sk.SFTConfig(pretrain=str(tmp_path / "model"), dataset=",".join(sources[:2]), dataset_probs=(0.5, 0.5))  # fmt: skip
    found = sk.mix(config, progress=False)
    assert f"{sources[0]} is the scarcest for its share" in str(found)
    assert f"{sources[1]}: 180 of 300 rows are never seen." in str(found)
    assert f"{sources[1]}: 50% of the rows was asked for, which is" in str(found)
    assert "180 by dataset_probs" in found.html() and "dataset_probs 去掉 180 行" in found.html("zh")


def test_without_a_tokenizer_characters_are_counted(sources):
    found = sk.mix(sources[0], progress=False)
    texts = [example.messages for example in read_examples(sk.SFTConfig(pretrain="none", dataset=sources[0]))]
    assert found.frame["tokens"][0] == sum(len(one["content"]) for messages in texts for one in messages)
    assert "Characters are counted" in str(found)


def test_the_picture(sources, tmp_path):
    config = sk.SFTConfig(pretrain=str(tmp_path / "model"), dataset=",".join(sources), dataset_probs=(1, 1, 2))  # fmt: skip
    found = sk.mix(config, progress=False)
    figure = found.figure()
    figure.savefig(tmp_path / "mix.png")  # a file called $x$ is no formula
    bars = [round(bar.get_width(), 6) for bar in figure.axes[0].containers[1]]
    assert bars == [round(100 * share, 6) for share in found.frame["share_rows"]]
    assert (tmp_path / "mix.png").stat().st_size > 5000
    shown, _ = DisplayFormatter().format(figure)  # as a cell shows it, where nobody said %matplotlib inline
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG") and shown["text/plain"].startswith(
        "<Picture"
    )
