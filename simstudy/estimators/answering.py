"""How methods answer from fits: one fit after another, or by arrays for all fits at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from simstudy.estimators.protocol import Draws, describe, write
from simstudy.likelihood.curvature import stacked
from simstudy.likelihood.fit import Fit
from simstudy.likelihood.objective import Objective
from simstudy.methods.covariance import Place
from simstudy.methods.protocol import Fitted, Method, Source
from simstudy.methods.wald import Wald
from simstudy.records.block import AnswerError, Block
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS
from simstudy.warning_capture import captured_warnings


class Answering(Protocol):
    """What is read of a maximum likelihood estimator here."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    @property
    def methods(self) -> Sequence[Method]:
        """What answers."""


def fitted_of(draws: Draws, b: int, target: Objective, fit: Fit) -> Fitted:
    """Bind a fit to the level and the streams of its replicate."""
    return Fitted(target, fit, draws.level, draws.stream_of(b))


def answer_one_fit(
    estimator: Answering,
    draws: Draws,
    b: int,
    fitted: Fitted,
    found: dict[Source, Any],
    block: Block,
    chosen: Iterable[int],
) -> str:
    """Compute the sources of one fit that are not yet found; let methods other than Wald answer.

    Returns the troubles in words; a method that raised has its status. What methods share counts in
    the seconds of each.
    """
    trouble = []
    spent: dict[Source, float] = {}
    for m in chosen:
        if not draws.asked[b, m]:
            continue
        method, began = estimator.methods[m], time.perf_counter()
        try:
            for source in method.sources:
                if source in found:
                    block.seconds[b, m] += spent.get(source, 0.0)
                    continue
                started = time.perf_counter()
                with captured_warnings(draws.heard[b]):
                    result = source(fitted)
                spent[source] = time.perf_counter() - started
                if isinstance(result, Fit) and not any(isinstance(f, Fit) for f in found.values()):
                    block.audit["plain_iterations"][b] = result.iterations
                    block.audit["plain_edm"][b] = result.edm
                found[source] = result
            if not isinstance(method, Wald):
                with captured_warnings(draws.heard[b]):
                    inference = method(fitted, *(found[source] for source in method.sources))
                write(block, np.array([b]), m, inference)
                block.audit["failed_refits"][b] += inference.failed
        except STOPS:
            raise
        except BaseException as error:
            if draws.strict:
                _raise(error, estimator, method)
            block.status[b, m] = Status.method_error
            trouble.append(f"{method.name}: {describe(error)}")
        block.seconds[b, m] += time.perf_counter() - began
    return "; ".join(trouble)


def answer_all_fits(
    estimator: Answering,
    draws: Draws,
    fits: Mapping[int, Fitted],
    sourced: Mapping[int, Mapping[Source, Any]],
    block: Block,
    chosen: Iterable[int],
    messages: list[str],
) -> None:
    """Let the methods of arrays answer for all fits of the block at once.

    Where one raises or warns, it answers for one fit after another: only the fits that make it
    raise have the status and the message, whatever block they are in.
    """
    for m in chosen:
        method = estimator.methods[m]
        if not isinstance(method, Wald):
            continue
        rows = [
            b
            for b in fits
            if draws.asked[b, m] and all(source in sourced[b] for source in method.sources)
        ]
        if not rows:
            continue
        began = time.perf_counter()
        heard: dict[str, None] = {}
        try:
            with captured_warnings(heard):
                _at_once(draws, m, method, rows, fits, sourced, block)
            alone = rows if heard else []
        except STOPS:
            raise
        except BaseException:
            alone = rows
        for b in alone:
            try:
                with captured_warnings(draws.heard[b]):
                    _at_once(draws, m, method, [b], fits, sourced, block)
            except STOPS:
                raise
            except BaseException as error:
                if draws.strict:
                    _raise(error, estimator, method)
                block.status[b, m] = Status.method_error
                trouble = f"{method.name}: {describe(error)}"
                messages[b] = f"{messages[b]}; {trouble}" if messages[b] else trouble
        block.seconds[rows, m] += (time.perf_counter() - began) / len(rows)


def _at_once(
    draws: Draws,
    m: int,
    method: Wald,
    rows: Sequence[int],
    fits: Mapping[int, Fitted],
    sourced: Mapping[int, Mapping[Source, Any]],
    block: Block,
) -> None:
    """Let a method of arrays answer for some fits at once."""
    place = Place(
        np.stack([fits[b].fit.theta for b in rows]),
        np.array([fits[b].fit.loglik for b in rows]),
        np.array([fits[b].fit.edm for b in rows]),
        np.stack([fits[b].fit.hessian for b in rows]),
    )
    given = tuple(stacked([sourced[b][s] for b in rows]) for s in method.sources)
    model = fits[rows[0]].target.model
    write(block, np.array(rows), m, method.answer(place, given, draws.level, model))


def _raise(error: BaseException, estimator: Answering, method: Method) -> NoReturn:
    """Let an error through, with the method's name where it is a sentence about an answer."""
    if isinstance(error, AnswerError):
        raise AnswerError(
            f"estimator {estimator.name!r}, method {method.name!r}: {error}"
        ) from error
    raise error
