"""Gamma, shape 2 and rate 3, n = 200: observed, outer product of gradients, sandwich."""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OPG, SANDWICH
from simstudy.models import gamma

STUDY = Study(
    name="bench-gamma",
    scenarios=grid(gamma.MECHANISM, n=200, shape=2.0, rate=3.0),
    estimators=[MaximumLikelihood(gamma.MODEL, [OBSERVED, OPG, SANDWICH])],
    replicates=2000,
    seed=1,
)
