"""Sources of H and S: exact, expected, by differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.likelihood.axes import axes_of
from simstudy.likelihood.curvature import Differenced
from simstudy.likelihood.derivatives import central_scores, rise_hessian, score_hessian
from simstudy.likelihood.extrapolation import differenced
from simstudy.likelihood.schemes import central_hessian
from simstudy.methods.covariance import meat
from simstudy.methods.protocol import Batch, Fitted, LogLikelihood


@dataclass(frozen=True, slots=True)
class ExactHessian:
    """H from the model's own `hessian`, or by automatic differentiation."""

    needs: ClassVar[tuple[str, ...]] = ("hessian",)

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        return fitted.target.curvature(fitted.fit.theta)

    def for_batch(self, batch: Batch) -> Array:
        """Return H, `(B, p, p)`: that of the last Newton step."""
        return batch.natural(batch.gradient, batch.hessian)


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

    def in_program(self, loglik: LogLikelihood, theta: Array, data: Data, weights: Array) -> Array:
        """Trace S, `(p, p)`, of one data set."""
        import jax

        scores = jax.jacfwd(loglik)(theta, data)
        return (scores * weights[:, None]).T @ scores

    def for_batch(self, batch: Batch) -> Array:
        """Return S, `(B, p, p)`."""
        assert batch.traced is not None
        return batch.traced


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

    def for_batch(self, batch: Batch) -> Differenced:
        """Return H, `(B, p, p)`, and how far it can be trusted."""
        usable = np.isfinite(batch.hessian).all(axis=(-1, -2), keepdims=True)
        axes = axes_of(np.where(usable, batch.hessian, np.eye(batch.working.shape[-1])))
        with np.errstate(all="ignore"):
            gradient, rise = differenced(batch.values, batch.working, batch.value, axes)
        return Differenced(batch.natural(gradient, rise.matrix), rise.error, rise.status)


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
class ExpectedInformation:
    """The expected (Fisher) information at the estimate, by the model's own formula."""

    needs: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[str, ...]] = ("expected",)

    def __call__(self, fitted: Fitted) -> Array:
        """Return the information, `(p, p)`."""
        target = fitted.target
        assert target.model.expected is not None
        return np.asarray(target.model.expected(fitted.fit.theta, target.data), dtype=float)


@dataclass(frozen=True, slots=True)
class SimulatedInformation:
    """The expected information: the mean of s s' over data that the model draws at the estimate.

    With N drawn observations in all, a variance from it is off by about sqrt(2 / N) of itself where
    scores are normal, and by more where they have longer tails.

    Attributes
    ----------
    observations : int
        At least so many are drawn, in data sets of the size of the one that was fitted.
    """

    observations: int = 20_000
    needs: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[str, ...]] = ("draw",)
    by_observation: ClassVar[bool] = True

    def __call__(self, fitted: Fitted) -> Array:
        """Return the information, `(p, p)`."""
        theta, model = fitted.fit.theta, fitted.target.model
        assert model.draw is not None
        rng, total = fitted.stream("expected"), np.zeros((len(theta), len(theta)))
        times = -(-self.observations // observations(fitted.target.data))
        for _ in range(times):
            drawn = replace(fitted.target, data=model.draw(rng, theta, fitted.target.data))
            if drawn.score is None:
                total += central_scores(drawn, theta, fitted.fit.hessian).matrix
            else:
                total += meat(np.asarray(drawn.score(theta, drawn.data)))
        return total / times
