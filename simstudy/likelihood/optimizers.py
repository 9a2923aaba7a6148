"""SciPy's optimizers: in coordinates of about unit curvature, and where a search sets out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.likelihood.axes import first_axes
from simstudy.likelihood.objective import Objective, values_of
from simstudy.likelihood.points import derivatives
from simstudy.likelihood.supports import from_working, inside, slopes, to_working

TAKES_HESSIAN = {"newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr"}
NEEDS_GRADIENT = TAKES_HESSIAN - {"trust-constr"}
TAKES_GRADIENT = TAKES_HESSIAN | {"cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"}
OPTIMIZERS = TAKES_GRADIENT | {"nelder-mead", "powell", "cobyla", "cobyqa"}


# Where f is larger its rounding comes near the rises that are looked at.
LARGE = 1e8


@dataclass(frozen=True, slots=True)
class Outset:
    """Where a search sets out, on the working scale, and rough standard errors there."""

    working: Array
    scale: Array


def checked_start(target: Objective, start: Array | None) -> Array:
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


def guessed_errors(target: Objective, working: Array) -> Array:
    """Guess the standard error of every working value at the start."""
    if target.score is not None and target.hessian is not None:
        bend = np.diagonal(derivatives(target, working)[2])
        if np.isfinite(bend).all() and (bend > 0).all():
            return 1 / np.sqrt(bend)
    value = np.array([target.value(from_working(working, target.model.supports))])
    axes, _ = first_axes(values_of(target), working[None], value, close=2.0)
    # A logarithm has no curvature far from the maximum, and no search sets out with e**100.
    most = np.array([1.0 if support.bounded else np.inf for support in target.model.supports])
    return np.minimum(np.diagonal(axes[0]), most)


def approached(target: Objective, working: Array, optimizer: str) -> Array:
    """Come nearer from where f is so large that its rounding hides how it bends.

    In units far from those of the start f is 1e20 there. It is searched divided by as much as makes
    it `LARGE`, time and again, until it is smaller by itself or falls no further.
    """
    supports = target.model.supports
    value = target.value(from_working(working, supports))
    while abs(value) > LARGE:
        smaller = _divided(target, abs(value) / LARGE)
        outset = Outset(working, guessed_errors(smaller, working))
        found = scaled(smaller, outset, optimizer).x
        lower = target.value(from_working(found, supports))
        if not lower < value - abs(value) / 2:
            return found if lower < value else working
        working, value = found, lower
    return working


def _divided(target: Objective, by: float) -> Objective:
    """Return the objective with f and all its derivatives divided by a number."""

    def smaller(function: Callable[[Array, Data], Array]) -> Callable[[Array, Data], Array]:
        return lambda theta, data: np.asarray(function(theta, data)) / by

    model = replace(target.model, loglik=smaller(target.model.loglik))
    score, hessian = (one and smaller(one) for one in (target.score, target.hessian))
    return replace(target, model=model, score=score, hessian=hessian)


def scaled(target: Objective, outset: Outset, optimizer: str) -> Any:
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
        return derivatives(target, working + scale * u)[2] * scale * scale[:, None]

    name = optimizer.lower()
    jac: Any = (gradient if target.score else "3-point") if name in TAKES_GRADIENT else None
    if name in TAKES_HESSIAN and not target.score:
        jac = lambda u: derivatives(target, working + scale * u)[1] * scale  # noqa: E731
    hess = hessian if name in TAKES_HESSIAN else None
    found = minimize(f, np.zeros_like(working), method=optimizer, jac=jac, hess=hess)
    found.x = working + scale * found.x
    return found


def minimize(*arguments: Any, **options: Any) -> Any:
    """Call SciPy's `minimize`, loaded when the first fit needs it: a batched run needs none."""
    from scipy.optimize import minimize

    return minimize(*arguments, **options)
