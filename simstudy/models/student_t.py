"""Student's t distribution with known degrees of freedom v, location mu and scale sigma.

With z = (y - mu) / sigma: log f(y) = c(v) - log sigma - (v + 1) / 2 log(1 + z**2 / v). Fisher
information per observation diag(v + 1, 2 v) / ((v + 3) sigma**2) (Lange, Little & Taylor 1989, JASA
84:881). With v = 1, Cauchy's distribution, the log-likelihood of a small sample may have several
maxima.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import gammaln

from simstudy.arrays import Array, log, log1p, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model
from simstudy.models import normal


def draw(rng: np.random.Generator, df: float, *, n: int, mu: float, sigma: float) -> Array:
    """Draw n independent values."""
    return mu + sigma * rng.standard_t(df, size=n)


def redraw(rng: np.random.Generator, theta: Array, data: Array, df: float) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, df, n=len(data), mu=theta[0], sigma=theta[1])


def loglik(theta: Array, data: Array, df: float) -> Array:
    """Log-density of every value, `(n,)`."""
    mu, sigma = theta[0], theta[1]
    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - np.log(np.pi * df) / 2
    return constant - log(sigma) - (df + 1) / 2 * log1p(((data - mu) / sigma) ** 2 / df)


def score(theta: Array, data: Array, df: float) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    mu, sigma = theta[0], theta[1]
    z = (data - mu) / sigma
    pull = (df + 1) * z / (df + z**2)
    return stack([pull / sigma, (pull * z - 1) / sigma])


def hessian(theta: Array, data: Array, df: float) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    mu, sigma = theta[0], theta[1]
    z = (data - mu) / sigma
    pull = (df + 1) * z / (df + z**2)
    bend = (df + 1) * (df - z**2) / (df + z**2) ** 2
    cross = -(pull + bend * z).sum()
    last = len(data) - (z * (2 * pull + bend * z)).sum()
    return np.array([[-bend.sum(), cross], [cross, last]]) / sigma**2


def expected(theta: Array, data: Array, df: float) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    return len(data) / ((df + 3) * theta[1] ** 2) * np.diag([df + 1, 2 * df])


def model(df: float) -> Model:
    """Make the model for so many degrees of freedom.

    Examples
    --------
    >>> from simstudy.models import student_t
    >>> student_t.model(3).name
    'student-t-3'
    """
    return Model(
        f"student-t-{df:g}",
        parameters={"mu": "real", "sigma": "positive"},
        start=normal.start,
        loglik=functools.partial(loglik, df=df),
        score=functools.partial(score, df=df),
        hessian=functools.partial(hessian, df=df),
        expected=functools.partial(expected, df=df),
        draw=functools.partial(redraw, df=df),
    )


def mechanism(df: float) -> Mechanism:
    """Make the mechanism for so many degrees of freedom, with factors n, mu and sigma.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models import student_t
    >>> student_t.mechanism(3).draw(np.random.default_rng(1), n=2, mu=0.0, sigma=1.0).shape
    (2,)
    """
    return Mechanism(f"student-t-{df:g}", draw=functools.partial(draw, df=df), truth=normal.truth)
