"""What is tried of a study's own code before any work: draw, log-likelihood, derivatives, answers.

Whatever the package assumes of user code is looked at here, where a sentence can still save a run.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from simstudy.arrays import Data, observations
from simstudy.design.curvature_sign import check_sign
from simstudy.design.dependent_terms import SETS, dependent_terms
from simstudy.design.drawing import draw
from simstudy.design.model_checks import check_model
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import describe
from simstudy.streams import stream
from simstudy.warning_capture import suppressed_output


def validate(study: Study) -> None:
    """Try every scenario's draw and every log-likelihood at the truth, before any work.

    Raises
    ------
    StudyError
        When `draw` ignores its generator, a log-likelihood does not answer with one finite real
        number per observation, or takes random numbers from elsewhere, or looks like the negative
        one, derivatives are wrong, or a method's needs are not met: exact derivatives, or terms
        that look at one observation each.
    """
    settled: set[str] = set()
    with suppressed_output(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for scenario in study.scenarios:
            _check_scenario(study, scenario)
            for estimator in study.answering(scenario):
                if isinstance(estimator, MaximumLikelihood):
                    _check_rows(study, scenario, estimator)
                    if estimator.name not in settled and check_sign(study, scenario, estimator):
                        settled.add(estimator.name)


def _check_rows(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> None:
    """Refuse methods that need terms of single observations where there are none."""
    asking = estimator.by_observation
    how = dependent_terms(study, scenario, estimator) if asking else None
    if how:
        rest = [label for label in estimator.labels if label not in asking]
        raise StudyError(
            f"scenario {scenario.key!r}, estimator {estimator.name!r}: {', '.join(asking)} cannot "
            "answer. Resamples, and scores of single observations, take it that a term of the "
            f"log-likelihood looks at its own observation alone, and those of model "
            f"{estimator.model.name!r} look at others ({how}). Leave these methods out "
            f"({', '.join(rest) or 'observed-central'} can answer), or write the term with what "
            "stands in its own row of the data: another row's value that it needs, such as the one "
            "before, can be a column of its own"
        )


def _check_scenario(study: Study, scenario: Scenario) -> None:
    """Check with one data set after another, up to the fifth; raise what the first one raised.

    What is wrong with the study is wrong with all five; what is not is that data set's own.
    """
    _check_arguments(scenario)
    errors = []
    for replicate in range(SETS):
        try:
            data = _check_draw(study, scenario, replicate)
            for estimator in study.answering(scenario):
                if isinstance(estimator, MaximumLikelihood):
                    check_model(estimator, scenario, data)
            return
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _check_arguments(scenario: Scenario) -> None:
    """Refuse a draw that cannot be called with the generator first and every factor by name."""
    try:
        signature = inspect.signature(scenario.mechanism.draw)
    except (TypeError, ValueError):  # it has none
        return
    try:
        signature.bind(None, **scenario.factors)
    except TypeError as error:
        due = ", ".join(["rng", *scenario.factors])
        raise StudyError(
            f"scenario {scenario.key!r}: draw of mechanism {scenario.mechanism.name!r} takes "
            f"{signature} ({error}); draw's first argument is the generator, and every factor "
            f"comes by name: def draw({due})"
        ) from error


def _check_draw(study: Study, scenario: Scenario, replicate: int) -> Data:
    """Draw one data set and hold it against itself and against others."""
    try:
        data = draw(study, scenario, replicate)
    except TypeError as error:
        _check_counts(study, scenario, replicate, error)
        raise
    try:
        n = observations(data)
    except ValueError as error:
        raise StudyError(f"scenario {scenario.key!r}: {error}") from error
    if n == 0:
        raise StudyError(
            f"scenario {scenario.key!r}: draw gave an empty data set, without any observation; "
            "give a factor, such as n, by which there is at least one"
        )
    if not _same(data, draw(study, scenario, replicate)):
        raise StudyError(
            f"scenario {scenario.key!r}: draw gave two data sets for the same generator; it takes "
            "random numbers from elsewhere: use only the generator it is handed"
        )
    if all(_same(data, other) for other in _others(study, scenario, replicate)):
        raise StudyError(
            f"scenario {scenario.key!r}: draw ignores its generator: 30 replicates are identical; "
            "take every random number from the generator it is handed"
        )
    return data


def _check_counts(study: Study, scenario: Scenario, replicate: int, error: TypeError) -> None:
    """Refuse a factor that is a float where draw counts with it: as an int it does."""
    for name, value in scenario.factors.items():
        if isinstance(value, float | np.floating) and float(value).is_integer():
            whole = {**scenario.factors, name: int(value)}
            rng = stream(study.seed, scenario.key, replicate, "data")
            try:
                scenario.mechanism.draw(rng, **whole)
            except Exception:
                continue
            raise StudyError(
                f"scenario {scenario.key!r}: draw cannot count with the factor {name!r}, which is "
                f"the float {float(value)!r}; give it as an int, {name}={int(value)} "
                f"({describe(error)})"
            ) from error


def _others(study: Study, scenario: Scenario, replicate: int) -> Iterator[Data]:
    """Draw the data sets of the next 30 replicates, those that can be drawn."""
    for other in range(replicate + 1, replicate + 31):
        with contextlib.suppress(Exception):
            yield draw(study, scenario, other)


def _same(one: Data, other: Data) -> bool:
    """Tell whether two data sets are equal to the bit."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    arrays = np.asarray(one), np.asarray(other)
    if arrays[0].dtype == object:
        return bool(arrays[0].tolist() == arrays[1].tolist())
    return arrays[0].tobytes() == arrays[1].tobytes()
