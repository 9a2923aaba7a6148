"""Whether a log-likelihood is curved as one must be at the truth, or is the negative one."""

from __future__ import annotations

import contextlib

import numpy as np
from scipy.special import chdtri

from simstudy.arrays import Array
from simstudy.design.dependent_terms import truth_or_start
from simstudy.design.drawing import draw
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.likelihood.derivatives import rise_hessian, score_differences
from simstudy.likelihood.objective import Objective, objective

GLANCE, LOOK = 3, 20
"""Data sets by which a Hessian's sign is settled, or, where it is the wrong one, confirmed."""

NEWTON = 8
"""Newton's steps towards parameters of which no truth is known."""


def check_sign(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> bool:
    """Tell whether a log-likelihood is curved as one must be; refuse one upside down.

    At the truth of a negative log-likelihood the mean score is zero and the mean Hessian positive
    definite: a minimum. A wrong truth has the second, at most. Parameters without a truth are where
    Newton's steps end, which go to a minimum as to a maximum.
    """
    model = estimator.model
    if not set(model.names) & set(scenario.truth):
        return False
    free = np.array([name not in scenario.truth for name in model.names])
    scores, curvatures = [], []
    for replicate in range(LOOK):
        with contextlib.suppress(Exception):
            target = objective(model, draw(study, scenario, replicate))
            start = np.asarray(model.start(target.data), dtype=float)
            theta = truth_or_start(estimator, scenario, start)
            slope, curvature = _completed(target, theta, free)
            scores.append(slope)
            curvatures.append(curvature)
        if len(scores) in (GLANCE, LOOK):
            mean = np.mean(curvatures, axis=0)
            if not np.isfinite(mean).all():
                return False
            size = np.sqrt(np.abs(np.diagonal(mean)))
            values = np.linalg.eigvalsh(mean / np.where(size > 0, np.outer(size, size), 1))
            if values[-1] >= 0:
                return bool(values[0] > 0)
    if len(scores) < LOOK:
        return False
    slope = np.mean(scores, axis=0)
    distance = LOOK * slope @ np.linalg.solve(-mean, slope)
    # Twice: the scores of -2 log L vary twice as much as its curvature says.
    if distance < 2 * chdtri(len(slope), 1e-6):
        raise StudyError(
            f"scenario {scenario.key!r}, model {model.name!r}: this looks like the negative "
            "log-likelihood: its mean Hessian at the truth is positive definite, its mean slope "
            "zero, so that the truth is where it is lowest; return the log-likelihood"
        )
    return False


def _completed(target: Objective, theta: Array, free: Array) -> tuple[Array, Array]:
    """Return slope and curvature where the slope along the free parameters is about zero."""
    left = NEWTON if free.any() else 0
    while True:
        each = target.score(theta, target.data) if target.score else None
        slope = (score_differences(target, theta) if each is None else np.asarray(each)).sum(0)
        exact = target.hessian is not None
        curvature = target.curvature(theta) if exact else rise_hessian(target, theta).matrix
        if not left:
            return slope, curvature
        left -= 1
        theta = theta.copy()
        theta[free] += np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
