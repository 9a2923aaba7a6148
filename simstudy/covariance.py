"""From curvature to covariance: functions of arrays, with any leading axes.

f is the negative log-likelihood, H its Hessian with respect to theta, S the sum over observations
of s s', s the score of one observation. There is one inversion in the package, `invert`; it never
repairs.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.records import Status


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


@dataclass(frozen=True, slots=True)
class Place:
    """The fits at which the curvature was taken, as far as a diagnosis needs them.

    Attributes
    ----------
    theta : (..., p)
    loglik, edm : (...)
    hessian : (..., p, p)
        H by the fit's own derivatives.
    """

    theta: Array
    loglik: Array
    edm: Array
    hessian: Array


@dataclass(frozen=True, slots=True)
class Inverse:
    """An inverse `(..., p, p)`, nan where there is none, and the `Status` `(...)` that says why."""

    covariance: Array
    status: Array


Formula = Callable[[Curvature], Inverse]


class _Probe:
    """The curvature of the identity, which knows what was read of it."""

    step = None

    def __init__(self) -> None:
        self.read: set[str] = set()

    @property
    def hessian(self) -> Array:
        self.read.add("hessian")
        return np.eye(2)

    @property
    def meat(self) -> Array:
        self.read.add("meat")
        return np.eye(2)


def reads(formula: Formula) -> set[str]:
    """Tell which of "hessian" and "meat" a formula reads, by handing it those of an identity.

    Examples
    --------
    >>> from simstudy.covariance import opg, reads, sandwich
    >>> reads(opg), sorted(reads(sandwich))
    ({'meat'}, ['hessian', 'meat'])
    """
    probe = _Probe()
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        formula(probe)  # type: ignore[arg-type]
    return probe.read


def meat(scores: Array) -> Array:
    """S, the sum of s s' over observations: `(..., n, p)` to `(..., p, p)`."""
    return np.swapaxes(scores, -1, -2) @ scores


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
    >>> from simstudy.covariance import invert
    >>> invert(np.diag([4.0, 1e-12])).covariance.diagonal().tolist()
    [0.25, 1000000000000.0]
    """
    matrix = np.asarray(matrix, dtype=float)
    p = matrix.shape[-1]
    finite = np.isfinite(matrix).all(axis=(-1, -2))
    safe = np.where(finite[..., None, None], matrix, np.eye(p))
    diagonal = np.abs(np.diagonal(safe, axis1=-2, axis2=-1))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(safe * scale[..., :, None] * scale[..., None, :])
    floor = p * np.finfo(float).eps * np.abs(values).max(axis=-1)
    definite = values[..., 0] > floor
    root = vectors / np.sqrt(np.where(definite[..., None], values, 1.0))[..., None, :]
    inverse = (root @ np.swapaxes(root, -1, -2)) * scale[..., :, None] * scale[..., None, :]
    status = np.where(definite, Status.ok, Status.not_positive_definite)
    status = np.where(finite, status, Status.not_finite)
    inverse = np.where((status == Status.ok)[..., None, None], inverse, np.nan)
    return Inverse(inverse, status.astype(np.int8))


def observed(curvature: Curvature) -> Inverse:
    """Inverse observed information, H^-1 (Efron & Hinkley 1978, Biometrika 65:457)."""
    return invert(_hessian(curvature))


def diagonal(curvature: Curvature) -> Inverse:
    """1 / H_ii for every parameter alone, as if the others were known."""
    spread = np.diagonal(_hessian(curvature), axis1=-2, axis2=-1)
    finite, positive = np.isfinite(spread).all(axis=-1), (spread > 0).all(axis=-1)
    status = np.where(positive, Status.ok, Status.negative_variance)
    status = np.where(finite, status, Status.not_finite).astype(np.int8)
    variance = 1 / np.where((status == Status.ok)[..., None], spread, np.nan)
    return Inverse(variance[..., None] * np.eye(variance.shape[-1]), status)


def opg(curvature: Curvature) -> Inverse:
    """Inverse outer product of gradients, S^-1 (Berndt, Hall, Hall & Hausman 1974)."""
    return invert(_meat(curvature))


def sandwich(curvature: Curvature) -> Inverse:
    """H^-1 S H^-1, right for the estimate also where the model is wrong (White 1982, eq. 3.2)."""
    bread = invert(_hessian(curvature))
    return Inverse(bread.covariance @ _meat(curvature) @ bread.covariance, bread.status)


def diagnose(status: Array, curvature: Curvature, place: Place) -> Array:
    """Say why a Hessian is not positive definite, the likeliest reason first.

    Parameters
    ----------
    status : (...)
        Statuses of `Inverse`; only those about definiteness are looked into.
    curvature : Curvature
        Where the Hessian came from; a fixed step makes two more reasons possible.
    place : Place
        The fits.

    Returns
    -------
    (...) int8
        `not_an_optimum` where the EDM is 1e-3 or more; `saddle` where the fit's own Hessian is not
        positive definite either; `rounding_noise` where 4 eps abs(f) / h^2, the
        noise of a difference Hessian of step h, exceeds the curvature of a parameter;
        `step_too_large` where h exceeds its standard error; the status itself otherwise.
    """
    suspect = (status == Status.not_positive_definite) | (status == Status.negative_variance)
    if not suspect.any():
        return np.asarray(status, dtype=np.int8)
    reason = np.array(status)
    if curvature.step is not None:
        h = curvature.step
        bend = np.abs(np.diagonal(place.hessian, axis1=-2, axis2=-1))
        noise = 4 * np.finfo(float).eps * np.abs(place.loglik)[..., None] / h**2
        reason = np.where((h**2 * bend > 1).any(axis=-1), Status.step_too_large, reason)
        reason = np.where((noise > bend).any(axis=-1), Status.rounding_noise, reason)
    reason = np.where(invert(place.hessian).status != Status.ok, Status.saddle, reason)
    reason = np.where(~(place.edm < 1e-3), Status.not_an_optimum, reason)
    return np.where(suspect, reason, status).astype(np.int8)


def _hessian(curvature: Curvature) -> Array:
    """Return H of a curvature that was taken with it."""
    assert curvature.hessian is not None
    return curvature.hessian


def _meat(curvature: Curvature) -> Array:
    """Return S of a curvature that was taken with scores."""
    assert curvature.meat is not None
    return curvature.meat
