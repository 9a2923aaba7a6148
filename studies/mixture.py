"""Do standard errors hold for a mixture whose components overlap?

Two normal populations of one spread, 2, 3 and 4 of their standard deviations apart. The more they
overlap, the larger the sample that the curvature at the maximum needs before it tells the spread of
the estimates; and in small samples there is often no maximum with two components at all.
"""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OBSERVED_LOG_WALD, OPG, SANDWICH
from simstudy.models import normal_mixture

STUDY = Study(
    name="mixture",
    scenarios=grid(
        normal_mixture.MECHANISM, n=[100, 400, 1600], share=0.4, mu=0.0, gap=[2.0, 3.0, 4.0],
        sigma=1.0,
    ),
    estimators=[
        MaximumLikelihood(normal_mixture.MODEL, [OBSERVED, OBSERVED_LOG_WALD, OPG, SANDWICH])
    ],
    replicates=1000,
    seed=20261125,
)  # fmt: skip
