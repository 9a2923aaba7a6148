"""The gamma distribution with shape a and rate b.

log f(y) = a log b - log Gamma(a) + (a - 1) log y - b y. Its observed information does not depend on
the data: n [[psi'(a), -1/b], [-1/b, a/b**2]] (Johnson, Kotz & Balakrishnan 1994, 17.7).
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, digamma, gammaln, log, stack, trigamma
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, shape: float, rate: float) -> Array:
    """Draw n independent gamma values."""
    return rng.gamma(shape, 1 / rate, size=n)


def truth(*, shape: float, rate: float, **_: float) -> dict[str, float]:
    """Return the shape and the rate that were drawn from."""
    return {"shape": shape, "rate": rate}


def start(data: Array) -> Array:
    """Return (1, 1), where a user starts who knows nothing."""
    return np.ones(2)


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), shape=theta[0], rate=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    shape, rate = theta[0], theta[1]
    return shape * log(rate) - gammaln(shape) + (shape - 1) * log(data) - rate * data


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    shape, rate = theta[0], theta[1]
    return stack([log(rate) - digamma(shape) + log(data), shape / rate - data])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    shape, rate = theta[0], theta[1]
    n = len(data)
    return n * np.array([[-trigamma(shape), 1 / rate], [1 / rate, -shape / rate**2]])


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`: the observed one."""
    return -hessian(theta, data)


MODEL = Model(
    "gamma",
    parameters={"shape": "positive", "rate": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("gamma", draw=draw, truth=truth)
