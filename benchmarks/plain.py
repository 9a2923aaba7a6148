"""Likelihoods in plain NumPy and SciPy against the same written with simstudy.arrays.

    python benchmarks/plain.py

Everything in one process, in CPU seconds beyond compilation, the two versions in turn, the best of
several; a script written by hand (the functions of benchmarks/scripts.py, finite differences) fits
the same data. Estimates are held against the loop engine's.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

import scripts
from simstudy import MaximumLikelihood, Mechanism, Model, Study, grid
from simstudy import arrays as sa
from simstudy.engines import batched, loop
from simstudy.methods import OBSERVED, OPG, SANDWICH

Array = Any
ROOT = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9))))
TEN = np.array([0.5 if j % 2 else -0.5 for j in range(10)])
END = (-np.log(0.3)) ** (1 / 1.5)


class Case(NamedTuple):
    """Data and the two versions; `natural` of a script's working values."""

    truth: dict[str, float]
    positive: set[str]
    n: int
    draw: Callable[..., Any]
    plain: Callable[..., Array]
    rewritten: Callable[..., Array]


def draw_gamma(rng, n):
    return rng.gamma(2.0, 1 / 3.0, size=n)


def gamma(theta, y):
    shape, rate = theta
    return shape * np.log(rate) - special.gammaln(shape) + (shape - 1) * np.log(y) - rate * y


def gamma_rewritten(theta, y):
    shape, rate = theta[0], theta[1]
    return shape * sa.log(rate) - sa.gammaln(shape) + (shape - 1) * sa.log(y) - rate * y


def draw_weibull(rng, n):
    y = rng.weibull(1.5, size=n)
    return {"y": np.minimum(y, END), "event": (y <= END).astype(float)}


def weibull(theta, data):
    shape, scale = theta
    r = np.log(data["y"]) - np.log(scale)
    out = -np.exp(shape * r)
    out += np.where(data["event"] == 1, np.log(shape) - np.log(data["y"]) + shape * r, 0.0)
    return out


def weibull_rewritten(theta, data):
    shape, scale = theta[0], theta[1]
    r = sa.log(data["y"]) - sa.log(scale)
    events = sa.log(shape) - sa.log(data["y"]) + shape * r
    return sa.where(data["event"] == 1, events, 0.0) - sa.exp(shape * r)


def covariates(rng, n, p):
    return np.column_stack([np.ones(n), rng.standard_normal((n, 9)) @ ROOT.T])[:, :p]


def draw_poisson(rng, n):
    x = covariates(rng, n, 4)
    return {"x": x, "y": rng.poisson(np.exp(x @ TEN[:4])).astype(float)}


def poisson(theta, data):
    eta = data["x"] @ theta
    return data["y"] * eta - np.exp(eta) - special.gammaln(data["y"] + 1)


def poisson_rewritten(theta, data):
    eta = data["x"] @ theta
    return data["y"] * eta - sa.exp(eta) - sa.gammaln(data["y"] + 1)


def draw_logit(rng, n):
    x = covariates(rng, n, 10)
    return {"x": x, "y": (rng.uniform(size=n) < special.expit(x @ TEN)).astype(float)}


def logit(theta, data):
    eta = data["x"] @ theta
    return data["y"] * eta - np.logaddexp(0.0, eta)


def logit_rewritten(theta, data):
    eta = data["x"] @ theta
    return data["y"] * eta - sa.softplus(eta)


def draw_normal(rng, n):
    x = covariates(rng, n, 3)
    return {"x": x, "y": rng.normal(x @ TEN[:3], 1.0)}


def normal(theta, data):
    return stats.norm.logpdf(data["y"], loc=data["x"] @ theta[:-1], scale=theta[-1])


def normal_rewritten(theta, data):
    z = (data["y"] - data["x"] @ theta[:-1]) / theta[-1]
    return -z * z / 2 - sa.log(theta[-1]) - np.log(2 * np.pi) / 2


def coefficients(p):
    return {f"b{j}": float(TEN[j]) for j in range(p)}


CASES = {
    "gamma": Case({"shape": 2.0, "rate": 3.0}, {"shape", "rate"}, 200, draw_gamma, gamma,
                  gamma_rewritten),
    "censored Weibull": Case({"shape": 1.5, "scale": 1.0}, {"shape", "scale"}, 200, draw_weibull,
                             weibull, weibull_rewritten),
    "Poisson regression": Case(coefficients(4), set(), 500, draw_poisson, poisson,
                               poisson_rewritten),
    "logit, ten coefficients": Case(coefficients(10), set(), 1000, draw_logit, logit,
                                    logit_rewritten),
    "normal by norm.logpdf": Case(coefficients(3) | {"sigma": 1.0}, {"sigma"}, 200, draw_normal,
                                  normal, normal_rewritten),
}  # fmt: skip


def study(case: Case, loglik: Callable[..., Array]) -> Study:
    """Make a study of the three methods that the script has."""
    start = np.array([1.0 if name in case.positive else 0.0 for name in case.truth])
    supports = {name: "positive" if name in case.positive else "real" for name in case.truth}
    model = Model("m", supports, lambda data: start, loglik)
    mechanism = Mechanism("m", case.draw, lambda n: case.truth)
    estimator = MaximumLikelihood(model, [OBSERVED, OPG, SANDWICH])
    return Study("bench", grid(mechanism, n=case.n), [estimator], seed=1)


def by_hand(case: Case, count: int) -> float:
    """Return CPU seconds per replicate of a script."""
    chosen = np.array([name in case.positive for name in case.truth])
    written = scripts.Study(
        case.truth, case.n, case.draw, lambda data: np.zeros(len(chosen)),
        lambda w: np.where(chosen, np.exp(w), w), lambda theta: theta, case.plain, case.plain,
    )  # fmt: skip
    seeds = np.random.SeedSequence(1).spawn(count)
    began = time.process_time()
    scripts.replicate_many(written, seeds, exact=False)
    return (time.process_time() - began) / count


def main() -> None:
    """Print a line for each case."""
    print(f"{'':25}{'plain/s':>9}{'rewritten/s':>13}{'ratio':>7}{'x script':>10}{'worst SE':>10}")
    for name, case in CASES.items():
        both = [study(case, f) for f in (case.plain, case.rewritten)]
        count, best = 4096, [np.inf, np.inf]
        for turn in range(4):
            for k, one in enumerate(both):
                began = time.process_time()
                batched.block(one, 0, count * turn, count * (turn + 1))
                if turn:  # the first compiles
                    best[k] = min(best[k], (time.process_time() - began) / count)
        hand = min(by_hand(case, 60) for _ in range(2))
        slow, quick = (engine.block(both[0], 0, 0, 30)["m"] for engine in (loop, batched))
        apart = np.abs((slow.estimate - quick.estimate) / slow.se[:, 0]).max()
        print(f"{name:25}{1 / best[0]:9,.0f}{1 / best[1]:13,.0f}{best[0] / best[1]:7.2f}"
              f"{hand / best[0]:10.0f}{apart:10.1e}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
