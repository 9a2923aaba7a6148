"""Hessians by other people's functions, each with that function's own steps and defaults.

They work on the natural scale of theta, with no knowledge of the fit but the estimate, as somebody
who calls them after `scipy.optimize.minimize` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.curvature import Differenced, invert
from simstudy.methods.protocol import Fitted
from simstudy.status import Status


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
class ComplexStepHessian:
    """H by `approx_hess_cs` of statsmodels: the log-likelihood is called with complex parameters.

    Raises
    ------
    TypeError
        Where the log-likelihood takes no complex parameters; many special functions do not.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        from statsmodels.tools.numdiff import approx_hess_cs

        target = fitted.target

        def f(theta: Array) -> complex:
            total = -np.sum(target.model.loglik(theta, target.data))
            if not np.iscomplexobj(total):
                raise TypeError(
                    "the log-likelihood dropped the imaginary part of its parameters; a complex "
                    "step needs one that is analytic in them"
                )
            return complex(total)

        return np.asarray(approx_hess_cs(fitted.fit.theta, f), dtype=float)


@dataclass(frozen=True, slots=True)
class NumdifftoolsHessian:
    """H by `numdifftools.Hessian`: adaptive steps and Richardson extrapolation."""

    needs: ClassVar[tuple[str, ...]] = ()
    library: ClassVar[str] = "numdifftools"

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        from numdifftools import Hessian

        return np.asarray(Hessian(fitted.target.value)(fitted.fit.theta), dtype=float)


@dataclass(frozen=True, slots=True)
class ScipyHessian:
    """H by `scipy.differentiate.hessian`: adaptive, up to (27 p)**2 values of f."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted: Fitted) -> Array:
        """Return H, `(p, p)`."""
        from scipy.differentiate import hessian

        def f(points: Array) -> Array:
            return np.apply_along_axis(fitted.target.value, 0, points)

        return np.asarray(hessian(f, fitted.fit.theta).ddf, dtype=float)


@dataclass(frozen=True, slots=True)
class MinuitHessian:
    """H by HESSE of Minuit (James & Roos 1975, Computer Physics Communications 10:343).

    Minuit repairs a Hessian that is not positive definite; where it says so, that is no answer. It
    does not say so of a negative second derivative by one parameter (iminuit 2.33).
    """

    needs: ClassVar[tuple[str, ...]] = ()
    library: ClassVar[str] = "iminuit"

    def __call__(self, fitted: Fitted) -> Differenced:
        """Return H, `(p, p)`, and whether Minuit calls it accurate."""
        from iminuit import Minuit

        theta = fitted.fit.theta
        minuit = Minuit(fitted.target.value, theta)
        minuit.errordef = Minuit.LIKELIHOOD
        minuit.hesse()
        said, p = minuit.fmin, len(theta)
        repaired = said is None or said.hesse_failed or said.has_made_posdef_covar
        found = np.full((p, p), np.nan)
        if minuit.covariance is not None:
            found = invert(np.array(minuit.covariance)).covariance
        status = Status.not_positive_definite if repaired else Status.ok
        return Differenced(found, np.full(p, np.nan), np.array(status, dtype=np.int8))
