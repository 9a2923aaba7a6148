"""From the rows of a long table to measures: one row per group and measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simstudy.evidence.answers import answers
from simstudy.evidence.arithmetic import Array
from simstudy.evidence.checks import check_known, check_level, is_morris
from simstudy.evidence.columns import OWN
from simstudy.evidence.evaluation import Measures, choose, evaluate
from simstudy.evidence.groups import Groups, groups_of, partner
from simstudy.evidence.measures import MEASURES, MORRIS

RESULTS = ("measure", "value", "mcse", "lower", "upper", "n")
"""The columns of a performance frame after those that name the group and the method."""


def summarize(
    table: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    reference: str | None = None,
    exact: str = "observed",
    level: float = 0.95,
    null: float | Mapping[str, float] = 0.0,
    mcse: str = "robust",
    measures: Measures | None = None,
) -> pd.DataFrame:
    """Measure the performance of every method in every group of the long table.

    Every row counts as asked. A row whose status is not ok has no answer; nor has one whose
    standard error is not a positive number or whose limits are exchanged, and a warning counts
    these. Rows are paired by replicate, and their order changes no digit.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per replicate and method, with columns method, estimate and, where there are any,
        replicate, truth, se, lower, upper, df, status, truth_mcse (of a truth that is itself
        simulated: its error is added in quadrature), and columns that tell groups apart.
    by : sequence of str, optional
        The group columns; by default all that are not named above.
    reference : str, optional
        The method that `relprec` compares with.
    exact : str
        The method whose standard errors `seratio_*` divide by.
    level : float
        Nominal level of the intervals.
    null : float or mapping of parameter to float
        What `power` tests.
    mcse : {"robust", "morris"}
        See `simstudy.evidence.measures`.
    measures : sequence of str or mapping of str to function, optional
        Names of the catalogue, or functions: `{**MEASURES, "mine": mine}`. A function gets
        `(..., n)` arrays for the arguments it names after columns, after columns of the paired
        method (`reference_se`, `exact_se`), or `ok` (answered), `level`, `null`, `mcse`. By
        default, all of the catalogue for which the table has the columns.

    Returns
    -------
    pandas.DataFrame
        The group columns, method, measure, value, mcse, lower, upper (95 % Monte Carlo interval)
        and n (replicates used). A group column named like one of these is called `factor_...`.

    Raises
    ------
    ValueError
        When a column, method or measure is unknown, a replicate occurs twice in a group, methods
        are to be compared without a replicate column, or a setting is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.summary import summarize
    >>> table = pd.DataFrame({"replicate": [1, 2, 3], "method": "ml", "truth": 1.0,
    ...                       "estimate": [0.9, 1.1, 1.3]})
    >>> summarize(table, measures=["bias", "empse"])[["method", "measure", "value", "n"]]
      method measure  value  n
    0     ml    bias    0.1  3
    1     ml   empse    0.2  3
    """
    check_level(level)
    catalogue = MORRIS if is_morris(mcse) else MEASURES
    for value in null.values() if isinstance(null, Mapping) else [null]:
        if not np.isfinite(value):
            raise ValueError(f"null is {value:g}; it must be a finite number")
    if by is None:
        by = [name for name in table.columns if name not in OWN]
    check_known("column", [*by, "method", "estimate"], table.columns)
    groups = groups_of(table, list(by))
    pairs = _pairs(groups, reference, exact)
    columns = answers(table)
    settings: dict[str, Any] = {"level": level, "mcse": mcse, "null": null}
    offered = {*columns, *settings, *(f"{role}_{name}" for role in pairs for name in columns)}
    chosen = choose(measures, catalogue, offered)
    needed = {name for _, names in chosen.values() for name in names} | {"truth_mcse"}
    given = _gather(needed & offered - settings.keys(), columns, pairs, groups.rows)
    if isinstance(null, Mapping) and "null" in needed:
        given["null"] = _null_by_row(null, groups)
    return _frame(evaluate(chosen, given, settings, groups), list(chosen), groups)


def _pairs(groups: Groups, reference: str | None, exact: str) -> dict[str, Array]:
    """Return, for each role, the row of its method at the same replicate (-1: none)."""
    methods = list(map(str, groups.labels["method"]))
    if exact != "observed":  # the default is not in everybody's table
        check_known("method", [exact], methods)
    if reference is not None:
        check_known("method", [reference], methods)
        if groups.replicate is None:
            raise ValueError(
                "methods are compared on the same replicates, paired by their id, and the table "
                "has no replicate column; name it, or leave out the reference"
            )
    if groups.replicate is None:
        return {}
    wanted = {"reference": reference, "exact": exact if str(exact) in methods else None}
    return {role: partner(groups, str(name)) for role, name in wanted.items() if name is not None}


def _gather(
    names: set[str], columns: Mapping[str, Array], pairs: Mapping[str, Array], rows: Array | None
) -> dict[str, Array]:
    """Return columns in the order of the groups, a paired method's where the name says so."""
    paired = {name: name.partition("_") for name in names if name not in columns}
    own = {column for _, _, column in paired.values()} | (names & columns.keys())
    given = {name: columns[name] if rows is None else columns[name][rows] for name in own}
    for name, (role, _, column) in paired.items():
        given[name] = given[column][pairs[role]]
        alone = pairs[role] < 0
        if alone.any():
            given[name] = np.where(alone, np.nan, given[name])
    return given


def _null_by_row(null: Mapping[str, float], groups: Groups) -> Array:
    """Return the null of each sorted row's parameter."""
    if "parameter" not in groups.labels:
        raise ValueError(
            "null is given by parameter, and no group column is called 'parameter'; give one number"
        )
    check_known("null for the parameter", groups.labels["parameter"], null)
    by_group = np.empty(len(groups.place))
    by_group[groups.place] = [float(null[str(name)]) for name in groups.labels["parameter"]]
    return np.repeat(by_group, np.diff(groups.start))


def _frame(found: Array, names: list[str], groups: Groups) -> pd.DataFrame:
    """Lay out the measures as rows, group by group."""
    labels = groups.labels.rename(
        columns={name: f"factor_{name}" for name in RESULTS if name in groups.labels}
    )
    frame = labels.take(np.repeat(np.arange(len(labels)), len(names))).reset_index(drop=True)
    codes = np.tile(np.arange(len(names)), len(labels))
    frame["measure"] = pd.Categorical.from_codes(codes, categories=pd.Index(names))
    for name, column in zip(("value", "mcse", "lower", "upper"), found[:4], strict=True):
        frame[name] = column.reshape(-1)
    frame["n"] = found[4].reshape(-1).astype(np.int64)
    return frame
