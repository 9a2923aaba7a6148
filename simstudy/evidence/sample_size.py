"""How many replicates a target precision takes: from theory, or from a pilot in the store.

The rule on paper: `docs/plan.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.checks import check_known
from simstudy.evidence.measures import MEASURES, SHARES
from simstudy.evidence.montecarlo import Z

NEEDS = {"bias": "sd", "mean": "sd", "empse": "sd", "rmse": "sd", "mse": "sd", "median": "sd"}
"""Measures whose Monte Carlo error follows from the standard deviation of the estimates."""


def theory(measure: str, mcse: float, *, level: float = 0.95, sd: float | None = None,
           share: float | None = None) -> int:  # fmt: skip
    """Count the replicates that bring the Monte Carlo standard error of a measure to a target.

    Parameters
    ----------
    measure : str
        A name of the catalogue.
    mcse : float
        The target, in the unit of the measure: proportions for coverage, percent for `relerror`.
    level : float
        Nominal level; what is expected of a coverage.
    sd : float, optional
        Standard deviation of the estimates: what `bias`, `mean`, `median`, `empse`, `mse` and
        `rmse` need. The last four, and `relerror`, are for normal estimates without bias.
    share : float, optional
        The expected share, where it is not that of intervals at their nominal level; 0.5 is the
        worst case.

    Returns
    -------
    int
        Replicates: p (1 - p)/MCSE^2, sd^2/MCSE^2, 1 + sd^2/(2 MCSE^2) (Morris, White & Crowther
        2019, section 5.3).

    Raises
    ------
    ValueError
        When the target is not positive, the measure unknown, or no theory gives its error.

    Examples
    --------
    >>> from simstudy.evidence.sample_size import theory
    >>> theory("cover", 0.005), theory("bias", 0.01, sd=0.2), theory("relerror", 1.0)
    (1900, 400, 5001)
    """
    _check(measure, mcse)
    if measure in SHARES:
        p = _expected(measure, level) if share is None else share
        if not 0 < p < 1:
            raise ValueError(f"share is {p:g}; it must lie between 0 and 1")
        return _up(p * (1 - p) / mcse**2)
    if measure == "relerror":
        return _up(1 + 0.5 * (100 / mcse) ** 2)
    if measure not in NEEDS:
        raise ValueError(
            f"no theory gives the Monte Carlo error of {measure!r}; run a pilot of some hundred "
            "replicates and plan from its results"
        )
    if sd is None or not sd > 0:
        raise ValueError(f"{measure!r} needs sd, the standard deviation of the estimates, above 0")
    times = (sd / mcse) ** 2
    return _up(
        {
            "bias": times,
            "mean": times,
            "median": math.pi / 2 * times,
            "empse": 1 + times / 2,
            "rmse": times / 2,
            "mse": 2 * (sd**2 / mcse) ** 2,
        }[measure]
    )


def pilot(performance: pd.DataFrame, measure: str, mcse: float) -> pd.DataFrame:
    """Count the replicates for a target from the Monte Carlo errors that a pilot had.

    These fall with the root of the number: n (MCSE/target)^2. Where a share is 0 or 1, its MCSE of
    0 says nothing, and a quarter of the Wilson interval's length stands for it.

    Parameters
    ----------
    performance : pandas.DataFrame
        As from `simstudy.evidence.summary.summarize`.
    measure : str
        One of its measures.
    mcse : float
        The target, in the unit of the measure.

    Returns
    -------
    pandas.DataFrame
        The group columns, method, value, mcse, n (of the pilot) and needed: replicates in all, nan
        where the pilot is too small to say.

    Raises
    ------
    ValueError
        When the target is not positive or the frame does not have the measure.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.sample_size import pilot
    >>> frame = pd.DataFrame({"method": ["a"], "measure": ["bias"], "value": [0.1], "mcse": [0.02],
    ...                       "lower": [0.06], "upper": [0.14], "n": [100]})
    >>> pilot(frame, "bias", 0.01)[["method", "needed"]]
      method  needed
    0      a   400.0
    """
    _check(measure, mcse)
    check_known("measure", [measure], performance["measure"].astype(str).unique())
    rows = performance[performance["measure"].astype(str) == measure]
    error = errors(rows)
    needed = np.ceil(rows["n"].to_numpy() * (error / mcse) ** 2 * (1 - 1e-12))
    found = rows.drop(columns=["measure", "lower", "upper"]).assign(needed=needed)
    return found.reset_index(drop=True)


def errors(rows: pd.DataFrame) -> Array:
    """Return the Monte Carlo errors of rows; that of a share of 0 or 1 from Wilson's interval.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.sample_size import errors
    >>> rows = pd.DataFrame({"mcse": [0.0, 0.1], "lower": [0.9, 0.0], "upper": [1.0, 0.4]})
    >>> errors(rows).round(3)
    array([0.026, 0.1  ])
    """
    error = rows["mcse"].to_numpy(dtype=float)
    length = (rows["upper"] - rows["lower"]).to_numpy(dtype=float)
    return np.where(error == 0, length / (2 * Z), error)


def summary(needed: pd.DataFrame) -> pd.DataFrame:
    """Return, for each scenario, the row that needs most.

    Parameters
    ----------
    needed : pandas.DataFrame
        What `pilot` returned, with a column scenario.
    """
    order = needed.sort_values("needed", ascending=False, kind="stable", na_position="first")
    first = order.groupby("scenario", sort=False, observed=True).head(1)
    return first.sort_index().reset_index(drop=True)


def target(text: str) -> tuple[str, float]:
    """Read a target such as `cover:0.005`.

    Raises
    ------
    ValueError
        When it is no measure and number, or the number is not positive.

    Examples
    --------
    >>> from simstudy.evidence.sample_size import target
    >>> target("cover:0.005")
    ('cover', 0.005)
    """
    measure, colon, number = text.partition(":")
    try:
        mcse = float(number)
    except ValueError:
        mcse = math.nan
    if not colon or math.isnan(mcse):
        raise ValueError(
            f"the target is {text!r}; give a measure and its Monte Carlo error, as cover:0.005"
        )
    _check(measure, mcse)
    return measure, mcse


def _expected(measure: str, level: float) -> float:
    """Return the share that is expected of a measure where all is well, or the worst case."""
    side = (1 - level) / 2
    known: Mapping[str, float] = {
        "cover": level, "becover": level, "cover_all": level, "miss_left": side, "miss_right": side
    }  # fmt: skip
    return known.get(measure, 0.5)


def _check(measure: str, mcse: float) -> None:
    """Refuse a target that cannot be reached."""
    check_known("measure", [measure], MEASURES)
    if measure == "n":
        raise ValueError("'n' is a count and has no Monte Carlo error; name another measure")
    if not (mcse > 0 and math.isfinite(mcse)):
        raise ValueError(f"the target is {mcse:g}; a Monte Carlo error is a number above 0")


def _up(number: float) -> int:
    """Round up, but not what is a whole number but for rounding."""
    return max(math.ceil(number * (1 - 1e-12)), 2)
