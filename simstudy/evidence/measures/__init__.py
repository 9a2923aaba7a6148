"""One function per performance measure: vectors in, value and Monte Carlo standard error out.

Notation: n usable replicates, estimate t, truth T, error e = t - T, s the standard deviation of t
(divisor n - 1), B = (t - mean t)^2, V = se^2, interval [L, U]. Vectors are `(..., n)`: the last
axis counts replicates, leading axes give one value each, nan marks what is missing; `truth` and
`null` may be single numbers. Every measure uses the replicates that have all it needs.

Where the truth differs within a group, a spread is that of the errors, never that of the truths:
`relative` moves every estimate as if its replicate had the group's mean truth. All measures of
estimates that are not errors already take the truth for that; where it is constant, or not given,
nothing is moved and no digit changes.

A measure without a definition (too few replicates, all estimates equal, a truth of zero) is nan,
never a number; so is a Monte Carlo standard error (MCSE) without one. `mcse="robust"`, the default,
assumes nothing about the shape of the estimates; `mcse="morris"` gives the formulas of Morris,
White & Crowther (2019), Statistics in Medicine 38:2074, table 6.

A new measure is one more function: `average`, `share` and `quantile` of
`simstudy.evidence.montecarlo` give most of them their MCSE, and `summarize` hands a function the
columns its arguments are named after.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from simstudy.evidence.measures.estimates import (
    answered,
    bias,
    empse,
    fail,
    mae,
    mean,
    median,
    mse,
    rbias,
    relative,
    relprec,
    rmse,
)
from simstudy.evidence.measures.intervals import (
    becover,
    ciwidth,
    cover,
    cover_all,
    miss_left,
    miss_right,
    power,
    wald_power,
    wscore,
)
from simstudy.evidence.measures.standard_errors import (
    corr,
    modelse,
    relerror,
    relvar_rmse,
    se_ratio,
    seratio,
)
from simstudy.evidence.montecarlo import Measure

MEASURES: dict[str, Callable[..., Measure]] = {
    "n": answered,
    "fail": fail,
    "mean": mean,
    "median": median,
    "bias": bias,
    "rbias": rbias,
    "empse": empse,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "relprec": relprec,
    "modelse": modelse,
    "relerror": relerror,
    "relvar_rmse": relvar_rmse,
    "seratio_p05": partial(seratio, q=0.05),
    "seratio_median": partial(seratio, q=0.5),
    "seratio_p95": partial(seratio, q=0.95),
    "corr": corr,
    "cover": cover,
    "becover": becover,
    "cover_all": cover_all,
    "miss_left": miss_left,
    "miss_right": miss_right,
    "power": power,
    "ciwidth": ciwidth,
    "wscore": wscore,
}
"""The catalogue: the name of each measure in a performance frame, and its function."""

MORRIS: dict[str, Callable[..., Measure]] = MEASURES | {"power": wald_power}
"""The catalogue under `mcse="morris"`, in which power asks the standard error, not the interval."""

SHARES = ("fail", "cover", "becover", "cover_all", "miss_left", "miss_right", "power")
"""Measures that are shares of the replicates, with binomial Monte Carlo errors."""

__all__ = [
    "MEASURES", "MORRIS", "SHARES", "answered", "becover", "bias", "ciwidth", "corr", "cover",
    "cover_all", "empse", "fail", "mae", "mean", "median", "miss_left", "miss_right", "modelse",
    "mse", "power", "rbias", "relative", "relerror", "relprec", "relvar_rmse", "rmse", "se_ratio",
    "seratio", "wald_power", "wscore",
]  # fmt: skip
