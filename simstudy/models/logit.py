"""Logistic regression: P(y = 1) = 1 / (1 + exp(-eta)), eta = x' beta, y in {0, 1}.

log f(y) = -log(1 + exp(-s eta)) with s = 2 y - 1. With p = P(y = 1): score (y - p) x, information
X' W X with W = p (1 - p), observed and expected alike (McCullagh & Nelder 1989, section 4.4). Where
a hyperplane separates the outcomes there is no maximum (Albert & Anderson 1984, Biometrika 71:1).
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, Data, expit, log_expit
from simstudy.models import regression


def outcome(rng: np.random.Generator, eta: Array) -> Array:
    """Draw outcomes 0 and 1 for every linear predictor."""
    return (rng.uniform(size=len(eta)) < expit(eta)).astype(float)


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every outcome, `(n,)`."""
    return log_expit((2 * data["y"] - 1) * (data["x"] @ theta))


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-probability, `(n, p)`."""
    sign = 2 * data["y"] - 1
    residual = sign * expit(-sign * (data["x"] @ theta))
    return residual[:, None] * data["x"]


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-probability, `(p, p)`."""
    eta = data["x"] @ theta
    return -regression.gram(data["x"], expit(eta) * expit(-eta))


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p, p)`: the observed one."""
    return -hessian(theta, data)


FAMILY = regression.Family(
    "logit",
    outcome=outcome,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
)
model, mechanism = FAMILY.model, FAMILY.mechanism


MODEL = model(10)
MECHANISM = mechanism(
    regression.autoregressive(10, 0.5),
    {name: 0.5 * (-1) ** j for j, name in enumerate(MODEL.names)},
)
