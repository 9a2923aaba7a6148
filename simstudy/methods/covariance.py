"""From curvature to covariance: functions of arrays, with any leading axes.

f is the negative log-likelihood, H its Hessian with respect to theta, S the sum over observations
of s s', s the score of one observation. There is one inversion in the package, `invert`; it never
repairs.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.curvature import Curvature, Inverse, invert, unit_diagonal
from simstudy.likelihood.fit import Fit
from simstudy.status import Status


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


def place_of(fit: Fit) -> Place:
    """Reduce a fit to what a diagnosis needs."""
    return Place(fit.theta, np.asarray(fit.loglik), np.asarray(fit.edm), fit.hessian)


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
    >>> from simstudy.methods.covariance import opg, reads, sandwich
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


def forced_positive_definite(curvature: Curvature) -> Inverse:
    """H^-1 with the absolute values of the eigenvalues of H, scaled to unit diagonal: a repair.

    As optimizers and some packages do (Gill, Murray & Wright 1981, Practical Optimization, section
    4.4.2.1). An answer at a saddle says nothing of the spread of the estimate; a study can score
    what that costs.
    """
    return _repaired(curvature, np.abs)


def pseudo_inverse(curvature: Curvature) -> Inverse:
    """Moore-Penrose inverse of H, scaled to unit diagonal: directions without curvature count zero.

    What `numpy.linalg.pinv` does where an inverse fails, with its cut at 1e-15 of the largest
    singular value.
    """
    return _repaired(
        curvature,
        lambda values: np.where(
            np.abs(values) > 1e-15 * np.abs(values).max(axis=-1, keepdims=True), values, np.inf
        ),
    )


def _repaired(curvature: Curvature, repair: Callable[[Array], Array]) -> Inverse:
    """Invert the unit-diagonal H with other eigenvalues; negative variances are told."""
    matrix = _hessian(curvature)
    finite = np.isfinite(matrix).all(axis=(-1, -2))
    scaled, scale = unit_diagonal(np.where(finite[..., None, None], matrix, 0.0))
    values, vectors = np.linalg.eigh(scaled)
    with np.errstate(divide="ignore"):
        inverse = (vectors / repair(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    inverse = inverse * scale[..., :, None] * scale[..., None, :]
    positive = (np.diagonal(inverse, axis1=-2, axis2=-1) > 0).all(axis=-1)
    status = np.where(positive, Status.ok, Status.negative_variance)
    status = np.where(finite, status, Status.not_finite).astype(np.int8)
    return Inverse(np.where((status == Status.ok)[..., None, None], inverse, np.nan), status)


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
