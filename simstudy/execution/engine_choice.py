"""Which engine runs a study, and why; the choice depends on nothing that is timed."""

from __future__ import annotations

from simstudy.design.drawing import example
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.store.journal import Store

WORTH_COMPILING = 3000
"""Fits and refits of a study from which programs are compiled."""


def choose_engine(
    asked: str, study: Study, before: str | None, timeout: float | None
) -> tuple[str, str]:
    """Choose the engine, and say why.

    Parameters
    ----------
    asked : {"auto", "loop", "batched"}
    study : Study
        With the most replicates that are to be run.
    before : str, optional
        The engine that the folder was begun with, if it was.
    timeout : float, optional
        The time limit of a replicate.

    Raises
    ------
    StudyError
        When the batched engine is to run what it cannot.
    """
    fits = sum(fits_of(study, scenario) for scenario in study.scenarios)
    engine = before or asked
    if engine == "loop":
        if before is None or asked == "loop":
            return "loop", "asked for"
        large = fits >= WORTH_COMPILING and timeout is None
        other = "; another one, by --out, may be quicker by the batched engine" if large else ""
        return "loop", f"the folder was begun with it{other}"
    if timeout is not None:
        if engine == "batched":
            raise StudyError(
                "the batched engine runs many replicates at once and cannot stop one of them: "
                "leave the time limit out, or ask for the loop engine"
            )
        return "loop", "a time limit is for one replicate after another"
    if engine == "auto" and fits < WORTH_COMPILING:
        return "loop", f"{fits:,} fits are done before a program is compiled"
    every, reasons = _hindrances(study)
    trouble = "; ".join(reasons)
    if every:
        if engine == "batched":
            raise StudyError(f"the batched engine cannot run this study: {trouble}")
        return "loop", trouble
    why = "asked for" if engine == "batched" else f"{fits:,} fits"
    return "batched", f"{why}; by the loop where {trouble}" if trouble else why


def engine_of(folder: Store, asked: str) -> str | None:
    """Return the engine that a folder was begun with, None where it was not begun.

    Raises
    ------
    StudyError
        When another one is asked for.
    """
    if not folder.begun():
        return None
    before = str(folder.manifest()["engine"])
    if asked not in ("auto", before):
        raise StudyError(
            f"{folder.folder} was begun with the {before} engine; the {asked} engine agrees with "
            "it to rounding only, and results are never mixed: leave --engine out, or give another "
            "folder with --out"
        )
    return before


def fits_of(study: Study, scenario: Scenario) -> int:
    """Count the fits and refits of a scenario."""
    refits = [
        min(study.fewer.get(name, study.replicates), study.replicates) * count
        for estimator in study.answering(scenario)
        if isinstance(estimator, MaximumLikelihood)
        for name, count in estimator.refits(lambda: example(study, scenario)).items()
    ]
    return study.replicates * len(study.answering(scenario)) + sum(refits)


def _hindrances(study: Study) -> tuple[bool, list[str]]:
    """Return whether no estimator can be batched, and the reasons of those that cannot."""
    from simstudy.engines.batched import hindrance

    reasons = [
        hindrance(study, scenario, estimator)
        for scenario in study.scenarios
        for estimator in study.answering(scenario)
        if isinstance(estimator, MaximumLikelihood)
    ] or ["no estimator is a maximum likelihood fit"]
    return all(reasons), list(dict.fromkeys(reason for reason in reasons if reason))
