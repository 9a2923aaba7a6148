"""Run what is pending: from the store's list through an executor back to the store.

A task is a few values; the worker loads the study itself and answers in plain arrays.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simstudy.arrays import Array, observations
from simstudy.design.checks import validate
from simstudy.design.drawing import example
from simstudy.design.loading import Reference, load
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.engines.loop import block, limited, unanswered
from simstudy.engines.programs import bucket
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.execution.dask_cluster import Dask, by_value, on_dask
from simstudy.execution.executors import Home, survey
from simstudy.execution.first_look import Look, first_look, isolated_look
from simstudy.execution.options import results_folder
from simstudy.execution.progress import Failures, Progress, Stopped
from simstudy.execution.supervisor import (
    IN_FLIGHT,
    Given,
    Local,
    NoWorkers,
    Pool,
    SetAside,
    Task,
    answers,
)
from simstudy.execution.workers import start
from simstudy.files.folder_lock import WHOLE, lock_folder, lock_manifest, move_aside
from simstudy.files.writing import relative_path
from simstudy.methods.resampling import Refits
from simstudy.processes.interrupts import (
    interruptible,
    raise_if_interrupted,
    set_last_words,
    shielded,
    unshielded,
)
from simstudy.records.block import Block
from simstudy.status import Status
from simstudy.store import witness
from simstudy.store.journal import Store
from simstudy.user_code.time_limit import Limit
from simstudy.warning_capture import suppressed_output

SECONDS_PER_TASK = 2.0
BYTES_PER_TASK = 2**25  # of data
LARGEST_BLOCK = 500
FILLS_A_PROGRAM = 1024
WORTH_COMPILING = 3000
BLOCK_EFFORT, FIRST_EFFORT = 2**21, 2**18  # observations times parameters, 2**17 at a time
BLOCK_WITH_LIMIT = 20
MANY_JOBS = 64
ENGINES = ("auto", "loop", "batched")


class Answer(NamedTuple):
    """What a worker sends: arrays by estimator, seconds of compiling, how its versions differ."""

    arrays: dict[str, dict[str, Array]]
    compiling: float = 0.0
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    folder : Path
        The results folder.
    done, asked : int
        Replicates stored now, and asked for, over all scenarios.
    computed : int
        Replicates this run added.
    seconds : float
    interrupted : bool
        Ctrl-C or a signal stopped it; what was finished is stored.
    fits : int
        Fits of this run that gave an estimate.
    """

    folder: Path
    done: int
    asked: int
    computed: int
    seconds: float
    interrupted: bool
    fits: int


def run(
    study: Study,
    *,
    reference: Reference | None = None,
    out: str | Path | None = None,
    replicates: int | None = None,
    jobs: int = -1,
    engine: str = "auto",
    size: int | None = None,
    seed: int | None = None,
    scenarios: Sequence[int] | None = None,
    executor: Executor | None = None,
    timeout: float | None = None,
    max_fail: float | None = None,
    shard: tuple[int, int] | None = None,
    fresh: bool = False,
    accept_code: bool = False,
    accept_versions: bool = False,
    quiet: bool = False,
    command: str = "",
    goal: tuple[str, int] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Outcome:
    """Run a study as far as it is not yet done.

    Parameters
    ----------
    study : Study
    reference : Reference, optional
        The file that workers load the study from; without it the study travels by value.
    out : path, optional
        Results folder; `results/<name>` by default.
    replicates, seed : int, optional
        Instead of the study's own.
    jobs : int
        Worker processes; -1 is one for each core. 1 is no worker at all: it begins at once, and
        code that ends its process ends this one. Else replicates run in workers only.
    engine : {"auto", "loop", "batched"}
        The loop around SciPy, or compiled JAX programs; auto goes on with the engine that a folder
        was begun with, and otherwise picks by the number of fits and by what the models can do.
    size : int, optional
        Replicates per block; by default about two seconds' work. It changes no number.
    scenarios : sequence of int, optional
        Only these scenarios, by number.
    executor : concurrent.futures.Executor, optional
        Use this instead of local workers. They must run what runs here: simstudy, Python and the
        packages that numbers depend on are compared before work starts, and with the first task of
        a worker that comes later.
    timeout : float, optional
        Seconds that a replicate may take; one that takes longer has the status `timeout`. Never
        run in this process, nor in threads of it, and by the loop engine.
    max_fail : float, optional
        Stop when more than this share of the fits has failed, after 20 replicates. Without it a
        run stops only when its first 20 replicates all raise, hang or crash.
    shard : (int, int), optional
        Which share of every scenario, of how many, to run: (1, 4) is the first quarter. Shares may
        run at the same time in one folder.
    fresh : bool
        Begin anew; a folder that holds results is moved aside, never deleted.
    accept_code : bool
        Go on in a folder although code was changed; the report says what.
    accept_versions : bool
        Let workers of an executor run other versions than this process; the report says which.
    quiet : bool
        No progress line.
    command : str
        How to run it again; kept in the manifest for the report.
    goal : (str, int), optional
        What the replicates asked for are a step to, and the most that it may take: the engine is
        chosen for these, and the manifest keeps both.
    meanwhile : callable, optional
        Called in a thread of its own when everything is checked and the work begins.

    Returns
    -------
    Outcome

    Raises
    ------
    StudyError
        For anything wrong with the study or the options, before any worker starts.
    Stopped
        When the folder cannot be written any more, or (`Failing`) too much fails.
    """
    began = time.monotonic()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    study = _with(study, replicates, seed)
    store = Store(
        results_folder(out, study.name)
    )  # before any of the study's code may change folder
    shown = relative_path(store.folder, Path.cwd())
    set_last_words(
        f"what {shown} holds stays" if store.begun() else "nothing is stored yet", command
    )
    alone = jobs == 1 and executor is None
    jobs = workers(jobs, here=executor is None)
    if size is not None and size < 1:
        raise StudyError(f"size is {size}; give at least 1 replicate per block")
    if timeout is not None and not 0 < timeout < np.inf:
        raise StudyError(f"timeout is {timeout}; give seconds, more than 0")
    chosen = _chosen(study, scenarios)
    validate(study)
    home = None if executor is None else Home.here(accept_versions, timeout is not None)
    differing = survey(executor, home) if executor and home else []
    if fresh and store.begun():
        print(f"results moved aside: {move_aside(store.folder)}", file=sys.stderr)
    share = WHOLE if shard is None else f"{shard[0]}-of-{shard[1]}"
    whole = study if goal is None else replace(study, replicates=max(goal[1], study.replicates))
    with suppressed_output():
        engine, why = _engine(engine, whole, store, timeout)
    # what may hang or end its process is not tried in this one
    origin = reference if reference and not on_dask(executor) else _Value(by_value(study))
    look: Look | None = None
    if timeout is None and (alone or executor is not None):
        look = first_look(study, chosen, engine == "loop")
    elif timeout is None:
        load = functools.partial(_given, origin, study.seed, study.replicates)
        look = isolated_look(load, study, chosen, engine == "loop")
    pace, known = look or Look(SECONDS_PER_TASK / BLOCK_WITH_LIMIT, {})
    with lock_folder(store.folder, share), interruptible():
        chose = {"engine": engine, "engine_why": why, "jobs": jobs, "goal": goal}
        with lock_manifest(store.folder):
            _begun_with(engine, store)  # by another share, meanwhile
            store.open(study, reference, {**chose, "command": command}, known,
                       shared=shard is not None, accept_code=accept_code)  # fmt: skip
            store.manifest_file.add_accepted(differing)
        asked = study.replicates * len(study.scenarios)

        def tell(done: int) -> None:
            set_last_words(f"{done:,} of {asked:,} replicates are stored in {shown}", command)

        tell(_done(study, store))
        if timeout is None:
            from simstudy.store.information_equality import write_tests

            write_tests(study, store.folder)
        for path in store.check():
            print(f"damaged block moved aside, to be run again: {path}", file=sys.stderr)
        size, first = (size, size) if size else _sizes(engine, study, pace, jobs)
        todo = {}
        for since in store.extensions():
            pending = store.pending(study, study.replicates, size, since)
            tasks = [task for task in pending if task[0] in chosen]
            tasks = tasks if shard is None else _share(tasks, study.replicates, *shard)
            todo[since] = _begun_small(tasks, first, jobs)
        call = functools.partial(work, origin, study.seed, study.replicates, engine, home)
        ask = functools.partial(_answers, jobs=jobs, alone=alone, executor=executor, limit=timeout,
                                engine=engine)  # fmt: skip
        total = sum(last - first for tasks in todo.values() for _, first, last in tasks)
        before = _done(study, store)
        aside = threading.Thread(target=meanwhile or (lambda: None), daemon=True)
        aside.start()
        with contextlib.closing(Progress(total, quiet)) as progress:
            alike = functools.partial(_alike, known, engine, executor is None)
            coming = _blocks(study, store, call, ask, todo, progress, alike)
            computed, fits, stopped = _journal(
                study, store, coming, progress, Failures(max_fail), lambda n: tell(before + n)
            )
        if not stopped:
            aside.join()
        seconds = time.monotonic() - began
        entry = {"started": started, "seconds": round(seconds, 3), "replicates": computed,
                 "compiling": round(progress.compiling, 3)}  # fmt: skip
        if shard is None:
            with lock_manifest(store.folder):
                store.manifest_file.add_run(entry)
        else:
            store.manifest_file.keep_share(share, entry)
    done = _done(study, store)
    tell(done)
    return Outcome(store.folder, done, asked, computed, seconds, stopped, fits)


def _done(study: Study, store: Store) -> int:
    """Count the replicates that are stored of those asked for, over all scenarios."""
    pending = [
        last - first
        for since in store.extensions()
        for _, first, last in store.pending(study, study.replicates, 10**9, since)
    ]
    return study.replicates * len(study.scenarios) - sum(pending)


def _blocks(
    study: Study,
    store: Store,
    call: Callable[..., Answer],
    ask: Callable[..., Generator[tuple[Task, Answer | SetAside]]],
    todo: Mapping[int, Sequence[Task]],
    progress: Progress,
    alike: Callable[[Study, int, Mapping[str, Block]], None],
) -> Generator[tuple[Task, int, dict[str, Block]]]:
    """Yield (task, extension, blocks by estimator), of the whole study first."""
    known: set[str] = set()
    for since, tasks in todo.items():
        methods = store.methods(since) if since else None
        part = study if methods is None else study.part(methods)
        with contextlib.closing(ask(functools.partial(call, methods), tasks)) as coming:
            for task, answer in coming:
                if isinstance(answer, SetAside):
                    yield task, since, unanswered(part, *task[:2], answer.status, answer.message)
                    continue
                progress.compiling += answer.compiling
                if answer.differing and not known.issuperset(answer.differing):
                    known |= set(answer.differing)
                    with lock_manifest(store.folder):
                        store.manifest_file.add_accepted(answer.differing)
                found = {name: Block.from_arrays(arrays) for name, arrays in answer.arrays.items()}
                if task[1] == 0:
                    alike(part, task[0], found)
                yield task, since, found


def _alike(
    known: witness.Answers,
    engine: str,
    here: bool,
    study: Study,
    index: int,
    blocks: Mapping[str, Block],
) -> None:
    """Refuse a replicate 0 that a worker answered otherwise than the first look.

    Another machine, or the other engine, may answer with other last bits.
    """
    made = witness.bits() if here and engine == "loop" else ""
    lines = witness.unlike(
        known, witness.answers(study, {index: blocks}, made), fits=engine == "loop"
    )
    if lines:
        shown = "\n  ".join(lines[: witness.MOST_LINES])
        raise StudyError(
            f"the study answers otherwise each time it is loaded:\n  {shown}\nit may be that "
            f"{witness.CAUSE}. Write what differs into the study's file as a constant, and begin "
            "anew with --fresh"
        )


def _journal(
    study: Study,
    store: Store,
    coming: Generator[tuple[Task, int, dict[str, Block]]],
    progress: Progress,
    failures: Failures,
    tell: Callable[[int], None],
) -> tuple[int, int, bool]:
    """Save answers as they come; return replicates, fits, and whether Ctrl-C ended it."""
    computed = fits = 0
    try:
        with shielded(), contextlib.closing(coming):
            for (index, first, last), since, blocks in coming:
                _save(store, study.scenarios[index].key, first, last, blocks, since)
                computed += last - first
                tell(computed)
                good = sum(int((b.audit["status"] == Status.ok).sum()) for b in blocks.values())
                fits += good
                progress.add(last - first, (last - first) * len(blocks) - good)
                failures.add(blocks)
                raise_if_interrupted()
    except KeyboardInterrupt:
        return computed, fits, True
    except ConnectionError as error:
        raise Stopped(
            f"{error.strerror or error}; what is stored stays, and the same command goes on from "
            "there"
        ) from error
    except NoWorkers as error:
        raise Stopped(
            f"{error}; what is stored stays: end other programs, or ask for fewer with --jobs"
        ) from error
    return computed, fits, False


def _save(
    store: Store, key: str, first: int, last: int, blocks: Mapping[str, Block], since: int
) -> None:
    """Save one task's answers."""
    try:
        store.save(key, first, last, blocks, since)
    except OSError as error:
        raise Stopped(
            f"cannot write to {store.folder}: {error.strerror}; what is stored stays: make room, "
            "and the same command goes on from there"
        ) from error


def work(
    origin: Reference | _Value,
    seed: int,
    replicates: int,
    engine: str,
    home: Home | None,
    methods: Mapping[str, Sequence[str]] | None,
    task: Task,
    limit: Limit | None = None,
) -> Answer:
    """Answer for one task, in a worker or at home: arrays by estimator.

    With these methods only, where some are given. Somebody's worker first compares what it runs
    with what runs at home.
    """
    differing = () if home is None else tuple(home.compared())
    study = _given(origin, seed, replicates)
    if methods is not None:
        study = study.part(methods)
    compiling = 0.0
    if limit is not None:
        found = limited(study, *task, limit)
    elif engine != "batched":
        found = block(study, *task)
    else:
        from simstudy.engines import batched, programs

        before = programs.compiling()
        found = batched.block(study, *task)
        compiling = programs.compiling() - before
    return Answer({name: part.arrays() for name, part in found.items()}, compiling, differing)


def _given(origin: Reference | _Value, seed: int, replicates: int) -> Study:
    """Return the study that is run."""
    return replace(_study(origin), seed=seed, replicates=replicates)


@dataclass(frozen=True, slots=True)
class _Value:
    """A study that has no file, as cloudpickle wrote it for the workers of this process."""

    content: bytes


@functools.lru_cache(maxsize=4)
def _study(origin: Reference | _Value) -> Study:
    """Load the study once per process."""
    if isinstance(origin, _Value):
        import cloudpickle

        study: Study = cloudpickle.loads(origin.content)
        return study
    study, found = load(origin.path)
    if found.digest != origin.digest:
        raise StudyError(
            f"{origin.path}, or a module that it imports, was changed while the study runs; run it "
            "again"
        )
    return study


def _answers(
    call: Callable[..., Answer],
    tasks: Sequence[Task],
    jobs: int,
    alone: bool,
    executor: Executor | None,
    limit: float | None,
    engine: str,
) -> Generator[tuple[Task, Answer | SetAside]]:
    """Yield the answers as they come: from here, from local workers, or from an executor."""
    if not tasks:
        return
    if alone and limit is None:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            for task in tasks:
                with unshielded(), suppressed_output():
                    answer = call(task)
                yield task, answer
        return
    pool: Pool
    if executor is not None:
        own = on_dask(executor)
        pool = Dask(executor, limit) if own else Given(executor, IN_FLIGHT * jobs, limit)
    else:
        pool = Local(start, min(jobs, len(tasks)), engine == "loop", limit)
    with contextlib.closing(answers(call, tasks, pool)) as coming:
        yield from coming


def _engine(engine: str, study: Study, store: Store, timeout: float | None) -> tuple[str, str]:
    """Choose the engine, and say why; the choice depends on nothing that is timed."""
    if engine not in ENGINES:
        raise StudyError(f"engine is {engine!r}; allowed are {', '.join(map(repr, ENGINES))}")
    before = _begun_with(engine, store)
    fits = sum(_fits(study, scenario) for scenario in study.scenarios)
    if before == "loop":
        if not store.begun() or engine == "loop":
            return "loop", "asked for"
        large = fits >= WORTH_COMPILING and timeout is None
        other = "; another one, by --out, may be quicker by the batched engine" if large else ""
        return "loop", f"the folder was begun with it{other}"
    engine = before
    if timeout is not None:
        if engine == "batched":
            raise StudyError(
                "the batched engine runs many replicates at once and cannot stop one of them: "
                "leave the time limit out, or ask for the loop engine"
            )
        return "loop", "a time limit is for one replicate after another"
    if engine == "auto" and fits < WORTH_COMPILING:
        return "loop", f"{fits:,} fits are done before a program is compiled"
    from simstudy.engines.batched import hindrance

    reasons = [
        hindrance(estimator, example(study, scenario))
        for scenario in study.scenarios
        for estimator in study.answering(scenario)
        if isinstance(estimator, MaximumLikelihood)
    ] or ["no estimator is a maximum likelihood fit"]
    trouble = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    if all(reasons):
        if engine == "batched":
            raise StudyError(f"the batched engine cannot run this study: {trouble}")
        return "loop", trouble
    why = "asked for" if engine == "batched" else f"{fits:,} fits"
    return "batched", f"{why}; by the loop where {trouble}" if trouble else why


def _begun_with(engine: str, store: Store) -> str:
    """Return the engine that a folder was begun with; that which is asked for where it was not."""
    before = str(store.manifest()["engine"]) if store.begun() else engine
    if engine not in ("auto", before):
        raise StudyError(
            f"{store.folder} was begun with the {before} engine; the {engine} engine agrees with "
            "it to rounding only, and results are never mixed: leave --engine out, or give another "
            "folder with --out"
        )
    return before


def _fits(study: Study, scenario: Scenario) -> int:
    """Count the fits and refits of a scenario."""
    refits = [
        min(study.fewer.get(method.name, study.replicates), study.replicates) * source.count
        for estimator in study.answering(scenario)
        if isinstance(estimator, MaximumLikelihood)
        for method in estimator.methods
        for source in method.sources
        if isinstance(source, Refits)
    ]
    return study.replicates * len(study.answering(scenario)) + sum(refits)


def _sizes(engine: str, study: Study, pace: float, jobs: int) -> tuple[int, int]:
    """Choose the replicates per block, and of the first ones, which are stored soon.

    About two seconds' work by the loop. In batches what fills a program, neither memory nor time:
    the work of a replicate is that of its fits, each of its padded length and its parameters.
    """
    if engine == "loop":
        size = int(np.clip(SECONDS_PER_TASK / pace, 1, LARGEST_BLOCK))
        return size, size
    data = [example(study, scenario) for scenario in study.scenarios]
    large = max(
        sum(np.asarray(v).nbytes for v in (d.values() if isinstance(d, Mapping) else [d]))
        for d in data
    )
    length = max(bucket(observations(d)) for d in data)
    width = max(len(estimator.parameters) for estimator in study.estimators)
    fits = max(_fits(study, scenario) for scenario in study.scenarios) / study.replicates
    effort = length * width * fits
    most = np.clip(min(BYTES_PER_TASK // large, BLOCK_EFFORT // effort), 1, 4 * FILLS_A_PROGRAM)
    least = np.clip(FILLS_A_PROGRAM / fits, 1, most)
    size = int(np.clip(study.replicates // (2 * jobs), least, most))
    return size, int(np.clip(FIRST_EFFORT // effort, 1, size))


def _begun_small(tasks: Sequence[Task], size: int, jobs: int) -> list[Task]:
    """Cut a small task from each that the workers begin with."""
    now = [(index, first, min(first + size, last)) for index, first, last in tasks[:jobs]]
    rest = [(index, first + size, last) for index, first, last in tasks[:jobs]]
    return [*now, *(task for task in rest if task[1] < task[2]), *tasks[jobs:]]


def _share(tasks: Sequence[Task], replicates: int, part: int, parts: int) -> list[Task]:
    """Cut from tasks what belongs to one share: the same slice of every scenario."""
    low, high = (replicates * (part - 1)) // parts, (replicates * part) // parts
    cut = [(index, max(first, low), min(last, high)) for index, first, last in tasks]
    return [(index, first, last) for index, first, last in cut if first < last]


def _with(study: Study, replicates: int | None, seed: int | None) -> Study:
    """Put the options in the place of the study's own numbers."""
    if replicates is not None:
        study = replace(study, replicates=replicates)
    return study if seed is None else replace(study, seed=seed)


def workers(jobs: int, *, here: bool = True) -> int:
    """Resolve the number of workers; so many as this machine can use where they are here."""
    if jobs == 0 or jobs < -1:
        raise StudyError(f"jobs is {jobs}; give at least 1, or -1 for one on each core")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = int(cores or 1)
    most = max(MANY_JOBS, 4 * cores)
    if here and jobs > most:
        raise StudyError(
            f"jobs is {jobs:,}, and this machine has {cores} cores; give at most {most}, or -1 for "
            "one on each core"
        )
    return cores if jobs == -1 else jobs


def _chosen(study: Study, scenarios: Sequence[int] | None) -> list[int]:
    """Resolve the scenarios to run."""
    every = range(len(study.scenarios))
    chosen = list(every) if scenarios is None else list(scenarios)
    unknown = [index for index in chosen if index not in every]
    if unknown or not chosen:
        keys = "\n  ".join(f"{i}: {study.scenarios[i].key}" for i in every)
        came = f"no scenario {unknown[0]}" if unknown else "scenarios is empty"
        raise StudyError(f"{came}; there are\n  {keys}")
    return chosen
