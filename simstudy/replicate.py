"""The loop engine: draw, fit, infer, one replicate after another."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from simstudy.arrays import Array, Data
from simstudy.estimators import Draws, Estimator, MaximumLikelihood, describe, finished
from simstudy.fit import Fit
from simstudy.heard import BETWEEN, listening
from simstudy.methods import Bootstrap, Fitted, OptimizerInverse, Wald, place_of
from simstudy.records import Block, Status, empty, join
from simstudy.streams import renewable, stream
from simstudy.study import Scenario, Study, frozen
from simstudy.timelimit import STOPS, Limit, within


def block(
    study: Study, index: int, first: int, last: int, *, strict: bool = False
) -> dict[str, Block]:
    """Answer for replicates first, ..., last - 1 of one scenario.

    Parameters
    ----------
    study : Study
    index : int
        Number of the scenario.
    first, last : int
        Range of replicates.
    strict : bool
        Let exceptions of draw, log-likelihood and methods through.

    Returns
    -------
    dict of str to Block
        One block for each estimator, by its name. It depends on nothing but (study, scenario,
        replicate): not on the range.
    """
    with np.errstate(all="ignore"):
        return {
            estimator.name: _answer(estimator, draws)
            for estimator, draws in draws_of(study, index, first, last, strict=strict)
        }


def _answer(estimator: Estimator, draws: Draws) -> Block:
    """Let one estimator answer; what it warns of without saying where is the first replicate's."""
    heard: dict[str, None] = {}
    with listening(heard):
        block = estimator.answer(draws)
    if not heard:
        return block
    texts = block.audit["warnings"].tolist()
    texts[0] = BETWEEN.join(filter(None, [texts[0], *heard]))
    return replace(block, audit={**block.audit, "warnings": np.array(texts, dtype=np.str_)})


def limited(study: Study, index: int, first: int, last: int, limit: Limit) -> dict[str, Block]:
    """Answer as `block` does, one replicate after another, each within a time limit."""
    parts = []
    for i in range(first, last):
        found = within(limit, (index, i), functools.partial(block, study, index, i, i + 1))
        if isinstance(found, str):
            found = unanswered(study, index, i, Status.timeout, found)
        parts.append(found)
    return {name: join([part[name] for part in parts]) for name in parts[0]}


def unanswered(
    study: Study, index: int, replicate: int, status: Status, message: str
) -> dict[str, Block]:
    """Return the blocks of one replicate that has no answer, by estimator."""
    found = {}
    for estimator in study.answering(study.scenarios[index]):
        asked = study.asked(estimator, [replicate])
        blank = empty([replicate], len(estimator.labels), len(estimator.parameters))
        blank.status[:] = blank.audit["status"][:] = status
        nothing = functools.partial(stream, study.seed, study.scenarios[index].key)
        draws = Draws([replicate], [], asked, nothing, study.level)
        found[estimator.name] = finished(blank, draws, [message])
    return found


def draws_of(
    study: Study, index: int, first: int, last: int, *, strict: bool = False
) -> list[tuple[Estimator, Draws]]:
    """Draw the data sets of a block once; return them with what is asked of each estimator."""
    scenario, replicates = study.scenarios[index], range(first, last)
    rng = renewable(study.seed, scenario.key, "data")
    data, heard = [], defaultdict[int, dict[str, None]](dict)
    kinds: dict[str, None] = {}
    with listening(kinds):
        for b, i in enumerate(replicates):
            data.append(_draw(scenario, rng(i), strict))
            if kinds:
                heard[b] = dict(kinds)
                kinds.clear()
    streams = functools.partial(stream, study.seed, scenario.key)
    found = []
    for estimator in study.answering(scenario):
        asked = study.asked(estimator, replicates)
        draws = Draws(replicates, data, asked, streams, study.level, strict, deepcopy(heard))
        found.append((estimator, draws))
    return found


@dataclass(frozen=True, slots=True)
class Replay:
    """One replicate again: the data, and for each estimator its fit and each method's matrix.

    `data` is the exception where there is none. `matrices` maps (estimator, method) to the
    covariance, for the methods that have one.
    """

    data: Data | Exception
    fits: dict[str, Fit | None]
    blocks: dict[str, Block]
    matrices: dict[tuple[str, str], Any]


def replay(study: Study, index: int, replicate: int) -> Replay:
    """Run one replicate again, with the same numbers, and keep everything."""
    scenario = study.scenarios[index]
    with threadpool_limits(limits=1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        blocks = block(study, index, replicate, replicate + 1)
        rng = stream(study.seed, scenario.key, replicate, "data")
        data = _draw(scenario, rng, strict=False)
        fits: dict[str, Fit | None] = {}
        matrices: dict[tuple[str, str], Any] = {}
        streams = functools.partial(stream, study.seed, scenario.key, replicate)
        for estimator in study.answering(scenario):
            answer = blocks[estimator.name]
            fits[estimator.name] = None
            failed = answer.audit["status"][0] in (Status.data_error, Status.fit_error)
            if isinstance(estimator, MaximumLikelihood) and not failed:
                target = estimator.bind(data)
                fit = fits[estimator.name] = estimator.fit(target)
                if fit.status == Status.ok:
                    fitted = Fitted(target, fit, study.level, streams)
                    matrices |= _matrices(estimator, fitted, answer.status[0])
    return Replay(data, fits, blocks, matrices)


def _matrices(
    estimator: MaximumLikelihood, fitted: Fitted, status: Array
) -> dict[tuple[str, str], Array]:
    """Return the covariance matrix of each method that answered and has one."""
    found = {}
    for m, method in enumerate(estimator.methods):
        if status[m] in (Status.method_error, Status.not_asked):
            continue
        sourced = tuple(source(fitted) for source in method.sources)
        if isinstance(method, Wald):
            value = method.matrix(place_of(fitted.fit), sourced)[0]
        elif isinstance(method, OptimizerInverse):
            value = sourced[0].inverse
        elif isinstance(method, Bootstrap):
            value = _spread(sourced[0])
        else:
            continue
        found[estimator.name, method.name] = value
    return found


def _spread(refits: Array) -> Array:
    """Covariance of the refits that succeeded."""
    return np.atleast_2d(np.cov(refits[np.isfinite(refits).all(axis=-1)], rowvar=False))


def _draw(scenario: Scenario, rng: np.random.Generator, strict: bool) -> Data | Exception:
    """Draw one data set, or return the exception in its place."""
    try:
        return frozen(scenario.mechanism.draw(rng, **scenario.factors))
    except STOPS:
        raise
    except BaseException as error:
        if strict:
            raise
        return error if isinstance(error, Exception) else RuntimeError(describe(error))
