"""The data-generating mechanism: how a data set is drawn, and what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simstudy.arrays import Data


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A data-generating mechanism: two functions of the factors that a scenario fixes.

    Parameters
    ----------
    name : str
        Name in the tables and, with the factors, the key of the random streams.
    draw : callable
        `draw(rng, **factors) -> data`: an array, or a mapping of arrays, whose first axis is the
        observation. Every random number must come from `rng`, a `numpy.random.Generator`. Floats of
        less than 64 bits become float64, exactly, before anything sees them.
    truth : callable
        `truth(**factors) -> {parameter: value}`: the true value of every estimand; pseudo-true
        (the minimizer of the Kullback-Leibler divergence, White 1982) where the model is wrong on
        purpose. A parameter that is left out is a nuisance and is not scored.
    wrong : bool
        Whether the models that are fitted miss it on purpose; then only an estimate that goes
        elsewhere than `truth` says is reported as a mismatch.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy import Mechanism
    >>> def draw(rng, n, share):
    ...     return np.where(rng.uniform(size=n) < share, rng.normal(0, 5, n), rng.normal(size=n))
    >>> contaminated = Mechanism("contaminated", draw=draw, truth=lambda n, share: {"mu": 0.0})
    >>> contaminated.draw(np.random.default_rng(1), n=3, share=0.1).shape
    (3,)
    """

    name: str
    draw: Callable[..., Data]
    truth: Callable[..., Mapping[str, Any]]
    wrong: bool = False
