"""Sources of H and S: exact, by differences, by other people's functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.curvature import Differenced
from simstudy.likelihood.derivatives import central_scores, rise_hessian, score_hessian
from simstudy.likelihood.schemes import central_hessian
from simstudy.methods.covariance import meat
from simstudy.methods.protocol import Fitted


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
