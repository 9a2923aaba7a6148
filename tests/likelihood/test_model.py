"""Models: supports, and the maps between a parameter's own scale and the working scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import Model
from simstudy.likelihood.supports import (
    POSITIVE,
    REAL,
    UNIT,
    from_working,
    inside,
    slopes,
    to_working,
)

SUPPORTS = (REAL, POSITIVE, UNIT)
WORKING = st.tuples(*[st.floats(-15, 15)] * 3).map(np.array)


def loglik(theta, data):
    return -((data - theta[0]) ** 2)


def make(parameters):
    return Model("m", parameters, start=lambda data: np.zeros(1), loglik=loglik)


@given(WORKING)
def test_working_scale_and_back(working):
    """At 15 a unit parameter is 1 - 3e-7: the rounding of that, eps / 3e-7, shows in its logit."""
    theta = from_working(working, SUPPORTS)
    assert inside(theta, SUPPORTS).all()
    assert_allclose(to_working(theta, SUPPORTS), working, rtol=0, atol=1e-8)


@given(WORKING)
def test_slopes_are_the_derivatives_of_the_map(working):
    """Central differences, step 1e-4: truncation 1e-8 / 6, rounding 4 eps / 1e-8, relative."""
    step = 1e-4
    above, below = (from_working(working + side * step, SUPPORTS) for side in (1, -1))
    theta = from_working(working, SUPPORTS)
    first, second = slopes(theta, SUPPORTS)
    size = np.maximum(np.abs(theta), 1)
    assert_allclose((above - below) / (2 * step) / size, first / size, rtol=0, atol=1e-7)
    bend = (above - 2 * theta + below) / step**2
    assert_allclose(bend / size, second / size, rtol=0, atol=1e-6)


def test_map_is_identity_log_and_logit():
    theta = np.array([[-2.0, 0.5, 0.25], [3.0, 2.0, 0.5]])
    expected = np.stack([theta[:, 0], np.log(theta[:, 1]), np.log([1 / 3, 1.0])], axis=-1)
    # one rounding of the logarithm
    assert_allclose(to_working(theta, SUPPORTS), expected, rtol=1e-15)
    assert_array_equal(to_working(theta[1], SUPPORTS), to_working(theta, SUPPORTS)[1])


def test_map_leaves_its_argument_alone():
    theta = np.array([1.0, 2.0, 0.5])
    to_working(theta, SUPPORTS)[:] = 7
    from_working(theta, SUPPORTS)[:] = 7
    assert theta.tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        ([0.0, 1.0, 0.5], [True, True, True]),
        ([-1e300, 5e-324, 1 - 1e-16], [True, True, True]),
        ([np.inf, 0.0, 0.0], [False, False, False]),
        ([np.nan, np.inf, 1.0], [False, False, False]),
        ([1.0, -1.0, 1.5], [True, False, False]),
        ([1.0, np.nan, -0.1], [True, False, False]),
    ],
)
def test_supports_are_open(theta, expected):
    assert inside(theta, SUPPORTS).tolist() == expected


def test_parameters_keep_their_order():
    model = make({"b": "positive", "a": "real"})
    assert model.names == ("b", "a")
    assert model.supports == (POSITIVE, REAL)


def test_unknown_support_is_refused():
    with pytest.raises(ValueError, match=r"'a' has the support 'postive'; allowed are 'real'"):
        make({"a": "postive"})


def test_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="'m' has no parameters"):
        make({})
