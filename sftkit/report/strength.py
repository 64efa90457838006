"""Several models on one scale: Bradley-Terry with ties and intervals, every pair of models, and other ways to rank.

bradley_terry(votes)      # model, log_strength, low, high, ...
pair_matrix(votes)        # model, against, win_rate, low, high, ...
rankings(votes)           # the same votes ranked seven ways
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, stdtrit

from sftkit.errors import ReportError
from sftkit.report.estimates import LEVEL, by_name, means
from sftkit.report.logistic import fit, sandwich

WEAK = 0.25  # precision of the prior N(0, 2^2) that keeps a model that never lost from infinity
STRENGTH = ["model", "log_strength", "low", "high", "se", "n", "rank", "rank_low", "rank_high", "note"]
WAYS = ("average_win_rate", "bradley_terry", "counting", "eigen", "elo", "newman", "pagerank")


def bradley_terry(votes: pd.DataFrame, ties: str = "half") -> pd.DataFrame:
    """Strength of every model: P(i beats j) = 1 / (1 + exp(s_j - s_i)) (Bradley and Terry 1952), the mean of all s being 0.

    ties: "half" counts a tie as half a win for both, as AlpacaEval, Chatbot Arena and evalica do; "model" gives ties a
    probability of their own (Davidson 1970; the ties of Newman 2023).
    Columns model, log_strength, low, high (95 %), se, n (scored votes), rank, rank_low, rank_high, note; the strongest
    first. Intervals: sandwich errors clustered by prompt. rank_low to rank_high: the ranks left when only differences
    with a 95 % interval beyond 0 count. Where votes alone would put a model at infinity (it never lost, or no vote
    links it to the rest), a weak prior N(0, 2^2) is used for all and the note says so. Votes of all raters count.
    """
    if ties not in ("half", "model"):
        raise ReportError(f"ties are 'half' a win or a 'model' of their own, not {ties!r}")
    told = by_name(votes)
    told = told[told["outcome"].notna()]
    if told.empty:
        return pd.DataFrame(columns=STRENGTH)
    codes, names = pd.factorize(pd.concat([told["model_a"], told["model_b"]]), sort=True)
    a, b = codes[: len(told)], codes[len(told) :]
    y = told["outcome"].to_numpy(float)
    notes = _loose(a, b, y, len(names))
    prior = (
        WEAK * np.eye(len(names)) * any(notes) + 1.0
    )  # the constant fixes the mean at 0 and pulls nowhere else
    solve = _half if ties == "half" else _davidson
    strength, covariance = solve(a, b, y, len(names), told["prompt_id"], prior)
    votes_of = np.bincount(codes, minlength=len(names))
    return _table(list(names), strength, covariance, told["prompt_id"].nunique(), votes_of, notes)


def strengths(a: np.ndarray, b: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Strengths alone, of models 0..k-1; ties and other shares count in part; the weak prior where needed."""
    prior = WEAK * np.eye(k) * any(_loose(a, b, y, k)) + 1.0
    return _of_pairs(a, b, y, k, prior)[0]


def _of_pairs(a, b, y, k, prior) -> tuple[np.ndarray, np.ndarray]:
    """Strengths and their Hessian, from the counts of each pair."""
    cell, pairs = pd.factorize(a.astype(np.int64) * k + b)
    n, won = np.bincount(cell), np.bincount(cell, weights=y)
    x = _incidence(pairs // k, pairs % k, k)
    return fit(x, x.T @ won, n, precision=prior)


def _incidence(a: np.ndarray, b: np.ndarray, k: int) -> Any:
    """1 for a and -1 for b in every row, (rows, k), sparse."""
    from scipy.sparse import csr_array

    rows, ones = np.arange(len(a)), np.ones(len(a))
    return csr_array((np.r_[ones, -ones], (np.r_[rows, rows], np.r_[a, b])), (len(a), k))


def _half(a, b, y, k, prompts, prior) -> tuple[np.ndarray, np.ndarray]:
    """Strengths and their covariance with ties as half wins."""
    strength, hessian = _of_pairs(a, b, y, k, prior)
    votes = _incidence(a, b, k)
    return strength, sandwich(votes, y - expit(strength[a] - strength[b]), hessian, prompts)


def _davidson(a, b, y, k, prompts, prior) -> tuple[np.ndarray, np.ndarray]:
    """The same with P(win) : P(tie) : P(loss) = exp(d/2) : exp(t) : exp(-d/2), d = s_a - s_b, t common to all pairs."""
    from scipy.sparse import csr_array, hstack

    side, tie = np.sign(y - 0.5) / 2, (y == 0.5).astype(float)
    x, ones = _incidence(a, b, k), np.ones(len(y))
    full = np.zeros((k + 1, k + 1))
    full[:k, :k] = prior
    full[k, k] = 1e-4  # without any tie its share goes to 0
    theta = np.zeros(k + 1)
    for _ in range(100):
        d = theta[a] - theta[b]
        odds = np.stack([d / 2, np.full(len(d), theta[k]), -d / 2])
        win, even, loss = np.exp(odds - odds.max(axis=0)) / np.exp(odds - odds.max(axis=0)).sum(axis=0)
        ahead = (win - loss) / 2
        pull_d, pull_t = side - ahead, tie - even
        mixed = x.T @ (-ahead * even)
        hessian = full.copy()
        hessian[:k, :k] += (x.T @ x.multiply(((win + loss) / 4 - ahead**2)[:, None]).tocsr()).toarray()
        hessian[:k, k] += mixed
        hessian[k, :k] += mixed
        hessian[k, k] += (even * (1 - even)).sum()
        gradient = np.r_[x.T @ pull_d, pull_t.sum()] - full @ theta
        step = np.linalg.solve(hessian, gradient)
        theta += step * min(1.0, 2 / np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    pulls = hstack([x.multiply(pull_d[:, None]), csr_array(pull_t[:, None])]).tocsr()
    return theta[:k], sandwich(pulls, ones, hessian, prompts)[:k, :k]


def _loose(a: np.ndarray, b: np.ndarray, y: np.ndarray, k: int) -> list[str]:
    """For each model, why its votes alone give no finite strength; "" where they do (Ford 1957)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    beats = csr_array((np.r_[y > 0, y < 1].astype(float), (np.r_[a, b], np.r_[b, a])), (k, k))
    beats.eliminate_zeros()
    linked, _ = connected_components(beats, directed=True, connection="weak")
    _, strong = connected_components(beats, directed=True, connection="strong")
    main = np.bincount(strong).argmax()
    won, lost = (np.bincount(np.r_[a, b], weights=np.r_[y, 1 - y], minlength=k) for y in (y, 1 - y))
    notes = []
    for model in range(k):
        if linked > 1:
            notes.append(
                f"no votes link all models ({linked} groups): strengths across groups rest on a prior"
            )
        elif strong[model] == main and (strong == main).sum() > 1:
            notes.append("")
        else:
            why = "never lost" if not lost[model] else "never won" if not won[model] else "one-sided votes"
            notes.append(f"{why}: a weak prior keeps it finite")
    return notes


def _table(names, strength, covariance, prompts, n, notes) -> pd.DataFrame:
    k = len(names)
    t = float(stdtrit(max(prompts - 1, 1), (1 + LEVEL) / 2))
    se = np.sqrt(np.maximum(np.diag(covariance), 0)) if prompts > 1 else np.full(k, np.nan)
    spread = np.sqrt(np.maximum(np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance, 0))
    gap = strength[:, None] - strength[None, :]
    sure = (np.abs(gap) > t * spread) & (np.abs(gap) > 1e-9) if prompts > 1 else np.zeros((k, k), bool)
    if prompts == 1:
        notes = [note or "one prompt: its spread is not known" for note in notes]
    found = {
        "model": names,
        "log_strength": strength,
        "low": strength - t * se,
        "high": strength + t * se,
        "se": se,
        "n": n,
        "rank": 1 + (gap < -1e-9).sum(axis=1),
        "rank_low": 1 + (sure & (gap < 0)).sum(axis=1),
        "rank_high": k - (sure & (gap > 0)).sum(axis=1),
        "note": notes,
    }
    return pd.DataFrame(found).sort_values(
        ["log_strength", "model"], ascending=[False, True], ignore_index=True
    )


def pair_matrix(votes: pd.DataFrame) -> pd.DataFrame:
    """Win rate of every model against every other that it met: columns model, against, win_rate, low, high, n, unscored.

    Both directions are there. Intervals as `win_rate` makes them, clustered by prompt. Votes of all raters count.
    """
    told = by_name(votes)
    cell = pd.MultiIndex.from_frame(told[["model_a", "model_b"]])
    codes, pairs = cell.factorize()
    scored = told["outcome"].notna().to_numpy()
    found = means(told["outcome"][scored], codes[scored], told["prompt_id"][scored])
    found = found.reindex(range(len(pairs)))
    one = pd.DataFrame(pairs.tolist(), columns=["model", "against"]).astype(object)
    one = one.assign(win_rate=found["value"], low=found["low"], high=found["high"])
    one["n"] = found["n"].fillna(0).astype(int)
    one["unscored"] = np.bincount(codes[~scored], minlength=len(pairs))
    other = one.rename(columns={"model": "against", "against": "model"})
    other = other.assign(win_rate=1 - one["win_rate"], low=1 - one["high"], high=1 - one["low"])
    both = pd.concat([one, other[one.columns]], ignore_index=True)
    return both.sort_values(["model", "against"], ignore_index=True)


def rankings(votes: pd.DataFrame, ways: tuple[str, ...] = WAYS) -> pd.DataFrame:
    """The same votes ranked several ways, as evalica does (Ustalov 2025): columns algorithm, model, score, rank.

    A ranking that holds whichever way is taken needs no defence. Elo alone depends on the order of the votes. Scores
    are evalica's, on scales of their own.
    """
    import evalica

    if unknown := [way for way in ways if way not in WAYS]:
        raise ReportError(f"no such ranking: {', '.join(map(str, unknown))}; there are {', '.join(WAYS)}")
    told = by_name(votes)
    told = told[told["outcome"].notna()]
    winner = np.sign(told["outcome"] - 0.5).map(
        {1.0: evalica.Winner.X, 0.0: evalica.Winner.Draw, -1.0: evalica.Winner.Y}
    )
    parts = []
    for way in ways if len(told) else ():
        more = {} if way in ("counting", "average_win_rate", "elo") else {"limit": 10_000, "tolerance": 1e-10}
        scores = getattr(evalica, way)(told["model_a"], told["model_b"], winner, **more).scores
        table = pd.DataFrame({"algorithm": way, "model": list(scores.index), "score": scores.to_numpy(float)})
        table["rank"] = table["score"].rank(ascending=False, method="min").astype(int)
        parts.append(table.sort_values(["rank", "model"]))
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["algorithm", "model", "score", "rank"])
    )
