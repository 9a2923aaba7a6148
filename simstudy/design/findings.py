"""What the tests of a mechanism against a likelihood mean, in one word and one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simstudy.design.moment_tests import MeanTest, VarianceTest
from simstudy.design.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

MATERIAL = 1.1
"""Factor between the two informations up to which nothing is said: 5 % of a standard error.

Difference derivatives, whose error has one sign, would else be found out by many data sets.
"""

COLUMNS = (
    "scenario", "estimator", "wrong", "draws", "available", "score_p", "information_p", "ratio",
    "sum_p", "sum_ratio", "finding", "sentence",
)  # fmt: skip
NUMBERS = COLUMNS[3:10]


@dataclass(frozen=True, slots=True)
class CellTests:
    """The tests of one cell."""

    score: MeanTest
    information: MeanTest
    ratio: float
    spread: VarianceTest
    dependent: bool


@dataclass(frozen=True, slots=True)
class ImpossibleData:
    """In how many data sets the log-likelihood is not finite at the truth."""

    sets: int


def finding_row(
    scenario: Scenario,
    parameters: Sequence[str],
    found: CellTests | ImpossibleData | str,
    draws: int,
    edge: float,
) -> dict[str, object]:
    """Return the columns of one cell from its tests, or from the reason why there are none."""
    wrong = scenario.mechanism.wrong
    row: dict[str, object] = {"wrong": wrong, "draws": draws}
    if isinstance(found, str):
        blank = dict.fromkeys(NUMBERS[2:], np.nan)
        return row | blank | {"finding": "not-asked", "sentence": f"Not asked: {found}."}
    if isinstance(found, ImpossibleData):
        said = _IMPOSSIBLE.format(sets=found.sets, draws=draws)
        blank = dict.fromkeys(NUMBERS[2:], np.nan)
        return row | blank | {"finding": "impossible-data", "sentence": said}
    unlike = found.information.p < edge and not 1 / MATERIAL <= found.ratio <= MATERIAL
    finding, sentence = "agrees", _AGREES
    if found.score.p < edge:
        finding, sentence = "wrong-truth", _WRONG_TRUTH
    elif unlike or found.spread.p < edge:
        finding = "as-intended" if wrong else "wrong-likelihood"
        what = _UNLIKE
        if found.spread.p < edge:
            off = 1 / math.sqrt(found.spread.ratio) - 1
            what = (_DEPENDENT_TERMS if found.dependent else _DEPENDENT_DATA).format(
                parameter=parameters[found.spread.parameter],
                ratio=found.spread.ratio,
                also="" if unlike else "the Hessian, ",
                off=f"{abs(off):.0%} too {'small' if off < 0 else 'large'}".replace("%", " %"),
            )
        sentence = (_AS_INTENDED if wrong else _WRONG_LIKELIHOOD).format(what=what)
    return row | {
        "score_p": found.score.p,
        "information_p": found.information.p,
        "ratio": found.ratio,
        "sum_p": found.spread.p,
        "sum_ratio": found.spread.ratio,
        "finding": finding,
        "sentence": sentence,
    }


def mismatches(found: pd.DataFrame) -> list[str]:
    """Say which mechanisms do not match their likelihood without saying so.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.design.findings import mismatches
    >>> mismatches(pd.DataFrame({"scenario": ["a"], "estimator": ["b"], "finding": ["agrees"],
    ...                      "sentence": ["..."]}))
    []
    """
    bad = found[found["finding"].isin(["wrong-truth", "wrong-likelihood", "impossible-data"])]
    said = [f"{row.scenario}, {row.estimator}: {row.sentence}" for row in bad.itertuples()]
    if len(said) > 5:
        said = [*said[:5], f"And {len(said) - 5} more, below."]
    return said


FINDINGS = (
    "agrees", "wrong-truth", "wrong-likelihood", "as-intended", "impossible-data", "not-asked",
)  # fmt: skip

_AGREES = "The mechanism matches the likelihood, as far as these data sets tell."
_WRONG_TRUTH = (
    "The mechanism does not match the likelihood: the mean score at the truth is not zero, so that "
    "estimates go elsewhere; check draw, truth and loglik before any standard error is blamed."
)
_IMPOSSIBLE = (
    "In {sets} of {draws} data sets the log-likelihood is not finite at the truth: draw gives data "
    "that the model cannot have; check draw, truth and loglik."
)
_WRONG_LIKELIHOOD = (
    "The mechanism does not match the likelihood: {what}; say Mechanism(wrong=True) where that is "
    "on purpose, else check draw and loglik."
)
_AS_INTENDED = (
    "The likelihood is wrong on purpose: the mean score at the pseudo-truth is zero, and {what}."
)
_UNLIKE = (
    "scores vary otherwise than its curvature says, so that neither the Hessian nor the outer "
    "product of the scores can be right alone"
)
_DEPENDENT_DATA = (
    "the observations of one data set depend on each other: the sum of their scores varies "
    "{ratio:.3g} times as much as that of independent ones, so that {also}a sandwich, an outer "
    "product of scores or a bootstrap of observations gives a standard error of {parameter} about "
    "{off}"
)
_DEPENDENT_TERMS = (
    "the summed score varies {ratio:.3g} times as much as its curvature says, so that the Hessian "
    "gives a standard error of {parameter} about {off}"
)
