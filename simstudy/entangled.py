"""Whether terms of a log-likelihood look at other observations than their own."""

from __future__ import annotations

import warnings

import numpy as np

from simstudy.arrays import Array, Data, observations, take
from simstudy.estimators import MaximumLikelihood, describe
from simstudy.model import from_working, to_working
from simstudy.streams import stream
from simstudy.study import Scenario, Study, draw

SETS = 5
"""Data sets after which what is wrong with each is wrong with the study."""

ROUNDING = 1e-8
"""Share of the largest term up to which a term computed among others may differ."""


def entangled(study: Study, scenario: Scenario, estimator: MaximumLikelihood) -> str | None:
    """Say how terms of a log-likelihood were seen to look at other observations; None if not.

    Padding, weights, resampling and scores of single observations take it that the terms of some
    rows are those rows of all terms. That is tried on the study's first data sets, with every
    other row and with rows that come twice, at the truth, at the start and near the truth: the
    answer is the same in every process.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy import MaximumLikelihood, Mechanism, Model, Study, grid
    >>> from simstudy.entangled import entangled
    >>> from simstudy.methods import OBSERVED_CENTRAL
    >>> model = Model(
    ...     "centered", {"sigma": "positive"}, lambda data: np.ones(1),
    ...     lambda theta, data: -np.log(theta[0]) - ((data - data.mean()) / theta[0]) ** 2 / 2,
    ... )
    >>> mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"sigma": 1.0})
    >>> estimator = MaximumLikelihood(model, [OBSERVED_CENTRAL])
    >>> study = Study("s", grid(mechanism, n=4), [estimator], seed=1)
    >>> entangled(study, study.scenarios[0], estimator)
    'the term of observation 0 is ... among all 4, and ... among 2 of them'
    """
    looked = 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for replicate in range(SETS):
            try:
                data = draw(study, scenario, replicate)
                n = observations(data)
                points = _points(estimator, scenario, data)
                whole = [np.asarray(estimator.model.loglik(theta, data)) for theta in points]
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
                break
    return None


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
        [scenario.truth.get(name, start[j]) for j, name in enumerate(estimator.parameters)],
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
        due = terms[rows]
        finite = np.isfinite(due)
        far = ~(np.abs(own - due) <= ROUNDING * np.abs(due[finite]).max(initial=0.0))
        bad = np.where(finite, far, np.isfinite(own))
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            return (
                f"the term of observation {rows[k]} is {due[k]:.6g} among all {n}, and "
                f"{own[k]:.6g} among {len(rows)} of them"
            )
    return None
