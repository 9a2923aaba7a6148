"""What happens to standard errors next to the edge of the parameter's space?

A share of sure zeros among Poisson counts, from a fifth down to one in fifty. There many samples
have no maximum inside the space: they have no standard error, and the report counts them. Those
that have one are not like the rest, so that coverage among them is not coverage.
"""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OBSERVED_LOG_WALD, SANDWICH
from simstudy.models import zero_inflated_poisson

STUDY = Study(
    name="boundary",
    scenarios=grid(
        zero_inflated_poisson.MECHANISM, n=[50, 200, 800], zero=[0.02, 0.08, 0.2], mean=2.0
    ),
    estimators=[
        MaximumLikelihood(zero_inflated_poisson.MODEL, [OBSERVED, OBSERVED_LOG_WALD, SANDWICH])
    ],
    replicates=1000,
    seed=20261125,
)
