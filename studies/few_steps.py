"""How many steps must BFGS take before its inverse Hessian can be read as a covariance?

A logit with ten coefficients, BFGS stopped after 5, 10, 12 and 14 steps, and not at all. The matrix
holds one update for each step but the last: with fewer steps than parameters most of it is still
the identity it began with, and the standard errors are several times too large or too small.
"""

from dataclasses import replace

from simstudy import MaximumLikelihood, Scenario, Study
from simstudy.methods import BFGS_INVERSE, OBSERVED, PlainRun
from simstudy.models import logit
from simstudy.models.regression import autoregressive

COEFFICIENTS = {f"b{j}": 0.5 if j % 2 else -0.5 for j in range(10)}
# two of the ten coefficients are scored; they all tell the same
LOGIT = replace(
    logit.mechanism(autoregressive(10, 0.5), COEFFICIENTS),
    truth=lambda n: {name: COEFFICIENTS[name] for name in ("b0", "b1")},
)

STUDY = Study(
    name="few_steps",
    scenarios=[Scenario(LOGIT, {"n": 500})],
    estimators=[
        MaximumLikelihood(
            logit.model(10),
            methods=[
                OBSERVED,
                *(
                    replace(BFGS_INVERSE, name=f"bfgs-inverse-{k}-steps", run=PlainRun(most=k))
                    for k in (5, 10, 12, 14)
                ),
                BFGS_INVERSE,
            ],
        )
    ],
    replicates=500,
    seed=20261125,
)
