"""More machines, or this one, through Dask: the study travels by value, workers come and go."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import marshal
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.execution.pools import IN_FLIGHT
from simstudy.execution.workers import settle
from simstudy.processes.names import process_name
from simstudy.user_code.dependencies import is_user_file
from simstudy.user_code.sent_modules import Sources, install, sources
from simstudy.user_code.time_limit import TOPIC, Limit

WITHOUT_WORKERS = 120.0
GONE = "the Dask scheduler is gone"


class Dask:
    """Workers behind a Dask client, which replaces the dead ones itself.

    Parameters
    ----------
    executor : distributed.cfexecutor.ClientExecutor
        As `Client.get_executor()` returns it.
    limit : float, optional
        Seconds a replicate may take.
    """

    falls_together = False

    def __init__(self, executor: Executor, limit: float | None) -> None:
        """Look at the cluster."""
        self.executor, self.limit = executor, limit
        self.seen = time.monotonic()
        self.client = executor._client  # type: ignore[attr-defined]
        self.events_read = len(
            self._ask(self.client.get_events, TOPIC)
        )  # what earlier runs left there

    @property
    def most(self) -> int:
        """Tasks in flight: by the threads that there are now."""
        return IN_FLIGHT * max(1, sum(int(n) for n in self._ask(self.client.nthreads).values()))

    def submit(self, call: Callable[..., Any], task: Any, alone: bool) -> Future[Any]:
        """Start a task."""
        if self.limit is not None:
            call = functools.partial(call, limit=Limit(self.limit, ""))
        # what is pure is not run again: a task that fell with its worker would fall for ever
        submit = functools.partial(self.executor.submit, pure=False)
        future: Future[Any] = self._ask(submit, call, task)
        return future

    def died(self, error: BaseException) -> bool:
        """Tell whether an error means that a worker died with the task, or the task was lost."""
        from distributed import KilledWorker

        if isinstance(error, CancelledError) and self.client.status != "running":
            raise ConnectionError(None, GONE)
        return isinstance(error, KilledWorker | CancelledError)

    def renew(self) -> dict[tuple[int, int], str]:
        """Return what workers said before they ended themselves."""
        events = self._ask(self.client.get_events, TOPIC)
        new, self.events_read = events[self.events_read :], len(events)
        return {tuple(event["label"]): event["words"] for _, event in new}

    def check(self) -> None:
        """Raise where there has been no worker for two minutes."""
        if self._ask(self.client.nthreads):
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > WITHOUT_WORKERS:
            raise ConnectionError(None, "the Dask cluster has no workers any more")

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Ask the scheduler, which may be gone: its client fails in many ways then."""
        try:
            return call(*arguments)
        except Exception as error:
            if isinstance(error, OSError) or self.client.status != "running":
                raise ConnectionError(None, GONE) from error
            raise

    def close(self, flying: Collection[Future[Any]]) -> None:
        """Leave the cluster to whom it belongs."""
        for future in flying:
            future.cancel()


def on_dask(executor: Executor | None) -> bool:
    """Tell whether an executor is that of a Dask client."""
    return type(executor).__module__.startswith("distributed.")


@contextlib.contextmanager
def connected(address: str, jobs: int) -> Iterator[Executor]:
    """Connect to a scheduler, or start one here with `local`; yield its executor.

    Parameters
    ----------
    address : str
        Such as "tcp://scheduler:8786", or "local".
    jobs : int
        Worker processes of a local cluster.

    Raises
    ------
    StudyError
        Without Dask, or when nothing answers at the address.
    """
    try:
        dask: Any = importlib.import_module("dask")
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise StudyError(
            "Dask is not installed: pip install 'simstudy[dask]', or run without --dask"
        ) from error
    with contextlib.ExitStack() as stack:
        # a worker's death is told at once: the runner finds the culprit
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
        try:
            if address == "local":
                cluster = distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=":0",
                    silence_logs=50,
                )  # fmt: skip
                client = distributed.Client(stack.enter_context(cluster))
                client.register_plugin(_settling(distributed))
            else:
                client = distributed.Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise StudyError(
                f"no Dask scheduler answers at {address!r} ({error}); start one with `dask "
                "scheduler`, or give --dask local"
            ) from error
        stack.enter_context(client)
        yield client.get_executor()


def _settling(distributed: Any) -> Any:
    """Make what settles the workers of a local cluster, later ones too."""
    parent = os.getpid()

    class Settling(distributed.WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            if os.getppid() == parent:  # else somebody else's processes stand between
                settle(parent)

    return Settling()


def by_value(study: Study) -> bytes:
    """Write a study so that `pickle.loads` reads it where its file is not.

    Its functions travel as values; modules that they import when they are called travel as
    sources. Code keeps the names of its files, by which the place of a hang or an exception is
    told.

    Parameters
    ----------
    study : Study
    """
    import cloudpickle

    class Writer(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            """Write code as Python itself does; some versions of cloudpickle drop its file."""
            if isinstance(value, CodeType):
                return marshal.loads, (marshal.dumps(value),)
            return super().reducer_override(value)

    own, buffer = _own(study), io.BytesIO()
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        Writer(buffer).dump(_Sent(process_name(), sources(own), study))
        return buffer.getvalue()
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


@dataclasses.dataclass(frozen=True, slots=True)
class _Sent:
    """A study that is read once what it imports can be imported."""

    sender: str
    sources: Sources
    study: Study

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how it is read: a pickle is read from front to back, the sources first."""
        return _study, (_Installed(self.sources, self.sender), self.study)


@dataclasses.dataclass(frozen=True, slots=True)
class _Installed:
    """Sources that are installed where they are read."""

    sources: Sources
    sender: str

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how it is read."""
        return install, (self.sources, self.sender)


def _study(_: None, study: Study) -> Study:
    """Return the study, of what was sent."""
    return study


def _own(study: Study) -> list[ModuleType]:
    """List the modules of a study's functions, and those whose files stand beside theirs."""
    models: list[Any] = [getattr(e, "model", e) for e in study.estimators]
    handed = [
        getattr(value, field.name)
        for value in (*(scenario.mechanism for scenario in study.scenarios), *models)
        for field in (dataclasses.fields(value) if dataclasses.is_dataclass(value) else ())
    ]
    names = {getattr(value, "__module__", None) for value in handed if callable(value)}
    files = {
        Path(module.__file__)
        for name, module in list(sys.modules.items())
        if (name in names or name.startswith("_simstudy_")) and _is_own(module) and module.__file__
    }
    homes = {path.parent for path in files}
    return [
        module
        for module in list(sys.modules.values())
        if _is_own(module) and module.__file__ and Path(module.__file__).parent in homes
    ]


def _is_own(module: ModuleType) -> bool:
    """Tell whether a module is the user's: neither installed nor ours."""
    file = getattr(module, "__file__", None) or ""
    name = getattr(module, "__name__", "__main__")
    return bool(file) and is_user_file(file) and name.split(".")[0] not in ("simstudy", "__main__")
