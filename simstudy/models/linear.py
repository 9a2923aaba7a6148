"""Linear regression with normal errors: y is normal with mean x' beta and standard deviation s.

With z = (y - x' beta) / s: log f = -log s - log(2 pi) / 2 - z**2 / 2. Fisher information X'X / s**2
for beta, 2 n / s**2 for s, zero between them. Where the spread of the errors changes with the
covariates, beta keeps its truth and only a sandwich tells its standard error (White 1980,
Econometrica 48:817).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simstudy.arrays import Array, Data, log, namespace
from simstudy.design.mechanism import Mechanism
from simstudy.models import regression


def start(data: Data) -> Array:
    """Return zero for every coefficient, the root mean square of y as spread (1 where zero)."""
    return np.append(regression.start(data), np.sqrt(np.mean(data["y"] ** 2)) or 1.0)


def loglik(theta: Array, data: Data) -> Array:
    """Log-density of every outcome, `(n,)`."""
    z = (data["y"] - data["x"] @ theta[:-1]) / theta[-1]
    return -log(theta[-1]) - np.log(2 * np.pi) / 2 - z**2 / 2


def score(theta: Array, data: Data) -> Array:
    """Gradient of every log-density, `(n, p + 1)`."""
    x, sigma = data["x"], theta[-1]
    z = (data["y"] - x @ theta[:-1]) / sigma
    of = namespace(theta, z)
    return of.concatenate([z[:, None] * x, (z**2 - 1)[:, None]], axis=1) / sigma


def hessian(theta: Array, data: Data) -> Array:
    """Second derivative of the summed log-density, `(p + 1, p + 1)`."""
    x, sigma = data["x"], theta[-1]
    z = (data["y"] - x @ theta[:-1]) / sigma
    cross = -2 * (z @ x)[:, None]
    return np.block([[-x.T @ x, cross], [cross.T, len(z) - 3 * (z**2).sum()]]) / sigma**2


def expected(theta: Array, data: Data) -> Array:
    """Fisher information of the sample, `(p + 1, p + 1)`."""
    x, sigma = data["x"], theta[-1]
    none = np.zeros((x.shape[1], 1))
    return np.block([[x.T @ x, none], [none.T, 2.0 * len(x)]]) / sigma**2


def normal(rng: np.random.Generator, eta: Array, *, sigma: float) -> Array:
    """Draw outcomes of one spread."""
    return rng.normal(eta, sigma)


def spreading(rng: np.random.Generator, eta: Array, *, sigma: float, spreading: float) -> Array:
    """Draw outcomes whose standard deviation is sigma exp(spreading (eta - mean eta))."""
    return rng.normal(eta, sigma * np.exp(spreading * (eta - eta.mean())))


FAMILY = regression.Family(
    "linear",
    outcome=normal,
    loglik=loglik,
    score=score,
    hessian=hessian,
    expected=expected,
    start=start,
    extra={"sigma": "positive"},
)
model, mechanism = FAMILY.model, FAMILY.mechanism


def wrong_spreading(design: regression.Design, coefficients: Mapping[str, float]) -> Mechanism:
    """Make the mechanism with factors n, sigma and spreading: the errors' spread grows with eta.

    The truth names the coefficients alone: the one spread of the model is a nuisance.

    Examples
    --------
    >>> from simstudy.models import linear
    >>> from simstudy.models.regression import autoregressive
    >>> wages = linear.wrong_spreading(autoregressive(2, 0.3), {"b0": 1.0, "b1": 2.0})
    >>> wages.truth(n=50, sigma=0.5, spreading=0.4)
    {'b0': 1.0, 'b1': 2.0}
    """
    made = regression.mechanism("linear-wrong-spreading", design, coefficients, spreading)
    return Mechanism(made.name, draw=made.draw, truth=made.truth, wrong=True)
