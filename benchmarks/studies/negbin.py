"""Negative binomial regression, four coefficients and a dispersion of 0.5, n = 500."""

import numpy as np

from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, OPG, SANDWICH
from simstudy.models import negative_binomial


def design(rng, n):
    """Draw a constant and three standard normal covariates."""
    return np.column_stack([np.ones(n), rng.standard_normal((n, 3))])


TRUTH = {"b0": 1.0, "b1": 0.5, "b2": -0.5, "b3": 0.25}

STUDY = Study(
    name="bench-negbin",
    scenarios=grid(negative_binomial.mechanism(design, TRUTH), n=500, dispersion=0.5),
    estimators=[MaximumLikelihood(negative_binomial.model(4), [OBSERVED, OPG, SANDWICH])],
    replicates=500,
    seed=1,
)
