"""The methods that ship, under the names that studies and tables use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simstudy.methods.covariance import (
    diagonal,
    forced_positive_definite,
    observed,
    opg,
    pseudo_inverse,
    sandwich,
)
from simstudy.methods.intervals import log_wald
from simstudy.methods.libraries import (
    ComplexStepHessian,
    MinuitHessian,
    NumdifftoolsHessian,
    ScipyHessian,
    StatsmodelsHessian,
)
from simstudy.methods.optimizer import OptimizerInverse, PlainRun
from simstudy.methods.resampling import Multinomial, Resampling, jackknife, leave_one_out
from simstudy.methods.sources import (
    CentralScores,
    ExactHessian,
    ExactScores,
    ExpectedInformation,
    FixedStepHessian,
    RiseHessian,
    ScoreHessian,
    SimulatedInformation,
)
from simstudy.methods.wald import Wald


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
OBSERVED_STATSMODELS_CS = Wald("observed-statsmodels-cs", observed, hessian=ComplexStepHessian())
OBSERVED_NUMDIFFTOOLS = Wald("observed-numdifftools", observed, hessian=NumdifftoolsHessian())
OBSERVED_SCIPY = Wald("observed-scipy", observed, hessian=ScipyHessian())
OBSERVED_MINUIT = Wald("observed-minuit", observed, hessian=MinuitHessian())
OBSERVED_FORCED_PD = Wald("observed-forced-pd", forced_positive_definite, hessian=ExactHessian())
OBSERVED_PINV = Wald("observed-pinv", pseudo_inverse, hessian=ExactHessian())
EXPECTED = Wald("expected", observed, hessian=ExpectedInformation())
EXPECTED_SIMULATED = Wald("expected-simulated", observed, hessian=SimulatedInformation())
OPG = Wald("opg", opg, scores=ExactScores())
OPG_CENTRAL = Wald("opg-central", opg, scores=CentralScores())
SANDWICH = Wald("sandwich", sandwich, hessian=ExactHessian(), scores=ExactScores())
SANDWICH_CENTRAL = Wald("sandwich-central", sandwich, hessian=RiseHessian(), scores=CentralScores())
BFGS_INVERSE = OptimizerInverse("bfgs-inverse", PlainRun("BFGS"))
BFGS_INVERSE_EXACT = OptimizerInverse("bfgs-inverse-exact", PlainRun("BFGS", exact=True))
LBFGSB_INVERSE = OptimizerInverse("lbfgsb-inverse", PlainRun("L-BFGS-B"))
BOOTSTRAP = Resampling("bootstrap", Multinomial(199))
JACKKNIFE = Resampling("jackknife", leave_one_out, jackknife, spared=0.0)

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
        OBSERVED_STATSMODELS_1, OBSERVED_STATSMODELS_2, OBSERVED_STATSMODELS_CS,
        OBSERVED_NUMDIFFTOOLS, OBSERVED_SCIPY, OBSERVED_MINUIT, OBSERVED_FORCED_PD, OBSERVED_PINV,
        EXPECTED, EXPECTED_SIMULATED, OPG, OPG_LOG_WALD, OPG_CENTRAL, SANDWICH, SANDWICH_LOG_WALD,
        SANDWICH_CENTRAL, BFGS_INVERSE, BFGS_INVERSE_EXACT, LBFGSB_INVERSE, BOOTSTRAP,
        BOOTSTRAP_LOG_WALD, JACKKNIFE,
    )
}  # fmt: skip
