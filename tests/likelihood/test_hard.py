"""Hard likelihoods without derivatives: the exact standard errors, or a refusal in the right word.

What a case has to be called is known exactly: an empty cell, a variance below the mean, a third
moment, a column that occurs twice.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, gammaln, log_ndtr

from checks import quiet
from simstudy import Model
from simstudy.likelihood.curvature import invert
from simstudy.likelihood.derivatives import central_scores, rise_hessian, score_hessian
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.status import Status

SETS = 12


def fitted(model, data):
    with quiet():
        return maximize(objective(model, data))


def logit(names):
    """A logit on columns x, with a log-likelihood alone."""

    def loglik(theta, data):
        eta = data["x"] @ theta
        return data["y"] * eta - np.logaddexp(0, eta)

    return Model("logit", dict.fromkeys(names, "real"), lambda data: np.zeros(len(names)), loglik)


def outcomes(rng, x, z):
    return {"x": x, "y": (rng.uniform(size=len(z)) < expit(z)).astype(float)}


def on_years(first, last, rng):
    year = rng.integers(first, last + 1, 500)
    return outcomes(rng, np.column_stack([np.ones(500), year]), (year - year.mean()) / year.std())


def on_ages(rng):
    age = rng.uniform(20, 80, 500)
    return outcomes(rng, np.column_stack([age**k for k in range(4)]), (age - 50) / 20)


def on_a_near_copy(rng):
    x = rng.normal(size=500)
    x = np.column_stack([np.ones(500), x, x + 1e-5 * rng.normal(size=500)])
    return outcomes(rng, x, x[:, 1])


CORRELATED = {
    "1900-2020": lambda rng: on_years(1900, 2020, rng),
    "2000-2020": lambda rng: on_years(2000, 2020, rng),
    "2017-2020": lambda rng: on_years(2017, 2020, rng),
    "unix time": lambda rng: outcomes(
        rng, np.column_stack([np.ones(500), 1.7e9 + (day := rng.uniform(0, 86400, 500))]),
        day / 43200 - 1,
    ),
    "age, age^2, age^3": on_ages,
    "x2 = x1 + 1e-5 noise": on_a_near_copy,
}  # fmt: skip


def exact(theta, data):
    """Hessian of f and scores of a logit."""
    x, p = data["x"], expit(data["x"] @ theta)
    return (x * (p * (1 - p))[:, None]).T @ x, (data["y"] - p)[:, None] * x


def ses(hessian):
    return np.sqrt(np.diagonal(invert(hessian).covariance))


@pytest.mark.parametrize("name", CORRELATED)
def test_correlated_parameters_have_exact_standard_errors(name):
    """Along the parameters' own axes they were 5 to 99.8 % off, and called `ok`.

    Differences of a quadratic that is known to rounding: eps times a condition of up to 1e10.
    """
    data = CORRELATED[name](np.random.default_rng(1))
    model = logit([f"b{j}" for j in range(data["x"].shape[1])])
    found = fitted(model, data)
    assert found.status == Status.ok
    assert found.edm < 1e-12
    hessian, scores = exact(found.theta, data)
    gradient = scores.sum(axis=0)
    # the true distance to the maximum, not only the one that differences see
    assert gradient @ np.linalg.solve(hessian, gradient) / 2 < 1e-12
    target = objective(model, data)
    h = rise_hessian(target, found.theta, found.hessian)
    s = central_scores(target, found.theta, found.hessian)
    for one in (h, s):
        assert one.status == Status.ok
        assert one.error.max() < 1e-3
    assert_allclose(ses(h.matrix), ses(hessian), rtol=1e-4)
    bread, expected = invert(h.matrix).covariance, invert(hessian).covariance
    sandwich = np.diagonal(bread @ s.matrix @ bread)
    assert_allclose(sandwich, np.diagonal(expected @ scores.T @ scores @ expected), rtol=1e-3)


def test_score_differences_need_no_good_start_of_their_axes():
    """Without a Hessian near by the axes are found from f alone."""
    data = on_years(2000, 2020, np.random.default_rng(2))
    model = logit(["b0", "b1"])
    theta = fitted(model, data).theta
    target = objective(
        Model("logit", model.parameters, model.start, model.loglik,
              score=lambda theta, data: exact(theta, data)[1]), data
    )  # fmt: skip
    hessian = exact(theta, data)[0]
    assert_allclose(ses(score_hessian(target, theta)), ses(hessian), rtol=1e-4)
    assert_allclose(ses(rise_hessian(target, theta).matrix), ses(hessian), rtol=1e-4)


def test_error_estimate_is_no_less_than_the_error():
    """Of gamma fits of ten observations; and it is no idle one."""
    model = Model(
        "gamma", {"a": "positive", "b": "positive"}, lambda y: np.ones(2),
        lambda theta, y: theta[0] * np.log(theta[1]) - gammaln(theta[0])
        + (theta[0] - 1) * np.log(y) - theta[1] * y,
    )  # fmt: skip
    for seed in range(SETS):
        y = np.random.default_rng(seed).gamma(2.0, size=10)
        found = fitted(model, y)
        a, b = found.theta
        from scipy.special import polygamma

        hessian = 10 * np.array([[polygamma(1, a), -1 / b], [-1 / b, a / b**2]])
        h = rise_hessian(objective(model, y), found.theta)
        off = np.abs(ses(h.matrix) / ses(hessian) - 1)
        assert (off < h.error + 1e-9).all()
        assert h.error.max() < 3e-4


# -- no maximum, or not one alone ------------------------------------------------------------------


def words(found):
    return found.status.name, found.message.split(";")[0]


def test_a_column_twice_is_not_identified():
    for seed in range(SETS):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=200)
        data = outcomes(rng, np.column_stack([np.ones(200), x, x]), x)
        found = fitted(logit(["b0", "b1", "b2"]), data)
        assert words(found) == ("not_identified", "not_identified: b1 - b2")


def test_a_product_is_not_identified():
    """The likelihood is level along a curve."""
    model = Model(
        "product", {"a": "real", "b": "real"}, lambda y: np.array([1.0, 0.5]),
        lambda theta, y: -0.5 * (y - theta[0] * theta[1]) ** 2,
    )  # fmt: skip
    for seed in range(SETS):
        y = np.random.default_rng(seed).normal(2.0, size=50)
        assert fitted(model, y).status == Status.not_identified


def test_an_empty_cell_is_no_maximum_and_no_other_table():
    """A 2 by 2 table has a maximum when none of its cells is empty, and only then."""
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = (rng.uniform(size=16) < 0.4).astype(float)
        data = outcomes(rng, np.column_stack([np.ones(16), x]), -0.5 + x)
        cells = [((x == a) & (data["y"] == b)).sum() for a in (0, 1) for b in (0, 1)]
        if x.min() == x.max():
            continue
        expected = Status.ok if min(cells) > 0 else Status.no_maximum
        assert fitted(logit(["b0", "b1"]), data).status == expected
        seen.add(expected)
    assert len(seen) == 2


def negative_binomial(theta, y):
    mean, size = theta[0], 1 / theta[1]
    steps = np.arange(int(y.max()))
    rising = np.where(steps < y[:, None], np.log1p(steps * theta[1]), 0.0).sum(axis=1)
    return rising - gammaln(y + 1) + y * np.log(mean) - (size + y) * np.log1p(mean * theta[1])


def test_dispersion_runs_to_zero_where_the_variance_is_below_the_mean():
    model = Model(
        "negative binomial", {"mean": "positive", "dispersion": "positive"},
        lambda y: np.array([y.mean() + 0.1, 0.5]), negative_binomial,
    )  # fmt: skip
    seen = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        y = rng.poisson(3 * rng.gamma(20, 1 / 20, 60)).astype(float)
        if abs(y.var() / y.mean() - 1) < 0.02:
            continue  # at the edge what is left to gain goes with the square of the dispersion
        found = fitted(model, y)
        expected = Status.ok if y.var() > y.mean() else Status.no_maximum
        assert found.status == expected
        if expected == Status.no_maximum:
            assert "dispersion -> 0" in found.message
        seen.add(expected)
    assert len(seen) == 2


def test_a_stationary_point_that_is_no_maximum_is_left():
    """A skew normal has one without skewness, of third order, in every data set."""
    model = Model(
        "skew normal", {"xi": "real", "omega": "positive", "alpha": "real"},
        lambda y: np.array([y.mean(), y.std(), 0.1 * np.sign(((y - y.mean()) ** 3).mean())]),
        lambda theta, y: -np.log(theta[1]) - 0.5 * ((y - theta[0]) / theta[1]) ** 2
        + log_ndtr(theta[2] * (y - theta[0]) / theta[1]),
    )  # fmt: skip
    for seed in range(SETS):
        rng = np.random.default_rng(seed)
        y = 0.9 * np.abs(rng.normal(size=40)) + 0.4 * rng.normal(size=40)
        found = fitted(model, y)
        if found.status == Status.ok:
            without = -20 - 40 * np.log(y.std())
            assert found.loglik > without - 40 * np.log(2) + 1e-6
            assert abs(found.theta[2]) > 0.1


# -- degenerate, not smooth, noisy -----------------------------------------------------------------


@pytest.mark.parametrize("start", [1.0, 0.1, 30.0])
def test_a_quartic_maximum_is_degenerate(start):
    """It is a maximum, and no curvature belongs to it."""
    model = Model(
        "quartic", {"m": "real"}, lambda y: np.array([start]),
        lambda theta, y: -((theta[0] - y) ** 4),
    )  # fmt: skip
    found = fitted(model, np.full(10, 0.3))
    assert words(found) == ("degenerate", "degenerate: m")
    assert_allclose(found.theta, 0.3, atol=1e-2)


@pytest.mark.parametrize("n", [100, 101])
def test_laplace_location_has_no_standard_error_by_differences(n):
    model = Model(
        "Laplace", {"m": "real", "s": "positive"}, lambda y: np.array([y.mean(), 1.0]),
        lambda theta, y: -np.log(theta[1]) - np.abs(y - theta[0]) / theta[1],
    )  # fmt: skip
    for seed in range(SETS):
        y = np.random.default_rng(seed).laplace(size=n)
        found = fitted(model, y)
        if found.status == Status.ok:
            h = rise_hessian(objective(model, y), found.theta, found.hessian)
            assert h.status == Status.not_smooth
        else:
            assert found.status in (Status.not_smooth, Status.doubtful)


def test_a_wall_at_the_maximum_is_not_smooth():
    model = Model(
        "uniform", {"b": "positive"}, lambda y: 2 * y.max(keepdims=True),
        lambda theta, y: np.where(y < theta[0], -np.log(theta[0]), -np.inf),
    )  # fmt: skip
    for seed in range(SETS):
        y = np.random.default_rng(seed).uniform(size=50)
        assert fitted(model, y).status == Status.not_smooth


def with_noise(size):
    """A normal whose log-likelihood has noise, as one by fresh random draws has."""

    def loglik(theta, y):
        seed = np.frombuffer(np.asarray(theta).tobytes(), np.uint32)
        extra = size * np.random.default_rng(seed).normal() / len(y)
        return -np.log(theta[1]) - 0.5 * ((y - theta[0]) / theta[1]) ** 2 + extra

    parameters = {"mu": "real", "sigma": "positive"}
    return Model("noisy", parameters, lambda y: np.array([0.0, 1.0]), loglik)


@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_noise_is_told(size):
    for seed in range(SETS):
        y = np.random.default_rng(seed).normal(1.0, 2.0, size=100)
        assert fitted(with_noise(size), y).status == Status.noisy


def test_noise_of_a_millionth_does_no_harm():
    for seed in range(SETS):
        y = np.random.default_rng(seed).normal(1.0, 2.0, size=100)
        found = fitted(with_noise(1e-6), y)
        assert found.status == Status.ok
        h = rise_hessian(objective(with_noise(1e-6), y), found.theta)
        # 4 times the noise over the square of a step of 0.07: 1e-3, and so much may be told
        assert h.status == Status.ok
        assert_allclose(ses(h.matrix), [y.std() / 10, y.std() / np.sqrt(200)], rtol=5e-3)
