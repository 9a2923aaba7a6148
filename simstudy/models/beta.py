"""The beta distribution with shapes a and b.

log f(y) = log G(a + b) - log G(a) - log G(b) + (a - 1) log y + (b - 1) log(1 - y), G the gamma
function. Its observed information does not depend on the data: n (diag(psi'(a), psi'(b)) -
psi'(a + b)) (Johnson, Kotz & Balakrishnan 1995, chapter 25). Where the data come from something
else, a and b are those of equal mean logarithms of y and of 1 - y (White 1982).
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import expit, log_expit

from simstudy.arrays import Array, digamma, gammaln, log, log1p, stack, trigamma
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, a: float, b: float) -> Array:
    """Draw n independent beta values."""
    return rng.beta(a, b, size=n)


def truth(*, a: float, b: float, **_: float) -> dict[str, float]:
    """Return the shapes that were drawn from."""
    return {"a": a, "b": b}


def draw_logit_normal(rng: np.random.Generator, *, n: int, center: float, spread: float) -> Array:
    """Draw n values whose logit is normal."""
    return expit(rng.normal(center, spread, size=n))


@functools.lru_cache(maxsize=64)
def _nearest(center: float, spread: float) -> tuple[float, float]:
    """Shapes whose mean log y and log(1 - y) are those of a logit-normal, by Newton's method."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    logits = center + spread * nodes
    due = np.array([log_expit(logits), log_expit(-logits)]) @ weights / weights.sum()
    working = np.zeros(2)  # the logarithms of the shapes
    for _ in range(200):
        shapes = np.exp(working)
        lacking = due - (digamma(shapes) - digamma(shapes.sum()))
        slope = (np.diag(trigamma(shapes)) - trigamma(shapes.sum())) * shapes
        step = np.linalg.solve(slope, lacking)
        working += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-14:
            break
    return float(np.exp(working[0])), float(np.exp(working[1]))


def pseudo_truth(*, center: float, spread: float, **_: float) -> dict[str, float]:
    """Return the shapes that are nearest to a logit-normal distribution (White 1982)."""
    a, b = _nearest(center, spread)
    return {"a": a, "b": b}


def start(data: Array) -> Array:
    """Return (1, 1), the uniform distribution."""
    return np.ones(2)


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), a=theta[0], b=theta[1])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    a, b = theta[0], theta[1]
    constant = gammaln(a + b) - gammaln(a) - gammaln(b)
    return constant + (a - 1) * log(data) + (b - 1) * log1p(-data)


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    a, b = theta[0], theta[1]
    both = digamma(a + b)
    return stack([both - digamma(a) + log(data), both - digamma(b) + log1p(-data)])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    return len(data) * (trigamma(theta.sum()) - np.diag(trigamma(theta)))


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`: the observed one."""
    return -hessian(theta, data)


MODEL = Model(
    "beta",
    parameters={"a": "positive", "b": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
MECHANISM = Mechanism("beta", draw=draw, truth=truth)
WRONG_LOGIT_NORMAL = Mechanism(
    "beta-wrong-logit-normal", draw=draw_logit_normal, truth=pseudo_truth, wrong=True
)
