"""Functions of arrays for the arguments that they name: measures, one value per group."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from simstudy.evidence.arithmetic import Array
from simstudy.evidence.checks import check_known
from simstudy.evidence.groups import Groups
from simstudy.evidence.measures import MEASURES, MORRIS
from simstudy.evidence.montecarlo import Measure, widened

Measures: TypeAlias = Sequence[str] | Mapping[str, Callable[..., Measure]]
Chosen: TypeAlias = dict[str, tuple[Callable[..., Measure], list[str]]]

_AT_ONCE = 1 << 16  # numbers of a column handled together: what a cache holds


def choose(
    measures: Measures | None, catalogue: Mapping[str, Callable[..., Measure]], offered: set[str]
) -> Chosen:
    """Return the measures to take, each with the names of the arguments that it gets."""
    functions = measures if isinstance(measures, Mapping) else catalogue
    known = [*MEASURES.values(), *MORRIS.values()]
    if measures is not None:
        check_known("measure", measures, functions)
    chosen = {}
    for name in functions if measures is None else measures:
        function = functions[name]
        bound = function.keywords if isinstance(function, partial) else {}
        missing = needs(function) - offered
        if not missing:
            arguments = inspect.signature(function).parameters
            names = [name for name in arguments if name in offered and name not in bound]
            chosen[name] = (function, names)
        elif (functions is catalogue and measures is not None) or function not in known:
            raise ValueError(
                f"measure {name!r} needs {', '.join(sorted(missing))}, which the table and the "
                f"settings do not offer; they offer: {', '.join(sorted(offered))}"
            )
    return chosen


def needs(function: Callable[..., Measure]) -> set[str]:
    """Return the arguments of a measure that have no default: without them it has no value."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty}


def evaluate(
    chosen: Chosen, given: Mapping[str, Array], settings: Mapping[str, Any], groups: Groups
) -> Array:
    """Return value, mcse, lower, upper and n of every measure in every group: (5, G, K)."""
    found = np.empty((5, len(groups.place), len(chosen)))
    for first, last in _runs(np.diff(groups.start)):
        rows = slice(groups.start[first], groups.start[last])
        blocks = {name: column[rows].reshape(last - first, -1) for name, column in given.items()}
        for k, (name, (function, names)) in enumerate(chosen.items()):
            arguments = {arg: blocks[arg] if arg in blocks else settings[arg] for arg in names}
            answer = function(**arguments)
            if np.shape(answer.value) != (last - first,):
                raise ValueError(
                    f"measure {name!r} answered with shape {np.shape(answer.value)} to arrays of "
                    f"shape {(last - first, rows.stop - rows.start)}; a measure reduces the last "
                    "axis only, one value per row"
                )
            if "truth_mcse" in blocks and "truth" in needs(function):
                answer = _with_truth(answer, function, arguments, blocks["truth_mcse"])
            found[:, first:last, k] = (
                answer.value, answer.mcse, answer.lower, answer.upper, answer.n
            )  # fmt: skip
    return found[:, groups.place]


def _runs(sizes: Array) -> Iterator[tuple[int, int]]:
    """Yield ranges of groups of one size that together are not too large for the cache."""
    _, starts = np.unique(sizes, return_index=True)
    for first, last in pairwise([*starts, len(sizes)]):
        step = max(1, _AT_ONCE // max(int(sizes[first]), 1))
        for lower in range(first, last, step):
            yield lower, min(lower + step, last)


def _with_truth(
    answer: Measure, function: Callable[..., Measure], arguments: dict[str, Any], error: Array
) -> Measure:
    """Add the variance from a simulated truth: half the change over one of its errors each way."""
    high, low = (
        function(**(arguments | {"truth": arguments["truth"] + sign * np.nan_to_num(error)}))
        for sign in (1, -1)
    )
    return widened(answer, np.nan_to_num((high.value - low.value) / 2) ** 2)
