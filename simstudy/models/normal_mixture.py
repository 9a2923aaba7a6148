"""A mixture of two normal distributions: shares 1 - w and w, means m and m + g, gap g > 0.

`MODEL` gives both the standard deviation s, `TWO_SPREADS_MODEL` one to each. The gap orders the
components, so that labels cannot swap. With f_k the density of component k and r_k, its share times
f_k / f, its chance given y, score and Hessian follow from those of the components' logarithms:

    s = sum of r_k s_k,    h = sum of r_k (h_k + s_k s_k') - s s'

(McLachlan & Peel 2000, Finite Mixture Models, section 2.15). With two spreads the likelihood is
unbounded: it grows without end where one component shrinks onto one observation (Day 1969,
Biometrika 56:463), so the estimate is a local maximum. The Fisher information has no closed form:
it is summed over a grid.
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, log, softplus
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(
    rng: np.random.Generator, *, n: int, share: float, mu: float, gap: float, sigma: float
) -> Array:
    """Draw n values of a mixture of equal spreads."""
    return rng.normal(mu + gap * (rng.random(n) < share), sigma)


def truth(*, share: float, mu: float, gap: float, sigma: float, **_: float) -> dict[str, float]:
    """Return the parameters that were drawn from."""
    return {"share": share, "mu": mu, "gap": gap, "sigma": sigma}


def draw_two(
    rng: np.random.Generator,
    *,
    n: int,
    share: float,
    mu: float,
    gap: float,
    sigma: float,
    sigma2: float,
) -> Array:
    """Draw n values of a mixture of two spreads."""
    second = rng.random(n) < share
    return rng.normal(mu + gap * second, np.where(second, sigma2, sigma))


def truth_two(*, sigma2: float, **others: float) -> dict[str, float]:
    """Return the parameters that were drawn from."""
    return truth(**others) | {"sigma2": sigma2}


def start(data: Array) -> Array:
    """Return equal shares, the quartiles as means, half their distance as spread."""
    low, high = np.quantile(data, [0.25, 0.75])
    gap = (high - low) or 1.0
    return np.array([0.5, low, gap, gap / 2])


def start_two(data: Array) -> Array:
    """Return the same, with the spread for both components."""
    return np.append(start(data), start(data)[3])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), share=theta[0], mu=theta[1], gap=theta[2], sigma=theta[3])


def redraw_two(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    share, mu, gap, sigma, sigma2 = theta
    return draw_two(rng, n=len(data), share=share, mu=mu, gap=gap, sigma=sigma, sigma2=sigma2)


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    return _loglik(theta, theta[3], data)


def loglik_two(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    return _loglik(theta, theta[4], data)


def _loglik(theta: Array, second_sigma: Array, data: Array) -> Array:
    """Log-density of every value: the larger of both terms stays outside the exponential."""
    share, mu, gap, sigma = theta[0], theta[1], theta[2], theta[3]
    first = log(1 - share) - log(sigma) - ((data - mu) / sigma) ** 2 / 2
    second = log(share) - log(second_sigma) - ((data - mu - gap) / second_sigma) ** 2 / 2
    return first + softplus(second - first) - np.log(2 * np.pi) / 2


def _components(theta: Array, data: Array) -> tuple[Array, Array, Array]:
    """Chances `(n, 2)`, scores `(n, 2, 5)` and Hessians `(n, 2, 5, 5)` of the components' logs.

    Parameters are share, mu, gap and the spread of each component.
    """
    share, mu, gap, sigma, sigma2 = theta
    n = len(data)
    scores, bends = np.zeros((n, 2, 5)), np.zeros((n, 2, 5, 5))
    logs = np.empty((n, 2))
    for k, (of, mean, spread, sign) in enumerate(
        ((1 - share, mu, sigma, -1.0), (share, mu + gap, sigma2, 1.0))
    ):
        z = (data - mean) / spread
        logs[:, k] = np.log(of) - np.log(spread) - z**2 / 2
        scores[:, k, 0], bends[:, k, 0, 0] = sign / of, -1 / of**2
        places = [1, 2] if k else [1]
        for i in places:
            scores[:, k, i] = z / spread
            bends[:, k, i, 3 + k] = bends[:, k, 3 + k, i] = -2 * z / spread**2
            for j in places:
                bends[:, k, i, j] = -1 / spread**2
        scores[:, k, 3 + k] = (z**2 - 1) / spread
        bends[:, k, 3 + k, 3 + k] = (1 - 3 * z**2) / spread**2
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True), scores, bends


def score_two(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 5)`."""
    chances, scores, _ = _components(theta, data)
    return np.einsum("nk,nki->ni", chances, scores)


def hessian_two(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(5, 5)`."""
    chances, scores, bends = _components(theta, data)
    mean = np.einsum("nk,nki->ni", chances, scores)
    within = np.einsum("nk,nkij->ij", chances, bends)
    return within + np.einsum("nk,nki,nkj->ij", chances, scores, scores) - mean.T @ mean


def expected_two(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(5, 5)`: outer products of scores over a grid."""
    share, mu, gap, sigma, sigma2 = theta
    pieces = []
    for mean, spread in ((mu, sigma), (mu + gap, sigma2)):
        z = np.arange(-12, 12.001, 0.02)
        pieces.append((mean + spread * z, 0.02 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)))
    total = np.zeros((5, 5))
    for of, (values, mass) in zip((1 - share, share), pieces, strict=True):
        scores = score_two(theta, values)
        total += of * (scores.T * mass) @ scores
    return len(data) * total


_EQUAL = np.vstack([np.eye(4), [0.0, 0.0, 0.0, 1.0]])  # both spreads are the last parameter


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 4)`."""
    return score_two(_EQUAL @ theta, data) @ _EQUAL


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(4, 4)`."""
    return _EQUAL.T @ hessian_two(_EQUAL @ theta, data) @ _EQUAL


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(4, 4)`: outer products of scores over a grid."""
    return _EQUAL.T @ expected_two(_EQUAL @ theta, data) @ _EQUAL


MODEL = Model(
    "normal-mixture",
    parameters={"share": "unit", "mu": "real", "gap": "positive", "sigma": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
TWO_SPREADS_MODEL = Model(
    "normal-mixture-two-spreads",
    parameters={
        "share": "unit",
        "mu": "real",
        "gap": "positive",
        "sigma": "positive",
        "sigma2": "positive",
    },
    start=start_two,
    loglik=loglik_two,
    score=score_two,
    hessian=hessian_two,
    expected=expected_two,
    draw=redraw_two,
)
MECHANISM = Mechanism("normal-mixture", draw=draw, truth=truth)
TWO_SPREADS_MECHANISM = Mechanism("normal-mixture-two-spreads", draw=draw_two, truth=truth_two)
