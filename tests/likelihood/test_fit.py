"""Fits: closed forms, every optimizer, moved problems, and ends that are no maximum."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.special import digamma

from checks import CASES, GAMMA, NORMAL, case_fitted, quiet
from simstudy import Model
from simstudy.likelihood.fit import maximize, plain
from simstudy.likelihood.objective import objective
from simstudy.likelihood.optimizers import OPTIMIZERS
from simstudy.likelihood.points import FAILED, FINE, conditioning
from simstudy.likelihood.supports import from_working, to_working
from simstudy.models import (
    binomial,
    exponential,
    gamma,
    logit,
    normal,
    poisson_regression,
    weibull,
)
from simstudy.models.regression import autoregressive
from simstudy.status import Status

# a likelihood may be nan or overflow on the way, and says so through NumPy; the engine silences it
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# which exact derivatives the model brings
ROUTES = {
    "hessian": lambda model: model,
    "score": lambda model: replace(model, hessian=None),
    "neither": lambda model: replace(model, score=None, hessian=None),
}
BY_ROUTE = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)


def fit(model, data, start=None, **options):
    return maximize(objective(model, data), start, **options)


def errors(found, expected):
    """Differences of two estimates in standard errors of the expected fit."""
    se = np.sqrt(np.diag(np.linalg.inv(expected.hessian)))
    return (found.theta - expected.theta) / se


# -- closed forms ----------------------------------------------------------------------------------


def gamma_by_a_root(y):
    """Solve log(a) - digamma(a) = log(mean) - mean(log), b = a / mean."""
    gap = np.log(y.mean()) - np.log(y).mean()
    shape = brentq(lambda a: np.log(a) - digamma(a) - gap, 1e-3, 1e3, xtol=1e-14, rtol=1e-14)
    return [shape, shape / y.mean()]


@BY_ROUTE
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (CASES[0], gamma_by_a_root),
        (CASES[1], lambda y: [y.mean(), y.std()]),
        (CASES[2], lambda y: [y.mean()]),
    ],
    ids=["gamma", "normal", "binomial"],
)
def test_estimate_in_closed_form(case, expected, route):
    """A polished fit ends within sqrt(2 * 5e-17) = 1e-8 standard errors; by differences 1e-7."""
    for data in case.data:
        found = fit(route(case.model), data)
        assert found.status == Status.ok
        assert found.edm < FINE
        se = np.sqrt(np.diag(np.linalg.inv(found.hessian)))
        assert_allclose(found.theta / se, expected(data) / se, rtol=0, atol=1e-7)


@BY_ROUTE
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_fit_reports(case, route):
    """Log-likelihood, Hessian and gradient are those at the estimate, on the parameters' scale."""
    data = case.data[0]
    found, exact = fit(route(case.model), data), objective(case.model, data)
    loglik = case.model.loglik(found.theta, data).sum()
    # sums in the same order
    assert_allclose(found.loglik, loglik, rtol=1e-14)
    expected = exact.curvature(found.theta)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # differences of f over 0.14 standard errors, the worst route, are off by 0.02 / 12
    assert_allclose(found.hessian / size, expected / size, rtol=0, atol=2e-3)
    assert np.abs(found.gradient / np.sqrt(np.diag(expected))).max() < 1e-6
    values = np.linalg.eigvalsh(expected / size)
    smallest, condition = conditioning(expected)
    assert_allclose([smallest, condition], [values[0], values[-1] / values[0]], rtol=1e-10)
    assert found.success
    assert found.iterations > 0
    assert found.evaluations > 0


def test_edm_is_the_distance_in_log_likelihood():
    """For the mean of a normal with known variance it is exact: f - min f, from anywhere."""
    known = Model(
        "normal mean",
        {"mu": "real"},
        start=lambda data: np.array([3.0]),
        loglik=lambda theta, data: -0.5 * (data - theta[0]) ** 2,
        score=lambda theta, data: (data - theta[0])[:, None],
        hessian=lambda theta, data: np.array([[-float(len(data))]]),
    )
    y = NORMAL.data[0]
    stopped = plain(objective(known, y), most=0)
    assert_allclose(stopped.edm, len(y) * (y.mean() - 3) ** 2 / 2, rtol=1e-12)
    assert_allclose(np.sqrt(2 * stopped.edm), abs(y.mean() - 3) * np.sqrt(len(y)), rtol=1e-12)
    assert stopped.edm > FAILED


# -- every optimizer -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("route", ["hessian", "neither"])
def test_every_optimizer_agrees_with_bfgs(optimizer, route):
    """After the polish nothing of the optimizer is left but a hundred-millionth of an se."""
    model, data = ROUTES[route](gamma.MODEL), GAMMA.data[0]
    found = fit(model, data, optimizer=optimizer)
    assert found.status == Status.ok
    assert_allclose(errors(found, case_fitted("gamma", 0).fit), 0, rtol=0, atol=1e-7)


def test_newton_alone_from_near_the_maximum():
    expected = case_fitted("gamma", 0).fit
    found = fit(gamma.MODEL, GAMMA.data[0], expected.theta * 1.05, optimizer=None)
    assert found.status == Status.ok
    assert_allclose(errors(found, expected), 0, rtol=0, atol=1e-7)
    assert found.iterations < 6


def test_newton_alone_from_where_a_full_step_would_lead_away():
    """F = sqrt(1 + x**2): a full step from x leads to -x**3; halved until f falls, to zero."""

    def root(theta, data):
        return np.sqrt(1 + (theta[0] - data) ** 2)

    model = Model(
        "pseudo-Huber",
        {"m": "real"},
        start=lambda data: np.array([5.0]),
        loglik=lambda theta, data: -root(theta, data),
        score=lambda theta, data: ((data - theta[0]) / root(theta, data))[:, None],
        hessian=lambda theta, data: -np.sum(root(theta, data) ** -3.0, keepdims=True)[None],
    )
    found = fit(model, np.zeros(4), optimizer=None)
    assert found.status == Status.ok
    assert_allclose(found.theta, 0, rtol=0, atol=1e-8)


# -- badly scaled parameters -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def dollars():
    """Draw a Poisson regression on income in dollars and on a rate of thousandths."""
    return poisson_regression.RAW_MECHANISM.draw(np.random.default_rng(1), n=500)


@BY_ROUTE
def test_raw_units_do_not_stop_the_fit(dollars, route):
    """Against the same regression on standardized covariates, which is easy for anybody."""
    x = dollars["x"]
    scale = np.array([1.0, 1e4, 1e-3])
    easy = fit(poisson_regression.model(3), {"y": dollars["y"], "x": x / scale})
    found = fit(route(poisson_regression.RAW_MODEL), dollars)
    assert found.status == Status.ok
    # the optimizer itself gets there, in its scaled coordinates; the polish has little to do
    assert found.success
    assert found.evaluations > 10
    se = np.sqrt(np.diag(np.linalg.inv(easy.hessian)))
    assert_allclose((found.theta * scale - easy.theta) / se, 0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["BFGS", "L-BFGS-B"])
def test_raw_units_stop_a_plain_run_where_it_started(dollars, optimizer):
    """The identity comes back as the inverse Hessian, a thousand log-likelihood units off."""
    found = plain(objective(poisson_regression.RAW_MODEL, dollars), optimizer=optimizer)
    assert_array_equal(found.theta, np.zeros(3))
    assert_array_equal(found.inverse, np.eye(3))
    assert found.edm > 100
    # L-BFGS-B even says success
    assert found.success == (optimizer == "L-BFGS-B")


@BY_ROUTE
@pytest.mark.parametrize("unit", [1e-4, 1e4, 1e8])
def test_data_in_other_units(route, unit):
    """The rate is divided by the unit, and so is its standard error; nothing else changes."""
    model, y = route(gamma.MODEL), GAMMA.data[0]
    here, there = fit(model, y), fit(model, y * unit)
    moved = np.array([1.0, unit])
    assert there.status == here.status == Status.ok
    se = np.sqrt(np.diag(np.linalg.inv(here.hessian)))
    assert_allclose(there.theta * moved / se, here.theta / se, rtol=0, atol=1e-7)
    back = there.hessian / moved / moved[:, None]
    assert_allclose(back, here.hessian, rtol=1e-5)


def test_flag_of_a_plain_run_says_nothing():
    """Among twenty fits some wrong ones are flagged success and some right ones failed.

    Which ones depends on the last bits. Data times 1e4 send the rate to 3e-4, far from its start.
    """
    sets = [np.random.default_rng(i).gamma(2.0, 1 / 3.0, size=100) for i in range(20)]
    far = [plain(objective(gamma.MODEL, y * 1e4), optimizer="L-BFGS-B") for y in sets]
    assert all(run.edm > FAILED for run in far)
    assert any(run.success for run in far)
    near = [plain(objective(gamma.MODEL, y / 10)) for y in sets]
    assert any(run.edm < FINE and not run.success for run in near)


# -- the same problem, told otherwise --------------------------------------------------------------


@BY_ROUTE
def test_parameters_on_the_working_scale(route):
    """The gamma by log(shape) and log(rate): the same maximum, the Hessian by the chain rule."""
    logs = Model(
        "log-gamma",
        {"log_shape": "real", "log_rate": "real"},
        start=lambda data: np.zeros(2),
        loglik=lambda theta, data: gamma.loglik(np.exp(theta), data),
    )
    y = GAMMA.data[0]
    found, natural = fit(logs, y), fit(route(gamma.MODEL), y)
    assert_allclose(np.exp(found.theta), natural.theta, rtol=1e-7)
    assert_allclose(found.loglik, natural.loglik, rtol=1e-12)
    # at the maximum the bend of the map does not count
    expected = natural.hessian * natural.theta * natural.theta[:, None]
    assert_allclose(found.hessian, expected, rtol=2e-3)


def test_log_likelihood_with_a_constant():
    """1e8 leaves 1.5e-8 of every difference of f: the estimate within 1e-4 standard errors."""
    y = GAMMA.data[0]
    high = Model(
        "gamma",
        gamma.MODEL.parameters,
        start=gamma.start,
        loglik=lambda theta, data: gamma.loglik(theta, data) + 1e8 / len(y),
    )
    found = fit(high, y)
    assert found.status == Status.ok
    assert_allclose(errors(found, case_fitted("gamma", 0).fit), 0, rtol=0, atol=1e-4)


@BY_ROUTE
def test_data_twice(route):
    """The same estimate; twice the log-likelihood and the Hessian."""
    model, y = route(gamma.MODEL), GAMMA.data[0]
    once, twice = fit(model, y), fit(model, np.tile(y, 2))
    assert_allclose(errors(twice, once), 0, rtol=0, atol=1e-7)
    assert_allclose(twice.loglik, 2 * once.loglik, rtol=1e-12)
    # steps of 0.14 standard errors are shorter for twice the data
    assert_allclose(twice.hessian, 2 * once.hessian, rtol=1e-3)


def test_order_of_the_observations():
    """Only the order of a sum changes."""
    y = GAMMA.data[0]
    one, other = fit(gamma.MODEL, y), fit(gamma.MODEL, y[::-1].copy())
    assert_allclose(errors(other, one), 0, rtol=0, atol=1e-7)


# -- saddles ---------------------------------------------------------------------------------------


def mixture(start):
    """An equal mixture of two normals of unit variance."""

    def loglik(theta, data):
        one, other = -0.5 * (data - theta[0]) ** 2, -0.5 * (data - theta[1]) ** 2
        return np.logaddexp(one, other) - np.log(2)

    return Model("mixture", {"low": "real", "high": "real"}, start=start, loglik=loglik)


@pytest.fixture(scope="module")
def two_groups():
    rng = np.random.default_rng(5)
    return rng.normal(np.where(rng.uniform(size=200) < 0.5, -1.5, 1.5), 1.0)


def test_plain_run_stays_at_a_saddle_and_says_success(two_groups):
    found = plain(objective(mixture(lambda data: np.full(2, data.mean())), two_groups))
    assert found.success
    assert found.status == Status.ok
    assert_allclose(found.theta, two_groups.mean(), rtol=1e-12)
    assert found.smallest < 0
    assert found.edm < FINE


@pytest.mark.parametrize("optimizer", ["BFGS", "Nelder-Mead", None])
def test_fit_escapes_from_a_saddle(two_groups, optimizer):
    """The maximum is the one from a start with the groups apart, up to the names of the groups."""
    expected = fit(mixture(lambda data: np.quantile(data, [0.25, 0.75])), two_groups)
    found = fit(mixture(lambda data: np.full(2, data.mean())), two_groups, optimizer=optimizer)
    assert found.status == expected.status == Status.ok
    assert_allclose(np.sort(found.theta), np.sort(expected.theta), rtol=1e-6)
    assert found.smallest > 0


def test_saddle_without_a_way_down_is_called_so():
    """F = x y behind walls so near that every way down ends outside."""

    def loglik(theta, data):
        return -theta[0] * theta[1] * data if np.abs(theta).max() < 1e-3 else np.full(1, np.nan)

    model = Model(
        "saddle",
        {"x": "real", "y": "real"},
        start=lambda data: np.zeros(2),
        loglik=loglik,
        score=lambda theta, data: -theta[None, ::-1],
        hessian=lambda theta, data: np.array([[0.0, -1.0], [-1.0, 0.0]]),
    )
    found = fit(model, np.ones(1))
    assert found.status == Status.saddle
    assert found.edm < FINE
    # a Hessian of zero diagonal keeps its scale: the eigenvalues are 1 and -1
    assert_allclose([found.smallest, found.condition], [-1.0, 1.0], rtol=1e-12)


# -- no maximum ------------------------------------------------------------------------------------


def separated(p, n, seed):
    """Draw a logit whose outcomes a plane separates: the likelihood rises for ever."""
    x = autoregressive(p, 0.5)(np.random.default_rng(seed), n)
    return {"x": x, "y": (x @ np.linspace(1, 2, p) > 0).astype(float)}


@pytest.mark.parametrize("optimizer", ["BFGS", "L-BFGS-B", None])
@pytest.mark.parametrize("seed", range(3))
def test_separated_outcomes_have_no_maximum(optimizer, seed):
    found = fit(logit.model(3), separated(3, 40, seed), optimizer=optimizer)
    assert found.status == Status.no_maximum


def half_separated():
    """Draw a logit in which one coefficient runs off: all marked cases are successes."""
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(60), rng.normal(size=60), rng.uniform(size=60) < 0.2])
    y = (rng.uniform(size=60) < 0.5).astype(float)
    return {"x": x, "y": np.where(x[:, 2] == 1, 1.0, y)}


LIMITS = {
    "all successes": (binomial.MODEL, np.ones(20)),
    "no success": (binomial.MODEL, np.zeros(20)),
    "no success, by the logit": (binomial.LOGIT_MODEL, np.zeros(20)),
    "separated": (logit.model(3), separated(3, 40, 0)),
    "partly separated": (logit.model(3), half_separated()),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_estimate_at_infinity_is_no_maximum(limit):
    model, data = LIMITS[limit]
    assert fit(model, data).status == Status.no_maximum


@pytest.mark.parametrize("route", ["score", "neither"])
def test_no_separated_draw_passes_for_a_fit(route):
    """Not one of 60: where f hides what is left to gain, an optimizer ends at an EDM of 3e-7."""
    model = ROUTES[route](logit.model(3))
    found = [fit(model, separated(3, 30, seed)).status for seed in range(60)]
    assert set(found) == {Status.no_maximum}


@pytest.mark.parametrize("route", ["score", "neither"])
@pytest.mark.parametrize("limit", LIMITS)
def test_estimate_at_infinity_is_no_maximum_without_exact_derivatives(limit, route):
    model, data = LIMITS[limit]
    assert fit(ROUTES[route](model), data).status == Status.no_maximum


def test_flat_likelihood_is_no_saddle():
    """Nelder-Mead runs so far that nothing of the likelihood is left to differentiate."""
    found = fit(logit.model(3), separated(3, 40, 0), optimizer="Nelder-Mead")
    assert found.status == Status.no_maximum


# -- walls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("optimizer", ["BFGS", "Nelder-Mead"])
def test_wall_on_the_way(bad, optimizer):
    """A real parameter whose likelihood ends at zero: the fit turns back from there."""

    def loglik(theta, data):
        return np.log(theta[0]) - theta[0] * data if theta[0] > 0 else np.full(len(data), bad)

    model = Model("rate", {"rate": "real"}, start=lambda data: np.array([1e-3]), loglik=loglik)
    y = np.random.default_rng(6).exponential(size=30)
    found = fit(model, y, optimizer=optimizer)
    assert found.status == Status.ok
    assert_allclose(found.theta, 1 / y.mean(), rtol=1e-6)


def maximum_at_a_wall():
    """The uniform distribution on (0, b): the likelihood is largest where it ends."""

    def loglik(theta, data):
        return np.where(data < theta[0], -np.log(theta[0]), -np.inf)

    return Model("uniform", {"b": "positive"}, start=lambda data: 2 * data.max(keepdims=True),
                 loglik=loglik)  # fmt: skip


def test_maximum_at_a_wall_is_not_found():
    """Nothing differentiable is there; `ok`, at the start, would be a lie."""
    y = np.random.default_rng(7).uniform(size=50)
    assert fit(maximum_at_a_wall(), y).status != Status.ok


def test_equal_values_have_no_weibull_fit():
    model = replace(weibull.MODEL, score=None, hessian=None)
    assert fit(model, np.full(10, 3.0)).status != Status.ok


@BY_ROUTE
def test_equal_values_have_no_normal_fit(route):
    """The standard deviation runs to zero."""
    assert fit(route(normal.MODEL), np.full(10, 3.0)).status != Status.ok


def test_exceptions_of_the_likelihood_come_through():
    def loglik(theta, data):
        raise RuntimeError("my own mistake")

    model = Model("broken", {"a": "real"}, start=lambda data: np.zeros(1), loglik=loglik)
    for run in (maximize, plain):
        with pytest.raises(RuntimeError, match="my own mistake"):
            run(objective(model, np.ones(1)))


# -- starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start", [[0.0, 1.0], [-1.0, 1.0], [1.0, np.inf], [np.nan, 1.0], [1.0], [1.0, 1.0, 1.0]]
)
def test_start_outside_the_support_is_refused(start):
    with pytest.raises(ValueError, match=r"start of model 'gamma'.*\['shape', 'rate'\] inside"):
        fit(gamma.MODEL, GAMMA.data[0], np.array(start))


def test_start_where_the_likelihood_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"not finite at the start.*'rate': 1e\+308"):
        fit(gamma.MODEL, GAMMA.data[0], np.array([1.0, 1e308]))
    with pytest.raises(ValueError, match="not finite at the start"):
        fit(gamma.MODEL, np.array([1.0, np.nan]))


# -- plain runs ------------------------------------------------------------------------------------


def test_plain_run_is_what_scipy_gives():
    """The same call by hand gives the same bits."""
    from scipy.optimize import minimize

    y = GAMMA.data[0]
    by_hand = minimize(lambda theta: -gamma.loglik(theta, y).sum(), np.ones(2))
    found = plain(objective(gamma.MODEL, y))
    assert_array_equal(found.inverse, by_hand.hess_inv)
    # theta went to the working scale and back
    assert_allclose(found.theta, by_hand.x, rtol=1e-14)
    assert (found.iterations, found.evaluations) == (by_hand.nit, by_hand.nfev)
    assert found.message == by_hand.message
    lbfgsb = plain(objective(gamma.MODEL, y), optimizer="L-BFGS-B")
    again = minimize(lambda theta: -gamma.loglik(theta, y).sum(), np.ones(2), method="L-BFGS-B")
    assert_array_equal(lbfgsb.inverse, again.hess_inv.todense())


@pytest.mark.parametrize("exact", [False, True])
def test_plain_run_over_the_working_scale(exact):
    """Its inverse is that of the working scale: standard errors of the logarithms."""
    target = objective(gamma.MODEL, GAMMA.data[0])
    assert_array_equal(plain(target, working=True, exact=exact, most=0).theta, np.ones(2))
    found = plain(target, working=True, exact=exact)
    expected = case_fitted("gamma", 0).fit
    assert found.edm < FINE
    variances = np.linalg.inv(expected.hessian) / expected.theta / expected.theta[:, None]
    # BFGS updates: some percent
    assert_allclose(np.sqrt(np.diag(found.inverse) / np.diag(variances)), 1, rtol=0, atol=0.1)


def test_plain_run_with_the_exact_gradient():
    """No differences: fewer evaluations, the same place."""
    target = objective(gamma.MODEL, GAMMA.data[0])
    rough, exact = plain(target), plain(target, exact=True)
    assert exact.evaluations < rough.evaluations
    assert exact.edm < FINE


def test_plain_run_stopped_early():
    found = plain(objective(gamma.MODEL, GAMMA.data[0]), most=1)
    assert found.iterations == 1
    assert not found.success
    assert found.status == Status.ok
    assert found.edm > FAILED


def test_plain_run_that_ends_outside_says_so():
    """A user's likelihood that rises outside the support takes the plain run there."""
    model = Model(
        "signed",
        {"a": "positive"},
        start=lambda data: np.ones(1),
        loglik=lambda theta, data: -((theta[0] + data) ** 2),
    )
    found = plain(objective(model, np.ones(3)))
    assert found.status == Status.not_converged
    assert np.isnan(found.theta).all()


def test_censored_and_complete_exponential_agree_without_censoring():
    """One model as a limit of the other: no time is cut."""
    y = np.random.default_rng(8).exponential(2.0, size=30)
    cut = {"time": y, "event": np.ones(30), "limit": np.full(30, 1e9)}
    one, other = fit(exponential.MODEL, y), fit(exponential.CENSORED_MODEL, cut)
    assert_allclose(other.theta, one.theta, rtol=1e-12)
    assert_allclose(other.hessian, one.hessian, rtol=1e-10)


def test_fit_is_quiet_about_scales_it_comes_back_from():
    """Working values are exact inverses where the estimate lies."""
    theta = case_fitted("gamma", 0).fit.theta
    supports = gamma.MODEL.supports
    assert_allclose(from_working(to_working(theta, supports), supports), theta, rtol=1e-14)
    with quiet():
        assert np.isinf(from_working(np.array([1e4, 0.0]), supports)[0])
