"""The rows of a long table sorted into groups, and paired by replicate.

A group is what one method answered in one case; a case is one combination of the columns `by`. No
digit of what is measured may depend on the order of the rows, on their pairing by position, or on
which other groups there are: this is where that is made sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.columns import NUMBERS, numbers

_DENSE = 1 << 16  # codes up to which a table of all codes costs nothing


@dataclass(frozen=True, slots=True)
class Groups:
    """The N rows of a table sorted into G groups, the smallest first, by replicate within.

    Attributes
    ----------
    labels : (G,) pandas.DataFrame
        The columns `by` and the method of each group, in the order of their values.
    case : (G,) int
        Number of the case of each group, in the order of `labels`.
    place : (G,) int
        Where each group of `labels` stands among the sorted ones.
    start : (G + 1,) int
        First row of each sorted group.
    rows : (N,) int or None
        Where each sorted row stands in the table; None when the table is sorted already.
    replicate : (N,) int or None
        Replicate of each sorted row, counted from 0; None when the table has no such column.
    """

    labels: pd.DataFrame
    case: Array
    place: Array
    start: Array
    rows: Array | None
    replicate: Array | None


def groups_of(table: pd.DataFrame, by: list[str]) -> Groups:
    """Sort the rows of a long table into groups of the same case and method.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table (see `simstudy.evidence.summary.summarize`).
    by : list of str
        The columns that tell cases apart.

    Returns
    -------
    Groups
        Without a replicate column, the rows of a group are sorted by what they hold.

    Raises
    ------
    ValueError
        When a replicate is missing, or occurs twice in a group.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.groups import groups_of
    >>> table = pd.DataFrame({"method": list("bab"), "replicate": [2, 1, 1], "estimate": 0.0})
    >>> groups_of(table, by=[]).rows
    array([1, 2, 0])
    """
    case, count = np.zeros(len(table), dtype=np.int64), 1
    for name in by:
        if _is_constant(table[name], case, count):
            continue
        codes, size = _codes(table[name])
        case, count = case * size + codes, count * size
        if count > _DENSE:
            kept, case = _ranked(case, count)
            count = len(kept)
    codes, size = _codes(table["method"])
    kept, group = _ranked(case * size + codes, count * size)
    sizes = np.bincount(group, minlength=len(kept))
    order = np.argsort(sizes, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    start = np.concatenate([[0], np.cumsum(sizes[order])])
    member = np.empty(len(kept), dtype=np.int64)
    member[group] = np.arange(len(table))
    labels = table[[*by, "method"]].iloc[member].reset_index(drop=True)
    if "replicate" not in table:
        values = [numbers(table[name]) for name in NUMBERS if name in table]
        return Groups(labels, kept // size, place, start, np.lexsort([*values, place[group]]), None)
    replicate, span = _replicates(table["replicate"])
    key, rows = place[group] * span + replicate, None
    if (key[1:] <= key[:-1]).any():
        rows, key = _ordered(key, place[group])
        replicate = replicate[rows]
        _check_duplicates(table, [*by, "method", "replicate"], key, rows)
    return Groups(labels, kept // size, place, start, rows, replicate)


def partner(groups: Groups, method: str) -> Array:
    """Find the row of a method at the same case and replicate.

    Parameters
    ----------
    groups : Groups
        With replicates.
    method : str
        The method to find.

    Returns
    -------
    (N,) int
        For every sorted row, a sorted row; -1 where that method was not asked.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.groups import groups_of, partner
    >>> table = pd.DataFrame({"method": list("bab"), "replicate": [2, 1, 1], "estimate": 0.0})
    >>> partner(groups_of(table, by=[]), "a")
    array([ 0,  0, -1])
    """
    if groups.replicate is None:
        raise ValueError("the table has no replicate column, so nothing can be paired")
    of_case = np.full(groups.case.max(initial=0) + 1, -1)
    named = (groups.labels["method"].astype(str) == method).to_numpy()
    of_case[groups.case[named]] = groups.place[named]
    other = np.empty_like(groups.place)
    other[groups.place] = of_case[groups.case]
    partners = np.full(len(groups.replicate), -1)
    for group, match in enumerate(other):
        if match < 0:
            continue
        here, there = (slice(*groups.start[at : at + 2]) for at in (group, match))
        own, replicates = groups.replicate[here], groups.replicate[there]
        if len(own) == len(replicates) and (own == replicates).all():
            partners[here] = np.arange(there.start, there.stop)
        else:
            found = np.searchsorted(replicates, own).clip(max=len(replicates) - 1)
            partners[here] = np.where(replicates[found] == own, there.start + found, -1)
    return partners


def _is_constant(values: pd.Series, case: Array, count: int) -> bool:
    """Return whether numbers are constant in each case so far, as factors of a scenario are."""
    if count == 1 or count > _DENSE or not len(case):
        return False
    if not isinstance(values.dtype, np.dtype) or values.dtype.kind not in "if":
        return False
    member = np.zeros(count, dtype=np.int64)
    member[case] = np.arange(len(case))
    factor = values.to_numpy()
    return bool((factor == factor[member][case]).all())


def _codes(labels: pd.Series) -> tuple[Array, int]:
    """Return the rank of each label (a missing one comes last) and the number of ranks."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        codes, size = labels.cat.codes.to_numpy(), len(labels.cat.categories)
    else:
        codes, values = pd.factorize(labels, sort=True)
        size = len(values)
    if codes.min(initial=0) < 0:
        return np.where(codes < 0, size, codes), size + 1
    return codes, size


def _ranked(codes: Array, size: int) -> tuple[Array, Array]:
    """Return the codes that occur, sorted, and the rank of each code among them."""
    if size > 4 * _DENSE + 4 * len(codes):
        kept, ranks = np.unique(codes, return_inverse=True)
        return kept, ranks
    occurs = np.zeros(size, dtype=bool)
    occurs[codes] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[codes]


def _ordered(key: Array, place: Array) -> tuple[Array, Array]:
    """Return the order that sorts the key, and the sorted key."""
    if place.max() < 1 << 16:
        # 16 bits are sorted in linear time; it is enough where replicates are in order already
        rows = np.argsort(place.astype(np.uint16), kind="stable")
        ordered = key[rows]
        if (ordered[1:] > ordered[:-1]).all():
            return rows, ordered
    rows = np.argsort(key)
    return rows, key[rows]


def _replicates(replicate: pd.Series) -> tuple[Array, int]:
    """Return replicates as integers from 0, in their order, and how many there can be."""
    if replicate.isna().any():
        row = int(np.flatnonzero(replicate.isna())[0]) + 1
        raise ValueError(f"replicate is empty in row {row}; every row must say its replicate")
    if pd.api.types.is_integer_dtype(replicate) and len(replicate):
        count = replicate.to_numpy(dtype=np.int64)
        first, span = int(count.min()), int(count.max()) - int(count.min()) + 1
        if span < 1 << 31:
            return count - first, span
    codes, values = pd.factorize(replicate, sort=True)
    return codes.astype(np.int64), len(values)


def _check_duplicates(table: pd.DataFrame, names: list[str], key: Array, rows: Array) -> None:
    """Refuse two rows of one replicate in one group: nothing could be paired."""
    again = np.flatnonzero(key[1:] == key[:-1])
    if not len(again):
        return
    first, second = sorted(int(rows[again[0] + step]) for step in (0, 1))
    row = ", ".join(f"{name}={table[name].iloc[first]}" for name in names)
    raise ValueError(
        f"rows {first + 1} and {second + 1} are both {row}; a method answers once per replicate: "
        "if another column tells these rows apart, name it in `by`"
    )
