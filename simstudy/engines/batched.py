"""The batched engine: the loop engine's block from compiled programs, one lane per data set.

Data sets of like length are stacked and go through a program (`simstudy.engines.programs`)
together. The curvature it finds goes through the same covariance, interval and record code as in
the loop engine. Methods that need something else (SciPy's own optimizers, other libraries'
Hessians) answer one fit at a time, from the fits of the batch, and what a program came to no
verdict on goes to the loop.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simstudy.arrays import observations
from simstudy.design.dependent_terms import Question, dependent_terms
from simstudy.design.drawing import example
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.engines import newton, programs
from simstudy.engines.fits import Lanes, fit_at, in_programs, run_lanes
from simstudy.engines.loop import draws_of
from simstudy.engines.refits import refits
from simstudy.engines.stacking import grouped
from simstudy.estimators.answering import answer_all_fits, answer_one_fit, fitted_of
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Draws, Estimator, checked, finished, write
from simstudy.likelihood.estimands import quantities
from simstudy.likelihood.points import conditioning
from simstudy.likelihood.supports import from_working, to_working
from simstudy.likelihood.tracing import TracingError, disagreement, shape_hindrance
from simstudy.likelihood.verdict import in_words
from simstudy.methods.covariance import Place
from simstudy.methods.protocol import Fitted, Source
from simstudy.methods.wald import Wald
from simstudy.records.block import Block, empty, join
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS


def block(study: Study, index: int, first: int, last: int) -> dict[str, Block]:
    """Answer for replicates first, ..., last - 1 of one scenario, as `engines.loop.block` does."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {
            estimator.name: _block(study, index, estimator, draws)
            for estimator, draws in draws_of(study, index, first, last)
        }


def _block(study: Study, index: int, estimator: Estimator, draws: Draws) -> Block:
    """Answer by programs where that is possible, else by the loop."""
    if isinstance(estimator, MaximumLikelihood) and _possible(study, index, estimator, draws):
        # A padded length may meet what the example's did not.
        with contextlib.suppress(TracingError):
            return _answer(estimator, draws, _only(study, index, estimator))
    return checked(estimator, draws, estimator.answer(draws))


def hindrance(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> str | None:
    """Return None where fits of an estimator can be batched, else the reason and what to change.

    The answer is the same in every process: it is found with the scenario's example, and values are
    compared in the first scenario of the study that the model answers for.
    """
    model = estimator.model
    if estimator.as_is:
        return f"estimator {estimator.name!r} takes its estimates from plain runs of SciPy"
    if estimator.restarts:
        return f"estimator {estimator.name!r} searches from several starts, which the loop does"
    if importlib.util.find_spec("jax") is None:
        return "JAX is not installed (pip install 'simstudy[jax]')"
    programs.load()
    trouble = _trouble(Question(study, scenario, estimator))
    if trouble is None:
        return None
    return (
        f"the log-likelihood of model {model.name!r} cannot be traced by JAX ({trouble}); "
        "docs/tracing.md lists what can be traced"
    )


@functools.lru_cache(maxsize=256)  # each block asks
def _trouble(question: Question) -> str | None:
    """Say what stands in the way of tracing."""
    study, estimator = question.study, question.estimator
    data = example(study, question.scenario)
    first = next(one for one in study.scenarios if estimator in study.answering(one))
    return shape_hindrance(estimator.model, data) or _disagreement(
        Question(study, first, estimator)
    )


@functools.lru_cache(maxsize=256)
def _disagreement(question: Question) -> str | None:
    """Say where plain and traced values differ."""
    model = question.estimator.model
    theta = from_working(np.zeros(len(model.names)), model.supports)
    return disagreement(model, theta, example(question.study, question.scenario))


def _possible(study: Study, index: int, estimator: MaximumLikelihood, draws: Draws) -> bool:
    """Tell whether the fits of these draws can be batched."""
    data = next((data for data in draws.data if not isinstance(data, Exception)), None)
    return (
        data is not None
        and hindrance(study, study.scenarios[index], estimator) is None
        and shape_hindrance(estimator.model, data) is None
    )


def _only(study: Study, index: int, estimator: MaximumLikelihood) -> int | None:
    """Return the one length of data that programs take as it is, None where they may pad.

    Where terms of the log-likelihood look at other observations, padding would be looked at. Every
    length has its own program then: one is compiled, data sets of another go to the loop.
    """
    scenario = study.scenarios[index]
    if dependent_terms(study, scenario, estimator) is None:
        return None
    return observations(example(study, scenario))


def _answer(estimator: MaximumLikelihood, draws: Draws, only: int | None) -> Block:
    """Answer for a block: fits and curvature in batches, the rest one fit at a time."""
    block = empty(draws.replicates, len(estimator.methods), len(estimator.parameters))
    messages = [""] * len(draws.data)
    fits: dict[int, Fitted] = {}
    sourced: dict[int, dict[Source, Any]] = {}
    alone = [m for m, method in enumerate(estimator.methods) if not in_programs(method)]
    left = set(range(len(draws.data)))
    for group in grouped(estimator, draws, only):
        lanes = run_lanes(estimator, group)
        rows = lanes.rows
        settled = (lanes.state == newton.CONVERGED) | (lanes.state == newton.RISING)
        left -= set(rows[settled].tolist())
        try:
            _write_fits(estimator, draws, block, lanes)
        except STOPS:
            raise
        except BaseException:
            # Some fit makes a formula raise; one by one the loop engine finds out which.
            left |= set(rows.tolist())
            continue
        busy = draws.asked[rows][:, alone].any(axis=1) & (lanes.state == newton.CONVERGED)
        for k in map(int, np.flatnonzero(busy)):
            b = int(rows[k])
            fits[b] = _fitted(estimator, draws, lanes, k, only)
            sourced[b] = {source: values[k] for source, values in lanes.sources.items()}
        for k, standing in lanes.ends.items():
            row = int(rows[k])
            working = to_working(lanes.place.theta[k], estimator.model.supports)
            messages[row] = in_words(estimator.bind(draws.data[row]), working, standing)
    for b in sorted(fits):
        compiled = programs.compiling()
        messages[b] = answer_one_fit(estimator, draws, b, fits[b], sourced[b], block, alone)
        compiled = programs.compiling() - compiled
        block.seconds[b, alone] = np.maximum(block.seconds[b, alone] - compiled, 0.0)
    answer_all_fits(estimator, draws, fits, sourced, block, alone, messages)
    block = finished(block, draws, messages)
    return _by_loop(estimator, draws, sorted(left), block)


def fit_of(
    study: Study, index: int, estimator: MaximumLikelihood, draws: Draws
) -> tuple[Fitted, dict[Source, Any]] | None:
    """Return the first fit of some draws with what programs found for it, as `block` answers.

    None where programs cannot run it, or came to no verdict: the loop engine answered.
    """
    if not _possible(study, index, estimator, draws):
        return None
    only = _only(study, index, estimator)
    for group in grouped(estimator, draws, only):
        lanes = run_lanes(estimator, group)
        if lanes.state[0] == newton.CONVERGED:
            sourced = {source: values[0] for source, values in lanes.sources.items()}
            return _fitted(estimator, draws, lanes, 0, only), sourced
    return None


def _fitted(
    estimator: MaximumLikelihood, draws: Draws, lanes: Lanes, k: int, only: int | None
) -> Fitted:
    """Return one fit, which the program refits unless terms look at other observations."""
    b = int(lanes.rows[k])
    fitted = fitted_of(draws, b, estimator.bind(draws.data[b]), fit_at(lanes, k))
    return replace(fitted, refitter=refits) if only is None else fitted


def _write_fits(estimator: MaximumLikelihood, draws: Draws, block: Block, lanes: Lanes) -> None:
    """Write estimates, audit and the answers of all methods of arrays into a block."""
    good = lanes.state == newton.CONVERGED
    settled = good | (lanes.state == newton.RISING)
    rows, place, audit = lanes.rows[settled], lanes.place, block.audit
    smallest, condition = conditioning(place.hessian[settled])
    audit["success"][rows] = good[settled]
    audit["iterations"][rows] = audit["evaluations"][rows] = lanes.iterations[settled]
    audit["gradient_norm"][rows] = np.linalg.norm(lanes.gradient[settled], axis=-1)
    audit["edm"][rows] = place.edm[settled]
    audit["searches"][rows] = audit["agreed"][rows] = 1
    audit["smallest_eigenvalue"][rows], audit["condition"][rows] = smallest, condition
    audit["seconds"][lanes.rows] = lanes.seconds / len(lanes.rows)
    for k, standing in lanes.ends.items():
        block.status[lanes.rows[k]] = audit["status"][lanes.rows[k]] = standing.status
    block.status[lanes.rows[good]] = Status.ok
    audit["status"][lanes.rows[good]] = Status.ok
    block.estimate[lanes.rows[good]] = quantities(estimator.model, place.theta[good])
    for m, method in enumerate(estimator.methods):
        chosen = good & draws.asked[lanes.rows, m]
        if not (isinstance(method, Wald) and in_programs(method) and chosen.any()):
            continue
        began = time.perf_counter()
        here = Place(
            place.theta[chosen], place.loglik[chosen], place.edm[chosen], place.hessian[chosen]
        )
        given = tuple(lanes.sources[source][chosen] for source in method.sources)
        inference = method.answer(here, given, draws.level, estimator.model)
        write(block, lanes.rows[chosen], m, inference)
        block.seconds[lanes.rows[chosen], m] = (time.perf_counter() - began) / chosen.sum()


def _by_loop(
    estimator: MaximumLikelihood, draws: Draws, rows: Sequence[int], block: Block
) -> Block:
    """Let the loop engine answer where the programs came to no verdict: a saddle, a wall."""
    if not rows:
        return block
    rest = np.setdiff1d(np.arange(len(draws.data)), rows)
    kept = {name: values[rest] for name, values in block.arrays().items()}
    whole = join([Block.from_arrays(kept), estimator.answer(draws.part(rows))])
    order = np.argsort(np.concatenate([rest, np.array(rows)]))
    return Block.from_arrays({name: values[order] for name, values in whole.arrays().items()})
