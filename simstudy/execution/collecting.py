"""From tasks through workers into the store: answers are counted and saved as they come."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from simstudy.engines.loop import unanswered
from simstudy.errors import StudyError
from simstudy.execution.dask_cluster import Dask, on_dask
from simstudy.execution.plan import Plan
from simstudy.execution.pools import IN_FLIGHT, Given, Local, NoWorkers, Pool
from simstudy.execution.progress import Failures, Progress, Stopped
from simstudy.execution.supervisor import SetAside, answers
from simstudy.execution.tasks import Task
from simstudy.execution.work import Answer, work
from simstudy.execution.workers import start
from simstudy.files.folder_lock import lock_manifest
from simstudy.processes.interrupts import raise_if_interrupted, shielded, unshielded
from simstudy.records.block import Block
from simstudy.status import Status
from simstudy.store import witness
from simstudy.store.journal import Store
from simstudy.warning_capture import suppressed_output

Answered = Generator[tuple[Task, int, dict[str, Block]]]
"""(task, extension, blocks by estimator)."""


@dataclass(slots=True)
class Collected:
    """What a run has added so far: replicates, fits that gave an estimate, whether it was ended."""

    replicates: int = 0
    fits: int = 0
    interrupted: bool = False


def collect(
    plan: Plan,
    store: Store,
    todo: Mapping[int, Sequence[Task]],
    progress: Progress,
    stored: Callable[[int], None],
) -> Collected:
    """Do the tasks and save their answers.

    Parameters
    ----------
    plan : Plan
    store : Store
        Opened for the study.
    todo : mapping of int to sequence of Task
        By extension.
    progress : Progress
        Is shown each answer.
    stored : callable
        Is told how many replicates were stored so far.

    Raises
    ------
    Stopped
        When the folder cannot be written any more, workers cannot be had, or (`Failing`) too much
        fails.
    """
    found, failures = Collected(), Failures(plan.options.max_fail)
    try:
        with shielded(), contextlib.closing(_answered(plan, store, todo, progress)) as coming:
            for (index, first, last), extension, blocks in coming:
                _save(store, plan.study.scenarios[index].key, (first, last), blocks, extension)
                found.replicates += last - first
                stored(found.replicates)
                good = sum(int((b.audit["status"] == Status.ok).sum()) for b in blocks.values())
                found.fits += good
                progress.add(last - first, (last - first) * len(blocks) - good)
                failures.add(blocks)
                raise_if_interrupted()
    except KeyboardInterrupt:
        found.interrupted = True
    except ConnectionError as error:
        raise Stopped(
            f"{error.strerror or error}; what is stored stays, and the same command goes on from "
            "there"
        ) from error
    except NoWorkers as error:
        raise Stopped(
            f"{error}; what is stored stays: end other programs, or ask for fewer with --jobs"
        ) from error
    return found


def _save(
    store: Store, key: str, span: tuple[int, int], blocks: Mapping[str, Block], extension: int
) -> None:
    """Save one task's answers."""
    try:
        store.save(key, *span, blocks, extension)
    except OSError as error:
        raise Stopped(
            f"cannot write to {store.folder}: {error.strerror}; what is stored stays: make room, "
            "and the same command goes on from there"
        ) from error


def _answered(
    plan: Plan, store: Store, todo: Mapping[int, Sequence[Task]], progress: Progress
) -> Answered:
    """Yield answers as they come, of the whole study first and then of each extension."""
    known: set[str] = set()
    for extension, tasks in todo.items():
        methods = store.methods(extension) if extension else None
        part = plan.study if methods is None else plan.study.part(methods)
        call = functools.partial(work, plan.job, methods)
        with contextlib.closing(_by_workers(plan, call, tasks)) as coming:
            for task, answer in coming:
                if isinstance(answer, SetAside):
                    blank = unanswered(part, *task[:2], answer.status, answer.message)
                    yield task, extension, blank
                    continue
                progress.compiling += answer.compiling
                if answer.differing and not known.issuperset(answer.differing):
                    known |= set(answer.differing)
                    with lock_manifest(store.folder):
                        store.manifest_file.add_accepted(answer.differing)
                found = {name: Block.from_arrays(arrays) for name, arrays in answer.arrays.items()}
                if task[1] == 0:
                    _check_first(plan, witness.answers(part, {task[0]: found}, _bits(plan)))
                yield task, extension, found


def _by_workers(
    plan: Plan, call: Callable[..., Answer], tasks: Sequence[Task]
) -> Generator[tuple[Task, Answer | SetAside]]:
    """Yield the answers as they come: from here, from local workers, or from an executor."""
    options = plan.options
    if not tasks:
        return
    if options.alone and options.timeout is None:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            for task in tasks:
                with unshielded(), suppressed_output():
                    answer = call(task)
                yield task, answer
        return
    pool: Pool
    if options.executor is None:
        jobs = min(options.workers, len(tasks))
        pool = Local(start, jobs, plan.job.engine == "loop", options.timeout)
    elif on_dask(options.executor):
        pool = Dask(options.executor, options.timeout)
    else:
        pool = Given(options.executor, IN_FLIGHT * options.workers, options.timeout)
    with contextlib.closing(answers(call, tasks, pool)) as coming:
        yield from coming


def _bits(plan: Plan) -> str:
    """Tell what decides the last bits of the answers, where that is known.

    Another machine, or the other engine, may answer with other ones.
    """
    here = plan.options.executor is None and plan.job.engine == "loop"
    return witness.bits() if here else ""


def _check_first(plan: Plan, found: witness.Answers) -> None:
    """Refuse a replicate 0 that a worker answered otherwise than the first look."""
    known = plan.look.answers if plan.look else {}
    lines = witness.differing_answers(known, found, fits=plan.job.engine == "loop")
    if lines:
        shown = "\n  ".join(lines[: witness.MOST_LINES])
        raise StudyError(
            f"the study answers otherwise each time it is loaded:\n  {shown}\nit may be that "
            f"{witness.CAUSE}. Write what differs into the study's file as a constant, and begin "
            "anew with --fresh"
        )
