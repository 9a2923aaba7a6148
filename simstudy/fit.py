"""Maximum likelihood: a SciPy optimizer in scaled coordinates, then a Newton polish, then the verdict.

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
from scipy.optimize import minimize

from simstudy.arrays import Array
from simstudy.derivatives import (
    Objective,
    central_gradient,
    central_hessian,
    gradient_hessian,
    natural_hessian,
    rise_steps,
    working_hessian,
)
from simstudy.model import from_working, inside, slopes, to_working
from simstudy.records import Status

FINE, FAILED = 1e-6, 1e-3
# An EDM of 5e-17 is a hundred-millionth of a standard error: nothing further can be seen.
POLISHED = 5e-17
TAKES_HESSIAN = {"newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr"}
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
        Gradient of the negative log-likelihood on the working scale.
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
        Of the optimizer and the polish; evaluations count values of f, a gradient as one.
    inverse : (p, p) or None
        What the optimizer itself calls the inverse Hessian, on the scale it worked on.
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
    smallest: float
    condition: float


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
    working = _start(target, start)
    success, message, iterations, evaluations, inverse = True, "", 0, 0, None
    if optimizer is not None:
        found = _scaled(target, working, optimizer)
        if target.value(from_working(found.x, target.model.supports)) < np.inf:
            working = found.x
        success, message = bool(found.success), str(found.message)
        iterations, evaluations = int(found.get("nit", 0)), int(found.nfev)
    point, steps, rising = _polish(target, working)
    status = Status.no_maximum if rising else _status(point)
    return _fit(target, point, status, success, iterations + steps, evaluations, inverse, message)


def plain(
    target: Objective, *, optimizer: str = "BFGS", working: bool = False, exact: bool = False
) -> Fit:
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
    found = minimize(f, x0, jac=gradient if exact else None, method=optimizer)
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

    scale = rise_steps(value, working, rounds=6)[0] / 0.1414

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
    found = minimize(f, np.zeros_like(working), method=optimizer, jac=jac, hess=hess)
    found.x = working + scale * found.x
    return found


def _polish(target: Objective, working: Array, most: int = 100) -> tuple[_Point, int, bool]:
    """Take damped Newton steps to the maximum; tell whether the log-likelihood rises without end.

    At a maximum Newton's method squares the EDM. Where a parameter runs off to infinity it only
    shrinks by a constant factor (1/e for a logit), step after step.
    """
    point, linear = _look(target, working), 0
    for count in range(most):
        if not point.edm > POLISHED:
            return point, count, False
        new = _advance(target, point)
        if new is None:
            return point, count, False
        ratio = new.edm / point.edm
        stalled = 0.8 <= ratio and point.edm < FINE
        linear = linear + 1 if 0.05 < ratio < 0.8 and new.edm < FAILED else 0
        if stalled:
            return point, count, False
        point = new
        if linear == 5 and point.edm > 1e3 * POLISHED:
            return point, count + 1, True
    return point, most, False


def _advance(target: Objective, point: _Point) -> _Point | None:
    """Take the Newton step, halved until f falls; near the minimum rounding hides the fall."""
    share = 1.0
    for _ in range(60):
        working = point.working + share * point.step
        value = target.value(from_working(working, target.model.supports))
        if value < np.inf and (point.edm < 1e-9 or value <= point.value - 1e-4 * share * point.edm):
            new = _look(target, working)
            if np.isfinite(new.edm):
                return new
        share /= 2
    return None


def _look(target: Objective, working: Array) -> _Point:
    """Evaluate the objective, its derivatives, the Newton step and the EDM at one point."""
    value, gradient, hessian = _derivatives(target, working)
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
        blank = np.full_like(working, np.nan)
        return _Point(working, value, gradient, hessian, blank, np.nan, np.nan, np.nan)
    step, edm, smallest, condition = newton(gradient, hessian)
    return _Point(working, value, gradient, hessian, step, edm, smallest, condition)


def newton(gradient: Array, hessian: Array) -> tuple[Array, float, float, float]:
    """Newton step, EDM, smallest eigenvalue and condition number, with H scaled to unit diagonal.

    Negative eigenvalues enter by their absolute value, so that the step always goes downhill; the
    smallest eigenvalue tells that it happened.
    """
    diagonal = np.abs(np.diagonal(hessian))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(hessian * scale[:, None] * scale)
    size = np.maximum(np.abs(values), 1e-14)
    along = vectors.T @ (scale * gradient)
    step = -scale * (vectors @ (along / size))
    edm = float(np.sum(along**2 / size)) / 2
    return step, edm, float(values[0]), float(size.max() / size.min())


def _derivatives(target: Objective, working: Array) -> tuple[float, Array, Array]:
    """Value, gradient and Hessian on the working scale, each by the best route there is."""
    supports = target.model.supports
    theta = from_working(working, supports)

    def f(w: Array) -> float:
        return target.value(from_working(w, supports))

    def exact(w: Array) -> Array:
        there = from_working(w, supports)
        return target.gradient(there) * slopes(there, supports)[0]

    if target.score is None:
        steps, _ = rise_steps(f, working)
        gradient = central_gradient(f, working, steps / 50)
        return f(working), gradient, central_hessian(f, working, steps)
    if target.hessian is None:
        steps = _gradient_steps(exact, working)
        return f(working), exact(working), gradient_hessian(exact, working, steps)
    gradient = target.gradient(theta)
    hessian = working_hessian(gradient, target.curvature(theta), theta, supports)
    return target.value(theta), gradient * slopes(theta, supports)[0], hessian


def _gradient_steps(gradient: Callable[[Array], Array], x: Array) -> Array:
    """Steps of a hundredth of a standard error, from the gradient's own slope."""
    steps = 1e-5 * (1 + np.abs(x))
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = steps[i]
        slope = abs((gradient(x + e)[i] - gradient(x - e)[i]) / (2 * steps[i]))
        if np.isfinite(slope) and slope > 0:
            steps[i] = 0.01 / np.sqrt(slope)
    return steps


def _status(point: _Point) -> Status:
    """Judge a point without units."""
    if not np.isfinite(point.edm) or point.edm >= FAILED:
        return Status.not_converged
    return Status.ok if point.smallest > 0 else Status.saddle


def _nowhere(theta: Array) -> _Point:
    """Stand for a point outside the support, where nothing can be evaluated."""
    blank, square = np.full_like(theta, np.nan), np.full((len(theta), len(theta)), np.nan)
    return _Point(blank, np.inf, blank, square, blank, np.nan, np.nan, np.nan)


def _fit(
    target: Objective, point: _Point, status: Status, success: bool, iterations: int,
    evaluations: int, inverse: Array | None, message: str,
) -> Fit:  # fmt: skip
    """Report a point on the parameters' own scale."""
    supports = target.model.supports
    theta = from_working(point.working, supports)
    first = slopes(theta, supports)[0]
    return Fit(
        theta=theta,
        loglik=-point.value,
        gradient=point.gradient / first,
        hessian=natural_hessian(point.gradient, point.hessian, theta, supports),
        edm=point.edm,
        smallest=point.smallest,
        condition=point.condition,
        status=status,
        success=success,
        iterations=iterations,
        evaluations=evaluations,
        inverse=inverse,
        message=message,
    )
