"""Newton steps from where an optimizer ended to the maximum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simstudy.likelihood.objective import Objective
from simstudy.likelihood.optimizers import Outset
from simstudy.likelihood.points import FAILED, FINE, POLISHED, Point, advance, escape, look
from simstudy.likelihood.verdict import closer_at
from simstudy.status import Status

# A polish that ends above this has stalled: its steps are too long for the curvature, or too short.
STALLED = 1e-13


def polish(target: Objective, point: Point, outset: Outset, most: int = 100) -> tuple[Point, int]:
    """Take damped Newton steps to the maximum.

    At a maximum Newton's method squares the EDM. Where a parameter runs off to infinity it only
    shrinks by a constant factor (1/e for a logit), step after step: then f is looked at a standard
    error away, and where it falls there the way is not gone to its end.
    """
    linear, count = 0, 0
    for count in range(most):
        if not point.edm > POLISHED and point.definite:
            break
        new = advance(target, point) if point.edm > POLISHED else escape(target, point)
        ratio = np.inf if new is None else new.edm / max(point.edm, POLISHED)
        if new is None or (ratio >= 0.8 and point.definite and point.edm < FINE):
            if point.axes is None or point.refined or not point.edm > STALLED:
                break
            new = look(target, point.working, point.value, replace(point, refined=True))
        linear = linear + 1 if 0.05 < ratio < 0.8 and new.edm < FAILED else 0
        point = new
        if linear == 5 and point.edm > 1e3 * POLISHED:
            count, linear = count + 1, 0
            if closer_at(target, point, outset).status == Status.no_maximum:
                break
    return (point if point.fresh else look(target, point.working, point.value, point)), count
