"""Poisson regression: counts y with mean mu = exp(eta), eta = x' beta.

log f(y) = y eta - mu - log(y!). Score (y - mu) x, information X' W X with W = mu, observed and
expected alike (McCullagh & Nelder 1989, chapter 6). The coefficients stay right when only the mean
is: with overdispersed counts they are the pseudo-truth, and the sandwich is the right covariance
(Gourieroux, Monfort & Trognon 1984, Econometrica 52:701).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simstudy.arrays import Array, Data, exp, gammaln
from simstudy.design.mechanism import Mechanism
from simstudy.models import regression


def outcome(rng: np.random.Generator, eta: Array) -> Array:
    """Draw a Poisson count for every linear predictor."""
    return np.asarray(rng.poisson(np.exp(eta)), dtype=float)


def overdispersed(rng: np.random.Generator, eta: Array, *, dispersion: float) -> Array:
    """Draw negative binomial counts, variance mu + dispersion mu**2: Poisson with gamma means."""
    means = rng.gamma(1 / dispersion, dispersion * np.exp(eta))
    return np.asarray(rng.poisson(means), dtype=float)


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every count, `(n,)`."""
    eta = data["x"] @ theta
    return data["y"] * eta - exp(eta) - gammaln(data["y"] + 1)


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-probability, `(n, p)`."""
    return (data["y"] - exp(data["x"] @ theta))[:, None] * data["x"]


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-probability, `(p, p)`."""
    return -regression.gram(data["x"], exp(data["x"] @ theta))


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p, p)`: the observed one."""
    return -hessian(theta, data)


FAMILY = regression.Family(
    "poisson-regression",
    outcome=outcome,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
)
model, mechanism = FAMILY.model, FAMILY.mechanism


def wrong_negative_binomial(
    design: regression.Design, coefficients: Mapping[str, float]
) -> Mechanism:
    """Make a mechanism that the model misses: overdispersed counts, factors n and dispersion.

    The pseudo-truth is the same coefficients, because the mean is right.

    Examples
    --------
    >>> from simstudy.models import poisson_regression
    >>> from simstudy.models.regression import fixed
    >>> wrong = poisson_regression.wrong_negative_binomial(fixed([[1.0]]), {"const": 1.0})
    >>> wrong.truth(n=100, dispersion=0.5)
    {'const': 1.0}
    """
    name = "poisson-regression-wrong-negative-binomial"
    return replace(regression.mechanism(name, design, coefficients, overdispersed), wrong=True)


def raw_units(rng: np.random.Generator, n: int) -> Array:
    """Draw a constant, an income in dollars and a rate whose standard deviation is a thousandth."""
    return np.column_stack([np.ones(n), rng.normal(5e4, 1.5e4, n), rng.normal(0, 1e-3, n)])


RAW_MODEL = model(["const", "income", "rate"])
RAW_MECHANISM = mechanism(
    raw_units, {"const": 0.5, "income": 1e-5, "rate": 300.0}, "poisson-regression-raw-units"
)
