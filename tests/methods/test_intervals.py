"""Intervals: closed forms, and the same interval on another scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from simstudy.likelihood.supports import POSITIVE, REAL, UNIT, to_working
from simstudy.methods.intervals import log_wald, wald

SUPPORTS = (REAL, POSITIVE, UNIT)
THETA, SE = np.array([-1.0, 2.0, 0.25]), np.array([0.5, 0.4, 0.1])
BOTH = pytest.mark.parametrize("interval", [wald, log_wald])


def test_wald_is_z_standard_errors_each_way():
    lower, upper = wald(THETA, SE, 0.9, SUPPORTS)
    z = stats.norm.ppf(0.95)
    # one rounding more or less
    assert_allclose(lower, THETA - z * SE, rtol=1e-14)
    assert_allclose(upper, THETA + z * SE, rtol=1e-14)


def test_log_wald_is_wald_on_the_working_scale():
    """Standard errors there by the delta method: se / theta for a log, se / v for a logit."""
    lower, upper = log_wald(THETA, SE, 0.95, SUPPORTS)
    se = np.array([0.5, 0.4 / 2, 0.1 / (0.25 * 0.75)])
    below, above = wald(np.array([-1.0, np.log(2), np.log(1 / 3)]), se, 0.95, ())
    # a logarithm and its inverse: a few roundings
    assert_allclose(to_working(lower, SUPPORTS), below, rtol=1e-13)
    assert_allclose(to_working(upper, SUPPORTS), above, rtol=1e-13)


def test_log_wald_of_a_real_parameter_is_wald():
    for one, other in zip(
        log_wald(THETA, SE, 0.95, (REAL,) * 3), wald(THETA, SE, 0.95, ()), strict=True
    ):
        assert_array_equal(one, other)


def test_small_standard_errors_make_both_the_same():
    """The map is straight over a millionth of the parameter: they differ by (z se)**2."""
    for one, other in zip(
        log_wald(THETA, 1e-6 * SE, 0.95, SUPPORTS), wald(THETA, 1e-6 * SE, 0.95, ()), strict=True
    ):
        assert_allclose(one, other, rtol=0, atol=1e-11)


@BOTH
@given(st.floats(0.01, 0.98), st.floats(1e-6, 1e3))
def test_interval_contains_the_estimate_and_widens(interval, level, size):
    narrow = interval(THETA, SE * size, level, SUPPORTS)
    wide = interval(THETA, SE * size, level + 0.01, SUPPORTS)
    assert (narrow[0] < THETA).all()
    assert (narrow[1] > THETA).all()
    assert (wide[0] <= narrow[0]).all()
    assert (wide[1] >= narrow[1]).all()


@given(st.floats(1e-6, 10))
def test_log_wald_stays_inside_the_support(size):
    lower, upper = log_wald(THETA, SE * size, 0.99, SUPPORTS)
    assert lower[1] > 0
    assert lower[2] > 0
    assert upper[2] < 1


@BOTH
def test_units_move_the_ends_with_the_parameter(interval):
    """A positive parameter in other units: both ends times the unit."""
    ends = interval(THETA[1:2], SE[1:2], 0.95, (POSITIVE,))
    moved = interval(1e4 * THETA[1:2], 1e4 * SE[1:2], 0.95, (POSITIVE,))
    for one, other in zip(ends, moved, strict=True):
        assert_allclose(other, 1e4 * one, rtol=1e-13)


@BOTH
def test_leading_axes(interval):
    rng = np.random.default_rng(1)
    theta = rng.uniform(0.1, 0.9, size=(4, 2, 3))
    se = rng.uniform(0.1, 1, size=(4, 2, 3))
    whole = interval(theta, se, 0.95, SUPPORTS)
    part = interval(theta[3, 1], se[3, 1], 0.95, SUPPORTS)
    for one, other in zip(whole, part, strict=True):
        assert_array_equal(one[3, 1], other)


@BOTH
def test_nan_stays_nan(interval):
    for end in interval(THETA, np.full(3, np.nan), 0.95, SUPPORTS):
        assert np.isnan(end).all()
