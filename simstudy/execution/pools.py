"""Kinds of workers: processes of this machine that are started anew, and somebody's executor."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import shutil
import signal
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from simstudy.execution.tasks import Task
from simstudy.execution.workers import scratch, sigint_blocked
from simstudy.user_code.time_limit import Limit, read_notes

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
IN_FLIGHT = 3
"""Tasks that are handed out for each worker, so that none waits for the next one."""


class NoWorkers(RuntimeError):
    """Workers cannot be started; the message says why."""


class Pool(Protocol):
    """Where tasks run: at most so many; `falls_together` where one death ends them all."""

    falls_together: bool

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
    falls_together: bool = True

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
            with sigint_blocked():
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
    falls_together: bool = False

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
