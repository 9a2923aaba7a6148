"""What is stored: the words for a row without an answer, blocks of arrays, and their rows.

`table` is the only place where rows are made. Everything after the store knows the names of these
columns and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd

from simstudy.arrays import Array


class Status(IntEnum):
    """Why a row has an answer or none: one word, with a sentence. Stored as its number.

    Examples
    --------
    >>> from simstudy.records import Status
    >>> Status.saddle.sentence
    'The fit stopped where the Hessian is not positive definite: a saddle point, not a maximum.'
    """

    ok = 0
    data_error = 1
    fit_error = 2
    not_converged = 3
    no_maximum = 4
    saddle = 5
    not_an_optimum = 6
    rounding_noise = 7
    step_too_large = 8
    not_positive_definite = 9
    negative_variance = 10
    not_finite = 11
    refits_failed = 12
    method_error = 13
    timeout = 14
    crashed = 15
    not_asked = 16

    @property
    def sentence(self) -> str:
        """The sentence that explains the word."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.ok: "The method answered.",
    Status.data_error: "Drawing the data set failed; the audit's message says how.",
    Status.fit_error: "The fit failed with an exception; the audit's message says which.",
    Status.not_converged: "The fit ended away from a maximum: the estimated distance to it "
    "is 1e-3 log-likelihood units or more.",
    Status.no_maximum: "The log-likelihood keeps rising, or stays level, while a parameter runs "
    "off, as in separated or collinear data: there is no finite estimate, or no single one.",
    Status.saddle: "The fit stopped where the Hessian is not positive definite: a saddle point, "
    "not a maximum.",
    Status.not_an_optimum: "The Hessian is not positive definite, so variances come out "
    "negative, because the estimate is not an optimum of the likelihood.",
    Status.rounding_noise: "The difference Hessian is not positive definite: rounding noise "
    "exceeds the curvature because the step is too small for this parameter.",
    Status.step_too_large: "The difference Hessian is not positive definite: the step is larger "
    "than the standard error of the parameter.",
    Status.not_positive_definite: "The matrix to invert is not positive definite.",
    Status.negative_variance: "The matrix has a negative variance on its diagonal.",
    Status.not_finite: "The matrix, or a standard error from it, is not finite.",
    Status.refits_failed: "More than one in twenty of the refits failed.",
    Status.method_error: "The method raised an exception; the audit's message says which.",
    Status.timeout: "The replicate took longer than its time limit.",
    Status.crashed: "The worker died twice while it ran this replicate alone.",
    Status.not_asked: "The study asks this method for fewer replicates.",
}

COLUMNS = (
    "scenario", "replicate", "estimator", "method", "parameter", "truth", "estimate", "se", "lower",
    "upper", "status",
)  # fmt: skip
AUDIT = {
    "status": np.int8,
    "success": np.bool_,
    "iterations": np.int32,
    "evaluations": np.int32,
    "gradient_norm": float,
    "edm": float,
    "smallest_eigenvalue": float,
    "condition": float,
    "plain_iterations": np.int32,
    "plain_edm": float,
    "failed_refits": np.int32,
    "seconds": float,
    "message": np.str_,
    "warnings": np.str_,
}


@dataclass(frozen=True, slots=True)
class Block:
    """What one estimator answered for B replicates of one scenario.

    Attributes
    ----------
    replicate : (B,) int
        Numbers of the replicates.
    estimate : (B, p) float
        Estimates; nan where the fit failed.
    se, lower, upper : (B, M, p) float
        Standard errors and interval ends of the M methods; nan where a method has no answer.
    status : (B, M) int8
        A `Status` for every method.
    seconds : (B, M) float
        Time each method took beyond the fit; not part of the table.
    audit : mapping of str to (B,) array
        The columns of `AUDIT`.
    """

    replicate: Array
    estimate: Array
    se: Array
    lower: Array
    upper: Array
    status: Array
    seconds: Array
    audit: Mapping[str, Array]

    def arrays(self) -> dict[str, Array]:
        """Return all arrays by name, the audit's as `audit.<column>`: what a file holds."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        audit = plain.pop("audit")
        return plain | {f"audit.{name}": values for name, values in audit.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Block:
        """Rebuild a block from what `arrays` returned."""
        audit = {name: arrays[f"audit.{name}"] for name in AUDIT}
        rest = {field.name: arrays[field.name] for field in fields(cls) if field.name != "audit"}
        return cls(**rest, audit=audit)


def empty(replicates: Sequence[int], methods: int, parameters: int) -> Block:
    """Return a block without answers, to be filled: nan everywhere, every status `fit_error`."""
    size = len(replicates)
    audit = {
        name: np.full(size, np.nan) if kind is float else np.zeros(size, dtype=kind)
        for name, kind in AUDIT.items()
    }
    return Block(
        replicate=np.asarray(replicates, dtype=np.int64),
        estimate=np.full((size, parameters), np.nan),
        se=np.full((size, methods, parameters), np.nan),
        lower=np.full((size, methods, parameters), np.nan),
        upper=np.full((size, methods, parameters), np.nan),
        status=np.full((size, methods), Status.fit_error, dtype=np.int8),
        seconds=np.zeros((size, methods)),
        audit=audit,
    )


def join(blocks: Sequence[Block]) -> Block:
    """Put blocks of the same scenario and estimator one after another."""
    if len(blocks) == 1:
        return blocks[0]
    parts = [block.arrays() for block in blocks]
    return Block.from_arrays({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def leading(block: Block, most: int | None) -> Block:
    """Return the replicates below `most`, in their order, one that occurs twice once."""
    numbers, rows = np.unique(block.replicate, return_index=True)
    rows = rows if most is None else rows[numbers < most]
    if np.array_equal(rows, np.arange(len(block.replicate))):
        return block
    return Block.from_arrays({name: values[rows] for name, values in block.arrays().items()})


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario under one estimator: the labels that its blocks' rows carry."""

    scenario: str
    factors: Mapping[str, Any]
    truth: Mapping[str, Any]
    estimator: str
    parameters: tuple[str, ...]
    methods: tuple[str, ...]


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
    return pd.Categorical.from_codes(codes.astype(np.int16), categories=pd.Index(words))


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


def _as_words(piece: Any, size: int) -> pd.Categorical:
    """Turn a piece of a column into words; one that is not there is missing."""
    if isinstance(piece, pd.Categorical):
        return piece
    if piece is None:
        return pd.Categorical.from_codes(np.full(size, -1), categories=pd.Index([], dtype=str))
    return pd.Categorical(np.array([str(value) for value in piece.tolist()], dtype=object))
