"""From a covariance to standard errors and an interval: the one definition of both."""

from __future__ import annotations

import warnings

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.supports import Support
from simstudy.methods.intervals import Interval
from simstudy.methods.protocol import Inference
from simstudy.records.block import AnswerError, numbers_due
from simstudy.status import Status


def standard(
    theta: Array,
    covariance: Array,
    status: Array,
    interval: Interval,
    level: float,
    supports: tuple[Support, ...],
) -> Inference:
    """Take standard errors and an interval from a covariance; the one definition of both.

    Parameters
    ----------
    theta : (..., p)
    covariance : (..., p, p)
        nan where there is none.
    status : (...)
        What is known already; `ok` becomes `negative_variance` or `not_finite` where that is so.
    interval : callable
    level : float
    supports : tuple of str

    Returns
    -------
    Inference
        nan for all parameters wherever the status is not `ok`.

    Raises
    ------
    AnswerError
        When a formula or an interval returned another shape, or no real numbers.
    """
    theta = np.asarray(theta, dtype=float)
    covariance = numbers_due("the covariance", covariance, (*theta.shape, theta.shape[-1]))
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    status = numbers_due("the status", status, theta.shape[:-1]).astype(np.int8)
    finite = np.isfinite(variance).all(axis=-1) & (variance != 0).all(axis=-1)
    found = np.where(
        (variance < 0).any(axis=-1),
        Status.negative_variance,
        np.where(finite, Status.ok, Status.not_finite),
    )
    status = np.where(status == Status.ok, found, status).astype(np.int8)
    good = (status == Status.ok)[..., None]
    se = np.sqrt(np.where(good, variance, np.nan))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        ends = interval(theta, se, level, supports)
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise AnswerError(f"the interval returned {type(ends).__name__}; due are (lower, upper)")
    lower, upper = (
        numbers_due(f"the interval's {name} end", values, theta.shape)
        for name, values in zip(("lower", "upper"), ends, strict=True)
    )
    return Inference(se, np.where(good, lower, np.nan), np.where(good, upper, np.nan), status)
