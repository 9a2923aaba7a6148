"""Refits of resampled observations in a program: weights instead of copies."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.engines import newton, programs
from simstudy.engines.fits import verdict
from simstudy.engines.stacking import Group, stacked
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Draws
from simstudy.likelihood.objective import Objective
from simstudy.likelihood.supports import from_working, to_working
from simstudy.methods.protocol import Fitted, Source
from simstudy.methods.resampling import Refits, resampled


def _resampled(fitted: Fitted, resamples: Array, r: int) -> Objective:
    return resampled(fitted, resamples[r])


def _weights(counts: Array, rows: Array) -> tuple[Array]:
    return (counts[rows],)


def refit(
    estimator: MaximumLikelihood,
    draws: Draws,
    group: Group,
    fits: Mapping[int, Fitted],
    sourced: Mapping[int, dict[Source, Any]],
) -> None:
    """Run the refits of resampled observations, weights instead of copies, through a program."""
    model, length = estimator.model, group.length
    program = programs.refit_program(model.loglik, model.supports)
    most = min(256, programs.width_of(length, len(model.names)))
    for source in {s for method in estimator.methods for s in method.sources}:
        if not isinstance(source, Refits):
            continue
        users = [m for m, method in enumerate(estimator.methods) if source in method.sources]
        for member in group.members:
            b = member.row
            if b not in fits or not draws.asked[b, users].any():
                continue
            fitted = fits[b]
            resamples = source.resamples(fitted)
            count = len(resamples)
            width = 8 * math.ceil(count / math.ceil(count / most) / 8)
            flat = (resamples + length * np.arange(count)[:, None]).ravel()
            counts = np.bincount(flat, minlength=count * length).reshape(count, -1).astype(float)
            start = to_working(fitted.fit.theta, model.supports)
            data = stacked(model.supports, length, [member])[1]
            own = programs.load().tree_util.tree_map(itemgetter(0), data)
            call = functools.partial(program, start, own)
            found = programs.in_lanes(call, functools.partial(_weights, counts), count, width)
            thetas = from_working(found["working"], model.supports)
            starts = np.broadcast_to(start, found["working"].shape)
            again = functools.partial(_resampled, fitted, resamples)
            state, _ = verdict(found, model.supports, starts, again)
            thetas[state == newton.RISING] = np.nan
            settled = np.isin(state, (newton.CONVERGED, newton.RISING))
            for r in np.flatnonzero(~settled):
                thetas[r] = source.refit(fitted, resamples[r])
            sourced[b][source] = thetas
