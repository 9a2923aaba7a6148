"""Intervals: `(theta, se, level, supports) -> (lower, upper)`, arrays `(..., p)` throughout.

An interval is closed: it covers a value that equals one of its ends.
"""

from __future__ import annotations

from collections.abc import Callable

from scipy.special import ndtri

from simstudy.arrays import Array
from simstudy.likelihood.supports import Support, from_working, slopes, to_working

Interval = Callable[[Array, Array, float, tuple[Support, ...]], tuple[Array, Array]]


def wald(
    theta: Array, se: Array, level: float, supports: tuple[Support, ...]
) -> tuple[Array, Array]:
    """Wald interval: theta -+ z se (Wald 1943).

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods.intervals import wald
    >>> [end.round(2).tolist() for end in wald(np.array([1.0]), np.array([0.5]), 0.95, ())]
    [[0.02], [1.98]]
    """
    half = ndtri((1 + level) / 2) * se
    return theta - half, theta + half


def log_wald(
    theta: Array, se: Array, level: float, supports: tuple[Support, ...]
) -> tuple[Array, Array]:
    """Wald interval on the working scale, its ends mapped back: it never leaves the support.

    The working standard error is se / T' (delta method): the log scale for a positive parameter,
    the logit scale for one in the unit interval, no change for a real one.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods.intervals import log_wald
    >>> from simstudy.likelihood.supports import POSITIVE
    >>> ends = log_wald(np.array([1.0]), np.array([0.5]), 0.95, (POSITIVE,))
    >>> [end.round(3).tolist() for end in ends]
    [[0.375], [2.664]]
    """
    working = to_working(theta, supports)
    half = ndtri((1 + level) / 2) * se / slopes(theta, supports)[0]
    return from_working(working - half, supports), from_working(working + half, supports)
