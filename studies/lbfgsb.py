"""What is the inverse Hessian of L-BFGS-B worth?

SciPy's L-BFGS-B keeps the last ten pairs of steps and gradients, and `hess_inv` is built from them.
Held against the exact information and plain BFGS, for two parameters and for ten.
"""

from dataclasses import replace

from simstudy import MaximumLikelihood, Scenario, Study
from simstudy.methods import BFGS_INVERSE, LBFGSB_INVERSE, OBSERVED
from simstudy.models import gamma, logit
from simstudy.models.regression import autoregressive

COEFFICIENTS = {f"b{j}": 0.5 if j % 2 else -0.5 for j in range(10)}
LOGIT = replace(
    logit.mechanism(autoregressive(10, 0.5), COEFFICIENTS),
    truth=lambda n: {name: COEFFICIENTS[name] for name in ("b0", "b1")},
)
METHODS = [OBSERVED, BFGS_INVERSE, LBFGSB_INVERSE]

STUDY = Study(
    name="lbfgsb",
    scenarios=[
        Scenario(gamma.MECHANISM, {"n": 200, "shape": 2.0, "rate": 3.0}, only=["gamma"]),
        Scenario(LOGIT, {"n": 500}, only=["logit"]),
    ],
    estimators=[
        MaximumLikelihood(gamma.MODEL, METHODS),
        MaximumLikelihood(logit.model(10), METHODS),
    ],
    replicates=500,
    seed=20261125,
)
