"""Where a search ends: at a maximum, or where a parameter has run off, whatever the units.

What is due is known exactly: a negative binomial has a maximum where the variance is above the
mean, a Student t where the fourth moment is above that of a normal.
"""

import importlib.util

import numpy as np
import pytest
from numpy.testing import assert_allclose

from checks import quiet
from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.arrays import gammaln, log, log1p
from simstudy.design.drawing import draw
from simstudy.engines import batched, loop
from simstudy.likelihood.axes import first_axes
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.methods import OBSERVED_CENTRAL
from simstudy.status import Status

ENGINES = [
    loop,
    pytest.param(
        batched,
        marks=pytest.mark.skipif(
            importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
        ),
    ),
]


def negative_binomial(theta, y):
    mean, size = theta[0], theta[1]
    return (gammaln(y + size) - gammaln(size) - gammaln(y + 1) + size * log(size / (size + mean))
            + y * log(mean / (size + mean)))  # fmt: skip


def student(theta, y):
    center, scale, df = theta[0], theta[1], theta[2]
    z = (y - center) / scale
    return (gammaln((df + 1) / 2) - gammaln(df / 2) - log(df) / 2 - log(scale)
            - (df + 1) / 2 * log1p(z * z / df))  # fmt: skip


def normal(theta, y):
    return -0.5 * ((y - theta[0]) / theta[1]) ** 2 - log(theta[1])


def study_of(model, drawn, count):
    truth = dict.fromkeys(model.names, 1.0)
    scenario = Scenario(Mechanism("m", drawn, lambda n: truth), {"n": 40})
    estimator = MaximumLikelihood(model, [OBSERVED_CENTRAL], name="e")
    return Study("s", [scenario], [estimator], replicates=count, seed=5)


def answers(engine, study):
    with quiet():
        return engine.block(study, 0, 0, study.replicates)["e"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_size_runs_to_infinity_where_the_variance_is_below_the_mean(engine):
    """A search may end where rounding drowns f, at sizes of 1e13: it was called ok, or noisy."""
    model = Model(
        "nb", {"mean": "positive", "size": "positive"}, lambda y: np.ones(2), negative_binomial
    )
    study = study_of(model, lambda rng, n: rng.poisson(3, n).astype(float), 40)
    samples = [draw(study, study.scenarios[0], i) for i in range(40)]
    due = [Status.ok if y.var() > y.mean() else Status.no_maximum for y in samples]
    found = answers(engine, study)
    assert [Status(int(status)) for status in found.audit["status"]] == due
    said = found.audit["message"][np.array(due) == Status.no_maximum]
    assert all(text.startswith("no_maximum: size -> infinity") for text in said)


@pytest.mark.parametrize("engine", ENGINES)
def test_degrees_of_freedom_run_to_infinity_where_tails_are_light(engine):
    """The slope of log L in 1 / df at the normal is n (m4 / m2**2 - 3) / 4.

    Below three there may still be a maximum further in, so that is looked at where none is told.
    """
    model = Model(
        "t", {"center": "real", "scale": "positive", "df": "positive"},
        lambda y: np.array([0.0, 1.0, 5.0]), student,
    )  # fmt: skip
    study = study_of(model, lambda rng, n: rng.normal(size=n), 20)
    samples = [draw(study, study.scenarios[0], i) for i in range(20)]
    z = np.array([(y - y.mean()) / y.std() for y in samples])
    heavy = (z**4).mean(axis=1) > 3
    status = answers(engine, study).audit["status"]
    assert set(status[heavy]) == {Status.ok}
    assert set(status[~heavy]) == {Status.no_maximum}


@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1.0, 1e4, 1e9])
def test_a_fit_is_good_in_any_units_whatever_its_start(unit):
    """At the start f is 1e20, or has no curvature in the logarithm of the deviation."""
    model = Model("n", {"mu": "real", "sigma": "positive"}, lambda y: np.array([0.0, 1.0]), normal)
    for seed in range(12):
        y = unit * (5 + np.random.default_rng(seed).normal(size=50))
        with quiet():
            found = maximize(objective(model, y))
        assert found.status == Status.ok
        # EDM of 1e-16: a hundred-millionth of a standard error of 0.14
        assert_allclose(found.theta, [y.mean(), y.std()], rtol=1e-8)


def test_a_step_that_is_right_at_once_stays():
    """A rise by a hundredth exactly, while another axis is still looked for, made it infinite."""
    bend = np.array([1.0 - 1e-9, 1e-12])
    values = lambda points: 0.5 * (points**2 * bend).sum(axis=-1)  # noqa: E731
    start = np.array([[1.0, 1.0]])
    axes, _ = first_axes(values, np.zeros((1, 2)), np.zeros(1), start)
    assert_allclose(np.diagonal(axes[0]), 1 / np.sqrt(bend), rtol=1e-6)
