"""Refits of resampled observations, and the methods that look at their spread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from simstudy.arrays import Array, observations, take
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import Objective, own_derivatives
from simstudy.methods.intervals import Interval, wald
from simstudy.methods.protocol import Fitted, Inference, Source
from simstudy.methods.standard import standard
from simstudy.status import Status


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
