"""What regression models share: covariates, the names of the coefficients, model and mechanism.

The data of every regression model are a mapping: `y`, the outcomes `(n,)`, and `x`, the covariates
`(n, p)`, whose constant, if any, is a column like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.model import Model
from simstudy.likelihood.supports import Support

Design = Callable[[np.random.Generator, int], Array]


def fixed(x: Array) -> Design:
    """Make a design of given covariates: the rows of x `(m, p)`, after the last the first again.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models.regression import fixed
    >>> design = fixed([[1.0, 2.66], [1.0, 2.89]])
    >>> design(np.random.default_rng(), 3).tolist()
    [[1.0, 2.66], [1.0, 2.89], [1.0, 2.66]]
    """
    rows = np.array(x, dtype=float)

    def design(rng: np.random.Generator, n: int) -> Array:
        return np.resize(rows, (n, rows.shape[1]))

    return design


def autoregressive(p: int, correlation: float) -> Design:
    """Make a design of p standard normal covariates, j and k correlated by correlation**|j - k|.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models.regression import autoregressive
    >>> x = autoregressive(3, 0.5)(np.random.default_rng(1), 100_000)
    >>> np.corrcoef(x, rowvar=False)[0].round(2).tolist()
    [1.0, 0.5, 0.25]
    """
    rest = np.sqrt(1 - correlation**2)

    def design(rng: np.random.Generator, n: int) -> Array:
        x = rng.standard_normal((p, n))
        for j in range(1, p):
            x[j] = correlation * x[j - 1] + rest * x[j]
        return x.T

    return design


def names(coefficients: int | Sequence[str]) -> dict[str, Support | str]:
    """Return real parameters of the given names, or b0, b1, ... for a number of them.

    Examples
    --------
    >>> from simstudy.models.regression import names
    >>> names(2)
    {'b0': 'real', 'b1': 'real'}
    """
    if isinstance(coefficients, int):
        coefficients = [f"b{j}" for j in range(coefficients)]
    return dict.fromkeys(coefficients, "real")


def mechanism(
    name: str,
    design: Design,
    coefficients: Mapping[str, float],
    outcome: Callable[..., Array],
    extra: Sequence[str] = (),
) -> Mechanism:
    """Make a mechanism with factor n: covariates from a design, outcomes from the linear predictor.

    Parameters
    ----------
    name : str
        Name in the tables.
    design : callable
        `design(rng, n) -> (n, p)`.
    coefficients : mapping of str to float
        The p true values, in the order of the columns.
    outcome : callable
        `outcome(rng, eta, **factors) -> (n,)`, eta the linear predictor, the factors without n.
    extra : sequence of str
        Factors that are true values of parameters of the same name.

    Returns
    -------
    Mechanism
        Its data are the mapping `{"y": (n,), "x": (n, p)}`.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models.regression import autoregressive, mechanism
    >>> def laplace(rng, eta, *, scale):
    ...     return rng.laplace(eta, scale)
    >>> two = {"b0": 1.0, "b1": 2.0}
    >>> wages = mechanism("wages", autoregressive(2, 0.5), two, laplace, extra=["scale"])
    >>> wages.draw(np.random.default_rng(1), n=5, scale=0.1)["x"].shape
    (5, 2)
    >>> wages.truth(n=5, scale=0.1)
    {'b0': 1.0, 'b1': 2.0, 'scale': 0.1}
    """
    known = dict(coefficients)
    beta = np.array(list(known.values()), dtype=float)

    def draw(rng: np.random.Generator, *, n: int, **factors: float) -> dict[str, Array]:
        x = design(rng, n)
        return {"y": outcome(rng, x @ beta, **factors), "x": x}

    def truth(**factors: float) -> dict[str, float]:
        return known | {factor: factors[factor] for factor in extra}

    return Mechanism(name, draw=draw, truth=truth)


def start(data: Data) -> Array:
    """Return zero for every coefficient, `(p,)`."""
    return np.zeros(data["x"].shape[1])


@dataclass(frozen=True, slots=True)
class Family:
    """A regression: outcomes given a linear predictor, whatever the covariates.

    Parameters
    ----------
    name : str
        Name in the tables, of model and mechanism.
    outcome : callable
        `outcome(rng, eta, **extra) -> (n,)`, eta the linear predictor `(n,)`.
    loglik, score, hessian, expected, start : callable
        As of `Model`; theta is the coefficients, then the values of `extra`.
    extra : mapping of str to support
        Parameters beside the coefficients; they are factors of the mechanism.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.models import logit
    >>> from simstudy.models.regression import fixed
    >>> logit.model(["const", "dose"]).names
    ('const', 'dose')
    >>> trial = logit.mechanism(fixed([[1, 0], [1, 1]]), {"const": -1.0, "dose": 2.0})
    >>> trial.draw(np.random.default_rng(1), n=4)["y"].tolist()
    [0.0, 0.0, 1.0, 0.0]
    """

    name: str
    outcome: Callable[..., Array]
    loglik: Callable[[Array, Data], Array]
    score: Callable[[Array, Data], Array]
    hessian: Callable[[Array, Data], Array]
    expected: Callable[[Array, Data], Array]
    start: Callable[[Data], Array] = start
    extra: Mapping[str, Support | str] = field(default_factory=dict)

    def model(self, coefficients: int | Sequence[str]) -> Model:
        """Make the model for so many coefficients, or for coefficients of these names."""
        return Model(
            self.name,
            parameters=names(coefficients) | dict(self.extra),
            start=self.start,
            loglik=self.loglik,
            score=self.score,
            hessian=self.hessian,
            expected=self.expected,
            draw=self.redraw,
        )

    def mechanism(
        self, design: Design, coefficients: Mapping[str, float], name: str = ""
    ) -> Mechanism:
        """Make the mechanism for a design and true coefficients; its factors are n and `extra`."""
        return mechanism(name or self.name, design, coefficients, self.outcome, list(self.extra))

    def redraw(self, rng: np.random.Generator, theta: Array, data: Data) -> Data:
        """Draw outcomes for the covariates of data, from the model at theta."""
        x = data["x"]
        p = x.shape[1]
        values = dict(zip(self.extra, theta[p:], strict=True))
        return {"y": self.outcome(rng, x @ theta[:p], **values), "x": x}


def gram(x: Array, weights: Array) -> Array:
    """X' W X, `(p, p)`, for covariates `(n, p)` and weights `(n,)`."""
    return (x.T * weights) @ x
