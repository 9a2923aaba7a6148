"""Estimands: functions of theta that are reported beside the parameters.

Everything that is reported of a model stands side by side: its p parameters, then its estimands, q
quantities together.
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.model import Model
from simstudy.likelihood.schemes import central_gradient
from simstudy.likelihood.supports import from_working, slopes, to_working

STEP = 0.01
"""Of the differences, in standard errors: an estimand is smooth over one if G V G' holds at all."""


def quantities(model: Model, theta: Array) -> Array:
    """Put the estimands beside the parameters: `(..., p)` to `(..., q)`.

    Raises
    ------
    ValueError
        When an estimand is not one real number.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from simstudy.likelihood.estimands import quantities
    >>> from simstudy.models import gamma
    >>> model = replace(gamma.MODEL, estimands={"mean": lambda theta: theta[0] / theta[1]})
    >>> quantities(model, np.array([3.0, 2.0])).tolist()
    [3.0, 2.0, 1.5]
    """
    theta = np.asarray(theta, dtype=float)
    if not model.estimands:
        return theta
    flat = theta.reshape(-1, theta.shape[-1])
    found = np.array([_estimands(model, one) for one in flat])
    return np.concatenate([theta, found.reshape(*theta.shape[:-1], -1)], axis=-1)


def variances(model: Model, theta: Array, covariance: Array) -> Array:
    """Variances of all quantities, `(..., q)`, from the covariance `(..., p, p)` of theta.

    Those of estimands are G V G', the delta method (Oehlert 1992, American Statistician 46:27).
    """
    known = np.diagonal(covariance, axis1=-2, axis2=-1)
    if not model.estimands:
        return known
    p = theta.shape[-1]
    flat = zip(theta.reshape(-1, p), covariance.reshape(-1, p, p), strict=True)
    found = np.array([_delta(model, one, v) for one, v in flat])
    return np.concatenate([known, found.reshape(*known.shape[:-1], -1)], axis=-1)


def _estimands(model: Model, theta: Array) -> Array:
    """Return the estimands `(k,)` at theta `(p,)`, nan where theta is."""
    if not np.isfinite(theta).all():
        return np.full(len(model.estimands), np.nan)
    return np.array([_number(name, f(theta)) for name, f in model.estimands.items()])


def _number(name: str, value: object) -> float:
    """Refuse what is not one real number."""
    found = np.asarray(value)
    if found.ndim or found.dtype.kind not in "fiu":
        came = f"the shape {found.shape}" if found.ndim else f"the type {found.dtype}"
        raise ValueError(
            f"estimand {name!r} has {came}; due is one real number: give each number its own "
            "estimand"
        )
    return float(found)


def _delta(model: Model, theta: Array, covariance: Array) -> Array:
    """Return the variances `(k,)` of the estimands at one theta; nan where theta has none."""
    variance = np.diagonal(covariance)
    if not (np.isfinite(covariance).all() and (variance > 0).all() and np.isfinite(theta).all()):
        return np.full(len(model.estimands), np.nan)
    slope = slopes(theta, model.supports)[0]

    def on_working(working: Array) -> Array:
        return _estimands(model, from_working(working, model.supports))

    step = STEP * np.sqrt(variance) / slope
    gradient = central_gradient(on_working, to_working(theta, model.supports), step) / slope
    found: Array = np.einsum("ki,ij,kj->k", gradient, covariance, gradient)
    return found
