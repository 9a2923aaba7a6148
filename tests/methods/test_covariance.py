"""Covariance: formulas against linear algebra written otherwise, and each diagnosis once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from checks import case_fitted, fitted, infer, quiet
from simstudy.likelihood.curvature import Curvature, invert
from simstudy.likelihood.fit import plain
from simstudy.methods import (
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    FixedStepHessian,
    place_of,
)
from simstudy.methods.covariance import Place, diagnose, diagonal, meat, observed, opg, sandwich
from simstudy.models import poisson_regression
from simstudy.status import Status

RNG = np.random.default_rng(20261123)
SCORES = RNG.normal(size=(5, 40, 3))
HESSIANS = np.stack([a.T @ a for a in RNG.normal(size=(5, 9, 3))])
INDEFINITE = np.array([[48.0, 8, 54], [8, 24, 0], [54, 0, 36]])


def word(status):
    return Status(int(status)).name


# -- the inversion ---------------------------------------------------------------------------------


@given(st.lists(st.floats(-12, 12), min_size=3, max_size=3))
def test_inverse_in_any_units(exponents):
    """Units of 1e-12 to 1e12: scaling to unit diagonal makes them the same problem.

    Against solving with the matrix in one unit; eps times a condition number of at most 100.
    """
    scale = 10.0 ** np.array(exponents)
    found = invert(HESSIANS * scale[:, None] * scale)
    expected = np.linalg.solve(HESSIANS, np.broadcast_to(np.eye(3), HESSIANS.shape))
    assert (found.status == Status.ok).all()
    assert_allclose(found.covariance * scale[:, None] * scale, expected, rtol=1e-10, atol=1e-12)


def test_inverse_is_symmetric():
    found = invert(HESSIANS).covariance
    # elements are sums of products in two orders
    assert_allclose(found, np.swapaxes(found, -1, -2), rtol=1e-13)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(2), "ok"),
        ([[4.0]], "ok"),
        ([[1.0, 1 - 1e-12], [1 - 1e-12, 1.0]], "ok"),
        (INDEFINITE, "not_positive_definite"),
        ([[1.0, 1.0], [1.0, 1.0]], "not_positive_definite"),
        ([[1e8, 1e4], [1e4, 1.0]], "not_positive_definite"),
        ([[0.0, 0.0], [0.0, 1.0]], "not_positive_definite"),
        (np.zeros((3, 3)), "not_positive_definite"),
        (-np.eye(2), "not_positive_definite"),
        ([[1.0, 2.0], [2.0, 1.0]], "not_positive_definite"),
        ([[1.0, 0.0], [0.0, np.nan]], "not_finite"),
        ([[1.0, np.nan], [np.nan, 1.0]], "not_finite"),
        ([[np.inf, 0.0], [0.0, 1.0]], "not_finite"),
    ],
)
def test_no_inverse_is_repaired(matrix, expected):
    found = invert(np.array(matrix))
    assert word(found.status) == expected
    assert np.isfinite(found.covariance).all() == (expected == "ok")
    assert np.isnan(found.covariance).all() == (expected != "ok")


def test_one_bad_matrix_leaves_the_others_alone():
    stack = np.stack([HESSIANS[0], INDEFINITE, np.full((3, 3), np.nan), HESSIANS[1]])
    found = invert(stack)
    assert [word(s) for s in found.status] == ["ok", "not_positive_definite", "not_finite", "ok"]
    assert_array_equal(found.covariance[[0, 3]], invert(HESSIANS[:2]).covariance)


# -- formulas --------------------------------------------------------------------------------------


def test_meat_is_the_sum_of_outer_products():
    expected = sum(np.outer(s, s) for s in SCORES[0])
    # sums of forty terms in another order
    assert_allclose(meat(SCORES[0]), expected, rtol=1e-12, atol=1e-12)
    assert_array_equal(meat(SCORES)[0], meat(SCORES[0]))


def test_formulas_against_plain_linear_algebra():
    """Condition numbers of 100 at most: a dozen digits are left."""
    curvature = Curvature(HESSIANS, meat(SCORES))
    h, s = np.linalg.inv(HESSIANS), np.einsum("bni,bnj->bij", SCORES, SCORES)
    near = {"rtol": 1e-11, "atol": 1e-12}
    assert_allclose(observed(curvature).covariance, h, **near)
    assert_allclose(opg(curvature).covariance, np.linalg.inv(s), **near)
    assert_allclose(sandwich(curvature).covariance, h @ s @ h, **near)
    one_by_one = np.einsum("bii->bi", diagonal(curvature).covariance)
    assert_allclose(one_by_one, 1 / np.einsum("bii->bi", HESSIANS), **near)


def test_sandwich_without_misspecification_is_the_inverse():
    """Where S = H all formulas agree (White 1982)."""
    curvature = Curvature(HESSIANS, HESSIANS)
    expected = observed(curvature).covariance
    for formula in (opg, sandwich):
        assert_allclose(formula(curvature).covariance, expected, rtol=1e-11)


def test_diagonal_ignores_the_other_parameters():
    """1 / H_ii is the variance with the others known: never larger than that of the inverse."""
    curvature = Curvature(HESSIANS)
    alone, whole = diagonal(curvature).covariance, observed(curvature).covariance
    assert (np.einsum("bii->bi", alone) < np.einsum("bii->bi", whole)).all()
    assert_array_equal(alone[0][~np.eye(3, dtype=bool)], np.zeros(6))


@pytest.mark.parametrize(
    ("formula", "curvature", "expected"),
    [
        (observed, Curvature(INDEFINITE), "not_positive_definite"),
        (diagonal, Curvature(np.diag([1.0, -1.0])), "negative_variance"),
        (diagonal, Curvature(np.diag([1.0, 0.0])), "negative_variance"),
        (diagonal, Curvature(np.diag([1.0, np.nan])), "not_finite"),
        (opg, Curvature(np.eye(2), np.ones((2, 2))), "not_positive_definite"),
        (sandwich, Curvature(-np.eye(2), np.eye(2)), "not_positive_definite"),
    ],
)
def test_formula_without_an_answer(formula, curvature, expected):
    found = formula(curvature)
    assert word(found.status) == expected
    assert np.isnan(np.diagonal(found.covariance)).all()


def test_opg_of_fewer_observations_than_parameters():
    assert word(opg(Curvature(np.eye(3), meat(SCORES[0, :2]))).status) == "not_positive_definite"


# -- why a Hessian is not positive definite --------------------------------------------------------

GOOD = Place(
    theta=np.zeros(2), loglik=np.array(-100.0), edm=np.array(1e-12), hessian=np.diag([4.0, 100.0])
)
BAD = np.int8(Status.not_positive_definite)


def changed(**values):
    return Place(**{name: values.get(name, getattr(GOOD, name)) for name in Place.__slots__})


@pytest.mark.parametrize(
    ("place", "step", "expected"),
    [
        (GOOD, None, "not_positive_definite"),
        (GOOD, 1e-3, "not_positive_definite"),
        (changed(edm=np.array(1e-3)), None, "not_an_optimum"),
        (changed(edm=np.array(np.nan)), None, "not_an_optimum"),
        (changed(hessian=np.diag([4.0, -1.0])), None, "saddle"),
        # 4 eps 100 / h**2 exceeds the curvature 4 where h is less than 1.5e-7
        (GOOD, 1.4e-7, "rounding_noise"),
        (GOOD, 1.6e-7, "not_positive_definite"),
        # the smaller conditional standard error is 0.1
        (GOOD, 0.11, "step_too_large"),
        (GOOD, 0.09, "not_positive_definite"),
        # the likeliest reason first
        (changed(hessian=np.diag([4.0, -1.0])), 0.11, "saddle"),
        (changed(hessian=np.diag([4.0, -1.0]), edm=np.array(1.0)), 0.11, "not_an_optimum"),
        (changed(hessian=np.diag([1e-9, 1e9])), 1e-4, "rounding_noise"),
    ],
)
def test_each_reason(place, step, expected):
    curvature = Curvature(INDEFINITE[:2, :2], step=step)
    assert word(diagnose(BAD, curvature, place)) == expected


@pytest.mark.parametrize(
    "status", [Status.ok, Status.not_finite, Status.refits_failed, Status.method_error]
)
def test_other_statuses_are_not_explained_away(status):
    place = changed(edm=np.array(1.0), hessian=-np.eye(2))
    assert diagnose(np.int8(status), Curvature(np.eye(2), step=1e-9), place) == status


def test_reasons_of_many_fits_at_once():
    places = [
        GOOD,
        changed(edm=np.array(1.0)),
        changed(hessian=-np.eye(2)),
        changed(hessian=np.diag([1.0, 1e9])),
    ]
    stack = Place(*(np.stack([getattr(p, n) for p in places]) for n in Place.__slots__))
    curvature = Curvature(np.stack([INDEFINITE[:2, :2]] * 4), step=1e-3)
    found = diagnose(np.full(4, BAD), curvature, stack)
    expected = ["not_positive_definite", "not_an_optimum", "saddle", "step_too_large"]
    assert [word(s) for s in found] == expected


def answered(method, one):
    return word(infer(method, one).status)


def test_reasons_arise_in_real_fits():
    """Each from a fit and a step such as people use, and `ok` where the same step is right."""
    one = case_fitted("gamma", 0)
    assert answered(OBSERVED_CENTRAL_1E5, one) == "ok"
    assert answered(replace(OBSERVED_CENTRAL_1E5, hessian=FixedStepHessian(1e-10)), one) == (
        "rounding_noise"
    )
    # an income in dollars: its coefficient has a standard error of 2e-6
    dollars = poisson_regression.RAW_MECHANISM.draw(np.random.default_rng(3), n=500)
    dollars["x"] = dollars["x"][:, :2]
    raw = fitted(poisson_regression.model(2), dollars)
    assert answered(OBSERVED_CENTRAL_1E5, raw) == "step_too_large"
    assert answered(OBSERVED_CENTRAL, raw) == "ok"
    with quiet():
        early = plain(one.target, most=1)
    assert early.edm > 1e-3
    place = place_of(early)
    assert word(diagnose(BAD, Curvature(early.hessian), place)) == "not_an_optimum"
