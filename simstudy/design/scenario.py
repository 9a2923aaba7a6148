"""A scenario is one cell of the design: a mechanism at fixed factors; a grid crosses factors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simstudy.design.mechanism import Mechanism
from simstudy.errors import StudyError


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cell of the design: a mechanism at fixed factors.

    Parameters
    ----------
    mechanism : Mechanism
    factors : mapping of str to number or str
        Handed to the mechanism's `draw` and `truth` by name.
    only : sequence of str
        Names of the estimators that answer for this scenario; all by default.

    Attributes
    ----------
    key : str
        Mechanism and factors in words; names the scenario and its random streams.
    truth : dict of str to float
        The mechanism's truth at these factors.

    Examples
    --------
    >>> from simstudy import Scenario
    >>> from simstudy.models import gamma
    >>> Scenario(gamma.MECHANISM, {"n": 20, "shape": 2.0, "rate": 1.0}).key
    'gamma n=20 shape=2 rate=1'
    """

    mechanism: Mechanism
    factors: Mapping[str, Any]
    only: Sequence[str] = ()
    key: str = field(init=False)
    truth: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the key and the truth."""
        if not isinstance(self.mechanism, Mechanism):
            raise StudyError(
                f"a scenario's mechanism came as {type(self.mechanism).__name__}; give "
                "Mechanism(name, draw=..., truth=...), for a scenario and for grid"
            )
        object.__setattr__(self, "factors", dict(self.factors))
        words = [f"{name}={_factor_text(name, value)}" for name, value in self.factors.items()]
        object.__setattr__(self, "key", " ".join([self.mechanism.name, *words]))
        try:
            truth = self.mechanism.truth(**self.factors)
        except TypeError as error:
            raise StudyError(
                f"scenario {self.key!r}: truth of mechanism {self.mechanism.name!r} does not take "
                f"these factors ({error}); draw and truth get every factor by name"
            ) from error
        if not isinstance(truth, Mapping):
            raise StudyError(
                f"scenario {self.key!r}: truth returned {truth!r}; due is a mapping from parameter "
                "to true value"
            )
        object.__setattr__(self, "truth", dict(truth))


def grid(mechanism: Mechanism, /, only: Sequence[str] = (), **factors: Any) -> list[Scenario]:
    """Cross all factors: one scenario for every combination of the values in lists.

    `only` names the estimators that answer for them; all by default.

    Examples
    --------
    >>> from simstudy import grid
    >>> from simstudy.models import gamma
    >>> len(grid(gamma.MECHANISM, n=[20, 50], shape=[0.5, 2.0], rate=1.0))
    4
    """
    levels = [
        list(values) if isinstance(values, list | tuple | range | np.ndarray) else [values]
        for values in factors.values()
    ]
    return [
        Scenario(mechanism, dict(zip(factors, combination, strict=True)), only)
        for combination in itertools.product(*levels)
    ]


def _factor_text(name: str, value: Any) -> str:
    """Write a factor's value into the key; 2 and 2.0 are the same."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if isinstance(value, int | np.integer):
        if not -(2**63) <= int(value) < 2**63:
            raise StudyError(
                f"factor {name!r} has the value {value}, which does not fit into the 64 bits of a "
                "column of whole numbers; give it as a float or a string"
            )
        return str(int(value))
    if isinstance(value, float | np.floating) and value == value:
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    raise StudyError(
        f"factor {name!r} has the value {value!r}; a factor is a number or a string, so that it "
        "can "
        "be a column of the table: give arrays their own names inside the mechanism"
    )
