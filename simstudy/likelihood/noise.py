"""The noise of f: rounding, and what repeated differences of values close together tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simstudy.arrays import Array

Values = Callable[[Array], Array]
# Noise of 1e-4 of a rise by 0.01 spoils a standard error by about a percent.
SPOILING = 1e-6


def noise_of(value: Array) -> Array:
    """Rounding that a value of f may have: a difference below it is none."""
    return 64 * np.finfo(float).eps * (1 + np.abs(value))


def noise_along(values: Values, x: Array, direction: Array, spacing: float) -> Array:
    """Estimate the noise `(B,)` of f from a table of repeated differences of values close together.

    On one side of x only, so that a kink there is not taken for noise (Moré & Wild 2011, SIAM
    Journal on Scientific Computing 33:1292). Values are `spacing` times a direction `(B, p)` apart.
    """
    steps = spacing * np.arange(1, 10)
    table = values(x[:, None] + steps[:, None] * direction[:, None, :])
    levels = []
    for k in range(1, 7):
        with np.errstate(invalid="ignore"):
            table = np.diff(table, axis=1)
        norm = np.prod(np.arange(k + 1, 2 * k + 1) / np.arange(1, k + 1))
        levels.append(np.sqrt((table**2).mean(axis=1) / norm))
    noise = np.median(np.stack(levels[3:]), axis=0)
    return np.where(np.isfinite(noise), noise, 0.0)


def noisy(values: Values, x: Array, value: Array, axes: Array, least: float) -> Array:
    """Tell whether f has noise of at least so much, far beyond rounding: `(B,)` of bool."""
    size = 1 + np.abs(x)
    apart = np.clip(1e-8 * np.abs(axes.sum(axis=-1)), 1e-13 * size, 1e-6 * size)
    noise = noise_along(values, x, apart, 1.0)
    return noise > np.maximum(least, noise_of(value))
