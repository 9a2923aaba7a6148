"""The exponential distribution with rate r, also right-censored at a fixed time.

log f(y) = log r - r y; Fisher information per observation 1 / r**2, equal to the observed one.
Censored at c the data are the time y = min(t, c) and the event d = [t <= c]:
log f = d log r - r y, information (1 - exp(-r c)) / r**2 (Johnson, Kotz & Balakrishnan 1994,
chapter 19). Without any event there is no maximum.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gamma

from simstudy.arrays import Array, Data, exp, log, stack
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model
from simstudy.models import weibull


def draw(rng: np.random.Generator, *, n: int, rate: float) -> Array:
    """Draw n independent exponential values."""
    return rng.exponential(1 / rate, size=n)


def draw_censored(
    rng: np.random.Generator, *, n: int, rate: float, censor: float
) -> dict[str, Array]:
    """Draw n values, cut at `censor`: time, event (0 or 1) and limit, each `(n,)`."""
    return weibull.cut(rng.exponential(1 / rate, size=n), censor)


def truth(*, rate: float, **_: float) -> dict[str, float]:
    """Return the rate that was drawn from."""
    return {"rate": rate}


def draw_gamma(rng: np.random.Generator, *, n: int, shape: float, mean: float) -> Array:
    """Draw n gamma values of the given mean, which are not exponential unless the shape is 1."""
    return rng.gamma(shape, mean / shape, size=n)


def draw_weibull(rng: np.random.Generator, *, n: int, shape: float, mean: float) -> Array:
    """Draw n Weibull values of the given mean, which are not exponential unless the shape is 1."""
    return mean / gamma(1 + 1 / shape) * rng.weibull(shape, size=n)


def pseudo_truth(*, mean: float, **_: float) -> dict[str, float]:
    """Return 1 / mean, the rate that is nearest to any positive distribution (White 1982)."""
    return {"rate": 1 / mean}


def start(data: Array) -> Array:
    """Return log(2) / median (log(2) where the median is zero)."""
    return np.array([np.log(2) / (np.median(data) or 1.0)])


def start_censored(data: Data) -> Array:
    """Return 1 / mean time, as if every time were an event."""
    return np.array([1 / np.mean(data["time"])])


def redraw(rng: np.random.Generator, theta: Array, data: Array) -> Array:
    """Draw data like these from the model at theta."""
    return draw(rng, n=len(data), rate=theta[0])


def redraw_censored(rng: np.random.Generator, theta: Array, data: Data) -> Data:
    """Draw data like these from the model at theta."""
    return weibull.cut(rng.exponential(1 / theta[0], size=len(data["limit"])), data["limit"])


def loglik(theta: Array, data: Array) -> Array:
    """Log-density of every value, `(n,)`."""
    return log(theta[0]) - theta[0] * data


def loglik_censored(theta: Array, data: Data) -> Array:
    """Log-density of every event, log-probability of every survivor, `(n,)`."""
    return data["event"] * log(theta[0]) - theta[0] * data["time"]


def score(theta: Array, data: Array) -> Array:
    """Gradient of every log-density, `(n, 1)`."""
    return stack([1 / theta[0] - data])


def score_censored(theta: Array, data: Data) -> Array:
    """Gradient of every observation's log-likelihood, `(n, 1)`."""
    return stack([data["event"] / theta[0] - data["time"]])


def hessian(theta: Array, data: Array) -> Array:
    """Second derivative of the summed log-density, `(1, 1)`."""
    return np.array([[-len(data) / theta[0] ** 2]])


def hessian_censored(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-likelihood, `(1, 1)`."""
    return np.array([[-data["event"].sum() / theta[0] ** 2]])


def expected(theta: Array, data: Array) -> Array:
    """Fisher information of the sample, `(1, 1)`: the observed one."""
    return -hessian(theta, data)


def expected_censored(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(1, 1)`; needs the `limit` of every observation."""
    events = 1 - exp(-theta[0] * data["limit"])
    return np.array([[events.sum() / theta[0] ** 2]])


MODEL = Model(
    "exponential",
    parameters={"rate": "positive"},
    start=start,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    draw=redraw,
)
CENSORED_MODEL = Model(
    "exponential-censored",
    parameters={"rate": "positive"},
    start=start_censored,
    loglik=loglik_censored,
    score=score_censored,
    hessian=hessian_censored,
    expected=expected_censored,
    draw=redraw_censored,
)
MECHANISM = Mechanism("exponential", draw=draw, truth=truth)
CENSORED_MECHANISM = Mechanism("exponential-censored", draw=draw_censored, truth=truth)
WRONG_GAMMA = Mechanism("exponential-wrong-gamma", draw=draw_gamma, truth=pseudo_truth, wrong=True)
WRONG_WEIBULL = Mechanism(
    "exponential-wrong-weibull", draw=draw_weibull, truth=pseudo_truth, wrong=True
)
