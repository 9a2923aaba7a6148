"""What a study may not say: a contradiction is refused where the study is defined."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simstudy.design.scenario import Scenario
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Estimator, describe
from simstudy.likelihood.estimands import quantities
from simstudy.likelihood.supports import inside
from simstudy.records.block import COLUMNS

# df: the degrees of freedom of a row, for measures
TAKEN = {*COLUMNS, "df", "truth_mcse", "measure", "rng"}

MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
"""Words that mean "no value" to whoever reads a table: pandas, and R with NA."""


def check_parts(study: str, scenarios: Sequence[Scenario], estimators: Sequence[Estimator]) -> None:
    """Refuse what is no scenario or estimator, and factors whose columns have a meaning already."""
    for scenario in scenarios:
        if not isinstance(scenario, Scenario):
            raise StudyError(
                f"study {study!r}: {scenario!r} is no scenario; give Scenario(mechanism, "
                "factors) or what grid(mechanism, ...) makes"
            )
        for name in sorted(TAKEN & set(scenario.factors)):
            raise StudyError(
                f"scenario {scenario.key!r}: factor {name!r} has a meaning already, in the tables "
                "or as an argument of draw; give the factor another name"
            )
        for name in scenario.factors:
            if f"factor_{name}" in scenario.factors:
                raise StudyError(
                    f"scenario {scenario.key!r}: factors {name!r} and {f'factor_{name}'!r} cannot "
                    "stand beside each other: a factor whose name is that of another column is "
                    "called factor_... in the tables; give one of them another name"
                )
        if isinstance(scenario.only, str):
            raise StudyError(
                f"scenario {scenario.key!r}: only is {scenario.only!r}; give a list of estimators' "
                f"names, such as [{scenario.only!r}]"
            )
    for estimator in estimators:
        if not isinstance(estimator, Estimator):
            raise StudyError(
                f"study {study!r}: {estimator!r} is no estimator; give "
                "MaximumLikelihood(model, methods=[...]), FunctionEstimator(...), or anything with "
                "name, parameters, labels and answer (see Estimator in simestimators)"
            )


def check_numbers(study: str, replicates: int, seed: int, level: float) -> None:
    """Refuse numbers out of range and names that are no folder names."""
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    if not study or set(study) - allowed or study.startswith("."):
        raise StudyError(
            f"the study's name is {study!r}; allowed are letters, digits, '.', '_' and '-', "
            "not starting with '.', because it names the results folder"
        )
    if not isinstance(replicates, int | np.integer) or replicates < 1:
        raise StudyError(f"replicates is {replicates!r}; give a whole number of at least 1")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise StudyError(f"seed is {seed!r}; give a whole number of at least 0")
    if not isinstance(level, float) or not 0 < level < 1:
        raise StudyError(f"level is {level!r}; give a number between 0 and 1, such as 0.95")


def check_names(
    study: str,
    scenarios: Sequence[Scenario],
    estimators: Sequence[Estimator],
    fewer: Mapping[str, int],
) -> None:
    """Refuse empty lists, names that stand for two things, and limits on unknown methods."""
    for what, names in (
        ("scenarios", [scenario.key for scenario in scenarios]),
        ("estimators", [estimator.name for estimator in estimators]),
    ):
        if not names:
            raise StudyError(f"study {study!r} has no {what}; give at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise StudyError(
                f"study {study!r} has two {what} called {twice[0]!r}; each needs its own "
                "factors or name, because names key the random streams"
            )
    _check_words(study, scenarios, estimators)
    labels = {label for estimator in estimators for label in estimator.labels}
    for label, count in fewer.items():
        if label not in labels or not isinstance(count, int | np.integer) or count < 1:
            raise StudyError(
                f"fewer is {dict(fewer)!r}; it maps methods of the study "
                f"({', '.join(sorted(labels))}) to a whole number of replicates of at least 1"
            )


def _check_words(
    study: str, scenarios: Sequence[Scenario], estimators: Sequence[Estimator]
) -> None:
    """Refuse names and values that are no words, or that a table's reader takes for "no value"."""
    named = [("an estimator", estimator.name) for estimator in estimators]
    for estimator in estimators:
        named += [(f"a method of {estimator.name!r}", label) for label in estimator.labels]
        named += [(f"a parameter of {estimator.name!r}", name) for name in estimator.parameters]
    for scenario in scenarios:
        named += [("a mechanism", scenario.mechanism.name)]
        named += [(f"factor {n!r}", v) for n, v in scenario.factors.items() if isinstance(v, str)]
    for what, word in named:
        if not isinstance(word, str) or word in MISSING:
            raise StudyError(
                f"study {study!r}: {what} is called {word!r}; whoever reads a table takes "
                "that for a missing value: give it another name"
            )


def check_truth(
    scenario: Scenario, estimators: Sequence[Estimator], answering: Sequence[Estimator]
) -> None:
    """Refuse a truth for an unknown parameter, of wrong length, or outside its support."""
    missing = [name for name in scenario.only if name not in {e.name for e in estimators}]
    if missing:
        raise StudyError(
            f"scenario {scenario.key!r} is for the estimator {missing[0]!r}, which the study "
            f"does not have; it has {', '.join(e.name for e in estimators)}"
        )
    known = {name for estimator in answering for name in estimator.parameters}
    for name, value in scenario.truth.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise StudyError(
                f"scenario {scenario.key!r}: truth names {name!r}, which no estimator has; they "
                f"have {', '.join(sorted(known))}{hint}"
            )
        if np.ndim(value) or np.asarray(value).dtype.kind not in "fiu" or not np.isfinite(value):
            raise StudyError(
                f"scenario {scenario.key!r}: the truth of {name!r} is {value!r}; due is one finite "
                "real number for each parameter"
            )
        for estimator in answering:
            if isinstance(estimator, MaximumLikelihood) and name in estimator.model.names:
                support = estimator.model.supports[estimator.model.names.index(name)]
                if not inside(np.array([value]), (support,)).all():
                    raise StudyError(
                        f"scenario {scenario.key!r}: the truth of {name!r} is {value!r}, outside "
                        f"its support {support!r} in model {estimator.model.name!r}"
                    )
    if not scenario.truth:
        raise StudyError(
            f"scenario {scenario.key!r} has an empty truth; name at least one of "
            f"{', '.join(sorted(known))}"
        )
    completed_truth(scenario, answering)


def completed_truth(scenario: Scenario, answering: Sequence[Estimator]) -> Mapping[str, Any]:
    """Return a scenario's truth, with estimands that it does not name computed from parameters.

    Raises
    ------
    StudyError
        When an estimand fails at the truth or is not one finite real number there, or two
        estimators compute different truths of one name.
    """
    truth = dict(scenario.truth)
    for estimator in answering:
        if not isinstance(estimator, MaximumLikelihood):
            continue
        model = estimator.model
        lacking = [name for name in model.estimands if name not in scenario.truth]
        if not lacking or any(name not in scenario.truth for name in model.names):
            continue
        here = f"scenario {scenario.key!r}, model {model.name!r}"
        theta = np.array([scenario.truth[name] for name in model.names], dtype=float)
        try:
            found = dict(zip(model.reported, quantities(model, theta).tolist(), strict=True))
        except Exception as error:
            raise StudyError(f"{here}: at the truth, {describe(error)}") from error
        for name in lacking:
            if not np.isfinite(found[name]):
                raise StudyError(
                    f"{here}: the estimand {name!r} is {found[name]} at the truth; due is one "
                    "finite real number"
                )
            if truth.setdefault(name, found[name]) != found[name]:
                raise StudyError(
                    f"{here}: the estimand {name!r} is {found[name]:g} at the truth, for another "
                    f"estimator it is {truth[name]:g}; give one of them another name"
                )
    return truth
