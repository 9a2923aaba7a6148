"""Bernoulli outcomes 0 and 1 with success probability p, or its logit.

log f(y) = y log p + (1 - y) log(1 - p). Fisher information per outcome: 1 / (p (1 - p)) for p,
p (1 - p) for the logit (Lehmann & Casella 1998, section 2.5). Where all outcomes are alike there is
no maximum inside the support.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from simstudy.arrays import Array, expit, log, log1p, log_expit, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, p: float) -> Array:
    """Draw n independent outcomes."""
    return (rng.uniform(size=n) < p).astype(float)


def truth(*, p: float, **_: float) -> dict[str, float]:
    """Return the probability that was drawn from."""
    return {"p": p}


def truth_logit(*, p: float, **_: float) -> dict[str, float]:
    """Return the logit of the probability that was drawn from."""
    return {"logit": float(logit(p))}


def start(data: Array) -> Array:
    """Return a half."""
    return np.array([0.5])


def start_logit(data: Array) -> Array:
    """Return zero."""
    return np.zeros(1)


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), p=theta[0])


def redraw_logit(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), p=expit(theta[0]))


def loglik(theta: Array, data: Array) -> Array:
    """Log-probability of every outcome, `(n,)`, for p."""
    return data * log(theta[0]) + (1 - data) * log1p(-theta[0])


def loglik_logit(theta: Array, data: Array) -> Array:
    """Log-probability of every outcome, `(n,)`, for the logit."""
    return data * log_expit(theta[0]) + (1 - data) * log_expit(-theta[0])


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-probability, `(n, 1)`, for p."""
    return stack([data / theta[0] - (1 - data) / (1 - theta[0])])


def score_logit(theta: Array, data: Array) -> Array:
    """Gradient of every log-probability, `(n, 1)`, for the logit."""
    return stack([data * expit(-theta[0]) - (1 - data) * expit(theta[0])])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-probability, `(1, 1)`, for p."""
    successes = data.sum()
    failures = len(data) - successes
    return np.array([[-successes / theta[0] ** 2 - failures / (1 - theta[0]) ** 2]])


def hessian_logit(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-probability, `(1, 1)`, for the logit."""
    return np.array([[-len(data) * expit(theta[0]) * expit(-theta[0])]])


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(1, 1)`, for p."""
    return np.array([[len(data) / (theta[0] * (1 - theta[0]))]])


def expected_logit(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(1, 1)`, for the logit: the observed one."""
    return -hessian_logit(theta, data)


MODEL = Model(
    "binomial",
    parameters={"p": "unit"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
LOGIT_MODEL = Model(
    "binomial-logit",
    parameters={"logit": "real"},
    start=start_logit,
    loglik=loglik_logit,
    score=score_logit,
    hessian=hessian_logit,
    expected=expected_logit,
    draw=redraw_logit,
)
MECHANISM = Mechanism("binomial", draw=draw, truth=truth)
LOGIT_MECHANISM = Mechanism("binomial-logit", draw=draw, truth=truth_logit)
