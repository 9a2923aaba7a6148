"""Measures of the estimates: whether there are any, their errors, their spread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simstudy.evidence.arithmetic import (
    Array,
    Vector,
    centered,
    complete,
    extremes,
    floats,
    jackknife,
    left_out_variance,
    present,
    quiet,
    ratio,
    rescaled,
    total,
)
from simstudy.evidence.checks import is_morris
from simstudy.evidence.montecarlo import Measure, average, measure, quantile, share


def answered(ok: npt.ArrayLike) -> Measure:
    """Count the replicates with an answer; n is the number asked."""
    ok = np.asarray(ok)
    answers = ok.sum(-1)
    asked = np.full(answers.shape, ok.shape[-1])
    return measure(answers.astype(float), np.full(answers.shape, np.nan), asked)


def fail(ok: npt.ArrayLike) -> Measure:
    """Share of asked replicates without an answer, a proportion with binomial MCSE."""
    return share(~np.asarray(ok))


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
    if is_morris(mcse):
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
    return root_mean_square(np.subtract(estimate, truth))


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
    if is_morris(mcse):
        # rounding can leave -1e-16 where the two are proportional
        unexplained = np.maximum(1 - ratio(total(x * y) ** 2, sxx * syy), 0)
        error = 2 * r * np.sqrt(unexplained / (n - 1))
    else:
        without = left_out_variance(yy, syy, n) / left_out_variance(xx, sxx, n)
        error = jackknife(r, without, n)
    return measure(100 * (r - 1), 100 * error, n)


def root_mean_square(x: Vector) -> Measure:
    """Return the root mean square, with MCSE SD(x^2)/(2 sqrt(n) root)."""
    unit, scaled = rescaled(x)
    found = average(scaled**2)
    root = np.sqrt(found.value)
    return measure(unit * root, unit * ratio(found.mcse, 2 * root), np.asarray(found.n))
