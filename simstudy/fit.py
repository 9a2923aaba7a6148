"""Maximum likelihood: a SciPy optimizer in scaled coordinates, a Newton polish, the verdict.

Whether a fit is good is decided without units and without the optimizer's word. With gradient g and
Hessian H of f, the negative log-likelihood, on the working scale:

- EDM = g' H^-1 g / 2, the estimated distance to the minimum in log-likelihood units (James & Roos
  1975, Computer Physics Communications 10:343); the estimate is sqrt(2 EDM) standard errors off;
- the smallest eigenvalue of H scaled to unit diagonal, which must be positive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from simstudy.arrays import Array
from simstudy.derivatives import (
    RISE,
    Objective,
    central_gradient,
    central_hessian,
    gradient_hessian,
    natural_hessian,
    rise_steps,
)
from simstudy.model import from_working, inside, slopes, to_working
from simstudy.records import Status

FINE, FAILED = 1e-6, 1e-3
NEAR_SINGULAR = 1e-6
# A negative eigenvalue nearer to zero than this is rounding, not a way down.
LEVEL = 1e-10
# An EDM of 5e-17 is a hundred-millionth of a standard error: nothing further can be seen.
POLISHED = 5e-17
TAKES_HESSIAN = {"newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr"}
NEEDS_GRADIENT = TAKES_HESSIAN - {"trust-constr"}
TAKES_GRADIENT = TAKES_HESSIAN | {"cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"}
OPTIMIZERS = TAKES_GRADIENT | {"nelder-mead", "powell", "cobyla", "cobyqa"}


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a fit ended, and what it looks like there.

    Attributes
    ----------
    theta : (p,)
        The estimate, on the parameters' own scale.
    loglik : float
        Log-likelihood at theta.
    gradient : (p,)
        Gradient of the negative log-likelihood with respect to theta.
    hessian : (p, p)
        Its Hessian with respect to theta.
    edm, smallest, condition : float
        Estimated distance to the minimum; smallest eigenvalue and condition number of the Hessian
        scaled to unit diagonal.
    status : Status
        `ok`, `not_converged`, `no_maximum` or `saddle`.
    success : bool
        The optimizer's own flag.
    iterations, evaluations : int
        Iterations of the optimizer and the polish; values of f that SciPy counts as `nfev`.
    inverse : (p, p) or None
        What the optimizer of `plain` calls the inverse Hessian, on the scale it worked on.
    message : str
        The optimizer's own message.
    """

    theta: Array
    loglik: float
    gradient: Array
    hessian: Array
    edm: float
    smallest: float
    condition: float
    status: Status
    success: bool
    iterations: int
    evaluations: int
    inverse: Array | None
    message: str


@dataclass(frozen=True, slots=True)
class _Point:
    """The objective at one point of the working scale, and the Newton step from there."""

    working: Array
    value: float
    gradient: Array
    hessian: Array
    step: Array
    edm: float
    definite: bool


def maximize(
    target: Objective, start: Array | None = None, *, optimizer: str | None = "BFGS"
) -> Fit:
    """Fit by maximum likelihood.

    Parameters
    ----------
    target : Objective
        A model bound to data.
    start : (p,), optional
        Where to set out; the model's own start by default.
    optimizer : str or None
        Any method of `scipy.optimize.minimize`; None goes straight to the Newton polish, which is
        right when `start` is near the maximum.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        When the start is outside its support or the log-likelihood is not finite there.
    """
    working = outset = _start(target, start)
    success, message, iterations, evaluations, inverse = True, "", 0, 0, None
    if optimizer is not None:
        found = _scaled(target, working, optimizer)
        if target.value(from_working(found.x, target.model.supports)) < np.inf:
            working = found.x
        success, message = bool(found.success), str(found.message)
        iterations, evaluations = int(found.get("nit", 0)), int(found.nfev)
    first = _look(target, working)
    if np.isnan(first.edm):
        first = _look(target, outset)
    point, steps, rising = _polish(target, first)
    endless = rising or _flat(target, point) or _level_onward(target, point, outset)
    status = Status.no_maximum if endless else _status(point)
    return _fit(target, point, status, success, iterations + steps, evaluations, inverse, message)


def plain(
    target: Objective, *, optimizer: str = "BFGS", working: bool = False, exact: bool = False,
    most: int | None = None,
) -> Fit:  # fmt: skip
    """Run `scipy.optimize.minimize` as a user does: model's start, defaults, no scaling, no polish.

    Parameters
    ----------
    target : Objective
        A model bound to data.
    optimizer : str
        Method of `minimize`.
    working : bool
        Minimize over the working scale instead of theta itself.
    exact : bool
        Hand the exact gradient over instead of SciPy's own differences.
    most : int, optional
        SciPy's `maxiter`.

    Returns
    -------
    Fit
        With `inverse` as the optimizer returned it, on the scale it worked on. The status is `ok`
        wherever theta is inside its support and f finite: the optimizer is taken at its word.
    """
    supports = target.model.supports
    start = np.asarray(target.model.start(target.data), dtype=float)

    def there(x: Array) -> Array:
        return from_working(x, supports) if working else x

    def f(x: Array) -> float:
        terms = target.model.loglik(there(x), target.data)
        return -float(np.sum(terms))

    def gradient(x: Array) -> Array:
        slope = slopes(there(x), supports)[0] if working else 1.0
        return target.gradient(there(x)) * slope

    x0 = to_working(start, supports) if working else start
    options = {} if most is None else {"maxiter": most}
    jac = gradient if exact else None
    found = _minimize(f, x0, jac=jac, method=optimizer, options=options)
    inverse = found.get("hess_inv")
    inverse = inverse.todense() if hasattr(inverse, "todense") else inverse
    theta = np.asarray(there(found.x), dtype=float)
    usable = bool(inside(theta, supports).all()) and target.value(theta) < np.inf
    point = _look(target, to_working(theta, supports)) if usable else _nowhere(theta)
    status = Status.ok if usable else Status.not_converged
    return _fit(
        target, point, status, bool(found.success), int(found.get("nit", 0)), int(found.nfev),
        inverse, str(found.message),
    )  # fmt: skip


def _start(target: Objective, start: Array | None) -> Array:
    """Check the start and take it to the working scale."""
    model = target.model
    theta = np.asarray(model.start(target.data) if start is None else start, dtype=float)
    if theta.shape != (len(model.names),) or not inside(theta, model.supports).all():
        raise ValueError(
            f"the start of model {model.name!r} is {theta.tolist()}; it must be one value for each "
            f"of {list(model.names)} inside the supports {list(model.supports)}"
        )
    if not target.value(theta) < np.inf:
        raise ValueError(
            f"the log-likelihood of model {model.name!r} is not finite at the start "
            f"{dict(zip(model.names, theta.tolist(), strict=True))}; give a start where it is"
        )
    return to_working(theta, model.supports)


def _scaled(target: Objective, working: Array, optimizer: str) -> Any:
    """Run the optimizer in coordinates in which every parameter has about unit curvature."""
    supports = target.model.supports

    def value(w: Array) -> float:
        return target.value(from_working(w, supports))

    scale = _scale(target, value, working)

    def f(u: Array) -> float:
        return value(working + scale * u)

    def gradient(u: Array) -> Array:
        theta = from_working(working + scale * u, supports)
        slope = target.gradient(theta) * slopes(theta, supports)[0] * scale
        return slope if np.isfinite(slope).all() else np.zeros_like(slope)

    def hessian(u: Array) -> Array:
        return _derivatives(target, working + scale * u)[2] * scale * scale[:, None]

    name = optimizer.lower()
    jac: Any = (gradient if target.score else "3-point") if name in TAKES_GRADIENT else None
    if name in TAKES_HESSIAN and not target.score:
        jac = lambda u: _derivatives(target, working + scale * u)[1] * scale  # noqa: E731
    hess = hessian if name in TAKES_HESSIAN else None
    found = _minimize(f, np.zeros_like(working), method=optimizer, jac=jac, hess=hess)
    found.x = working + scale * found.x
    return found


def _minimize(*arguments: Any, **options: Any) -> Any:
    """Call SciPy's `minimize`, loaded when the first fit needs it: a batched run needs none."""
    from scipy.optimize import minimize

    return minimize(*arguments, **options)


def _scale(target: Objective, value: Callable[[Array], float], working: Array) -> Array:
    """Guess the standard error of every working value at the start."""
    if target.score is not None and target.hessian is not None:
        bend = np.diagonal(_derivatives(target, working)[2])
        if np.isfinite(bend).all() and (bend > 0).all():
            return 1 / np.sqrt(bend)
    return rise_steps(value, working, close=2.0)[0] / np.sqrt(2 * RISE)


def _polish(target: Objective, point: _Point, most: int = 100) -> tuple[_Point, int, bool]:
    """Take damped Newton steps to the maximum; tell whether the log-likelihood rises without end.

    At a maximum Newton's method squares the EDM. Where a parameter runs off to infinity it only
    shrinks by a constant factor (1/e for a logit), step after step.
    """
    linear = 0
    for count in range(most):
        if not point.edm > POLISHED and point.definite:
            return point, count, False
        new = _advance(target, point) if point.edm > POLISHED else _escape(target, point)
        if new is None:
            return point, count, False
        ratio = new.edm / max(point.edm, POLISHED)
        if ratio >= 0.8 and point.definite and point.edm < FINE:
            return point, count, False
        linear = linear + 1 if 0.05 < ratio < 0.8 and new.edm < FAILED else 0
        point = new
        if linear == 5 and point.edm > 1e3 * POLISHED:
            return point, count + 1, True
    return point, most, False


def _flat(target: Objective, point: _Point) -> bool:
    """Tell whether f stays level along its flattest direction, where the Hessian is near-singular.

    A thousand units of the scaled coordinates would raise any curvature that can be told from none.
    """
    if not np.isfinite(point.hessian).all():
        return False
    scale, values, vectors = _scaled_eigen(point.hessian)
    flattest = int(np.argmin(np.abs(values)))
    if values[0] < -LEVEL or abs(values[flattest]) > NEAR_SINGULAR:
        return False
    along = 1e3 * scale * vectors[:, flattest]
    level = 64 * np.finfo(float).eps * (1 + abs(point.value))
    for side in (1.0, -1.0):
        for share in 0.5 ** np.arange(30):
            there = from_working(point.working + side * share * along, target.model.supports)
            rise = target.value(there) - point.value
            if rise < np.inf:
                break
        if rise <= level:
            return True
    return False


def _level_onward(target: Objective, point: _Point, outset: Array) -> bool:
    """Tell whether f does not rise, and hardly falls, as far again on the way from the start.

    Asked where the Hessian is near-singular or indefinite: with separated data an optimizer may end
    where f hides what is left to gain, and where differences of f are no curvature.
    """
    if point.definite and not _scaled_eigen(point.hessian)[1][0] < NEAR_SINGULAR:
        return False
    if np.array_equal(point.working, outset):
        return False
    onward = from_working(2 * point.working - outset, target.model.supports)
    rise = target.value(onward) - point.value
    return bool(-FAILED < rise <= 64 * np.finfo(float).eps * (1 + abs(point.value)))


def _advance(target: Objective, point: _Point) -> _Point | None:
    """Take the Newton step, halved until f falls; near the minimum rounding hides the fall."""
    share = 1.0
    for _ in range(60):
        working = point.working + share * point.step
        value = target.value(from_working(working, target.model.supports))
        if value < np.inf and (point.edm < 1e-9 or value <= point.value - 1e-4 * share * point.edm):
            new = _look(target, working, value)
            if np.isfinite(new.edm):
                return new
        share /= 2
    return None


def _escape(target: Objective, point: _Point) -> _Point | None:
    """Leave a saddle point, where the Newton step is zero, along its steepest way down."""
    if not np.isfinite(point.hessian).all():
        return None
    scale, values, vectors = _scaled_eigen(point.hessian)
    if not values[0] < -LEVEL:
        return None
    away = scale * vectors[:, 0] / np.sqrt(-values[0])
    ends = [_look(target, point.working + side * away) for side in (1.0, -1.0)]
    lower = [end for end in ends if np.isfinite(end.edm) and end.value < point.value]
    return min(lower, key=lambda end: end.value, default=None)


def _look(target: Objective, working: Array, value: float | None = None) -> _Point:
    """Evaluate the objective, its derivatives, the Newton step and the EDM at one point."""
    found, gradient, hessian = _derivatives(target, working, value)
    # The factorization reports what is not finite or not definite in one go.
    factor, trouble = dpotrf(hessian)
    step = dpotrs(factor, -gradient)[0] if trouble == 0 else np.full_like(working, np.nan)
    edm = -float(np.dot(gradient, step)) / 2
    if trouble == 0 and 0 <= edm < np.inf and np.isfinite(factor).all():
        return _Point(working, found, gradient, hessian, step, edm, True)
    if np.isfinite(gradient).all() and np.isfinite(hessian).all():
        step, edm = _downhill(gradient, hessian)
        return _Point(working, found, gradient, hessian, step, edm, False)
    return _Point(working, found, gradient, hessian, step, np.nan, False)


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
    >>> from simstudy.fit import conditioning
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


def _derivatives(
    target: Objective, working: Array, value: float | None = None
) -> tuple[float, Array, Array]:
    """Value, gradient and Hessian on the working scale, each by the best route there is."""
    supports = target.model.supports
    theta = from_working(working, supports)

    def f(w: Array) -> float:
        return target.value(from_working(w, supports))

    def exact(w: Array) -> Array:
        there = from_working(w, supports)
        return target.gradient(there) * slopes(there, supports)[0]

    value = target.value(theta) if value is None else value
    if target.score is None:
        steps, _ = rise_steps(f, working)
        gradient = central_gradient(f, working, steps / 50)
        return value, gradient, central_hessian(f, working, steps)
    if target.hessian is None:
        steps = _gradient_steps(exact, working)
        return value, exact(working), gradient_hessian(exact, working, steps)
    first, second = slopes(theta, supports)
    gradient = target.gradient(theta)
    hessian = target.curvature(theta) * first * first[:, None]
    hessian.flat[:: len(theta) + 1] += gradient * second
    return value, gradient * first, hessian


def _gradient_steps(gradient: Callable[[Array], Array], x: Array) -> Array:
    """Steps of a hundredth of a standard error, shorter where the slope is not the same so far off.

    Without that a likelihood that flattens towards infinity, whose standard errors have no end,
    would get a Hessian from the other side of where it bends.
    """
    steps = 1e-5 * (1 + np.abs(x))
    for i in range(len(x)):
        e = np.zeros_like(x)

        def slope(h: float, e: Array = e, i: int = i) -> float:
            e[i] = h
            return abs(float((gradient(x + e)[i] - gradient(x - e)[i]) / (2 * h)))

        near = slope(steps[i])
        if not 0 < near < np.inf:
            continue
        steps[i] = 0.01 / np.sqrt(near)
        far = slope(steps[i])
        for _ in range(20):
            near = slope(steps[i] / 4)
            if abs(far - near) <= 0.01 * near:
                break
            steps[i], far = steps[i] / 4, near
    return steps


def _status(point: _Point) -> Status:
    """Judge a point without units."""
    if not np.isfinite(point.edm) or point.edm >= FAILED:
        return Status.not_converged
    return Status.ok if point.definite else Status.saddle


def _nowhere(theta: Array) -> _Point:
    """Stand for a point outside the support, where nothing can be evaluated."""
    blank, square = np.full_like(theta, np.nan), np.full((len(theta), len(theta)), np.nan)
    return _Point(blank, np.inf, blank, square, blank, np.nan, False)


def _fit(
    target: Objective, point: _Point, status: Status, success: bool, iterations: int,
    evaluations: int, inverse: Array | None, message: str,
) -> Fit:  # fmt: skip
    """Report a point on the parameters' own scale."""
    supports = target.model.supports
    theta = from_working(point.working, supports)
    first = slopes(theta, supports)[0]
    smallest, condition = conditioning(point.hessian)
    return Fit(
        theta=theta,
        loglik=-point.value,
        gradient=point.gradient / first,
        hessian=natural_hessian(point.gradient, point.hessian, theta, supports),
        edm=point.edm,
        smallest=float(smallest),
        condition=float(condition),
        status=status,
        success=success,
        iterations=iterations,
        evaluations=evaluations,
        inverse=inverse,
        message=message,
    )
