"""Run a study from Python: what `simstudy run` does, with the result as its answer."""

from __future__ import annotations

from typing import Any

from simstudy.design.study import Study
from simstudy.execution.options import Options
from simstudy.execution.plan import preflight
from simstudy.execution.runner import execute
from simstudy.execution.sequential import goal, run_until
from simstudy.result import Result


def run(
    study: Study, *, until: str | None = None, max_replicates: int = 10_000, **options: Any
) -> Result:
    """Run what is not yet done of a study and return the result.

    Parameters
    ----------
    study : Study
    until : str, optional
        Instead of a number of replicates: go on, scenario by scenario, until every verdict has
        fallen (`verdict`), or until the Monte Carlo error of a measure is small enough
        (`cover:0.005`). See `simstudy.execution.sequential.goal`. The report says where that was
        not reached.
    max_replicates : int
        Where `until` ends in any case.
    **options
        Those of `simstudy.Options`.

    Returns
    -------
    Result

    Examples
    --------
    >>> import tempfile
    >>> from simstudy import MaximumLikelihood, Study, grid, run
    >>> from simstudy.methods import OBSERVED
    >>> from simstudy.models import gamma
    >>> study = Study(
    ...     "small", grid(gamma.MECHANISM, n=30, shape=2.0, rate=1.0),
    ...     [MaximumLikelihood(gamma.MODEL, [OBSERVED])], replicates=20, seed=1,
    ... )
    >>> result = run(study, out=tempfile.mkdtemp(), jobs=1, quiet=True)
    >>> len(result.table())
    40
    """
    if until is None:
        outcome = execute(preflight(study, Options(**options)))
    else:
        outcome = run_until(study, goal(until, max_replicates), Options(**options))
    if outcome.interrupted:
        raise KeyboardInterrupt(
            f"{outcome.done:,} of {outcome.asked:,} replicates are stored in {outcome.folder}; "
            "the same call goes on from there"
        )
    return Result(outcome.folder)
