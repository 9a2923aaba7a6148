"""Refits under weights on the observations, one after another: the loop engine's way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simstudy.arrays import Array, Data, take
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import Objective, own_derivatives
from simstudy.status import Status


def refits(target: Objective, theta: Array, weights: Array) -> Array:
    """Fit again under every row of weights, each time from theta by Newton's method.

    Parameters
    ----------
    target : Objective
        The model bound to the data.
    theta : (p,)
        Where each refit sets out: the estimate.
    weights : (R, n)
        How often each observation counts; not negative.

    Returns
    -------
    (R, p)
        nan in the rows of refits that failed.
    """
    return np.array([refit(target, theta, row) for row in weights]).reshape(-1, len(theta))


def refit(target: Objective, theta: Array, weights: Array) -> Array:
    """Fit under weights `(n,)` from theta `(p,)`; nan where that fails."""
    try:
        fit = maximize(weighted(target, weights), theta, optimizer=None)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return np.full_like(theta, np.nan)
    return fit.theta if fit.status == Status.ok else np.full_like(theta, np.nan)


def weighted(target: Objective, weights: Array) -> Objective:
    """Return the objective in which observation i counts `weights[i]` times, with own derivatives.

    Whole numbers take rows, on which all functions of the model work unchanged. Other weights
    multiply the terms and their scores; the Hessian is a sum and cannot be weighted afterwards.

    Raises
    ------
    ValueError
        When no observation counts.
    """
    own = own_derivatives(target)
    rows = np.flatnonzero(weights)
    if not len(rows):
        raise ValueError("all weights are zero: there are no observations to fit")
    if (weights == np.round(weights)).all() and weights.sum() <= len(weights):
        rows = np.repeat(np.arange(len(weights)), np.asarray(weights, dtype=int))
        return replace(own, data=take(own.data, rows))
    kept, score = np.asarray(weights, dtype=float)[rows], own.score

    def loglik(theta: Array, data: Data) -> Array:
        return kept * own.model.loglik(theta, data)

    def weighted_score(theta: Array, data: Data) -> Array:
        assert score is not None
        return kept[:, None] * np.asarray(score(theta, data))

    model = replace(own.model, loglik=loglik, score=weighted_score if score else None, hessian=None)
    return Objective(model, take(own.data, rows), model.score, None)
