"""One battery for every shipped model, exact where it can be: sums over all outcomes.

The second implementation of each log-likelihood is `scipy.stats`, of each derivative JAX and
central differences, of each Fisher information the expected outer product of the scores.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import expit, log_ndtr, ndtr

import simstudy.models
from simstudy.arrays import observations, take
from simstudy.design.checks import validate
from simstudy.design.mechanism import Mechanism
from simstudy.likelihood.curvature import Curvature
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.model import Model
from simstudy.likelihood.objective import objective
from simstudy.likelihood.schemes import central_gradient
from simstudy.likelihood.supports import inside
from simstudy.methods.covariance import meat, observed, opg, sandwich
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
from simstudy.status import Status

ROOT = Path(__file__).resolve().parents[2]
ROWS = np.array([[1.0, -1.2, 0.5], [1.0, 0.3, -1.0], [1.0, 0.9, 2.0], [1.0, 0.0, 0.0]])
SLOPES = {"b0": 0.4, "b1": -0.7, "b2": 0.3}


def positive() -> tuple[Any, Any]:
    """Nodes and measure on (0, inf): trapezoids in log y, exact to rounding if smooth."""
    s = np.arange(-90, 8, 0.05)
    return np.exp(s), 0.05 * np.exp(s)


def real() -> tuple[Any, Any]:
    """Nodes and measure on the line: trapezoids in arsinh y, also for tails like 1 / y**2."""
    s = np.arange(-40, 40, 0.04)
    return np.sinh(s), 0.04 * np.cosh(s)


def censored(limit: float) -> tuple[Any, Any]:
    """Nodes and measure on (0, limit), with one point for survival to the limit."""
    s = np.arange(-90, 45, 0.05)
    time = np.append(limit * expit(s), limit)
    event = np.append(np.ones(len(s)), 0.0)
    data = {"time": time, "event": event, "limit": np.full(len(time), limit)}
    return data, np.append(0.05 * limit * expit(s) * expit(-s), 1.0)


def counts(most: int) -> tuple[Any, Any]:
    """All counts below `most`, each with measure 1."""
    return np.arange(float(most)), np.ones(most)


def unit() -> tuple[Any, Any]:
    """Nodes and measure on (0, 1): trapezoids in the logit, exact to rounding if smooth."""
    s = np.arange(-90, 35, 0.05)
    return expit(s), 0.05 * expit(s) * expit(-s)


def survivors(limit: float) -> tuple[Any, Any]:
    """All times up to the limit, and survival to it, at each of the rows of covariates."""
    data, measure = censored(limit)
    many = {name: np.tile(values, len(ROWS)) for name, values in data.items()}
    return many | {"x": np.repeat(ROWS, len(measure), axis=0)}, np.tile(measure, len(ROWS))


def outcomes() -> tuple[Any, Any]:
    """The real line at each of the rows of covariates."""
    y, measure = real()
    return (
        {"y": np.tile(y, len(ROWS)), "x": np.repeat(ROWS, len(y), axis=0)},
        np.tile(measure, len(ROWS)),
    )


def mixed(theta: Any, data: Any) -> Any:
    """Two normal densities, weighed and added."""
    share, mu, gap, *sigmas = theta
    one, two = stats.norm(mu, sigmas[0]), stats.norm(mu + gap, sigmas[-1])
    return np.logaddexp(np.log(1 - share) + one.logpdf(data), np.log(share) + two.logpdf(data))


def inflated(theta: Any, data: Any) -> Any:
    """The sure zeros and a Poisson distribution."""
    zero, mean = theta
    return np.log(zero * (data == 0) + (1 - zero) * stats.poisson(mean).pmf(data))


def rows(most: int) -> tuple[Any, Any]:
    """All outcomes below `most` at each of the rows of covariates."""
    y = np.tile(np.arange(float(most)), len(ROWS))
    return {"y": y, "x": np.repeat(ROWS, most, axis=0)}, np.ones(len(y))


@dataclass(frozen=True)
class Case:
    """A model with its mechanism, and what the battery needs to judge it.

    `reference(theta, data)` is the log-density by SciPy; `nodes()` all outcomes with their measure;
    `sample` a data set with the covariates and limits of the nodes, each once; `units` the power of
    the data's unit in each parameter, where changing the unit changes nothing else.
    """

    model: Model
    mechanism: Mechanism
    factors: Mapping[str, float]
    reference: Callable[[Any, Any], Any]
    nodes: Callable[[], tuple[Any, Any]]
    sample: Any
    units: tuple[int, ...] | None = None

    @property
    def theta(self) -> Any:
        """The mechanism's truth, `(p,)`."""
        truth = self.mechanism.truth(**self.factors)
        return np.array([truth[name] for name in self.model.names])

    def draw(self, n: int, seed: int = 1) -> Any:
        """A data set of n observations."""
        return self.mechanism.draw(np.random.default_rng(seed), n=n, **self.factors)


def survival(distribution: Any, data: Any) -> Any:
    """Log-density of events, log-probability of survivors."""
    event = data["event"] == 1
    return np.where(event, distribution.logpdf(data["time"]), distribution.logsf(data["time"]))


def negative_binomial_reference(theta: Any, data: Any) -> Any:
    """SciPy's parametrization: size 1 / a, success probability 1 / (1 + a mu)."""
    a, mu = theta[-1], np.exp(data["x"] @ theta[:-1])
    return stats.nbinom.logpmf(data["y"], 1 / a, 1 / (1 + a * mu))


def three(family: Any, **more: Any) -> dict[str, Any]:
    """Model and mechanism of a regression on the rows."""
    return {
        "model": family.model(list(SLOPES)),
        "mechanism": family.mechanism(regression.fixed(ROWS), SLOPES),
        "sample": {"y": np.zeros(len(ROWS)), "x": ROWS},
    } | more


ONE = np.array([0.7])
LIMITED = {"time": np.array([0.5]), "event": np.ones(1), "limit": np.array([0.8])}
NO_LIMIT = {"time": np.array([0.5]), "event": np.ones(1), "limit": np.array([2.5])}
CASES = [
    Case(
        gamma.MODEL, gamma.MECHANISM, {"shape": 0.6, "rate": 3.0},
        lambda t, y: stats.gamma(t[0], scale=1 / t[1]).logpdf(y), positive, ONE, (0, -1),
    ),
    Case(
        exponential.MODEL, exponential.MECHANISM, {"rate": 1.7},
        lambda t, y: stats.expon(scale=1 / t[0]).logpdf(y), positive, ONE, (-1,),
    ),
    Case(
        exponential.CENSORED_MODEL, exponential.CENSORED_MECHANISM, {"rate": 1.7, "censor": 0.8},
        lambda t, d: survival(stats.expon(scale=1 / t[0]), d), lambda: censored(0.8), LIMITED,
    ),
    Case(
        normal.MODEL, normal.MECHANISM, {"mu": 0.5, "sigma": 1.3},
        lambda t, y: stats.norm(*t).logpdf(y), real, ONE, (1, 1),
    ),
    Case(
        normal.VARIANCE_MODEL, normal.VARIANCE_MECHANISM, {"mu": 0.5, "sigma": 1.3},
        lambda t, y: stats.norm(t[0], np.sqrt(t[1])).logpdf(y), real, ONE, (1, 2),
    ),
    Case(
        student_t.model(3), student_t.mechanism(3), {"mu": 0.5, "sigma": 1.3},
        lambda t, y: stats.t(3, *t).logpdf(y), real, ONE, (1, 1),
    ),
    Case(
        student_t.model(1), student_t.mechanism(1), {"mu": -0.5, "sigma": 0.7},
        lambda t, y: stats.cauchy(*t).logpdf(y), real, ONE, (1, 1),
    ),
    Case(
        weibull.MODEL, weibull.MECHANISM, {"shape": 0.7, "scale": 1.4},
        lambda t, y: stats.weibull_min(t[0], scale=t[1]).logpdf(y), positive, ONE, (0, 1),
    ),
    Case(
        weibull.CENSORED_MODEL, weibull.CENSORED_MECHANISM,
        {"shape": 1.8, "scale": 1.4, "censor": 0.8},
        lambda t, d: survival(stats.weibull_min(t[0], scale=t[1]), d), lambda: censored(0.8),
        LIMITED,
    ),
    Case(
        weibull.CENSORED_MODEL, weibull.CENSORED_MECHANISM,
        {"shape": 0.6, "scale": 1.1, "censor": 2.5},
        lambda t, d: survival(stats.weibull_min(t[0], scale=t[1]), d), lambda: censored(2.5),
        NO_LIMIT,
    ),
    Case(
        binomial.MODEL, binomial.MECHANISM, {"p": 0.1},
        lambda t, y: stats.bernoulli(t[0]).logpmf(y), lambda: counts(2), ONE,
    ),
    Case(
        binomial.LOGIT_MODEL, binomial.LOGIT_MECHANISM, {"p": 0.1},
        lambda t, y: stats.bernoulli(expit(t[0])).logpmf(y), lambda: counts(2), ONE,
    ),
    Case(
        poisson.MODEL, poisson.MECHANISM, {"mean": 3.0},
        lambda t, y: stats.poisson(t[0]).logpmf(y), lambda: counts(60), ONE,
    ),
    Case(
        poisson.LOG_MODEL, poisson.LOG_MECHANISM, {"mean": 3.0},
        lambda t, y: stats.poisson(np.exp(t[0])).logpmf(y), lambda: counts(60), ONE,
    ),
    Case(
        factors={}, nodes=lambda: rows(2),
        reference=lambda t, d: stats.bernoulli(expit(d["x"] @ t)).logpmf(d["y"]), **three(logit),
    ),
    Case(
        factors={}, nodes=lambda: rows(2),
        reference=lambda t, d: stats.bernoulli(ndtr(d["x"] @ t)).logpmf(d["y"]), **three(probit),
    ),
    Case(
        factors={}, nodes=lambda: rows(80),
        reference=lambda t, d: stats.poisson(np.exp(d["x"] @ t)).logpmf(d["y"]),
        **three(poisson_regression),
    ),
    Case(
        factors={"dispersion": 0.7}, nodes=lambda: rows(400),
        reference=negative_binomial_reference, **three(negative_binomial),
    ),
    Case(
        factors={"dispersion": 0.05}, nodes=lambda: rows(200),
        reference=negative_binomial_reference, **three(negative_binomial),
    ),
    Case(
        lognormal.MODEL, lognormal.MECHANISM, {"mu": -0.5, "sigma": 0.8},
        lambda t, y: stats.lognorm(t[1], scale=np.exp(t[0])).logpdf(y), positive, ONE,
    ),
    Case(
        beta.MODEL, beta.MECHANISM, {"a": 1.7, "b": 2.5},
        lambda t, y: stats.beta(*t).logpdf(y), unit, ONE,
    ),
    Case(
        inverse_gaussian.MODEL, inverse_gaussian.MECHANISM, {"mu": 1.4, "shape": 2.0},
        lambda t, y: stats.invgauss(t[0] / t[1], scale=t[1]).logpdf(y), positive, ONE, (1, 1),
    ),
    Case(
        logistic.MODEL, logistic.MECHANISM, {"mu": 0.5, "sigma": 1.3},
        lambda t, y: stats.logistic(*t).logpdf(y), real, ONE, (1, 1),
    ),
    Case(
        zero_inflated_poisson.MODEL, zero_inflated_poisson.MECHANISM, {"zero": 0.3, "mean": 2.0},
        inflated, lambda: counts(60), ONE,
    ),
    Case(
        normal_mixture.MODEL, normal_mixture.MECHANISM,
        {"share": 0.4, "mu": -1.0, "gap": 3.0, "sigma": 0.8}, mixed, real, ONE,
    ),
    Case(
        normal_mixture.TWO_SPREADS_MODEL, normal_mixture.TWO_SPREADS_MECHANISM,
        {"share": 0.4, "mu": -1.0, "gap": 3.0, "sigma": 0.8, "sigma2": 1.1}, mixed, real, ONE,
    ),
    Case(
        factors={"sigma": 1.3}, nodes=outcomes,
        reference=lambda t, d: stats.norm(d["x"] @ t[:-1], t[-1]).logpdf(d["y"]), **three(linear),
    ),
    Case(
        factors={"shape": 1.6, "censor": 1.2}, nodes=lambda: survivors(1.2),
        reference=lambda t, d: survival(
            stats.weibull_min(t[-1], scale=np.exp(d["x"] @ t[:-1])), d
        ),
        **three(
            weibull_regression,
            sample={"time": np.ones(4), "event": np.ones(4), "limit": np.full(4, 1.2), "x": ROWS},
        ),
    ),
]  # fmt: skip
NAMES = [f"{case.model.name}-{i}" for i, case in enumerate(CASES)]
every = pytest.mark.parametrize("case", CASES, ids=NAMES)

WRONG = [
    (exponential.MODEL, exponential.WRONG_GAMMA, {"shape": 0.5, "mean": 2.0}),
    (exponential.MODEL, exponential.WRONG_WEIBULL, {"shape": 2.0, "mean": 3.0}),
    (normal.MODEL, normal.WRONG_CONTAMINATED,
     {"mu": 1.0, "sigma": 2.0, "share": 0.1, "spread": 3.0}),
    (poisson.MODEL, poisson.WRONG_NEGATIVE_BINOMIAL, {"mean": 3.0, "dispersion": 0.5}),
    (poisson_regression.model(list(SLOPES)),
     poisson_regression.wrong_negative_binomial(regression.fixed(ROWS), SLOPES),
     {"dispersion": 0.5}),
    (lognormal.MODEL, lognormal.WRONG_GAMMA, {"shape": 0.5, "rate": 2.0}),
    (beta.MODEL, beta.WRONG_LOGIT_NORMAL, {"center": 0.5, "spread": 2.0}),
    (inverse_gaussian.MODEL, inverse_gaussian.WRONG_LOGNORMAL, {"mu": 1.5, "spread": 0.8}),
    (logistic.MODEL, logistic.WRONG_NORMAL, {"mu": 1.0, "spread": 2.0}),
    (zero_inflated_poisson.MODEL, zero_inflated_poisson.WRONG_NEGATIVE_BINOMIAL,
     {"zero": 0.3, "mean": 3.0, "dispersion": 0.5}),
]  # fmt: skip


def spread(theta: Any, data: Any, case: Case) -> Any:
    """Standard errors from the Fisher information: the scale on which derivatives are compared."""
    return 1 / np.sqrt(np.diagonal(case.model.expected(theta, data)))


def fit(model: Model, data: Any, **options: Any) -> Any:
    """Fit as a study does: an overflow on the way is a wall, not a warning."""
    with np.errstate(all="ignore"):
        return maximize(objective(model, data), **options)


def test_every_shipped_model_and_mechanism_is_in_the_battery():
    """A model or mechanism that is added without a case fails here."""
    families = [getattr(simstudy.models, name) for name in simstudy.models.__all__]
    values = [value for family in families for value in vars(family).values()]
    shipped = {value.name for value in values if isinstance(value, Model)}
    shipped |= {family.model(3).name for family in families if hasattr(family, "model")}
    mechanisms = {value.name for value in values if isinstance(value, Mechanism)}
    files = {path.stem for path in (ROOT / "simstudy" / "models").glob("[a-z]*.py")}
    tried = {case.mechanism.name for case in CASES} | {mechanism.name for _, mechanism, _ in WRONG}
    assert files == set(simstudy.models.__all__)
    assert shipped <= {case.model.name for case in CASES}
    # tested by name below
    assert mechanisms <= tried | {poisson_regression.RAW_MECHANISM.name}


@every
def test_loglik_is_scipys_log_density(case):
    """Term by term, at the truth and away from it; 1e-11 is SciPy's own rounding in tails."""
    data = case.draw(50)
    for theta in (case.theta, case.theta * 1.3 + 0.01):
        terms = case.model.loglik(theta, data)
        assert terms.shape == (50,)
        assert terms.dtype == np.float64
        assert_allclose(terms, case.reference(theta, data), rtol=1e-11, atol=1e-12)


@every
def test_start_is_inside_the_support_and_finite(case):
    """For ordinary data, one observation, and many."""
    for n in (1, 7, 500):
        data = case.draw(n)
        start = case.model.start(data)
        assert start.shape == (len(case.model.names),)
        assert inside(start, case.model.supports).all()
        assert np.isfinite(case.model.loglik(start, data)).all()


@every
def test_start_is_near(case):
    """At most two log-likelihood units per observation below the truth: what a scale 7 off costs.

    The shipped starts lose at most 1.3 for these 500 observations.
    """
    data = case.draw(500)
    lost = case.model.loglik(case.theta, data) - case.model.loglik(case.model.start(data), data)
    assert lost.mean() < 2


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (exponential.MODEL, np.zeros(5)),
        (normal.MODEL, np.full(5, 3.0)),
        (normal.VARIANCE_MODEL, np.full(5, -3.0)),
        (student_t.model(3), np.full(5, 3.0)),
        (poisson.MODEL, np.full(5, 1e6)),
        (negative_binomial.model(1), {"y": np.full(5, 1e6), "x": np.ones((5, 1))}),
        (probit.model(1), {"y": np.ones(2), "x": np.array([[1e6], [-1e6]])}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_start_is_safe_for_odd_data(model, data):
    """Values all alike, all zero, huge: inside the support, and the log-likelihood is finite."""
    start = model.start(data)
    assert inside(start, model.supports).all()
    assert np.isfinite(model.loglik(start, data)).all()


@every
def test_score_is_the_gradient_of_loglik(case):
    """Four-point differences in steps of 1e-3: truncation and rounding both stay below 1e-9."""
    data = case.draw(40)
    for theta in (case.theta, case.model.start(data)):
        step = 1e-3 * np.where(theta == 0, 1.0, np.abs(theta))
        found = central_gradient(lambda t: case.model.loglik(t, data), theta, step)
        given = case.model.score(theta, data)
        assert given.shape == (40, len(theta))
        assert_allclose(given, found, rtol=1e-7, atol=1e-8 * np.abs(found).max())


@every
def test_hessian_is_the_derivative_of_the_summed_score(case):
    """Four-point differences in steps of 1e-3, as for the score."""
    data = case.draw(40)
    for theta in (case.theta, case.model.start(data)):
        step = 1e-3 * np.where(theta == 0, 1.0, np.abs(theta))
        found = central_gradient(lambda t: case.model.score(t, data).sum(axis=0), theta, step)
        given = case.model.hessian(theta, data)
        assert given.shape == (len(theta), len(theta))
        assert_allclose(given, found, rtol=1e-7, atol=1e-8 * np.abs(found).max())
        assert_allclose(given, given.T, rtol=1e-13, atol=1e-13 * np.abs(found).max())


@every
def test_expectations_over_all_outcomes(case):
    """Total probability 1, E score = 0, E score score' = -E hessian = expected.

    No Monte Carlo error; on the scale of standard errors 1e-9 covers the rounding of 2,700 nodes.
    """
    theta, model = case.theta, case.model
    data, measure = case.nodes()
    chance = measure * np.exp(model.loglik(theta, data))
    keep = chance > 1e-30
    data, chance = take(data, keep), chance[keep]
    assert_allclose(chance.sum(), observations(case.sample), rtol=1e-10)
    scores = model.score(theta, data) * spread(theta, case.sample, case)
    information = model.expected(theta, case.sample)
    scale = np.outer(*[spread(theta, case.sample, case)] * 2)
    assert_allclose(chance @ scores, 0, atol=1e-9)
    assert_allclose((scores.T * chance) @ scores, information * scale, atol=1e-9)
    bends = [model.hessian(theta, take(data, [i])) for i in range(len(chance))]
    assert_allclose(-np.tensordot(chance, bends, 1) * scale, information * scale, atol=1e-9)


@every
def test_jax_gives_the_same_values_and_derivatives(case):
    """Value, score and Hessian by automatic differentiation; batched over theta and over data."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    model, theta = case.model, case.theta
    one, two = case.draw(30, seed=1), case.draw(30, seed=2)
    scale = spread(theta, one, case)
    thetas = np.stack([theta, model.start(one)])
    pair = jax.tree.map(lambda a, b: np.stack([a, b]), one, two)

    def total(theta, data):
        return model.loglik(theta, data).sum()

    values = jax.jit(jax.vmap(jax.vmap(model.loglik, (0, None)), (None, 0)))(thetas, pair)
    expected = [[model.loglik(t, data) for t in thetas] for data in (one, two)]
    assert_allclose(values, expected, rtol=1e-11, atol=1e-12)
    score, hessian = jax.jit(jax.jacfwd(model.loglik)), jax.jit(jax.hessian(total))
    given = model.score(theta, one) * scale
    assert_allclose(score(theta, one) * scale, given, rtol=1e-9, atol=1e-11)
    square = scale * scale[:, None]
    assert_allclose(hessian(theta, one) * square, model.hessian(theta, one) * square, atol=1e-9)


@every
def test_data_come_from_the_model(case):
    """Mean score at the truth, and its variance, in 20,000 draws; false alarms 1e-5 per case.

    The summed score is chi-square with the Fisher information (p > 1e-6); each mean square of a
    score is within 5 of its standard errors.
    """
    data = case.draw(20_000, seed=3)
    scores, information = case.model.score(case.theta, data), case.model.expected(case.theta, data)
    total = scores.sum(axis=0)
    distance = total @ np.linalg.solve(information, total)
    assert stats.chi2.sf(distance, len(total)) > 1e-6
    squares = scores**2
    error = squares.std(axis=0) / np.sqrt(len(scores))
    gap = squares.mean(axis=0) - np.diagonal(information) / len(scores)
    assert (np.abs(gap) < 5 * error).all()


@every
def test_models_draw_data_like_those_they_are_given(case):
    """Of the same shape, with the same covariates and limits; false alarms 1e-6 per case.

    The summed score at a theta away from the mechanism's truth is chi-square (p > 1e-6).
    """
    data, theta = case.draw(2000, seed=7), case.theta * 1.1 + 0.01
    again = case.model.draw(np.random.default_rng(8), theta, data)
    assert type(again) is type(data)
    for name in {"x", "limit"} & set(data if isinstance(data, dict) else ()):
        assert_array_equal(again[name], data[name])
    scores = case.model.score(theta, again)
    assert len(scores) == 2000
    total, information = scores.sum(axis=0), case.model.expected(theta, data)
    assert stats.chi2.sf(total @ np.linalg.solve(information, total), len(total)) > 1e-6


@pytest.mark.parametrize(
    ("model", "mechanism", "factors"), WRONG, ids=lambda v: getattr(v, "name", "")
)
def test_pseudo_truth_makes_the_mean_score_zero(model, mechanism, factors):
    """Where the model is wrong: mean score zero (p > 1e-6), outer products not the information.

    200,000 draws; the mean squares of the scores are more than 10 standard errors off.
    """
    assert "wrong" in mechanism.name
    data = mechanism.draw(np.random.default_rng(5), n=200_000, **factors)
    truth = mechanism.truth(n=200_000, **factors)
    theta = np.array([truth[name] for name in model.names])
    scores = model.score(theta, data)
    total = scores.sum(axis=0)
    assert stats.chi2.sf(total @ np.linalg.solve(scores.T @ scores, total), len(total)) > 1e-6
    squares = scores**2
    gap = squares.mean(axis=0) - np.diagonal(model.expected(theta, data)) / len(scores)
    assert (np.abs(gap) > 10 * squares.std(axis=0) / np.sqrt(len(scores))).any()


def test_spreading_errors_leave_the_coefficients_and_move_their_variance():
    """Mean score of the coefficients zero (p > 1e-6), its variance more than 10 MCSE off."""
    mechanism = linear.wrong_spreading(regression.fixed(ROWS), SLOPES)
    data = mechanism.draw(np.random.default_rng(5), n=200_000, sigma=0.5, spreading=0.4)
    truth = mechanism.truth(n=200_000, sigma=0.5, spreading=0.4)
    assert truth == SLOPES
    beta = np.array(list(truth.values()))
    sigma = np.sqrt(np.mean((data["y"] - data["x"] @ beta) ** 2))
    theta = np.append(beta, sigma)
    scores = linear.score(theta, data)[:, :-1]
    total = scores.sum(axis=0)
    assert stats.chi2.sf(total @ np.linalg.solve(scores.T @ scores, total), len(total)) > 1e-6
    squares = scores**2
    gap = squares.mean(axis=0) - np.diagonal(linear.expected(theta, data))[:-1] / len(scores)
    assert (np.abs(gap) > 10 * squares.std(axis=0) / np.sqrt(len(scores))).any()


@pytest.mark.parametrize(
    ("mechanism", "factors", "ratio"),
    [
        (exponential.WRONG_GAMMA, {"shape": 0.5, "mean": 2.0}, 2.0),
        (exponential.WRONG_WEIBULL, {"shape": 2.0, "mean": 3.0}, 4 / np.pi - 1),
    ],
)
def test_sandwich_of_a_wrong_exponential(mechanism, factors, ratio):
    """Its variance is the model's times the squared coefficient of variation of the data.

    100,000 draws: the ratio is within 5 of its standard errors (false alarm 6e-7).
    """
    data = mechanism.draw(np.random.default_rng(6), n=100_000, **factors)
    theta = np.array([mechanism.truth(**factors)["rate"]])
    squares = exponential.score(theta, data)[:, 0] ** 2 * theta[0] ** 2
    assert abs(squares.mean() - ratio) < 5 * squares.std() / np.sqrt(len(squares))


@every
def test_doubled_data_double_every_sum(case):
    """Log-likelihood, Hessian and expected information; the estimate stays (to a 1e-7 share)."""
    model, data = case.model, case.draw(200)
    twice = take(data, np.tile(np.arange(200), 2))
    for sums in (model.loglik, model.score):
        assert_array_equal(sums(case.theta, twice), np.tile(sums(case.theta, data).T, 2).T)
    for matrix in (model.hessian, model.expected):
        assert_allclose(matrix(case.theta, twice), 2 * matrix(case.theta, data), rtol=1e-12)
    one, two = fit(model, data), fit(model, twice)
    assert one.status == two.status == Status.ok
    assert_allclose(two.theta, one.theta, rtol=1e-7)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("case", [c for c in CASES if c.units], ids=lambda case: case.model.name)
def test_units_of_the_data_do_not_matter(case, factor):
    """In other units the log-density shifts by log(factor), and the estimate follows (1e-7)."""
    model, data = case.model, case.draw(100)
    powers = factor ** np.array(case.units, dtype=float)
    moved = model.loglik(case.theta * powers, data * factor)
    # 1e-9: y / sigma and y * factor / (sigma * factor) differ by rounding, and z**2 is up to 1e3
    assert_allclose(moved, model.loglik(case.theta, data) - np.log(factor), rtol=1e-9, atol=1e-11)
    one, two = fit(model, data), fit(model, data * factor)
    assert one.status == two.status == Status.ok
    assert_allclose(two.theta, one.theta * powers, rtol=1e-7)


@pytest.mark.parametrize("family", [logit, probit, poisson_regression, negative_binomial])
def test_units_of_a_covariate_do_not_matter(family):
    """A covariate shifted by 5, times 1e4: its coefficient and the constant follow (1e-7)."""
    mechanism = family.mechanism(regression.autoregressive(2, 0.5), {"b0": 0.5, "b1": -0.5})
    more = {"dispersion": 0.5} if family is negative_binomial else {}
    data = mechanism.draw(np.random.default_rng(8), n=200, **more)
    x = data["x"].copy()
    x[:, 0] = 1.0
    moved = x.copy()
    moved[:, 1] = 1e4 * (x[:, 1] + 5)
    one, two = (fit(family.model(2), data | {"x": covariates}) for covariates in (x, moved))
    assert one.status == two.status == Status.ok
    constant, slope = one.theta[:2]
    assert_allclose(two.theta[:2], [constant - 5 * slope, slope / 1e4], rtol=1e-7)
    assert_allclose(two.theta[2:], one.theta[2:], rtol=1e-7)


def test_raw_units_reach_the_optimum():
    """Poisson regression with dollars and thousandths, from zero, as in easy units (1e-7)."""
    data = poisson_regression.RAW_MECHANISM.draw(np.random.default_rng(9), n=200)
    units = np.array([1.0, 1e-5, 1e3])
    raw = fit(poisson_regression.RAW_MODEL, data)
    easy = fit(poisson_regression.RAW_MODEL, data | {"x": data["x"] * units})
    assert raw.status == easy.status == Status.ok
    assert_allclose(raw.theta, easy.theta * units, rtol=1e-7)
    truth = poisson_regression.RAW_MECHANISM.truth(n=200)
    se = np.sqrt(np.diagonal(observed(Curvature(raw.hessian)).covariance))
    # 5 standard errors: false alarm 2e-6
    assert (np.abs(raw.theta - list(truth.values())) < 5 * se).all()


@pytest.mark.parametrize(
    ("case", "closed"),
    [
        (1, [[1 / 1.7**2]]),
        (2, [[(1 - np.exp(-1.7 * 0.8)) / 1.7**2]]),
        (3, np.diag([1.0, 2.0]) / 1.3**2),
        (
            7,
            [
                [
                    (np.pi**2 / 6 + (1 - 0.5772156649015329) ** 2) / 0.7**2,
                    -0.4227843350984671 / 1.4,
                ],
                [-0.4227843350984671 / 1.4, (0.7 / 1.4) ** 2],
            ],
        ),
    ],
)
def test_expected_information_in_closed_form(case, closed):
    """Per observation, to rounding."""
    assert_allclose(CASES[case].model.expected(CASES[case].theta, ONE if case != 2 else LIMITED),
                    closed, rtol=1e-12)  # fmt: skip


def test_expected_information_of_regressions():
    """X'WX with W = p(1-p), phi^2/(Phi(1-Phi)), mu, mu/(1+a mu), to rounding."""
    theta = np.array(list(SLOPES.values()))
    eta, data = ROWS @ theta, {"y": np.zeros(4), "x": ROWS}
    weights = {
        logit: expit(eta) * (1 - expit(eta)),
        probit: stats.norm.pdf(eta) ** 2 / (ndtr(eta) * (1 - ndtr(eta))),
        poisson_regression: np.exp(eta),
    }
    for family, w in weights.items():
        assert_allclose(family.expected(theta, data), ROWS.T @ np.diag(w) @ ROWS, rtol=1e-12)
    w = np.exp(eta) / (1 + 0.5 * np.exp(eta))
    found = negative_binomial.expected(np.append(theta, 0.5), data)
    assert_allclose(found[:3, :3], ROWS.T @ np.diag(w) @ ROWS, rtol=1e-12)
    assert_array_equal(found[3, :3], 0)


@pytest.mark.parametrize(("mu", "a"), [(2.0, 1e-3), (5000.0, 1e-4), (300.0, 5.0)])
def test_expected_information_of_the_dispersion(mu, a):
    """Against the mean squared score over all counts; nearly Poisson, many, and long tails.

    The score loses a hundred thousandth where its terms of 1 / a cancel.
    """
    most = int(mu + 60 * (1 + a * mu) + 60 * np.sqrt(mu * (1 + a * mu)))
    y = np.arange(most + 1.0)
    share = stats.nbinom.pmf(y, 1 / a, 1 / (1 + a * mu))
    assert_allclose(share.sum(), 1, rtol=1e-9)
    theta, every = np.array([np.log(mu), a]), {"y": y, "x": np.ones((len(y), 1))}
    expected = share @ negative_binomial.score(theta, every)[:, 1] ** 2
    found = negative_binomial.expected(theta, {"y": y[:1], "x": np.ones((1, 1))})
    assert_allclose(found[1, 1], expected, rtol=1e-5)


@pytest.mark.parametrize("eta", [-1000.0, -40.0, 40.0, 1000.0])
def test_binary_regressions_in_the_tails(eta):
    """Linear predictors of 40 and 1,000, likely and unlikely outcome: no overflow."""
    data = {"y": np.array([0.0, 1.0]), "x": np.ones((2, 1))}
    theta = np.array([eta])
    z = np.array([-eta, eta])
    assert_allclose(logit.loglik(theta, data), np.where(z < 0, z, -np.exp(-np.abs(z))), rtol=1e-14)
    # Abramowitz & Stegun 26.2.12: Phi(-z) = phi(z) / z (1 - 1 / z**2 + ...), here at z >= 40
    far = -0.5 * eta**2 - np.log(abs(eta)) - np.log(2 * np.pi) / 2 - 1 / eta**2
    assert_allclose(probit.loglik(theta, data)[z < 0], far, rtol=1e-8)
    assert_array_equal(probit.loglik(theta, data)[z > 0], log_ndtr(abs(eta)))
    # score: 1 and z + 1 / z for the unlikely outcome, none for the likely one
    assert_allclose(np.abs(logit.score(theta, data))[z < 0], 1, rtol=1e-14)
    assert_allclose(np.abs(probit.score(theta, data))[z < 0], abs(eta) + 1 / abs(eta), rtol=1e-6)
    for family in (logit, probit):
        assert np.abs(family.score(theta, data)[z > 0]).max() < 1e-17
        assert np.isfinite(family.hessian(theta, data)).all()


@pytest.mark.parametrize("a", [1e-12, 1e-6, 0.01, 0.1249, 0.1251, 2.0, 1e6])
def test_negative_binomial_for_every_dispersion(a):
    """Against the sum over j < y, one count after the other; 1e-12 of the largest term."""
    y = np.array([0.0, 1.0, 2.0, 17.0, 400.0])
    mu = 6.0
    data, theta = {"y": y, "x": np.ones((5, 1))}, np.array([np.log(mu), a])
    rising = np.array([np.log1p(a * np.arange(k)).sum() for k in y])
    factorials = np.array([np.log(np.arange(1, k + 1)).sum() for k in y])
    brute = rising + y * np.log(mu) - (y + 1 / a) * np.log1p(a * mu) - factorials
    assert_allclose(negative_binomial.loglik(theta, data), brute, rtol=1e-12, atol=1e-12)
    if a == 1e-12:
        assert_allclose(brute, stats.poisson.logpmf(y, mu), rtol=1e-9)


# what has no maximum: all outcomes alike, separated outcomes, counts without extra spread
LINE = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
GROUP = np.column_stack([np.ones(20), np.repeat([0.0, 1.0], 10)])
MIXED = np.tile([0.0, 1.0], 10)
NEVER = {"time": np.full(20, 2.0), "event": np.zeros(20), "limit": np.full(20, 2.0)}
WITHOUT_MAXIMUM = {
    "binomial none": (binomial.MODEL, np.zeros(20)),
    "binomial all": (binomial.MODEL, np.ones(20)),
    "binomial-logit none": (binomial.LOGIT_MODEL, np.zeros(20)),
    "binomial-logit all": (binomial.LOGIT_MODEL, np.ones(20)),
    "poisson total 0": (poisson.MODEL, np.zeros(1)),
    "poisson-log total 0": (poisson.LOG_MODEL, np.zeros(1)),
    "exponential without events": (exponential.CENSORED_MODEL, NEVER),
    "weibull without events": (weibull.CENSORED_MODEL, NEVER),
    "logit separated": (logit.model(2), {"y": (LINE[:, 1] > 0.2) * 1.0, "x": LINE}),
    "probit separated": (probit.model(2), {"y": (LINE[:, 1] > 0.2) * 1.0, "x": LINE}),
    "logit quasi": (logit.model(2), {"y": np.maximum(MIXED, GROUP[:, 1]), "x": GROUP}),
    "probit quasi": (probit.model(2), {"y": np.maximum(MIXED, GROUP[:, 1]), "x": GROUP}),
    "logit all": (logit.model(2), {"y": np.ones(20), "x": LINE}),
    "probit all": (probit.model(2), {"y": np.ones(20), "x": LINE}),
    "poisson group of zeros": (
        poisson_regression.model(2), {"y": 3 * MIXED * (1 - GROUP[:, 1]), "x": GROUP}
    ),
    "poisson zeros": (poisson_regression.model(2), {"y": np.zeros(20), "x": LINE}),
    "negative binomial underdispersed": (
        negative_binomial.model(2), {"y": np.round(np.exp(1 + LINE[:, 1])), "x": LINE}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_MAXIMUM)
def test_data_without_a_maximum_are_called_so(name):
    """From the model's own start, which is safe for such data too."""
    model, data = WITHOUT_MAXIMUM[name]
    found = fit(model, data)
    assert found.status == Status.no_maximum, (found.status, found.theta)


def enumerated(model: Model, mechanism: Mechanism, factors: Any, table: Any) -> Any:
    """Exact properties of estimate and Wald interval over all data sets that have a maximum."""
    ((name, truth),) = mechanism.truth(**factors).items()
    assert model.names == (name,)
    estimates, errors, chances = [], [], []
    failed = 0.0
    for data, chance in table:
        found = fit(model, data)
        if found.status != Status.ok:
            assert found.status == Status.no_maximum
            failed += chance
            continue
        variance = observed(Curvature(-model.hessian(found.theta, data))).covariance
        estimates.append(found.theta[0])
        errors.append(np.sqrt(variance[0, 0]))
        chances.append(chance)
    t, se, chance = np.array(estimates), np.array(errors), np.array(chances) / (1 - failed)
    empse = np.sqrt(chance @ (t - chance @ t) ** 2)
    modse = np.sqrt(chance @ se**2)
    cover = chance @ (np.abs(t - truth) <= stats.norm.ppf(0.975) * se)
    mse = chance @ (t - truth) ** 2
    return [chance @ t - truth, empse, modse, 100 * (modse / empse - 1), mse, cover, failed]


def outcomes(p: float) -> Any:
    """The data sets of 20 outcomes that differ, with their probabilities."""
    return [(np.repeat([1.0, 0.0], [k, 20 - k]), stats.binom.pmf(k, 20, p)) for k in range(21)]


def totals(mean: float) -> Any:
    """One total count, up to where the rest has a probability below 1e-17."""
    return [(np.array([float(k)]), stats.poisson.pmf(k, mean)) for k in range(int(mean) + 50)]


@pytest.mark.parametrize(
    ("family", "log", "factors", "table", "exact"),
    [
        (binomial, "LOGIT_", {"p": 0.1}, outcomes(0.1),
         [0.0111455, 0.595441, 0.795997, 33.682, 0.354674, 0.95085, 0.12158]),
        (binomial, "", {"p": 0.1}, outcomes(0.1),
         [0.0138403, 0.0595586, 0.0697616, 17.131, 0.00373878, 0.9972837, 0.12158]),
        (binomial, "LOGIT_", {"p": 0.5}, outcomes(0.5),
         [0.0, 0.473508, 0.460414, -2.7655, 0.22421, 0.9586124, 1.9073e-06]),
        (binomial, "", {"p": 0.5}, outcomes(0.5),
         [0.0, 0.111801, 0.108973, -2.5302, 0.0124995, 0.9586124, 1.9073e-06]),
        (poisson, "LOG_", {"mean": 3.0}, totals(3.0),
         [-0.0942615, 0.563149, 0.657787, 16.805, 0.326022, 0.9647358, 0.049787]),
        (poisson, "", {"mean": 3.0}, totals(3.0),
         [0.157187, 1.63123, 1.77685, 8.9267, 2.68563, 0.8388107, 0.049787]),
        (poisson, "LOG_", {"mean": 10.0}, totals(10.0),
         [-0.055106, 0.346741, 0.336187, -3.0439, 0.123266, 0.962666, 4.54e-05]),
        (poisson, "", {"mean": 10.0}, totals(10.0),
         [0.00045402, 3.16163, 3.16235, 0.022709, 9.99591, 0.9257696, 4.54e-05]),
    ],
)  # fmt: skip
def test_exact_oracles_by_enumeration(family, log, factors, table, exact):
    """Bias, EmpSE, ModSE, relerror, MSE, coverage, share without maximum, to the digits printed."""
    model, mechanism = getattr(family, f"{log}MODEL"), getattr(family, f"{log}MECHANISM")
    found = enumerated(model, mechanism, factors, table)
    assert_allclose(found, exact, rtol=5e-5, atol=1e-12)


def spector() -> dict[str, Any]:
    """Spector & Mazzeo's 32 students: GRADE on GPA, TUCE, PSI and a constant."""
    from statsmodels.datasets import spector

    data = spector.load_pandas()
    x = np.column_stack([data.exog[["GPA", "TUCE", "PSI"]].to_numpy(), np.ones(32)])
    return {"y": data.endog.to_numpy(), "x": x}


# two programs agree on these; 1e-6 of each
SPECTOR = {
    ("logit", "estimate"): [2.82611259489, 0.0951576613179, 2.37868765509, -13.0213468581],
    ("logit", "observed"): [1.26294107563, 0.141554205674, 1.0645642545, 4.9313242136],
    ("logit", "expected"): [1.26294107563, 0.141554205674, 1.0645642545, 4.9313242136],
    ("logit", "opg"): [1.37331022203, 0.178940212947, 1.21421636228, 4.84384487496],
    ("logit", "sandwich"): [1.26754598202, 0.117922267749, 0.964419209653, 5.1975854103],
    ("probit", "observed"): [0.693882488441, 0.0838902614265, 0.59503790235, 2.54247232148],
    ("probit", "expected"): [0.689731394709, 0.0811948458523, 0.586958871902, 2.57155821884],
}


@pytest.mark.parametrize(("family", "what"), SPECTOR)
def test_spector_standard_errors(family, what):
    """Published data, published digits: 1e-6 of each value."""
    model, data = {"logit": logit, "probit": probit}[family].model(4), spector()
    theta = fit(model, data).theta
    curvature = Curvature(-model.hessian(theta, data), meat(model.score(theta, data)))
    covariance = {
        "observed": lambda: observed(curvature),
        "expected": lambda: observed(Curvature(model.expected(theta, data))),
        "opg": lambda: opg(curvature),
        "sandwich": lambda: sandwich(curvature),
    }
    found = theta if what == "estimate" else np.sqrt(np.diagonal(covariance[what]().covariance))
    assert_allclose(found, SPECTOR[family, what], rtol=1e-6)


def test_spector_study_draws_from_the_published_fit():
    """Its truth is the fit to the real outcomes (1e-6), its covariates are the real ones."""
    spec = importlib.util.spec_from_file_location("spector_study", ROOT / "studies" / "spector.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    first = module.STUDY.scenarios[0]
    data = spector()
    (estimator,) = module.STUDY.estimators
    assert_allclose(list(first.truth.values()), fit(estimator.model, data).theta, rtol=1e-6)
    assert tuple(first.truth) == estimator.parameters
    for scenario in module.STUDY.scenarios:
        drawn = scenario.mechanism.draw(np.random.default_rng(1), **scenario.factors)
        assert_array_equal(drawn["x"], np.tile(data["x"], (scenario.factors["n"] // 32, 1)))
    validate(module.STUDY)
