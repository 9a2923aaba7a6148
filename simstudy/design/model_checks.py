"""What is tried of a model: start, terms and derivatives, at the truth of one data set."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.design.dependent_terms import truth_or_start
from simstudy.design.reproducibility import other_random_state
from simstudy.design.scenario import Scenario
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import describe
from simstudy.likelihood.derivatives import score_differences
from simstudy.likelihood.model import Model
from simstudy.likelihood.objective import objective
from simstudy.likelihood.schemes import central_gradient, rise_steps
from simstudy.likelihood.supports import inside
from simstudy.likelihood.tracing import hindrance


def check_model(estimator: MaximumLikelihood, scenario: Scenario, data: Data) -> None:
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
    _check_sources(estimator)
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


def _check_sources(estimator: MaximumLikelihood) -> None:
    """Refuse methods that ask for parts that the model lacks, or for a missing library."""
    for method in estimator.methods:
        here = f"estimator {estimator.name!r}: method {method.name!r} needs"
        for source in method.sources:
            for part in getattr(source, "parts", ()):
                if getattr(estimator.model, part) is None:
                    raise StudyError(f"{here} {_PARTS[part].format(model=estimator.model.name)}")
            library = getattr(source, "library", "")
            if library and importlib.util.find_spec(library) is None:
                raise StudyError(
                    f"{here} {library}, which is not installed: pip install 'simstudy[peers]'"
                )


_PARTS = {
    "expected": "the expected information, which model {model!r} does not bring: give the model "
    "expected=, or give it draw= and take expected-simulated",
    "draw": "data drawn from the model, which model {model!r} does not bring: give it "
    "draw=draw with draw(rng, theta, data) -> data",
}


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
    trouble = hindrance(estimator.model, theta, data)
    if trouble:
        raise StudyError(
            f"{says}, and its log-likelihood cannot be traced by JAX ({trouble}): change that "
            f"(docs/tracing.md lists what can be traced), or {ask}"
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
