"""Refits under weights in a program: what `simstudy.likelihood.refits` does one after another."""

from __future__ import annotations

import functools
import math
from operator import itemgetter

import numpy as np

from simstudy.arrays import Array, observations
from simstudy.engines import newton, programs
from simstudy.engines.fits import verdict
from simstudy.engines.stacking import Member, stacked
from simstudy.likelihood.objective import Objective
from simstudy.likelihood.refits import refit, weighted
from simstudy.likelihood.supports import from_working, to_working

MOST_LANES = 256


def refits(target: Objective, theta: Array, weights: Array) -> Array:
    """Fit one data set again under every row of weights, as `simstudy.likelihood.refits.refits`.

    What the program comes to no verdict on is fitted as the loop engine does.
    """
    model, n, count = target.model, observations(target.data), len(weights)
    length = programs.bucket(n)
    most = min(MOST_LANES, programs.width_of(length, len(model.names)))
    width = 8 * math.ceil(count / math.ceil(count / most) / 8)
    data = stacked(model.supports, length, [Member(0, theta, target.data, n)])[1]
    start = to_working(theta, model.supports)
    found = programs.in_lanes(
        functools.partial(
            programs.refit_program(model.loglik, model.supports),
            start,
            programs.load().tree_util.tree_map(itemgetter(0), data),
        ),
        lambda rows: (_padded(weights[rows], length),),
        count,
        width,
    )
    starts = np.broadcast_to(start, found["working"].shape)
    state, _ = verdict(found, model.supports, starts, lambda r: weighted(target, weights[r]))
    thetas = from_working(found["working"], model.supports)
    thetas[state == newton.RISING] = np.nan
    for r in np.flatnonzero(state == newton.LOST):
        thetas[r] = refit(target, theta, weights[r])
    return thetas


def _padded(weights: Array, length: int) -> Array:
    """Give observations that fill up to a length no weight."""
    padded = np.zeros((len(weights), length))
    padded[:, : weights.shape[1]] = weights
    return padded
