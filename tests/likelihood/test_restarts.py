"""Several maxima: restarts find the highest, say how many searches agree, or that none do.

Where the highest maximum is, is known exactly: from a grid over one parameter, or from a start that
is the truth.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from checks import quiet
from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.arrays import exp, log, log1p, where
from simstudy.engines import loop
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.likelihood.restarts import _chosen, maximize_from_several
from simstudy.methods import OBSERVED_CENTRAL
from simstudy.status import Status
from simstudy.streams import stream

# Two fits of one maximum, each polished: their heights differ by rounding and their EDMs.
SAME = 1e-7


def cauchy(theta, data):
    return -log1p((data - theta[0]) ** 2)


CAUCHY = Model("cauchy", {"m": "real"}, lambda data: np.sort(data)[1:2], cauchy)


def clusters(rng):
    """Five observations about 0 and six about 20: two maxima, the start is near the lower one."""
    return np.concatenate([0.3 * rng.standard_cauchy(5), 20 + 0.3 * rng.standard_cauchy(6)])


def highest_on_a_grid(data):
    grid = np.arange(-10, 40, 0.01)
    values = -np.log1p((data - grid[:, None]) ** 2).sum(axis=1)
    near = grid[np.argmax(values)]
    return maximize(objective(CAUCHY, data), np.array([near]), optimizer=None)


def test_restarts_find_the_highest_of_two_maxima():
    """The plain fit is `ok` at the lower one in 19 of 20 data sets; with restarts in none."""
    plain, several, agreed = 0, [], []
    with quiet():
        for k in range(20):
            target = objective(CAUCHY, clusters(stream(3, "clusters", k, "data")))
            best = highest_on_a_grid(target.data).loglik
            one = maximize(target)
            plain += one.status == Status.ok and one.loglik < best - SAME
            fit = maximize_from_several(target, stream(3, "clusters", k, "restarts"), 16)
            if fit.status == Status.ok:
                several.append(fit.loglik - best)
                agreed.append(fit.agreed)
    assert plain == 19
    assert len(several) >= 18
    assert_allclose(several, 0, atol=SAME)
    assert min(agreed) >= 2
    assert max(agreed) <= 15


def mixture(theta, data):
    low = log(theta[3]) - log(theta[2]) - 0.5 * ((data - theta[0]) / theta[2]) ** 2
    high = log1p(-theta[3]) - log(theta[2]) - 0.5 * ((data - theta[1]) / theta[2]) ** 2
    return where(low > high, low, high) + log1p(exp(-abs(low - high)))


PARAMETERS = {"mu1": "real", "mu2": "real", "sigma": "positive", "share": "unit"}


def of_two(start):
    return Model("mixture", PARAMETERS, lambda data: np.array(start(data), dtype=float), mixture)


def halves(rng):
    return rng.normal(np.where(rng.uniform(size=80) < 0.4, 0.0, 3.5), 1.0)


STARTS = {
    "swapped": lambda data: [4.0, 0.0, 1.0, 0.6],
    "far off": lambda data: [data.mean(), data.max() + 5, data.std(), 0.9],
    "one component": lambda data: [data.mean(), data.mean(), data.std(), 0.5],
}


@pytest.mark.parametrize("name", STARTS)
def test_a_mixture_from_a_bad_start(name):
    """Restarts end at the maximum that a fit from the truth finds, whichever labels it has."""
    with quiet():
        data = halves(stream(4, "mixture", 0, "data"))
        right = maximize(objective(of_two(lambda data: [0.0, 3.5, 1.0, 0.4]), data))
        target = objective(of_two(STARTS[name]), data)
        fit = maximize_from_several(target, stream(4, "mixture", 0, "restarts"), 8)
    assert fit.status == Status.ok
    assert_allclose(fit.loglik, right.loglik, atol=SAME)
    assert_allclose(np.sort(fit.theta[:2]), right.theta[:2], rtol=1e-5)


@functools.cache
def one_end():
    with quiet():
        return maximize(objective(CAUCHY, np.array([-1.0, 0.0, 1.5])))


def end(theta, loglik, status=Status.ok):
    return replace(one_end(), theta=np.array([theta]), loglik=loglik, status=status)


def chosen(*ends):
    return _chosen(objective(CAUCHY, np.array([5.0, 6.0])), ends, len(ends))


def test_one_search_alone_at_the_highest_maximum_confirms_nothing():
    found = chosen(end(0.0, -10.0), end(0.0, -10.0), end(9.0, -7.0))
    assert found.status == Status.unconfirmed
    assert (found.agreed, found.searches) == (1, 3)
    assert "3 units lower" in found.message


def test_the_highest_end_counts_also_where_it_is_no_maximum():
    found = chosen(end(0.0, -10.0), end(0.0, -10.0), end(99.0, -2.0, Status.no_maximum))
    assert found.status == Status.no_maximum
    assert found.agreed == 0


def test_a_failed_search_that_ended_lower_takes_nothing_away():
    found = chosen(end(0.0, -10.0), end(9.0, -12.0, Status.saddle), end(0.0, -10.0))
    assert found.status == Status.ok
    assert (found.agreed, found.searches) == (2, 3)


@pytest.mark.parametrize("order", [1, -1])
def test_of_equal_maxima_that_of_the_labels_of_the_start_is_taken(order):
    """The start is 6. Heights differ by rounding alone, the order of the searches is no matter."""
    ends = [end(0.0, -10.0), end(9.0, -10.0 - 1e-14), end(0.0, -10.0 - 1e-15)]
    found = chosen(*ends[::order])
    assert found.status == Status.ok
    assert found.theta[0] == 9.0
    assert found.agreed == 3
    assert "2 maxima of the same height" in found.message


def study(**options):
    estimator = MaximumLikelihood(CAUCHY, [OBSERVED_CENTRAL], **options)
    mechanism = Mechanism("clusters", clusters, lambda: {"m": 20.0})
    return Study("s", [Scenario(mechanism, {})], [estimator], seed=3)


def test_engines_and_blocks_give_the_same_numbers():
    jax = pytest.importorskip("jax")
    from simstudy.engines import batched

    assert jax
    several = study(restarts=6)
    whole = loop.block(several, 0, 0, 4)["cauchy"]
    other = batched.block(several, 0, 0, 4)["cauchy"]
    last = loop.block(several, 0, 3, 4)["cauchy"]
    for name, values in whole.arrays().items():
        if "seconds" not in name:
            assert_array_equal(values, other.arrays()[name])
            assert_array_equal(values[3:], last.arrays()[name])
    assert_array_equal(whole.audit["searches"], 7)
    assert whole.audit["agreed"].max() < 7


def test_without_restarts_one_search_agrees_with_itself():
    block = loop.block(study(), 0, 0, 2)["cauchy"]
    assert_array_equal(block.audit["searches"], 1)
    assert_array_equal(block.audit["agreed"], 1)


@pytest.mark.parametrize("options", [
    {"restarts": -1}, {"restarts": True}, {"restarts": 2.0}, {"restarts": 4, "as_is": True},
])  # fmt: skip
def test_restarts_that_cannot_be(options):
    with pytest.raises(ValueError, match=f"restarts is {options['restarts']}; allowed"):
        MaximumLikelihood(CAUCHY, [OBSERVED_CENTRAL], **options)
