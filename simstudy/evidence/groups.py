"""The rows of a long table sorted into cells, and paired by replicate.

A cell is a group under a method. No digit of what is measured may depend on the order of the rows,
on their pairing by position, or on which other cells there are: this is where that is made sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simstudy.evidence.long_table import NUMBERS, numbers
from simstudy.evidence.montecarlo import Array

_DENSE = 1 << 16  # codes up to which a table of all codes costs nothing


@dataclass(frozen=True, slots=True)
class Cells:
    """The N rows of a table sorted into C cells, the smallest cell first, by replicate within.

    Attributes
    ----------
    labels : (C,) pandas.DataFrame
        The group columns and the method of each cell, in the order of their values.
    group : (C,) int
        Number of the group of each cell, in the order of `labels`.
    place : (C,) int
        Where each cell of `labels` stands among the sorted ones.
    start : (C + 1,) int
        First row of each sorted cell.
    rows : (N,) int or None
        Where each sorted row stands in the table; None when the table is sorted already.
    replicate : (N,) int or None
        Replicate of each sorted row, counted from 0; None when the table has no such column.
    """

    labels: pd.DataFrame
    group: Array
    place: Array
    start: Array
    rows: Array | None
    replicate: Array | None


def cells_of(table: pd.DataFrame, by: list[str]) -> Cells:
    """Sort the rows of a long table into cells of the same group and method.

    Parameters
    ----------
    table : pandas.DataFrame
        A long table (see `simstudy.evidence.summary.summarize`).
    by : list of str
        The group columns.

    Returns
    -------
    Cells
        Without a replicate column, the rows of a cell are sorted by what they hold.

    Raises
    ------
    ValueError
        When a replicate is missing, or occurs twice in a cell.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.groups import cells_of
    >>> table = pd.DataFrame({"method": list("bab"), "replicate": [2, 1, 1], "estimate": 0.0})
    >>> cells_of(table, by=[]).rows
    array([1, 2, 0])
    """
    group, count = np.zeros(len(table), dtype=np.int64), 1
    for name in by:
        if _is_told(table[name], group, count):
            continue
        codes, size = _codes(table[name])
        group, count = group * size + codes, count * size
        if count > _DENSE:
            kept, group = _ranked(group, count)
            count = len(kept)
    codes, size = _codes(table["method"])
    kept, cell = _ranked(group * size + codes, count * size)
    sizes = np.bincount(cell, minlength=len(kept))
    order = np.argsort(sizes, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    start = np.concatenate([[0], np.cumsum(sizes[order])])
    member = np.empty(len(kept), dtype=np.int64)
    member[cell] = np.arange(len(table))
    labels = table[[*by, "method"]].iloc[member].reset_index(drop=True)
    if "replicate" not in table:
        values = [numbers(table[name]) for name in NUMBERS if name in table]
        return Cells(labels, kept // size, place, start, np.lexsort([*values, place[cell]]), None)
    replicate, span = _replicates(table["replicate"])
    key, rows = place[cell] * span + replicate, None
    if (key[1:] <= key[:-1]).any():
        rows, key = _ordered(key, place[cell])
        replicate = replicate[rows]
        _check_duplicates(table, [*by, "method", "replicate"], key, rows)
    return Cells(labels, kept // size, place, start, rows, replicate)


def partner(cells: Cells, method: str) -> Array:
    """Find the row of a method at the same group and replicate.

    Parameters
    ----------
    cells : Cells
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
    >>> from simstudy.evidence.groups import cells_of, partner
    >>> table = pd.DataFrame({"method": list("bab"), "replicate": [2, 1, 1], "estimate": 0.0})
    >>> partner(cells_of(table, by=[]), "a")
    array([ 0,  0, -1])
    """
    if cells.replicate is None:
        raise ValueError("the table has no replicate column, so nothing can be paired")
    of_group = np.full(cells.group.max(initial=0) + 1, -1)
    named = (cells.labels["method"].astype(str) == method).to_numpy()
    of_group[cells.group[named]] = cells.place[named]
    other = np.empty_like(cells.place)
    other[cells.place] = of_group[cells.group]
    partners = np.full(len(cells.replicate), -1)
    for cell, match in enumerate(other):
        if match < 0:
            continue
        here, there = (slice(*cells.start[at : at + 2]) for at in (cell, match))
        own, replicates = cells.replicate[here], cells.replicate[there]
        if len(own) == len(replicates) and (own == replicates).all():
            partners[here] = np.arange(there.start, there.stop)
        else:
            found = np.searchsorted(replicates, own).clip(max=len(replicates) - 1)
            partners[here] = np.where(replicates[found] == own, there.start + found, -1)
    return partners


def _is_told(values: pd.Series, group: Array, count: int) -> bool:
    """Return whether numbers are constant in each group so far, as factors of a scenario are."""
    if count == 1 or count > _DENSE or not len(group):
        return False
    if not isinstance(values.dtype, np.dtype) or values.dtype.kind not in "if":
        return False
    member = np.zeros(count, dtype=np.int64)
    member[group] = np.arange(len(group))
    factor = values.to_numpy()
    return bool((factor == factor[member][group]).all())


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
    """Refuse two rows of one replicate in one cell: nothing could be paired."""
    again = np.flatnonzero(key[1:] == key[:-1])
    if not len(again):
        return
    first, second = sorted(int(rows[again[0] + step]) for step in (0, 1))
    said = ", ".join(f"{name}={table[name].iloc[first]}" for name in names)
    raise ValueError(
        f"rows {first + 1} and {second + 1} are both {said}; a method answers once per replicate: "
        "if another column tells these rows apart, name it in `by`"
    )
