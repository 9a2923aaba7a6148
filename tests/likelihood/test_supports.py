"""Supports are values: what lies between two ends is fitted like what is positive."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq

from simstudy import MaximumLikelihood, Mechanism, Model, Study, StudyError, grid, interval
from simstudy.arrays import log, softplus
from simstudy.engines import batched, loop
from simstudy.likelihood.derivatives import rise_hessian
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.likelihood.standing import words
from simstudy.likelihood.supports import (
    POSITIVE,
    REAL,
    UNIT,
    Support,
    from_working,
    inside,
    slopes,
    to_working,
)
from simstudy.methods import OBSERVED, OBSERVED_CENTRAL, OBSERVED_LOG_WALD
from simstudy.status import Status

ENDS = [(-1, 1), (0, 1), (2.5, 7), (-3, -1), (1, np.inf), (-np.inf, 4), (-np.inf, np.inf)]


@pytest.mark.parametrize("ends", ENDS)
def test_an_interval_maps_to_the_line_and_back(ends):
    support = (interval(*ends),)
    working = np.linspace(-12, 12, 49)[:, None]
    theta = from_working(working, support)
    assert inside(theta, support).all()
    assert not inside(np.array([[ends[0]], [ends[1]]], dtype=float), support).any()
    # at 12 the share of the way is 1 - 6e-6, whose rounding shows as eps / 6e-6, by ends of 7
    assert_allclose(to_working(theta, support), working, rtol=0, atol=1e-9)
    step = 1e-4
    above, below = (from_working(working + side * step, support) for side in (1, -1))
    first, second = slopes(theta, support)
    size = np.maximum(np.abs(theta), 1)
    # truncation 1e-8 / 6, rounding 4 eps / 1e-8, relative
    assert_allclose((above - below) / (2 * step) / size, first / size, rtol=0, atol=1e-7)
    assert_allclose((above - 2 * theta + below) / step**2 / size, second / size, rtol=0, atol=1e-6)


def test_the_unit_interval_by_its_ends_is_the_unit_interval():
    assert interval(0, 1) is UNIT
    assert interval(-1, 1) is interval(-1.0, 1.0)
    assert [s.bounded for s in (REAL, POSITIVE, UNIT, interval(-1, 1))] == [False, *[True] * 3]


@pytest.mark.parametrize("ends", ENDS)
def test_a_copy_is_the_same_value_so_that_no_program_is_compiled_twice(ends):
    support = interval(*ends)
    assert pickle.loads(pickle.dumps(support)) is support
    assert copy.deepcopy(support) is support


@pytest.mark.parametrize("ends", [(1, 1), (1, -1), (np.nan, 1)])
def test_an_empty_interval_is_refused(ends):
    with pytest.raises(ValueError, match="is empty; give the lower end first"):
        interval(*ends)


def test_directions_are_told_by_ends_and_scale():
    supports, names = (interval(-1, 1), interval(2, np.inf), REAL), ("rho", "b", "c")
    away = np.array([3.0, -3.0, 3.0])
    assert words(Status.no_maximum, away, names, supports, np.ones(3)) == (
        "rho -> 1, b -> 2, c -> infinity"
    )
    assert words(Status.not_identified, away, names, supports, np.ones(3)) == (
        "logit((rho + 1) / 2) - log(b - 2) + c"
    )


def pairs(rng, n, rho):
    first, other = rng.normal(size=(2, n))
    return {"x": first, "y": rho * first + np.sqrt(1 - rho**2) * other}


def correlation(theta, data):
    """Standard bivariate normal with an unknown correlation."""
    rest = 1 - theta[0] ** 2
    square = data["x"] ** 2 - 2 * theta[0] * data["x"] * data["y"] + data["y"] ** 2
    return -np.log(2 * np.pi) - log(rest) / 2 - square / (2 * rest)


def score_root(data):
    """The correlation at which the score is zero: n r (1 - r^2) - r (A + B) + (1 + r^2) C = 0."""
    n, a = len(data["x"]), (data["x"] ** 2 + data["y"] ** 2).sum()
    c = (data["x"] * data["y"]).sum()
    return brentq(lambda r: n * r * (1 - r**2) - r * a + (1 + r**2) * c, -1, 1, xtol=1e-14)


def bivariate(loglik=correlation):
    return Model("pair", {"rho": interval(-1, 1)}, lambda data: np.array([0.0]), loglik)


@pytest.mark.parametrize("rho", [-0.95, 0.3, 0.999])
def test_a_correlation_is_fitted_between_minus_one_and_one(rho):
    data = pairs(np.random.default_rng(1), 100, rho)
    fit = maximize(objective(bivariate(), data))
    assert fit.status == Status.ok
    # an EDM of 1e-12 is 1.4e-6 standard errors, (1 - rho^2) / 10 each
    assert_allclose(fit.theta, score_root(data), rtol=0, atol=1e-6 * (1 - rho**2))


def autoregression(theta, data):
    """AR(1) with unit variance of the innovations, given the value before."""
    return -np.log(2 * np.pi) / 2 - (data["y"] - theta[0] * data["before"]) ** 2 / 2


def test_an_autoregressive_coefficient_is_least_squares():
    rng = np.random.default_rng(2)
    y = np.zeros(201)
    for t in range(1, 201):
        y[t] = 0.9 * y[t - 1] + rng.normal()
    data = {"y": y[1:], "before": y[:-1]}
    target = objective(bivariate(autoregression), data)
    fit = maximize(target)
    squares = (data["before"] ** 2).sum()
    assert_allclose(fit.theta, data["before"] @ data["y"] / squares, rtol=1e-7)
    assert_allclose(rise_hessian(target, fit.theta).matrix, squares, rtol=1e-6)


def study_of(model, truth):
    return Study(
        "pair",
        grid(Mechanism("pair", pairs, lambda n, rho: truth(rho)), n=40, rho=[0.0, 0.9]),
        [MaximumLikelihood(model, [OBSERVED, OBSERVED_CENTRAL, OBSERVED_LOG_WALD])],
        replicates=20,
        seed=3,
    )


def test_engines_agree_on_a_support_between_two_ends():
    study = study_of(bivariate(), lambda rho: {"rho": rho})
    for index in (0, 1):
        one, other = (engine.block(study, index, 0, 20)["pair"] for engine in (loop, batched))
        assert (one.status == Status.ok).all()
        assert (other.status == Status.ok).all()
        # the bar of the engines: estimates to 1e-8 standard errors, standard errors to 1e-6
        assert_allclose(one.estimate / one.se[:, 0], other.estimate / one.se[:, 0], atol=1e-7)
        for name in ("se", "lower", "upper"):
            assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-7)
        limits = one.lower[:, 2], one.upper[:, 2]
        assert (np.abs(limits) < 1).all()
        # the z of atanh has the slope 1 / (1 - rho^2); the logit of (1 + rho) / 2 is twice it
        working, half = 2 * np.arctanh(one.estimate), one.se[:, 0] / (1 - one.estimate**2)
        expected = np.tanh(working / 2 - 1.959963984540054 * half)
        assert_allclose(limits[0], expected, rtol=0, atol=1e-12)


def test_a_truth_outside_its_interval_is_refused():
    with pytest.raises(StudyError, match=r"outside its support 'interval\(-1, 1\)'"):
        study_of(bivariate(), lambda rho: {"rho": rho + 0.5})


def test_anyones_own_support_is_one_value():
    """A positive parameter by softplus has the same maximum as one by the exponential."""
    own = Support(
        "positive by softplus",
        0.0,
        to_working=lambda theta: theta + np.log(-np.expm1(-theta)),
        from_working=softplus,
        slope=lambda theta: -np.expm1(-theta),
        curvature=lambda theta: -np.expm1(-theta) * np.exp(-theta),
    )
    data = np.random.default_rng(4).exponential(2.0, size=50)
    model = Model(
        "exponential", {"rate": own}, lambda data: np.ones(1),
        lambda theta, data: log(theta[0]) - theta[0] * data,
    )  # fmt: skip
    target = objective(model, data)
    fit = maximize(target)
    assert_allclose(fit.theta, 1 / data.mean(), rtol=1e-7)
    found = rise_hessian(target, fit.theta).matrix
    assert_allclose(found, len(data) / fit.theta[0] ** 2, rtol=1e-6)


def test_an_unknown_word_names_what_is_allowed():
    with pytest.raises(ValueError, match=r"'unit', and simstudy\.interval\(lower, upper\)"):
        Model("m", {"a": "postive"}, start=np.zeros, loglik=correlation)
