"""The objective at one point of the working scale: derivatives, Newton step, distance to go.

Whether a fit is good is decided without units and without the optimizer's word. With gradient g and
Hessian H of f, the negative log-likelihood, on the working scale:

- EDM = g' H^-1 g / 2, the estimated distance to the minimum in log-likelihood units (James & Roos
  1975, Computer Physics Communications 10:343); the estimate is sqrt(2 EDM) standard errors off;
- the smallest eigenvalue of H scaled to unit diagonal, which must be positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from simstudy.arrays import Array
from simstudy.likelihood.axes import (
    axes_of,
    by_gradients,
    by_values,
    first_axes,
    inverted,
    own_axes,
    slopes_by,
)
from simstudy.likelihood.extrapolation import differenced
from simstudy.likelihood.objective import Objective, values_of
from simstudy.likelihood.supports import from_working, slopes

FINE, FAILED = 1e-6, 1e-3
# An EDM of 5e-17 is a hundred-millionth of a standard error: nothing further can be seen.
POLISHED = 5e-17
# A negative eigenvalue nearer to zero than this is rounding, not a way down.
LEVEL = 1e-10
# Below so much a Newton step is so short that the Hessian hardly changes over it.
NEARBY = 1e-2


@dataclass(frozen=True, slots=True)
class Point:
    """The objective at one point of the working scale, and the Newton step from there.

    `axes` and `bend` are the problem's own axes and the Hessian by them, where they came from
    differences; `fresh` tells that they were taken here, `evaluations` how many values of f that
    took since the first point, `coarse` the EDM by slopes over steps as long as the Hessian's.
    `refined` are Hessians by extrapolation, where steps of 0.14 standard errors led no further.
    """

    working: Array
    value: float
    gradient: Array
    hessian: Array
    step: Array
    edm: float
    definite: bool
    axes: Array | None = None
    bend: Array | None = None
    fresh: bool = True
    evaluations: int = 0
    coarse: float = 0.0
    refined: bool = False


def look(
    target: Objective, working: Array, value: float | None = None, before: Point | None = None,
    scale: Array | None = None,
) -> Point:  # fmt: skip
    """Evaluate the objective, its derivatives, the Newton step and the EDM at one point."""
    if target.score is None or target.hessian is None:
        return _by_axes(target, working, value, before, scale)
    found, gradient, hessian = derivatives(target, working, value)
    # The factorization reports what is not finite or not definite in one go.
    factor, trouble = dpotrf(hessian)
    step = dpotrs(factor, -gradient)[0] if trouble == 0 else np.full_like(working, np.nan)
    edm = -float(np.dot(gradient, step)) / 2
    if trouble == 0 and 0 <= edm < np.inf and np.isfinite(factor).all():
        return Point(working, found, gradient, hessian, step, edm, True)
    if np.isfinite(gradient).all() and np.isfinite(hessian).all():
        step, edm = _downhill(gradient, hessian)
        return Point(working, found, gradient, hessian, step, edm, False)
    return Point(working, found, gradient, hessian, step, np.nan, False)


def _by_axes(
    target: Objective, working: Array, value: float | None, before: Point | None,
    scale: Array | None,
) -> Point:  # fmt: skip
    """Look at a point by differences along the problem's own axes.

    Near the maximum the axes and the Hessian of the point before serve again, as long as the EDM
    falls to a hundredth with every step: only the gradient is new.
    """
    supports = target.model.supports
    value = target.value(from_working(working, supports)) if value is None else value
    values, x, at, p = values_of(target), working[None], np.array([value]), len(working)
    spent = 0 if before is None else before.evaluations
    if before is None or before.axes is None:
        axes, count = first_axes(values, x, at, None if scale is None else scale[None])
        spent += count
    else:
        axes = before.axes[None]
        near = target.score is None and before.edm < NEARBY and not before.refined
        if near and not np.array_equal(working, before.working):
            slope, spent = slopes_by(values, x, axes)[0], spent + 4 * p
            point = _point(working, value, before.axes, slope, before.bend, False, spent)
            if point.edm <= 0.01 * before.edm:
                return point
    if target.score is None:
        look = by_values(values, x, at)
    else:
        look = by_gradients(lambda w: _gradient(target, w), working)
    found = own_axes(look, at, axes)
    slope = found.gradient[0]
    if target.score is None:
        spent += found.rounds * p * (p + 1) + 4 * p
        slope = slopes_by(values, x, found.axes)[0]
    if before is not None and before.refined and target.score is None:
        gradient, exact = differenced(values, x, at, found.axes)
        hessian = exact.matrix[0]
        if np.isfinite(hessian).all():
            axes = axes_of(hessian)
            slope, bend = axes.T @ gradient[0], axes.T @ hessian @ axes
            return replace(_point(working, value, axes, slope, bend, True, spent), refined=True)
    point = _point(working, value, found.axes[0], slope, found.hessian[0], True, spent)
    return replace(point, coarse=float((found.gradient[0] ** 2).sum()) / 2)


def _point(
    working: Array, value: float, axes: Array, slope: Array, bend: Array | None, fresh: bool,
    evaluations: int,
) -> Point:  # fmt: skip
    """Make a point of the gradient and the Hessian by the axes."""
    assert bend is not None
    back = inverted(axes)
    hessian = back.T @ bend @ back
    hessian = (hessian + hessian.T) / 2
    rest = axes, bend, fresh, evaluations
    if not (np.isfinite(slope).all() and np.isfinite(bend).all()):
        return Point(working, value, back.T @ slope, hessian, slope * np.nan, np.nan, False, *rest)
    values, vectors = np.linalg.eigh(bend)
    size, along = np.maximum(np.abs(values), 1e-4), vectors.T @ slope
    step, edm = -axes @ (vectors @ (along / size)), float(np.sum(along**2 / size)) / 2
    return Point(working, value, back.T @ slope, hessian, step, edm, bool(values[0] > 0), *rest)


def nowhere(theta: Array) -> Point:
    """Stand for a point outside the support, where nothing can be evaluated."""
    blank, square = np.full_like(theta, np.nan), np.full((len(theta), len(theta)), np.nan)
    return Point(blank, np.inf, blank, square, blank, np.nan, False)


def derivatives(
    target: Objective, working: Array, value: float | None = None
) -> tuple[float, Array, Array]:
    """Value, gradient and Hessian on the working scale; exact where the model has both."""
    if target.score is None or target.hessian is None:
        point = _by_axes(target, working, value, None, None)
        return point.value, point.gradient, point.hessian
    supports = target.model.supports
    theta = from_working(working, supports)
    value = target.value(theta) if value is None else value
    first, second = slopes(theta, supports)
    gradient = target.gradient(theta)
    hessian = target.curvature(theta) * first * first[:, None]
    hessian.flat[:: len(theta) + 1] += gradient * second
    return value, gradient * first, hessian


def _gradient(target: Objective, working: Array) -> Array:
    """Exact gradient on the working scale."""
    theta = from_working(working, target.model.supports)
    return target.gradient(theta) * slopes(theta, target.model.supports)[0]


def _downhill(gradient: Array, hessian: Array) -> tuple[Array, float]:
    """Newton step and EDM of an indefinite Hessian, with the absolute values of its eigenvalues."""
    scale, values, vectors = _scaled_eigen(hessian)
    size = np.maximum(np.abs(values), 1e-14)
    along = vectors.T @ (scale * gradient)
    return -scale * (vectors @ (along / size)), float(np.sum(along**2 / size)) / 2


def _scaled_eigen(hessian: Array) -> tuple[Array, Array, Array]:
    """Return the scale that gives a Hessian `(p, p)` unit diagonal, eigenvalues and vectors."""
    diagonal = np.abs(np.diagonal(hessian))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    return scale, values, vectors


def conditioning(hessian: Array) -> tuple[Array, Array]:
    """Smallest eigenvalue and condition number `(...)` of Hessians `(..., p, p)` of unit diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.likelihood.points import conditioning
    >>> [float(value) for value in conditioning(np.diag([1e-8, 1.0, 1e8]))]
    [1.0, 1.0]
    """
    finite = np.isfinite(hessian).all(axis=(-1, -2))
    safe = np.where(finite[..., None, None], hessian, np.eye(hessian.shape[-1]))
    diagonal = np.abs(np.diagonal(safe, axis1=-2, axis2=-1))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values = np.linalg.eigvalsh(safe * scale[..., :, None] * scale[..., None, :])
    size = np.abs(values)
    condition = size.max(axis=-1) / np.maximum(size.min(axis=-1), 1e-300)
    return np.where(finite, values[..., 0], np.nan), np.where(finite, condition, np.nan)


def advance(target: Objective, point: Point) -> Point | None:
    """Take the Newton step, halved until f falls; near the minimum rounding hides the fall."""
    share = 1.0
    for _ in range(60):
        working = point.working + share * point.step
        value = target.value(from_working(working, target.model.supports))
        falls = point.edm < 1e-9 or value <= point.value - 1e-4 * share * point.edm
        # Noise hides the fall of f where its slope, by differences, is still plain.
        plain = point.axes is not None and share == 1 and point.edm < NEARBY
        if value < np.inf and (falls or plain):
            new = look(target, working, value, point)
            if np.isfinite(new.edm) and (falls or new.edm < point.edm / 4):
                return new
        share /= 2
    return None


def escape(target: Objective, point: Point) -> Point | None:
    """Leave a saddle point, where the Newton step is zero, along its steepest way down."""
    if not np.isfinite(point.hessian).all():
        return None
    scale, values, vectors = _scaled_eigen(point.hessian)
    if not values[0] < -LEVEL:
        return None
    away = scale * vectors[:, 0] / np.sqrt(-values[0])
    ends = [look(target, point.working + side * away, None, point) for side in (1.0, -1.0)]
    lower = [end for end in ends if np.isfinite(end.edm) and end.value < point.value]
    return min(lower, key=lambda end: end.value, default=None)
