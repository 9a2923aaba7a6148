"""The rows of stored blocks: the long table, the audit, the costs.

`table` is the only place where rows are made. Everything after it knows the names of these columns
and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simstudy.arrays import Array
from simstudy.records.block import AUDIT, COLUMNS, Block, Cell
from simstudy.status import Status


def table(parts: Iterable[tuple[Cell, Block]]) -> pd.DataFrame:
    """Make the long table: one row per replicate, method and parameter, answered or not.

    Parameters
    ----------
    parts : iterable of (Cell, Block)
        Blocks with their labels. Parameters without a truth get no rows; a replicate that a method
        was not asked for gets none from it.

    Returns
    -------
    pandas.DataFrame
        Columns scenario, the factors, replicate, estimator, method, parameter, truth, estimate, se,
        lower, upper, status; labels are categorical.
    """
    return _stack([_rows(cell, block) for cell, block in parts], COLUMNS)


def audit(parts: Iterable[tuple[Cell, Block]]) -> pd.DataFrame:
    """Make the audit: one row per replicate and estimator, with the diagnosis of the fit."""
    frames = []
    for cell, block in parts:
        size = len(block.replicate)
        columns: dict[str, Any] = {
            "scenario": _label(cell.scenario, size),
            "replicate": block.replicate,
            "estimator": _label(cell.estimator, size),
        }
        columns |= {name: block.audit[name] for name in AUDIT}
        columns["status"] = _words(block.audit["status"])
        frames.append(columns)
    return _stack(frames, ("scenario", "replicate", "estimator", *AUDIT))


def seconds(parts: Iterable[tuple[Cell, Block]]) -> pd.DataFrame:
    """Make the costs: mean seconds beyond the fit by scenario, estimator and method."""
    rows = []
    for cell, block in parts:
        asked = block.status != Status.not_asked
        for m, method in enumerate(cell.methods):
            spent = block.seconds[asked[:, m], m]
            mean = float(spent.mean()) if len(spent) else np.nan
            rows.append((cell.scenario, cell.estimator, method, mean, len(spent)))
    return pd.DataFrame(rows, columns=["scenario", "estimator", "method", "seconds", "n"])


def _rows(cell: Cell, block: Block) -> dict[str, Any]:
    """Lay out one block as the columns of its rows."""
    keep = [j for j, name in enumerate(cell.parameters) if name in cell.truth]
    names = [cell.parameters[j] for j in keep]
    size, methods, wide = len(block.replicate), len(cell.methods), len(keep)
    asked = np.repeat(block.status != Status.not_asked, wide)
    truth = np.array([float(cell.truth[name]) for name in names])
    shape = (size, methods, wide)

    every = bool(asked.all())

    def flat(values: Array) -> Array:
        whole = np.broadcast_to(values, shape).reshape(-1)
        return whole if every else whole[asked]

    rows = int(asked.sum())
    columns: dict[str, Any] = {"scenario": _label(cell.scenario, rows)}
    for name, value in cell.factors.items():
        columns[name] = np.full(rows, value) if _is_number(value) else _label(str(value), rows)
    columns |= {
        "replicate": flat(block.replicate[:, None, None]),
        "estimator": _label(cell.estimator, rows),
        "method": _codes(flat(np.arange(methods)[None, :, None]), cell.methods),
        "parameter": _codes(flat(np.arange(wide)[None, None, :]), names),
        "truth": flat(truth),
        "estimate": flat(block.estimate[:, None, keep]),
        "se": flat(block.se[:, :, keep]),
        "lower": flat(block.lower[:, :, keep]),
        "upper": flat(block.upper[:, :, keep]),
        "status": _words(flat(block.status[:, :, None])),
    }
    return columns


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _label(text: str, size: int) -> Any:
    return _codes(np.zeros(size), [text])


def _codes(codes: Array, words: Sequence[str]) -> Any:
    # said of what type, because no words say it themselves
    return pd.Categorical.from_codes(codes.astype(np.int16), categories=pd.Index(words, dtype=str))


def _words(codes: Array) -> Any:
    return _codes(codes, [status.name for status in Status])


def stack(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of several scenarios, of the same columns, one under another."""
    names = [str(name) for name in frames[0]]
    return pd.DataFrame(
        {name: _column([(frame[name].array, len(frame)) for frame in frames]) for name in names}
    )


def _stack(parts: Sequence[Mapping[str, Any]], own: Sequence[str]) -> pd.DataFrame:
    """Stack parts of columns, factors after the scenario; missing where a scenario has none."""
    if not parts:
        return pd.DataFrame(columns=list(own))
    factors = [name for name in dict.fromkeys(itertools.chain(*parts)) if name not in own]
    return pd.DataFrame(
        {
            name: _column([(part.get(name), len(part["replicate"])) for part in parts])
            for name in (own[0], *factors, *own[1:])
        }
    )


def _column(pieces: Sequence[tuple[Any, int]]) -> Any:
    """Put the pieces of a column, each with its size, together: as words where any piece is."""
    if len(pieces) == 1 and pieces[0][0] is not None:
        return pieces[0][0]
    if any(isinstance(piece, pd.Categorical) for piece, _ in pieces):
        return pd.api.types.union_categoricals([_as_words(piece, size) for piece, size in pieces])
    whole = [pd.Series(np.full(size, np.nan) if p is None else p) for p, size in pieces]
    return pd.concat(whole, ignore_index=True)


def _as_words(piece: Any, size: int) -> Any:
    """Turn a piece of a column into words; one that is not there is missing."""
    if isinstance(piece, pd.Categorical):
        return piece
    if piece is None:
        return _codes(np.full(size, -1), [])
    words = np.array([str(value) for value in piece.tolist()], dtype=str)
    kinds, codes = np.unique(words, return_inverse=True)
    return _codes(codes, kinds.tolist())
