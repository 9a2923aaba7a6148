"""Negative binomial regression (NB2): counts with mean mu = exp(x' beta), variance mu + a mu**2.

With the dispersion a > 0 and t = a mu (Lawless 1987, Canadian Journal of Statistics 15:209):

    log f(y) = sum over j < y of log(1 + a j) + y log mu - (y + 1 / a) log(1 + t) - log(y!).

Score for beta (y - mu) / (1 + t) x; information X' W X with W = mu / (1 + t) for beta, and zero
between beta and a. As a goes to zero this is Poisson regression: counts with no more spread than
Poisson's have no maximum inside the support.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from simstudy.arrays import Array, Data, exp, gammaln, log1p, of_scalar
from simstudy.models import regression
from simstudy.models.poisson_regression import overdispersed


def start(data: Data) -> Array:
    """Return zero for every coefficient, one for the dispersion."""
    return np.append(regression.start(data), 1.0)


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every count, `(n,)`; exact also for a dispersion next to zero."""
    y, a = data["y"], theta[-1]
    eta = data["x"] @ theta[:-1]
    return (
        of_scalar(_log_rising, y, a) + y * eta - (y + 1 / a) * log1p(a * exp(eta)) - gammaln(y + 1)
    )


def _log_rising(y: Array, a: Array) -> Array:
    """Sum of log(1 + a j) over j < y, also for a dispersion next to zero.

    That is log Gamma(r + y) - log Gamma(r) + y log(a) with r = 1 / a, where gamma functions of a
    large r nearly cancel: eight factors 1 + a y / (1 + a k) are split off, and Stirling's series
    starts at r + 8. The product of the factors less one is a sum of positive terms.
    """
    b = a / (1 + 8 * a)
    above = a * y
    for k in range(1, 8):
        more = a * y / (1 + a * k)
        above = above + more + above * more
    first = log1p(above)
    series = (y + 1 / b - 0.5) * log1p(b * y) - y + _stirling(b / (1 + b * y)) - _stirling(b)
    return y * log1p(8 * a) - first + series


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
    return _bordered(regression.gram(x, ratio), np.zeros(x.shape[1]), _corner(mu, a))


def _corner(mu: Array, a: float) -> float:
    """Fisher information of the dispersion: for every mean a sum over counts j with P(y > j)."""
    mu, times = np.unique(mu, return_counts=True)
    t = a * mu
    # counts of the largest mean beyond these have a probability below rounding error
    most = (mu + 60 * (1 + t) + 10 * np.sqrt(mu * (1 + t)))[-1]
    j = np.arange(1.0, most)
    above = betainc(j + 1, 1 / a, (t / (1 + t))[:, None])
    tail = above @ (j / (1 + a * j)) ** 2
    bends = tail + 2 * (np.log1p(t) - t / (1 + t)) / a**3 - mu**2 / (a * (1 + t))
    return float(times @ bends)


def _bordered(matrix: Array, border: Array, corner: float) -> Array:
    """Put a last row and column around a matrix."""
    return np.block([[matrix, border[:, None]], [border, corner]])


FAMILY = regression.Family(
    "negative-binomial",
    outcome=overdispersed,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    start=start,
    extra={"dispersion": "positive"},
)
model, mechanism = FAMILY.model, FAMILY.mechanism
