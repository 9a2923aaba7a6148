"""Weibull regression for censored times: log t = x' beta + log(e) / k, e standard exponential.

With w = k (log t - x' beta) and the event d: log f = d (log k + w - log t) - exp(w), as in
`weibull` with the scale exp(x' beta). Fisher information per observation, with the limit c and
q = (c / scale)**k: k**2 (1 - exp(-q)) x x' for beta, the integrals of `weibull` for k and between
them (Lawless 2003, Statistical Models and Methods for Lifetime Data, section 6.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simstudy.arrays import Array, Data, exp, log, namespace
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model
from simstudy.models import regression, weibull


def start(data: Data) -> Array:
    """Return zero for every coefficient and shape 1, with the mean log time for a first constant.

    The constant takes it where the first column is constant.
    """
    beta = regression.start(data)
    first = data["x"][:, 0]
    if np.ptp(first) == 0 and first[0] != 0:
        beta[0] = np.log(np.mean(data["time"])) / first[0]
    return np.append(beta, 1.0)


def redraw(rng: np.random.Generator, theta: Array, data: Data) -> Data:
    """Draw data like these from the model at theta."""
    x = data["x"]
    values = np.exp(x @ theta[:-1]) * rng.weibull(theta[-1], size=len(x))
    return weibull.cut(values, data["limit"]) | {"x": x}


def loglik(theta: Array, data: Data) -> Array:
    """Log-density of every event, log-probability of every survivor, `(n,)`."""
    shape, logs = theta[-1], log(data["time"])
    w = shape * (logs - data["x"] @ theta[:-1])
    return data["event"] * (log(shape) + w - logs) - exp(w)


def score(theta: Array, data: Data) -> Array:
    """Gradient of every observation's log-likelihood, `(n, p + 1)`."""
    x, shape = data["x"], theta[-1]
    u = log(data["time"]) - x @ theta[:-1]
    excess = data["event"] - exp(shape * u)
    last = data["event"] / shape + u * excess
    of = namespace(theta, u)
    return of.concatenate([-shape * excess[:, None] * x, last[:, None]], axis=1)


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-likelihood, `(p + 1, p + 1)`."""
    x, event, shape = data["x"], data["event"], theta[-1]
    u = np.log(data["time"]) - x @ theta[:-1]
    z = np.exp(shape * u)
    cross = ((z * (1 + shape * u) - event) @ x)[:, None]
    last = -event.sum() / shape**2 - (z * u**2).sum()
    return np.block([[-(shape**2) * regression.gram(x, z), cross], [cross.T, last]])


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p + 1, p + 1)`; needs each observation's `limit`."""
    x, shape = data["x"], theta[-1]
    first, second, mass = weibull.integrals((data["limit"] / np.exp(x @ theta[:-1])) ** shape)
    cross = -(first @ x)[:, None]
    return np.block(
        [[shape**2 * regression.gram(x, mass), cross], [cross.T, second.sum() / shape**2]]
    )


def model(coefficients: int | Sequence[str]) -> Model:
    """Make the model for so many coefficients, or for coefficients of these names.

    Examples
    --------
    >>> from simstudy.models import weibull_regression
    >>> weibull_regression.model(["const", "dose"]).names
    ('const', 'dose', 'shape')
    """
    return Model(
        "weibull-regression",
        parameters=regression.names(coefficients) | {"shape": "positive"},
        start=start,
        loglik=loglik,
        score=score,
        hessian=hessian,
        expected=expected,
        draw=redraw,
    )


def mechanism(
    design: regression.Design, coefficients: Mapping[str, float], name: str = "weibull-regression"
) -> Mechanism:
    """Make the mechanism with factors n, shape and censor for a design and true coefficients.

    Its data are the mapping `time`, `event` (0 or 1), `limit`, each `(n,)`, and `x`, `(n, p)`.

    Examples
    --------
    >>> from simstudy.models import weibull_regression
    >>> from simstudy.models.regression import autoregressive
    >>> trial = weibull_regression.mechanism(autoregressive(2, 0.0), {"b0": 0.1, "b1": 0.5})
    >>> trial.truth(n=50, shape=1.5, censor=2.0)
    {'b0': 0.1, 'b1': 0.5, 'shape': 1.5}
    """
    beta = np.array(list(coefficients.values()), dtype=float)

    def draw(rng: np.random.Generator, *, n: int, shape: float, censor: float) -> dict[str, Array]:
        x = design(rng, n)
        values = np.exp(x @ beta) * rng.weibull(shape, size=n)
        return weibull.cut(values, censor) | {"x": x}

    def truth(*, shape: float, **_: float) -> dict[str, float]:
        return dict(coefficients) | {"shape": shape}

    return Mechanism(name, draw=draw, truth=truth)
