"""The inverse Gaussian distribution with mean m and shape l.

log f(y) = (log l - log(2 pi) - 3 log y) / 2 - l (y - m)**2 / (2 m**2 y). Fisher information per
observation diag(l / m**3, 1 / (2 l**2)) (Tweedie 1957, Annals of Mathematical Statistics 28:362).
Where the data come from something else, m is their mean, and 1 / l that of 1 / y - 1 / m.
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, mu: float, shape: float) -> Array:
    """Draw n independent inverse Gaussian values."""
    return rng.wald(mu, shape, size=n)


def truth(*, mu: float, shape: float, **_: float) -> dict[str, float]:
    """Return the mean and the shape that were drawn from."""
    return {"mu": mu, "shape": shape}


def draw_lognormal(rng: np.random.Generator, *, n: int, mu: float, spread: float) -> Array:
    """Draw n lognormal values of mean mu, whose logarithms have the standard deviation spread."""
    return rng.lognormal(np.log(mu) - spread**2 / 2, spread, size=n)


def pseudo_truth(*, mu: float, spread: float, **_: float) -> dict[str, float]:
    """Return mean and shape that are nearest to a lognormal distribution (White 1982)."""
    return {"mu": mu, "shape": float(mu / np.expm1(spread**2))}


def start(data: Array) -> Array:
    """Return the median as mean and as shape."""
    return np.full(2, np.median(data))


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mu=theta[0], shape=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    mu, shape = theta[0], theta[1]
    distance = shape * (data - mu) ** 2 / (mu**2 * data)
    return (log(shape) - np.log(2 * np.pi) - 3 * log(data) - distance) / 2


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    mu, shape = theta[0], theta[1]
    distance = data - mu
    return stack(
        [shape * distance / mu**3, (1 / shape - distance**2 / (mu**2 * data)) / 2],
    )


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    mu, shape = theta[0], theta[1]
    n, total = len(data), data.sum()
    cross = (total - n * mu) / mu**3
    bend = shape * (2 * n * mu - 3 * total) / mu**4
    return np.array([[bend, cross], [cross, -n / (2 * shape**2)]])


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    return len(data) * np.diag([theta[1] / theta[0] ** 3, 1 / (2 * theta[1] ** 2)])


MODEL = Model(
    "inverse-gaussian",
    parameters={"mu": "positive", "shape": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("inverse-gaussian", draw=draw, truth=truth)
WRONG_LOGNORMAL = Mechanism(
    "inverse-gaussian-wrong-lognormal", draw=draw_lognormal, truth=pseudo_truth, wrong=True
)
