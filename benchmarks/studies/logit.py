"""Logit with an intercept and nine autoregressive covariates, n = 1,000."""

import numpy as np

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OPG, SANDWICH
from simstudy.models import logit
from simstudy.models.regression import autoregressive

covariates = autoregressive(9, 0.5)


def design(rng, n):
    """Put a constant before the covariates."""
    return np.column_stack([np.ones(n), covariates(rng, n)])


TRUTH = {f"b{j}": 0.5 if j % 2 else -0.5 for j in range(10)}

STUDY = Study(
    name="bench-logit",
    scenarios=grid(logit.mechanism(design, TRUTH), n=1000),
    estimators=[MaximumLikelihood(logit.model(10), [OBSERVED, OPG, SANDWICH])],
    replicates=200,
    seed=1,
)
