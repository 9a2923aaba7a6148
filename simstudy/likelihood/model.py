"""A model: parameters with their supports, a start, and the log-likelihood per observation.

Parameters are fitted on an unbounded working scale and reported on their own: a real parameter is
its own working value, a positive one is the exponential, one in the unit interval the logistic of
it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.special

from simstudy.arrays import Array, Data

Support = Literal["real", "positive", "unit"]
SUPPORTS: tuple[Support, ...] = ("real", "positive", "unit")


@dataclass(frozen=True, slots=True)
class Model:
    """A parametric model, given by its log-likelihood per observation.

    Parameters
    ----------
    name : str
        Name in the tables.
    parameters : mapping of str to {"real", "positive", "unit"}
        The p parameters in the order of theta, each with its support.
    start : callable
        `start(data) -> (p,)`, a rough value inside the support from which the optimizer sets out.
    loglik : callable
        `loglik(theta, data) -> (n,)`, the log-likelihood of every observation. nan or inf mark a
        theta the model cannot have.
    score : callable, optional
        `score(theta, data) -> (n, p)`, its exact gradient with respect to theta.
    hessian : callable, optional
        `hessian(theta, data) -> (p, p)`, the exact second derivative of the summed log-likelihood.
    expected : callable, optional
        `expected(theta, data) -> (p, p)`, the expected (Fisher) information of the whole sample.
    draw : callable, optional
        `draw(rng, theta, data) -> data`, new data like these from the model at theta: as many, with
        the same covariates, limits and other things that are given. For methods that simulate.

    Raises
    ------
    ValueError
        When a support is unknown, or no parameter is given, or they are no mapping.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy import Model
    >>> exponential = Model(
    ...     "exponential",
    ...     parameters={"rate": "positive"},
    ...     start=lambda data: np.array([1.0]),
    ...     loglik=lambda theta, data: np.log(theta[0]) - theta[0] * data,
    ... )
    >>> exponential.names
    ('rate',)
    """

    name: str
    parameters: Mapping[str, Support]
    start: Callable[[Data], Array]
    loglik: Callable[[Array, Data], Array]
    score: Callable[[Array, Data], Array] | None = None
    hessian: Callable[[Array, Data], Array] | None = None
    expected: Callable[[Array, Data], Array] | None = None
    draw: Callable[[np.random.Generator, Array, Data], Data] | None = None
    names: tuple[str, ...] = field(init=False, repr=False)
    supports: tuple[Support, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a model without parameters or with an unknown support."""
        if not isinstance(self.parameters, Mapping):
            raise ValueError(
                f"model {self.name!r}: parameters is {self.parameters!r}; due is a mapping from "
                "each parameter to its support, such as {'mu': 'real', 'sigma': 'positive'}"
            )
        if not self.parameters:
            raise ValueError(f"model {self.name!r} has no parameters; give at least one")
        for name, support in self.parameters.items():
            if support not in SUPPORTS:
                raise ValueError(
                    f"model {self.name!r}: parameter {name!r} has the support {support!r}; "
                    f"allowed are {', '.join(map(repr, SUPPORTS))}"
                )
        object.__setattr__(self, "names", tuple(self.parameters))
        object.__setattr__(self, "supports", tuple(self.parameters.values()))


def inside(theta: Array, supports: tuple[Support, ...]) -> Array:
    """Tell which parameters lie strictly inside their support: `(..., p)` of bool."""
    theta = np.asarray(theta, dtype=float)
    allowed = np.isfinite(theta)
    for j, support in enumerate(supports):
        if support != "real":
            allowed[..., j] &= theta[..., j] > 0
        if support == "unit":
            allowed[..., j] &= theta[..., j] < 1
    return allowed


def to_working(theta: Array, supports: tuple[Support, ...]) -> Array:
    """Map theta `(..., p)` to the unbounded working scale: identity, log or logit.

    Examples
    --------
    >>> from simstudy.likelihood.model import to_working
    >>> to_working([2.0, 1.0, 0.5], ("real", "positive", "unit")).tolist()
    [2.0, 0.0, 0.0]
    """
    working = np.array(theta, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        for j, support in enumerate(supports):
            if support == "positive":
                working[..., j] = np.log(working[..., j])
            elif support == "unit":
                working[..., j] = scipy.special.logit(working[..., j])
    return working


def from_working(working: Array, supports: tuple[Support, ...]) -> Array:
    """Map the working scale `(..., p)` back to theta: identity, exp or the logistic function."""
    theta = np.array(working, dtype=float)
    positive, unit = _columns(supports)
    if positive is not None:
        with np.errstate(over="ignore"):
            theta[..., positive] = np.exp(theta[..., positive])
    if unit is not None:
        theta[..., unit] = scipy.special.expit(theta[..., unit])
    return theta


@functools.lru_cache(maxsize=256)
def _columns(supports: tuple[Support, ...]) -> tuple[Array | None, Array | None]:
    """Return the columns of the positive and of the unit parameters; None where there are none."""
    found = [[j for j, s in enumerate(supports) if s == kind] for kind in SUPPORTS[1:]]
    positive, unit = (
        slice(columns[0], columns[-1] + 1)
        if columns == list(range(columns[0], columns[-1] + 1))
        else np.array(columns)
        for columns in (columns or [-1] for columns in found)
    )
    return (positive if found[0] else None), (unit if found[1] else None)


def slopes(theta: Array, supports: tuple[Support, ...]) -> tuple[Array, Array]:
    """First and second derivative of theta with respect to its working value, each `(..., p)`.

    For theta = exp(w): theta and theta. For theta = logistic(w): v = theta (1 - theta) and
    v (1 - 2 theta).
    """
    theta = np.asarray(theta, dtype=float)
    first, second = np.ones_like(theta), np.zeros_like(theta)
    positive, unit = _columns(supports)
    if positive is not None:
        first[..., positive] = second[..., positive] = theta[..., positive]
    if unit is not None:
        value = theta[..., unit]
        first[..., unit] = value * (1 - value)
        second[..., unit] = first[..., unit] * (1 - 2 * value)
    return first, second
