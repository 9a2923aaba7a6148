"""Tables for the tests of what reads them."""

import itertools
import math

import numpy as np
import pandas as pd
from scipy.stats import norm

METHODS = (
    "observed",
    "observed-central-1e-5-diagonal",
    "opg",
    "lbfgsb-inverse",
    "observed-log-wald",
)
UGLY = (
    "<script>alert(1)</script> & $\\bad$",
    "$1 and $2",
    "|pipe| `tick` *star* _line_ \x1b[31mred\x07 \u202eturned\x00",
    "\u63a8\u5b9a\u91cf \u03b8\u0302 \u043e\u0446\u0435\u043d\u043a\u0430",
    "x" * 300,
    "x" * 140 + "y" + "x" * 159,
)


def make_table(
    replicates=60,
    methods=METHODS,
    sizes=(20, 50, 200),
    shapes=(0.5, 2.0),
    parameters=("shape", "rate"),
):
    """Make a table like that of a gamma study: some methods are wrong, some fail.

    Estimates grow with their standard error; the diagonal method is 40 % too small and fails in
    part at n = 20, L-BFGS-B's are wild, and at n = 20 every twentieth fit fails.
    """
    rng = np.random.default_rng(20261121)
    z = norm.ppf(0.975)
    parts = []
    for shape, n in itertools.product(shapes, sizes):
        width = 1.4 / math.sqrt(n)
        for k, parameter in enumerate(parameters):
            truth = shape if k == 0 else 1.0
            fitted = truth * np.exp(width * rng.normal(size=replicates))
            fitted[(np.arange(replicates) % 20 == 3) & (n == 20)] = np.nan
            for method in methods:
                noise = {"opg": 0.2, "lbfgsb-inverse": 0.7}.get(method, 0.0)
                se = fitted * width * np.exp(noise * rng.normal(size=replicates))
                status = np.where(np.isnan(fitted), "not_converged", "ok").astype(object)
                if method.endswith("diagonal"):
                    se *= 0.6
                    lost = (np.arange(replicates) % 15 == 7) & (n == 20)
                    se[lost], status[lost] = np.nan, "rounding_noise"
                log = method.endswith("log-wald")
                lower = fitted * np.exp(-z * se / fitted) if log else fitted - z * se
                upper = fitted * np.exp(z * se / fitted) if log else fitted + z * se
                part = {
                    "scenario": f"gamma n={n} shape={shape} rate=1", "n": n, "shape": shape,
                    "replicate": np.arange(replicates), "estimator": "ml", "method": method,
                    "parameter": parameter, "truth": truth, "estimate": fitted, "se": se,
                    "lower": lower, "upper": upper, "status": status,
                }  # fmt: skip
                parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    for name in ("scenario", "estimator", "method", "parameter", "status"):
        table[name] = pd.Categorical(table[name], categories=table[name].unique())
    return table


def rename(table, column, names):
    """Give the levels of a label column other names, in order."""
    levels = table[column].unique()
    return table.assign(
        **{column: table[column].astype(object).map(dict(zip(levels, names, strict=True)))}
    )
