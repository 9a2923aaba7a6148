"""Maximum likelihood: a SciPy optimizer in scaled coordinates, a Newton polish, the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.objective import Objective, natural_hessian
from simstudy.likelihood.optimizers import (
    Outset,
    approached,
    checked_start,
    guessed_errors,
    minimize,
    scaled,
)
from simstudy.likelihood.points import FINE, Point, conditioning, look, nowhere
from simstudy.likelihood.polish import polish
from simstudy.likelihood.standing import Standing
from simstudy.likelihood.supports import from_working, inside, slopes, to_working
from simstudy.likelihood.verdict import in_words, noisy_at, standing_of
from simstudy.status import Status

# A fit without derivatives that is polished so far has no noise that matters.
QUIET = 1e-10
# Slopes that vanish altogether are those of steps too short to be seen.
VANISHED = 1e-30
# How often the search goes on from a lower point within a standard error.
RETURNS = 12


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
    searches, agreed : int
        Searches from different starts, and how many ended at a maximum as high as this one.
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
    searches: int = 1
    agreed: int = 1


def maximize(
    target: Objective, start: Array | None = None, *, optimizer: str | None = "BFGS",
    least: float = -np.inf,
) -> Fit:  # fmt: skip
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
    least : float
        A log-likelihood that is known to be reached: where the optimizer ends lower, and its own
        estimated distance to the maximum does not bridge that tenfold, nothing is polished.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        When the start is outside its support or the log-likelihood is not finite there.
    """
    working = checked_start(target, start)
    if optimizer is not None:
        working = approached(target, working, optimizer)
    outset = Outset(working, guessed_errors(target, working))
    success, message, iterations, evaluations, inverse = True, "", 0, 0, None
    if optimizer is not None:
        found = scaled(target, outset, optimizer)
        if target.value(from_working(found.x, target.model.supports)) < np.inf:
            working = found.x
        success, message = bool(found.success), str(found.message)
        iterations, evaluations = int(found.get("nit", 0)), int(found.nfev)
    point = look(target, working, scale=outset.scale)
    if np.isnan(point.edm):
        point = look(target, outset.working, scale=outset.scale)
    if 10 * point.edm - point.value < least - FINE:
        evaluations += point.evaluations
        return _fit(target, point, Status.not_converged, success, iterations, evaluations, inverse,
                    message)  # fmt: skip
    status = Status.not_converged
    for _ in range(RETURNS):
        point, steps = polish(target, point, outset)
        iterations += steps
        standing = standing_of(target, point, outset)
        status = standing.status
        if standing.lower is None:
            break
        # A lower point within a standard error: this was not the place.
        point = look(target, standing.lower)
        status = Status.not_converged
    polished = status == Status.ok and VANISHED < point.edm < QUIET
    if point.axes is not None and not polished and noisy_at(target, outset.working, point.axes):
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
    found = minimize(f, x0, jac=jac, method=optimizer, options=options)
    inverse = found.get("hess_inv")
    inverse = inverse.todense() if hasattr(inverse, "todense") else inverse
    theta = np.asarray(there(found.x), dtype=float)
    usable = bool(inside(theta, supports).all()) and target.value(theta) < np.inf
    point = look(target, to_working(theta, supports)) if usable else nowhere(theta)
    lost = "ABNORMAL" in str(found.message) or not np.isfinite(found.fun)
    status = Status.not_converged if lost or not usable else Status.ok
    return _fit(
        target, point, status, bool(found.success), int(found.get("nit", 0)), int(found.nfev),
        inverse, str(found.message),
    )  # fmt: skip


def _fit(
    target: Objective, point: Point, status: Status, success: bool, iterations: int,
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
