"""A study is a value: scenarios, estimators, how many replicates, a seed. It checks itself."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.design import definition
from simstudy.design.scenario import Scenario
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Estimator
from simstudy.records.block import Cell


@dataclass(frozen=True, slots=True)
class Study:
    """A simulation study (ADEMP; Morris, White & Crowther 2019, Statistics in Medicine 38:2074).

    Parameters
    ----------
    name : str
        Letters, digits, ".", "_" and "-"; names the results folder.
    scenarios : sequence of Scenario
        Such as `grid` makes.
    estimators : sequence of Estimator
        Each answers for every scenario.
    replicates : int
        Data sets per scenario.
    seed : int
        Same study and seed, same table, bit for bit.
    level : float
        Of the intervals.
    fewer : mapping of str to int
        Methods that answer for the first so many replicates only, because they are costly.
    aims : str
        One or more sentences; the docstring of the study's file by default.

    Raises
    ------
    StudyError
        When two scenarios have one key, two estimators one name, a truth names a parameter that no
        estimator has or lies outside its support, or a number is out of range.
    """

    name: str
    scenarios: Sequence[Scenario]
    estimators: Sequence[Estimator]
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    fewer: Mapping[str, int] = field(default_factory=dict)
    aims: str = ""

    def __post_init__(self) -> None:
        """Refuse a study that contradicts itself."""
        for name, such in (("scenarios", "grid(mechanism, n=[20, 50]) makes"),
                           ("estimators", "[MaximumLikelihood(model, methods)]")):  # fmt: skip
            came = getattr(self, name)
            if not isinstance(came, Iterable):
                raise StudyError(
                    f"study {self.name!r}: {name} came as {type(came).__name__}; due is a list, "
                    f"such as {such}"
                )
            object.__setattr__(self, name, tuple(came))
        definition.check_parts(self.name, self.scenarios, self.estimators)
        definition.check_numbers(self.name, self.replicates, self.seed, self.level)
        definition.check_names(self.name, self.scenarios, self.estimators, self.fewer)
        for scenario in self.scenarios:
            definition.check_truth(scenario, self.estimators, self.answering(scenario))

    def answering(self, scenario: Scenario) -> list[Estimator]:
        """Return the estimators that answer for a scenario."""
        return [e for e in self.estimators if not scenario.only or e.name in scenario.only]

    def truth(self, scenario: Scenario) -> Mapping[str, Any]:
        """Return the mechanism's truth, with estimands that it does not name computed from it."""
        return definition.completed_truth(scenario, self.answering(scenario))

    def part(self, methods: Mapping[str, Collection[str]]) -> Study:
        """Return the study with these methods alone, by estimator; truths stay as they are."""
        estimators = [
            replace(e, methods=[m for m in e.methods if m.name in methods[e.name]])
            if isinstance(e, MaximumLikelihood)
            else e
            for e in self.estimators
            if e.name in methods
        ]
        part = copy.copy(self)  # unchecked: scenarios and truths may speak of the other estimators
        object.__setattr__(part, "estimators", tuple(estimators))
        return part

    def cells(self, index: int) -> list[Cell]:
        """Return the labels of one scenario's rows, one for each estimator."""
        scenario = self.scenarios[index]
        return [
            Cell(
                scenario.key, scenario.factors, self.truth(scenario), estimator.name,
                tuple(estimator.parameters), tuple(estimator.labels),
            )
            for estimator in self.answering(scenario)
        ]  # fmt: skip

    def asked(self, estimator: Estimator, replicates: Sequence[int]) -> Array:
        """Tell which methods answer for which replicates: `(B, M)` of bool."""
        most = np.array([self.fewer.get(label, np.inf) for label in estimator.labels])
        return np.asarray(replicates)[:, None] < most
