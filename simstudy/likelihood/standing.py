"""Whether a point is a maximum: what f does along the problem's own axes, a standard error away.

Along every axis, both ways, f must rise by about one half over one unit. Where it does not, a
closer look tells a parameter that runs off from a direction that the data say nothing about, a
saddle from a degenerate maximum, a kink from a wall. Curvature at one point tells none of this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.axes import LONGEST, inverted
from simstudy.likelihood.noise import noise_along, noise_of
from simstudy.likelihood.supports import Support
from simstudy.status import Status

# Where f changes by less over a whole unit, it is level there; one half would be right.
FLAT = 1e-3
# A rise between these needs no closer look: skewed likelihoods rise by 0.1 one way and 5 the other.
LEAST, MOST = 0.05, 10.0
# Fifty units of a logarithm are all there is.
FACTOR = 50.0
SHARES = (1.0, 0.25, 1 / 16, 1 / 64, 1 / 256)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a closer look found.

    Attributes
    ----------
    status : Status
        `ok`, `no_maximum`, `not_identified`, `saddle`, `degenerate` or `not_smooth`.
    direction : (p,) or None
        The direction, on the working scale, in which it is so.
    lower : (p,) or None
        A point where f is lower, from which to search again.
    """

    status: Status
    direction: Array | None = None
    lower: Array | None = None


def clear(up: Array, down: Array, value: Array, reach: Array) -> Array:
    """Tell from the rises `(..., p)` along the axes, both ways, where no closer look is needed.

    `reach` `(...)` is how far an axis goes on the working scale of a bounded parameter: over three
    units, a factor of twenty, nothing is taken for a parabola.
    """
    level = noise_of(value)[..., None]
    middle = (up + down) / 2
    with np.errstate(invalid="ignore"):
        good = (up > level) & (down > level) & (middle > LEAST) & (middle < MOST)
        return good.all(axis=-1) & (reach < 3)


def look_closer(
    f: Callable[[Array], float], x: Array, value: float, axes: Array, bends: Array,
    scale: Array, bounded: Array,
) -> Standing:  # fmt: skip
    """Look along every axis, and name the first thing that is wrong.

    Parameters
    ----------
    f : callable
        From working values `(p,)`; infinite at a wall, nan where theta itself cannot be told from
        the end of its support.
    x : (p,)
    value : float
        f at x.
    axes : (p, m)
        Columns over whose length f should rise by one half.
    bends : (m,)
        Curvature along them: the flattest are looked at first.
    scale : (p,)
        The standard error of every parameter if the others were known.
    bounded : (p,) of bool
        Which parameters have a bounded support, so that working values are logarithms.
    """
    lower, level = Standing(Status.ok), float(noise_of(np.float64(value)))
    furthest = np.fmax(LONGEST * scale, np.where(bounded, FACTOR, 0.0))

    def values(points: Array) -> Array:
        return np.array([[f(point) for point in points[0]]])

    for axis in axes.T[np.argsort(bends)]:

        @functools.cache
        def rise(t: float, axis: Array = axis) -> float:
            """Tell how much higher f is; zero where that is noise: large numbers that cancel."""
            there = x + t * axis
            found = f(there) - value
            if level < abs(found) < np.inf:
                noise = noise_along(values, there[None], t * axis[None], 1e-3)
                return found if abs(found) > 8 * noise[0] else 0.0
            return found

        far = float((furthest / np.maximum(np.abs(axis), 1e-300)).min())
        status, t = _along(rise, level, far)
        if status == Status.ok and t:
            lower = Standing(Status.ok, lower=x + t * axis)
        elif status == Status.degenerate and _curved(f, x, value, axis, axes[:, -len(x) :]):
            return Standing(Status.not_identified, axis)
        elif status != Status.ok:
            return Standing(status, t * axis)
    return lower


def _along(rise: Callable[[float], float], level: float, far: float) -> tuple[Status, float]:
    """Judge one axis: a status and the side it is about; or `ok`, and how far off f is lower."""
    ends = [_end(rise, side) for side in (1.0, -1.0)]
    growth = [4.0, 4.0]
    for _ in range(40):
        if not _flat([rise(end) for end in ends], ends):
            break
        for k in (0, 1):
            further = growth[k] * ends[k]
            if abs(further) <= far and np.isfinite(rise(further)):
                ends[k] = further
            else:
                growth[k] = np.sqrt(growth[k])
    heights = np.array([[rise(end * share) for share in SHARES] for end in ends])
    if _flat(heights.T, ends):
        return Status.not_identified, 1.0
    off = [bool((side <= level).all()) for side in heights]
    falls = [bool((side < -level).any()) for side in heights]
    if all(off) and all(falls):
        return Status.saddle, 1.0
    for k in np.argsort(heights.min(axis=1)):
        if off[k]:
            wall = np.isinf(rise(2 * ends[k])) and (falls[k] or abs(ends[k]) < 1)
            return (Status.not_smooth if wall else Status.no_maximum), ends[k]
        if falls[k]:
            return Status.ok, ends[k] * SHARES[int(np.argmin(heights[k]))]
    shape = _shape(rise, level)
    return shape, float(shape != Status.ok)


def _flat(heights: Any, ends: Sequence[float]) -> bool:
    """Tell whether f changes by next to nothing, of what a parabola would over that distance."""
    return bool((np.abs(heights) < FLAT * np.minimum(1.0, np.square(ends))).all())


def _end(rise: Callable[[float], float], side: float) -> float:
    """Return how far to look one way: one unit, less where f ends before."""
    end = side
    for _ in range(60):
        if np.isfinite(rise(end)):
            break
        end /= 2
    return end


def _shape(rise: Callable[[float], float], level: float) -> Status:
    """Tell a parabola from what is flatter or sharper, where f rises by a hundredth.

    Over half the way a parabola rises by a quarter, a kink by a half, the fourth power by 1/16.
    """

    def middle(t: float) -> float:
        return (rise(t) + rise(-t)) / 2

    t = 1.0
    while t > 1e-30 and not middle(t) < 1e-2:
        t /= 2
    if LEAST < middle(1.0) < MOST or not middle(t / 2) > level:
        return Status.ok
    powers = [
        np.log2(rise(side * h) / max(rise(side * h / 2), level))
        for side in (1.0, -1.0)
        for h in (t, t / 4)
    ]
    if min(powers) > 2.7:
        return Status.degenerate
    return Status.not_smooth if max(powers) < 1.4 else Status.ok


def _curved(f: Callable[[Array], float], x: Array, value: float, axis: Array, axes: Array) -> bool:
    """Tell whether f is level along a curve that leaves x in the direction of an axis.

    From a point where the straight line has risen by a hundredth, steps along the other axes lead
    back down to the curve, and not to x.
    """
    share = inverted(axes) @ axis
    others = [other for other, part in zip(axes.T, share, strict=True) if abs(part) < 0.7]
    t = 1.0
    while t > 1e-30 and not f(x + t * axis) - value < 1e-2:
        t /= 2
    here, height = x + t * axis, f(x + t * axis)
    for _ in range(20):
        for other in others:
            up, down = f(here + 1e-2 * other), f(here - 1e-2 * other)
            bend = (up + down - 2 * height) / 1e-4
            if np.isfinite(bend) and bend > 0:
                there = here - (up - down) / (2e-2 * bend) * other
                lower = f(there)
                if lower < height:
                    here, height = there, lower
    return bool(height - value < 1e-6)


def words(
    status: Status, direction: Array, names: Sequence[str], supports: Sequence[Support],
    scale: Array,
) -> str:  # fmt: skip
    """Say which parameters a direction of the working scale is about.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.status import Status
    >>> from simstudy.likelihood.standing import words
    >>> from simstudy.likelihood.supports import POSITIVE, REAL
    >>> names, supports, one = ("b", "s"), (REAL, POSITIVE), np.ones(2)
    >>> words(Status.no_maximum, np.array([0.0, -9.0]), names, supports, one)
    's -> 0'
    >>> words(Status.not_identified, np.array([3.0, -3.0]), names, supports, one)
    'b - log(s)'
    """
    share = np.abs(direction) / scale
    kept = [j for j in range(len(share)) if share[j] > 0.05 * share.max()]
    if status == Status.no_maximum:
        ends = [supports[j].upper if direction[j] > 0 else supports[j].lower for j in kept]
        told = [f"{end:g}".replace("inf", "infinity") for end in ends]
        return ", ".join(f"{names[j]} -> {end}" for j, end in zip(kept, told, strict=True))
    largest = max(np.abs(direction[kept]), default=1.0)
    text = ""
    for j in kept:
        weight = direction[j] / largest * np.sign(direction[kept[0]])
        size = "" if abs(abs(weight) - 1) < 0.05 else f"{abs(weight):.2g} "
        sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
        text += sign + size + supports[j].scale.format(names[j])
    return text
