"""From a fit to standard errors and intervals: the methods under the names that studies use.

Formulas are functions of arrays; a method is a small frozen value. Nothing here draws data.
"""

from simstudy.methods.catalogue import (
    BFGS_INVERSE,
    BFGS_INVERSE_EXACT,
    BOOTSTRAP,
    BOOTSTRAP_LOG_WALD,
    LBFGSB_INVERSE,
    METHODS,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_CENTRAL_1E5_DIAGONAL,
    OBSERVED_CENTRAL_LOG_WALD,
    OBSERVED_LOG_WALD,
    OBSERVED_SCORE,
    OBSERVED_STATSMODELS,
    OBSERVED_STATSMODELS_1,
    OBSERVED_STATSMODELS_2,
    OPG,
    OPG_CENTRAL,
    OPG_LOG_WALD,
    SANDWICH,
    SANDWICH_CENTRAL,
    SANDWICH_LOG_WALD,
    with_log_wald,
)
from simstudy.methods.covariance import place_of
from simstudy.methods.optimizer import OptimizerInverse, PlainRun
from simstudy.methods.protocol import Fitted, Inference, Method, Source
from simstudy.methods.resampling import Bootstrap, Refits, resampled
from simstudy.methods.sources import (
    CentralScores,
    ExactHessian,
    ExactScores,
    FixedStepHessian,
    RiseHessian,
    ScoreHessian,
    StatsmodelsHessian,
)
from simstudy.methods.standard import standard
from simstudy.methods.wald import Wald

__all__ = [
    "BFGS_INVERSE",
    "BFGS_INVERSE_EXACT",
    "BOOTSTRAP",
    "BOOTSTRAP_LOG_WALD",
    "LBFGSB_INVERSE",
    "METHODS",
    "OBSERVED",
    "OBSERVED_CENTRAL",
    "OBSERVED_CENTRAL_1E5",
    "OBSERVED_CENTRAL_1E5_DIAGONAL",
    "OBSERVED_CENTRAL_LOG_WALD",
    "OBSERVED_LOG_WALD",
    "OBSERVED_SCORE",
    "OBSERVED_STATSMODELS",
    "OBSERVED_STATSMODELS_1",
    "OBSERVED_STATSMODELS_2",
    "OPG",
    "OPG_CENTRAL",
    "OPG_LOG_WALD",
    "SANDWICH",
    "SANDWICH_CENTRAL",
    "SANDWICH_LOG_WALD",
    "Bootstrap",
    "CentralScores",
    "ExactHessian",
    "ExactScores",
    "Fitted",
    "FixedStepHessian",
    "Inference",
    "Method",
    "OptimizerInverse",
    "PlainRun",
    "Refits",
    "RiseHessian",
    "ScoreHessian",
    "Source",
    "StatsmodelsHessian",
    "Wald",
    "place_of",
    "resampled",
    "standard",
    "with_log_wald",
]
