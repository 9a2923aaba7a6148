"""Whether a standard error is right at every level, not only at the one of the intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.special import bdtr, bdtrik, gammaln, ndtr, stdtr, xlogy

from simstudy.longtable import check_level, critical
from simstudy.montecarlo import Array, Measure, Vector, floats, present, share
from simstudy.summary import summarize


def pit(estimate: Vector, se: Vector, truth: Vector, df: Vector | None = None) -> Array:
    """Probability integral transform of the pivot: F((t - T)/se), elementwise.

    Uniform over replicates where the standard error is right. Too many values near 0 and 1: it is
    too small; too few: too large; more at one end: bias or skewness.

    Parameters
    ----------
    estimate, se, truth : (...) float
        Columns of a table, or numbers.
    df : (...) float, optional
        Degrees of freedom of Student's t; without them, F is the normal distribution.

    Returns
    -------
    (...) float
        Between 0 and 1; nan where something is missing or the standard error is not positive.

    Examples
    --------
    >>> from simstudy.calibration import pit
    >>> pit([0.0, 1.96], se=1.0, truth=0.0).round(3)
    array([0.5  , 0.975])
    """
    t, s, truth = floats(estimate, se, truth)
    pivot = (t - truth) / np.where(s > 0, s, np.nan)
    return np.asarray(ndtr(pivot) if df is None else stdtr(df, pivot))


def covered(
    estimate: Vector, se: Vector, truth: Vector, nominal: float, df: Vector | None = None
) -> Measure:
    """Share of abs(t - T) <= quantile * se: the coverage of Wald intervals at a level of one's own.

    Parameters
    ----------
    estimate, se, truth : (..., n) float
        Replicates that miss one are left out.
    nominal : float
        The level, between 0 and 1.
    df : (..., n) float, optional
        Degrees of freedom of Student's t.

    Returns
    -------
    Measure
        A proportion, with binomial MCSE and Wilson's interval.

    Examples
    --------
    >>> from simstudy.calibration import covered
    >>> covered([-1.0, 0.5, 2.0], se=1.0, truth=0.0, nominal=0.5).value
    0.333...
    """
    t, s, truth = floats(estimate, se, truth)
    return share(np.abs(t - truth) <= critical(nominal, df) * s, present(t, s, truth))


def calibration(
    table: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
) -> pd.DataFrame:
    """Measure the coverage of the Wald intervals of every standard error at several levels.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table, as for `simstudy.summary.summarize`. Its limits are not looked at:
        intervals come from the standard error, by Student's t where there is a column df.
    by : sequence of str, optional
        The group columns; by default all that tell groups apart.
    levels : sequence of float
        Each between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        The group columns, method, level, value (the coverage), mcse, lower, upper, n.

    Raises
    ------
    ValueError
        As from `summarize`; when a level is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.calibration import calibration
    >>> table = pd.DataFrame({"replicate": [1, 2, 3], "method": "a", "truth": 0.0,
    ...                       "estimate": [-1.0, 0.5, 1.5], "se": 1.0})
    >>> calibration(table, levels=[0.5, 0.9])[["method", "level", "value", "n"]]
      method  level     value  n
    0      a    0.5  0.333333  3
    1      a    0.9  1.000000  3
    """
    for level in levels:
        check_level(level)
    measures = {str(level): partial(covered, nominal=level) for level in levels}
    found = summarize(table, by=by, measures=measures)
    found["measure"] = found["measure"].astype(str).astype(float)
    return found.rename(columns={"measure": "level"})


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
    >>> from simstudy.calibration import ecdf_bands
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
