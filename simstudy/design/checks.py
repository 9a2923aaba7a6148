"""What is tried of a study's own code before any work: draw, log-likelihood, derivatives, answers.

Whatever the package assumes of user code is looked at here, where a sentence can still save a run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.special import chdtri

from simstudy.arrays import Array, Data, observations
from simstudy.design.dependent_terms import SETS, dependent_terms, truth_or_start
from simstudy.design.drawing import draw
from simstudy.design.reproducibility import other_random_state
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import describe
from simstudy.likelihood.derivatives import rise_hessian, score_differences
from simstudy.likelihood.model import Model, inside
from simstudy.likelihood.objective import Objective, objective, traceable
from simstudy.likelihood.schemes import central_gradient, rise_steps
from simstudy.streams import stream
from simstudy.warning_capture import suppressed_output

GLANCE, LOOK = 3, 20
"""Data sets by which a Hessian's sign is settled, or, where it is the wrong one, confirmed."""

NEWTON = 8
"""Newton's steps towards parameters of which no truth is known."""


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
                    if estimator.name not in settled and _settled(study, scenario, estimator):
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


def _settled(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> bool:
    """Tell whether a log-likelihood is curved as one must be; refuse one upside down.

    At the truth of a negative log-likelihood the mean score is zero and the mean Hessian positive
    definite: a minimum. A wrong truth has the second, at most. Parameters without a truth are where
    Newton's steps end, which go to a minimum as to a maximum.
    """
    model = estimator.model
    if not set(model.names) & set(scenario.truth):
        return False
    free = np.array([name not in scenario.truth for name in model.names])
    scores, curvatures = [], []
    for replicate in range(LOOK):
        with contextlib.suppress(Exception):
            target = objective(model, draw(study, scenario, replicate))
            start = np.asarray(model.start(target.data), dtype=float)
            theta = truth_or_start(estimator, scenario, start)
            slope, curvature = _completed(target, theta, free)
            scores.append(slope)
            curvatures.append(curvature)
        if len(scores) in (GLANCE, LOOK):
            mean = np.mean(curvatures, axis=0)
            if not np.isfinite(mean).all():
                return False
            size = np.sqrt(np.abs(np.diagonal(mean)))
            values = np.linalg.eigvalsh(mean / np.where(size > 0, np.outer(size, size), 1))
            if values[-1] >= 0:
                return bool(values[0] > 0)
    if len(scores) < LOOK:
        return False
    slope = np.mean(scores, axis=0)
    distance = LOOK * slope @ np.linalg.solve(-mean, slope)
    # Twice: the scores of -2 log L vary twice as much as its curvature says.
    if distance < 2 * chdtri(len(slope), 1e-6):
        raise StudyError(
            f"scenario {scenario.key!r}, model {model.name!r}: this looks like the negative "
            "log-likelihood: its mean Hessian at the truth is positive definite, its mean slope "
            "zero, so that the truth is where it is lowest; return the log-likelihood"
        )
    return False


def _completed(target: Objective, theta: Array, free: Array) -> tuple[Array, Array]:
    """Return slope and curvature where the slope along the free parameters is about zero."""
    left = NEWTON if free.any() else 0
    while True:
        each = target.score(theta, target.data) if target.score else None
        slope = (score_differences(target, theta) if each is None else np.asarray(each)).sum(0)
        exact = target.hessian is not None
        curvature = target.curvature(theta) if exact else rise_hessian(target, theta).matrix
        if not left:
            return slope, curvature
        left -= 1
        theta = theta.copy()
        theta[free] += np.linalg.solve(curvature[np.ix_(free, free)], slope[free])


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
                    _check_model(estimator, scenario, data)
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


def _check_model(estimator: MaximumLikelihood, scenario: Scenario, data: Data) -> None:
    """Hold a model's log-likelihood and derivatives against what is due, at the truth."""
    model = estimator.model
    here = f"scenario {scenario.key!r}, model {model.name!r}"
    try:
        _check_functions(here, estimator, scenario, data)
    except ValueError as error:
        if not isinstance(error, StudyError) and "read-only" in str(error):
            raise StudyError(
                f"{here}: data must not be changed, since every estimator sees the same; work on "
                f"a copy, such as data.copy(): {describe(error)}"
            ) from error
        raise


def _check_functions(
    here: str, estimator: MaximumLikelihood, scenario: Scenario, data: Data
) -> None:
    """Hold start, log-likelihood and derivatives against what is due."""
    model = estimator.model
    start = model.start(data)
    _check_start(here, estimator, start)
    theta = truth_or_start(estimator, scenario, np.asarray(start, dtype=float))
    at = ", ".join(f"{name}={value:g}" for name, value in zip(model.names, theta, strict=True))
    try:
        terms = model.loglik(theta, data)
        _check_terms(f"{here}: loglik at {at}", terms, observations(data))
    except Exception as error:
        if _swapped(model, theta, data):
            raise StudyError(
                f"{here}: loglik takes its arguments the other way round: it is called with the "
                "parameters first, then the data: def loglik(theta, data)"
            ) from error
        raise
    with other_random_state():
        again = np.asarray(model.loglik(theta, data))
    if not np.array_equal(again, np.asarray(terms), equal_nan=True):
        raise StudyError(
            f"{here}: loglik at {at} gave two answers for the same data; it takes random numbers "
            "from elsewhere: let draw put them into the data, or make a generator with a fixed "
            "seed inside loglik, such as numpy.random.default_rng(1)"
        )
    target = _check_needs(estimator, theta, data) if estimator.lacking else objective(model, data)
    steps, _ = rise_steps(target.value, theta)
    if model.score is not None:
        given, found = np.asarray(model.score(theta, data)), score_differences(target, theta)
        _check_close(f"{here}: score at {at}", given * steps, found * steps)
    if model.hessian is not None:
        slope = target.gradient if model.score is not None else None
        given = np.asarray(model.hessian(theta, data))
        if slope is not None:
            found = -central_gradient(slope, theta, steps / 14)
            _check_close(f"{here}: hessian at {at}", given * np.outer(steps, steps) * 50,
                         found * np.outer(steps, steps) * 50)  # fmt: skip


def _swapped(model: Model, theta: Array, data: Data) -> bool:
    """Tell whether a log-likelihood answers as it must with its two arguments the wrong way."""
    loglik: Any = model.loglik
    with contextlib.suppress(Exception):
        terms = np.asarray(loglik(data, theta))
        n = observations(data)
        return n != len(theta) and terms.shape == (n,) and bool(np.isfinite(terms).all())
    return False


def _check_start(here: str, estimator: MaximumLikelihood, start: Any) -> None:
    """Refuse a start that is not one real number for each parameter, inside its support."""
    names = estimator.model.names
    values = None if start is None else np.asarray(start)
    if values is None or values.shape != (len(names),) or values.dtype.kind not in "fiu":
        came = "None" if values is None else f"the shape {values.shape}, type {values.dtype}"
        raise StudyError(
            f"{here}: start returned {came}; due is one real number for each of "
            f"{', '.join(names)}, ({len(names)},)"
        )
    allowed = inside(values, estimator.model.supports)
    if not estimator.as_is and not allowed.all():
        outside = [
            f"{name}={value:g} (support {support!r})"
            for name, value, support, fine in zip(
                names, values, estimator.model.supports, allowed, strict=True
            )
            if not fine
        ]
        raise StudyError(
            f"{here}: start gave {', '.join(outside)}, outside the support; give a rough value "
            "inside it, whatever the data"
        )


def _check_terms(here: str, terms: Any, n: int) -> None:
    """Refuse anything but n real numbers, not all of them nan."""
    if terms is None:
        raise StudyError(f"{here} returned None; it must return one number per observation, ({n},)")
    values = np.asarray(terms)
    if values.shape != (n,):
        raise StudyError(
            f"{here} has the shape {values.shape}; due is one number per observation, ({n},): "
            "return the terms of the sum, not the sum"
        )
    if values.dtype.kind not in "fiu":
        raise StudyError(f"{here} is of type {values.dtype}; due are real numbers")
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        raise StudyError(f"{here} is in less than double precision; differences need float64")
    if not np.isfinite(values).any():
        raise StudyError(
            f"{here} is not finite for any observation (the first is {values[0]}); the mechanism's "
            "truth must be possible under the model"
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise StudyError(
            f"{here} is {values[bad]} for observation {bad} (the first of "
            f"{int((~np.isfinite(values)).sum())}); the truth must be possible under the model"
        )


def _check_needs(estimator: MaximumLikelihood, theta: Array, data: Data) -> Any:
    """Refuse methods whose exact derivatives neither the model nor JAX can give."""
    method, needs = next(iter(estimator.lacking.items()))
    says = (
        f"estimator {estimator.name!r}: method {method!r} needs the exact {' and '.join(needs)}, "
        f"which model {estimator.model.name!r} does not bring"
    )
    ask = (
        "give the model score= and hessian=, or ask for observed-central, opg-central or "
        "sandwich-central by name"
    )
    if importlib.util.find_spec("jax") is None:
        raise StudyError(
            f"{says} and JAX, which could derive it, is not installed: pip install "
            "'simstudy[jax]', "
            f"or {ask}"
        )
    trouble = traceable(estimator.model, theta, data)
    if trouble:
        raise StudyError(
            f"{says}, and JAX cannot trace its log-likelihood ({trouble}): write it with the "
            "functions "
            f"of simstudy.arrays (or jax.numpy), without Python's if on parameters, or {ask}"
        )
    return objective(estimator.model, data, autodiff=True)


def _check_close(here: str, given: Array, found: Array) -> None:
    """Refuse derivatives that differ from differences by more than a ten-thousandth of a rise."""
    if given.shape != found.shape:
        raise StudyError(f"{here} has the shape {given.shape}; due is {found.shape}")
    size = np.abs(found).max() + 1e-3
    if not np.abs(given - found).max() <= 1e-3 * size:
        raise StudyError(
            f"{here} differs from numerical differences of the log-likelihood by up to "
            f"{np.abs(given - found).max() / size:.1%} of its largest element; correct it, or "
            "leave it out"
        )
