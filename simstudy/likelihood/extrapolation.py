"""Differences along the own axes, extrapolated, with their own error (Romberg)."""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.axes import (
    STEP,
    by_values,
    differences,
    first_axes,
    inverted,
    own_axes,
    pairs,
)
from simstudy.likelihood.curvature import Differenced
from simstudy.likelihood.noise import SPOILING, Values, noisy
from simstudy.status import Status

# A standard error that two extrapolations tell alike to this share is not looked at further.
ALIKE, TRUSTED = 3e-4, 0.01
LEVELS = 7


def differenced(
    values: Values, x: Array, value: Array, axes: Array | None = None
) -> tuple[Array, Differenced]:
    """Gradient and Hessian by differences along the problem's own axes, with their own error.

    Steps are halved and the answers extrapolated (Romberg) until two extrapolations give the same
    standard errors to 3e-4; what is told of the error is how far the last two are apart.

    Parameters
    ----------
    values : callable
    x : (B, p)
    value : (B,)
    axes : (B, p, p), optional
        Where to begin; along the parameters by default.

    Returns
    -------
    gradient : (B, p)
    Differenced
        The Hessian; the relative error of every standard error from it; `ok`, `noisy` or
        `not_smooth`.
    """
    if axes is None:
        axes, _ = first_axes(values, x, value)
    found = own_axes(by_values(values, x, value), value, axes)
    axes, p = found.axes, x.shape[-1]
    coarse = _beside(*differences(values, x, value, axes, 2 * STEP))
    first = _beside(found.gradient, found.hessian)
    known = np.isfinite(coarse).all(axis=(-1, -2))[:, None, None]
    table, last = [np.where(known, coarse, first)], np.full(x.shape, np.inf)
    best, error, step = first, np.full(x.shape, np.inf), np.full(len(x), STEP)
    steady = np.ones(x.shape, dtype=bool)
    for level in range(LEVELS):
        row = [_beside(*differences(values, x, value, axes, STEP / 2**level)) if level else first]
        for k, coarser in enumerate(table, 1):
            row.append(row[-1] + (row[-1] - coarser) / (4**k - 1))
        moved = _apart(axes, row[0], table[0])
        # Half the step divides the error of a smooth function by four, time and again.
        shrinks = (moved < last / 2) | (moved < 10 * ALIKE)
        apart = np.where(shrinks & steady, 0.0, np.maximum(moved / 3, 2 * TRUSTED))
        apart = np.maximum(apart, _apart(axes, row[-1], row[-2]))
        better = (level > 0) & (error.max(axis=-1) >= np.maximum(apart.max(axis=-1), ALIKE))
        error = np.where(better[:, None], apart, error)
        best = np.where(better[:, None, None], row[-1], best)
        step = np.where(better, STEP / 2**level, step)
        table, last, steady = row, moved, shrinks
        if (error < ALIKE).all():
            break
    error = np.maximum(error, _finer(values, x, value, axes, best, step / 4))
    status = np.full(len(x), Status.ok, dtype=np.int8)
    wrong = ~(error.max(axis=-1) <= TRUSTED)
    if wrong.any():
        noise = noisy(values, x, value, axes, SPOILING)
        status[wrong] = np.where(noise, Status.noisy, Status.not_smooth)[wrong]
    inverse = inverted(axes)
    back = np.swapaxes(inverse, -1, -2)
    hessian = back @ best[..., :p] @ inverse
    hessian = (hessian + np.swapaxes(hessian, -1, -2)) / 2
    return (back @ best[..., p:])[..., 0], Differenced(hessian, error, status)


def _finer(values: Values, x: Array, value: Array, axes: Array, found: Array, step: Array) -> Array:
    """Return by how much standard errors are off where f bends otherwise over much shorter steps.

    Zero where the curvature along every axis is that of the Hessian to a tenth: kinks closer
    together than the steps look like a parabola over these.
    """
    moves = step[:, None, None] * np.swapaxes(axes, -1, -2)
    above, below = pairs(values, x, moves)
    change = (above - value[:, None]) / 2 + (below - value[:, None]) / 2
    bend = np.diagonal(found, axis1=-2, axis2=-1)
    with np.errstate(all="ignore"):
        off = np.abs(2 * change / (step[:, None] ** 2 * bend) - 1)
    off = np.where(np.isfinite(off), off, 1.0)
    return np.where(off > 0.1, off, 0.0)


def _beside(gradient: Array, hessian: Array) -> Array:
    """Put a gradient beside the columns of a Hessian: both are extrapolated alike."""
    return np.concatenate([hessian, gradient[..., None]], axis=-1)


def _apart(axes: Array, one: Array, other: Array) -> Array:
    """Return by how much, relatively, standard errors differ by two Hessians along the axes."""
    p = axes.shape[-1]
    first, second = (_variances(axes, found[..., :p]) for found in (one, other))
    with np.errstate(all="ignore"):
        apart = np.abs(second / first - 1) / 2
    return np.where(np.isfinite(apart), apart, np.inf)


def _variances(axes: Array, hessian: Array) -> Array:
    """Return the diagonal of D G^-1 D', `(B, p)`; nan where G has no inverse."""
    finite = np.isfinite(hessian).all(axis=(-1, -2))[:, None, None]
    safe = np.where(finite, hessian, np.eye(hessian.shape[-1]))
    singular = np.abs(np.linalg.det(safe)) < 1e-300
    safe = np.where(singular[:, None, None], np.eye(hessian.shape[-1]), safe)
    found = np.einsum("bij,bji->bi", axes, np.linalg.solve(safe, np.swapaxes(axes, -1, -2)))
    return np.where(finite[..., 0] & ~singular[:, None], found, np.nan)
