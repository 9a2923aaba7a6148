"""The logistic distribution with location m and scale s.

With z = (y - m) / s: log f = -z - log s - 2 log(1 + exp(-z)). Fisher information per observation
diag(1 / 3, (3 + pi**2) / 9) / s**2 (Johnson, Kotz & Balakrishnan 1995, chapter 23).
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.optimize import brentq

from simstudy.arrays import Array, exp, log, softplus, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, mu: float, sigma: float) -> Array:
    """Draw n independent logistic values."""
    return rng.logistic(mu, sigma, size=n)


def truth(*, mu: float, sigma: float, **_: float) -> dict[str, float]:
    """Return the location and the scale that were drawn from."""
    return {"mu": mu, "sigma": sigma}


def draw_normal(rng: np.random.Generator, *, n: int, mu: float, spread: float) -> Array:
    """Draw n normal values, whose tails are lighter than a logistic distribution's."""
    return rng.normal(mu, spread, size=n)


@functools.cache
def _scale_of_a_normal() -> float:
    """Scale nearest to the standard normal: where the mean of z tanh(z / 2) is 1, z = y / s."""
    y = np.arange(-12, 12.001, 0.01)
    mass = 0.01 * np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi)
    return float(brentq(lambda s: mass @ (y / s * np.tanh(y / s / 2)) - 1, 0.2, 2, xtol=1e-15))


def pseudo_truth(*, mu: float, spread: float, **_: float) -> dict[str, float]:
    """Return location and scale that are nearest to a normal distribution (White 1982)."""
    return {"mu": mu, "sigma": spread * _scale_of_a_normal()}


def start(data: Array) -> Array:
    """Return the median, and half the distance of the quartiles (1 where that is zero)."""
    low, middle, high = np.quantile(data, [0.25, 0.5, 0.75])
    return np.array([middle, (high - low) / 2 or 1.0])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mu=theta[0], sigma=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    z = (data - theta[0]) / theta[1]
    return -z - log(theta[1]) - 2 * softplus(-z)


def _bend(z: Array) -> tuple[Array, Array]:
    """Return tanh(z / 2) and its derivative (1 - tanh(z / 2)**2) / 2."""
    small = exp(-abs(z))
    slope = (1 - small) / (1 + small)
    return np.sign(z) * slope, 2 * small / (1 + small) ** 2


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    sigma = theta[1]
    z = (data - theta[0]) / sigma
    slope, _ = _bend(z)
    return stack([slope / sigma, (z * slope - 1) / sigma])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    sigma = theta[1]
    z = (data - theta[0]) / sigma
    slope, bend = _bend(z)
    cross = -(slope + z * bend).sum()
    last = (1 - 2 * z * slope - z**2 * bend).sum()
    return np.array([[-bend.sum(), cross], [cross, last]]) / sigma**2


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    return len(data) / theta[1] ** 2 * np.diag([1 / 3, (3 + np.pi**2) / 9])


MODEL = Model(
    "logistic",
    parameters={"mu": "real", "sigma": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("logistic", draw=draw, truth=truth)
WRONG_NORMAL = Mechanism("logistic-wrong-normal", draw=draw_normal, truth=pseudo_truth, wrong=True)
