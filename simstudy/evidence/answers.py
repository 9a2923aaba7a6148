"""Which rows of a long table have an answer, and their numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.columns import NUMBERS, numbers
from simstudy.warning_capture import warn


def answers(table: pd.DataFrame, *, quiet: bool = False) -> dict[str, Array]:
    """Return the number columns, nan where there is no answer, and which rows have one: `ok`.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table, as for `summarize`.
    quiet : bool
        Whether no warning tells of rows whose numbers are impossible.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.answers import answers
    >>> answers(pd.DataFrame({"estimate": [1.0, 2.0], "se": [0.5, -0.5]}), quiet=True)["se"]
    array([0.5, nan])
    """
    columns = {name: numbers(table[name]) for name in NUMBERS if name in table}
    estimate = columns["estimate"]
    columns["estimate"] = np.where(np.isfinite(estimate), estimate, np.nan)
    faults = {"estimate is infinite": np.isinf(estimate)}
    if "se" in columns:
        faults["standard error is zero, negative or infinite"] = (columns["se"] <= 0) | np.isinf(
            columns["se"]
        )
    if "lower" in columns and "upper" in columns:
        faults["lower limit is above the upper one"] = columns["lower"] > columns["upper"]
    bad = np.zeros(len(table), dtype=bool)
    for what, found in faults.items():
        rows = found & ~bad  # each row is counted once
        if rows.any() and not quiet:
            first = int(np.flatnonzero(rows)[0]) + 1
            warn(
                f"in {int(rows.sum())} of {len(rows)} rows (the first is row {first}) the {what}; "
                "these rows count as failures"
            )
        bad = bad | rows
    if "status" in table:
        ok = (table["status"] == "ok").to_numpy(dtype=bool) & np.isfinite(estimate) & ~bad
        bad = ~ok
    else:
        ok = ~bad
        for name in ("estimate", "se", "lower", "upper"):
            if name in columns:
                ok = ok & ~np.isnan(columns[name])
    if bad.any():
        for name in {"se", "lower", "upper"} & columns.keys():
            columns[name] = np.where(bad, np.nan, columns[name])
    return columns | {"ok": ok}
