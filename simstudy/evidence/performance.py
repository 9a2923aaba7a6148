"""The performance of estimates in anybody's table, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.columns import Columns
from simstudy.evidence.evaluation import Measures
from simstudy.evidence.long_table import long_table
from simstudy.evidence.summary import RESULTS, summarize
from simstudy.warning_capture import warn


def performance(
    frame: pd.DataFrame,
    *,
    estimate: str,
    truth: float | str,
    se: str | None = None,
    method: str | None = None,
    by: Sequence[str] | str = (),
    replicate: str | None = None,
    lower: str | None = None,
    upper: str | None = None,
    df: float | str | None = None,
    truth_mcse: float | str | None = None,
    wide: Sequence[str] | None = None,
    pool: bool = False,
    reference: str | None = None,
    exact: str = "observed",
    level: float = 0.95,
    null: float | Mapping[str, float] = 0.0,
    mcse: str = "robust",
    measures: Measures | None = None,
) -> pd.DataFrame:
    """Measure the performance of estimates in anybody's table, whatever its columns are called.

    Parameters
    ----------
    frame, estimate, truth, se, method, by, replicate, lower, upper, df, truth_mcse, wide, pool
        The table and what its columns hold: see `simstudy.evidence.columns.Columns`. Without
        limits, intervals are Wald's.
    reference, exact, level, null, mcse, measures
        What to measure: see `summarize`.

    Returns
    -------
    pandas.DataFrame
        As from `summarize`.

    Raises
    ------
    ValueError
        As from both.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy import performance
    >>> frame = pd.DataFrame({"b": [0.9, 1.1, 1.3, 0.7], "std_err": [0.2, 0.3, 0.2, 0.2]})
    >>> found = performance(frame, estimate="b", se="std_err", truth=1, measures=["cover"])
    >>> found[["method", "measure", "value", "mcse", "n"]]
      method measure  value  mcse  n
    0      b   cover    1.0   0.0  4
    """
    columns = Columns(
        estimate=estimate,
        truth=truth,
        se=se,
        method=method,
        by=by,
        replicate=replicate,
        lower=lower,
        upper=upper,
        df=df,
        truth_mcse=truth_mcse,
        wide=wide,
        pool=pool,
    )
    found = summarize(
        long_table(frame, columns, level=level),
        by=columns.groups,
        reference=reference,
        exact=exact,
        level=level,
        null=null,
        mcse=mcse,
        measures=measures,
    )
    warn_of_units(found)
    return found


def warn_of_units(found: pd.DataFrame) -> None:
    """Warn where estimates lie far from the truth, or from their standard errors, by a unit."""
    rows = {
        name: found[found["measure"] == name] for name in ("bias", "rbias", "empse", "relerror")
    }
    size = {name: own["value"].to_numpy() for name, own in rows.items() if len(own)}
    if {"bias", "rbias", "empse"} <= size.keys():
        times = size["rbias"] + 1
        far = np.abs(size["bias"]) > 3 * size["empse"]
        odd = far & ((times > 10) | (times < 0.1))
        text = "the estimates are {:.3g} times the truth on average ({}): are both in one unit?"
        _warn_where(rows["rbias"], odd, times, text)
    if "relerror" in size:
        times = size["relerror"] / 100 + 1
        odd = ((times > 5) | (times < 0.2)) & (rows["relerror"]["n"].to_numpy() >= 10)
        text = (
            "the standard errors are {:.3g} times the spread of the estimates ({}): are all "
            "replicates and both columns in one unit, and these no variances?"
        )
        _warn_where(rows["relerror"], odd, times, text)


def _warn_where(rows: pd.DataFrame, odd: Array, times: Array, text: str) -> None:
    """Warn of the first odd group, and say how many there are."""
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        where = ", ".join(
            f"{name}={rows[name].iloc[first]}" for name in rows if name not in RESULTS
        )
        where += f"; {odd.sum()} such groups" if odd.sum() > 1 else ""
        warn(text.format(times[first], where))
