"""The lognormal distribution: log y is normal with mean m and standard deviation s.

With z = (log y - m) / s: log f = -log y - log s - log(2 pi) / 2 - z**2 / 2. Fisher information per
observation diag(1, 2) / s**2 (Johnson, Kotz & Balakrishnan 1994, chapter 14). Where the data come
from something else, m and s**2 are the mean and the variance of log y there (White 1982).
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, polygamma

from simstudy.arrays import Array, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, mu: float, sigma: float) -> Array:
    """Draw n independent lognormal values."""
    return rng.lognormal(mu, sigma, size=n)


def truth(*, mu: float, sigma: float, **_: float) -> dict[str, float]:
    """Return the mean and the standard deviation of the logarithms that were drawn from."""
    return {"mu": mu, "sigma": sigma}


def draw_gamma(rng: np.random.Generator, *, n: int, shape: float, rate: float) -> Array:
    """Draw n gamma values, whose logarithms are not normal."""
    return rng.gamma(shape, 1 / rate, size=n)


def pseudo_truth(*, shape: float, rate: float, **_: float) -> dict[str, float]:
    """Return mean and standard deviation of the logarithm of a gamma value (White 1982)."""
    return {
        "mu": float(digamma(shape) - np.log(rate)),
        "sigma": float(np.sqrt(polygamma(1, shape))),
    }


def start(data: Array) -> Array:
    """Return the median of the logarithms, and 1."""
    return np.array([np.median(np.log(data)), 1.0])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mu=theta[0], sigma=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    logs = log(data)
    z = (logs - theta[0]) / theta[1]
    return -logs - log(theta[1]) - np.log(2 * np.pi) / 2 - z**2 / 2


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    sigma = theta[1]
    z = (log(data) - theta[0]) / sigma
    return stack([z / sigma, (z**2 - 1) / sigma])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    mu, sigma = theta[0], theta[1]
    n, z = len(data), (np.log(data) - mu) / sigma
    cross = -2 * z.sum()
    return np.array([[-n, cross], [cross, n - 3 * (z**2).sum()]]) / sigma**2


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    return len(data) / theta[1] ** 2 * np.diag([1.0, 2.0])


MODEL = Model(
    "lognormal",
    parameters={"mu": "real", "sigma": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("lognormal", draw=draw, truth=truth)
WRONG_GAMMA = Mechanism("lognormal-wrong-gamma", draw=draw_gamma, truth=pseudo_truth, wrong=True)
