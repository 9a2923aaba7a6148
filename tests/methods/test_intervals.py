"""Intervals: closed forms, and the same interval on another scale."""

import ast
import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from simstudy import MaximumLikelihood, Study, grid
from simstudy.engines import batched, loop
from simstudy.likelihood.supports import POSITIVE, REAL, UNIT, to_working
from simstudy.methods import Multinomial, Resampling
from simstudy.methods.intervals import (
    Summary,
    basic,
    bca,
    bootstrap_t,
    log_wald,
    percentile,
    t,
    wald,
)
from simstudy.models import gamma

SUPPORTS = (REAL, POSITIVE, UNIT)
THETA, SE = np.array([-1.0, 2.0, 0.25]), np.array([0.5, 0.4, 0.1])
BOTH = pytest.mark.parametrize("interval", [wald, log_wald])


def test_wald_is_z_standard_errors_each_way():
    lower, upper = wald(Summary(THETA, SE, 0.9, SUPPORTS))
    z = stats.norm.ppf(0.95)
    # one rounding more or less
    assert_allclose(lower, THETA - z * SE, rtol=1e-14)
    assert_allclose(upper, THETA + z * SE, rtol=1e-14)


def test_log_wald_is_wald_on_the_working_scale():
    """Standard errors there by the delta method: se / theta for a log, se / v for a logit."""
    lower, upper = log_wald(Summary(THETA, SE, 0.95, SUPPORTS))
    se = np.array([0.5, 0.4 / 2, 0.1 / (0.25 * 0.75)])
    below, above = wald(Summary(np.array([-1.0, np.log(2), np.log(1 / 3)]), se, 0.95, ()))
    # a logarithm and its inverse: a few roundings
    assert_allclose(to_working(lower, SUPPORTS), below, rtol=1e-13)
    assert_allclose(to_working(upper, SUPPORTS), above, rtol=1e-13)


def test_log_wald_of_a_real_parameter_is_wald():
    for one, other in zip(
        log_wald(Summary(THETA, SE, 0.95, (REAL,) * 3)), wald(Summary(THETA, SE, 0.95)), strict=True
    ):
        assert_array_equal(one, other)


def test_small_standard_errors_make_both_the_same():
    """The map is straight over a millionth of the parameter: they differ by (z se)**2."""
    for one, other in zip(
        log_wald(Summary(THETA, 1e-6 * SE, 0.95, SUPPORTS)),
        wald(Summary(THETA, 1e-6 * SE, 0.95)),
        strict=True,
    ):
        assert_allclose(one, other, rtol=0, atol=1e-11)


@BOTH
@given(st.floats(0.01, 0.98), st.floats(1e-6, 1e3))
def test_interval_contains_the_estimate_and_widens(interval, level, size):
    narrow = interval(Summary(THETA, SE * size, level, SUPPORTS))
    wide = interval(Summary(THETA, SE * size, level + 0.01, SUPPORTS))
    assert (narrow[0] < THETA).all()
    assert (narrow[1] > THETA).all()
    assert (wide[0] <= narrow[0]).all()
    assert (wide[1] >= narrow[1]).all()


@given(st.floats(1e-6, 10))
def test_log_wald_stays_inside_the_support(size):
    lower, upper = log_wald(Summary(THETA, SE * size, 0.99, SUPPORTS))
    assert lower[1] > 0
    assert lower[2] > 0
    assert upper[2] < 1


@BOTH
def test_units_move_the_ends_with_the_parameter(interval):
    """A positive parameter in other units: both ends times the unit."""
    ends = interval(Summary(THETA[1:2], SE[1:2], 0.95, (POSITIVE,)))
    moved = interval(Summary(1e4 * THETA[1:2], 1e4 * SE[1:2], 0.95, (POSITIVE,)))
    for one, other in zip(ends, moved, strict=True):
        assert_allclose(other, 1e4 * one, rtol=1e-13)


@BOTH
def test_leading_axes(interval):
    rng = np.random.default_rng(1)
    theta = rng.uniform(0.1, 0.9, size=(4, 2, 3))
    se = rng.uniform(0.1, 1, size=(4, 2, 3))
    whole = interval(Summary(theta, se, 0.95, SUPPORTS))
    part = interval(Summary(theta[3, 1], se[3, 1], 0.95, SUPPORTS))
    for one, other in zip(whole, part, strict=True):
        assert_array_equal(one[3, 1], other)


@BOTH
def test_nan_stays_nan(interval):
    for end in interval(Summary(THETA, np.full(3, np.nan), 0.95, SUPPORTS)):
        assert np.isnan(end).all()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(percentile, "percentile"), (basic, "basic"), (bca, "BCa")]
)
def test_resampled_intervals_are_scipys_on_the_same_resamples(ours, theirs):
    rng = np.random.default_rng(5)
    y = rng.exponential(size=40)
    statistic = lambda y, axis: np.log(y.mean(axis=axis))  # noqa: E731
    due = stats.bootstrap(
        (y,), statistic, n_resamples=499, confidence_level=0.9, method=theirs, rng=rng
    )
    left_out = np.log((y.sum() - y) / 39)
    summary = Summary(
        np.log([y.mean()]), np.array([np.nan]), 0.9,
        resampled=due.bootstrap_distribution[:, None], left_out=left_out[:, None],
    )  # fmt: skip
    # a hundred roundings of quantiles, sums of cubes and normal probabilities
    assert_allclose(np.ravel(ours(summary)), list(due.confidence_interval), rtol=1e-11)


@pytest.mark.parametrize("ours", [percentile, basic, bca, bootstrap_t])
def test_resampled_intervals_take_leading_axes(ours):
    rng = np.random.default_rng(6)
    resampled, left_out, theta = (rng.normal(size=(4, *k, 2)) for k in ((99,), (20,), ()))
    spread = rng.uniform(1, 2, size=(4, 99, 2))
    whole = ours(Summary(theta, theta**2, 0.9, (), np.inf, resampled, spread, left_out))
    for k in range(4):
        part = Summary(
            theta[k], theta[k] ** 2, 0.9, (), np.inf, resampled[k], spread[k], left_out[k]
        )
        for end, other in zip(whole, ours(part), strict=True):
            assert_array_equal(end[k], other)


def test_quantiles_are_numpys():
    resampled = np.random.default_rng(7).normal(size=(101, 3))
    ends = percentile(Summary(np.zeros(3), np.ones(3), 0.95, resampled=resampled))
    assert_allclose(ends, np.quantile(resampled, [0.025, 0.975], axis=0), rtol=1e-12)


def test_studentized_resamples_of_a_known_t_give_its_interval():
    """Where (theta* - theta) / se* has the quantiles of t, the interval is Student's."""
    t_values = stats.t.ppf(np.linspace(1e-6, 1 - 1e-6, 4001), 7)[:, None]
    theta, se = np.array([3.0]), np.array([0.5])
    resampled, spread = theta + 2 * t_values, np.full_like(t_values, 2.0)
    ends = bootstrap_t(Summary(theta, se, 0.95, resampled=resampled, resampled_se=spread))
    due = t(Summary(theta, se, 0.95, df=7))
    # shares are off by a millionth
    assert_allclose(ends, due, rtol=1e-4)


def test_t_is_the_interval_of_ordinary_least_squares():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(8)
    x = sm.add_constant(rng.normal(size=(12, 2)))
    fit = sm.OLS(rng.normal(size=12), x).fit()
    ends = t(Summary(fit.params, fit.bse, 0.9, df=np.full(3, fit.df_resid)))
    assert_allclose(np.stack(ends, axis=-1), fit.conf_int(0.1), rtol=1e-10)


def test_t_with_infinite_degrees_of_freedom_is_wald():
    for one, other in zip(t(Summary(THETA, SE, 0.9)), wald(Summary(THETA, SE, 0.9)), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("interval", [percentile, basic, bca, bootstrap_t])
def test_an_interval_of_resamples_needs_resamples(interval):
    with pytest.raises(ValueError, match="looks at resamples that its method does not make"):
        interval(Summary(THETA, SE, 0.9, SUPPORTS))


def test_intervals_are_short():
    """What a new one costs: eight lines of code at most."""
    for interval in (wald, log_wald, t, percentile, basic, bca, bootstrap_t):
        body = ast.parse(inspect.getsource(interval)).body[0].body[1:]
        assert sum(one.end_lineno - one.lineno + 1 for one in body) <= 8, interval


@pytest.mark.parametrize("ours", [percentile, basic])
def test_engines_agree_on_intervals_of_resampled_estimates(ours):
    """The refits agree to a few 1e-8 standard errors, and so do their quantiles."""
    method = Resampling("b", Multinomial(99), interval=ours)
    scenarios = grid(gamma.MECHANISM, n=30, shape=2.0, rate=0.5)
    study = Study("g", scenarios, [MaximumLikelihood(gamma.MODEL, [method])], 4, seed=9)
    one, other = (engine.block(study, 0, 0, 4)["gamma"] for engine in (loop, batched))
    assert (one.status == 0).all()
    for name in ("se", "lower", "upper"):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)
    assert (one.lower[:, 0] < one.upper[:, 0]).all()
