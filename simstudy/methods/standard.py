"""From a covariance to standard errors and an interval: the one definition of both."""

from __future__ import annotations

import warnings

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.estimands import quantities, variances
from simstudy.likelihood.model import Model
from simstudy.methods.intervals import Interval, Summary
from simstudy.methods.protocol import Inference
from simstudy.records.block import AnswerError, numbers_due
from simstudy.status import Status


def standard(
    theta: Array,
    covariance: Array | None,
    status: Array,
    interval: Interval,
    level: float,
    model: Model,
    *,
    df: Array | float = np.inf,
    resampled: Array | None = None,
) -> Inference:
    """Take standard errors and an interval from a covariance; the one definition of both.

    Parameters
    ----------
    theta : (..., p)
    covariance : (..., p, p) or None
        nan where there is none; None for a method that has an interval only. Or `(..., q, q)` of
        all quantities, parameters and estimands, as resampled ones give it.
    status : (...)
        What is known already; `ok` becomes `negative_variance` or `not_finite` where that is so.
    interval : callable
    level : float
    model : Model
        Whose parameters theta are; its estimands are answered beside them.
    df : float or (..., q)
        Degrees of freedom, for intervals that have some.
    resampled : (..., R, p), optional
        Resampled estimates, for intervals that look at them.

    Returns
    -------
    Inference
        Of the q parameters and estimands; nan for all wherever the status is not `ok`.

    Raises
    ------
    AnswerError
        When a formula or an interval returned another shape, or no real numbers.
    """
    theta = np.asarray(theta, dtype=float)
    reported = quantities(model, theta)
    q, se = reported.shape[-1], np.full(reported.shape, np.nan)
    variance = None if covariance is None else _variances(model, theta, covariance, q)
    status = numbers_due("the status", status, theta.shape[:-1]).astype(np.int8)
    if variance is not None:
        status = np.asarray(np.where(status == Status.ok, _judged(variance), status), np.int8)
        se = np.sqrt(np.where((status == Status.ok)[..., None], variance, np.nan))
    resampled = None if resampled is None else quantities(model, resampled)
    summary = Summary(reported, se, level, model.reported_supports, df, resampled)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        ends = interval(summary)
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise AnswerError(f"the interval returned {type(ends).__name__}; due are (lower, upper)")
    lower, upper = (
        numbers_due(f"the interval's {name} end", values, reported.shape)
        for name, values in zip(("lower", "upper"), ends, strict=True)
    )
    good = (status == Status.ok)[..., None]
    return Inference(se, np.where(good, lower, np.nan), np.where(good, upper, np.nan), status)


def _variances(model: Model, theta: Array, covariance: Array, q: int) -> Array:
    """Return the variances `(..., q)` of all quantities from a covariance of them or of theta."""
    p = theta.shape[-1]
    width = q if np.shape(covariance)[-1:] == (q,) else p
    covariance = numbers_due("the covariance", covariance, (*theta.shape[:-1], width, width))
    if width == q:
        return np.diagonal(covariance, axis1=-2, axis2=-1)
    return variances(model, theta, covariance)


def _judged(variance: Array) -> Array:
    """Say which variances `(..., q)` are those of an answer: a status `(...)`."""
    finite = np.isfinite(variance).all(axis=-1) & (variance != 0).all(axis=-1)
    found = np.where(finite, Status.ok, Status.not_finite)
    return np.asarray(np.where((variance < 0).any(axis=-1), Status.negative_variance, found))
