"""Weibull, shape 1.5 and scale 1, n = 200, the last 30 % censored."""

import numpy as np

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OPG, SANDWICH
from simstudy.models import weibull

END = float((-np.log(0.3)) ** (1 / 1.5))

STUDY = Study(
    name="bench-weibull",
    scenarios=grid(weibull.CENSORED_MECHANISM, n=200, shape=1.5, scale=1.0, censor=END),
    estimators=[MaximumLikelihood(weibull.CENSORED_MODEL, [OBSERVED, OPG, SANDWICH])],
    replicates=2000,
    seed=1,
)
