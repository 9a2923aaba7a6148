"""Run on, scenario by scenario, until a precision is reached or every verdict has fallen.

The rule on paper, and how often it errs: `docs/plan.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.evidence.sample_size import errors, pilot, target
from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import RULE, Rule, verdicts
from simstudy.execution.options import Options, results_folder
from simstudy.execution.plan import preflight
from simstudy.execution.runner import Outcome, execute
from simstudy.records import rows as tables
from simstudy.store.journal import Store
from simstudy.store.looks import End, note

FIRST = 250
"""Replicates at the first look."""


@dataclass(frozen=True, slots=True)
class Goal:
    """When a scenario has enough replicates, and when that is asked.

    Attributes
    ----------
    measure : str
        The measure whose Monte Carlo error must fall to `mcse`; empty for verdicts.
    mcse : float
        The target in the unit of the measure.
    looks : (K,) int
        Replicates at which it is asked, each look on the first so many replicates.
    rule : Rule
        The rule of verdicts: its error is shared by the looks.
    """

    measure: str
    mcse: float
    looks: tuple[int, ...]
    rule: Rule

    @property
    def name(self) -> str:
        """What `goal` reads."""
        return f"{self.measure}:{self.mcse:g}" if self.measure else "verdict"


def goal(text: str, most: int, *, rule: Rule = RULE) -> Goal:
    """Read a goal, and space the looks.

    For verdicts the looks double the replicates, and each gets an equal part of the error of the
    rule: whatever the dependence between looks, the chance to err at any of them is at most the
    rule's (Bonferroni). A precision is asked in steps of a quarter.

    Parameters
    ----------
    text : str
        `verdict`, or a measure and its Monte Carlo error such as `cover:0.005`.
    most : int
        Replicates at which a scenario ends in any case.
    rule : Rule
        For one look; its `confidence` is that of the whole sequence.

    Returns
    -------
    Goal

    Raises
    ------
    ValueError
        When the text is neither, or `most` is below 1.

    Examples
    --------
    >>> from simstudy.execution.sequential import goal
    >>> made = goal("verdict", most=4000)
    >>> made.looks, round(made.rule.confidence, 4)
    ((250, 500, 1000, 2000, 4000), 0.99)
    """
    if most < 1:
        raise ValueError(f"the most replicates are {most}; give at least 1")
    if text == "verdict":
        looks = _spaced(most, 2.0)
        error = (1 - rule.confidence) / len(looks)
        return Goal("", math.nan, looks, replace(rule, confidence=1 - error))
    measure, mcse = target(text)
    return Goal(measure, mcse, _spaced(most, 1.25), rule)


def run_until(
    study: Study, aim: Goal, options: Options, meanwhile: Callable[[], None] | None = None
) -> Outcome:
    """Run a study until every scenario has reached its goal, or the most replicates.

    Replicates are those that any run has: the first 250 of a scenario are the same whether it ends
    there or not, and an interrupted sequence goes on as if it had not been.

    Parameters
    ----------
    study : Study
    aim : Goal
    options : Options
        Replicates and a share are refused: how many replicates there will be is found out on the
        way, from all of them.
    meanwhile : callable, optional
        As of `simstudy.execution.runner.execute`.

    Returns
    -------
    Outcome
        Of all runs together. `done` counts the replicates of the scenarios that reached the goal,
        `asked` those of all.

    Raises
    ------
    StudyError
        When replicates or a share are asked for; as from `preflight` and `execute`.
    """
    step = first_step(study, aim, options)
    chosen = list(range(len(study.scenarios)) if options.scenarios is None else options.scenarios)
    going = dict.fromkeys(chosen, 0)  # the next look of each scenario that goes on
    ended: dict[int, End] = {}
    outcome: Outcome | None = None
    while going:
        look = min(going.values())
        size = aim.looks[look]
        now = [index for index, at in going.items() if at == look]
        step = replace(step, replicates=size, scenarios=now)
        outcome = _added(outcome, execute(preflight(study, step), meanwhile))
        step = replace(step, fresh=False)
        if outcome.interrupted:
            break
        for index in now:
            table = first_rows(outcome.folder, study.scenarios[index].key, size)
            then, without = _next(table, aim, look, study)
            if then is None or then >= len(aim.looks):
                ended[index] = End(size, then is None, without)
                del going[index]
            else:
                going[index] = then
    assert outcome is not None
    note(outcome.folder, (aim.name, aim.looks[-1]), aim.rule,
         {study.scenarios[i].key: end for i, end in ended.items()})  # fmt: skip
    asked = sum(end.size for end in ended.values()) + sum(aim.looks[at] for at in going.values())
    done = sum(end.size for end in ended.values() if end.reached)
    return replace(outcome, asked=asked, done=done)


def first_step(study: Study, aim: Goal, options: Options) -> Options:
    """Return the options of the first look.

    Raises
    ------
    StudyError
        When replicates or a share are asked for.
    """
    if options.replicates is not None:
        raise StudyError("both until and replicates are given; give max_replicates "
                         "(--max-replicates) instead")  # fmt: skip
    if options.shard is not None:
        raise StudyError("a share of a run cannot tell when the whole is precise enough: leave "
                         "until out, or the share")  # fmt: skip
    # before any of the study's code may change the current folder
    out = results_folder(options.out, study.name)
    goal = aim.name, aim.looks[-1]
    return replace(options, out=out, replicates=aim.looks[0], goal=goal)


def first_rows(folder: Path, scenario: str, replicates: int) -> pd.DataFrame:
    """Return the rows of the first replicates of one scenario."""
    for parts in Store(folder).read(replicates):
        if parts[0][0].scenario == scenario:
            table = tables.table(parts)
            return table[table["replicate"] < replicates]
    raise StudyError(f"{folder} holds nothing of scenario {scenario!r}")


def _next(
    table: pd.DataFrame, aim: Goal, look: int, study: Study
) -> tuple[int | None, tuple[str, ...]]:
    """Return the next look of a scenario, None when its goal is reached; and what never will.

    What a method answers for fewer replicates than the look has cannot become more precise, and is
    not waited for; nor is a method that has not answered once, or has no number in spite of many
    answers.
    """
    performance = summarize(table, level=study.level)
    full = {label for label in study.fewer if study.fewer[label] <= aim.looks[look]}
    performance = performance[~performance["method"].astype(str).isin(full)]
    if performance.empty:
        return None, ()
    if not aim.measure:
        found = verdicts(performance, level=study.level, rule=aim.rule)
        # what more replicates would not decide asks for none
        return look + 1 if (found["more"] > 0).any() else None, ()
    rows = performance[performance["measure"].astype(str) == aim.measure]
    enough = rows["n"].to_numpy() >= aim.rule.fewest
    never = (rows["n"].to_numpy() == 0) | (enough & np.isnan(errors(rows)))
    without = tuple(dict.fromkeys(rows["method"].astype(str)[never]))
    if len(rows) and never.all():
        return len(aim.looks), without
    return following(rows[~never], aim, look), without


def following(rows: pd.DataFrame, aim: Goal, look: int) -> int | None:
    """Return the next look of a scenario whose rows of a measure are given; None when precise."""
    error = errors(rows)
    if not len(rows) or (error <= aim.mcse).all():
        return None
    # nothing is known where there is no error yet: one look on
    needed = pilot(rows, aim.measure, aim.mcse)["needed"].max()
    reach = aim.looks[look] if np.isnan(needed) else needed * aim.looks[look] / _used(rows)
    # four times as many at most: the error of a small pilot is itself uncertain
    reach = min(reach, 4 * aim.looks[look])
    later = [at for at in range(look + 1, len(aim.looks)) if aim.looks[at] >= reach]
    return later[0] if later else max(look + 1, len(aim.looks) - 1)


def _used(rows: pd.DataFrame) -> float:
    """Return how many replicates the rows used, the least."""
    return float(max(rows["n"].min(), 1))


def _spaced(most: int, factor: float) -> tuple[int, ...]:
    """Return looks from the first to the most replicates, a factor apart."""
    looks = [min(FIRST, most)]
    while looks[-1] < most:
        looks.append(min(math.ceil(looks[-1] * factor), most))
    return tuple(looks)


def _added(before: Outcome | None, after: Outcome) -> Outcome:
    """Add the work of two runs."""
    if before is None:
        return after
    return replace(
        after,
        computed=before.computed + after.computed,
        seconds=before.seconds + after.seconds,
        fits=before.fits + after.fits,
    )
