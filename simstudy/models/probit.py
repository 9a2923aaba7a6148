"""Probit regression: P(y = 1) = Phi(eta), eta = x' beta, y in {0, 1}.

log f(y) = log Phi(s eta) with s = 2 y - 1. With the inverse Mills ratio m(z) = phi(z) / Phi(z):
score s m(s eta) x; observed information X' W X with W = m(z) (m(z) + z) at z = s eta; expected with
W = phi**2 / (Phi (1 - Phi)) = m(eta) m(-eta) (Greene 2018, Econometric Analysis, chapter 17). Where
a hyperplane separates the outcomes there is no maximum (Albert & Anderson 1984, Biometrika 71:1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simstudy.arrays import Array, Data, erfcx, log_ndtr
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model
from simstudy.models import regression


def outcome(rng: np.random.Generator, eta: Array) -> Array:
    """Draw outcomes 0 and 1 for every linear predictor."""
    return (rng.standard_normal(len(eta)) < eta).astype(float)


def mills(z: Array) -> Array:
    """Inverse Mills ratio phi(z) / Phi(z), elementwise, exact in both tails."""
    return np.sqrt(2 / np.pi) / erfcx(-z / np.sqrt(2))


def redraw(rng: np.random.Generator, theta: Array, data: Data) -> Data:
    """Draw data like these from the model at theta."""
    return {"y": outcome(rng, data["x"] @ theta), "x": data["x"]}


def loglik(theta: Array, data: Data) -> Array:
    """Log-probability of every outcome, `(n,)`."""
    return log_ndtr((2 * data["y"] - 1) * (data["x"] @ theta))


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-probability, `(n, p)`."""
    sign = 2 * data["y"] - 1
    residual = sign * mills(sign * (data["x"] @ theta))
    return residual[:, None] * data["x"]


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-probability, `(p, p)`."""
    z = (2 * data["y"] - 1) * (data["x"] @ theta)
    ratio = mills(z)
    return -regression.gram(data["x"], ratio * (ratio + z))


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p, p)`."""
    eta = data["x"] @ theta
    return regression.gram(data["x"], mills(eta) * mills(-eta))


def model(coefficients: int | Sequence[str]) -> Model:
    """Make the model for so many coefficients, or for coefficients of these names.

    Examples
    --------
    >>> from simstudy.models import probit
    >>> probit.model(2).names
    ('b0', 'b1')
    """
    return Model(
        "probit",
        parameters=regression.names(coefficients),
        start=regression.start,
        loglik=loglik,
        score=score,
        hessian=hessian,
        expected=expected,
        draw=redraw,
    )


def mechanism(
    design: regression.Design, coefficients: Mapping[str, float], name: str = "probit"
) -> Mechanism:
    """Make the mechanism with factor n for a design and true coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models import probit
    >>> from simstudy.models.regression import fixed
    >>> trial = probit.mechanism(fixed([[1, 0], [1, 1]]), {"const": -1.0, "dose": 2.0})
    >>> sorted(trial.draw(np.random.default_rng(1), n=4))
    ['x', 'y']
    """
    return regression.mechanism(name, design, coefficients, outcome)
