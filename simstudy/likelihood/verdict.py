"""The verdict on where a fit ended: a maximum, or why not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.axes import alone, axes_of, first_axes
from simstudy.likelihood.ends import running_off
from simstudy.likelihood.noise import SPOILING, noise_along, noise_of, noisy
from simstudy.likelihood.objective import Objective, values_of
from simstudy.likelihood.optimizers import Outset, guessed_errors
from simstudy.likelihood.points import FAILED, FINE, Point, advance
from simstudy.likelihood.standing import Standing, clear, look_closer, words
from simstudy.likelihood.supports import from_working, inside
from simstudy.status import Status

NO_MAXIMUM = (Status.no_maximum, Status.not_identified)
# A search that ends nearer to its start, in standard errors, has no way to look onward on.
MOVING = 1e-2
# Slopes over 0.14 standard errors put the maximum of a smooth f so near, for every parameter.
COARSE = 1e-2


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
    if not np.isfinite(hessian).all():
        return Standing(Status.not_converged)
    if outset is not None:
        start = Outset(outset, guessed_errors(target, outset))
        endless = _endless(target, working, value, start)
        if endless is not None:
            return endless
    f, bounded = _inside(target), _bounded(target)
    axes = axes_of(hessian) if axes is None else axes
    slope = axes.T @ gradient
    bend = axes.T @ hessian @ axes
    # The way of the Newton step, a standard error long: where a parameter runs off it is that way.
    size = float(np.linalg.norm(slope))
    way = -axes @ slope / size if size > 0 else axes[:, 0]
    looks = np.column_stack([way, axes])
    rises = np.array([[f(working + side * d) for d in looks.T] for side in (1.0, -1.0)]) - value
    up, down = rises
    if clear(up, down, np.float64(value), np.abs(axes[bounded]).max(initial=0.0)):
        return Standing(Status.ok)
    bends = np.array([-np.inf, *np.diagonal(bend)])
    return look_closer(f, working, value, looks, bends, alone(axes), bounded)


def closer_at(target: Objective, point: Point, outset: Outset) -> Standing:
    """Look onward and along the axes of a point."""
    endless = _endless(target, point.working, point.value, outset)
    if endless is not None:
        return endless
    return closer(
        target, point.working, point.value, point.gradient, point.hessian, None, point.axes
    )


def standing_of(target: Objective, point: Point, outset: Outset) -> Standing:
    """Judge where a polish ended."""
    if not np.isfinite(point.working).all() or not np.isfinite(point.value):
        return Standing(Status.not_converged)
    endless = _endless(target, point.working, point.value, outset)
    if endless is not None:
        return endless
    if not np.isfinite(point.edm):
        return Standing(Status.not_converged)
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


def _noise_ahead(target: Objective, point: Point) -> float:
    """Return the noise of f on the way of the Newton step, at least its rounding."""
    rounding = float(noise_of(np.float64(point.value)))
    if not point.edm > 10 * rounding:
        return rounding
    found = noise_along(values_of(target), point.working[None], point.step[None], 0.1)
    return max(rounding, float(found[0]))


def _why(target: Objective, point: Point) -> Status:
    """Say why a fit was not polished.

    Where f does not fall along the way that its slope says is down, or where its slopes over long
    and over short steps tell different places, it is noisy, or not smooth.
    """
    stuck = point.edm > 1e3 * _noise_ahead(target, point) and not advance(target, point)
    if stuck or point.coarse > COARSE * len(point.working):
        axes = axes_of(point.hessian) if point.axes is None else point.axes
        x, value = point.working[None], np.array([point.value])
        noise = noisy(values_of(target), x, value, axes[None], SPOILING)[0]
        return Status.noisy if noise else Status.not_smooth
    return Status.doubtful if point.edm < FAILED else Status.not_converged


def noisy_at(target: Objective, outset: Array, axes: Array) -> bool:
    """Tell whether f is noisy at the start, where large numbers do not cancel as further on."""
    value = np.array([target.value(from_working(outset, target.model.supports))])
    return bool(noisy(values_of(target), outset[None], value, axes[None], 10 * SPOILING)[0])


def _inside(target: Objective) -> Callable[[Array], float]:
    """Return f of working values, nan where theta cannot be told from an end of its support."""
    supports = target.model.supports

    def f(there: Array) -> float:
        theta = from_working(there, supports)
        return target.value(theta) if inside(theta, supports).all() else np.nan

    return f


def _bounded(target: Objective) -> Array:
    """Tell which parameters `(p,)` have a bounded support."""
    return np.array([support.bounded for support in target.model.supports])


def _endless(target: Objective, working: Array, value: float, outset: Outset) -> Standing | None:
    """Look whether the way goes on: onward from the start, or to the end of a support."""
    onward = _onward(target, working, value, outset)
    if onward is not None:
        return onward
    return running_off(_inside(target), working, value, _bounded(target), outset.working)


def _onward(target: Objective, working: Array, value: float, outset: Outset) -> Standing | None:
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
