"""Several maxima: searches from dispersed starts, and which of their ends is the estimate.

Where one search ends is a maximum, but not always the highest. Nothing tells at the maximum itself;
that several searches from far apart end at the same one, and none higher, makes it likely.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.curvature import invert
from simstudy.likelihood.fit import Fit, maximize
from simstudy.likelihood.noise import noise_of
from simstudy.likelihood.objective import Objective
from simstudy.likelihood.optimizers import guessed_errors
from simstudy.likelihood.points import FAILED, FINE
from simstudy.likelihood.supports import from_working, inside, slopes, to_working
from simstudy.status import Status

# How far around the first estimate, in standard errors: nearer, a search would only come back.
AROUND_ESTIMATE = (3.0, 300.0)
# How far around the model's start: the standard deviation of the logarithm of a factor.
AROUND_START = (0.3, 3.0)
# Of so many directions at one distance the one with the highest likelihood is the start.
DIRECTIONS = 8
# Far from anything sensible a user's code may raise one of these: no place to search, not a fault.
FAR_OFF = (ArithmeticError, ValueError)


def maximize_from_several(
    target: Objective, rng: np.random.Generator, restarts: int, *, optimizer: str = "BFGS"
) -> Fit:
    """Fit by maximum likelihood from the model's start and from points dispersed around.

    Parameters
    ----------
    target : Objective
        A model bound to data.
    rng : numpy.random.Generator
        What disperses the starts.
    restarts : int
        How many, at least 1.
    optimizer : str
        Any method of `scipy.optimize.minimize`.

    Returns
    -------
    Fit
        The highest end. Where that is no maximum, it says so, whatever lower maxima there are.
        Where one search alone ended at the highest maximum its status is `unconfirmed`. Of
        maxima of the same height, such as those of a mixture with its labels swapped, the one
        nearest to the model's own start, in standard errors. Iterations and evaluations are those
        of all searches.

    Raises
    ------
    ValueError
        When the start is outside its support or the log-likelihood is not finite there.

    Examples
    --------
    Five observations about 0, six about 10, and a start among the five:

    >>> import numpy as np
    >>> from simstudy import Model
    >>> from simstudy.arrays import log1p
    >>> from simstudy.likelihood.fit import maximize
    >>> from simstudy.likelihood.objective import objective
    >>> from simstudy.likelihood.restarts import maximize_from_several
    >>> cauchy = Model(
    ...     "cauchy", {"center": "real"}, lambda data: data[:1],
    ...     lambda theta, data: -log1p((data - theta[0]) ** 2),
    ... )
    >>> data = np.array([0.1, 0.3, -0.2, 0.0, 0.4, 9.8, 10.1, 10.4, 9.9, 10.0, 10.2])
    >>> target = objective(cauchy, data)
    >>> maximize(target).theta.round(2)
    array([0.26])
    >>> fit = maximize_from_several(target, np.random.default_rng(1), 16)
    >>> fit.theta.round(2), fit.status.name, fit.searches, fit.agreed > 1
    (array([9.97]), 'ok', 17, True)
    """
    ends = [maximize(target, optimizer=optimizer)]
    for start in _dispersed(target, ends[0], rng, restarts):
        with contextlib.suppress(*FAR_OFF):
            known = max((end.loglik for end in ends if end.status == Status.ok), default=-np.inf)
            ends.append(maximize(target, start, optimizer=optimizer, least=known))
    return _chosen(target, ends, 1 + restarts)


def _dispersed(
    target: Objective, first: Fit, rng: np.random.Generator, count: int
) -> Iterator[Array]:
    """Yield starts in turn around the model's own, off by factors, and around the first estimate.

    Distances are drawn evenly, on a scale of logarithms, from near to far. A real parameter whose
    own start is zero has no factor: rough standard errors stand for it.
    """
    supports = target.model.supports
    real = ~np.array([support.bounded for support in supports])
    start = to_working(target.model.start(target.data), supports)
    rough = guessed_errors(target, start)
    center, errors = start, rough
    if first.status == Status.ok:
        center = to_working(first.theta, supports)
        errors = _errors(first) / slopes(first.theta, supports)[0]
    for k in range(count):
        share = (k // 2 + rng.uniform()) / ((count + 1 - k % 2) // 2)
        z = rng.standard_normal((DIRECTIONS, len(start)))
        z *= np.sqrt(len(start)) / np.linalg.norm(z, axis=1, keepdims=True)
        if k % 2:
            yield _best(target, center, _between(AROUND_ESTIMATE, share) * errors * z)
        else:
            far = _between(AROUND_START, share) * z
            zero = AROUND_ESTIMATE[0] * rough * far
            moved = np.where(start != 0, start * np.expm1(far), zero)
            yield _best(target, start, np.where(real, moved, far))


def _between(ends: tuple[float, float], share: float) -> float:
    """Return the number at a share of the way between two, on a scale of logarithms."""
    return float(ends[0] * (ends[1] / ends[0]) ** share)


def _errors(fit: Fit) -> Array:
    """Return the standard errors `(p,)` of a fit, those of the parameters alone in need."""
    found = np.sqrt(np.diagonal(invert(fit.hessian).covariance))
    alone = 1 / np.sqrt(np.abs(np.diagonal(fit.hessian)))
    return np.where(np.isfinite(found), found, alone)


def _best(target: Objective, center: Array, moves: Array) -> Array:
    """Return theta at the best of some moves `(m, p)`; all are halved until one has a value."""
    supports = target.model.supports
    for _ in range(60):
        thetas = from_working(center + moves, supports)
        usable = inside(thetas, supports).all(axis=-1)
        values = [
            _value(target, theta) if good else np.inf
            for theta, good in zip(thetas, usable, strict=True)
        ]
        if min(values) < np.inf:
            return thetas[int(np.argmin(values))]
        moves = moves / 2
    return from_working(center, supports)


def _value(target: Objective, theta: Array) -> float:
    """Return f at theta, infinity where there is none."""
    with contextlib.suppress(*FAR_OFF):
        return target.value(theta)
    return np.inf


def _chosen(target: Objective, ends: Sequence[Fit], searches: int) -> Fit:
    """Choose the estimate among the ends of all searches, and say how they agree."""
    height = max(end.loglik for end in ends)
    level = height - 2 * FINE - float(noise_of(np.float64(height)))
    maxima = [end for end in ends if end.status == Status.ok]
    highest = [end for end in maxima if end.loglik >= level]
    spent: dict[str, Any] = {
        "iterations": sum(end.iterations for end in ends),
        "evaluations": sum(end.evaluations for end in ends),
        "searches": searches,
        "agreed": len(highest),
    }
    if not highest:
        best = next(end for end in ends if end.loglik == height)
        return replace(best, **spent)
    apart = _apart(highest)
    best = _nearest(apart, np.asarray(target.model.start(target.data), dtype=float))
    remarks = [] if best.success else [best.message]
    if len(apart) > 1:
        remarks.append(f"{len(apart)} maxima of the same height; taken is the nearest to the start")
    if ends[0].loglik < level:
        short = height - ends[0].loglik
        remarks.append(f"the search from the model's start ended {short:.3g} units lower")
    return replace(
        best,
        status=Status.ok if len(highest) > 1 else Status.unconfirmed,
        message="; ".join(remarks),
        **spent,
    )


def _apart(fits: Sequence[Fit]) -> list[Fit]:
    """Return one fit of each place: within a few hundredths of a standard error it is the same."""
    found: list[Fit] = []
    for fit in fits:
        away = [fit.theta - other.theta for other in found]
        if not any(
            abs(move @ other.hessian @ move) / 2 < FAILED
            for move, other in zip(away, found, strict=True)
        ):
            found.append(fit)
    return found


def _nearest(fits: Sequence[Fit], start: Array) -> Fit:
    """Return the fit nearest to the start, in its own standard errors; of several the smallest."""
    far = [float(np.linalg.norm((fit.theta - start) / _errors(fit))) for fit in fits]
    near = [fit for fit, away in zip(fits, far, strict=True) if away < min(far) * (1 + 1e-6)]
    return min(near, key=lambda fit: tuple(fit.theta))
