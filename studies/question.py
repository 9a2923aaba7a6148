"""Which of my standard errors is right, when they disagree by orders of magnitude?

Three causes, one scenario each. Raw units: in a Poisson regression on dollars a plain BFGS run
stops where it started, and `hess_inv`, a fixed-step Hessian and statsmodels' differ by powers of
ten. Saddle: a mixture started at equal means stays there, says success, and variances come out
negative. Few steps: a logit with ten coefficients, BFGS stopped after fewer steps than parameters.
"""

from dataclasses import replace

import numpy as np

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.methods import (
    BFGS_INVERSE,
    LBFGSB_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_CENTRAL_1E5_DIAGONAL,
    OBSERVED_STATSMODELS,
    PlainRun,
)
from simstudy.models import logit, poisson_regression
from simstudy.models.regression import autoregressive

NUMERICAL = [
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_CENTRAL_1E5_DIAGONAL,
    OBSERVED_STATSMODELS,
    BFGS_INVERSE,
    LBFGSB_INVERSE,
]


def draw_mixture(rng, n, gap):
    """Draw from two normal populations of equal size, their means `gap` apart."""
    return rng.normal(np.where(rng.uniform(size=n) < 0.5, -gap / 2, gap / 2), 1.0)


def mixture_truth(n, gap):
    """Return the two means."""
    return {"low": -gap / 2, "high": gap / 2}


def mixture_loglik(theta, data):
    """Log-density of an equal mixture of two normals with unit variance."""
    one, other = -0.5 * (data - theta[0]) ** 2, -0.5 * (data - theta[1]) ** 2
    return np.logaddexp(one, other) - np.log(2) - 0.5 * np.log(2 * np.pi)


def mixture(name, start):
    """Make the mixture model with its start."""
    return Model(name, {"low": "real", "high": "real"}, start=start, loglik=mixture_loglik)


APART = mixture("mixture", lambda data: np.quantile(data, [0.25, 0.75]))
EQUAL = mixture("mixture-equal-start", lambda data: np.full(2, data.mean()))
COEFFICIENTS = {f"b{j}": 0.5 if j % 2 else -0.5 for j in range(10)}
# Two of the ten coefficients are scored; they all tell the same.
LOGIT = replace(
    logit.mechanism(autoregressive(10, 0.5), COEFFICIENTS),
    truth=lambda n: {name: COEFFICIENTS[name] for name in ("b0", "b1")},
)

STUDY = Study(
    name="question",
    scenarios=[
        Scenario(poisson_regression.RAW_MECHANISM, {"n": 500}, only=["raw-units"]),
        Scenario(
            Mechanism("mixture", draw_mixture, mixture_truth),
            {"n": 200, "gap": 3.0},
            only=["mixture", "mixture-at-a-saddle"],
        ),
        Scenario(LOGIT, {"n": 500}, only=["few-steps"]),
    ],
    estimators=[
        MaximumLikelihood(poisson_regression.RAW_MODEL, [OBSERVED, *NUMERICAL], name="raw-units"),
        MaximumLikelihood(APART, NUMERICAL, name="mixture"),
        MaximumLikelihood(EQUAL, NUMERICAL, as_is=True, name="mixture-at-a-saddle"),
        MaximumLikelihood(
            logit.model(10),
            [
                OBSERVED,
                OBSERVED_STATSMODELS,
                BFGS_INVERSE,
                *(
                    replace(BFGS_INVERSE, name=f"bfgs-inverse-{k}-steps", run=PlainRun(most=k))
                    for k in (5, 10)
                ),
            ],
            name="few-steps",
        ),
    ],
    replicates=500,
    seed=20261121,
)
