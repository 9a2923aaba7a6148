"""Bands that an empirical distribution function of uniform numbers leaves nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import bdtr, bdtrik, gammaln, xlogy

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.checks import check_level


@dataclass(frozen=True, slots=True)
class Bands:
    """Simultaneous bands for an empirical distribution function.

    Attributes
    ----------
    at : (K,) float
        Points strictly between 0 and 1.
    lower, upper : (K,) float
        The closed band at each point, as shares.
    """

    at: Array
    lower: Array
    upper: Array


@cache
def ecdf_bands(n: int, level: float = 0.95, points: int = 100) -> Bands:
    """Bands that the empirical distribution function of n uniform numbers leaves nowhere.

    The bands are pointwise binomial intervals of one common level, the smallest at which the chance
    to leave any of them is at most 1 - level (Sailynoja, Burkner & Vehtari 2022, Statistics and
    Computing 32:32, section 2). That chance is exact: the counts are a Poisson process that is
    known to end at n (Moscovich & Nadler 2017, Statistics & Probability Letters 123:177).

    Parameters
    ----------
    n : int
        Number of replicates, 1 or more.
    level : float
        Simultaneous level, between 0 and 1.
    points : int
        The bands stand at k/points, k = 1 ... points - 1.

    Returns
    -------
    Bands
        Of `points` - 1 points.

    Raises
    ------
    ValueError
        When n or the level is out of range.

    Examples
    --------
    >>> from simstudy.evidence.bands import ecdf_bands
    >>> bands = ecdf_bands(100, points=4)
    >>> bands.at, bands.lower, bands.upper
    (array([0.25, 0.5 , 0.75]), array([0.15, 0.39, 0.65]), array([0.35, 0.61, 0.85]))
    """
    check_level(level)
    if n < 1:
        raise ValueError(f"n is {n}; bands need one replicate or more")
    at = np.arange(1, points) / points

    counts = np.arange(n + 1)
    rate = n / points
    steps = np.exp(xlogy(counts, rate) - rate - gammaln(counts + 1))

    def limits(miss: float) -> tuple[Array, Array]:
        # the upper limit is the lower one of the numbers above the point
        return _quantile(miss / 2, n, at), n - _quantile(miss / 2, n, 1 - at)

    narrow, wide = 1 - level, (1 - level) / points  # pointwise; Bonferroni's is wide enough
    for _ in range(16):
        middle = np.sqrt(narrow * wide)
        if _stays(steps, *limits(middle)) >= level:
            wide = middle
        else:
            narrow = middle
    lower, upper = limits(wide)
    return Bands(at, lower / n, upper / n)


def _quantile(chance: float, n: int, at: Array) -> Array:
    """Return the smallest binomial count whose distribution function reaches a chance."""
    count = np.ceil(bdtrik(chance, n, at))
    below = np.maximum(count - 1, 0)
    return np.asarray(np.where(bdtr(below, n, at) >= chance, below, count), dtype=int)


def _stays(steps: Array, lower: Array, upper: Array) -> float:
    """Return the chance that counts of uniform numbers stay within limits at equidistant points.

    `steps` has the Poisson probabilities of 0 ... n numbers between two points.
    """
    n = len(steps) - 1
    convolve: Callable[[Array, Array], Array] = np.convolve
    if n > 50_000:  # it pays: the import alone takes half a second
        from scipy.signal import fftconvolve

        convolve = fftconvolve
    chance, first = np.ones(1), 0  # of each possible count, from `first` on
    for low, high in zip(lower, upper, strict=True):
        fewest = max(low - (first + len(chance) - 1), 0)
        reached = convolve(chance, steps[fewest : high - first + 1])
        start = first + fewest
        chance, first = reached[max(low - start, 0) : high - start + 1], max(low, start)
    last = steps[n - first - np.arange(len(chance))]
    end = np.exp(xlogy(n, n) - n - gammaln(n + 1))  # of n numbers in all
    return float(chance @ last / end)
