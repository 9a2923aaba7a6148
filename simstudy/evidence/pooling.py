"""Whether rows that would be taken for replicates of one estimand are of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtr

from simstudy.evidence.arithmetic import Array
from simstudy.warning_capture import warn

_FLAGS = {"0", "1", "0.0", "1.0", "false", "true", "no", "yes", "n", "y", "f", "t"}  # yes or no
_CHANCE = 1e-3  # numbers of rows as even as these are a design's
_FAR = 3.0  # standard deviations of the number of runs
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
    tells: in every group it holds few values, each in about as many rows as the others, and either
    these numbers are more even than chance makes them, or their order is not one of chance (Wald &
    Wolfowitz 1940, Annals of Mathematical Statistics 11:147). What data sets bring about
    (iterations, warnings, flags) is random in number and order.

    Parameters
    ----------
    frame : pandas.DataFrame
        Anybody's table.
    labels, asked, truths : sequence of str
        Its columns that tell groups apart, that hold numbers, and those of them that hold truths.
    replicate : str or None
        The column that numbers the data sets.

    Raises
    ------
    ValueError
        When rows are told apart and there is no `replicate`; with one, it is a warning.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.pooling import check_pooled
    >>> frame = pd.DataFrame({"b": [0.1, 0.9, 0.2, 0.8], "estimand": ["RD", "OR"] * 2})
    >>> check_pooled(frame, ["estimand"], ["b"], [], None)
    >>> check_pooled(frame, [], ["b"], [], None)
    Traceback (most recent call last):
    ValueError: rows that differ in 'estimand' (2 values) would be taken for replicates of one ...
    """
    group = np.zeros(len(frame), dtype=np.int64)
    for name in labels:
        if name != replicate:
            codes, values = pd.factorize(frame[name], use_na_sentinel=False)
            group = np.unique(group * len(values) + codes, return_inverse=True)[1]
    named = {*labels, *asked}
    spare = [name for name in frame if name not in named]
    found = [name for name in spare if _splits(frame[name], group)]
    for name in [] if replicate else [name for name in truths if name not in labels]:
        codes, values = pd.factorize(frame[name], use_na_sentinel=False)
        kinds = np.bincount(np.unique(group * len(values) + codes) // len(values))
        if ((kinds > 1) & (2 * kinds <= np.bincount(group))).any():
            found.insert(0, name)
    if not found:
        return
    several = [f"{name!r} ({len(pd.unique(frame[name])):,} values)" for name in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    text = (
        f"rows that differ in {', '.join(several)}{more} would be taken for replicates of one "
        "estimand; name in `by` what tells estimands or scenarios apart"
    )
    if replicate is not None:
        warn(f"{text}, or set `pool` if they are one")
    else:
        raise ValueError(
            f"{text}, in `method` what tells methods apart, in `replicate` what numbers the data "
            "sets, or set `pool` if these rows are replicates of one estimand"
        )


def _splits(values: pd.Series, group: Array) -> bool:
    """Return whether a column tells the rows of a group apart as the design of a study does."""
    words = not pd.api.types.is_numeric_dtype(values)
    if values.name == "status":
        return False
    try:
        codes, kinds = pd.factorize(values, use_na_sentinel=False)
    except TypeError:  # lists and the like
        return False
    pairs, rows = np.unique(group * len(kinds) + codes, return_counts=True)
    first = np.flatnonzero(np.diff(pairs // len(kinds), prepend=-1))
    sizes = np.diff(first, append=len(pairs))
    if values.name in _TELLING:
        return bool((sizes > 1).any())
    # failed replicates may have been dropped from a design
    most = np.repeat(np.maximum.reduceat(rows, first), sizes)
    even = (rows > 1) & (rows >= (0.5 if words else 0.85) * most)
    several = np.add.reduceat(even, first)[sizes > 1] >= 0.8 * sizes[sizes > 1]
    if not len(several) or not several.all():
        return False
    flag = {str(kind).lower() for kind in kinds} <= _FLAGS
    return _ordered(group, codes, rows, first) or (not flag and _equal(rows, first, sizes))


def _equal(rows: Array, first: Array, sizes: Array) -> bool:
    """Tell whether the numbers of rows are more even than those of chance, as 1 in 1,000 are.

    Pearson's chi-squared is too small; with two values in one group, that is 0.
    """
    expected = np.repeat(np.add.reduceat(rows, first) / sizes, sizes)
    return bool(chdtr((sizes - 1).sum(), ((rows - expected) ** 2 / expected).sum()) < _CHANCE)


def _ordered(group: Array, codes: Array, rows: Array, first: Array) -> bool:
    """Tell whether values stand in blocks, or take turns: the number of runs is not one of chance.

    With k values: Mood 1940, Annals of Mathematical Statistics 11:367.
    """
    order = np.argsort(group, kind="stable")
    same_group = np.diff(group[order]) == 0
    groups = len(first)
    runs = groups + int((same_group & (np.diff(codes[order]) != 0)).sum())
    n, squares, cubes = (np.add.reduceat(rows.astype(float) ** k, first) for k in (1, 2, 3))
    expected = n - squares / n + 1
    variance = squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3
    variance = variance / np.maximum(n**2 * (n - 1), 1)
    return bool(abs(runs - expected.sum()) > _FAR * np.sqrt(variance.sum()) > 0)
