"""The normal distribution with mean mu, and standard deviation sigma or variance.

log f(y) = -log(2 pi) / 2 - log sigma - z**2 / 2, z = (y - mu) / sigma. Fisher information per
observation: diag(1, 2) / sigma**2 for (mu, sigma), diag(1 / v, 1 / (2 v**2)) for (mu, variance v)
(Lehmann & Casella 1998, section 2.5).
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model

HALF_LOG_2PI = np.log(2 * np.pi) / 2


def draw(rng: np.random.Generator, *, n: int, mu: float, sigma: float) -> Array:
    """Draw n independent normal values."""
    return rng.normal(mu, sigma, size=n)


def truth(*, mu: float, sigma: float, **_: float) -> dict[str, float]:
    """Return the mean and the standard deviation that were drawn from."""
    return {"mu": mu, "sigma": sigma}


def truth_variance(*, mu: float, sigma: float, **_: float) -> dict[str, float]:
    """Return the mean and the variance that were drawn from."""
    return {"mu": mu, "variance": sigma**2}


def draw_contaminated(
    rng: np.random.Generator, *, n: int, mu: float, sigma: float, share: float, spread: float
) -> Array:
    """Draw n values, of which a share has a standard deviation `spread` times as large."""
    wide = rng.uniform(size=n) < share
    return mu + sigma * np.where(wide, spread, 1.0) * rng.standard_normal(n)


def pseudo_truth(
    *, mu: float, sigma: float, share: float, spread: float, **_: float
) -> dict[str, float]:
    """Return the mean and the standard deviation of the mixture (White 1982)."""
    return {"mu": mu, "sigma": sigma * float(np.sqrt(1 - share + share * spread**2))}


def start(data: Array) -> Array:
    """Return the median and the mean distance from it (1 where all values are equal)."""
    median = np.median(data)
    return np.array([median, np.mean(np.abs(data - median)) or 1.0])


def start_variance(data: Array) -> Array:
    """Return the same with the squared distance."""
    return start(data) ** [1, 2]


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mu=theta[0], sigma=theta[1])


def redraw_variance(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), mu=theta[0], sigma=np.sqrt(theta[1]))


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`, for (mu, sigma)."""
    mu, sigma = theta[0], theta[1]
    return -HALF_LOG_2PI - log(sigma) - ((data - mu) / sigma) ** 2 / 2


def loglik_variance(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`, for (mu, variance)."""
    mu, variance = theta[0], theta[1]
    return -HALF_LOG_2PI - log(variance) / 2 - (data - mu) ** 2 / (2 * variance)


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`, for (mu, sigma)."""
    mu, sigma = theta[0], theta[1]
    z = (data - mu) / sigma
    return stack([z / sigma, (z**2 - 1) / sigma])


def score_variance(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`, for (mu, variance)."""
    mu, variance = theta[0], theta[1]
    distance = data - mu
    return stack([distance / variance, (distance**2 / variance - 1) / (2 * variance)])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`, for (mu, sigma)."""
    mu, sigma = theta[0], theta[1]
    n, z = len(data), (data - mu) / sigma
    cross = -2 * z.sum()
    return np.array([[-n, cross], [cross, n - 3 * (z**2).sum()]]) / sigma**2


def hessian_variance(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`, for (mu, variance)."""
    mu, variance = theta[0], theta[1]
    n, distance = len(data), data - mu
    cross = -distance.sum() / variance
    bend = n / 2 - (distance**2).sum() / variance
    return np.array([[-n, cross], [cross, bend / variance]]) / variance


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`, for (mu, sigma)."""
    return len(data) / theta[1] ** 2 * np.diag([1.0, 2.0])


def expected_variance(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`, for (mu, variance)."""
    return len(data) * np.diag([1 / theta[1], 1 / (2 * theta[1] ** 2)])


MODEL = Model(
    "normal",
    parameters={"mu": "real", "sigma": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
VARIANCE_MODEL = Model(
    "normal-variance",
    parameters={"mu": "real", "variance": "positive"},
    start=start_variance,
    loglik=loglik_variance,
    score=score_variance,
    hessian=hessian_variance,
    expected=expected_variance,
    draw=redraw_variance,
)
MECHANISM = Mechanism("normal", draw=draw, truth=truth)
VARIANCE_MECHANISM = Mechanism("normal-variance", draw=draw, truth=truth_variance)
WRONG_CONTAMINATED = Mechanism(
    "normal-wrong-contaminated", draw=draw_contaminated, truth=pseudo_truth, wrong=True
)
