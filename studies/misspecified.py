"""Which standard error holds when the model is wrong?

The inverse Hessian and the outer product of scores are right only where the model is. Four models,
each fitted to data of another kind: its estimate goes to the pseudo-truth, the parameter that is
nearest to what the data come from, and only the sandwich tells how far it spreads around it.
"""

from simstudy import MaximumLikelihood, Scenario, Study
from simstudy.methods import OBSERVED, OPG, SANDWICH
from simstudy.models import exponential, lognormal, normal, poisson

METHODS = [OBSERVED, OPG, SANDWICH]
CASES = [
    (exponential.MODEL, exponential.WRONG_GAMMA, {"shape": 0.5, "mean": 2.0}),
    (lognormal.MODEL, lognormal.WRONG_GAMMA, {"shape": 0.5, "rate": 1.0}),
    (normal.MODEL, normal.WRONG_CONTAMINATED,
     {"mu": 1.0, "sigma": 2.0, "share": 0.1, "spread": 3.0}),
    (poisson.MODEL, poisson.WRONG_NEGATIVE_BINOMIAL, {"mean": 3.0, "dispersion": 0.5}),
]  # fmt: skip

STUDY = Study(
    name="misspecified",
    scenarios=[
        Scenario(mechanism, {"n": n, **factors}, only=[model.name])
        for model, mechanism, factors in CASES
        for n in (50, 500)
    ],
    estimators=[MaximumLikelihood(model, METHODS) for model, _, _ in CASES],
    replicates=5000,
    seed=20261125,
)
