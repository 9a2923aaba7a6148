"""Whether rows that would be taken for replicates of one estimand are of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from simstudy.heard import warn
from simstudy.montecarlo import Array

_TELLING = ("scenario", "estimator", "estimand", "parameter", "method")  # words of a design


def check_pooled(
    frame: pd.DataFrame,
    labels: Sequence[str],
    asked: Sequence[str],
    truths: Sequence[str],
    replicate: str | None,
) -> None:
    """Refuse rows of several estimands, or scenarios, that would be taken for replicates of one.

    Without a replicate column nobody says what a row is. A column that has no part in the work then
    tells: in every cell it holds few values, and each of them in as many rows as the others. What
    data sets bring about (iterations, warnings, degrees of freedom) is not so even.

    Parameters
    ----------
    frame : pandas.DataFrame
        Anybody's table.
    labels, asked, truths : sequence of str
        Its columns that tell cells apart, that hold numbers, and those of them that hold truths.
    replicate : str or None
        The column that numbers the data sets.

    Raises
    ------
    ValueError
        When rows are told apart and there is no `replicate`; with one, it is a warning.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.pooling import check_pooled
    >>> frame = pd.DataFrame({"b": [0.1, 0.9, 0.2, 0.8], "estimand": ["RD", "OR"] * 2})
    >>> check_pooled(frame, ["estimand"], ["b"], [], None)
    >>> check_pooled(frame, [], ["b"], [], None)
    Traceback (most recent call last):
    ValueError: rows that differ in 'estimand' (2 values) would be taken for replicates of one ...
    """
    cell = np.zeros(len(frame), dtype=np.int64)
    for name in labels:
        if name != replicate:
            codes, values = pd.factorize(frame[name], use_na_sentinel=False)
            cell = np.unique(cell * len(values) + codes, return_inverse=True)[1]
    named = {*labels, *asked}
    spare = [name for name in frame if name not in named]
    found = [name for name in spare if _splits(frame[name], cell)]
    for name in [] if replicate else [name for name in truths if name not in labels]:
        codes, values = pd.factorize(frame[name], use_na_sentinel=False)
        kinds = np.bincount(np.unique(cell * len(values) + codes) // len(values))
        if ((kinds > 1) & (2 * kinds <= np.bincount(cell))).any():
            found.insert(0, name)
    if not found:
        return
    several = [f"{name!r} ({len(pd.unique(frame[name])):,} values)" for name in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    said = (
        f"rows that differ in {', '.join(several)}{more} would be taken for replicates of one "
        "estimand; name in `by` what tells estimands or scenarios apart"
    )
    if replicate is not None:
        warn(f"{said}, or say `pool` if they are one")
    else:
        raise ValueError(
            f"{said}, in `method` what tells methods apart, in `replicate` what numbers the data "
            "sets, or say `pool` if these rows are replicates of one estimand"
        )


def _splits(values: pd.Series, cell: Array) -> bool:
    """Return whether a column tells the rows of a cell apart as the design of a study does."""
    words = not pd.api.types.is_numeric_dtype(values)
    if pd.api.types.is_bool_dtype(values) or values.name == "status":
        return False
    try:
        codes, kinds = pd.factorize(values, use_na_sentinel=False)
    except TypeError:  # lists and the like
        return False
    pairs, rows = np.unique(cell * len(kinds) + codes, return_counts=True)
    first = np.flatnonzero(np.diff(pairs // len(kinds), prepend=-1))
    sizes = np.diff(first, append=len(pairs))
    if values.name in _TELLING:
        return bool((sizes > 1).any())
    # failed replicates may have been dropped from a design
    most = np.repeat(np.maximum.reduceat(rows, first), sizes)
    even = (rows > 1) & (rows >= (0.5 if words else 0.95) * most)
    several = np.add.reduceat(even, first)[sizes > 1] >= 0.9 * sizes[sizes > 1]
    return bool(len(several)) and bool(several.all())
