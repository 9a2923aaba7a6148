"""The Weibull distribution with shape k and scale l, also right-censored at a fixed time.

With w = k (log y - log l) and the event d (1 everywhere when nothing is censored):
log f = d (log k + w - log y) - exp(w). With z = exp(w), a standard exponential value that is cut at
q = (c / l)**k, the Fisher information per observation is

    kk: integral of (1 + log z)**2 exp(-z) over (0, q) / k**2,
    kl: -integral of (1 + log z) exp(-z) over (0, q) / l,
    ll: (k / l)**2 (1 - exp(-q)),

whose limits without censoring are (pi**2 / 6 + (1 - g)**2) / k**2, -(1 - g) / l and (k / l)**2, g
Euler's constant (Johnson, Kotz & Balakrishnan 1994, chapter 21). Without any event there is no
maximum.
"""

from __future__ import annotations

import numpy as np

from simstudy.arrays import Array, Data, exp, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model


def draw(rng: np.random.Generator, *, n: int, shape: float, scale: float) -> Array:
    """Draw n independent Weibull values."""
    return scale * rng.weibull(shape, size=n)


def draw_censored(
    rng: np.random.Generator, *, n: int, shape: float, scale: float, censor: float
) -> dict[str, Array]:
    """Draw n values, cut at `censor`: time, event (0 or 1) and limit, each `(n,)`."""
    return cut(scale * rng.weibull(shape, size=n), censor)


def cut(values: Array, censor: Array | float) -> dict[str, Array]:
    """Cut times `(n,)` at one limit or each at its own: time, event (0 or 1) and limit."""
    return {
        "time": np.minimum(values, censor),
        "event": (values <= censor).astype(float),
        "limit": np.broadcast_to(censor, len(values)).astype(float),
    }


def truth(*, shape: float, scale: float, **_: float) -> dict[str, float]:
    """Return the shape and the scale that were drawn from."""
    return {"shape": shape, "scale": scale}


def start(data: Array) -> Array:
    """Return shape 1, and the mean as scale."""
    return np.array([1.0, data.sum() / len(data)])


def start_censored(data: Data) -> Array:
    """Return shape 1, and the mean time as scale."""
    return start(data["time"])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), shape=theta[0], scale=theta[1])


def redraw_censored(rng: np.random.Generator, theta: Array, data: Data) -> Data:
    """Draw data like these from the model at theta."""
    return cut(theta[1] * rng.weibull(theta[0], size=len(data["limit"])), data["limit"])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    return _loglik(theta, data, 1.0)


def loglik_censored(theta: Array, data: Data) -> Array:
    """Log-density of every event, log-probability of every survivor, `(n,)`."""
    return _loglik(theta, data["time"], data["event"])


def _loglik(theta: Array, time: Array, event: Array) -> Array:
    """Log-likelihood of every observation, `(n,)`."""
    shape, scale = theta[0], theta[1]
    logs = log(time)
    w = shape * (logs - log(scale))
    return event * (log(shape) + w - logs) - exp(w)


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 2)`."""
    return _score(theta, data, 1.0)


def score_censored(theta: Array, data: Data) -> Array:
    """Gradient of every observation's log-likelihood, `(n, 2)`."""
    return _score(theta, data["time"], data["event"])


def _score(theta: Array, time: Array, event: Array) -> Array:
    """Gradient of every observation's log-likelihood, `(n, 2)`."""
    shape, scale = theta[0], theta[1]
    u = log(time) - log(scale)
    excess = event - exp(shape * u)
    return stack([event / shape + u * excess, -shape / scale * excess])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(2, 2)`."""
    return _hessian(theta, data, 1.0)


def hessian_censored(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-likelihood, `(2, 2)`."""
    return _hessian(theta, data["time"], data["event"])


def _hessian(theta: Array, time: Array, event: Array) -> Array:
    """Second derivative of the summed log-likelihood, `(2, 2)`."""
    shape, scale = theta[0], theta[1]
    u = log(time) - log(scale)
    z = exp(shape * u)
    events, total = np.broadcast_to(event, z.shape).sum(), z.sum()
    first, second = (z * u).sum(), (z * u**2).sum()
    cross = (total - events + shape * first) / scale
    return np.array(
        [
            [-events / shape**2 - second, cross],
            [cross, shape / scale**2 * (events - (1 + shape) * total)],
        ]
    )


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(2, 2)`."""
    return _expected(theta, np.array([np.inf]), np.array([len(data)]))


def expected_censored(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(2, 2)`; needs the `limit` of every observation."""
    return _expected(theta, *np.unique(data["limit"], return_counts=True))


def _expected(theta: Array, limits: Array, counts: Array) -> Array:
    """Fisher information of so many observations at each limit, `(2, 2)`."""
    shape, scale = theta[0], theta[1]
    first, second, mass = integrals((limits / scale) ** shape)
    cross = -counts @ first / scale
    return np.array(
        [
            [counts @ second / shape**2, cross],
            [cross, (shape / scale) ** 2 * (counts @ mass)],
        ]
    )


def integrals(q: Array) -> tuple[Array, Array, Array]:
    """Integrals of 1 + log z, its square, and 1, times exp(-z), over (0, q), each `(n,)`."""
    # exp(-50) and the integrals' part below exp(-45) are under the rounding error of their sums
    q = np.minimum(q, 50.0)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    half = (np.log(q) + 45)[:, None] / 2
    s = half * (nodes + 1) - 45
    mass = half * weights * np.exp(s - np.exp(s))
    return ((1 + s) * mass).sum(axis=1), ((1 + s) ** 2 * mass).sum(axis=1), -np.expm1(-q)


MODEL = Model(
    "weibull",
    parameters={"shape": "positive", "scale": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
CENSORED_MODEL = Model(
    "weibull-censored",
    parameters={"shape": "positive", "scale": "positive"},
    start=start_censored,
    loglik=loglik_censored,
    score=score_censored,
    hessian=hessian_censored,
    expected=expected_censored,
    draw=redraw_censored,
)
MECHANISM = Mechanism("weibull", draw=draw, truth=truth)
CENSORED_MECHANISM = Mechanism("weibull-censored", draw=draw_censored, truth=truth)
