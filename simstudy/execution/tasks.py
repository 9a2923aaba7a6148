"""Tasks: how much of a scenario is answered and stored at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simstudy.arrays import observations
from simstudy.design.drawing import example
from simstudy.design.study import Study
from simstudy.engines.programs import bucket
from simstudy.execution.engine_choice import fits_of

SECONDS_PER_TASK = 2.0
BYTES_PER_TASK = 2**25  # of data
LARGEST_BLOCK = 500
FILLS_A_PROGRAM = 1024
BLOCK_EFFORT, FIRST_EFFORT = 2**21, 2**18  # observations times parameters, 2**17 at a time

Task = tuple[int, int, int]
"""Scenario, first replicate, and the one behind the last."""


def block_sizes(engine: str, study: Study, pace: float, jobs: int) -> tuple[int, int]:
    """Choose the replicates per block, and of the first ones, which are stored soon.

    About two seconds' work by the loop. In batches what fills a program, neither memory nor time:
    the work of a replicate is that of its fits, each of its padded length and its parameters.

    Parameters
    ----------
    engine : {"loop", "batched"}
    study : Study
    pace : float
        Seconds for a replicate.
    jobs : int
        Workers.
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
    fits = max(fits_of(study, scenario) for scenario in study.scenarios) / study.replicates
    effort = length * width * fits
    most = np.clip(min(BYTES_PER_TASK // large, BLOCK_EFFORT // effort), 1, 4 * FILLS_A_PROGRAM)
    least = np.clip(FILLS_A_PROGRAM / fits, 1, most)
    size = int(np.clip(study.replicates // (2 * jobs), least, most))
    return size, int(np.clip(FIRST_EFFORT // effort, 1, size))


def begun_small(tasks: Sequence[Task], size: int, jobs: int) -> list[Task]:
    """Cut a small task from each that the workers begin with."""
    now = [(index, first, min(first + size, last)) for index, first, last in tasks[:jobs]]
    rest = [(index, first + size, last) for index, first, last in tasks[:jobs]]
    return [*now, *(task for task in rest if task[1] < task[2]), *tasks[jobs:]]


def in_shard(tasks: Sequence[Task], replicates: int, shard: tuple[int, int] | None) -> list[Task]:
    """Cut from tasks what belongs to one share: the same slice of every scenario."""
    if shard is None:
        return list(tasks)
    part, parts = shard
    low, high = (replicates * (part - 1)) // parts, (replicates * part) // parts
    cut = [(index, max(first, low), min(last, high)) for index, first, last in tasks]
    return [(index, first, last) for index, first, last in cut if first < last]
