"""Anyone's own estimator: a function from data to estimates."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.estimators.protocol import Draws, describe, finished, write
from simstudy.methods.intervals import Summary, wald
from simstudy.methods.protocol import Inference
from simstudy.records.block import AnswerError, Block, empty, numbers_due
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS
from simstudy.warning_capture import captured_warnings


@dataclass(frozen=True, slots=True)
class FunctionEstimator:
    """Anyone's own estimator: one function from data to estimates.

    Parameters
    ----------
    name : str
    parameters : sequence of str
        Names of what it estimates.
    estimate : callable
        `estimate(data) -> {parameter: (estimate, se)}` or `(estimate, se, lower, upper)`; without
        limits the interval is Wald's. An se of None or nan with limits is an interval without a
        standard error; a limit may be infinite on its own side.
    label : str
        Name of its one method in the tables.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy import FunctionEstimator
    >>> def mean(data):
    ...     return {"mu": (data.mean(), data.std(ddof=1) / np.sqrt(len(data)))}
    >>> FunctionEstimator("mean", ["mu"], mean).labels
    ('own',)
    """

    name: str
    parameters: Sequence[str]
    estimate: Callable[[Data], Mapping[str, Sequence[float]]]
    label: str = "own"

    def __post_init__(self) -> None:
        """Freeze the parameters' names."""
        object.__setattr__(self, "parameters", tuple(self.parameters))

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of the one method."""
        return (self.label,)

    def answer(self, draws: Draws) -> Block:
        """Call the function on every data set."""
        block = empty(draws.replicates, 1, len(self.parameters))
        messages = [""] * len(draws.data)
        for b, data in enumerate(draws.data):
            began = time.perf_counter()
            try:
                if isinstance(data, Exception):
                    block.status[b] = block.audit["status"][b] = Status.data_error
                    messages[b] = describe(data)
                else:
                    with captured_warnings(draws.heard[b]):
                        self._one(block, b, data, draws.level)
            except STOPS:
                raise
            except BaseException as error:
                if draws.strict:
                    raise
                block.status[b] = block.audit["status"][b] = Status.fit_error
                messages[b] = describe(error)
            block.audit["seconds"][b] = time.perf_counter() - began
        return finished(block, draws, messages)

    def _one(self, block: Block, b: int, data: Data, level: float) -> None:
        """Write down the answer for one data set."""
        answer = self.estimate(data)
        right = isinstance(answer, Mapping) and set(answer) == set(self.parameters)
        if not right or {np.size(values) for values in answer.values()} not in ({2}, {4}):
            came = reprlib.repr(answer)
            raise AnswerError(
                f"estimator {self.name!r} returned {came}; due is a mapping from each of "
                f"{list(self.parameters)} to (estimate, se) or (estimate, se, lower, upper)"
            )
        values = np.array([self._numbers(name, answer[name]) for name in self.parameters])
        theta, se = values[:, 0], values[:, 1]
        ends = (
            (values[:, 2], values[:, 3])
            if values.shape[1] == 4
            else wald(Summary(theta, se, level))
        )
        good = np.isfinite(theta).all()
        block.audit["success"][b] = good
        block.audit["status"][b] = Status.ok if good else Status.not_converged
        block.estimate[b] = theta
        status = np.int8(Status.ok if good else Status.not_finite)
        write(block, np.array([b]), 0, Inference(se, ends[0], ends[1], status))

    def _numbers(self, name: str, values: Sequence[Any]) -> Array:
        """Return what was answered for one parameter as numbers; None is nan."""
        given = [np.nan if value is None else value for value in values]
        what = f"estimator {self.name!r}: an answer for {name!r}"
        return np.array([numbers_due(what, value, ()) for value in given])
