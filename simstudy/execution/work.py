"""What a worker does: it loads the study itself, and answers for a task in plain arrays."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from simstudy.arrays import Array
from simstudy.design.loading import Reference, load
from simstudy.design.study import Study
from simstudy.engines.loop import block, limited
from simstudy.errors import StudyError
from simstudy.execution.executors import Home
from simstudy.execution.tasks import Task
from simstudy.user_code.time_limit import Limit


@dataclass(frozen=True, slots=True)
class Pickled:
    """A study that has no file, as cloudpickle wrote it for the workers of this process."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same in all tasks of a run.

    Attributes
    ----------
    origin : Reference or Pickled
        Where a worker finds the study.
    seed, replicates : int
        In the place of the study's own.
    engine : {"loop", "batched"}
    home : Home, optional
        What somebody's worker compares with what it runs itself.
    """

    origin: Reference | Pickled
    seed: int
    replicates: int
    engine: str
    home: Home | None = None

    def study(self) -> Study:
        """Return the study that is run."""
        return replace(_loaded(self.origin), seed=self.seed, replicates=self.replicates)


class Answer(NamedTuple):
    """What a worker sends: arrays by estimator, seconds of compiling, how its versions differ."""

    arrays: dict[str, dict[str, Array]]
    compiling: float = 0.0
    differing: tuple[str, ...] = ()


def work(
    job: Job,
    methods: Mapping[str, Sequence[str]] | None,
    task: Task,
    limit: Limit | None = None,
) -> Answer:
    """Answer for one task, in a worker or at home: arrays by estimator.

    With these methods only, where some are given. Somebody's worker first compares what it runs
    with what runs at home.
    """
    differing = () if job.home is None else tuple(job.home.compared())
    study = job.study()
    if methods is not None:
        study = study.part(methods)
    compiling = 0.0
    if limit is not None:
        found = limited(study, *task, limit)
    elif job.engine != "batched":
        found = block(study, *task)
    else:
        from simstudy.engines import batched, programs

        before = programs.compiling()
        found = batched.block(study, *task)
        compiling = programs.compiling() - before
    return Answer({name: part.arrays() for name, part in found.items()}, compiling, differing)


@functools.lru_cache(maxsize=4)
def _loaded(origin: Reference | Pickled) -> Study:
    """Load the study once per process."""
    if isinstance(origin, Pickled):
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
