"""Tasks through workers that may die: what was in flight is run again, the culprit is found.

A task is (scenario, first, last). Whatever happens to workers, every replicate is answered or set
aside with its status, and each answer is yielded once.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    wait,
)
from dataclasses import dataclass
from typing import Any

from simstudy.execution.pools import Local, Pool
from simstudy.execution.tasks import Task
from simstudy.processes.interrupts import raise_if_interrupted
from simstudy.status import Status

DEADLY = 2
LOOK, CHECK = 0.1, 5.0  # seconds between two looks for an interrupt, and for anybody who answers


@dataclass(frozen=True, slots=True)
class SetAside:
    """In the place of an answer: why one replicate has none."""

    status: Status
    message: str


def answer_alone(call: Callable[[Task], Any], pool: Local) -> Any:
    """Return what one worker answers; raise BrokenExecutor where it died."""
    future = pool.submit(call, (0, 0, 1), alone=True)
    try:
        _awaited([future], pool, 1)
    except BaseException:
        pool.renew()
        raise
    return future.result()


def answers(
    call: Callable[..., Any], tasks: Sequence[Task], pool: Pool
) -> Generator[tuple[Task, Any]]:
    """Yield each task, or parts of it, with its answer or a `SetAside`, as they come.

    When a worker dies, what was in flight is run again, one task at a time; a task that is alone
    when a worker dies is halved, and a replicate that was alone twice is set aside.
    """
    rest, suspects = deque(tasks), deque[Task]()
    deaths: Counter[Task] = Counter()
    hung: dict[tuple[int, int], str] = {}  # what was noted and has not yet fallen
    flying: dict[Future[Any], Task] = {}
    try:
        while rest or suspects or flying:
            alone = bool(suspects) and not flying
            queue = suspects if suspects else rest
            fallen: list[Task] = []
            try:
                while queue and len(flying) < (1 if suspects else pool.most):
                    raise_if_interrupted()
                    flying[pool.submit(call, queue[0], alone)] = queue[0]
                    queue.popleft()
                    if alone:
                        break
            except BrokenExecutor as error:
                if not pool.died(error):
                    raise
                if not flying:
                    pool.renew()
                    continue
            for future in _done(flying, pool):
                task, failure = flying.pop(future), _failure(future)
                if failure is None:
                    yield task, future.result()
                elif pool.died(failure):
                    fallen.append(task)
                else:
                    raise failure
            if fallen:
                yield from _again(fallen, alone, rest, suspects, deaths, hung, pool)
    finally:
        pool.close(flying)


def _done(flying: Collection[Future[Any]], pool: Pool) -> set[Future[Any]]:
    """Wait for a future; for all of them where they fell together."""
    done = _awaited(flying, pool, 1)
    failures = [failure for future in done if (failure := _failure(future)) is not None]
    if pool.falls_together and any(pool.died(failure) for failure in failures):
        return _awaited(flying, pool, len(flying))
    return done


def _awaited(flying: Collection[Future[Any]], pool: Pool, least: int) -> set[Future[Any]]:
    """Wait for so many futures, or for an interrupt."""
    kind = FIRST_COMPLETED if least == 1 else ALL_COMPLETED
    done: set[Future[Any]] = set()
    checked = time.monotonic()
    while len(done) < least:
        done = wait(flying, timeout=LOOK, return_when=kind).done
        raise_if_interrupted()
        if time.monotonic() - checked > CHECK:
            checked = time.monotonic()
            pool.check()
    return done


def _failure(future: Future[Any]) -> BaseException | None:
    """Return what a future failed with; a lost one is cancelled."""
    return CancelledError() if future.cancelled() else future.exception()


def _again(
    fallen: Sequence[Task],
    alone: bool,
    rest: deque[Task],
    suspects: deque[Task],
    deaths: Counter[Task],
    hung: dict[tuple[int, int], str],
    pool: Pool,
) -> Iterator[tuple[Task, SetAside]]:
    """Put what fell with a worker back into the queues; set aside what is known to be guilty."""
    noted = pool.renew()
    hung |= {where: words for where, words in noted.items() if words}
    count = sum(last - first for _, first, last in fallen)
    what = f"hung in replicate {', '.join(str(r) for _, r in hung)}" if hung else "died"
    print(f"a worker {what}; {count:,} replicates in flight are run again", file=sys.stderr)
    for index, first, last in fallen:
        task = (index, first, last)
        named = sorted(r for i, r in hung or noted if i == index and first <= r < last)
        if named:
            at = named[0]
            rest.extendleft([(index, *ends) for ends in ((at + 1, last), (first, at))
                             if ends[0] < ends[1]])  # fmt: skip
            task = (index, at, at + 1)
        if named and (index, named[0]) in hung:
            yield task, SetAside(Status.timeout, hung.pop((index, named[0])))
        elif hung:
            rest.appendleft(task)
        elif not alone:
            suspects.append(task)
        elif task[2] - task[1] > 1:
            middle = (first + last) // 2
            suspects.extendleft([(index, middle, last), (index, first, middle)])
        else:
            deaths[task] += 1
            if deaths[task] < DEADLY:
                suspects.appendleft(task)
            else:
                yield (
                    task,
                    SetAside(
                        Status.crashed, f"its worker died {DEADLY} times while it ran this alone"
                    ),
                )
