"""One replicate again, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simstudy.arrays import Data, observations
from simstudy.design.study import Study
from simstudy.estimators.protocol import describe
from simstudy.execution.replay import Replay, replay
from simstudy.likelihood.fit import Fit
from simstudy.records.block import Block
from simstudy.status import Status


def show(study: Study, index: int, replicate: int, again: Replay | None = None) -> str:
    """Describe one replicate, run again with the same numbers.

    Parameters
    ----------
    study : Study
    index, replicate : int
        Numbers of scenario and replicate.
    again : Replay, optional
        Where it was run already; by the loop engine otherwise.
    """
    again = again or replay(study, index, replicate)
    scenario = study.scenarios[index]
    lines = [
        f"{study.name}, scenario {index} ({scenario.key}), replicate {replicate}, seed "
        f"{study.seed}",
        "truth  " + ", ".join(f"{name} {value:g}" for name, value in study.truth(scenario).items()),
        "",
        *_data(again.data),
    ]
    for estimator in study.answering(scenario):
        answer = again.blocks[estimator.name]
        lines += ["", f"estimator {estimator.name}", *_fit(answer, again.fits[estimator.name])]
        for m, label in enumerate(estimator.labels):
            matrix = again.matrices.get((estimator.name, label))
            lines += ["", *_method(answer, m, label, tuple(estimator.parameters), matrix)]
    return "\n".join(lines)


def _data(data: Data | Exception) -> list[str]:
    """Summarize the data set."""
    if isinstance(data, Exception):
        return [f"data   none: {describe(data)}"]
    parts = data if isinstance(data, Mapping) else {"data": data}
    lines = [f"data   {observations(data)} observations"]
    for name, values in parts.items():
        array = np.asarray(values)
        text = f"  {name} {array.dtype} {array.shape}"
        if array.dtype.kind in "fiub" and array.size:
            low, middle, high = np.quantile(array, [0, 0.5, 1])
            text += f": min {low:g}, median {middle:g}, mean {array.mean():g}, max {high:g}"
        lines.append(text)
    return lines


def _fit(block: Block, fit: Fit | None) -> list[str]:
    """Describe the fit."""
    status = Status(int(block.audit["status"][0]))
    lines = [f"  fit: {status.name}. {status.sentence}"]
    if block.audit["message"][0]:
        lines.append(f"  message: {block.audit['message'][0]}")
    if block.audit["warnings"][0]:
        lines.append(f"  warnings: {block.audit['warnings'][0]}")
    if fit is not None:
        lines += [
            f"  theta {_row(fit.theta)}",
            f"  log-likelihood {fit.loglik:.10g}, EDM {fit.edm:.3g}, optimizer's own flag "
            f"{'success' if fit.success else 'failed'}",
            f"  unit-diagonal Hessian: smallest eigenvalue {fit.smallest:.3g}, condition "
            f"{fit.condition:.3g}; {fit.iterations} iterations, {fit.evaluations} evaluations",
        ]
    return lines


def _method(block: Block, m: int, label: str, names: tuple[str, ...], matrix: Any) -> list[str]:
    """Describe a method's answer."""
    status = Status(int(block.status[0, m]))
    lines = [f"  {label}: {status.name}. {status.sentence}"]
    if matrix is not None:
        lines += ["    covariance " + _row(row) for row in np.atleast_2d(matrix)]
    if status == Status.ok:
        lines += [
            f"    {name}: se {block.se[0, m, j]:.10g}, interval [{block.lower[0, m, j]:.10g}, "
            f"{block.upper[0, m, j]:.10g}]"
            for j, name in enumerate(names)
        ]
    return lines


def _row(values: Any) -> str:
    return " ".join(f"{value:16.10g}" for value in np.asarray(values, dtype=float))
