"""Whether terms of a log-likelihood look at other observations than their own."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simstudy.arrays import Array, Data, observations, take
from simstudy.design.drawing import draw
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import describe
from simstudy.likelihood.supports import from_working, to_working
from simstudy.streams import stream

SETS = 5
"""Data sets after which what is wrong with each is wrong with the study."""

TOGETHER, ROWS = 30, 20_000
"""Data sets that are put together, and the most rows that they may have."""

ROUNDING = 1e-8
"""Share of the largest term up to which a term computed among others may differ."""


def dependent_terms(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> str | None:
    """Say how terms of a log-likelihood were seen to look at other observations; None if not.

    Padding, weights, resampling and scores of single observations take it that the terms of some
    rows are those rows of all terms. That is tried on the study's first data sets, with every
    other row, with rows that come twice, and with many data sets put together, at the truth, at the
    start and near the truth: the answer is the same in every process. Terms that look at others in
    rare data sets only are found as far as these are among the first 30.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy import MaximumLikelihood, Mechanism, Model, Study, grid
    >>> from simstudy.design.dependent_terms import dependent_terms
    >>> from simstudy.methods import OBSERVED_CENTRAL
    >>> model = Model(
    ...     "centered", {"sigma": "positive"}, lambda data: np.ones(1),
    ...     lambda theta, data: -np.log(theta[0]) - ((data - data.mean()) / theta[0]) ** 2 / 2,
    ... )
    >>> mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"sigma": 1.0})
    >>> estimator = MaximumLikelihood(model, [OBSERVED_CENTRAL])
    >>> study = Study("s", grid(mechanism, n=4), [estimator], seed=1)
    >>> dependent_terms(study, study.scenarios[0], estimator)
    'the term of observation 0 is ... among all 4, and ... among 2 of them'
    """
    return _answer(Question(study, scenario, estimator))


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked; the same question where the same mechanism and model meet the same seed."""

    study: Study
    scenario: Scenario
    estimator: MaximumLikelihood

    def __hash__(self) -> int:
        """Hash what is a number or a word."""
        return hash((self.study.seed, self.scenario.key))

    def __eq__(self, other: object) -> bool:
        """Compare, models and scenarios by identity: they hold functions and arrays."""
        return (
            isinstance(other, Question)
            and self.study.seed == other.study.seed
            and self.scenario is other.scenario
            and self.estimator.model is other.estimator.model
        )


@functools.lru_cache(maxsize=256)  # each block of the batched engine asks
def _answer(question: Question) -> str | None:
    """Look at parts of single data sets first, then at many data sets together."""
    study, scenario, estimator = question.study, question.scenario, question.estimator
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        looked = 0
        for replicate in range(SETS):
            try:
                data = draw(study, scenario, replicate)
                n = observations(data)
                points = _points(estimator, scenario, data)
                whole = _terms(estimator, points, data)
            except Exception:  # a status of that replicate, told where it is run
                continue
            half = np.arange(n)[::2] if n > 1 else np.zeros(2, dtype=int)
            rng = stream(study.seed, scenario.key, replicate, "rows")
            for rows in (half, rng.integers(n, size=len(half))):
                found = _among(estimator, points, data, whole, rows)
                if found:
                    return found
            looked += 1
            if looked == 2:
                return _together(study, scenario, estimator, points)
    return None


def _terms(estimator: MaximumLikelihood, points: Sequence[Array], data: Data) -> list[Array]:
    return [np.asarray(estimator.model.loglik(theta, data)) for theta in points]


def _together(
    study: Study, scenario: Scenario, estimator: MaximumLikelihood, points: Sequence[Array]
) -> str | None:
    """Hold the terms of many data sets as one against those of each."""
    parts: list[Data] = []
    own, numbers, rows = [], [], 0
    for replicate in range(TOGETHER):
        try:
            data = draw(study, scenario, replicate)
            if rows + observations(data) > ROWS:
                break
            terms = _terms(estimator, points, data)
            _joined([*parts[:1], data])  # where they do not stack it is left out
        except Exception:
            continue
        parts.append(data)
        own.append(terms)
        numbers += [(replicate, row) for row in range(observations(data))]
        rows += observations(data)
    if len(parts) < 2:
        return None
    here = f"among those of {len(parts)} data sets together"
    try:
        among = _terms(estimator, points, _joined(parts))
    except Exception as error:
        return f"{here} it raises {describe(error)}"
    for theta, found in enumerate(among):
        expected = np.concatenate([terms[theta] for terms in own])
        if found.shape != expected.shape:
            return f"it returns the shape {found.shape} for {len(expected)} observations"
        k = _unlike(found, expected)
        if k is not None:
            return (
                f"the term of observation {numbers[k][1]} of replicate {numbers[k][0]} is "
                f"{expected[k]:.6g} in its data set, and {found[k]:.6g} {here}"
            )
    return None


def _joined(parts: Sequence[Data]) -> Data:
    """Put data sets one after another; an exception where they do not stack."""
    first = parts[0]
    if isinstance(first, Mapping):
        if any(part.keys() != first.keys() for part in parts):
            raise ValueError("other names")
        return {name: _joined([part[name] for part in parts]) for name in first}
    if hasattr(first, "iloc"):
        return importlib.import_module("pandas").concat(parts, ignore_index=True)
    return np.concatenate([np.asarray(part) for part in parts])


def _unlike(own: Array, expected: Array) -> int | None:
    """Return the first term that is another than is expected."""
    finite = np.isfinite(expected)
    far = ~(np.abs(own - expected) <= ROUNDING * np.abs(expected[finite]).max(initial=0.0))
    bad = np.where(finite, far, np.isfinite(own))
    return int(np.flatnonzero(bad)[0]) if bad.any() else None


def _points(estimator: MaximumLikelihood, scenario: Scenario, data: Data) -> list[Array]:
    """Choose where terms are compared: what looks at others may do so nowhere but at the truth."""
    supports = estimator.model.supports
    start = np.asarray(estimator.model.start(data), dtype=float)
    truth = truth_or_start(estimator, scenario, start)
    working = to_working(truth, supports)
    return [truth, from_working(working + 1e-3 * (1 + np.abs(working)), supports), start]


def truth_or_start(estimator: MaximumLikelihood, scenario: Scenario, start: Array) -> Array:
    """Return theta `(p,)`: the truth, with the start where a parameter has none."""
    return np.array(
        [scenario.truth.get(name, start[j]) for j, name in enumerate(estimator.model.names)],
        dtype=float,
    )


def _among(
    estimator: MaximumLikelihood,
    points: list[Array],
    data: Data,
    whole: list[Array],
    rows: Array,
) -> str | None:
    """Hold the terms of some rows against those rows of all terms."""
    n = observations(data)
    part = take(data, rows)
    for theta, terms in zip(points, whole, strict=True):
        try:
            own = np.asarray(estimator.model.loglik(theta, part))
        except Exception as error:
            return f"for {len(rows)} of the {n} observations it raises {describe(error)}"
        if own.shape != rows.shape:
            return f"it returns the shape {own.shape} for {len(rows)} of the {n} observations"
        expected = terms[rows]
        k = _unlike(own, expected)
        if k is not None:
            return (
                f"the term of observation {rows[k]} is {expected[k]:.6g} among all {n}, and "
                f"{own[k]:.6g} among {len(rows)} of them"
            )
    return None
