"""From rows to measures: `summarize` reads a study's long table, `performance` anybody's table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from simstudy.evidence.groups import Cells, cells_of, partner
from simstudy.evidence.long_table import NUMBERS, OWN, check_known, check_level, long_table, numbers
from simstudy.evidence.measures import MEASURES, MORRIS
from simstudy.evidence.montecarlo import Array, Measure, widened
from simstudy.warning_capture import warn

Measures: TypeAlias = Sequence[str] | Mapping[str, Callable[..., Measure]]

RESULTS = ("measure", "value", "mcse", "lower", "upper", "n")
"""The columns of a performance frame after those that name the group and the method."""

_AT_ONCE = 1 << 16  # numbers of a column handled together: what a cache holds


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
        When a column, method or measure is unknown, a replicate occurs twice in a cell, methods are
        to be compared without a replicate column, or a setting is out of range.

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
    if mcse not in ("robust", "morris"):
        raise ValueError(f"mcse is {mcse!r}; it is 'robust' (the default) or 'morris'")
    for value in null.values() if isinstance(null, Mapping) else [null]:
        if not np.isfinite(value):
            raise ValueError(f"null is {value:g}; it must be a finite number")
    if by is None:
        by = [name for name in table.columns if name not in OWN]
    check_known("column", [*by, "method", "estimate"], table.columns)
    cells = cells_of(table, list(by))
    pairs = _pairs(cells, reference, exact)
    columns = answers(table)
    settings: dict[str, Any] = {"level": level, "mcse": mcse, "null": null}
    offered = {*columns, *settings, *(f"{role}_{name}" for role in pairs for name in columns)}
    chosen = _choose(measures, MORRIS if mcse == "morris" else MEASURES, offered)
    needed = {name for _, names in chosen.values() for name in names} | {"truth_mcse"}
    given = _gather(needed & offered - settings.keys(), columns, pairs, cells.rows)
    if isinstance(null, Mapping) and "null" in needed:
        given["null"] = _null_by_row(null, cells)
    return _frame(_evaluate(chosen, given, settings, cells), list(chosen), cells)


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
        The table and what its columns hold: see `simstudy.evidence.long_table.long_table`. Without
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
    by = [by] if isinstance(by, str) else list(by)
    table = long_table(
        frame,
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
        level=level,
        pool=pool,
    )
    found = summarize(
        table,
        by=by,
        reference=reference,
        exact=exact,
        level=level,
        null=null,
        mcse=mcse,
        measures=measures,
    )
    _warn_of_units(found)
    return found


# --- columns --------------------------------------------------------------------------------------


def _pairs(cells: Cells, reference: str | None, exact: str) -> dict[str, Array]:
    """Return, for each role, the row of its method at the same replicate (-1: none)."""
    methods = list(map(str, cells.labels["method"]))
    if exact != "observed":  # the default is not in everybody's table
        check_known("method", [exact], methods)
    if reference is not None:
        check_known("method", [reference], methods)
        if cells.replicate is None:
            raise ValueError(
                "methods are compared on the same replicates, paired by their id, and the table "
                "has no replicate column; name it, or leave out the reference"
            )
    if cells.replicate is None:
        return {}
    wanted = {"reference": reference, "exact": exact if str(exact) in methods else None}
    return {role: partner(cells, str(name)) for role, name in wanted.items() if name is not None}


def answers(table: pd.DataFrame, *, said: bool = True) -> dict[str, Array]:
    """Return the number columns, nan where there is no answer, and which rows have one: `ok`.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table, as for `summarize`.
    said : bool
        Whether rows whose numbers are impossible are warned of.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.summary import answers
    >>> answers(pd.DataFrame({"estimate": [1.0, 2.0], "se": [0.5, -0.5]}), said=False)["se"]
    array([0.5, nan])
    """
    columns = {name: numbers(table[name]) for name in NUMBERS if name in table}
    estimate = columns["estimate"]
    columns["estimate"] = np.where(np.isfinite(estimate), estimate, np.nan)
    told = {"estimate is infinite": np.isinf(estimate)}
    if "se" in columns:
        told["standard error is zero, negative or infinite"] = (columns["se"] <= 0) | np.isinf(
            columns["se"]
        )
    if "lower" in columns and "upper" in columns:
        told["lower limit is above the upper one"] = columns["lower"] > columns["upper"]
    bad = np.zeros(len(table), dtype=bool)
    for what, found in told.items():
        rows = found & ~bad  # each row is told once
        if said and rows.any():
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


def _gather(
    names: set[str], columns: Mapping[str, Array], pairs: Mapping[str, Array], rows: Array | None
) -> dict[str, Array]:
    """Return columns in the order of the cells, a paired method's where the name says so."""
    paired = {name: name.partition("_") for name in names if name not in columns}
    own = {column for _, _, column in paired.values()} | (names & columns.keys())
    given = {name: columns[name] if rows is None else columns[name][rows] for name in own}
    for name, (role, _, column) in paired.items():
        given[name] = given[column][pairs[role]]
        alone = pairs[role] < 0
        if alone.any():
            given[name] = np.where(alone, np.nan, given[name])
    return given


def _null_by_row(null: Mapping[str, float], cells: Cells) -> Array:
    """Return the null of each sorted row's parameter."""
    if "parameter" not in cells.labels:
        raise ValueError(
            "null is given by parameter, and no group column is called 'parameter'; give one number"
        )
    check_known("null for the parameter", cells.labels["parameter"], null)
    by_cell = np.empty(len(cells.place))
    by_cell[cells.place] = [float(null[str(name)]) for name in cells.labels["parameter"]]
    return np.repeat(by_cell, np.diff(cells.start))


# --- measures ---------------------------------------------------------------------------------

_Chosen: TypeAlias = dict[str, tuple[Callable[..., Measure], list[str]]]


def needs(function: Callable[..., Measure]) -> set[str]:
    """Return the arguments of a measure that have no default: without them it has no value."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty}


def _choose(
    measures: Measures | None, catalogue: Mapping[str, Callable[..., Measure]], offered: set[str]
) -> _Chosen:
    """Return the measures to take, each with the names of the arguments that it gets."""
    functions = measures if isinstance(measures, Mapping) else catalogue
    known = [*MEASURES.values(), *MORRIS.values()]
    if measures is not None:
        check_known("measure", measures, functions)
    chosen = {}
    for name in functions if measures is None else measures:
        function = functions[name]
        bound = function.keywords if isinstance(function, partial) else {}
        missing = needs(function) - offered
        if not missing:
            arguments = inspect.signature(function).parameters
            names = [name for name in arguments if name in offered and name not in bound]
            chosen[name] = (function, names)
        elif (functions is catalogue and measures is not None) or function not in known:
            raise ValueError(
                f"measure {name!r} needs {', '.join(sorted(missing))}, which the table and the "
                f"settings do not offer; they offer: {', '.join(sorted(offered))}"
            )
    return chosen


def _evaluate(
    chosen: _Chosen, given: Mapping[str, Array], settings: Mapping[str, Any], cells: Cells
) -> Array:
    """Return value, mcse, lower, upper and n of every measure in every cell: (5, C, K)."""
    found = np.empty((5, len(cells.place), len(chosen)))
    for first, last in _runs(np.diff(cells.start)):
        rows = slice(cells.start[first], cells.start[last])
        blocks = {name: column[rows].reshape(last - first, -1) for name, column in given.items()}
        for k, (name, (function, names)) in enumerate(chosen.items()):
            arguments = {arg: blocks[arg] if arg in blocks else settings[arg] for arg in names}
            answer = function(**arguments)
            if np.shape(answer.value) != (last - first,):
                raise ValueError(
                    f"measure {name!r} answered with shape {np.shape(answer.value)} to arrays of "
                    f"shape {(last - first, rows.stop - rows.start)}; a measure reduces the last "
                    "axis only, one value per row"
                )
            if "truth_mcse" in blocks and "truth" in needs(function):
                answer = _with_truth(answer, function, arguments, blocks["truth_mcse"])
            found[:, first:last, k] = (
                answer.value, answer.mcse, answer.lower, answer.upper, answer.n
            )  # fmt: skip
    return found[:, cells.place]


def _runs(sizes: Array) -> Iterator[tuple[int, int]]:
    """Yield ranges of cells of one size that together are not too large for the cache."""
    _, starts = np.unique(sizes, return_index=True)
    for first, last in pairwise([*starts, len(sizes)]):
        step = max(1, _AT_ONCE // max(int(sizes[first]), 1))
        for lower in range(first, last, step):
            yield lower, min(lower + step, last)


def _with_truth(
    answer: Measure, function: Callable[..., Measure], arguments: dict[str, Any], error: Array
) -> Measure:
    """Add the variance from a simulated truth: half the change over one of its errors each way."""
    high, low = (
        function(**(arguments | {"truth": arguments["truth"] + sign * np.nan_to_num(error)}))
        for sign in (1, -1)
    )
    return widened(answer, np.nan_to_num((high.value - low.value) / 2) ** 2)


def _frame(found: Array, names: list[str], cells: Cells) -> pd.DataFrame:
    """Lay out the measures as rows, cell by cell."""
    labels = cells.labels.rename(
        columns={name: f"factor_{name}" for name in RESULTS if name in cells.labels}
    )
    frame = labels.take(np.repeat(np.arange(len(labels)), len(names))).reset_index(drop=True)
    codes = np.tile(np.arange(len(names)), len(labels))
    frame["measure"] = pd.Categorical.from_codes(codes, categories=pd.Index(names))
    for name, column in zip(("value", "mcse", "lower", "upper"), found[:4], strict=True):
        frame[name] = column.reshape(-1)
    frame["n"] = found[4].reshape(-1).astype(np.int64)
    return frame


def _warn_of_units(found: pd.DataFrame) -> None:
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
    """Warn of the first odd cell, and say how many there are."""
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        where = ", ".join(
            f"{name}={rows[name].iloc[first]}" for name in rows if name not in RESULTS
        )
        where += f"; {odd.sum()} such cells" if odd.sum() > 1 else ""
        warn(text.format(times[first], where))
