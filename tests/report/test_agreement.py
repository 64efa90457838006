"""Kappas and alpha: textbook figures, an independent library's, real votes, symmetries, edge cases that give a word."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit.errors import ReportError
from sftkit.report.agreement import (
    cohen_kappa,
    fleiss_kappa,
    human_ceiling,
    krippendorff_alpha,
    pairwise_kappa,
)

MISSING = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units
EXAMPLE_C = pd.DataFrame(
    {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
        "C": [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
    }
)
# Fleiss 1971 as tabulated by Wikipedia: how many of 14 raters chose each of five categories, ten items
FLEISS = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
          [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip


def test_krippendorffs_own_example():
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
    for level, value in published.items():
        found = krippendorff_alpha(EXAMPLE_C, level)
        assert found.value == pytest.approx(value, abs=5e-4) and found.low < found.value <= found.high
        assert (found.n, found.unscored) == (11, 1)


def test_fleiss_own_example():
    wide = pd.DataFrame([np.repeat(range(5), row) for row in FLEISS])
    found = fleiss_kappa(wide)
    assert found.value == pytest.approx(0.210, abs=5e-4) and found.n == 10
    assert found.low < 0.21 < found.high


def test_cohens_known_figures():
    """Wikipedia's grant example (.4); the weights by hand."""
    x, y = [1] * 25 + [0] * 25, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(x, y) == pytest.approx(0.4)
    a, b = [1, 2, 3, 3, 5], [1, 3, 3, 2, 4]
    for name, power in (("linear", 1), ("quadratic", 2)):
        seen = np.mean([abs(i - j) ** power for i, j in zip(a, b)])
        chance = np.mean([abs(i - j) ** power for i in a for j in b])
        assert cohen_kappa(a, b, name).value == pytest.approx(1 - seen / chance)
    assert cohen_kappa(["yes", "no", None], ["yes", "no", "no"]).unscored == 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([1, 2, 3, 5, None]), min_size=3, max_size=3), min_size=3, max_size=12)
)
def test_alpha_is_evalicas(rows):
    evalica = pytest.importorskip(
        "evalica", reason="the test extra is not installed: alpha is NOT cross-checked"
    )
    wide = pd.DataFrame(rows, dtype=float)
    for level in ("nominal", "ordinal", "interval"):
        found = krippendorff_alpha(wide, level, resamples=0)
        if not math.isnan(found.value):
            theirs = evalica.alpha(wide.T, level).alpha  # observers are its rows
            assert found.value == pytest.approx(theirs, abs=1e-9)


def test_kappa_of_the_same_votes_whichever_model_is_called_a(oracle):
    """The MT-Bench pairs of human means and GPT-4: .498, .352 and .300 by three ways of calling A; stacked .4984."""
    import json

    rows = pd.DataFrame(json.loads(oracle("ppi/mt_bench_ppi.json").read_text())["rows"])
    parts = rows["key"].str.split("|", expand=True)
    base = pd.DataFrame({"prompt_id": parts[0] + "|" + parts[3], "model_a": parts[1], "model_b": parts[2]})
    votes = pd.concat(
        [
            base.assign(rater="human:all", outcome=(np.sign(rows["human"] - 0.5) + 1) / 2),
            base.assign(rater="judge:gpt4", outcome=rows["judge"]),
        ]
    )
    found = pairwise_kappa(votes, "human:all", "judge:gpt4")
    assert found.n == 1814
    assert found.value == pytest.approx(0.4984, abs=5e-5)
    assert 0.45 < found.low < found.value < found.high < 0.55


def test_the_human_ceiling_of_mt_bench(mt_bench):
    assert round(human_ceiling(mt_bench(1)).value, 2) == 0.63
    assert round(human_ceiling(mt_bench(1), ties=False).value, 2) == 0.81


verdicts = st.lists(
    st.tuples(st.sampled_from([0, 0.5, 1, None]), st.sampled_from([0, 0.5, 1])), min_size=1, max_size=25
)


@settings(max_examples=40, deadline=None)
@given(verdicts, st.randoms(use_true_random=False))
def test_sides_names_and_order_change_no_kappa(said, random):
    def votes(a, b):
        one = pd.DataFrame(
            {"prompt_id": [f"p{i // 2}" for i in range(len(said))], "model_a": a, "model_b": b}
        )
        one["model_b"] = [f"{b}{i % 2}" for i in range(len(said))]
        return pd.concat(
            [one.assign(rater=r, outcome=[v[k] for v in said]) for k, r in enumerate(("human:x", "human:y"))],
            ignore_index=True,
        )

    plain = votes("base", "tuned")
    renamed = votes("zeta", "alpha")
    turned = plain.assign(
        model_a=plain["model_b"], model_b=plain["model_a"], outcome=1 - pd.to_numeric(plain["outcome"])
    )
    shuffled = plain.iloc[random.sample(range(len(plain)), len(plain))]
    kappa = pairwise_kappa(plain, "human:x", "human:y")
    for other in (renamed, turned, shuffled):
        again = pairwise_kappa(other, "human:x", "human:y")
        assert (again.n, again.unscored, again.note) == (kappa.n, kappa.unscored, kappa.note)
        for field in ("value", "se", "low", "high"):
            assert getattr(again, field) == pytest.approx(getattr(kappa, field), nan_ok=True, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([1, 2, 4, None]), min_size=2, max_size=2), min_size=2, max_size=15),
    st.randoms(use_true_random=False),
)
def test_order_of_items_and_raters_changes_no_alpha(rows, random):
    wide = pd.DataFrame(rows, dtype=float)
    other = wide.iloc[random.sample(range(len(wide)), len(wide)), ::-1]
    more = pd.concat([wide, pd.DataFrame([[3.0, None]] * 3)], ignore_index=True)
    for level in ("nominal", "ordinal", "interval"):
        plain, turned, longer = (krippendorff_alpha(w, level, resamples=200) for w in (wide, other, more))
        for field in ("value", "se", "low", "high"):
            assert getattr(turned, field) == pytest.approx(getattr(plain, field), nan_ok=True, abs=1e-9)
            assert getattr(longer, field) == pytest.approx(getattr(plain, field), nan_ok=True, abs=1e-9)
        assert longer.unscored == plain.unscored + 3


def test_edge_cases_give_a_word():
    same = pd.DataFrame({"x": [3] * 5, "y": [3] * 5})
    for found in (krippendorff_alpha(same, "ordinal"), fleiss_kappa(same), cohen_kappa(same["x"], same["y"])):
        assert "all verdicts are the same" in str(found) and found.n == 5
    alone = pd.DataFrame({"x": [1, 2, 3]})
    assert str(krippendorff_alpha(alone)) == "no scored votes; 3 unscored"
    assert str(cohen_kappa([], [])) == "no scored votes"
    one = krippendorff_alpha(pd.DataFrame({"x": [1], "y": [2]}))
    assert "one prompt" in one.note and -1 <= one.low <= one.value <= one.high <= 1
    perfect = cohen_kappa([1, 0] * 10, [1, 0] * 10)
    assert perfect.value == 1 and 0.5 < perfect.low < 0.9, "twenty agreements prove no certainty"
    with pytest.raises(ReportError, match="nominal, ordinal, interval"):
        krippendorff_alpha(same, "ratio")
    with pytest.raises(ReportError, match="3 verdicts and y has 2"):
        cohen_kappa([1, 2, 3], [1, 2])
    with pytest.raises(ReportError, match="'linear' or 'quadratic'"):
        cohen_kappa([1], [1], weights="cubic")
