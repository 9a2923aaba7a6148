"""How much censoring do the standard errors of a Weibull fit stand?

Times cut at a fixed limit: four fifths, a half and a fifth of them are seen. Observed and expected
information differ where few events are seen; with none there is no maximum.
"""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import EXPECTED, OBSERVED, OBSERVED_CENTRAL, OBSERVED_LOG_WALD, OPG, SANDWICH
from simstudy.models import weibull

STUDY = Study(
    name="censored_weibull",
    scenarios=grid(
        weibull.CENSORED_MECHANISM, n=[20, 50, 200], shape=1.5, scale=2.0, censor=[2.75, 1.57, 0.74]
    ),
    estimators=[
        MaximumLikelihood(
            weibull.CENSORED_MODEL,
            [OBSERVED, OBSERVED_LOG_WALD, OBSERVED_CENTRAL, EXPECTED, OPG, SANDWICH],
        )
    ],
    replicates=1000,
    seed=20261125,
)
