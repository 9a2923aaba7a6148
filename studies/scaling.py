"""Does a standard error survive another unit of the data?

A gamma sample in five units, multiplied by 1e-4 to 1e4, fitted from the same start. The exact
information and differences along the problem's own axes do not notice. A fixed step is too large
for one parameter and too small for another; a plain BFGS or L-BFGS-B run stops early or reports
success where it is wrong.
"""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import (
    BFGS_INVERSE,
    LBFGSB_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_STATSMODELS,
)
from simstudy.models import gamma

STUDY = Study(
    name="scaling",
    scenarios=grid(gamma.MECHANISM, n=100, shape=2.0, rate=[3e4, 3e2, 3.0, 3e-2, 3e-4]),
    estimators=[
        MaximumLikelihood(
            gamma.MODEL,
            methods=[
                OBSERVED,
                OBSERVED_CENTRAL,
                OBSERVED_CENTRAL_1E5,
                OBSERVED_STATSMODELS,
                BFGS_INVERSE,
                LBFGSB_INVERSE,
            ],
        )
    ],
    replicates=1000,
    fewer={"bfgs-inverse": 200, "lbfgsb-inverse": 200},
    seed=20261125,
)
