"""Whether code answers twice alike, whatever state the global random generators are in."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping

import numpy as np

from simstudy.arrays import Array
from simstudy.design.scenario import Scenario
from simstudy.errors import StudyError
from simstudy.records.block import Block


@contextlib.contextmanager
def other_random_state() -> Iterator[None]:
    """Give the global generators of NumPy and Python another state; the old one comes back."""
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    # what they give next is not what they would have given
    np.random.seed(np.random.randint(2**31))  # noqa: NPY002
    random.seed(random.random())
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def check_reproducible(
    scenario: Scenario, first: Mapping[str, Block], again: Mapping[str, Block]
) -> None:
    """Refuse an estimator that gave two answers for the same data sets."""
    for name, block in first.items():
        for column in ("status", "estimate", "se", "lower", "upper"):
            one, other = getattr(block, column), getattr(again[name], column)
            if not np.array_equal(one, other, equal_nan=True):
                raise StudyError(
                    f"scenario {scenario.key!r}: estimator {name!r} gave two answers for the same "
                    f"data ({column} {_first_unlike(one, other)}); it takes random numbers from "
                    "elsewhere, or remembers what it did before: a method takes its random numbers "
                    "from fitted.stream, other code from a generator that it makes itself, with a "
                    "fixed seed, such as numpy.random.default_rng(1)"
                )


def _first_unlike(one: Array, other: Array) -> str:
    at = tuple(np.argwhere(~((one == other) | ((one != one) & (other != other))))[0])
    return f"{one[at]!s} and {other[at]!s}"
