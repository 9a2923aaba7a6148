"""Whether a bounded parameter runs to an end of its support, beyond where curvature tells it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.noise import noise_along
from simstudy.likelihood.standing import FACTOR, Standing
from simstudy.status import Status

# Over these units of a logarithm f rises by more than LEAST_GAIN, or the parameter runs off. An end
# 4.5e-4 standard errors away is told from a maximum, and rounding is far below it.
UNITS = (1.0, 2.0)
LEAST_GAIN = 1e-7
# Where f rises by so much over four units both ways, and the way was no longer than a factor of
# e**FAR, no closer look is needed.
PLAIN, FAR = 5.0, 10.0


def running_off(
    f: Callable[[Array], float], x: Array, value: float, bounded: Array, outset: Array
) -> Standing | None:
    """Look whether a bounded parameter runs to an end of its support; None where none does.

    Its logarithm has no curvature to go by: near the end f = c + a exp(-w), and where the search
    went on to where rounding drowns f, whatever seems to bend there is noise. So f is looked at one
    and two units away, the other parameters held: at a maximum it rises both ways. Level both ways
    without noise is no end. On the way back to the outset `(p,)` a search may have passed a lower
    point.
    """

    def values(points: Array) -> Array:
        return np.array([[f(point) for point in points[0]]])

    def noise(there: Array, unit: Array) -> float:
        return 16 * float(noise_along(values, there[None], unit[None], 1e-3)[0])

    def off(unit: Array) -> bool:
        """Tell whether f rises nowhere along a logarithm, beyond its noise."""
        for units in UNITS:
            there = x + units * unit
            rise = f(there) - value
            if np.isnan(rise):
                break
            if not -1.0 < rise < LEAST_GAIN and not abs(rise) < max(here, noise(there, unit)):
                return False
        return True

    found: list[tuple[float, int, float]] = []
    for j in np.flatnonzero(bounded):
        unit = np.eye(len(x))[j]
        near = abs(x[j] - outset[j]) < FAR
        if near and all(PLAIN < f(x + t * unit) - value < np.inf for t in (4.0, -4.0)):
            continue
        here = noise(x, unit)
        up, down = (True, True) if here > 1 else (off(unit), off(-unit))
        if up != down or (up and here > LEAST_GAIN):
            side = float(up) - float(down) or float(np.sign(x[j]))
            found.append((abs(float(x[j])), int(j), side))
    if not found:
        return None
    _, last, side = max(found)
    unit = np.eye(len(x))[last]
    back = outset[last] - x[last]
    way = [x + t * unit for t in np.linspace(back, 0.0, 2 + int(min(abs(back), FACTOR)))]
    heights = np.array([f(point) for point in way])
    for k in np.flatnonzero(np.diff(heights) > LEAST_GAIN):
        if k and heights[k + 1] - heights[k] > max(noise(way[k], unit), noise(way[k + 1], unit)):
            return Standing(Status.ok, lower=way[k])
        break
    return Standing(Status.no_maximum, side * unit)
