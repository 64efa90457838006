"""Real votes with published figures, kept outside the project: a test that lacks them says so and is skipped."""

from pathlib import Path

import pandas as pd
import pytest

ORACLES = Path(__file__).parents[3] / "shared" / "oracles"


@pytest.fixture(scope="session")
def oracle():
    """oracle("folder/file") is its path, or the test is skipped, loudly."""

    def path(name):
        if not (ORACLES / name).is_file():
            pytest.skip(
                f"REAL VOTES MISSING: {ORACLES / name} is not there, so published figures are NOT checked"
            )
        return ORACLES / name

    return path


@pytest.fixture(scope="session")
def mt_bench(oracle):
    """mt_bench(turn): expert votes ("human:…") and GPT-4's ("judge:gpt4_pair"); the published figures leave the authors out."""

    def votes(turn):
        human = pd.read_json(oracle("mt_bench_human/human.jsonl"), lines=True)
        gpt4 = pd.read_json(oracle("mt_bench_human/gpt4_pair.jsonl"), lines=True)
        both = pd.concat(
            [human.assign(rater="human:" + human["judge"]), gpt4.assign(rater="judge:gpt4_pair")]
        )
        both = both[(both["turn"] == turn) & ~both["judge"].str.startswith("author")]
        wins = both["winner"].map({"model_a": 1.0, "model_b": 0.0}).fillna(0.5)
        flip = both["winner"].eq("tie (inconsistent)").where(both["judge"].eq("gpt4_pair"))
        return both.assign(prompt_id=both["question_id"].astype(str), outcome=wins, flip=flip)

    return votes


@pytest.fixture(scope="session")
def alpaca(oracle):
    """AlpacaEval 2: GPT-4's preferences for seven models against gpt4_1106_preview, as votes with lengths."""
    frame = pd.read_csv(oracle("alpaca_eval2/annotations.csv.gz"))
    return frame.assign(
        prompt_id=frame["index"].astype(str),
        model_a=frame["model"],
        model_b="gpt4_1106_preview",
        rater="judge:weighted_alpaca_eval_gpt4_turbo",
        outcome=frame["preference"].replace(0, 1.5) - 1,
    )
