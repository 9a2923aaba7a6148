"""The first half of a run: everything is looked at, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from simstudy.design.checks import validate
from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.execution.dask_cluster import by_value, on_dask
from simstudy.execution.engine_choice import choose_engine, engine_of
from simstudy.execution.executors import Home, survey
from simstudy.execution.first_look import Look, first_look, isolated_look
from simstudy.execution.options import Options, results_folder
from simstudy.execution.tasks import SECONDS_PER_TASK, Task, block_sizes, in_shard
from simstudy.execution.work import Job, Pickled
from simstudy.files.writing import duration, printable, relative_path
from simstudy.processes.interrupts import set_last_words
from simstudy.store import pending as coverage
from simstudy.store.fingerprint import describe
from simstudy.store.journal import Store
from simstudy.store.opening import begun_anew
from simstudy.warning_capture import suppressed_output

BLOCK_WITH_LIMIT = 20
"""Replicates per block where nothing was timed."""


class Pending(NamedTuple):
    """How many replicates of a scenario are to be run, of those asked for."""

    scenario: str
    left: int
    asked: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do: print it to read it, or hand it to `execute`.

    Attributes
    ----------
    study : Study
        With the numbers of the options.
    options : Options
    folder, shown : Path
        The results folder, and how it is called where the run was started.
    begun : bool
        Whether the folder holds results; the run goes on with them, or moves them aside.
    job : Job
        What is the same in all tasks, the engine too.
    why : str
        Why it is that engine.
    differing : tuple of str
        In what the workers of an executor differ, accepted.
    look : Look, optional
        What replicate 0 answered, and its seconds; not with a time limit.
    sizes : (int, int)
        Replicates per block, and of the first ones.
    pending : tuple of Pending
        By scenario, as the folder is now.
    price : float, optional
        Seconds of work of the loop engine in all, by the look.
    seconds : float
        What making this plan took.
    """

    study: Study
    options: Options
    folder: Path
    shown: Path
    begun: bool
    job: Job
    why: str
    differing: tuple[str, ...]
    look: Look | None
    sizes: tuple[int, int]
    pending: tuple[Pending, ...]
    price: float | None
    seconds: float

    @property
    def asked(self) -> int:
        """Replicates asked for, over all scenarios of the study."""
        return self.study.replicates * len(self.study.scenarios)

    def __str__(self) -> str:
        """Say it in lines."""
        left = sum(part.left for part in self.pending)
        asked = sum(part.asked for part in self.pending)
        lines = [
            f"study    {self.study.name}: {left:,} of {asked:,} replicates to run, "
            f"{asked - left:,} stored",
            f"folder   {printable(str(self.shown))} ({self._where()})",
            f"engine   {self.job.engine} ({printable(self.why)})",
            f"workers  {self._workers()}",
            f"time     {self._time()}",
            "pending",
            *(f"{part.left:>9,} of {part.asked:,}  {printable(part.scenario)}"
              for part in self.pending),
        ]  # fmt: skip
        if self.options.goal is not None:
            name, most = self.options.goal
            lines.insert(1, f"goal     {name}, in steps up to {most:,} replicates; this is the "
                            "first")  # fmt: skip
        return "\n".join(lines)

    def _where(self) -> str:
        """Say what becomes of the folder."""
        if not self.begun:
            return "is begun"
        fresh = self.options.fresh
        return "begun anew; what it holds is moved aside" if fresh else "what it holds stays"

    def _workers(self) -> str:
        """Say who does the work."""
        if self.options.executor is not None:
            return f"those of {type(self.options.executor).__name__}"
        return "this process alone" if self.options.alone else f"{self.options.workers}"

    def _time(self) -> str:
        """Say how long it may take."""
        if self.price is None:
            return "unknown: no replicate was timed"
        where = "one process" if self.options.workers == 1 else f"{self.options.workers} workers"
        each = f"about {duration(self.price / self.options.workers)} in {where}"
        if self.job.engine == "batched":
            return f"at most {each}, which the loop engine would take, and some to compile"
        return f"{each}, by the time of replicate 0 of each scenario"


def preflight(study: Study, options: Options) -> Plan:
    """Look at everything that a run needs, and tell what it will do; nothing is written.

    The study's code is tried, replicate 0 of every scenario runs and is timed, the folder and the
    workers are asked whether they fit.

    Parameters
    ----------
    study : Study
    options : Options

    Returns
    -------
    Plan

    Raises
    ------
    StudyError
        For anything wrong with the study or the options, or with what the folder holds.
    """
    began = time.monotonic()
    study = options.put_into(study)
    # before any of the study's code may change the current folder
    store = Store(results_folder(options.out, study.name))
    shown = relative_path(store.folder, Path.cwd())
    stored = store.begun()
    set_last_words(f"what {shown} holds stays" if stored else "nothing is stored yet",
                   options.command)  # fmt: skip
    chosen = options.chosen(study)
    validate(study)
    job, differing, why = _job(study, options, store)
    look = _look(study, options, chosen, job)
    pace = look.pace if look else SECONDS_PER_TASK / BLOCK_WITH_LIMIT
    size = options.size
    sizes = (size, size) if size else block_sizes(job.engine, study, pace, options.workers)
    tasks = _pending(study, options, store, chosen, look)
    return Plan(
        study, options, store.folder, shown, stored, job, why, differing,
        look, sizes, _counts(study, options, chosen, tasks), _price(study, look, tasks),
        time.monotonic() - began,
    )  # fmt: skip


def _job(study: Study, options: Options, store: Store) -> tuple[Job, tuple[str, ...], str]:
    """Compare the workers, and choose the engine: return the job, what differs, and why."""
    executor = options.executor
    home, differing = None, []
    if executor is not None:
        home = Home.here(options.accept_versions, options.timeout is not None)
        differing = survey(executor, home)
    before = None if options.fresh else engine_of(store, options.engine)
    most = options.goal[1] if options.goal else 0
    largest = replace(study, replicates=max(most, study.replicates))
    with suppressed_output():
        engine, why = choose_engine(options.engine, largest, before, options.timeout)
    origin: Reference | Pickled | None = None if on_dask(executor) else options.reference
    origin = origin or Pickled(by_value(study))
    return Job(origin, study.seed, study.replicates, engine, home), tuple(differing), why


def _look(study: Study, options: Options, chosen: Sequence[int], job: Job) -> Look | None:
    """Run replicate 0; what may hang or end its process is not tried in this one."""
    if options.timeout is not None:
        return None
    again = job.engine == "loop"
    if options.alone or options.executor is not None:
        return first_look(study, chosen, again)
    return isolated_look(job.study, study, chosen, again)


def _pending(
    study: Study, options: Options, store: Store, chosen: Sequence[int], look: Look | None
) -> list[Task]:
    """List what is not stored, in ranges that are as long as they can be."""
    answers = look.answers if look else {}
    if options.fresh:
        proposal, pieces = begun_anew(describe(study, options.reference), answers), []
    else:
        proposal = store.proposed(study, options.reference, answers,
                                  accept_code=options.accept_code)  # fmt: skip
        pieces = store.pieces()
    index = {study.scenarios[number].key: number for number in chosen}
    numbers = coverage.extensions(proposal.study)
    gaps = coverage.missing(numbers, pieces, study.replicates)
    tasks = [(index[gap.scenario], gap.first, gap.last) for gap in gaps if gap.scenario in index]
    return in_shard(tasks, study.replicates, options.shard)


def _counts(
    study: Study, options: Options, chosen: Sequence[int], tasks: Sequence[Task]
) -> tuple[Pending, ...]:
    """Count what is pending, by scenario."""
    every = in_shard([(0, 0, study.replicates)], study.replicates, options.shard)
    asked = sum(last - first for _, first, last in every)
    return tuple(
        Pending(
            study.scenarios[number].key,
            sum(last - first for index, first, last in tasks if index == number),
            asked,
        )
        for number in chosen
    )


def _price(study: Study, look: Look | None, tasks: Sequence[Task]) -> float | None:
    """Return the seconds of work that is pending; None where nothing was timed."""
    if look is None or look.costs is None:
        return None
    return sum(look.costs[index].of(study, first, last) for index, first, last in tasks)
