"""Derivatives: every scheme against polynomials, exact ones and its own order of accuracy."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from statsmodels.tools import numdiff

from checks import CASES, GAMMA, LOGIT, case_fitted
from simstudy import Model
from simstudy.likelihood import extrapolation
from simstudy.likelihood import objective as objective_module
from simstudy.likelihood.axes import RISE
from simstudy.likelihood.curvature import invert
from simstudy.likelihood.derivatives import rise_hessian, score_differences
from simstudy.likelihood.objective import natural_hessian, objective
from simstudy.likelihood.schemes import (
    central_gradient,
    central_hessian,
    gradient_hessian,
    rise_steps,
)
from simstudy.likelihood.supports import POSITIVE, REAL, UNIT, from_working, to_working
from simstudy.models import gamma
from simstudy.status import Status

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)

POINT = np.array([1.0, 2.0, 3.0])
HESSIAN = np.array([[48.0, 8, 54], [8, 24, 0], [54, 0, 36]])
STEP = np.full(3, 1e-5)


def question(v):
    """The function with which the question checks its own differences."""
    x, y, z = v
    return 2 * y * x**4 + 2 * y**3 + 2 * x * z**3


def slope(v):
    """Its gradient."""
    x, y, z = v
    return np.array([8 * y * x**3 + 2 * z**3, 2 * x**4 + 6 * y**2, 6 * x * z**2])


# one observation whose log-likelihood is minus the function
QUESTION = objective(
    Model(
        "question",
        {"x": "real", "y": "real", "z": "real"},
        start=lambda data: POINT,
        loglik=lambda theta, data: -question(theta) * data,
    ),
    np.ones(1),
)


def by_jax(v):
    target = objective(QUESTION.model, QUESTION.data, autodiff=True)
    return target.curvature(v)


@pytest.mark.parametrize(
    ("scheme", "atol"),
    [
        # f = 74; differences of step h have the noise 4 eps f / h**2 = 7e-4
        pytest.param(lambda v: central_hessian(question, v, STEP), 1e-3, id="central 1e-5"),
        # steps of about 0.03: truncation h**2 f'''' / 12 = 4e-3 for x, and as much off the diagonal
        pytest.param(
            lambda v: central_hessian(question, v, rise_steps(question, v)[0]), 0.02, id="rise"
        ),
        pytest.param(lambda v: rise_hessian(QUESTION, v).matrix, 1e-9, id="observed-central"),
        # error of order h**4, and the gradient is of third degree: rounding eps g / h only
        pytest.param(lambda v: gradient_hessian(slope, v, STEP * 100), 1e-9, id="gradient"),
        pytest.param(lambda v: numdiff.approx_hess1(v, question), 1e-2, id="statsmodels 1"),
        pytest.param(lambda v: numdiff.approx_hess2(v, question), 1e-3, id="statsmodels 2"),
        pytest.param(lambda v: numdiff.approx_hess(v, question), 1e-4, id="statsmodels 3"),
        pytest.param(lambda v: numdiff.approx_hess_cs(v, question), 1e-4, id="statsmodels cs"),
        pytest.param(by_jax, 1e-13, id="jax", marks=needs_jax),
    ],
)
def test_the_questions_own_check(scheme, atol):
    """The Hessian at (1, 2, 3), which is not positive definite there, and `invert` says so."""
    found = scheme(POINT)
    assert_allclose(found, HESSIAN, rtol=0, atol=atol)
    assert Status(int(invert(found).status)) == Status.not_positive_definite
    assert np.linalg.eigvalsh(HESSIAN)[0] < 0


def test_diagonal_only():
    found = central_hessian(question, POINT, STEP, diagonal=True)
    assert_allclose(np.diag(found), np.diag(HESSIAN), rtol=0, atol=1e-3)
    assert_array_equal(found - np.diag(np.diag(found)), np.zeros((3, 3)))


def test_gradient():
    """Four points are exact for a polynomial of fourth degree: eps f / h = 2e-12 is left."""
    assert_allclose(
        central_gradient(question, POINT, STEP * 1000), slope(POINT), rtol=0, atol=1e-10
    )


def test_gradient_of_each_of_many_functions():
    found = central_gradient(lambda v: np.array([v[0] ** 2, v[0] * v[1]]), POINT[:2], STEP[:2])
    assert_allclose(found, [[2.0, 0.0], [2.0, 1.0]], rtol=0, atol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 5])
def test_number_of_values_of_f(p):
    """What the docstring and the catalogue of methods promise."""
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return x @ x

    central_hessian(f, np.ones(p), np.full(p, 1e-3))
    assert count == 2 * p * (p - 1) + 2 * p + 1
    count = 0
    central_hessian(f, np.ones(p), np.full(p, 1e-3), diagonal=True)
    assert count == 2 * p + 1
    count = 0
    gradient_hessian(lambda x: 2 * x * f(x), np.ones(p), np.full(p, 1e-3))
    assert count == 4 * p
    count = 0
    _, said = rise_steps(f, np.ones(p))
    assert count == said


ORDERS = {
    "gradient": (lambda x, h: central_gradient(lambda v: np.exp(v[0]), x, h)[0], 4),
    "diagonal": (lambda x, h: central_hessian(lambda v: np.exp(v[0]), x, h)[0, 0], 2),
    "off the diagonal": (lambda x, h: central_hessian(lambda v: np.exp(v.sum()), x, h)[0, 1], 2),
    "from a gradient": (lambda x, h: gradient_hessian(np.exp, x, h)[0, 0], 4),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_accuracy(name):
    """Half the step divides the error by 2**order; the next term changes that by 1 % at h = 0.1."""
    scheme, order = ORDERS[name]
    p = 2 if name == "off the diagonal" else 1
    coarse, fine = (scheme(np.zeros(p), np.full(p, h)) - 1 for h in (0.1, 0.05))
    assert_allclose(coarse / fine, 2**order, rtol=0.01)


# -- the rise rule ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_rise_step_knows_no_units(unit):
    """F rises by 0.01 at the step, whatever the parameter is measured in; to 1e-3 of a step."""

    def f(x):
        return 3 * (x[0] / unit - 2) ** 2

    steps, _ = rise_steps(f, np.array([2.0 * unit]))
    assert_allclose(steps, np.sqrt(RISE / 3) * unit, rtol=1e-3)


@pytest.mark.parametrize("constant", [0.0, 1e4, 1e8, -1e8])
def test_rise_step_does_not_see_a_constant(constant):
    """1e8 leaves rounding of 1.5e-8 on a rise of 0.01."""
    steps, _ = rise_steps(lambda x: x @ x + constant, np.array([0.0, 1.0]) * 0)
    assert_allclose(steps, np.sqrt(RISE), rtol=1e-3)


def test_rise_step_stays_inside_a_wall():
    """The wall is at a quarter of the step that a rise of 0.01 would take."""
    steps, _ = rise_steps(lambda x: x[0] ** 2 if abs(x[0]) < 0.025 else np.inf, np.zeros(1))
    assert steps[0] > 0
    assert np.isfinite(steps[0])


def test_rise_step_at_a_saddle():
    """Where f falls it falls by 0.01: the Hessian of a saddle is as good as that of a minimum."""

    def f(x):
        return x[0] ** 2 + np.cos(x[1])

    steps, _ = rise_steps(f, np.zeros(2))
    # cos falls by h**2 / 2 - h**4 / 24: 0.1 % less than the quadratic one
    assert_allclose(steps, [np.sqrt(RISE), np.sqrt(2 * RISE)], rtol=2e-3)
    assert_allclose(central_hessian(f, np.zeros(2), steps), np.diag([2.0, -1.0]), rtol=0, atol=2e-3)


def test_difference_hessian_where_f_runs_flat():
    """F = 1e-6 exp(-x) cannot be taken for a parabola over a distance of 10: steps are halved."""

    def values(points):
        return 1e-6 * np.exp(-points[..., 0])

    _, found = extrapolation.differenced(values, np.zeros((1, 1)), np.array([1e-6]))
    # two extrapolations are 3e-4 apart at most
    assert_allclose(found.matrix, [[[1e-6]]], rtol=3e-4)
    assert found.status == Status.ok


def test_rise_hessian_does_not_see_a_constant():
    """Rounding of 1e8 leaves 4 eps 1e8 / 0.02 = 4e-6 of the curvature; observed: a quarter of it.

    The curvature with step 1e-5 and 1e8 is noise.
    """
    one = case_fitted("gamma", 0)
    n, theta = len(GAMMA.data[0]), one.fit.theta
    shifted = replace(gamma.MODEL, loglik=lambda theta, data: gamma.loglik(theta, data) + 1e8 / n)
    target = objective(shifted, GAMMA.data[0])
    expected = rise_hessian(one.target, theta).matrix
    found = rise_hessian(target, theta).matrix
    # relative to the conditional standard errors: off-diagonal elements cancel
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert_allclose(found / size, expected / size, rtol=0, atol=2e-5)
    noisy = central_hessian(target.value, theta, STEP[:2])
    assert np.abs(noisy / size - expected / size).max() > 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rise_hessian_is_the_exact_one(case):
    """A step of 0.14 standard errors: truncation 0.02 / 12 times the kurtosis of the likelihood."""
    one = case_fitted(case.name, 0)
    expected = one.target.curvature(one.fit.theta)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    found = rise_hessian(one.target, one.fit.theta).matrix
    assert_allclose(found / size, expected / size, rtol=0, atol=2e-3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_score_differences_are_the_exact_scores(case):
    """Four points a hundredth of a standard error apart: 1e-8 of the largest, and better."""
    one = case_fitted(case.name, 0)
    expected = one.target.score(one.fit.theta, one.target.data)
    found = score_differences(one.target, one.fit.theta)
    assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


# -- from one scale to the other -------------------------------------------------------------------

SUPPORTS = (REAL, POSITIVE, UNIT)
THETA = np.array([0.3, 2.0, 0.8])


def bowl(theta):
    """A function of theta whose gradient is not zero, so that the bend of the map counts."""
    return np.exp(0.3 * theta[0]) * theta[1] ** 2 + 3 * theta[2] ** 3 * theta[0] + theta[1]


def test_hessian_on_the_parameters_own_scale():
    """Against differences on both scales; steps of 1e-3, truncation h**2 f'''' / 12."""
    working = to_working(THETA, SUPPORTS)

    def on_working(w):
        return bowl(from_working(w, SUPPORTS))

    step = np.full(3, 1e-3)
    gradient = central_gradient(on_working, working, step)
    found = natural_hessian(gradient, central_hessian(on_working, working, step), THETA, SUPPORTS)
    assert_allclose(found, central_hessian(bowl, THETA, step), rtol=0, atol=2e-5)


def test_scale_of_a_hessian_takes_leading_axes():
    rng = np.random.default_rng(1)
    theta = from_working(rng.normal(size=(4, 2, 3)), SUPPORTS)
    gradient, hessian = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3, 3))
    there = natural_hessian(gradient, hessian, theta, SUPPORTS)
    one = natural_hessian(gradient[1, 1], hessian[1, 1], theta[1, 1], SUPPORTS)
    assert_array_equal(there[1, 1], one)


# -- the objective ---------------------------------------------------------------------------------


def test_value_is_a_wall_where_the_likelihood_is_not_finite():
    def made(values):
        model = Model("m", {"a": "real"}, start=np.zeros, loglik=lambda theta, data: values + data)
        return objective(model, np.zeros(3)).value(np.zeros(1))

    assert made(np.array([1.0, 2.0, 4.0])) == -7
    with np.errstate(invalid="ignore"):
        for bad in (np.nan, np.inf, -np.inf):
            assert made(np.array([1.0, bad, 4.0])) == np.inf
        assert made(np.array([np.inf, -np.inf, 0.0])) == np.inf


def test_own_derivatives_are_taken_before_automatic_ones():
    found = objective(gamma.MODEL, GAMMA.data[0], autodiff=True)
    assert found.score is gamma.score
    assert found.hessian is gamma.hessian


@needs_jax
@pytest.mark.parametrize("case", [GAMMA, LOGIT], ids=lambda case: case.name)
def test_automatic_derivatives_are_the_models_own(case):
    """Both are exact: only the order of rounding differs."""
    data, theta = case.data[0], case_fitted(case.name, 0).fit.theta * 1.1
    bare = replace(case.model, score=None, hessian=None)
    own, found = objective(case.model, data), objective(bare, data, autodiff=True)
    for name in ("gradient", "curvature"):
        expected = getattr(own, name)(theta)
        atol = 1e-12 * np.abs(expected).max()
        assert_allclose(getattr(found, name)(theta), expected, rtol=0, atol=atol)
    assert_allclose(found.score(theta, data), own.score(theta, data), rtol=0, atol=1e-12)


@needs_jax
def test_missing_derivative_is_completed():
    """A model with a score and without a Hessian keeps its score."""
    found = objective(replace(gamma.MODEL, hessian=None), GAMMA.data[0], autodiff=True)
    assert found.score is gamma.score
    expected = objective(gamma.MODEL, GAMMA.data[0]).curvature(np.array([2.0, 3.0]))
    assert_allclose(found.curvature(np.array([2.0, 3.0])), expected, rtol=1e-12)


def test_without_jax_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    objective_module._autodiff.cache_clear()
    bare = replace(gamma.MODEL, score=None, hessian=None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'simstudy\[jax\]'.*observed-cent"):
        objective(bare, GAMMA.data[0], autodiff=True)
    assert objective(bare, GAMMA.data[0]).score is None
