"""Hessians and scores of an objective by differences along the problem's own axes."""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.axes import (
    SLOPE_STEP,
    axes_of,
    by_gradients,
    by_values,
    first_axes,
    inverted,
    own_axes,
)
from simstudy.likelihood.curvature import Differenced, invert
from simstudy.likelihood.extrapolation import TRUSTED, differenced
from simstudy.likelihood.objective import Objective, natural_hessian, values_of
from simstudy.likelihood.supports import from_working, slopes, to_working
from simstudy.status import Status


def rise_hessian(target: Objective, theta: Array, near: Array | None = None) -> Differenced:
    """Hessian of f at theta, by differences along the problem's own axes.

    See `simstudy.likelihood.axes`. The differences are taken on the working scale, which has no
    boundary to step over, and turned into the Hessian with respect to theta.

    Parameters
    ----------
    target : Objective
    theta : (p,)
    near : (p, p), optional
        A Hessian with respect to theta from which to take the first axes.
    """
    supports = target.model.supports
    x, axes, _ = _axes_at(target, theta, near)
    gradient, found = differenced(values_of(target), x, np.array([target.value(theta)]), axes)
    hessian = natural_hessian(gradient, found.matrix, theta, supports)
    return Differenced(hessian, found.error, found.status)[0]


def score_hessian(target: Objective, theta: Array, near: Array | None = None) -> Array:
    """Hessian of f at theta `(p, p)`, by differences of the exact score along the own axes."""
    supports = target.model.supports
    x, axes, _ = _axes_at(target, theta, near)

    def gradient(working: Array) -> Array:
        there = from_working(working, supports)
        return target.gradient(there) * slopes(there, supports)[0]

    value = np.array([target.value(theta)])
    found = own_axes(by_gradients(gradient, x[0]), value, axes)
    inverse = inverted(found.axes[0])
    working = inverse.T @ found.hessian[0] @ inverse
    return natural_hessian(gradient(x[0]), (working + working.T) / 2, theta, supports)


def score_differences(target: Objective, theta: Array) -> Array:
    """Scores `(n, p)` by differences of the log-likelihood per observation along the own axes."""
    return _scores(target, theta, None)[0]


def central_scores(target: Objective, theta: Array, near: Array | None = None) -> Differenced:
    """S, the sum of s s', from `score_differences`; its error is told by two and four points."""
    fine, rough = _scores(target, theta, near)
    s = fine.T @ fine
    found, coarse = (np.diagonal(invert(m).covariance) for m in (s, rough.T @ rough))
    error = np.abs(coarse / found - 1) / 2
    status = Status.ok if not error.max() > TRUSTED else Status.not_smooth
    return Differenced(s, error, np.int8(status))


def _scores(target: Objective, theta: Array, near: Array | None) -> tuple[Array, Array]:
    """Scores `(n, p)` with respect to theta by four points, and by the two near ones."""
    supports = target.model.supports
    x, axes, value = _axes_at(target, theta, near)
    axes = own_axes(by_values(values_of(target), x, value), value, axes).axes[0]

    def terms(working: Array) -> Array:
        return np.asarray(target.model.loglik(from_working(working, supports), target.data))

    moves = SLOPE_STEP * axes.T
    near_, far = (
        np.stack([terms(x[0] + k * move) - terms(x[0] - k * move) for move in moves], axis=-1)
        for k in (1, 2)
    )
    first = slopes(theta, supports)[0]
    back = inverted(axes) / first
    return (8 * near_ - far) @ back / (12 * SLOPE_STEP), near_ @ back / (2 * SLOPE_STEP)


def _axes_at(target: Objective, theta: Array, near: Array | None) -> tuple[Array, Array, Array]:
    """Return the point `(1, p)` on the working scale, first axes there, and the value of f."""
    supports = target.model.supports
    x, value = to_working(theta, supports)[None], np.array([target.value(theta)])
    if near is not None and np.isfinite(near).all():
        # At an estimate the gradient vanishes, and with it the bend of the map.
        first = slopes(theta, supports)[0]
        return x, axes_of(near * first[:, None] * first)[None], value
    return x, first_axes(values_of(target), x, value)[0], value
