"""Anybody's table as the long table that `summarize` and `compare` read, or why it is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.checks import check_known, check_level
from simstudy.evidence.columns import Columns, first_row, numbers
from simstudy.evidence.montecarlo import critical
from simstudy.evidence.pooling import check_pooled
from simstudy.files.writing import printable
from simstudy.warning_capture import warn


def long_table(frame: pd.DataFrame, columns: Columns, *, level: float = 0.95) -> pd.DataFrame:
    """Rename the columns of anybody's table and check them; add Wald limits where none are given.

    Wald limits are estimate -/+ quantile * se, of the normal distribution, or of Student's t where
    the degrees of freedom are given.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per replicate and method or, of a wide table, one row per replicate.
    columns : Columns
        What its columns hold.
    level : float
        Nominal level of the Wald limits.

    Returns
    -------
    pandas.DataFrame
        The group columns, replicate (where given), method, and those of `NUMBERS` that are given.

    Raises
    ------
    ValueError
        When a column is unknown or holds text where numbers belong, when rows are duplicated, a
        truth or a label is missing, limits are exchanged, or the level is out of range; when no row
        has an estimate; when rows seem to be of several estimands (see `Columns.pool`).

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.columns import Columns, Columns
    >>> from simstudy.evidence.long_table import long_table
    >>> frame = pd.DataFrame({"b_ml": [1.5, 2.0], "b_mm": [1.0, 3.0]})
    >>> long_table(frame, Columns(estimate="b_{method}", truth=2, wide=["ml", "mm"]))
       replicate method  estimate  truth
    0          1     ml       1.5    2.0
    1          2     ml       2.0    2.0
    2          1     mm       1.0    2.0
    3          2     mm       3.0    2.0
    """
    check_level(level)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"the table has two columns {twice!r}; the names of columns must differ")
    if frame.empty:
        raise ValueError("the table has no rows: there is nothing to measure")
    named = {role: columns.by_method(role) for role in columns.numbers}
    asked = [name for names in named.values() for name in names if isinstance(name, str)]
    labels = [*columns.groups, *columns.labels.values()]
    check_known("column", [*labels, *asked], frame.columns)
    table = _labels(frame, {name: name for name in columns.groups} | columns.labels)
    if not columns.pool:
        truths = [name for name in named["truth"] if isinstance(name, str)]
        check_pooled(frame, labels, asked, truths, columns.replicate)
    methods = columns.methods
    if columns.wide is not None and columns.replicate is None:
        table["replicate"] = np.arange(1, len(frame) + 1)
    if columns.method is None:
        table = table.loc[np.tile(table.index, len(methods))].reset_index(drop=True)
        table["method"] = np.repeat(np.array([*map(printable, methods)], dtype=object), len(frame))
    table = table.assign(**_numbers(frame, named, len(methods)))
    _check_empty(table, columns)
    if columns.se is not None and columns.lower is None:
        reach = table["se"] * critical(level, table.get("df"))
        table["lower"], table["upper"] = table["estimate"] - reach, table["estimate"] + reach
    return table


def _check_empty(table: pd.DataFrame, columns: Columns) -> None:
    """Refuse a table without any estimate; say which other column has no number at all."""
    for role in ("estimate", "se", "lower", "upper"):
        if role in table and table[role].isna().all():
            text = f"{role} ({columns.numbers[role]!r}) is empty in every row"
            if role == "estimate":
                raise ValueError(f"{text}: there is nothing to measure; is it the right column?")
            warn(f"{text}: what needs it is not measured")


def _labels(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of labels by what they are called; none may be missing in a row."""
    for name in columns.values():
        missing = frame[name].isna().to_numpy()
        if missing.any():
            raise ValueError(
                f"column {name!r} is empty in {first_row(missing)}; every row must say its group, "
                "method and replicate"
            )
    table = pd.DataFrame({role: _shown(frame[name]).array for role, name in columns.items()})
    return table if columns else pd.DataFrame(index=range(len(frame)))


def _shown(labels: pd.Series) -> pd.Series:
    """Return labels that a terminal may print, and that are as many as before."""
    if pd.api.types.is_numeric_dtype(labels):
        return labels
    words = labels.unique()
    shown = {word: printable(word) for word in words if isinstance(word, str)}
    if all(word == text for word, text in shown.items()):
        return labels
    texts = [shown.get(word, word) for word in words]
    if len(set(texts)) < len(texts):
        raise ValueError(
            f"column {labels.name!r} holds names that differ only in characters that cannot "
            "be seen; rename them"
        )
    return labels.map(lambda word: shown.get(word, word))


def _numbers(
    frame: pd.DataFrame, columns: Mapping[str, Sequence[float | str]], methods: int
) -> dict[str, Array]:
    """Return the number columns by role, one method's rows under another's, checked."""
    size = len(frame)

    def locate(role: str, wrong: Array) -> tuple[str, str]:
        # the column that is at fault, and its row
        first = int(np.flatnonzero(wrong)[0])
        names = columns[role]
        return repr(names[first // size % len(names)]), first_row(wrong, size)

    found = {
        role: np.tile(np.concatenate([_column(frame, n, role) for n in names]),
                      methods // len(names))
        for role, names in columns.items()
    }  # fmt: skip
    must = {"df": "positive", "truth_mcse": "zero or positive, and finite", "truth": "finite"}
    right = {"truth": np.isfinite(found["truth"])}
    if "df" in found:
        failed = np.isnan(found["estimate"]) | np.isnan(found.get("se", found["estimate"]))
        right["df"] = (found["df"] > 0) | failed
    if "truth_mcse" in found:
        right["truth_mcse"] = (found["truth_mcse"] >= 0) & np.isfinite(found["truth_mcse"])
    for role, good in right.items():
        if not good.all():
            name, row = locate(role, ~good)
            raise ValueError(
                f"{role} ({name}) is {found[role][~good][0]:g} in {row}; it must be {must[role]} "
                f"in every row{' that has an estimate' if role == 'df' else ''}"
            )
    if "lower" in found:
        exchanged = found["lower"] > found["upper"]
        if exchanged.any():
            (lower, row), (upper, _) = (locate(role, exchanged) for role in ("lower", "upper"))
            raise ValueError(
                f"lower ({lower}) is above upper ({upper}) in {row}; have the two columns been "
                "exchanged?"
            )
    return found


def _column(frame: pd.DataFrame, column: float | str, role: str) -> Array:
    """Return a column of numbers, or one number for all rows."""
    if isinstance(column, str):
        return numbers(frame[column])
    if isinstance(column, bool | np.bool_):
        raise ValueError(f"{role} is {column}; it must be a number, or the name of a column")
    return np.full(len(frame), float(column))
