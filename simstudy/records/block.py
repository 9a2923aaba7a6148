"""What is stored: blocks of arrays with their labels.

No pandas: workers know arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.status import Status


class AnswerError(ValueError):
    """What user code answered is not of the kind that is due; the message says what came."""


def judged(se: Array, lower: Array, upper: Array, status: Array) -> Array:
    """Look at answers, whoever gave them: which of those that say `ok` are.

    Legal are an interval without a standard error (nan), and limits that are infinite on their own
    side: -inf below, inf above, or both.

    Parameters
    ----------
    se, lower, upper : (..., p)
    status : (...)
        What each method says of itself.

    Returns
    -------
    (...) int8
        `negative_variance` where a standard error is negative, `crossed_limits` where a lower limit
        is above the upper one or an infinite one on the other's side, `not_finite` where a limit is
        nan, or a standard error zero or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.status import Status
    >>> from simstudy.records.block import judged
    >>> none = np.array([np.nan])
    >>> Status(int(judged(none, np.array([1.0]), np.array([np.inf]), np.int8(0))))
    <Status.ok: 0>
    """
    told = np.isnan(se) | ((se > 0) & np.isfinite(se))
    told &= ~np.isnan(lower) & ~np.isnan(upper)
    found = np.where(told.all(axis=-1), Status.ok, Status.not_finite)
    crossed = (lower > upper) | (lower == np.inf) | (upper == -np.inf)
    found = np.where(crossed.any(axis=-1), Status.crossed_limits, found)
    found = np.where((se < 0).any(axis=-1), Status.negative_variance, found)
    return np.where(np.asarray(status) == Status.ok, found, status).astype(np.int8)


def numbers_due(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """Return real numbers of a shape as an array of float; refuse anything else.

    Raises
    ------
    AnswerError
        Also for what NumPy would stretch to the shape, or read as a number: scalars, booleans,
        words.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise AnswerError(f"{what} is ragged; due are real numbers of the shape {shape}") from error
    if array.shape != shape or array.dtype.kind not in "fiu":
        came = f"the shape {array.shape}" if array.shape != shape else f"the type {array.dtype}"
        raise AnswerError(f"{what} has {came}; due are real numbers of the shape {shape}")
    return array.astype(float)


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
    "se_error": float,
    "plain_iterations": np.int32,
    "plain_edm": float,
    "failed_refits": np.int32,
    "searches": np.int32,
    "agreed": np.int32,
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
