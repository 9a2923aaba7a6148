"""Whole studies against numbers that are known without simulation.

The oracles are closed forms, or sums over all outcomes, of Wald intervals at 95 %. Every measure
must lie within 4.5 Monte Carlo standard errors of its oracle: a false alarm for one seed in about
1,500 (7e-6 for each of about 100 measures, were they normal). The seed is fixed.

Two steps. The estimates in closed form run through the whole machinery 5,000 times per scenario,
which is quick. Then maximum likelihood must give the same estimates, standard errors and
intervals, and fail for the same data sets, one by one.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import FunctionEstimator, MaximumLikelihood, Mechanism, Model, Scenario, Study, run
from simstudy.methods import OBSERVED
from simstudy.models import binomial, exponential, normal, poisson

MANY, SOME = 5_000, 60
TOLERANCE = 4.5


@dataclass(frozen=True)
class Family:
    """A parametrization: its mechanism, its model, and its estimates in closed form."""

    mechanism: Mechanism
    model: Model
    closed: object


def rate(data):
    estimate = 1 / data.mean()
    return {"rate": (estimate, estimate / np.sqrt(len(data)))}


def log_rate(data):
    return {"log_rate": (-np.log(data.mean()), 1 / np.sqrt(len(data)))}


def variance(data):
    n, found = len(data), data.var()
    return {
        "mu": (data.mean(), np.sqrt(found / n)),
        "variance": (found, found * np.sqrt(2 / n)),
    }


def log_sigma(data):
    n, found = len(data), data.std()
    return {
        "mu": (data.mean(), found / np.sqrt(n)),
        "log_sigma": (np.log(found), 1 / np.sqrt(2 * n)),
    }


def proportion(data):
    n, share = len(data), data.mean()
    if share in (0, 1):
        raise ValueError("all outcomes are alike")
    return {"p": (share, np.sqrt(share * (1 - share) / n))}


def logit(data):
    n, k = len(data), data.sum()
    if k in (0, n):
        raise ValueError("all outcomes are alike")
    return {"logit": (np.log(k / (n - k)), np.sqrt(n / (k * (n - k))))}


def mean(data):
    if not data.any():
        raise ValueError("no count")
    return {"mean": (data.mean(), np.sqrt(data.mean() / len(data)))}


def log_mean(data):
    if not data.any():
        raise ValueError("no count")
    return {"log_mean": (np.log(data.mean()), 1 / np.sqrt(data.sum()))}


LOG_RATE = Model(
    "log-rate", {"log_rate": "real"},
    start=lambda data: np.zeros(1),
    loglik=lambda theta, data: theta[0] - np.exp(theta[0]) * data,
    score=lambda theta, data: 1 - np.exp(theta[0]) * data[:, None],
    hessian=lambda theta, data: np.array([[-np.exp(theta[0]) * data.sum()]]),
)  # fmt: skip


def log_sigma_hessian(theta, data):
    z = (data - theta[0]) / np.exp(theta[1])
    cross = -2 * z.sum() / np.exp(theta[1])
    return np.array([[-len(data) / np.exp(2 * theta[1]), cross], [cross, -2 * (z**2).sum()]])


LOG_SIGMA = Model(
    "log-sigma", {"mu": "real", "log_sigma": "real"},
    start=lambda data: np.array([np.median(data), 0.0]),
    loglik=lambda theta, data: -theta[1] - ((data - theta[0]) / np.exp(theta[1])) ** 2 / 2,
    score=lambda theta, data: np.stack(
        [(data - theta[0]) / np.exp(2 * theta[1]),
         ((data - theta[0]) / np.exp(theta[1])) ** 2 - 1], axis=-1),
    hessian=log_sigma_hessian,
)  # fmt: skip

FAMILIES = {
    "rate": Family(exponential.MECHANISM, exponential.MODEL, rate),
    "log rate": Family(
        Mechanism("exponential-log", exponential.draw, lambda n, rate: {"log_rate": np.log(rate)}),
        LOG_RATE,
        log_rate,
    ),
    "variance": Family(normal.VARIANCE_MECHANISM, normal.VARIANCE_MODEL, variance),
    "log sigma": Family(
        Mechanism("normal-log", normal.draw, lambda n, mu, sigma: {"log_sigma": np.log(sigma)}),
        LOG_SIGMA,
        log_sigma,
    ),
    "proportion": Family(binomial.MECHANISM, binomial.MODEL, proportion),
    "logit": Family(binomial.LOGIT_MECHANISM, binomial.LOGIT_MODEL, logit),
    "mean": Family(poisson.MECHANISM, poisson.MODEL, mean),
    "log mean": Family(poisson.LOG_MECHANISM, poisson.LOG_MODEL, log_mean),
}

EXPONENTIAL = {"rate": 1.0}
NORMAL = {"mu": 0.0, "sigma": 1.0}
CASES = [
    ("rate", EXPONENTIAL, [10, 20]),
    ("log rate", EXPONENTIAL, [10, 20]),
    ("variance", NORMAL, [10, 20]),
    ("log sigma", NORMAL, [10, 20]),
    ("proportion", {"p": 0.1}, [20]),
    ("proportion", {"p": 0.5}, [20]),
    ("logit", {"p": 0.1}, [20]),
    ("logit", {"p": 0.5}, [20]),
    ("mean", {"mean": 3.0}, [1]),
    ("mean", {"mean": 10.0}, [1]),
    ("log mean", {"mean": 3.0}, [1]),
    ("log mean", {"mean": 10.0}, [1]),
]
NAMES = [f"{name} {factors}" for name, factors, _ in CASES]

# family, first factor, n, parameter: bias, empse, modelse, relerror (%), mse, cover, becover, fail
ORACLES = {
    ("rate", 1.0, 10, "rate"):
        (0.111111, 0.392837, 0.372678, -5.1317, 0.166667, 0.9549216, 0.9124402, 0),
    ("rate", 1.0, 20, "rate"):
        (0.0526316, 0.248108, 0.241825, -2.5321, 0.0643275, 0.9528124, 0.9319844, 0),
    ("log rate", 1.0, 10, "log_rate"):
        (0.0508325, 0.324294, 0.316228, -2.4872, 0.10775, 0.9410225, 0.9454296, 0),
    ("log rate", 1.0, 20, "log_rate"):
        (0.0252083, 0.226431, 0.223607, -1.2471, 0.0519063, 0.9454931, 0.9477125, 0),
    ("variance", 0.0, 10, "mu"):
        (0, 0.316228, 0.3, -5.1317, 0.1, 0.9040927, 0.9040927, 0),
    ("variance", 0.0, 20, "mu"):
        (0, 0.223607, 0.217945, -2.5321, 0.05, 0.9286986, 0.9286986, 0),
    ("variance", 0.0, 10, "variance"):
        (-0.1, 0.424264, 0.444972, 4.8809, 0.19, 0.8047369, 0.8517077, 0),
    ("variance", 0.0, 20, "variance"):
        (-0.05, 0.308221, 0.315832, 2.4695, 0.0975, 0.8701974, 0.8967122, 0),
    ("log sigma", 0.0, 10, "log_sigma"):
        (-0.110283, 0.249362, 0.223607, -10.328, 0.0743437, 0.8961491, 0.9263613, 0),
    ("log sigma", 0.0, 20, "log_sigma"):
        (-0.0524236, 0.166581, 0.158114, -5.083, 0.0304976, 0.9240599, 0.9389846, 0),
    ("proportion", 0.1, 20, "p"):
        (0.0138403, 0.0595586, 0.0697616, 17.131, 0.00373878, 0.9972837, None, 0.12158),
    ("proportion", 0.5, 20, "p"):
        (0, 0.111801, 0.108973, -2.5302, 0.0124995, 0.9586124, None, 1.9073e-06),
    ("logit", 0.1, 20, "logit"):
        (0.0111455, 0.595441, 0.795997, 33.682, 0.354674, 0.95085, None, 0.12158),
    ("logit", 0.5, 20, "logit"):
        (0, 0.473508, 0.460414, -2.7655, 0.22421, 0.9586124, None, 1.9073e-06),
    ("mean", 3.0, 1, "mean"):
        (0.157187, 1.63123, 1.77685, 8.9267, 2.68563, 0.8388107, None, 0.049787),
    ("mean", 10.0, 1, "mean"):
        (0.00045402, 3.16163, 3.16235, 0.022709, 9.99591, 0.9257696, None, 4.54e-05),
    ("log mean", 3.0, 1, "log_mean"):
        (-0.0942615, 0.563149, 0.657787, 16.805, 0.326022, 0.9647358, None, 0.049787),
    ("log mean", 10.0, 1, "log_mean"):
        (-0.055106, 0.346741, 0.336187, -3.0439, 0.123266, 0.962666, None, 4.54e-05),
}  # fmt: skip


def study(name, factors, sizes, replicates, **estimators):
    """Make the study of one family at one truth."""
    family = FAMILIES[name]
    closed = FunctionEstimator("closed", family.model.names, family.closed, methods=["observed"])
    return Study(
        "oracle",
        [Scenario(family.mechanism, {"n": n} | factors) for n in sizes],
        [closed, *estimators.values()],
        replicates=replicates,
        seed=20261120,
    )


def executed(made, folder):
    return run(made, out=folder, jobs=1, engine="loop", quiet=True)


def error_of(measure, n, asked, oracle, mcse):
    """Return the Monte Carlo standard error to hold a measure against: the oracle's where known.

    The mean that `becover` is about is itself simulated, which adds at most half to its error.
    """
    _, empse, _, _, _, cover, becover, fail = oracle
    return {
        "bias": empse / np.sqrt(n),
        "cover": np.sqrt(cover * (1 - cover) / n),
        "becover": becover and 1.5 * np.sqrt(becover * (1 - becover) / n),
        "fail": max(np.sqrt(fail * (1 - fail) / asked), 1 / asked),
    }.get(measure, mcse)


MEASURES = ("bias", "empse", "modelse", "relerror", "mse", "cover", "becover", "fail")


@pytest.mark.parametrize(("name", "factors", "sizes"), CASES, ids=NAMES)
def test_every_measure_of_a_whole_study_is_its_oracle(tmp_path, name, factors, sizes):
    performance = executed(study(name, factors, sizes, MANY), tmp_path / "r").performance()
    first, checked = next(iter(factors.values())), 0
    for (family, value, n, parameter), oracle in ORACLES.items():
        if (family, value) != (name, first):
            continue
        rows = performance[(performance["factor_n"] == n) & (performance["parameter"] == parameter)]
        found = rows.set_index(rows["measure"].astype(str))
        for measure, due in zip(MEASURES, oracle, strict=True):
            if due is None:
                continue
            row = found.loc[measure]
            error = error_of(measure, found.loc["n", "value"], MANY, oracle, row["mcse"])
            # the oracles have six digits
            slack = TOLERANCE * error + 1e-5 * abs(due)
            assert abs(row["value"] - due) <= slack, f"{parameter}, n={n}: {measure}"
            checked += 1
    assert checked >= 7 * len(sizes)


@pytest.mark.parametrize(("name", "factors", "sizes"), CASES, ids=NAMES)
def test_maximum_likelihood_is_the_closed_form_one_by_one(tmp_path, name, factors, sizes):
    estimator = MaximumLikelihood(FAMILIES[name].model, [OBSERVED], name="ml")
    table = executed(study(name, factors, sizes, SOME, ml=estimator), tmp_path / "r").table()
    key = ["scenario", "replicate", "parameter"]
    both = [table[table["estimator"] == e].set_index(key).sort_index() for e in ("closed", "ml")]
    closed, ml = both
    assert len(closed) == len(ml) == SOME * len(sizes) * len(set(table["parameter"]))
    good = (closed["status"] == "ok").to_numpy()
    assert_array_equal((ml["status"] == "ok").to_numpy(), good)
    assert set(ml["status"][~good]) <= {"no_maximum"}
    # A fit may end where the EDM is 5e-17, 1e-8 standard errors off; the closed form rounds too.
    for column in ("estimate", "se", "lower", "upper"):
        assert_allclose(ml[column][good], closed[column][good], rtol=1e-6, atol=1e-7)


def test_failures_of_small_proportions_are_counted_as_no_maximum(tmp_path):
    """Binomial, p = .1, n = 20: the share without an estimate is .9**20 + .1**20 = .12158.

    400 replicates, 4.5 binomial standard errors: a false alarm for one seed in 150,000.
    """
    family = FAMILIES["logit"]
    made = Study(
        "failures", [Scenario(family.mechanism, {"n": 20, "p": 0.1})],
        [MaximumLikelihood(family.model, [OBSERVED])], replicates=400, seed=3,
    )  # fmt: skip
    result = executed(made, tmp_path / "r")
    share = (result.table()["status"] == "no_maximum").mean()
    assert abs(share - 0.12158) <= TOLERANCE * np.sqrt(0.12158 * 0.87842 / 400)
    performance = result.performance()
    fail = performance.set_index(performance["measure"].astype(str)).loc["fail"]
    assert fail["value"] == share
    assert fail["n"] == 400
