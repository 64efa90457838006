"""Logistic regression with a prior, by Newton's method, and errors clustered by prompt. What strength, length control,
learned weights and the model of raters have in common.

The outcome may be any share 0..1 (a tie is half a win): only its products with the columns of x enter the fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

TOLERANCE = 1e-10  # of the last Newton step, in log-odds
ROUNDS = 100


def fit(
    x: Any,
    xty: np.ndarray,
    weight: Any = 1.0,
    centre: Any = 0.0,
    precision: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (K,) and the negative Hessian (K, K) at the maximum of the posterior.

    x: (rows, K), dense or scipy.sparse; xty: x.T @ (weight * outcome), (K,); weight: of each row; centre, precision:
    a normal prior's mean and inverse covariance; start: coefficients near the answer, where known. Newton's method with steps halved until the fit improves.
    """
    k = x.shape[1]
    precision = np.zeros((k, k)) if precision is None else precision
    centre = np.broadcast_to(np.asarray(centre, dtype=float), (k,))
    weight = np.broadcast_to(np.asarray(weight, dtype=float), (x.shape[0],))

    def loss(b: np.ndarray) -> float:
        away = b - centre
        return float(weight @ np.logaddexp(0, x @ b) - xty @ b + away @ precision @ away / 2)

    b, hessian = np.zeros(k) if start is None else start, precision
    best = loss(b)
    for _ in range(ROUNDS):
        p = expit(x @ b)
        gradient = xty - x.T @ (weight * p) - precision @ (b - centre)
        hessian = information(x, weight * p * (1 - p)) + precision
        step = _solved(hessian, gradient)
        size = 1.0
        while (now := loss(b + size * step)) > best + 1e-12 * abs(best) and size > 1e-6:
            size /= 2
        b, best = b + size * step, min(now, best)
        if np.abs(size * step).max(initial=0) < TOLERANCE:
            break
    return b, hessian


def _solved(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The Newton step; the shortest where nothing is known of a coefficient."""
    try:
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max(initial=0) < 1e6:
            return step
    except np.linalg.LinAlgError:
        pass
    return np.linalg.lstsq(hessian + 1e-12 * np.eye(len(hessian)), gradient, rcond=None)[0]


def information(x: Any, weight: np.ndarray) -> np.ndarray:
    """x.T diag(weight) x, dense."""
    if hasattr(x, "multiply"):
        return (x.T @ x.multiply(weight[:, None]).tocsr()).toarray()
    return x.T @ (x * weight[:, None])


def sandwich(x: Any, residual: np.ndarray, hessian: np.ndarray, clusters: Any) -> np.ndarray:
    """Covariance of the coefficients with rows of one cluster dependent: bread, meat, bread (Liang and Zeger 1986)."""
    inverse = np.linalg.pinv(hessian, hermitian=True)
    scores = cluster_sums(x, residual, clusters)
    g = scores.shape[0]
    meat = scores.T @ scores
    meat = meat.toarray() if hasattr(meat, "toarray") else meat
    return inverse @ meat @ inverse * (g / max(g - 1, 1))


def cluster_sums(x: Any, residual: np.ndarray, clusters: Any) -> Any:
    """What each cluster pulls at each coefficient: (clusters, K), dense or sparse as x is."""
    from scipy.sparse import csr_array

    codes, names = pd.factorize(np.asarray(clusters, dtype=object))
    gather = csr_array((residual, (codes, np.arange(len(codes)))), shape=(len(names), len(codes)))
    return gather @ x
