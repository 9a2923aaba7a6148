"""The loop engine: draw, fit, infer, one replicate after another."""

from __future__ import annotations

import functools
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

import numpy as np

from simstudy.arrays import Data
from simstudy.design.drawing import frozen
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.protocol import Draws, Estimator, checked, describe, finished
from simstudy.records.block import Block, empty, join
from simstudy.status import Status
from simstudy.streams import renewable, stream
from simstudy.user_code.time_limit import STOPS, Limit, run_within
from simstudy.warning_capture import SEPARATOR, captured_warnings


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
    with captured_warnings(heard):
        block = checked(estimator, draws, estimator.answer(draws))
    if not heard:
        return block
    texts = block.audit["warnings"].tolist()
    texts[0] = SEPARATOR.join(filter(None, [texts[0], *heard]))
    return replace(block, audit={**block.audit, "warnings": np.array(texts, dtype=np.str_)})


def limited(study: Study, index: int, first: int, last: int, limit: Limit) -> dict[str, Block]:
    """Answer as `block` does, one replicate after another, each within a time limit."""
    parts = []
    for i in range(first, last):
        found = run_within(limit, (index, i), functools.partial(block, study, index, i, i + 1))
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
    with captured_warnings(kinds):
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
