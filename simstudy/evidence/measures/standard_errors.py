"""Measures of the standard errors: their size, their noise, their numerical error."""

from __future__ import annotations

import numpy as np

from simstudy.evidence.arithmetic import (
    Array,
    Vector,
    centered,
    complete,
    jackknife,
    left_out,
    left_out_variance,
    quiet,
    ratio,
    rescaled,
    total,
)
from simstudy.evidence.checks import is_morris
from simstudy.evidence.measures.estimates import relative, root_mean_square
from simstudy.evidence.montecarlo import Measure, average, measure, quantile


@quiet
def modelse(se: Vector) -> Measure:
    """Average model standard error: sqrt(mean V), in the unit of the estimates.

    MCSE sqrt(var(V)/(4 n modelse^2)) (Morris et al. 2019, table 6).
    """
    return root_mean_square(se)


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
    if is_morris(mcse):
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
