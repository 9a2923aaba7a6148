"""The second half of a run: what a plan says is done, and the folder keeps it.

Between the two halves the folder may have changed: what is pending is asked again under its lock.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simstudy.design.study import Study
from simstudy.execution.collecting import collect
from simstudy.execution.engine_choice import engine_of
from simstudy.execution.options import Options
from simstudy.execution.plan import Plan, preflight
from simstudy.execution.progress import Progress
from simstudy.execution.tasks import Task, begun_small, in_shard
from simstudy.files.folder_lock import lock_folder, lock_manifest, move_aside
from simstudy.processes.interrupts import interruptible, set_last_words
from simstudy.store.journal import Store


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


def run(study: Study, **options: Any) -> Outcome:
    """Run a study as far as it is not yet done.

    Parameters
    ----------
    study : Study
    **options
        Those of `simstudy.execution.options.Options`.

    Returns
    -------
    Outcome

    Raises
    ------
    StudyError, Stopped
        As of `preflight` and `execute`.
    """
    return execute(preflight(study, Options(**options)))


def execute(plan: Plan, meanwhile: Callable[[], None] | None = None) -> Outcome:
    """Do what a plan says.

    Parameters
    ----------
    plan : Plan
        Of `preflight`.
    meanwhile : callable, optional
        Called in a thread of its own when everything is checked and the work begins.

    Returns
    -------
    Outcome
        Its seconds are those of both halves.

    Raises
    ------
    StudyError
        When the folder is in use, or was begun otherwise meanwhile.
    Stopped
        When the folder cannot be written any more, or (`Failing`) too much fails.
    """
    began = time.monotonic()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    store = Store(plan.folder)
    if plan.options.fresh and store.begun():
        print(f"results moved aside: {move_aside(plan.folder)}", file=sys.stderr)
        store = Store(plan.folder)
    with lock_folder(plan.folder, plan.options.share), interruptible():
        _open(plan, store)
        todo = _todo(plan, store)
        before = _announce(plan, store)
        aside = threading.Thread(target=meanwhile or (lambda: None), daemon=True)
        aside.start()
        total = sum(last - first for tasks in todo.values() for _, first, last in tasks)
        with contextlib.closing(Progress(total, plan.options.quiet)) as progress:
            found = collect(plan, store, todo, progress, lambda added: _say(plan, before + added))
        if not found.interrupted:
            aside.join()
        seconds = plan.seconds + time.monotonic() - began
        entry = {"started": started, "seconds": round(seconds, 3), "replicates": found.replicates,
                 "compiling": round(progress.compiling, 3)}  # fmt: skip
        if plan.options.shard is None:
            with lock_manifest(plan.folder):
                store.manifest_file.add_run(entry)
        else:
            store.manifest_file.keep_share(plan.options.share, entry)
    done = _announce(plan, store)
    return Outcome(
        plan.folder, done, plan.asked, found.replicates, seconds, found.interrupted, found.fits
    )


def _open(plan: Plan, store: Store) -> None:
    """Take the folder for the study; move aside what is damaged in it."""
    options, job = plan.options, plan.job
    known = plan.look.answers if plan.look else {}
    chose = {"engine": job.engine, "engine_why": plan.why, "jobs": options.workers,
             "goal": options.goal, "command": options.command}  # fmt: skip
    with lock_manifest(plan.folder):
        engine_of(store, job.engine)  # by another share, meanwhile
        store.open(plan.study, options.reference, chose, known,
                   shared=options.shard is not None, accept_code=options.accept_code)  # fmt: skip
        store.manifest_file.add_accepted(plan.differing)
    _announce(plan, store)
    if options.timeout is None:
        from simstudy.store.information_equality import write_tests

        write_tests(plan.study, plan.folder)
    for path in store.check():
        print(f"damaged block moved aside, to be run again: {path}", file=sys.stderr)


def _todo(plan: Plan, store: Store) -> dict[int, list[Task]]:
    """List the tasks by extension, of each extension small ones first."""
    study, options, (size, first) = plan.study, plan.options, plan.sizes
    chosen, todo = options.chosen(study), {}
    for extension in store.extensions():
        pending = store.pending(study, study.replicates, size, extension)
        tasks = [task for task in pending if task[0] in chosen]
        tasks = in_shard(tasks, study.replicates, options.shard)
        todo[extension] = begun_small(tasks, first, options.workers)
    return todo


def _announce(plan: Plan, store: Store) -> int:
    """Count the replicates that are stored of those asked for, over all scenarios; keep it."""
    pending = [
        last - first
        for extension in store.extensions()
        for _, first, last in store.pending(plan.study, plan.study.replicates, 10**9, extension)
    ]
    done = plan.asked - sum(pending)
    _say(plan, done)
    return done


def _say(plan: Plan, done: int) -> None:
    """Keep for the last words how many replicates are stored."""
    stored = f"{done:,} of {plan.asked:,} replicates are stored in {plan.shown}"
    set_last_words(stored, plan.options.command)
