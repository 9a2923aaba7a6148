"""Models that come with simstudy, one family per file.

A module named after one distribution offers `MODEL` and `MECHANISM`; where a second parametrization
or censoring exists, `<WHAT>_MODEL` and `<WHAT>_MECHANISM`. A regression module offers
`model(coefficients)` and `mechanism(design, coefficients)`, mostly of a `regression.Family`, with
designs from `regression`. Mechanisms that the model misses on purpose have "wrong" in their name;
their truth is the pseudo-truth. Nothing here fits anything.
"""

from simstudy.models import (
    beta,
    binomial,
    exponential,
    gamma,
    inverse_gaussian,
    linear,
    logistic,
    logit,
    lognormal,
    negative_binomial,
    normal,
    normal_mixture,
    poisson,
    poisson_regression,
    probit,
    regression,
    student_t,
    weibull,
    weibull_regression,
    zero_inflated_poisson,
)

__all__ = [
    "beta",
    "binomial",
    "exponential",
    "gamma",
    "inverse_gaussian",
    "linear",
    "logistic",
    "logit",
    "lognormal",
    "negative_binomial",
    "normal",
    "normal_mixture",
    "poisson",
    "poisson_regression",
    "probit",
    "regression",
    "student_t",
    "weibull",
    "weibull_regression",
    "zero_inflated_poisson",
]
