"""Methods: what turns one fit into a standard error and an interval.

A method names its **sources**, the expensive things computed once per fit and shared by all methods
that name them (a Hessian, the outer product of the scores, a plain optimizer run, bootstrap
refits), and makes standard errors and intervals from them. `Wald` does so by functions of arrays
for all fits of a block at once; any other callable with a name and sources answers for one fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from simstudy.arrays import Array, observations, take
from simstudy.likelihood.curvature import Curvature, Differenced
from simstudy.likelihood.derivatives import (
    Objective,
    central_hessian,
    central_scores,
    own_derivatives,
    rise_hessian,
    score_hessian,
)
from simstudy.likelihood.fit import Fit, maximize, plain
from simstudy.likelihood.model import Support, slopes
from simstudy.methods.covariance import (
    Formula,
    Place,
    diagnose,
    diagonal,
    meat,
    observed,
    opg,
    reads,
    sandwich,
)
from simstudy.methods.intervals import Interval, log_wald, wald
from simstudy.records.block import AnswerError, numbers_due
from simstudy.status import Status
from simstudy.streams import Stream


@dataclass(frozen=True, slots=True)
class Fitted:
    """One data set with its fit: all that a source or a method may look at.

    Attributes
    ----------
    target : Objective
        The model bound to the data.
    fit : Fit
        The fit whose `theta` is the estimate.
    level : float
        Of the intervals.
    stream : callable
        `stream(purpose) -> numpy.random.Generator` of this replicate.
    """

    target: Objective
    fit: Fit
    level: float
    stream: Stream


@dataclass(frozen=True, slots=True)
class Inference:
    """Standard errors and interval ends `(..., p)`, with the `Status` `(...)` of each answer.

    A method without a standard error gives nan in its place; `simstudy.records.block.judged` says
    what else is legal. Nothing is broadcast.

    `failed` counts the refits that failed on the way; `error` is the estimated relative error of
    standard errors from differences, nan where there is none to tell.
    """

    se: Array
    lower: Array
    upper: Array
    status: Array
    failed: int = 0
    error: Array | float = np.nan


class Source(Protocol):
    """Something computed once per fit. Equal sources are computed once; hashable, so frozen.

    `needs` names the exact derivatives it uses: any of "score", "hessian". One that takes terms of
    the log-likelihood for those of single observations (scores, resamples) says so by an attribute
    `by_observation = True`: it is refused where terms look at other observations.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the exact derivatives it uses."""

    def __call__(self, fitted: Fitted) -> Any:
        """Compute it for one fit."""


@runtime_checkable
class Method(Protocol):
    """What a study calls a method."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it needs computed."""

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit, given what its sources returned, in their order."""


@dataclass(frozen=True, slots=True)
class ExactHessian:
    """H from the model's own `hessian`, or by automatic differentiation."""

    needs: ClassVar[tuple[str, ...]] = ("hessian",)

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        return fitted.target.curvature(fitted.fit.theta)


@dataclass(frozen=True, slots=True)
class ExactScores:
    """S from the model's own `score`, or by automatic differentiation."""

    needs: ClassVar[tuple[str, ...]] = ("score",)
    by_observation: ClassVar[bool] = True

    def __call__(self, fitted: Fitted) -> Array:
        """Return S, `(p, p)`."""
        score = fitted.target.score
        assert score is not None
        return meat(np.asarray(score(fitted.fit.theta, fitted.target.data)))


@dataclass(frozen=True, slots=True)
class CentralScores:
    """S from differences of the log-likelihood per observation along the problem's own axes."""

    needs: ClassVar[tuple[str, ...]] = ()
    by_observation: ClassVar[bool] = True

    def __call__(self, fitted: Fitted) -> Differenced:
        """Return S, `(p, p)`, and how far it can be trusted."""
        return central_scores(fitted.target, fitted.fit.theta, fitted.fit.hessian)


@dataclass(frozen=True, slots=True)
class RiseHessian:
    """H by differences along the problem's own axes, with steps at which f rises by 0.01."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted: Fitted) -> Differenced:
        """Return H, `(p, p)`, and how far it can be trusted."""
        return rise_hessian(fitted.target, fitted.fit.theta, fitted.fit.hessian)


@dataclass(frozen=True, slots=True)
class ScoreHessian:
    """H by differences of the exact score, a hundredth of a standard error along the own axes."""

    needs: ClassVar[tuple[str, ...]] = ("score",)

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        return score_hessian(fitted.target, fitted.fit.theta, fitted.fit.hessian)


@dataclass(frozen=True, slots=True)
class FixedStepHessian:
    """H by central differences with one absolute step for every parameter, as written by hand."""

    step: float = 1e-5
    diagonal: bool = False
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        theta = fitted.fit.theta
        step = np.full_like(theta, self.step)
        return central_hessian(fitted.target.value, theta, step, diagonal=self.diagonal)


@dataclass(frozen=True, slots=True)
class StatsmodelsHessian:
    """H by a function of `statsmodels.tools.numdiff`, with that function's default step."""

    function: str = "approx_hess"
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        from statsmodels.tools import numdiff

        rough = getattr(numdiff, self.function)(fitted.fit.theta, fitted.target.value)
        return np.asarray(rough, dtype=float)


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A run of `scipy.optimize.minimize` as a user makes it; see `simstudy.likelihood.fit.plain`.

    `most` is SciPy's `maxiter`, for users who stop early.
    """

    optimizer: str = "BFGS"
    working: bool = False
    exact: bool = False
    most: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Only a run with the exact gradient needs one."""
        return ("score",) if self.exact else ()

    def __call__(self, fitted: Fitted) -> Fit:
        """Run the optimizer again from the model's own start."""
        return plain(
            fitted.target, optimizer=self.optimizer, working=self.working, exact=self.exact,
            most=self.most,
        )  # fmt: skip


def resampled(fitted: Fitted, rows: Array) -> Objective:
    """Return the objective of a resample, `(n,)` observations."""
    target = own_derivatives(fitted.target)
    return replace(target, data=take(target.data, np.sort(rows)))


@dataclass(frozen=True, slots=True)
class Refits:
    """Refits of resampled observations, each from the estimate by Newton's method.

    The number of times an observation is drawn is multinomial (Efron 1979, Annals of Statistics
    7:1).
    """

    count: int = 199
    needs: ClassVar[tuple[str, ...]] = ()
    by_observation: ClassVar[bool] = True

    def __call__(self, fitted: Fitted) -> Array:
        """Return the estimates, `(count, p)`, nan in the rows of failed refits."""
        return np.stack([self.refit(fitted, rows) for rows in self.resamples(fitted)])

    def resamples(self, fitted: Fitted) -> Array:
        """Draw which observations each resample consists of, `(count, n)`."""
        rng, n = fitted.stream(f"bootstrap {self.count}"), observations(fitted.target.data)
        return rng.integers(n, size=(self.count, n))

    def refit(self, fitted: Fitted, rows: Array) -> Array:
        """Fit one resample, `(n,)`, from the estimate; nan where that fails."""
        theta = fitted.fit.theta
        try:
            fit = maximize(resampled(fitted, rows), theta, optimizer=None)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            return np.full_like(theta, np.nan)
        return fit.theta if fit.status == Status.ok else np.full_like(theta, np.nan)


_DUE = {
    "hessian": (
        "the Hessian",
        "hessian=ExactHessian(), or hessian=RiseHessian() where there are no exact derivatives",
    ),
    "meat": (
        "the outer product of the scores",
        "scores=ExactScores(), or scores=CentralScores() where there are no exact derivatives",
    ),
}


@dataclass(frozen=True, slots=True)
class Wald:
    """A covariance formula on a Hessian and scores, with an interval: functions of arrays.

    Parameters
    ----------
    name : str
    covariance : callable
        `covariance(Curvature) -> Inverse`, such as those of `simstudy.methods.covariance`.
    hessian, scores : Source or None
        Where H and S come from; None for what the formula does not use.
    interval : callable
        `interval(theta, se, level, supports) -> (lower, upper)`.

    Raises
    ------
    ValueError
        When the formula reads H or S and no source of it is named.

    Examples
    --------
    >>> from simstudy.methods.covariance import opg
    >>> from simstudy.methods.intervals import log_wald
    >>> from simstudy.methods import CentralScores, Wald
    >>> Wald("mine", covariance=opg, scores=CentralScores(), interval=log_wald).name
    'mine'
    """

    name: str
    covariance: Formula
    hessian: Source | None = None
    scores: Source | None = None
    interval: Interval = wald

    def __post_init__(self) -> None:
        """Refuse a formula that reads what no source gives."""
        given = {"hessian": self.hessian, "meat": self.scores}
        if all(source is not None for source in given.values()):
            return
        for name in sorted(reads(self.covariance)):
            if given[name] is None:
                word, due = _DUE[name]
                raise ValueError(
                    f"method {self.name!r}: its covariance formula reads {word} "
                    f"(curvature.{name}), and no source of it is named; add {due}"
                )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The Hessian, then the scores, as far as used."""
        return tuple(source for source in (self.hessian, self.scores) if source is not None)

    def answer(
        self, place: Place, sourced: tuple[Array, ...], level: float, supports: tuple[Support, ...]
    ) -> Inference:
        """Answer for fits with any leading axes.

        Parameters
        ----------
        place : Place
            The fits.
        sourced : tuple of (..., p, p) or Differenced
            What the sources returned, in their order.
        level : float
        supports : tuple of str
        """
        found = self.matrix(place, sourced)
        inference = standard(place.theta, *found, self.interval, level, supports)
        errors = [one.error.max(axis=-1) for one in sourced if isinstance(one, Differenced)]
        return replace(inference, error=np.max(errors, axis=0)) if errors else inference

    def matrix(self, place: Place, sourced: tuple[Any, ...]) -> tuple[Array, Array]:
        """Return covariance `(..., p, p)` and status `(...)`."""
        said = [one.status for one in sourced if isinstance(one, Differenced)]
        sourced = tuple(one.matrix if isinstance(one, Differenced) else one for one in sourced)
        h = sourced[0] if self.hessian is not None else None
        s = sourced[-1] if self.scores is not None else None
        square = (*place.theta.shape, place.theta.shape[-1])
        for source, found in ((self.hessian, h), (self.scores, s)):
            if found is not None:
                numbers_due(f"what {type(source).__name__} returned", found, square)
        curvature = Curvature(h, s, getattr(self.hessian, "step", None))
        inverse = self.covariance(curvature)
        status = diagnose(inverse.status, curvature, place)
        for word in said:
            status = np.where(word == Status.ok, status, word).astype(np.int8)
        return inverse.covariance, status

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit."""
        supports = fitted.target.model.supports
        return self.answer(place_of(fitted.fit), sourced, fitted.level, supports)


@dataclass(frozen=True, slots=True)
class OptimizerInverse:
    """What a plain optimizer run returned as its inverse Hessian, taken as the covariance."""

    name: str
    run: PlainRun
    interval: Interval = wald

    def __post_init__(self) -> None:
        """Refuse an optimizer that returns no inverse Hessian."""
        if self.run.optimizer.lower() not in ("bfgs", "l-bfgs-b"):
            raise ValueError(
                f"method {self.name!r}: SciPy's {self.run.optimizer} returns no inverse Hessian; "
                "allowed are BFGS and L-BFGS-B"
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The plain run."""
        return (self.run,)

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit; the interval is around the fit's estimate."""
        theta, supports = fitted.fit.theta, fitted.target.model.supports
        covariance = np.asarray(sourced[0].inverse, dtype=float)
        if self.run.working:
            slope = slopes(theta, supports)[0]
            covariance = covariance * slope * slope[:, None]
        # Nothing was learned of the curvature: the matrix is the one that the optimizer began with.
        still = np.array_equal(sourced[0].inverse, np.eye(len(theta)))
        status = np.int8(sourced[0].status)
        if still and status == Status.ok:
            status = np.int8(Status.no_step)
        return standard(theta, covariance, status, self.interval, fitted.level, supports)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Standard deviation of bootstrap refits, with an interval from it.

    No answer where more than one refit in twenty failed; fewer are counted in the audit.
    """

    name: str = "bootstrap"
    refits: Refits = Refits()
    interval: Interval = wald

    @property
    def sources(self) -> tuple[Source, ...]:
        """The refits."""
        return (self.refits,)

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit."""
        supports = fitted.target.model.supports
        thetas = sourced[0]
        done = np.isfinite(thetas).all(axis=-1)
        failed = int(len(done) - done.sum())
        theta = fitted.fit.theta
        status = np.int8(Status.refits_failed if failed > 0.05 * len(done) else Status.ok)
        covariance = np.full((len(theta), len(theta)), np.nan)
        if status == Status.ok and done.sum() > 1:
            covariance = np.atleast_2d(np.cov(thetas[done], rowvar=False))
        answer = standard(theta, covariance, status, self.interval, fitted.level, supports)
        return replace(answer, failed=failed)


def standard(
    theta: Array,
    covariance: Array,
    status: Array,
    interval: Interval,
    level: float,
    supports: tuple[Support, ...],
) -> Inference:
    """Take standard errors and an interval from a covariance; the one definition of both.

    Parameters
    ----------
    theta : (..., p)
    covariance : (..., p, p)
        nan where there is none.
    status : (...)
        What is known already; `ok` becomes `negative_variance` or `not_finite` where that is so.
    interval : callable
    level : float
    supports : tuple of str

    Returns
    -------
    Inference
        nan for all parameters wherever the status is not `ok`.

    Raises
    ------
    AnswerError
        When a formula or an interval returned another shape, or no real numbers.
    """
    theta = np.asarray(theta, dtype=float)
    covariance = numbers_due("the covariance", covariance, (*theta.shape, theta.shape[-1]))
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    status = numbers_due("the status", status, theta.shape[:-1]).astype(np.int8)
    finite = np.isfinite(variance).all(axis=-1) & (variance != 0).all(axis=-1)
    found = np.where(
        (variance < 0).any(axis=-1),
        Status.negative_variance,
        np.where(finite, Status.ok, Status.not_finite),
    )
    status = np.where(status == Status.ok, found, status).astype(np.int8)
    good = (status == Status.ok)[..., None]
    se = np.sqrt(np.where(good, variance, np.nan))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        ends = interval(theta, se, level, supports)
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise AnswerError(f"the interval returned {type(ends).__name__}; due are (lower, upper)")
    lower, upper = (
        numbers_due(f"the interval's {name} end", values, theta.shape)
        for name, values in zip(("lower", "upper"), ends, strict=True)
    )
    return Inference(se, np.where(good, lower, np.nan), np.where(good, upper, np.nan), status)


def place_of(fit: Fit) -> Place:
    """Reduce a fit to what a diagnosis needs."""
    return Place(fit.theta, np.asarray(fit.loglik), np.asarray(fit.edm), fit.hessian)


def with_log_wald(method: Any) -> Any:
    """Return the same method with its interval on the working scale, named `<name>-log-wald`."""
    return replace(method, name=f"{method.name}-log-wald", interval=log_wald)


OBSERVED = Wald("observed", observed, hessian=ExactHessian())
OBSERVED_CENTRAL = Wald("observed-central", observed, hessian=RiseHessian())
OBSERVED_SCORE = Wald("observed-score", observed, hessian=ScoreHessian())
OBSERVED_CENTRAL_1E5 = Wald("observed-central-1e-5", observed, hessian=FixedStepHessian(1e-5))
OBSERVED_CENTRAL_1E5_DIAGONAL = Wald(
    "observed-central-1e-5-diagonal", diagonal, hessian=FixedStepHessian(1e-5, diagonal=True)
)
OBSERVED_STATSMODELS = Wald("observed-statsmodels", observed, hessian=StatsmodelsHessian())
OBSERVED_STATSMODELS_1 = Wald(
    "observed-statsmodels-1", observed, hessian=StatsmodelsHessian("approx_hess1")
)
OBSERVED_STATSMODELS_2 = Wald(
    "observed-statsmodels-2", observed, hessian=StatsmodelsHessian("approx_hess2")
)
OPG = Wald("opg", opg, scores=ExactScores())
OPG_CENTRAL = Wald("opg-central", opg, scores=CentralScores())
SANDWICH = Wald("sandwich", sandwich, hessian=ExactHessian(), scores=ExactScores())
SANDWICH_CENTRAL = Wald("sandwich-central", sandwich, hessian=RiseHessian(), scores=CentralScores())
BFGS_INVERSE = OptimizerInverse("bfgs-inverse", PlainRun("BFGS"))
BFGS_INVERSE_EXACT = OptimizerInverse("bfgs-inverse-exact", PlainRun("BFGS", exact=True))
LBFGSB_INVERSE = OptimizerInverse("lbfgsb-inverse", PlainRun("L-BFGS-B"))
BOOTSTRAP = Bootstrap()

OBSERVED_LOG_WALD = with_log_wald(OBSERVED)
OBSERVED_CENTRAL_LOG_WALD = with_log_wald(OBSERVED_CENTRAL)
OPG_LOG_WALD = with_log_wald(OPG)
SANDWICH_LOG_WALD = with_log_wald(SANDWICH)
BOOTSTRAP_LOG_WALD = with_log_wald(BOOTSTRAP)

METHODS: dict[str, Callable[..., Any]] = {
    method.name: method
    for method in (
        OBSERVED, OBSERVED_LOG_WALD, OBSERVED_CENTRAL, OBSERVED_CENTRAL_LOG_WALD, OBSERVED_SCORE,
        OBSERVED_CENTRAL_1E5, OBSERVED_CENTRAL_1E5_DIAGONAL, OBSERVED_STATSMODELS,
        OBSERVED_STATSMODELS_1, OBSERVED_STATSMODELS_2, OPG, OPG_LOG_WALD, OPG_CENTRAL, SANDWICH,
        SANDWICH_LOG_WALD, SANDWICH_CENTRAL, BFGS_INVERSE, BFGS_INVERSE_EXACT, LBFGSB_INVERSE,
        BOOTSTRAP, BOOTSTRAP_LOG_WALD,
    )
}  # fmt: skip
