"""Anyone's own estimator: a function from data to estimates, standard errors and intervals."""

from __future__ import annotations

import inspect
import reprlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simstudy.estimators.protocol import Draws, describe, finished, write
from simstudy.methods.intervals import Summary, t
from simstudy.methods.protocol import Inference
from simstudy.records.block import AnswerError, Block, empty, numbers_due
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS
from simstudy.warning_capture import captured_warnings


@dataclass(frozen=True, slots=True)
class Answer:
    """What one method of an estimator answers for one parameter.

    Attributes
    ----------
    method, parameter : str
    estimate : float
        The same from every method: another estimate is another estimator.
    se : float or None
        None where there is none.
    lower, upper : float or None
        Of the interval. Without both it is Student's, from the standard error and `df`; one alone
        is a one-sided interval.
    df : float
        Degrees of freedom of the standard error; infinite, for a Wald interval, by default.
    converged : bool
        False marks numbers that are no answer.
    """

    method: str
    parameter: str
    estimate: float
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    df: float = np.inf
    converged: bool = True


@dataclass(frozen=True, slots=True)
class FunctionEstimator:
    """Anyone's own estimator: one function from data to estimates.

    Parameters
    ----------
    name : str
    parameters : sequence of str
        Names of what it estimates.
    estimate : callable
        `estimate(data)`, or `estimate(data, rng)` with a generator of the replicate's own, for
        those that resample. It returns a list of `Answer`, one for every method and parameter; or,
        where there is one method, `{parameter: (estimate, se)}` or `(estimate, se, lower, upper)`,
        in which None is what there is not, and an estimate of nan one that did not converge.
    methods : sequence of str
        Names of its methods in the tables.

    Raises
    ------
    ValueError
        When parameters or methods are none, a word alone, or named twice.

    Examples
    --------
    Four standard errors of least squares from one fit:

    >>> import statsmodels.api as sm
    >>> from simstudy import Answer, FunctionEstimator
    >>> KINDS, NAMES = ("HC0", "HC1", "HC2", "HC3"), ("constant", "slope")
    >>> def least_squares(data):
    ...     fit = sm.OLS(data["y"], data["x"]).fit()
    ...     return [
    ...         Answer(kind, name, value, se, df=fit.df_resid)
    ...         for kind in KINDS
    ...         for name, value, se in zip(NAMES, fit.params, getattr(fit, f"{kind}_se"))
    ...     ]
    >>> FunctionEstimator("ols", NAMES, least_squares, methods=KINDS).labels
    ('HC0', 'HC1', 'HC2', 'HC3')
    """

    name: str
    parameters: Sequence[str]
    estimate: Callable[..., Mapping[str, Sequence[float | None]] | Sequence[Answer]]
    methods: Sequence[str] = ("own",)

    def __post_init__(self) -> None:
        """Freeze the names of parameters and methods."""
        for what in ("parameters", "methods"):
            names = getattr(self, what)
            if isinstance(names, str) or not isinstance(names, Iterable):
                raise ValueError(
                    f"estimator {self.name!r}: {what} is {names!r}; due is a list of names, such "
                    f"as [{names!r}]"
                )
            names = tuple(names)
            if not names or len(set(names)) < len(names):
                raise ValueError(
                    f"estimator {self.name!r}: {what} are {list(names)}; due is at least one name, "
                    "and each once"
                )
            object.__setattr__(self, what, names)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.methods)

    def answer(self, draws: Draws) -> Block:
        """Call the function on every data set."""
        block = empty(draws.replicates, len(self.methods), len(self.parameters))
        messages = [""] * len(draws.data)
        random = "rng" in _arguments(self.estimate)
        for b, data in enumerate(draws.data):
            began = time.perf_counter()
            try:
                if isinstance(data, Exception):
                    block.status[b] = block.audit["status"][b] = Status.data_error
                    messages[b] = describe(data)
                else:
                    rng = draws.stream(draws.replicates[b], f"estimator {self.name}")
                    with captured_warnings(draws.heard[b]):
                        found = self.estimate(data, rng=rng) if random else self.estimate(data)
                        self._write(block, b, found, draws.level)
            except STOPS:
                raise
            except BaseException as error:
                told = error
                if isinstance(error, AnswerError):
                    here = f"estimator {self.name!r}, replicate {draws.replicates[b]}"
                    told = AnswerError(f"{here}: {error}")
                if draws.strict:
                    raise told from error
                block.status[b] = block.audit["status"][b] = Status.fit_error
                messages[b] = describe(told)
            block.audit["seconds"][b] = time.perf_counter() - began
        return finished(block, draws, messages)

    def _write(self, block: Block, b: int, found: Any, level: float) -> None:
        """Write down the answers for one data set."""
        rows = self._rows(found)
        numbers = np.array([[_numbers(rows[m, j]) for j in self.parameters] for m in self.methods])
        estimates, se, lower, upper, df = np.moveaxis(numbers, -1, 0)
        for j, name in enumerate(self.parameters):
            if len(set(estimates[np.isfinite(estimates[:, j]), j])) > 1:
                raise AnswerError(
                    f"its methods answer with several estimates of {name!r}: "
                    f"{', '.join(f'{value:g}' for value in estimates[:, j])}; one estimator has "
                    "one: make another estimator of the other"
                )
        plain = t(Summary(estimates, se, level, df=df))
        alone = [[_lacks_limits(rows[m, j]) for j in self.parameters] for m in self.methods]
        lower, upper = np.where(alone, plain[0], lower), np.where(alone, plain[1], upper)
        good = np.array([all(rows[m, j].converged for j in self.parameters) for m in self.methods])
        block.audit["success"][b] = good.all()
        block.audit["status"][b] = Status.ok if good.any() else Status.not_converged
        block.estimate[b] = estimates[np.argmax(good)]
        for m, ready in enumerate(good):
            status = np.int8(Status.ok if ready else Status.not_converged)
            write(block, np.array([b]), m, Inference(se[m], lower[m], upper[m], status))

    def _rows(self, found: Any) -> dict[tuple[str, str], Answer]:
        """Return what came as one `Answer` for every method and parameter.

        Raises
        ------
        AnswerError
            When it is something else, or one is missing, unknown or there twice.
        """
        due = (
            f"due is a list of Answer for each of the methods {list(self.methods)} and parameters "
            f"{list(self.parameters)}"
        )
        if len(self.methods) == 1:
            due = (
                f"due is a mapping from each of {list(self.parameters)} to (estimate, se) or "
                "(estimate, se, lower, upper), or a list of Answer"
            )
            if isinstance(found, Mapping):
                found = self._of_mapping(found, due)
        if not isinstance(found, list | tuple) or not all(isinstance(f, Answer) for f in found):
            raise AnswerError(f"it returned {reprlib.repr(found)}; {due}")
        rows = {(row.method, row.parameter): row for row in found}
        whole = {(m, j) for m in self.methods for j in self.parameters}
        for words, pairs in (("no answer", whole - set(rows)), ("an answer", set(rows) - whole)):
            if pairs:
                method, name = min(pairs, key=str)
                raise AnswerError(f"it returned {words} of {method!r} for {name!r}; {due}")
        if len(found) > len(rows):
            raise AnswerError(f"it returned {len(found)} answers, {len(rows)} of them apart; {due}")
        return rows

    def _of_mapping(self, found: Mapping[str, Any], due: str) -> list[Answer]:
        """Return the answers of a mapping from parameters to two or four numbers."""
        right = set(found) == set(self.parameters)
        if not right or {np.size(values) for values in found.values()} not in ({2}, {4}):
            raise AnswerError(f"it returned {reprlib.repr(found)}; {due}")
        rows = []
        for name, values in found.items():
            estimate, se, *ends = (np.nan if value is None else value for value in values)
            lower, upper = ends or (None, None)
            numbers_due(f"its estimate of {name!r}", estimate, ())
            row = Answer(self.methods[0], name, estimate, se, lower, upper)
            rows.append(replace(row, converged=bool(np.isfinite(estimate))))
        return rows


def _arguments(function: Callable[..., Any]) -> set[str]:
    """Return the names of a function's arguments; none where it does not tell."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def _lacks_limits(row: Answer) -> bool:
    return row.lower is None and row.upper is None


def _numbers(row: Answer) -> tuple[float, ...]:
    """Return estimate, se, limits and df of a row; None is nan, beside one limit infinite.

    Raises
    ------
    AnswerError
        When one is no real number, the estimate of a converged row is not finite, or the degrees of
        freedom are not above zero.
    """
    alone = _lacks_limits(row)
    ends = (np.nan, np.nan) if alone else (-np.inf, np.inf)
    absent = {"se": np.nan, "lower": ends[0], "upper": ends[1]}
    found = {}
    for name in ("estimate", "se", "lower", "upper", "df"):
        given = getattr(row, name)
        what = f"its answer of {row.method!r} for {row.parameter!r}: {name}"
        found[name] = float(numbers_due(what, absent.get(name) if given is None else given, ()))
    here = f"its answer of {row.method!r} for {row.parameter!r}"
    if row.converged and not np.isfinite(found["estimate"]):
        raise AnswerError(
            f"{here} has the estimate {found['estimate']}; due is a finite number, or "
            "converged=False"
        )
    if not found["df"] > 0:
        raise AnswerError(f"{here} has {found['df']:g} degrees of freedom; due is a number above 0")
    return tuple(found.values())
