"""A number found by simulation: its value, its Monte Carlo standard error (MCSE), its interval.

`average`, `share` and `quantile` make most measures. Leading axes give one value each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from simstudy.evidence.arithmetic import (
    Array,
    Vector,
    centered,
    count,
    order_statistics,
    quiet,
    rescaled,
    rounding,
    tally,
    total,
)


def critical(level: float, df: Vector | None = None) -> Array:
    """Return the quantile of a central interval: normal, or Student's t with `df` degrees.

    Parameters
    ----------
    level : float
        Between 0 and 1.
    df : (...) float, optional
        Degrees of freedom; inf is the normal distribution.

    Returns
    -------
    (...) float
        The quantile of (1 + level)/2.

    Examples
    --------
    >>> from simstudy.evidence.montecarlo import critical
    >>> critical(0.95, df=[2.0, float("inf")]).round(3)
    array([4.303, 1.96 ])
    """
    if df is None:
        return np.asarray(ndtri((1 + level) / 2))
    # few values, many rows: each quantile once
    values, which = np.unique(np.asarray(df, dtype=float), return_inverse=True)
    return np.asarray(stdtrit(values, (1 + level) / 2))[which].reshape(np.shape(df))


Z = float(critical(0.95))
"""Quantile of the Monte Carlo intervals, which are 95 % intervals."""

FEWEST = 30
"""Answers below which a Monte Carlo standard error, and with it a relative error, say nothing."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A performance measure and how well the replicates determine it.

    Attributes
    ----------
    value : float or (...) float
        The measure; nan where it is undefined.
    mcse : float or (...) float
        Its Monte Carlo standard error, in the unit of the value; nan where it is undefined.
    n : int or (...) int
        Number of replicates used.
    lower, upper : float or (...) float
        95 % Monte Carlo interval: Wilson's for shares, order statistics for quantiles, else
        value -/+ 1.96 mcse.
    """

    value: Any
    mcse: Any
    n: Any
    lower: Any
    upper: Any


@quiet
def average(scores: Vector) -> Measure:
    """Mean of one score per replicate, with MCSE SD/sqrt(n).

    Parameters
    ----------
    scores : (..., n) float
        One number per replicate; nan where missing.

    Returns
    -------
    Measure
        In the unit of the scores.

    Examples
    --------
    >>> from simstudy.evidence.montecarlo import average
    >>> average([1.0, 2.0, 3.0, float("nan")])
    Measure(value=2.0, mcse=0.577..., n=3, lower=0.868..., upper=3.131...)
    """
    unit, x = rescaled(scores)
    n, center, deviation = centered(x)
    spread = np.sqrt(total(deviation**2) / (n - 1))
    return measure(unit * center, unit * spread / np.sqrt(n), n)


@quiet
def share(hits: npt.ArrayLike, usable: npt.ArrayLike = True) -> Measure:
    """Share of hits among usable replicates, with binomial MCSE and Wilson's interval.

    At a share of 0 or 1 the MCSE is 0, the interval is not.

    Parameters
    ----------
    hits, usable : (..., n) bool
        Hits that are not usable are not counted.

    Returns
    -------
    Measure
        A proportion.

    Examples
    --------
    >>> from simstudy.evidence.montecarlo import share
    >>> share([True, True, True, True])
    Measure(value=1.0, mcse=0.0, n=4, lower=0.510..., upper=1.0)
    """
    usable, hits = np.broadcast_arrays(usable, hits)
    n = tally(usable)
    p = tally(hits & usable) / n
    return measure(p, np.sqrt(p * (1 - p) / n), n, *wilson(p, n))


@quiet
def wilson(p: Vector, n: Vector, z: float = Z) -> tuple[Array, Array]:
    """Return the ends of the interval of Wilson (1927), JASA 22:209, for a share.

    Parameters
    ----------
    p : (...) float
        The share.
    n : (...) float
        Of how many; without any, both ends are nan.
    z : float
        Normal quantile of the interval's level.

    Returns
    -------
    lower, upper : (...) float
        Between 0 and 1.

    Examples
    --------
    >>> from simstudy.evidence.montecarlo import wilson
    >>> lower, upper = wilson(1.0, 4)
    >>> round(float(lower), 2), float(upper)
    (0.51, 1.0)
    """
    p, n = np.asarray(p, dtype=float), np.asarray(n, dtype=float)
    center = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    lower = np.where(p == 0, 0.0, (center - half) / (1 + z**2 / n))
    upper = np.where(p == 1, 1.0, (center + half) / (1 + z**2 / n))
    return lower, upper


@quiet
def quantile(values: Vector, q: float) -> Measure:
    """Sample quantile, with an interval and an MCSE from order statistics.

    The interval runs between interpolated order statistics, q (n - 1) -/+ 1.96 sqrt(n q (1 - q));
    the MCSE is its length over 2 * 1.96 (McKean & Schrader 1984, Commun. Stat. B 13:751). Where n
    is too small for them to exist, both are nan. The jackknife is inconsistent for quantiles.

    Parameters
    ----------
    values : (..., n) float
        nan where missing.
    q : float
        Between 0 and 1. The value interpolates linearly at q (n - 1).

    Returns
    -------
    Measure
        In the unit of the values.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.evidence.montecarlo import quantile
    >>> quantile(np.arange(101.0), 0.5)
    Measure(value=50.0, mcse=5.0..., n=101, lower=40.1..., upper=59.8...)
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)  # nan last
    n = count(ordered)
    middle, reach = q * (n - 1), Z * np.sqrt(n * q * (1 - q))
    at = np.stack([middle - reach, middle, middle + reach], axis=-1)
    lower, value, upper = np.moveaxis(order_statistics(ordered, n, at), -1, 0)
    return measure(value, (upper - lower) / (2 * Z), n, lower, upper)


@quiet
def widened(found: Measure, variance: Array) -> Measure:
    """Add a variance to a measure's own, to its MCSE and to its interval, in quadrature."""
    value = np.asarray(found.value)
    return measure(
        value,
        np.sqrt(np.square(found.mcse) + variance),
        np.asarray(found.n),
        value - np.sqrt((value - found.lower) ** 2 + Z**2 * variance),
        value + np.sqrt((found.upper - value) ** 2 + Z**2 * variance),
    )


@quiet
def measure(
    value: Array, mcse: Array, n: Array, lower: Array | None = None, upper: Array | None = None
) -> Measure:
    """Put a measure together; where value or MCSE is not finite there is no MCSE.

    An MCSE or an interval's arm that is rounding of the value is 0: numbers that differ in their
    last digits only are equal.
    """
    mcse = np.where(np.isfinite(value) & np.isfinite(mcse), mcse, np.nan)
    mcse = np.where(rounding(mcse, value), 0.0, mcse)
    lower = value - Z * mcse if lower is None else lower
    upper = value + Z * mcse if upper is None else upper
    lower = np.where(rounding(lower - value, value), value, lower)
    upper = np.where(rounding(upper - value, value), value, upper)
    value, mcse, n, lower, upper = map(np.asarray, (value, mcse, n, lower, upper))
    if value.ndim == 0:
        return Measure(float(value), float(mcse), int(n), float(lower), float(upper))
    return Measure(value, mcse, n, lower, upper)
