"""Whether a standard error is right at every level, not only at the one of the intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtr, stdtridf

from simstudy.evidence.arithmetic import Array, Vector, floats, present, quiet
from simstudy.evidence.checks import check_level
from simstudy.evidence.measures import cover
from simstudy.evidence.montecarlo import Measure, critical, share
from simstudy.evidence.summary import summarize


@dataclass(frozen=True, slots=True)
class _Scale:
    """A scale on which intervals are symmetric: where an estimate is there, its slope, its ends."""

    of: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    ends: tuple[float, float]


_SCALES = (
    _Scale(lambda x: x, np.ones_like, (-np.inf, np.inf)),
    _Scale(np.log, lambda x: 1 / x, (0, np.inf)),
    _Scale(lambda x: -np.log(-x), lambda x: -1 / x, (-np.inf, 0)),
    _Scale(lambda x: np.log(x) - np.log1p(-x), lambda x: 1 / (x * (1 - x)), (0, 1)),  # logit
    _Scale(np.arctanh, lambda x: 1 / (1 - x * x), (-1, 1)),  # Fisher's z, of correlations
    _Scale(lambda x: -np.log(-np.log(x)), lambda x: -1 / (x * np.log(x)), (0, 1)),  # of survival
)
_CLOSE = 0.003, 0.01  # of the arm, on average and root mean square: 0.002 of a PIT, and rounding
_SCALED = 0.005, 0.02  # the same of the quantile by which the standard error was multiplied


@quiet
def pit(
    estimate: Vector,
    se: Vector,
    truth: Vector,
    df: Vector | None = None,
    lower: Vector | None = None,
    upper: Vector | None = None,
    *,
    level: float = 0.95,
) -> Array:
    """Probability integral transform of the pivot of an interval: F((g(t) - g(T))/(g'(t) se)).

    Uniform over replicates where the method is right. Too many values near 0 and 1: the standard
    error is too small; too few: too large; more at one end: bias or skewness.

    Parameters
    ----------
    estimate, se, truth : (..., n) float
        Columns of a table, or numbers.
    df : (..., n) float, optional
        Degrees of freedom of Student's t.
    lower, upper : (..., n) float, optional
        The limits at one level, from which the interval's own inversion is read: the scale g on
        which the n intervals are symmetric about the estimate (their own, log, logit, Fisher's z,
        log-log), and the distribution F whose quantile times the standard error is their arm (that
        of `df`, the normal one, Student's t with an integer number of degrees). Without limits, or
        where all n are missing, g is the identity, and F normal but for `df`.
    level : float
        Nominal level of the limits.

    Returns
    -------
    (..., n) float
        Between 0 and 1; nan where something is missing or the standard error is not positive, and
        where limits are neither: then those of one level do not tell those of another.

    Examples
    --------
    >>> from simstudy.evidence.calibration import pit
    >>> pit([0.0, 1.96], se=1.0, truth=0.0).round(3)
    array([0.5  , 0.975])
    >>> pit([1.0, 2.0], 1.0, 1.0, lower=[0.1, 0.3], upper=[4.0, 9.0])
    array([nan, nan])
    """
    t, s, truth = floats(estimate, se, truth)
    s = np.where(s > 0, s, np.nan)
    if lower is None or upper is None:
        return _chance((t - truth) / s, df)
    t, s, truth, low, high = floats(t, s, truth, lower, upper)
    nu = None if df is None else np.broadcast_to(np.asarray(df, dtype=float), t.shape)
    bare = np.asarray((~present(low, high)).all(-1, keepdims=True))
    usable = present(t, s, low, high)
    found = np.where(bare, _chance((t - truth) / s, nu), np.nan)
    least = np.where(bare[..., 0], 0.0, _CLOSE[1])
    for scale in _SCALES:
        if (least < 1e-9).all():
            break  # what is left is rounding
        center, start, end = scale.of(t), scale.of(low), scale.of(high)
        arm, unit = (end - start) / 2, s * scale.slope(t)
        mean, size = _moments(((end + start) / 2 - center) / arm, usable)
        own = _degrees(arm / unit, usable, nu, level)
        # a truth beyond the scale lies at its end
        pivot = (center - scale.of(np.clip(truth, *scale.ends))) / unit
        better = (
            (np.abs(mean) <= _CLOSE[0])
            & (size < least)
            & ~np.isnan(np.where(usable, own, 0)).any(-1)
        )
        found = np.where(better[..., None], _chance(pivot, own), found)
        least = np.where(better, size, least)
    return np.where(usable | bare, found, np.nan)


def covered(
    estimate: Vector,
    se: Vector,
    truth: Vector,
    nominal: float,
    df: Vector | None = None,
    lower: Vector | None = None,
    upper: Vector | None = None,
    *,
    level: float = 0.95,
) -> Measure:
    """Coverage that intervals have at a level of one's own.

    Parameters
    ----------
    estimate, se, truth, df, lower, upper, level
        As for `pit`. At the level of the limits themselves, these are asked and nothing else.
    nominal : float
        The level, between 0 and 1.

    Returns
    -------
    Measure
        A proportion, with binomial MCSE and Wilson's interval; n is 0 where limits do not tell.

    Examples
    --------
    >>> from simstudy.evidence.calibration import covered
    >>> covered([-1.0, 0.5, 2.0], se=1.0, truth=0.0, nominal=0.5).value
    0.333...
    """
    if nominal == level and lower is not None and upper is not None:
        return cover(lower, upper, truth)
    transform = pit(estimate, se, truth, df, lower, upper, level=level)
    return share(np.abs(2 * transform - 1) <= nominal, present(transform))


def calibration(
    table: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Measure the coverage of every method's own intervals at several levels.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table, as for `simstudy.evidence.summary.summarize`. How its intervals are at other
        levels than theirs is read from them: see `pit`.
    by : sequence of str, optional
        The group columns; by default all that tell groups apart.
    levels : sequence of float, optional
        Each between 0 and 1; by default .5, .8, .9, .95, .99 and that of the limits.
    level : float
        Nominal level of the limits in the table.

    Returns
    -------
    pandas.DataFrame
        The group columns, method, level, value (the coverage), mcse, lower, upper, n. Where limits
        do not tell those of other levels, n is 0 there and value nan: see `known_at_one_level`.

    Raises
    ------
    ValueError
        As from `summarize`; when a level is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.calibration import calibration
    >>> table = pd.DataFrame({"replicate": [1, 2, 3], "method": "a", "truth": 0.0,
    ...                       "estimate": [-1.0, 0.5, 1.5], "se": 1.0})
    >>> calibration(table, levels=[0.5, 0.9])[["method", "level", "value", "n"]]
      method  level     value  n
    0      a    0.5  0.333333  3
    1      a    0.9  1.000000  3
    """
    levels = sorted({0.5, 0.8, 0.9, 0.95, 0.99, level}) if levels is None else levels
    for nominal in levels:
        check_level(nominal)
    measures = {str(nominal): partial(covered, nominal=nominal) for nominal in levels}
    found = summarize(table, by=by, level=level, measures=measures)
    found["measure"] = found["measure"].astype(str).astype(float)
    return found.rename(columns={"level": "factor_level", "measure": "level"})


def known_at_one_level(found: pd.DataFrame, level: float = 0.95) -> list[str]:
    """Name the methods whose intervals at one level do not tell those at others, in some case.

    Parameters
    ----------
    found : pandas.DataFrame
        What `calibration` answered.
    level : float
        Nominal level of the limits.

    Returns
    -------
    list of str
        In the order of `found`; methods without any answer are not among them.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.calibration import known_at_one_level
    >>> known_at_one_level(pd.DataFrame({"method": "profile", "level": [0.5, 0.95], "n": [0, 20]}))
    ['profile']
    """
    own = ("level", "value", "mcse", "lower", "upper", "n")
    labels = [name for name in found if name not in own]
    answered = found.loc[(found["level"] == level) & (found["n"] > 0), labels]
    unanswered = found.loc[(found["level"] != level) & (found["n"] == 0), labels]
    both = answered.astype(str).merge(unanswered.astype(str).drop_duplicates())
    return list(dict.fromkeys(both["method"]))


def _chance(pivot: Array, df: Vector | None) -> Array:
    """Return the distribution function of the pivot."""
    return np.asarray(ndtr(pivot) if df is None else stdtr(df, pivot))


def _moments(x: Array, usable: Array) -> tuple[Array, Array]:
    """Return mean and root mean square of the usable entries; infinite where one is no number."""
    values = np.where(usable, np.where(np.isfinite(x), x, np.inf), 0.0)
    count = usable.sum(-1)
    return values.sum(-1) / count, np.sqrt((values**2).sum(-1) / count)


def _degrees(ratio: Array, usable: Array, df: Array | None, level: float) -> Array:
    """Return the degrees of freedom whose quantile the ratios of arm to standard error are.

    Those that are given, infinitely many (the normal distribution), or whole numbers; nan where
    the ratios of a row are none of these.
    """
    normal = critical(level)
    found = np.full(ratio.shape, np.nan)
    for degrees in ([] if df is None else [df]) + [np.full(ratio.shape, np.inf)]:
        quantile = normal if np.isinf(degrees).all() else critical(level, degrees)
        mean, size = _moments(ratio / quantile - 1, usable)
        close = (np.abs(mean) <= _SCALED[0]) & (size <= _SCALED[1])
        found = np.where(np.isnan(found) & close[..., None], degrees, found)
    rest = np.isnan(found).all(-1) & np.where(usable, ratio > normal, True).all(-1)
    if rest.any():
        ratios, asked = ratio[rest], usable[rest]
        # many rows of one number of degrees differ by rounding only
        values, which = np.unique(np.where(asked, ratios, np.nan).round(12), return_inverse=True)
        degrees = np.asarray(stdtridf((1 + level) / 2, values))[which].reshape(ratios.shape)
        whole = (np.abs(degrees - degrees.round()) <= 0.02) & (degrees > 0.5)
        fits = (whole | ~asked).all(-1, keepdims=True)
        found[rest] = np.where(fits, np.where(asked, degrees.round(), np.inf), np.nan)
    return found
