"""Measures of the intervals: what they contain, what they miss, how wide they are."""

from __future__ import annotations

import numpy as np

from simstudy.evidence.arithmetic import (
    Array,
    Vector,
    centered,
    floats,
    present,
    quiet,
    rescaled,
    tally,
    total,
)
from simstudy.evidence.checks import is_morris
from simstudy.evidence.measures.estimates import relative
from simstudy.evidence.montecarlo import Measure, average, critical, measure, share, widened


def cover(lower: Vector, upper: Vector, truth: Vector) -> Measure:
    """Coverage: share of L <= T <= U, the interval closed.

    Parameters
    ----------
    lower, upper, truth : (..., n) float
        Limits may be infinite (one-sided intervals); an interval with L > U contains nothing.

    Returns
    -------
    Measure
        A proportion, with binomial MCSE and Wilson's interval.

    Examples
    --------
    >>> from simstudy.evidence.measures import cover
    >>> cover([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], truth=1.0).value
    0.666...
    """
    lower, upper, truth = floats(lower, upper, truth)
    return share((lower <= truth) & (truth <= upper), present(lower, upper, truth))


@quiet
def becover(
    lower: Vector,
    upper: Vector,
    estimate: Vector,
    truth: Vector | None = None,
    *,
    mcse: str = "robust",
) -> Measure:
    """Bias-eliminated coverage: `cover` of the mean of the estimates instead of the truth.

    Parameters
    ----------
    lower, upper : (..., n) float
        Limits of the intervals.
    estimate : (..., n) float
        The mean is taken over all estimates, also those without an interval.
    truth : (..., n) float, optional
        Where it differs within a row, each interval is to cover its own truth plus the mean error.
    mcse : {"robust", "morris"}
        With the error of the mean, which moves all hits at once: the binomial MCSE or the root of
        sum ((hit - p)/n + slope (t - mean)/n)^2, whichever is larger, where slope is the change of
        the coverage over two standard errors of the mean to either side; or the binomial MCSE,
        which can be half the truth.

    Returns
    -------
    Measure
        A proportion.

    Raises
    ------
    ValueError
        When `mcse` is neither word.

    Notes
    -----
    Of 500 replicates, the robust MCSE is 1.0 times the true spread of the measure for normal, t5
    and binomial estimates. It is 1.2 times it for exponential estimates that are their own standard
    error, and up to 1.3 times it where the standard error grows or falls with the estimate; .87
    times it, the worst found on that side, for exponential estimates with a constant one half of
    theirs. `docs/decisions/0009-becover-error.md` has more.

    Examples
    --------
    >>> from simstudy.evidence.measures import becover
    >>> becover([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], estimate=[0.5, 1.5, 2.5]).value
    0.333...
    """
    t, moved = relative(estimate, truth)
    lower, upper, t, moved = floats(lower, upper, t, moved)
    unit, scaled = rescaled(t)
    m, center, deviation = centered(scaled)
    step = 2 * unit * np.sqrt(total(deviation**2) / (m - 1) / m)

    def covered(shift: Array) -> Array:
        at = (unit * center + shift)[..., None] + moved
        return np.asarray((lower <= at) & (at <= upper))

    hits = covered(np.zeros(()))
    usable = present(lower, upper, moved) & present(center[..., None])
    found = share(hits, usable)
    if is_morris(mcse):
        return found
    n, p = np.asarray(found.n), np.asarray(found.value)
    slope = (tally(covered(step)) - tally(covered(-step))) / n / (2 * step) * unit
    of_mean = np.nan_to_num(slope)[..., None] * np.nan_to_num(deviation) / m[..., None]
    influence = np.where(usable, (hits - p[..., None]) / n[..., None], 0) + of_mean
    extra = np.maximum(total(influence**2) - np.square(found.mcse), 0)
    wide = widened(found, extra)
    return measure(p, wide.mcse, n, np.maximum(wide.lower, 0), np.minimum(wide.upper, 1))


def cover_all(lower: Vector, upper: Vector, truth: Vector) -> Measure:
    """Coverage when a replicate without an interval counts as a miss: hits / asked.

    Parameters
    ----------
    lower, upper, truth : (..., n) float
        Every entry with a truth counts as asked.

    Returns
    -------
    Measure
        A proportion, with binomial MCSE and Wilson's interval.

    Examples
    --------
    >>> from simstudy.evidence.measures import cover_all
    >>> cover_all([0.0, float("nan")], [2.0, float("nan")], truth=1.0).value
    0.5
    """
    lower, upper, truth = floats(lower, upper, truth)
    return share((lower <= truth) & (truth <= upper), present(truth))


def miss_left(lower: Vector, upper: Vector, truth: Vector) -> Measure:
    """Share of T < L, a proportion: intervals that lie too high."""
    lower, upper, truth = floats(lower, upper, truth)
    return share(truth < lower, present(lower, upper, truth))


def miss_right(lower: Vector, upper: Vector, truth: Vector) -> Measure:
    """Share of U < T, a proportion: intervals that lie too low."""
    lower, upper, truth = floats(lower, upper, truth)
    return share(upper < truth, present(lower, upper, truth))


def power(lower: Vector, upper: Vector, null: Vector = 0.0) -> Measure:
    """Share of (closed) intervals that exclude the null, a proportion."""
    lower, upper, null = floats(lower, upper, null)
    return share((null < lower) | (upper < null), present(lower, upper, null))


def wald_power(estimate: Vector, se: Vector, null: Vector = 0.0, *, level: float = 0.95) -> Measure:
    """Share of abs(t - null) >= z se, a proportion: Morris et al. (2019), whatever the interval."""
    t, s, null = floats(estimate, se, null)
    return share(np.abs(t - null) >= critical(level) * s, present(t, s, null))


def ciwidth(lower: Vector, upper: Vector) -> Measure:
    """Mean U - L, in the unit of the estimates; MCSE SD/sqrt(n). Infinite when a limit is."""
    return average(np.subtract(upper, lower))


def wscore(lower: Vector, upper: Vector, truth: Vector, *, level: float = 0.95) -> Measure:
    """Interval score: mean (U - L) + (2/a)(L - T)+ + (2/a)(T - U)+ with a = 1 - level.

    Winkler (1972), JASA 67:187; Gneiting & Raftery (2007), JASA 102:359, eq. 43. Less is better.

    Parameters
    ----------
    lower, upper, truth : (..., n) float
        Infinite limits make an infinite score.
    level : float
        Nominal level of the intervals, between 0 and 1.

    Returns
    -------
    Measure
        In the unit of the estimates, with MCSE SD/sqrt(n).

    Examples
    --------
    >>> from simstudy.evidence.measures import wscore
    >>> wscore([0.0, 2.0], [1.0, 3.0], truth=1.0, level=0.5).value
    3.0
    """
    lower, upper, truth = floats(lower, upper, truth)
    outside = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    return average(upper - lower + 2 / (1 - level) * outside)
