"""The curvature of a fit, and the one inversion in the package, which never repairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.status import Status


@dataclass(frozen=True, slots=True)
class Curvature:
    """What one scheme says of the likelihood around the estimate.

    Attributes
    ----------
    hessian : (..., p, p) or None
        H; None where the method names no source of it. For a scheme that looks at the diagonal
        only, zero elsewhere.
    meat : (..., p, p) or None
        S; None where the method names no source of it.
    step : float or None
        The absolute step of a scheme with a fixed one, for the diagnosis.
    """

    hessian: Array | None
    meat: Array | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Differenced:
    """What differences came to: H or S, and how far it can be trusted.

    Attributes
    ----------
    matrix : (..., p, p)
    error : (..., p)
        Estimated relative error of every standard error from it.
    status : (...)
        `ok`, or the `Status` that says why differences of this f lead nowhere.
    """

    matrix: Array
    error: Array
    status: Array

    def __getitem__(self, rows: Any) -> Differenced:
        """Return those of some of the leading axes."""
        return Differenced(self.matrix[rows], self.error[rows], self.status[rows])


def stacked(found: Sequence[Any]) -> Any:
    """Stack what a source returned for several fits: matrices, or what differences came to."""
    if isinstance(found[0], Differenced):
        parts = ([getattr(one, name) for one in found] for name in ("matrix", "error", "status"))
        return Differenced(*map(np.stack, parts))
    return np.stack(found)


def joined(found: Sequence[Any]) -> Any:
    """Put what a source returned for several batches one after another."""
    if isinstance(found[0], Differenced):
        parts = ([getattr(one, name) for one in found] for name in ("matrix", "error", "status"))
        return Differenced(*map(np.concatenate, parts))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class Inverse:
    """An inverse `(..., p, p)`, nan where there is none, and the `Status` `(...)` that says why."""

    covariance: Array
    status: Array


def invert(matrix: Array) -> Inverse:
    """Invert symmetric positive definite matrices, scaled to unit diagonal; never repair one.

    Parameters
    ----------
    matrix : (..., p, p)

    Returns
    -------
    Inverse
        Status `not_finite` where an element is not, `not_positive_definite` where the smallest
        eigenvalue of the scaled matrix is not above p times the rounding error of the largest.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods.covariance import invert
    >>> invert(np.diag([4.0, 1e-12])).covariance.diagonal().tolist()
    [0.25, 1000000000000.0]
    """
    matrix = np.asarray(matrix, dtype=float)
    p = matrix.shape[-1]
    finite = np.isfinite(matrix).all(axis=(-1, -2))
    safe = np.where(finite[..., None, None], matrix, np.eye(p))
    scaled, scale = unit_diagonal(safe)
    values, vectors = np.linalg.eigh(scaled)
    floor = p * np.finfo(float).eps * np.abs(values).max(axis=-1)
    definite = values[..., 0] > floor
    root = vectors / np.sqrt(np.where(definite[..., None], values, 1.0))[..., None, :]
    inverse = (root @ np.swapaxes(root, -1, -2)) * scale[..., :, None] * scale[..., None, :]
    status = np.where(definite, Status.ok, Status.not_positive_definite)
    status = np.where(finite, status, Status.not_finite)
    inverse = np.where((status == Status.ok)[..., None, None], inverse, np.nan)
    return Inverse(inverse, status.astype(np.int8))


def unit_diagonal(matrix: Array) -> tuple[Array, Array]:
    """Scale matrices `(..., p, p)` to a diagonal of 1 or -1; return them and the scales `(..., p)`.

    Rows and columns are multiplied by the scales; that of a zero on the diagonal is 1.
    """
    diagonal = np.abs(np.diagonal(matrix, axis1=-2, axis2=-1))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return matrix * scale[..., :, None] * scale[..., None, :], scale
