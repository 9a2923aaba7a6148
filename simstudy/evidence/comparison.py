"""Methods against each other on the same replicates.

Two methods that see the same data sets err together, so that their difference is known far better
than either. It gets its own Monte Carlo standard error here: the two methods' errors, added as if
they were independent, are several times too large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import (
    Vector,
    complete,
    floats,
    jackknife,
    present,
    quiet,
    ratio,
    rescaled,
    rounding,
    tally,
    total,
)
from simstudy.evidence.evaluation import needs
from simstudy.evidence.measures import se_ratio
from simstudy.evidence.montecarlo import Measure, Z, measure
from simstudy.evidence.summary import summarize


@quiet
def cover_difference(
    lower: Vector,
    upper: Vector,
    reference_lower: Vector,
    reference_upper: Vector,
    truth: Vector,
    reference_truth: Vector | None = None,
) -> Measure:
    """Coverage minus that of the reference, on the replicates where both have an interval.

    With b replicates that only this method covers and c that only the reference does: (b - c)/n,
    with variance (b + c - (b - c)^2/n)/n^2 (McNemar 1947, Psychometrika 12:153). The interval is
    that of Agresti & Min (2005, Statistics in Medicine 24:729): half a replicate is added to each
    of the four counts, so that its length is never 0.

    Parameters
    ----------
    lower, upper, reference_lower, reference_upper, truth : (..., n) float
        Entry i of all from the same replicate.
    reference_truth : (..., n) float, optional
        What the reference is to cover, where that is another truth.

    Returns
    -------
    Measure
        A difference of proportions.

    Examples
    --------
    >>> from simstudy.evidence.comparison import cover_difference
    >>> cover_difference([0, 0], [2, 2], [0, 2], [2, 3], truth=1.0).value
    0.5
    """
    lower, upper, low, high, truth, target = floats(
        lower,
        upper,
        reference_lower,
        reference_upper,
        truth,
        truth if reference_truth is None else reference_truth,
    )
    usable = present(lower, upper, low, high, truth, target)
    here, there = (lower <= truth) & (truth <= upper), (low <= target) & (target <= high)
    n, b, c = tally(usable), tally(here & ~there & usable), tally(there & ~here & usable)
    center = (b - c) / (n + 2)
    reach = Z * np.sqrt((b + c + 1) / (n + 2) - center**2) / np.sqrt(n + 2)
    error = np.sqrt(b + c - (b - c) ** 2 / n) / n
    return measure((b - c) / n, error, n, center - reach, center + reach)


@quiet
def relerror_difference(
    estimate: Vector,
    se: Vector,
    reference_estimate: Vector,
    reference_se: Vector,
    truth: Vector | None = None,
    reference_truth: Vector | None = None,
) -> Measure:
    """Relative error of the standard error minus that of the reference, in percentage points.

    Parameters
    ----------
    estimate, se, reference_estimate, reference_se : (..., n) float
        Entry i of all from the same replicate; replicates that miss one are left out.
    truth, reference_truth : (..., n) float, optional
        Where one differs within a row, empse is the spread of `simstudy.evidence.measures.relative`
        estimates. Without one of its own, the reference has the same.

    Returns
    -------
    Measure
        In percentage points, with MCSE by the joint delete-one jackknife, in closed form.

    Examples
    --------
    >>> from simstudy.evidence.comparison import relerror_difference
    >>> t = [1.0, 2.0, 3.0]
    >>> relerror_difference(t, [1.1] * 3, t, [1.0] * 3).value
    10.0...
    """
    t, s, r_t, r_s = complete(estimate, se, reference_estimate, reference_se)
    r_t, r_s = np.where(rounding(r_t - t, t), t, r_t), np.where(rounding(r_s - s, s), s, r_s)
    n, value, without = se_ratio(t, s, truth)
    other = truth if reference_truth is None else reference_truth
    _, reference, reference_without = se_ratio(r_t, r_s, other)
    difference = value - reference
    error = jackknife(difference, without - reference_without, n)
    return measure(100 * difference, 100 * error, n)


@quiet
def modelse_ratio(se: Vector, reference_se: Vector) -> Measure:
    """Average model standard error over that of the reference: sqrt(mean V / mean V_ref).

    Parameters
    ----------
    se, reference_se : (..., n) float
        Entry i of both from the same replicate; replicates that miss one are left out.

    Returns
    -------
    Measure
        A ratio, with MCSE by the joint delete-one jackknife, in closed form.

    Examples
    --------
    >>> from simstudy.evidence.comparison import modelse_ratio
    >>> modelse_ratio([2.0, 4.0, 6.0], reference_se=[1.0, 2.0, 3.0])
    Measure(value=2.0, mcse=0.0, n=3, lower=2.0, upper=2.0)
    """
    s, r = complete(se, reference_se)
    unit, s = rescaled(s)
    reference_unit, r = rescaled(r)
    n, v, w = np.asarray(present(s).sum(-1)), s**2, r**2
    sv, sw = total(v), total(w)
    value = np.sqrt(ratio(sv, sw))
    error = jackknife(value, np.sqrt((sv[..., None] - v) / (sw[..., None] - w)), n)
    # where the two differ by one factor, leaving one out changes nothing
    one_factor = (rounding(v - np.square(value)[..., None] * w, v) | np.isnan(v)).all(-1)
    error = np.where(one_factor & (n > 1), 0.0, error)
    return measure(unit / reference_unit * value, unit / reference_unit * error, n)


COMPARISONS: dict[str, Callable[..., Measure]] = {
    "cover_difference": cover_difference,
    "relerror_difference": relerror_difference,
    "modelse_ratio": modelse_ratio,
}
"""What `compare` measures; a comparison of one's own names the reference's columns the same way."""


def compare(
    table: pd.DataFrame, reference: str = "observed", *, by: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare every method with a reference method on the same replicates.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table, as for `simstudy.evidence.summary.summarize`, with replicates.
    reference : str
        Name of the method to compare with.
    by : sequence of str, optional
        The group columns; by default all that tell groups apart.

    Returns
    -------
    pandas.DataFrame
        As from `summarize`, with a column `reference` and the measures of `COMPARISONS`: positive
        differences and ratios above 1 say that the method has more than the reference.

    Raises
    ------
    ValueError
        As from `summarize`; when the reference is unknown; when there are no replicates to pair.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.comparison import compare
    >>> table = pd.DataFrame({"replicate": [1, 2, 3] * 2, "method": list("aaabbb"), "truth": 0.0,
    ...                       "estimate": [1.0, 2.0, 3.0] * 2, "se": [1.0] * 3 + [2.0] * 3})
    >>> found = compare(table, reference="a")
    >>> found[["method", "reference", "measure", "value", "n"]]
      method reference              measure  value  n
    0      b         a  relerror_difference  100.0  3
    1      b         a        modelse_ratio    2.0  3
    """
    measures = {
        name: function
        for name, function in COMPARISONS.items()
        if {arg.removeprefix("reference_") for arg in needs(function)} <= {*table}
    }
    if not measures:
        raise ValueError(
            "the table has neither standard errors nor limits with a truth; there is nothing to "
            "compare methods by"
        )
    found = summarize(table, by=by, reference=reference, measures=measures)
    found = found[found["method"].astype(str) != str(reference)].reset_index(drop=True)
    found = found.rename(columns={"reference": "factor_reference"})
    found.insert(list(found.columns).index("measure"), "reference", reference)
    return found
