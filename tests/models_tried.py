"""The models that ship, each with a mechanism and factors that are quick to try."""

from simstudy.models import (
    binomial,
    exponential,
    gamma,
    logit,
    negative_binomial,
    normal,
    poisson,
    poisson_regression,
    probit,
    student_t,
    weibull,
)
from simstudy.models.regression import autoregressive

X = autoregressive(2, 0.5)
BETA = {"b0": 0.5, "b1": -0.5}
MODELS = {
    "binomial": (binomial.MODEL, binomial.MECHANISM, {"n": 12, "p": 0.2}),
    "binomial-logit": (binomial.LOGIT_MODEL, binomial.LOGIT_MECHANISM, {"n": 12, "p": 0.2}),
    "exponential": (exponential.MODEL, exponential.MECHANISM, {"n": 20, "rate": 2.0}),
    "gamma": (gamma.MODEL, gamma.MECHANISM, {"n": 30, "shape": 2.0, "rate": 3.0}),
    "logit": (logit.model(2), logit.mechanism(X, BETA), {"n": 40}),
    "negative-binomial": (
        negative_binomial.model(2),
        negative_binomial.mechanism(X, BETA),
        {"n": 60, "dispersion": 1.0},
    ),
    "normal": (normal.MODEL, normal.MECHANISM, {"n": 20, "mu": 1.0, "sigma": 2.0}),
    "poisson": (poisson.MODEL, poisson.MECHANISM, {"n": 5, "mean": 0.7}),
    "poisson-regression": (
        poisson_regression.RAW_MODEL,
        poisson_regression.RAW_MECHANISM,
        {"n": 60},
    ),
    "probit": (probit.model(2), probit.mechanism(X, BETA), {"n": 40}),
    "student-t": (
        student_t.model(5.0),
        student_t.mechanism(5.0),
        {"n": 40, "mu": 1.0, "sigma": 2.0},
    ),
    "weibull-censored": (
        weibull.CENSORED_MODEL,
        weibull.CENSORED_MECHANISM,
        {"n": 30, "shape": 1.5, "scale": 2.0, "censor": 2.0},
    ),
}  # fmt: skip
