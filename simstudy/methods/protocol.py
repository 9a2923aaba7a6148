"""What a method and a source are: the two roles on which every standard error hangs.

A method names its **sources**, the expensive things computed once per fit and shared by all methods
that name them (a Hessian, the outer product of the scores, a plain optimizer run, refits), and
makes standard errors and intervals from them. `Wald` does so by functions of arrays for all fits of
a block at once; any other callable with a name and sources answers for one fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.likelihood.fit import Fit
from simstudy.likelihood.noise import Values
from simstudy.likelihood.objective import Objective, natural_hessian
from simstudy.likelihood.refits import refits
from simstudy.likelihood.supports import Support, from_working
from simstudy.streams import Stream

LogLikelihood = Callable[[Array, Data], Array]


@dataclass(frozen=True, slots=True)
class Sample:
    """A data set to be resampled: all that resamples may depend on.

    Attributes
    ----------
    data : Data
    stream : callable
        `stream(purpose) -> numpy.random.Generator` of this replicate; another purpose, another
        stream.
    """

    data: Data
    stream: Stream

    @property
    def units(self) -> int:
        """The number of independent units, n: the observations."""
        return observations(self.data)


@dataclass(frozen=True, slots=True)
class Fitted:
    """One data set with its fit: all that a source or a method may look at.

    Attributes
    ----------
    target : Objective
        The model bound to the data.
    fit : Fit
        The fit whose `theta` is the estimate.
    level : float
        Of the intervals.
    stream : callable
        `stream(purpose) -> numpy.random.Generator` of this replicate.
    refitter : callable
        How the engine that made the fit refits: `refitter(target, theta, weights) -> (R, p)`, as
        `simstudy.likelihood.refits.refits` does.
    """

    target: Objective
    fit: Fit
    level: float
    stream: Stream
    refitter: Callable[[Objective, Array, Array], Array] = refits

    @property
    def sample(self) -> Sample:
        """What resamples may look at."""
        return Sample(self.target.data, self.stream)

    def refits(self, weights: Array) -> Array:
        """Fit again from the estimate under weights `(R, n)` on the observations.

        Returns
        -------
        (R, p)
            nan in the rows of refits that failed.
        """
        return self.refitter(self.target, self.fit.theta, weights)


@dataclass(frozen=True, slots=True)
class Inference:
    """Standard errors and interval ends `(..., p)`, with the `Status` `(...)` of each answer.

    A method without a standard error gives nan in its place; `simstudy.records.block.judged` says
    what else is legal. Nothing is broadcast.

    `failed` counts the refits that failed on the way; `error` is the estimated relative error of
    standard errors from differences, nan where there is none to tell.
    """

    se: Array
    lower: Array
    upper: Array
    status: Array
    failed: int = 0
    error: Array | float = np.nan


@dataclass(frozen=True, slots=True)
class Batch:
    """Fits of B data sets as a program left them: what a source answers from for all at once.

    Attributes
    ----------
    supports : tuple of Support
    working : (B, p)
        The estimates on the working scale.
    value, gradient, hessian : (B,), (B, p), (B, p, p)
        f, the negative log-likelihood, and its derivatives there, on the working scale.
    values : callable
        f of every data set at m points of the working scale each: `(B, m, p)` to `(B, m)`.
    traced : (B, ...) or None
        What `in_program` of the source gave.
    """

    supports: tuple[Support, ...]
    working: Array
    value: Array
    gradient: Array
    hessian: Array
    values: Values
    traced: Array | None = None

    def natural(self, gradient: Array, hessian: Array) -> Array:
        """Turn Hessians `(B, p, p)` on the working scale into those with respect to theta."""
        theta = from_working(self.working, self.supports)
        return natural_hessian(gradient, hessian, theta, self.supports)


class Source(Protocol):
    """Something computed once per fit. Equal sources are computed once; hashable, so frozen.

    `needs` names the exact derivatives it uses: any of "score", "hessian". One that takes terms of
    the log-likelihood for those of single observations (scores, resamples) says so by an attribute
    `by_observation = True`: it is refused where terms look at other observations. One that refits
    may say how often before work starts: `count_refits(sample) -> int`.

    One that can answer for many fits at once says how, and the batched engine calls it so:
    `for_batch(batch) -> (B, p, p)` or a `Differenced`. What it needs of every data set's terms it
    computes in the fits' own program: `in_program(loglik, theta, data, weights)`, in JAX for one
    data set, where padded observations weigh nothing; the answers are the batch's `traced`.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the exact derivatives it uses."""

    def __call__(self, fitted: Fitted) -> Any:
        """Compute it for one fit."""


@runtime_checkable
class Method(Protocol):
    """What a study calls a method.

    One with a covariance may show it to a replay: `matrix(fitted, *sourced) -> (p, p)`.
    """

    @property
    def name(self) -> str:
        """Name in the tables."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it needs computed."""

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit, given what its sources returned, in their order."""
