"""Can the standard errors of a probit with 32 students be trusted?

Spector & Mazzeo (1980, Journal of Economic Education 11:37) asked whether a new way of teaching
(PSI) raised the grades in economics of 32 students, given their grade point average (GPA) and a
test of what they knew before (TUCE). Here the covariates are the real ones and the truth is the
published fit; only the outcomes are drawn again, for the 32 students and for a class of 128, in
which each of them has three doubles. In some draws a hyperplane separates the grades; such a data
set has no estimate, and is counted.
"""

from statsmodels.datasets import spector

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import (
    BFGS_INVERSE,
    BOOTSTRAP,
    LBFGSB_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_STATSMODELS,
    OPG,
    SANDWICH,
)
from simstudy.models import probit
from simstudy.models.regression import fixed

STUDENTS = spector.load_pandas().exog.assign(const=1.0)
PUBLISHED = {"GPA": 1.62581004, "TUCE": 0.05172895, "PSI": 1.42633234, "const": -7.45231965}

STUDY = Study(
    name="spector",
    scenarios=grid(
        probit.mechanism(fixed(STUDENTS[list(PUBLISHED)]), PUBLISHED, name="spector"),
        n=[32, 128],
    ),
    estimators=[
        MaximumLikelihood(
            probit.model(list(PUBLISHED)),
            methods=[
                OBSERVED,
                OBSERVED_CENTRAL,
                OBSERVED_CENTRAL_1E5,
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
    fewer={"bootstrap": 100},
    seed=20261121,
)
