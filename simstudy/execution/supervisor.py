"""Tasks through workers that may die: what was in flight is run again, the culprit is found.

A task is (scenario, first, last). Whatever happens to workers, every replicate is answered or set
aside with its status, and each answer is yielded once.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import shutil
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from simstudy.execution.workers import deaf, scratch
from simstudy.processes.interrupts import raise_if_interrupted
from simstudy.status import Status
from simstudy.user_code.time_limit import Limit, read_notes

Task = tuple[int, int, int]
DEADLY = 2
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
IN_FLIGHT = 3
LOOK, CHECK = 0.1, 5.0  # seconds between two looks for an interrupt, and for anybody who answers


@dataclass(frozen=True, slots=True)
class SetAside:
    """In the place of an answer: why one replicate has none."""

    status: Status
    message: str


class NoWorkers(RuntimeError):
    """Workers cannot be started; the message says why."""


class Pool(Protocol):
    """Where tasks run: at most so many; `together` where one death ends them all."""

    together: bool

    @property
    def most(self) -> int:
        """Tasks in flight."""

    def submit(self, call: Callable[..., Any], task: Task, alone: bool) -> Future[Any]:
        """Start a task; `alone` where it is under suspicion."""

    def died(self, error: BaseException) -> bool:
        """Tell whether an error means that a worker died."""

    def renew(self) -> dict[tuple[int, int], str]:
        """Replace what died; return the notes that the dead left (see `timelimit.notes`)."""

    def check(self) -> None:
        """Raise an OSError or NoWorkers where nothing will ever answer."""

    def close(self, flying: Collection[Future[Any]]) -> None:
        """End the workers, or what they are busy with."""


@dataclass(slots=True)
class Local:
    """Worker processes of this machine, started anew when one of them dies.

    Parameters
    ----------
    start : callable
        Starts so many: `start(jobs) -> Executor`, of loky.
    jobs : int
    marked : bool
        Whether a call takes `limit`, by which a suspect notes what it is doing.
    """

    start: Callable[[int], Any]
    jobs: int
    marked: bool
    limit: float | None = None
    notes: Path = field(default_factory=scratch)
    executor: Any = None
    single: bool = False
    silent: bool = False
    together: bool = True

    @property
    def most(self) -> int:
        """Tasks in flight."""
        return IN_FLIGHT * self.jobs

    def submit(self, call: Callable[..., Any], task: Task, alone: bool) -> Future[Any]:
        """Start a task, and the workers with the first one; for suspects one is enough."""
        if self.executor is not None and self.single != alone:
            self._end(kill=False)
        if self.limit is not None or (alone and self.marked):
            seconds = math.inf if self.limit is None else self.limit
            call = functools.partial(call, limit=Limit(seconds, str(self.notes)))
        try:
            if self.executor is None:
                self.executor, self.single = self.start(1 if alone else self.jobs), alone
            with deaf():
                future: Future[Any] = self.executor.submit(call, task)
        except BrokenExecutor:
            raise
        except (OSError, EOFError, RuntimeError) as error:  # no memory, no process, no thread
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            where = ": /dev/shm, where processes meet" if full else ""
            raise NoWorkers(f"workers cannot be started ({error}{where})") from error
        return future

    def died(self, error: BaseException) -> bool:
        """Tell whether an error means that a worker died, or was told to by the study's code."""
        return isinstance(error, BrokenExecutor | KeyboardInterrupt)

    def renew(self) -> dict[tuple[int, int], str]:
        """End the workers that are left; read the notes."""
        self._end(kill=True)
        return read_notes(str(self.notes))

    def check(self) -> None:
        """Raise where loky's thread has ended, seen twice: nobody would tell."""
        thread = getattr(self.executor, "_executor_manager_thread", None)
        before, self.silent = self.silent, thread is not None and not thread.is_alive()
        if before and self.silent:
            raise NoWorkers("workers cannot be kept at work: too many processes (ulimit -u)")

    def close(self, flying: Collection[Future[Any]]) -> None:
        """End the workers, at once where they are busy."""
        self._end(kill=bool(flying))
        shutil.rmtree(self.notes, ignore_errors=True)

    def _end(self, kill: bool) -> None:
        """End the workers; those to be killed first of all, whatever state loky is in."""
        executor, self.executor = self.executor, None
        if executor is None:
            return
        if kill:
            for pid in list(getattr(executor, "_processes", {})):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, KILL)
            # Its thread then finds the workers dead. Told to kill them, it fails by what is not
            # yet handed over; and it waits for ever for half an answer, or to hand on a task.
            if calls := getattr(executor, "_call_queue", None):
                calls.cancel_join_thread()
            # Closed under it only where it waits: else it closes the same pipe at the same moment.
            thread = getattr(executor, "_executor_manager_thread", None)
            if thread is not None and thread.is_alive():
                thread.join(0.5)
                if thread.is_alive():
                    with contextlib.suppress(OSError):
                        executor._result_queue._writer.close()
            executor.shutdown(wait=False)
        else:
            executor.shutdown()


@dataclass(slots=True)
class Given:
    """Anyone's executor, which cannot be started anew."""

    executor: Executor
    most: int
    limit: float | None = None
    together: bool = False

    def submit(self, call: Callable[..., Any], task: Task, alone: bool) -> Future[Any]:
        """Start a task."""
        if self.limit is not None:
            call = functools.partial(call, limit=Limit(self.limit, ""))
        return self.executor.submit(call, task)

    def died(self, error: BaseException) -> bool:
        """Let every error through."""
        return False

    def renew(self) -> dict[tuple[int, int], str]:
        """Do nothing: nothing died."""
        return {}

    def check(self) -> None:
        """Do nothing: the executor tells."""

    def close(self, flying: Collection[Future[Any]]) -> None:
        """Leave the executor to whom it belongs."""
        for future in flying:
            future.cancel()


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
    if pool.together and any(pool.died(failure) for failure in failures):
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
