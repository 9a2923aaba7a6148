"""What the columns of a table hold, and how a column of numbers is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.files.writing import parse_number, printable

NUMBERS = ("truth", "truth_mcse", "estimate", "se", "lower", "upper", "df")
"""The number columns of the long table; all but estimate are optional."""

OWN = (*NUMBERS, "replicate", "method", "status")
"""All columns of the long table that do not tell groups apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of anybody's table hold.

    Parameters
    ----------
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
    pool : bool
        Whether the rows of a group and method are replicates of one estimand although a column that
        has no part in the above, or a truth of few values, tells them apart. Without a `replicate`
        column that is refused unless this is set; with one, a warning tells of it.

    Raises
    ------
    ValueError
        When two of these contradict each other: one limit without the other, one column for two
        of them, `method` beside `wide`, a name in `by` that means something else.

    Examples
    --------
    >>> from simstudy.evidence.columns import Columns
    >>> Columns(estimate="b_{method}", truth=2, wide=["ml", "mm"]).by_method("estimate")
    ['b_ml', 'b_mm']
    """

    estimate: str
    truth: float | str
    se: str | None = None
    method: str | None = None
    by: Sequence[str] | str = ()
    replicate: str | None = None
    lower: str | None = None
    upper: str | None = None
    df: float | str | None = None
    truth_mcse: float | str | None = None
    wide: Sequence[str] | None = None
    pool: bool = False

    def __post_init__(self) -> None:
        """Take one name for a list of one, and refuse what contradicts itself."""
        object.__setattr__(self, "by", (self.by,) if isinstance(self.by, str) else tuple(self.by))
        if (self.lower is None) != (self.upper is None):
            raise ValueError("only one of lower and upper is given; give both limits or neither")
        self._check_groups()
        self._check_roles()
        if self.wide is not None and self.method is not None:
            raise ValueError("both method and wide are given; a table is either long or wide")
        if self.wide is not None and "{method}" not in self.estimate:
            raise ValueError(
                f"estimate is {self.estimate!r}; in a wide table the name of the column holds "
                "{method} where the name of the method stands, as in 'b_{method}'"
            )

    @property
    def groups(self) -> list[str]:
        """Names of the columns that tell groups apart."""
        return list(self.by)

    @property
    def labels(self) -> dict[str, str]:
        """The columns of replicates and methods, by what they hold, where there are any."""
        named = {"replicate": self.replicate, "method": self.method}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def numbers(self) -> dict[str, float | str]:
        """The columns of numbers, or the number for all rows, by what they hold."""
        roles = ("estimate", "truth", "se", "lower", "upper", "df", "truth_mcse")
        return {role: getattr(self, role) for role in roles if getattr(self, role) is not None}

    @property
    def methods(self) -> list[str]:
        """Names of the methods that have columns of their own; else of the one there is."""
        return [self.estimate] if self.wide is None else list(self.wide)

    def by_method(self, role: str) -> list[float | str]:
        """Return the column of each method, or the one column or number of all."""
        column = self.numbers[role]
        if isinstance(column, str) and "{method}" in column:
            return [column.replace("{method}", method) for method in self.methods]
        return [column]

    def _check_groups(self) -> None:
        """Refuse group columns whose names mean something else here, or cannot be read."""
        for name in self.by:
            if printable(name) != name:
                raise ValueError(
                    f"by has the column {name!r}; rename it, without control characters"
                )
            meant = name in OWN and self.numbers.get(name) != name
            if name in self.labels.values() or meant:
                raise ValueError(
                    f"by has the column {name!r}, but the long table uses that name for its "
                    f"{name if name in OWN else 'method or replicate'}; rename the column, or "
                    "leave it out of by"
                )

    def _check_roles(self) -> None:
        """Refuse one column of numbers for two roles."""
        taken: dict[str, str] = {}
        for role, column in self.numbers.items():
            if isinstance(column, str):
                other = taken.setdefault(column, role)
                if other != role:
                    raise ValueError(
                        f"{other} and {role} are both the column {column!r}; each is a column of "
                        "its own"
                    )


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
            f"column {values.name!r} holds the text {first!r} in {first_row(wrong)}; it must hold "
            f"numbers, with missing ones left empty{comma}"
        )
    return read


def _read(word: str) -> float:
    """Read a number; nan where it is none."""
    try:
        return parse_number(word)
    except ValueError:
        return np.nan


def first_row(wrong: Array, size: int | None = None) -> str:
    """Say which row of a table of `size` rows is wrong first, and how many more entries are."""
    rows = np.flatnonzero(wrong)
    others = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"row {rows[0] % (size or len(wrong)) + 1}{others}"
