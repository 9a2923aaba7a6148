"""Which standard error of a gamma fit can be trusted, and from which sample size on?

The textbook's answer is the inverse of the observed information. People also use what the optimizer
left behind, a numerical Hessian, the outer product of the scores, the sandwich and the bootstrap.
Here all of them answer from the same fits, and each is held against the spread of the estimates.
"""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import (
    BFGS_INVERSE,
    BOOTSTRAP,
    LBFGSB_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_CENTRAL_1E5_DIAGONAL,
    OBSERVED_LOG_WALD,
    OBSERVED_STATSMODELS,
    OPG,
    SANDWICH,
)
from simstudy.models import gamma

STUDY = Study(
    name="gamma",
    scenarios=grid(gamma.MECHANISM, n=[20, 50, 200], shape=[0.5, 2.0], rate=1.0),
    estimators=[
        MaximumLikelihood(
            gamma.MODEL,
            methods=[
                OBSERVED,
                OBSERVED_LOG_WALD,
                OBSERVED_CENTRAL,
                OBSERVED_CENTRAL_1E5,
                OBSERVED_CENTRAL_1E5_DIAGONAL,
                OBSERVED_STATSMODELS,
                OPG,
                SANDWICH,
                BFGS_INVERSE,
                LBFGSB_INVERSE,
                BOOTSTRAP,
            ],
        )
    ],
    replicates=1000,
    fewer={"bootstrap": 200, "bfgs-inverse": 250, "lbfgsb-inverse": 250},
    seed=20261120,
)
