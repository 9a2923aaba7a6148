"""The first look at a study: whether it runs at all and gives one answer, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from pickle import dumps, loads
from typing import Any, NamedTuple

from simstudy.design.reproducibility import check_reproducible, other_random_state
from simstudy.design.study import Study
from simstudy.engines.loop import block
from simstudy.errors import StudyError
from simstudy.estimators.protocol import describe
from simstudy.execution.pools import Local, NoWorkers
from simstudy.execution.supervisor import answer_alone
from simstudy.execution.workers import start
from simstudy.records.block import AnswerError, Block
from simstudy.store import witness
from simstudy.user_code.time_limit import STOPS
from simstudy.warning_capture import suppressed_output

LONG = 2.0  # seconds that are not spent twice
TRIED = 5  # replicates until something is the study's fault rather than a data set's


class Cost(NamedTuple):
    """Seconds for a replicate of one scenario: what all have, and methods that only some have."""

    every: float
    few: dict[str, float]

    def of(self, study: Study, first: int, last: int) -> float:
        """Return the seconds for a range of replicates."""
        asked = {label: max(0, min(last, study.fewer[label]) - first) for label in self.few}
        return self.every * (last - first) + sum(self.few[label] * asked[label] for label in asked)


class Look(NamedTuple):
    """The mean seconds that a replicate takes, and what replicate 0 of each scenario answered.

    `costs` are the seconds by number of the scenario, where they were measured.
    """

    pace: float
    answers: witness.Answers
    costs: dict[int, Cost] | None = None


def first_look(study: Study, chosen: Sequence[int], again: bool) -> Look:
    """Run replicate 0 of every scenario in this process.

    An exception that comes again for replicates 1 to 4 is a programming error and stops the study
    with its traceback; one that does not is that data set's. Then replicate 0 runs once more, under
    another state of the global random generators: two answers are refused. With `again` in every
    scenario, where there is time for it, and that run is timed: the first call loads and caches.
    Otherwise where an estimator has not been seen twice.
    """
    from threadpoolctl import threadpool_limits

    answers: dict[int, dict[str, Block]] = {}
    spent: dict[int, float] = {}
    with threadpool_limits(limits=1), suppressed_output():
        for index in chosen:
            began = time.perf_counter()
            answers[index] = _first_answer(study, index)
            spent[index] = time.perf_counter() - began
        every = again and sum(spent.values()) < LONG
        seen: set[str] = set()
        for index in chosen:
            if every or not seen >= answers[index].keys():
                began = time.perf_counter()
                with other_random_state():
                    found = block(study, index, 0, 1)
                check_reproducible(study.scenarios[index], answers[index], found)
                seen |= answers[index].keys()
                if every:
                    spent[index] = time.perf_counter() - began
    costs = {index: _cost(study, index, answers[index], spent[index]) for index in chosen}
    found_first = witness.answers(study, answers, witness.bits())
    return Look(sum(spent.values()) / len(chosen), found_first, costs)


def _first_answer(study: Study, index: int) -> dict[str, Block]:
    """Return what replicate 0 answers; raise what a programming error raises."""
    try:
        return block(study, index, 0, 1, strict=True)
    except STOPS:
        raise
    except BaseException as error:
        if any(_answered(study, index, replicate) for replicate in range(1, TRIED)):
            return block(study, index, 0, 1)
        if isinstance(error, AnswerError):
            raise StudyError(f"scenario {study.scenarios[index].key!r}: {error}") from None
        if isinstance(error, Exception):
            raise
        raise StudyError(f"the study's code ended the process: {describe(error)}") from error


def _cost(study: Study, index: int, blocks: Mapping[str, Block], seconds: float) -> Cost:
    """Take from a replicate's seconds what methods took that answer for some replicates only."""
    few: dict[str, float] = {}
    for estimator in study.answering(study.scenarios[index]):
        for m, label in enumerate(estimator.labels):
            if label in study.fewer:
                spent = float(blocks[estimator.name].seconds[0, m])
                few[label] = few.get(label, 0.0) + spent
    return Cost(max(seconds - sum(few.values()), 0.0), few)


def _answered(study: Study, index: int, replicate: int) -> bool:
    """Tell whether a replicate raises nothing."""
    try:
        block(study, index, replicate, replicate + 1, strict=True)
    except STOPS:
        raise
    except BaseException:
        return False
    return True


def isolated_look(
    load: Callable[[], Study], study: Study, chosen: Sequence[int], again: bool
) -> Look | None:
    """Do what `first_look` does in a worker; return None where replicate 0 ended its process.

    Parameters
    ----------
    load : callable
        Returns the study in the worker.
    study : Study
    chosen : sequence of int
        Numbers of the scenarios.
    again : bool
        As of `first_look`.

    Raises
    ------
    StudyError
        When one scenario's first replicates all end their process, or no worker can be started.
    """
    pool = Local(start, 1, marked=False)
    try:
        found: Look = answer_alone(_Looking(load, chosen, again), pool)
        return found
    except BrokenExecutor:
        pool.renew()
        for index in chosen:
            for replicate in range(TRIED):
                try:
                    if answer_alone(_Try(load, index, replicate), pool):
                        break
                except BrokenExecutor:
                    pool.renew()
            else:
                raise StudyError(
                    f"scenario {study.scenarios[index].key!r}: the study's code ends its process "
                    f"in each of the first {TRIED} replicates (a crash in compiled code, or "
                    "os._exit); simstudy replay runs one of them alone"
                ) from None
        return None
    except NoWorkers as error:
        raise StudyError(
            f"{error}; end other programs, or run without workers (--jobs 1)"
        ) from error
    finally:
        pool.close(())


class _Looking:
    """The look of a worker; whatever is raised can be sent home."""

    def __init__(self, load: Callable[[], Study], chosen: Sequence[int], again: bool) -> None:
        """Keep what is looked at."""
        self.load, self.chosen, self.again = load, chosen, again

    def __call__(self, task: Any) -> Look:
        """Look."""
        try:
            return first_look(self.load(), self.chosen, self.again)
        except BaseException as error:
            if isinstance(error, Exception) and _travels(error):
                raise
            raise RuntimeError(describe(error)) from None


class _Try:
    """One replicate in a worker, and whether it raises nothing."""

    def __init__(self, load: Callable[[], Study], index: int, replicate: int) -> None:
        """Keep which."""
        self.load, self.index, self.replicate = load, index, replicate

    def __call__(self, task: Any) -> bool:
        """Run it."""
        return _answered(self.load(), self.index, self.replicate)


def _travels(error: Exception) -> bool:
    """Tell whether an exception is the same after a journey between processes."""
    try:
        return type(loads(dumps(error))) is type(error)
    except Exception:
        return False
