"""Answers and a store for tests of the judge; no key and no price file of whoever runs them."""

import pandas as pd
import pytest

from sftkit.generation import Generations
from sftkit.ratings import RatingStore


@pytest.fixture
def store(tmp_path):
    return RatingStore(f"sqlite:///{tmp_path / 'ratings.db'}")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch, tmp_path):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "SFTKIT_PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def make_answers():
    def make(count=4, texts=None, task=None, reference=None):
        """texts: model -> text, or a function of the prompt's number."""
        texts = texts or {"base": "short", "tuned": "a longer answer"}
        rows = [
            {
                "prompt": f"question {i}",
                "model": name,
                "response": text(i) if callable(text) else text,
                "task": task,
                "reference": reference,
            }
            for i in range(count)
            for name, text in texts.items()
        ]
        return Generations.from_frame(pd.DataFrame(rows))

    return make
