"""Maximum likelihood: a SciPy optimizer in scaled coordinates, a Newton polish, the verdict.

Whether a fit is good is decided without units and without the optimizer's word. With gradient g and
Hessian H of f, the negative log-likelihood, on the working scale:

- EDM = g' H^-1 g / 2, the estimated distance to the minimum in log-likelihood units (James & Roos
  1975, Computer Physics Communications 10:343); the estimate is sqrt(2 EDM) standard errors off;
- the smallest eigenvalue of H scaled to unit diagonal, which must be positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from simstudy.arrays import Array
from simstudy.likelihood.axes import (
    SPOILING,
    alone,
    axes_of,
    by_gradients,
    by_values,
    differenced,
    first_axes,
    inverted,
    noise_along,
    noise_of,
    noisy,
    own_axes,
    slopes_by,
)
from simstudy.likelihood.derivatives import Objective, natural_hessian, values_of
from simstudy.likelihood.model import from_working, inside, slopes, to_working
from simstudy.likelihood.standing import Standing, clear, look_closer, words
from simstudy.status import Status

FINE, FAILED = 1e-6, 1e-3
NO_MAXIMUM = (Status.no_maximum, Status.not_identified)
NEAR_SINGULAR = 1e-6
# A negative eigenvalue nearer to zero than this is rounding, not a way down.
LEVEL = 1e-10
# An EDM of 5e-17 is a hundred-millionth of a standard error: nothing further can be seen.
POLISHED = 5e-17
# A polish that ends above this has stalled: its steps are too long for the curvature, or too short.
STALLED = 1e-13
# Below so much a Newton step is so short that the Hessian hardly changes over it.
NEARBY = 1e-2
# A parameter whose logarithm still moves by so much with a Newton step runs off: what is left to
# gain shrinks with every step, the step does not.
MOVING = 1e-2
# A fit without derivatives that is polished so far has no noise that matters.
QUIET = 1e-10
# Slopes that vanish altogether are those of steps too short to be seen.
VANISHED = 1e-30
# How often the search goes on from a lower point within a standard error.
RETURNS = 12
# Slopes over 0.14 standard errors put the maximum of a smooth f so near, for every parameter.
COARSE = 1e-2
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
class _Outset:
    """Where a search sets out, on the working scale, and rough standard errors there."""

    working: Array
    scale: Array


@dataclass(frozen=True, slots=True)
class _Point:
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
    outset = _Outset(working, _scale(target, working))
    success, message, iterations, evaluations, inverse = True, "", 0, 0, None
    if optimizer is not None:
        found = _scaled(target, outset, optimizer)
        if target.value(from_working(found.x, target.model.supports)) < np.inf:
            working = found.x
        success, message = bool(found.success), str(found.message)
        iterations, evaluations = int(found.get("nit", 0)), int(found.nfev)
    point = _look(target, working, scale=outset.scale)
    if np.isnan(point.edm):
        point = _look(target, outset.working, scale=outset.scale)
    status = Status.not_converged
    for _ in range(RETURNS):
        point, steps = _polish(target, point, outset)
        iterations += steps
        standing = _standing(target, point, outset)
        status = standing.status
        if standing.lower is None:
            break
        # A lower point within a standard error: this was not the place.
        point = _look(target, standing.lower)
        status = Status.not_converged
    polished = status == Status.ok and VANISHED < point.edm < QUIET
    if point.axes is not None and not polished and _noisy_at(target, outset.working, point.axes):
        standing = Standing(Status.noisy)
        status = standing.status
    message = "; ".join(filter(None, [in_words(target, point.working, standing), message]))
    evaluations += point.evaluations
    return _fit(target, point, status, success, iterations, evaluations, inverse, message)


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
        wherever theta is inside its support, f finite and the line search not ABNORMAL: else the
        optimizer is taken at its word.
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
    lost = "ABNORMAL" in str(found.message) or not np.isfinite(found.fun)
    status = Status.not_converged if lost or not usable else Status.ok
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


def _scaled(target: Objective, outset: _Outset, optimizer: str) -> Any:
    """Run the optimizer in coordinates in which every parameter has about unit curvature."""
    supports = target.model.supports

    def value(w: Array) -> float:
        return target.value(from_working(w, supports))

    working, scale = outset.working, outset.scale

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


def _scale(target: Objective, working: Array) -> Array:
    """Guess the standard error of every working value at the start."""
    if target.score is not None and target.hessian is not None:
        bend = np.diagonal(_derivatives(target, working)[2])
        if np.isfinite(bend).all() and (bend > 0).all():
            return 1 / np.sqrt(bend)
    value = np.array([target.value(from_working(working, target.model.supports))])
    axes, _ = first_axes(values_of(target), working[None], value, close=2.0)
    return np.diagonal(axes[0])


def _polish(
    target: Objective, point: _Point, outset: _Outset, most: int = 100
) -> tuple[_Point, int]:
    """Take damped Newton steps to the maximum.

    At a maximum Newton's method squares the EDM. Where a parameter runs off to infinity it only
    shrinks by a constant factor (1/e for a logit), step after step: then f is looked at a standard
    error away, and where it falls there the way is not gone to its end.
    """
    linear, count = 0, 0
    for count in range(most):
        if not point.edm > POLISHED and point.definite:
            break
        new = _advance(target, point) if point.edm > POLISHED else _escape(target, point)
        ratio = np.inf if new is None else new.edm / max(point.edm, POLISHED)
        if new is None or (ratio >= 0.8 and point.definite and point.edm < FINE):
            if point.axes is None or point.refined or not point.edm > STALLED:
                break
            new = _look(target, point.working, point.value, replace(point, refined=True))
        linear = linear + 1 if 0.05 < ratio < 0.8 and new.edm < FAILED else 0
        point = new
        if linear == 5 and point.edm > 1e3 * POLISHED:
            count, linear = count + 1, 0
            if _closer(target, point, outset).status == Status.no_maximum:
                break
    return (point if point.fresh else _look(target, point.working, point.value, point)), count


def closer(
    target: Objective, working: Array, value: float, gradient: Array, hessian: Array,
    outset: Array | None, axes: Array | None = None,
) -> Standing:  # fmt: skip
    """Look whether a point of the working scale, where Newton's method ended, is a maximum.

    Parameters
    ----------
    target : Objective
    working : (p,)
    value : float
        f there.
    gradient, hessian : (p,), (p, p)
        On the working scale.
    outset : (p,) or None
        Where the search set out, if one is to look onward on the way from there.
    axes : (p, p), optional
        The problem's own axes; those of the Hessian by default.
    """
    supports = target.model.supports

    def f(there: Array) -> float:
        theta = from_working(there, supports)
        return target.value(theta) if inside(theta, supports).all() else np.nan

    if not np.isfinite(hessian).all():
        return Standing(Status.not_converged)
    if outset is not None:
        start = _Outset(outset, _scale(target, outset))
        onward = _onward(target, working, value, start)
        if onward is not None:
            return onward
    axes = axes_of(hessian) if axes is None else axes
    slope = axes.T @ gradient
    bend = axes.T @ hessian @ axes
    # The way of the Newton step, a standard error long: where a parameter runs off it is that way.
    size = float(np.linalg.norm(slope))
    way = -axes @ slope / size if size > 0 else axes[:, 0]
    looks = np.column_stack([way, axes])
    rises = np.array([[f(working + side * d) for d in looks.T] for side in (1.0, -1.0)]) - value
    bounded = np.array([support != "real" for support in supports])
    up, down = rises
    if clear(up, down, np.float64(value), np.abs(axes[bounded]).max(initial=0.0)):
        return Standing(Status.ok)
    bends = np.array([-np.inf, *np.diagonal(bend)])
    return look_closer(f, working, value, looks, bends, alone(axes), bounded)


def _closer(target: Objective, point: _Point, outset: _Outset) -> Standing:
    """Look onward and along the axes of a point."""
    onward = _onward(target, point.working, point.value, outset)
    if onward is not None:
        return onward
    return closer(
        target, point.working, point.value, point.gradient, point.hessian, None, point.axes
    )


def _standing(target: Objective, point: _Point, outset: _Outset) -> Standing:
    """Judge where a polish ended."""
    if not np.isfinite(point.edm):
        return Standing(Status.not_converged)
    onward = _onward(target, point.working, point.value, outset)
    if onward is not None:
        return onward
    bounded = np.array([support != "real" for support in target.model.supports])
    if point.edm < FINE and (np.abs(point.step[bounded]) > MOVING).any():
        return Standing(Status.no_maximum, np.where(bounded, point.step, 0.0))
    if point.edm >= FAILED or point.coarse > COARSE * len(point.working):
        return Standing(_why(target, point))
    standing = closer(
        target, point.working, point.value, point.gradient, point.hessian, None, point.axes
    )
    if standing.status != Status.ok or standing.lower is not None:
        return standing
    if point.edm >= FINE:
        return Standing(_why(target, point))
    if point.edm > 10 * _noise_ahead(target, point):
        # Four Newton steps on, a parabola has risen by eight times what one promised.
        beyond = from_working(point.working + 4 * point.step, target.model.supports)
        if target.value(beyond) <= point.value:
            return Standing(Status.no_maximum, point.step)
    if point.definite:
        return Standing(Status.ok)
    return Standing(Status.degenerate if point.axes is None else Status.not_smooth)


def _noise_ahead(target: Objective, point: _Point) -> float:
    """Return the noise of f on the way of the Newton step, at least its rounding."""
    rounding = float(noise_of(np.float64(point.value)))
    if not point.edm > 10 * rounding:
        return rounding
    found = noise_along(values_of(target), point.working[None], point.step[None], 0.1)
    return max(rounding, float(found[0]))


def _why(target: Objective, point: _Point) -> Status:
    """Say why a fit was not polished.

    Where f does not fall along the way that its slope says is down, or where its slopes over long
    and over short steps tell different places, it is noisy, or not smooth.
    """
    stuck = point.edm > 1e3 * _noise_ahead(target, point) and not _advance(target, point)
    if stuck or point.coarse > COARSE * len(point.working):
        axes = axes_of(point.hessian) if point.axes is None else point.axes
        x, value = point.working[None], np.array([point.value])
        noise = noisy(values_of(target), x, value, axes[None], SPOILING)[0]
        return Status.noisy if noise else Status.not_smooth
    return Status.doubtful if point.edm < FAILED else Status.not_converged


def _noisy_at(target: Objective, outset: Array, axes: Array) -> bool:
    """Tell whether f is noisy at the start, where large numbers do not cancel as further on."""
    value = np.array([target.value(from_working(outset, target.model.supports))])
    return bool(noisy(values_of(target), outset[None], value, axes[None], 10 * SPOILING)[0])


def _onward(target: Objective, working: Array, value: float, outset: _Outset) -> Standing | None:
    """Look once and twice as far again on the way from the start: a parabola rises there.

    Level it is where a parameter has run off, and what is left to gain hides in rounding; it falls
    on and on where there is no end, as for a perfect fit.
    """
    ahead = working - outset.working
    if not (np.abs(ahead) > MOVING * outset.scale).any():
        return None
    thetas = from_working(working + np.outer((1, 2), ahead), target.model.supports)
    first, second = (target.value(theta) - value for theta in thetas)
    level = -FAILED < first <= noise_of(np.float64(value))
    endless = -np.inf < second < first - FAILED < -2 * FAILED
    return Standing(Status.no_maximum, ahead) if level or endless else None


def in_words(target: Objective, working: Array, standing: Standing) -> str:
    """Say in words what a closer look found, as `no_maximum: b1 -> infinity`; "" if nothing."""
    model = target.model
    if standing.direction is None:
        return ""
    value = np.array([target.value(from_working(working, model.supports))])
    scale = np.diagonal(first_axes(values_of(target), working[None], value)[0][0])
    about = words(standing.status, standing.direction, model.names, model.supports, scale)
    return f"{standing.status.name}: {about}"


def _advance(target: Objective, point: _Point) -> _Point | None:
    """Take the Newton step, halved until f falls; near the minimum rounding hides the fall."""
    share = 1.0
    for _ in range(60):
        working = point.working + share * point.step
        value = target.value(from_working(working, target.model.supports))
        falls = point.edm < 1e-9 or value <= point.value - 1e-4 * share * point.edm
        # Noise hides the fall of f where its slope, by differences, is still plain.
        plain = point.axes is not None and share == 1 and point.edm < NEARBY
        if value < np.inf and (falls or plain):
            new = _look(target, working, value, point)
            if np.isfinite(new.edm) and (falls or new.edm < point.edm / 4):
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
    ends = [_look(target, point.working + side * away, None, point) for side in (1.0, -1.0)]
    lower = [end for end in ends if np.isfinite(end.edm) and end.value < point.value]
    return min(lower, key=lambda end: end.value, default=None)


def _look(
    target: Objective, working: Array, value: float | None = None, before: _Point | None = None,
    scale: Array | None = None,
) -> _Point:  # fmt: skip
    """Evaluate the objective, its derivatives, the Newton step and the EDM at one point."""
    if target.score is None or target.hessian is None:
        return _by_axes(target, working, value, before, scale)
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


def _by_axes(
    target: Objective, working: Array, value: float | None, before: _Point | None,
    scale: Array | None,
) -> _Point:  # fmt: skip
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
) -> _Point:  # fmt: skip
    """Make a point of the gradient and the Hessian by the axes."""
    assert bend is not None
    back = inverted(axes)
    hessian = back.T @ bend @ back
    hessian = (hessian + hessian.T) / 2
    rest = axes, bend, fresh, evaluations
    if not (np.isfinite(slope).all() and np.isfinite(bend).all()):
        return _Point(working, value, back.T @ slope, hessian, slope * np.nan, np.nan, False, *rest)
    values, vectors = np.linalg.eigh(bend)
    size, along = np.maximum(np.abs(values), 1e-4), vectors.T @ slope
    step, edm = -axes @ (vectors @ (along / size)), float(np.sum(along**2 / size)) / 2
    return _Point(working, value, back.T @ slope, hessian, step, edm, bool(values[0] > 0), *rest)


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
    >>> from simstudy.likelihood.fit import conditioning
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
