"""One function per performance measure: vectors in, value and Monte Carlo standard error out.

Notation: n usable replicates, estimate t, truth T, error e = t - T, s the standard deviation of t
(divisor n - 1), B = (t - mean t)^2, V = se^2, interval [L, U]. Vectors are `(..., n)`: the last
axis counts replicates, leading axes give one value each, nan marks what is missing; `truth` and
`null` may be single numbers. Every measure uses the replicates that have all it needs.

Where the truth differs within a cell, a spread is that of the errors, never that of the truths:
`relative` moves every estimate as if its replicate had the cell's mean truth. All measures of
estimates that are not errors already take the truth for that; where it is constant, or not given,
nothing is moved and no digit changes.

A measure without a definition (too few replicates, all estimates equal, a truth of zero) is nan,
never a number; so is a Monte Carlo standard error (MCSE) without one. `mcse="robust"`, the default,
assumes nothing about the shape of the estimates; `mcse="morris"` gives the formulas of Morris,
White & Crowther (2019), Statistics in Medicine 38:2074, table 6.

A new measure is one more function: `average`, `share` and `quantile` of
`simstudy.evidence.montecarlo` give most of them their MCSE, and `summarize` hands a function the
columns its arguments are named after.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from simstudy.evidence.montecarlo import (
    Array,
    Measure,
    Vector,
    average,
    centered,
    complete,
    extremes,
    floats,
    jackknife,
    left_out,
    left_out_variance,
    measure,
    present,
    quantile,
    quiet,
    ratio,
    rescaled,
    share,
    tally,
    total,
    widened,
)

# --- the estimates ----------------------------------------------------------------------------


@quiet
def relative(estimate: Vector, truth: Vector | None) -> tuple[Array, Array]:
    """Move the estimates as if every replicate had the mean truth of its row.

    Parameters
    ----------
    estimate : (..., n) float
        The estimates.
    truth : (..., n) float or None
        The truth of each replicate. The mean is over those with an estimate, so that the mean of
        the estimates stays where it is.

    Returns
    -------
    moved, shift : (..., n) float
        t - shift, and shift = T - mean T: exactly 0 in rows of one truth. Without a truth, or with
        a single number, shift has no axes.

    Examples
    --------
    >>> from simstudy.evidence.measures import relative
    >>> relative([1.0, 2.0, 11.0, 12.0], truth=[0.0, 0.0, 10.0, 10.0])[0]
    array([6., 7., 6., 7.])
    """
    if truth is None or np.ndim(truth) == 0:
        return np.asarray(estimate, dtype=float), np.zeros(())
    t, truth = floats(estimate, truth)
    low, high = extremes(truth)
    varies = np.asarray(high > low)[..., None]
    if not varies.any():
        return t, np.zeros(())
    used = complete(truth, t)[0]
    center = total(used) / present(used).sum(-1)
    shift = np.where(varies, truth - center[..., None], 0.0)
    return t - shift, shift


def mean(estimate: Vector, truth: Vector | None = None) -> Measure:
    """Mean of the estimates, in their unit; MCSE s/sqrt(n), s the spread of `relative` ones."""
    return average(relative(estimate, truth)[0])


def median(estimate: Vector, truth: Vector | None = None) -> Measure:
    """Median of the estimates, in their unit; interval and MCSE from order statistics.

    Where the truth differs within a row, it is that of the `relative` estimates: the median error,
    from the mean truth on.
    """
    return quantile(relative(estimate, truth)[0], 0.5)


def bias(estimate: Vector, truth: Vector) -> Measure:
    """Bias: mean e (Morris et al. 2019, table 6).

    Parameters
    ----------
    estimate, truth : (..., n) float
        The truth may differ by replicate.

    Returns
    -------
    Measure
        In the unit of the estimates, with MCSE SD(e)/sqrt(n).

    Examples
    --------
    >>> from simstudy.evidence.measures import bias
    >>> bias([0.9, 1.1, 1.3], truth=1.0).value
    0.1...
    """
    return average(np.subtract(estimate, truth))


@quiet
def rbias(estimate: Vector, truth: Vector) -> Measure:
    """Relative bias: mean e/T; nan with n = 0 where a truth is zero.

    Parameters
    ----------
    estimate, truth : (..., n) float
        The truth may differ by replicate.

    Returns
    -------
    Measure
        A proportion (0.01 is one percent), with MCSE SD(e/T)/sqrt(n).

    Examples
    --------
    >>> from simstudy.evidence.measures import rbias
    >>> rbias([0.9, 1.1, 1.3], truth=0.0)
    Measure(value=nan, mcse=nan, n=0, lower=nan, upper=nan)
    """
    t, truth = floats(estimate, truth)
    undefined = (truth == 0).any(-1, keepdims=True)
    return average(np.where(undefined, np.nan, (t - truth) / truth))


@quiet
def empse(estimate: Vector, truth: Vector | None = None, *, mcse: str = "robust") -> Measure:
    """Empirical standard error: s.

    Parameters
    ----------
    estimate : (..., n) float
        The estimates.
    truth : (..., n) float, optional
        Where it differs within a row, s is the spread of the `relative` estimates.
    mcse : {"robust", "morris"}
        The delete-one jackknife, in closed form; or s/sqrt(2(n - 1)), which holds for normal
        estimates (Morris et al. 2019, table 6) and is half the truth for heavy tails.

    Returns
    -------
    Measure
        In the unit of the estimates.

    Raises
    ------
    ValueError
        When `mcse` is neither word.

    Examples
    --------
    >>> from simstudy.evidence.measures import empse
    >>> empse([1.0, 2.0, 3.0, 4.0, 10.0]).value
    3.535...
    """
    unit, t = rescaled(relative(estimate, truth)[0])
    n, _, deviation = centered(t)
    squares = deviation**2
    sums = total(squares)
    s = np.where(n > 0, np.sqrt(sums / (n - 1)), np.nan)
    if _morris(mcse):
        error = s / np.sqrt(2 * (n - 1))
    else:
        error = jackknife(s, np.sqrt(left_out_variance(squares, sums, n)), n)
    return measure(unit * s, unit * error, n)


@quiet
def mse(estimate: Vector, truth: Vector) -> Measure:
    """Mean squared error: mean e^2, in the squared unit of the estimates; MCSE SD(e^2)/sqrt(n)."""
    unit, error = rescaled(np.subtract(estimate, truth))
    found = average(error**2)
    return measure(unit * found.value * unit, unit * found.mcse * unit, np.asarray(found.n))


@quiet
def rmse(estimate: Vector, truth: Vector) -> Measure:
    """Root mean squared error, in the unit of the estimates; MCSE SD(e^2)/(2 sqrt(n) rmse)."""
    return _root_mean_square(np.subtract(estimate, truth))


def mae(estimate: Vector, truth: Vector) -> Measure:
    """Mean absolute error: mean abs(e), in the unit of the estimates; MCSE SD/sqrt(n)."""
    return average(np.abs(np.subtract(estimate, truth)))


@quiet
def relprec(
    estimate: Vector,
    reference_estimate: Vector,
    truth: Vector | None = None,
    reference_truth: Vector | None = None,
    *,
    mcse: str = "robust",
) -> Measure:
    """Precision gained on the reference method: 100 ((s_ref/s)^2 - 1).

    Parameters
    ----------
    estimate, reference_estimate : (..., n) float
        Entry i of both from the same replicate; what is missing in one is left out of both.
    truth, reference_truth : (..., n) float, optional
        Where one differs within a row, the spread is that of the `relative` estimates. Without one
        of its own, the reference has the same.
    mcse : {"robust", "morris"}
        The joint delete-one jackknife, in closed form; or 200 (s_ref/s)^2 sqrt((1 - corr^2)/(n -
        1)), for bivariate normal estimates (White 2010, Stata Journal 10:369).

    Returns
    -------
    Measure
        In percent.

    Raises
    ------
    ValueError
        When `mcse` is neither word.

    Examples
    --------
    >>> from simstudy.evidence.measures import relprec
    >>> relprec([1.0, 2.0, 4.0], reference_estimate=[2.0, 4.0, 8.0]).value
    300.0...
    """
    t, reference = complete(estimate, reference_estimate)
    other = truth if reference_truth is None else reference_truth
    t, reference = relative(t, truth)[0], relative(reference, other)[0]
    _, t, reference = rescaled(*complete(t, reference))
    n, _, x = centered(t)
    _, _, y = centered(reference)
    xx, yy = x * x, y * y
    sxx, syy = total(xx), total(yy)
    r = ratio(syy, sxx)
    if _morris(mcse):
        # rounding can leave -1e-16 where the two are proportional
        unexplained = np.maximum(1 - ratio(total(x * y) ** 2, sxx * syy), 0)
        error = 2 * r * np.sqrt(unexplained / (n - 1))
    else:
        without = left_out_variance(yy, syy, n) / left_out_variance(xx, sxx, n)
        error = jackknife(r, without, n)
    return measure(100 * (r - 1), 100 * error, n)


# --- the standard errors ----------------------------------------------------------------------


@quiet
def modelse(se: Vector) -> Measure:
    """Average model standard error: sqrt(mean V), in the unit of the estimates.

    MCSE sqrt(var(V)/(4 n modelse^2)) (Morris et al. 2019, table 6).
    """
    return _root_mean_square(se)


@quiet
def relerror(
    estimate: Vector, se: Vector, truth: Vector | None = None, *, mcse: str = "robust"
) -> Measure:
    """Relative error of the standard error: 100 (modelse/empse - 1).

    Parameters
    ----------
    estimate, se : (..., n) float
        Numerator and denominator use the replicates that have both.
    truth : (..., n) float, optional
        Where it differs within a row, empse is the spread of the `relative` estimates.
    mcse : {"robust", "morris"}
        The joint delete-one jackknife, in closed form, which knows that V depends on the estimate;
        or 100 (modelse/empse) sqrt(var(V)/(4 n modelse^4) + 1/(2(n - 1))) (Morris et al. 2019,
        table 6), which takes them as independent and the estimates as normal.

    Returns
    -------
    Measure
        In percent.

    Raises
    ------
    ValueError
        When `mcse` is neither word.

    Examples
    --------
    >>> from simstudy.evidence.measures import relerror
    >>> relerror([1.0, 2.0, 3.0], se=[0.9, 0.9, 0.9]).value
    -9.99...
    """
    n, root, without = se_ratio(estimate, se, truth)
    if _morris(mcse):
        _, _, s = rescaled(*complete(estimate, se))
        found = average(s**2)
        error = root * np.sqrt((found.mcse / found.value) ** 2 / 4 + 1 / (2 * (n - 1)))
    else:
        error = jackknife(root, without, n)
    return measure(100 * (root - 1), 100 * error, n)


@quiet
def relvar_rmse(estimate: Vector, se: Vector, truth: Vector | None = None) -> Measure:
    """How noisy the variance estimate is: sqrt((mean V - s^2)^2 + var V) / s^2.

    Parameters
    ----------
    estimate, se : (..., n) float
        Replicates that miss either are left out.
    truth : (..., n) float, optional
        Where it differs within a row, s is the spread of the `relative` estimates.

    Returns
    -------
    Measure
        A proportion, 0 only for a variance that is right and constant; with MCSE by the joint
        delete-one jackknife, in closed form.

    Notes
    -----
    Of 500 replicates, the MCSE is 1.0 to 1.1 times the true spread of the measure for estimates
    with light tails, 1.2 times it for t5, and 1.6 times it where the standard error is right and
    constant: there the root has a corner, and no jackknife holds.

    Examples
    --------
    >>> from simstudy.evidence.measures import relvar_rmse
    >>> relvar_rmse([1.0, 2.0, 3.0], se=[2**0.5] * 3).value
    1.0...
    """
    _, t, s = rescaled(*_moved(estimate, se, truth))
    n, _, x = centered(t)
    _, center, y = centered(s**2)
    xx, yy = x * x, y * y
    sxx, syy = total(xx), total(yy)
    variance = sxx / (n - 1)
    value = ratio(np.sqrt((center - variance) ** 2 + syy / (n - 1)), variance)
    variances = left_out_variance(xx, sxx, n)
    errors = center[..., None] - y / (n[..., None] - 1) - variances
    without = np.sqrt(errors**2 + left_out_variance(yy, syy, n)) / variances
    return measure(value, jackknife(value, without, n), n)


@quiet
def corr(estimate: Vector, se: Vector, truth: Vector | None = None) -> Measure:
    """Correlation of estimate and standard error; nan where either does not vary.

    Parameters
    ----------
    estimate, se : (..., n) float
        Replicates that miss either are left out.
    truth : (..., n) float, optional
        Where it differs within a row, the correlation is that of the `relative` estimates.

    Returns
    -------
    Measure
        Between -1 and 1, with MCSE by the delete-one jackknife, in closed form.

    Examples
    --------
    >>> from simstudy.evidence.measures import corr
    >>> round(corr([1.0, 2.0, 3.0, 4.0], se=[1.0, 2.0, 3.0, 3.0]).value, 3)
    0.944
    """
    t, s = _moved(estimate, se, truth)
    (_, t), (_, s) = rescaled(t), rescaled(s)
    n, _, x = centered(t)
    _, _, y = centered(s)
    xx, yy, xy = x * x, y * y, x * y
    sxx, syy, sxy = total(xx), total(yy), total(xy)
    value = ratio(sxy, np.sqrt(sxx * syy))
    scale = np.sqrt(left_out_variance(xx, sxx, n) * left_out_variance(yy, syy, n))
    without = left_out(xy, sxy, n) / (n[..., None] - 2) / scale
    return measure(value, jackknife(value, without, n), n)


@quiet
def seratio(se: Vector, exact_se: Vector, q: float) -> Measure:
    """Quantile of the method's standard error over the exact one at the same fit.

    Parameters
    ----------
    se, exact_se : (..., n) float
        Entry i of both from the same fit.
    q : float
        Between 0 and 1; the catalogue has .05, .5 and .95.

    Returns
    -------
    Measure
        A ratio: 1 is no numerical error.

    Examples
    --------
    >>> from simstudy.evidence.measures import seratio
    >>> seratio([2.0, 2.0], exact_se=[1.0, 2.0], q=0.5).value
    1.5
    """
    return quantile(np.divide(se, exact_se), q)


# --- the intervals ----------------------------------------------------------------------------


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
    if _morris(mcse):
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
    return share(np.abs(t - null) >= ndtri((1 + level) / 2) * s, present(t, s, null))


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


# --- the answers ------------------------------------------------------------------------------


def answered(ok: npt.ArrayLike) -> Measure:
    """Count the replicates with an answer; n is the number asked."""
    ok = np.asarray(ok)
    answers = ok.sum(-1)
    asked = np.full(answers.shape, ok.shape[-1])
    return measure(answers.astype(float), np.full(answers.shape, np.nan), asked)


def fail(ok: npt.ArrayLike) -> Measure:
    """Share of asked replicates without an answer, a proportion with binomial MCSE."""
    return share(~np.asarray(ok))


MEASURES: dict[str, Callable[..., Measure]] = {
    "n": answered,
    "fail": fail,
    "mean": mean,
    "median": median,
    "bias": bias,
    "rbias": rbias,
    "empse": empse,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "relprec": relprec,
    "modelse": modelse,
    "relerror": relerror,
    "relvar_rmse": relvar_rmse,
    "seratio_p05": partial(seratio, q=0.05),
    "seratio_median": partial(seratio, q=0.5),
    "seratio_p95": partial(seratio, q=0.95),
    "corr": corr,
    "cover": cover,
    "becover": becover,
    "cover_all": cover_all,
    "miss_left": miss_left,
    "miss_right": miss_right,
    "power": power,
    "ciwidth": ciwidth,
    "wscore": wscore,
}
"""The catalogue: the name of each measure in a performance frame, and its function."""

MORRIS: dict[str, Callable[..., Measure]] = MEASURES | {"power": wald_power}
"""The catalogue under `mcse="morris"`, in which power asks the standard error, not the interval."""


def se_ratio(
    estimate: Vector, se: Vector, truth: Vector | None = None
) -> tuple[Array, Array, Array]:
    """Return n, modelse/empse over the complete replicates, and the same without each replicate."""
    _, t, s = rescaled(*_moved(estimate, se, truth))
    n, _, x = centered(t)
    v, b = s**2, x * x
    sv, sb = total(v), total(b)
    value = np.sqrt(ratio(sv / n, sb / (n - 1)))
    mean_without = (sv[..., None] - v) / (n[..., None] - 1)
    return n, value, np.sqrt(mean_without / left_out_variance(b, sb, n))


def _moved(estimate: Vector, se: Vector, truth: Vector | None) -> tuple[Array, ...]:
    """Return the relative estimates and the standard errors of the complete replicates."""
    t, s = complete(estimate, se)
    return complete(relative(t, truth)[0], s)


def _root_mean_square(x: Vector) -> Measure:
    """Return the root mean square, with MCSE SD(x^2)/(2 sqrt(n) root)."""
    unit, scaled = rescaled(x)
    found = average(scaled**2)
    root = np.sqrt(found.value)
    return measure(unit * root, unit * ratio(found.mcse, 2 * root), np.asarray(found.n))


def _morris(mcse: str) -> bool:
    """Return whether the normal-theory error is asked for; refuse other words."""
    if mcse not in ("robust", "morris"):
        raise ValueError(f"mcse is {mcse!r}; it is 'robust' (the default) or 'morris'")
    return mcse == "morris"
