"""Anybody's table as the long table that `summarize` and `compare` read, or why it is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from simstudy.evidence.montecarlo import Array, Vector
from simstudy.evidence.pooling import check_pooled
from simstudy.files.writing import parse_number, printable
from simstudy.warning_capture import warn

NUMBERS = ("truth", "truth_mcse", "estimate", "se", "lower", "upper", "df")
"""The number columns of the long table; all but estimate are optional."""

OWN = (*NUMBERS, "replicate", "method", "status")
"""All columns of the long table that do not tell groups apart."""


def long_table(
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
    level: float = 0.95,
    pool: bool = False,
) -> pd.DataFrame:
    """Rename the columns of anybody's table and check them; add Wald limits where none are given.

    Wald limits are estimate -/+ quantile * se, of the normal distribution, or of Student's t where
    `df` is given.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per replicate and method or, with `wide`, one row per replicate.
    estimate, se, lower, upper : str
        Names of columns. Missing entries are failed replicates.
    truth, df, truth_mcse : float or str
        A number, or the name of a column: the true value, the degrees of freedom, the Monte Carlo
        standard error of a truth that is itself simulated.
    method : str, optional
        Name of the column that tells methods apart; without one, the method is called as
        `estimate`.
    by : str or sequence of str
        Names of the columns that tell groups (scenarios, parameters) apart.
    replicate : str, optional
        Name of the column that numbers the data sets. What compares methods needs it.
    wide : sequence of str, optional
        Names of the methods of a table with one column per method: the names of columns hold
        `{method}` in their place, as in `estimate="b_{method}", wide=["ml", "mm"]`. The row is the
        replicate unless `replicate` says otherwise.
    level : float
        Nominal level of the Wald limits.
    pool : bool
        Whether the rows of a group and method are replicates of one estimand although a column that
        has no part in the above, or a truth of few values, tells them apart. Without a `replicate`
        column that is refused unless said; with one, it is said in a warning.

    Returns
    -------
    pandas.DataFrame
        The columns `by`, replicate (where given), method, and those of `NUMBERS` that are given.

    Raises
    ------
    ValueError
        When a column is unknown or holds text where numbers belong, when rows are duplicated, a
        truth or a label is missing, limits are exchanged, or the level is out of range; when no row
        has an estimate; when rows seem to be of several estimands (see `pool`).

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.long_table import long_table
    >>> frame = pd.DataFrame({"b_ml": [1.5, 2.0], "b_mm": [1.0, 3.0]})
    >>> long_table(frame, estimate="b_{method}", truth=2, wide=["ml", "mm"])
       replicate method  estimate  truth
    0          1     ml       1.5    2.0
    1          2     ml       2.0    2.0
    2          1     mm       1.0    2.0
    3          2     mm       3.0    2.0
    """
    check_level(level)
    by = [by] if isinstance(by, str) else list(by)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"the table has two columns {twice!r}; the names of columns must differ")
    if frame.empty:
        raise ValueError("the table has no rows: there is nothing to measure")
    if (lower is None) != (upper is None):
        raise ValueError("only one of lower and upper is given; give both limits or neither")
    given = {"estimate": estimate, "truth": truth, "se": se, "lower": lower, "upper": upper}
    given |= {"df": df, "truth_mcse": truth_mcse}
    roles = {role: column for role, column in given.items() if column is not None}
    named = {"replicate": replicate, "method": method}
    labels = {role: column for role, column in named.items() if column is not None}
    _check_groups(by, roles, labels)
    _check_roles(roles)
    if wide is not None and method is not None:
        raise ValueError("both method and wide are given; a table is either long or wide")
    if wide is not None and "{method}" not in estimate:
        raise ValueError(
            f"estimate is {estimate!r}; in a wide table the name of the column holds {{method}} "
            "where the name of the method stands, as in 'b_{method}'"
        )
    methods = [estimate] if wide is None else list(wide)
    columns = {role: _named(column, methods) for role, column in roles.items()}
    asked = [name for names in columns.values() for name in names if isinstance(name, str)]
    check_known("column", [*by, *labels.values(), *asked], frame.columns)
    table = _labels(frame, by, labels)
    if not pool:
        truths = [name for name in columns["truth"] if isinstance(name, str)]
        check_pooled(frame, [*by, *labels.values()], asked, truths, replicate)
    if wide is not None and replicate is None:
        table["replicate"] = np.arange(1, len(frame) + 1)
    if method is None:
        table = table.loc[np.tile(table.index, len(methods))].reset_index(drop=True)
        table["method"] = np.repeat(np.array([*map(printable, methods)], dtype=object), len(frame))
    table = table.assign(**_numbers(frame, columns, len(methods)))
    _check_empty(table, roles)
    if se is not None and lower is None:
        reach = table["se"] * critical(level, table.get("df"))
        table["lower"], table["upper"] = table["estimate"] - reach, table["estimate"] + reach
    return table


def critical(level: float, df: Vector | None = None) -> Array:
    """Return the quantile of a central interval: normal, or Student's t with `df` degrees.

    Parameters
    ----------
    level : float
        Between 0 and 1.
    df : (...) float, optional
        Degrees of freedom; inf is the normal distribution.

    Returns
    -------
    (...) float
        The quantile of (1 + level)/2.

    Examples
    --------
    >>> from simstudy.evidence.long_table import critical
    >>> critical(0.95, df=[2.0, float("inf")]).round(3)
    array([4.303, 1.96 ])
    """
    if df is None:
        return np.asarray(ndtri((1 + level) / 2))
    # few values, many rows: each quantile once
    values, which = np.unique(np.asarray(df, dtype=float), return_inverse=True)
    return np.asarray(stdtrit(values, (1 + level) / 2))[which].reshape(np.shape(df))


def check_level(level: float) -> None:
    """Refuse a level that is not between 0 and 1."""
    if not 0 < level < 1:
        hint = f"; did you mean {level / 100:g}?" if 10 <= level < 100 else ""
        raise ValueError(f"level is {level:g}; it must lie between 0 and 1{hint}")


def check_known(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known, with the names that are and the closest of them."""
    names = dict.fromkeys(map(str, known))
    for name in asked:
        if str(name) not in names:
            alike = [known for known in names if known.lower() == str(name).lower()]
            close = alike or difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            listed = ", ".join([*names][:30]) + (", ..." if len(names) > 30 else "")
            raise ValueError(f"there is no {what} {name!r}{hint} There are: {listed}")


def _check_groups(
    by: Sequence[str], roles: Mapping[str, float | str], labels: Mapping[str, str]
) -> None:
    """Refuse group columns whose names mean something else in the long table, or cannot be read."""
    for name in by:
        if printable(name) != name:
            raise ValueError(f"by has the column {name!r}; rename it, without control characters")
        if name in labels.values() or (name in OWN and roles.get(name) != name):
            raise ValueError(
                f"by has the column {name!r}, but the long table uses that name for its "
                f"{name if name in OWN else 'method or replicate'}; rename the column, or leave it "
                "out of by"
            )


def _check_roles(roles: Mapping[str, float | str]) -> None:
    """Refuse one column of numbers for two roles."""
    taken: dict[str, str] = {}
    for role, column in roles.items():
        if isinstance(column, str):
            other = taken.setdefault(column, role)
            if other != role:
                raise ValueError(
                    f"{other} and {role} are both the column {column!r}; each is a column of its "
                    "own"
                )


def _check_empty(table: pd.DataFrame, roles: Mapping[str, float | str]) -> None:
    """Refuse a table without any estimate; say which other column has no number at all."""
    for role in ("estimate", "se", "lower", "upper"):
        if role in table and table[role].isna().all():
            said = f"{role} ({roles[role]!r}) is empty in every row"
            if role == "estimate":
                raise ValueError(f"{said}: there is nothing to measure; is it the right column?")
            warn(f"{said}: what needs it is not measured")


def _labels(frame: pd.DataFrame, by: Sequence[str], labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the group columns, replicate and method of a frame; none may be missing in a row."""
    columns = {name: name for name in by} | dict(labels)
    for name in columns.values():
        missing = frame[name].isna().to_numpy()
        if missing.any():
            raise ValueError(
                f"column {name!r} is empty in {_row(missing)}; every row must say its group, "
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


def _named(column: float | str, methods: Sequence[str]) -> list[float | str]:
    """Return the column of each method, or the number."""
    if isinstance(column, str) and "{method}" in column:
        return [column.replace("{method}", method) for method in methods]
    return [column]


def _numbers(
    frame: pd.DataFrame, columns: Mapping[str, Sequence[float | str]], methods: int
) -> dict[str, Array]:
    """Return the number columns by role, one method's rows under another's, checked."""
    size = len(frame)

    def told(role: str, wrong: Array) -> tuple[str, str]:
        # the column that is at fault, and its row
        first = int(np.flatnonzero(wrong)[0])
        names = columns[role]
        return repr(names[first // size % len(names)]), _row(wrong, size)

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
            name, row = told(role, ~good)
            raise ValueError(
                f"{role} ({name}) is {found[role][~good][0]:g} in {row}; it must be {must[role]} "
                f"in every row{' that has an estimate' if role == 'df' else ''}"
            )
    if "lower" in found:
        exchanged = found["lower"] > found["upper"]
        if exchanged.any():
            (lower, row), (upper, _) = (told(role, exchanged) for role in ("lower", "upper"))
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


def numbers(values: pd.Series) -> Array:
    """Return a column as floats; refuse text, and what is true or false."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return values.to_numpy(dtype=float)
    if pd.api.types.is_bool_dtype(values):
        raise ValueError(f"column {values.name!r} holds true and false; it must hold numbers")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values):
        return values.to_numpy(dtype=float, na_value=np.nan)
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    read = np.array([_read(word) for word in text])
    wrong = np.isnan(read) & (text != "").to_numpy()
    if wrong.any():
        first = text[wrong].iloc[0]
        comma = "; is its comma a decimal point?" if first.replace(",", "", 1).isdigit() else ""
        raise ValueError(
            f"column {values.name!r} holds the text {first!r} in {_row(wrong)}; it must hold "
            f"numbers, with missing ones left empty{comma}"
        )
    return read


def _read(word: str) -> float:
    """Read a number; nan where it is none."""
    try:
        return parse_number(word)
    except ValueError:
        return np.nan


def _row(wrong: Array, size: int | None = None) -> str:
    """Say which row of a table of `size` rows is wrong first, and how many more entries are."""
    rows = np.flatnonzero(wrong)
    others = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"row {rows[0] % (size or len(wrong)) + 1}{others}"
