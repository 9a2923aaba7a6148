"""How a study is run: every option of `simstudy run`, as one frozen value."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.files.folder_lock import WHOLE

ENGINES = ("auto", "loop", "batched")
MANY_JOBS = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How a study is run: of these only the seed, and in last bits the engine, change a number.

    Parameters
    ----------
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

    Raises
    ------
    StudyError
        When a number is out of range.
    """

    reference: Reference | None = None
    out: str | Path | None = None
    replicates: int | None = None
    jobs: int = -1
    engine: str = "auto"
    size: int | None = None
    seed: int | None = None
    scenarios: Sequence[int] | None = None
    executor: Executor | None = None
    timeout: float | None = None
    max_fail: float | None = None
    shard: tuple[int, int] | None = None
    fresh: bool = False
    accept_code: bool = False
    accept_versions: bool = False
    quiet: bool = False
    command: str = ""
    goal: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        count_workers(self.jobs, here=self.executor is None)
        if self.engine not in ENGINES:
            allowed = ", ".join(map(repr, ENGINES))
            raise StudyError(f"engine is {self.engine!r}; allowed are {allowed}")
        if self.size is not None and self.size < 1:
            raise StudyError(f"size is {self.size}; give at least 1 replicate per block")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise StudyError(f"timeout is {self.timeout}; give seconds, more than 0")

    @property
    def workers(self) -> int:
        """How many workers that is."""
        return count_workers(self.jobs, here=self.executor is None)

    @property
    def alone(self) -> bool:
        """Whether this process does the work itself."""
        return self.jobs == 1 and self.executor is None

    @property
    def share(self) -> str:
        """The name of the share, by which the folder is locked."""
        return WHOLE if self.shard is None else f"{self.shard[0]}-of-{self.shard[1]}"

    def put_into(self, study: Study) -> Study:
        """Return the study with the options' numbers in the place of its own."""
        if self.replicates is not None:
            study = replace(study, replicates=self.replicates)
        return study if self.seed is None else replace(study, seed=self.seed)

    def chosen(self, study: Study) -> list[int]:
        """Return the numbers of the scenarios to run.

        Raises
        ------
        StudyError
            When there is no such scenario, or none is chosen.
        """
        every = range(len(study.scenarios))
        chosen = list(every) if self.scenarios is None else list(self.scenarios)
        unknown = [index for index in chosen if index not in every]
        if unknown or not chosen:
            keys = "\n  ".join(f"{i}: {study.scenarios[i].key}" for i in every)
            reason = f"no scenario {unknown[0]}" if unknown else "scenarios is empty"
            raise StudyError(f"{reason}; there are\n  {keys}")
        return chosen


def results_folder(out: str | Path | None, name: str) -> Path:
    """Return the absolute path of a results folder, so that no change of folder moves it.

    Raises
    ------
    StudyError
        When the given name is empty.
    """
    if out is not None and not str(out).strip():
        raise StudyError(
            f"the results folder is {str(out)!r}; give it a name, or leave it out for "
            f"{Path('results') / name}"
        )
    return Path(os.path.abspath(out if out is not None else Path("results") / name))


def count_workers(jobs: int, *, here: bool = True) -> int:
    """Return how many workers `jobs` means; so many as this machine can use where they are here.

    Raises
    ------
    StudyError
        When it is no number of workers, or more than this machine can use.
    """
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
