"""Probit regression: P(y = 1) = Phi(eta), eta = x' beta, y in {0, 1}.

log f(y) = log Phi(s eta) with s = 2 y - 1. With the inverse Mills ratio m(z) = phi(z) / Phi(z):
score s m(s eta) x; observed information X' W X with W = m(z) (m(z) + z) at z = s eta; expected with
W = phi**2 / (Phi (1 - Phi)) = m(eta) m(-eta) (Greene 2018, Econometric Analysis, chapter 17). Where
a hyperplane separates the outcomes there is no maximum (Albert & Anderson 1984, Biometrika 71:1).
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, Data, erfcx, log_ndtr
from simstudy.models import regression


def outcome(rng: np.random.Generator, eta: Array) -> Array:
    """Draw outcomes 0 and 1 for every linear predictor."""
    return (rng.standard_normal(len(eta)) < eta).astype(float)


def mills(z: Array) -> Array:
    """Inverse Mills ratio phi(z) / Phi(z), elementwise, exact in both tails."""
    return np.sqrt(2 / np.pi) / erfcx(-z / np.sqrt(2))


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every outcome, `(n,)`."""
    return log_ndtr((2 * data["y"] - 1) * (data["x"] @ theta))


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-probability, `(n, p)`."""
    sign = 2 * data["y"] - 1
    residual = sign * mills(sign * (data["x"] @ theta))
    return residual[:, None] * data["x"]


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-probability, `(p, p)`."""
    z = (2 * data["y"] - 1) * (data["x"] @ theta)
    ratio = mills(z)
    return -regression.gram(data["x"], ratio * (ratio + z))


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p, p)`."""
    eta = data["x"] @ theta
    return regression.gram(data["x"], mills(eta) * mills(-eta))


FAMILY = regression.Family(
    "probit",
    outcome=outcome,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
)
model, mechanism = FAMILY.model, FAMILY.mechanism
