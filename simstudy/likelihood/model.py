"""A model: parameters with their supports, a start, and the log-likelihood per observation.

Parameters are fitted on the unbounded working scale of their supports (`likelihood.supports`) and
reported on their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.likelihood.supports import REAL, SHORT, Support


@dataclass(frozen=True, slots=True)
class Model:
    """A parametric model, given by its log-likelihood per observation.

    Parameters
    ----------
    name : str
        Name in the tables.
    parameters : mapping of str to "real", "positive", "unit" or Support
        The p parameters in the order of theta, each with its support, such as
        `simstudy.interval(-1, 1)`.
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
    estimands : mapping of str to callable, optional
        `estimand(theta) -> float`: functions of theta that are reported beside the parameters, by
        every method. Their standard errors are the delta method's, where a method resamples those
        of the resampled estimands.

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
    parameters: Mapping[str, Support | str]
    start: Callable[[Data], Array]
    loglik: Callable[[Array, Data], Array]
    score: Callable[[Array, Data], Array] | None = None
    hessian: Callable[[Array, Data], Array] | None = None
    expected: Callable[[Array, Data], Array] | None = None
    draw: Callable[[np.random.Generator, Array, Data], Data] | None = None
    estimands: Mapping[str, Callable[[Array], Any]] = field(default_factory=dict)
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
        supports = [
            support if isinstance(support, Support) else SHORT.get(str(support))
            for support in self.parameters.values()
        ]
        for (name, given), support in zip(self.parameters.items(), supports, strict=True):
            if support is None:
                raise ValueError(
                    f"model {self.name!r}: parameter {name!r} has the support {given!r}; "
                    f"allowed are {', '.join(map(repr, SHORT))}, and simstudy.interval(lower, "
                    "upper) for one with its own ends"
                )
        both = sorted(set(self.estimands) & set(self.parameters))
        if both:
            raise ValueError(
                f"model {self.name!r}: {both[0]!r} is a parameter and an estimand; give the "
                "estimand another name"
            )
        object.__setattr__(self, "estimands", dict(self.estimands))
        object.__setattr__(self, "names", tuple(self.parameters))
        object.__setattr__(self, "supports", tuple(supports))

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the q quantities that are reported: the parameters, then the estimands."""
        return (*self.names, *self.estimands)

    @property
    def reported_supports(self) -> tuple[Support, ...]:
        """Supports of all that is reported; an estimand may be any real number."""
        return (*self.supports, *[REAL] * len(self.estimands))
