"""The zero-inflated Poisson distribution: zero with chance p, else a Poisson count of mean m.

With P0 = p + (1 - p) exp(-m): log f(0) = log P0, and log f(y) = log(1 - p) - m + y log m - log(y!)
for y > 0 (Lambert 1992, Technometrics 34:1). Where the data come from something else, p and m are
those of equal mean and equal chance of a zero. No zeros, or no more than a Poisson distribution
has, leave no maximum inside the support.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from simstudy.arrays import Array, exp, expm1, gammaln, log, stack, where
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, zero: float, mean: float) -> Array:
    """Draw n counts."""
    return np.where(rng.random(n) < zero, 0.0, rng.poisson(mean, size=n))


def truth(*, zero: float, mean: float, **_: float) -> dict[str, float]:
    """Return the chance of a sure zero and the mean of the counts that were drawn from."""
    return {"zero": zero, "mean": mean}


def draw_negative_binomial(
    rng: np.random.Generator, *, n: int, zero: float, mean: float, dispersion: float
) -> Array:
    """Draw n counts that vary more than Poisson counts do, beside the sure zeros."""
    counts = rng.negative_binomial(1 / dispersion, 1 / (1 + dispersion * mean), size=n)
    return np.where(rng.random(n) < zero, 0.0, counts)


def pseudo_truth(*, zero: float, mean: float, dispersion: float, **_: float) -> dict[str, float]:
    """Return the parameters of equal mean and equal chance of a zero (White 1982)."""
    none = zero + (1 - zero) * (1 + dispersion * mean) ** (-1 / dispersion)
    due = (1 - zero) * mean / (1 - none)  # the mean of the counts above zero
    nearest = float(brentq(lambda m: m / -np.expm1(-m) - due, 1e-12, due, xtol=1e-15))
    return {"zero": 1 - (1 - zero) * mean / nearest, "mean": nearest}


def start(data: Array) -> Array:
    """Return a quarter, and the mean of the counts above zero (1 where there are none)."""
    above = data[data > 0]
    return np.array([0.25, above.mean() if len(above) else 1.0])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), zero=theta[0], mean=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-probability of every count, `(n,)`."""
    zero, mean = theta[0], theta[1]
    none = log(zero + (1 - zero) * exp(-mean))
    return where(data == 0, none, log(1 - zero) - mean + data * log(mean) - gammaln(data + 1))


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-probability, `(n, 2)`."""
    zero, mean = theta[0], theta[1]
    chance = zero + (1 - zero) * exp(-mean)
    none = data == 0
    return stack(
        [
            where(none, -expm1(-mean) / chance, -1 / (1 - zero)),
            where(none, -(1 - zero) * exp(-mean) / chance, data / mean - 1),
        ]
    )


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-probability, `(2, 2)`."""
    none = float(np.count_nonzero(data == 0))
    return -_information(theta, none, len(data) - none, data.sum())


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    zero, mean = theta[0], theta[1]
    none = len(data) * (zero + (1 - zero) * np.exp(-mean))
    return _information(theta, none, len(data) - none, len(data) * (1 - zero) * mean)


def _information(theta: Array, none: float, some: float, total: float) -> Array:
    """Information of so many zeros and other counts, with their total."""
    zero, mean = theta[0], theta[1]
    small = np.exp(-mean)
    chance = zero + (1 - zero) * small
    cross = -none * small / chance**2
    first = none * (np.expm1(-mean) / chance) ** 2 + some / (1 - zero) ** 2
    last = total / mean**2 - none * zero * (1 - zero) * small / chance**2
    return np.array([[first, cross], [cross, last]])


MODEL = Model(
    "zero-inflated-poisson",
    parameters={"zero": "unit", "mean": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("zero-inflated-poisson", draw=draw, truth=truth)
WRONG_NEGATIVE_BINOMIAL = Mechanism(
    "zero-inflated-poisson-wrong-negative-binomial",
    draw=draw_negative_binomial,
    truth=pseudo_truth,
    wrong=True,
)
