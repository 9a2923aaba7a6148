"""Bootstrap of a gamma fit, n = 50, 199 refits."""

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import BOOTSTRAP
from simstudy.models import gamma

STUDY = Study(
    name="bench-bootstrap",
    scenarios=grid(gamma.MECHANISM, n=50, shape=2.0, rate=3.0),
    estimators=[MaximumLikelihood(gamma.MODEL, [BOOTSTRAP])],
    replicates=50,
    seed=1,
)
