"""Poisson counts with a mean, or its logarithm; n = 1 is one total count.

log f(y) = y log m - m - log(y!). Fisher information per count: 1 / m for the mean m, m for log m
(Lehmann & Casella 1998, section 2.5). Where every count is zero there is no maximum inside the
support.
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, exp, gammaln, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, mean: float) -> Array:
    """Draw n independent counts."""
    return rng.poisson(mean, size=n).astype(float)


def truth(*, mean: float, **_: float) -> dict[str, float]:
    """Return the mean that was drawn from."""
    return {"mean": mean}


def truth_log(*, mean: float, **_: float) -> dict[str, float]:
    """Return the logarithm of the mean that was drawn from."""
    return {"log_mean": float(np.log(mean))}


def draw_overdispersed(
    rng: np.random.Generator, *, n: int, mean: float, dispersion: float
) -> Array:
    """Draw n negative binomial counts, variance mean + dispersion mean**2."""
    return rng.poisson(rng.gamma(1 / dispersion, dispersion * mean, size=n)).astype(float)


def start(data: Array) -> Array:
    """Return one."""
    return np.ones(1)


def start_log(data: Array) -> Array:
    """Return zero."""
    return np.zeros(1)


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mean=theta[0])


def redraw_log(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mean=np.exp(theta[0]))


def loglik(theta: Array, data: Array) -> Array:
    """Log-probability of every count, `(n,)`, for the mean."""
    return data * log(theta[0]) - theta[0] - gammaln(data + 1)


def loglik_log(theta: Array, data: Array) -> Array:
    """Log-probability of every count, `(n,)`, for the logarithm of the mean."""
    return data * theta[0] - exp(theta[0]) - gammaln(data + 1)


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-probability, `(n, 1)`, for the mean."""
    return stack([data / theta[0] - 1])


def score_log(theta: Array, data: Array) -> Array:
    """Gradient of every log-probability, `(n, 1)`, for the logarithm of the mean."""
    return stack([data - exp(theta[0])])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-probability, `(1, 1)`, for the mean."""
    return np.array([[-data.sum() / theta[0] ** 2]])


def hessian_log(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-probability, `(1, 1)`, for the logarithm of the mean."""
    return np.array([[-len(data) * exp(theta[0])]])


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(1, 1)`, for the mean."""
    return np.array([[len(data) / theta[0]]])


def expected_log(theta: Array, data: Array) -> Array:
    """Fisher information, `(1, 1)`, for the logarithm of the mean: the observed one."""
    return -hessian_log(theta, data)


MODEL = Model(
    "poisson",
    parameters={"mean": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
LOG_MODEL = Model(
    "poisson-log",
    parameters={"log_mean": "real"},
    start=start_log,
    loglik=loglik_log,
    score=score_log,
    hessian=hessian_log,
    expected=expected_log,
    draw=redraw_log,
)
MECHANISM = Mechanism("poisson", draw=draw, truth=truth)
LOG_MECHANISM = Mechanism("poisson-log", draw=draw, truth=truth_log)
WRONG_NEGATIVE_BINOMIAL = Mechanism(
    "poisson-wrong-negative-binomial", draw=draw_overdispersed, truth=truth, wrong=True
)
