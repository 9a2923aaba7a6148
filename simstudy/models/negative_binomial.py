"""Negative binomial regression (NB2): counts with mean mu = exp(x' beta), variance mu + a mu**2.

With the dispersion a > 0 and t = a mu (Lawless 1987, Canadian Journal of Statistics 15:209):

    log f(y) = sum over j < y of log(1 + a j) + y log mu - (y + 1 / a) log(1 + t) - log(y!).

Score for beta (y - mu) / (1 + t) x; information X' W X with W = mu / (1 + t) for beta, and zero
between beta and a. As a goes to zero this is Poisson regression: counts with no more spread than
Poisson's have no maximum inside the support.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import betainc

from simstudy.arrays import Array, Data, exp, gammaln, log, log1p, where
from simstudy.mechanism import Mechanism
from simstudy.model import Model
from simstudy.models import regression
from simstudy.models.poisson_regression import overdispersed


def start(data: Data) -> Array:
    """Return zero for every coefficient, one for the dispersion."""
    return np.append(regression.start(data), 1.0)


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every count, `(n,)`; exact also for a dispersion next to zero."""
    y, a = data["y"], theta[-1]
    eta = data["x"] @ theta[:-1]
    return _log_rising(y, a) + y * eta - (y + 1 / a) * log1p(a * exp(eta)) - gammaln(y + 1)


def _log_rising(y: Array, a: Array) -> Array:
    """Sum of log(1 + a j) over j < y: gamma functions above a = 1/8, Stirling's series below.

    Below, gamma functions of y + 1 / a and 1 / a are large and nearly cancel. Either branch sees
    only dispersions of its own kind, or its derivative would be nan.
    """
    large, small = where(a > 0.125, a, 0.125), where(a > 0.125, 0.125, a)
    direct = gammaln(y + 1 / large) - gammaln(1 / large) + y * log(large)
    series = (y + 1 / small - 0.5) * log1p(small * y) - y
    series = series + _stirling(small / (1 + small * y)) - _stirling(small)
    return where(a > 0.125, direct, series)


def _stirling(u: Array) -> Array:
    """Remainder of Stirling's formula for log Gamma(1 / u) (Abramowitz & Stegun 6.1.41)."""
    v = u * u
    tail = 1 / 1188 - v * (691 / 360360 - v / 156)
    return u * (1 / 12 - v * (1 / 360 - v * (1 / 1260 - v * (1 / 1680 - v * tail))))


def _shares(y: Array, a: Array) -> tuple[Array, Array]:
    """Sums of j / (1 + a j) and of its square over j < y, each `(n,)`."""
    counts = y.astype(int)
    j = np.arange(counts.max(initial=0))
    share = j / (1 + a * j)
    table = np.zeros((2, len(j) + 1))
    np.cumsum([share, share**2], axis=1, out=table[:, 1:])
    return table[0, counts], table[1, counts]


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-probability, `(n, p + 1)`."""
    x, y, a = data["x"], data["y"], theta[-1]
    mu = np.exp(x @ theta[:-1])
    t = a * mu
    last = _shares(y, a)[0] + (np.log1p(t) - t / (1 + t)) / a**2 - y * mu / (1 + t)
    return np.column_stack([((y - mu) / (1 + t))[:, None] * x, last])


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-probability, `(p + 1, p + 1)`."""
    x, y, a = data["x"], data["y"], theta[-1]
    mu = np.exp(x @ theta[:-1])
    t = a * mu
    ratio = mu / (1 + t)
    bends = ratio**2 * (y + 1 / a) - 2 * (np.log1p(t) - t / (1 + t)) / a**3 - _shares(y, a)[1]
    cross = -(((y - mu) * ratio / (1 + t)) @ x)
    return _bordered(-regression.gram(x, ratio * (1 + a * y) / (1 + t)), cross, bends.sum())


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p + 1, p + 1)` (Lawless 1987)."""
    x, a = data["x"], theta[-1]
    mu = np.exp(x @ theta[:-1])
    t = a * mu
    ratio = mu / (1 + t)
    # where the largest mean's counts have a probability below rounding error
    most = np.max(mu + 60 * (1 + t) + 10 * np.sqrt(mu * (1 + t)))
    j = np.arange(1.0, most)
    above = betainc(j + 1, 1 / a, (t / (1 + t))[:, None])
    bends = above @ (j / (1 + a * j)) ** 2 + 2 * (np.log1p(t) - t / (1 + t)) / a**3 - mu * ratio / a
    return _bordered(regression.gram(x, ratio), np.zeros(x.shape[1]), bends.sum())


def _bordered(matrix: Array, border: Array, corner: float) -> Array:
    """Put a last row and column around a matrix."""
    return np.block([[matrix, border[:, None]], [border, corner]])


def model(coefficients: int | Sequence[str]) -> Model:
    """Make the model for so many coefficients, or for coefficients of these names.

    Examples
    --------
    >>> from simstudy.models import negative_binomial
    >>> negative_binomial.model(["const", "age"]).names
    ('const', 'age', 'dispersion')
    """
    return Model(
        "negative-binomial",
        parameters=regression.names(coefficients) | {"dispersion": "positive"},
        start=start,
        loglik=loglik,
        score=score,
        hessian=hessian,
        expected=expected,
    )


def mechanism(
    design: regression.Design, coefficients: Mapping[str, float], name: str = "negative-binomial"
) -> Mechanism:
    """Make the mechanism with factors n and dispersion for a design and true coefficients.

    Examples
    --------
    >>> from simstudy.models import negative_binomial
    >>> from simstudy.models.regression import fixed
    >>> visits = negative_binomial.mechanism(fixed([[1.0]]), {"const": 1.0})
    >>> visits.truth(n=100, dispersion=0.5)
    {'const': 1.0, 'dispersion': 0.5}
    """
    return regression.mechanism(name, design, coefficients, overdispersed, extra=["dispersion"])
