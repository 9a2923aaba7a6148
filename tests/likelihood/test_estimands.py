"""Estimands have rows of their own through every method, in both engines, with their truth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import MaximumLikelihood, Mechanism, Study, StudyError, grid, load, run
from simstudy.arrays import exp, gammaln
from simstudy.engines import batched, loop
from simstudy.likelihood.estimands import quantities, variances
from simstudy.methods import (
    BOOTSTRAP,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_LOG_WALD,
    SANDWICH,
)
from simstudy.models import gamma
from simstudy.records.rows import table
from simstudy.status import Status

ESTIMANDS = {
    "mean": lambda theta: theta[0] / theta[1],
    "log-gamma": lambda theta: gammaln(theta[0]),
}
MODEL = replace(gamma.MODEL, estimands=ESTIMANDS)
METHODS = [OBSERVED, OBSERVED_CENTRAL, OBSERVED_LOG_WALD, SANDWICH, BOOTSTRAP]


def study(model=MODEL, methods=METHODS, mechanism=gamma.MECHANISM, **options):
    scenarios = grid(mechanism, n=30, shape=2.0, rate=0.5)
    return Study("g", scenarios, [MaximumLikelihood(model, methods)], 8, seed=1, **options)


def test_the_delta_method_in_closed_form():
    """Of shape / rate: G = (1 / rate, -shape / rate^2). Of theta^2: 4 theta^2 v."""
    theta = np.array([[3.0, 2.0], [1e-3, 4e5]])
    covariance = np.array([[[0.4, 0.2], [0.2, 0.3]], [[1e-9, 0.1], [0.1, 4e8]]])
    model = replace(MODEL, estimands={"mean": ESTIMANDS["mean"], "square": lambda t: t[0] ** 2})
    found = variances(model, theta, covariance)
    shape, rate = theta.T
    a, b = 1 / rate, -shape / rate**2
    mean = a**2 * covariance[:, 0, 0] + 2 * a * b * covariance[:, 0, 1] + b**2 * covariance[:, 1, 1]
    assert_array_equal(found[:, :2], covariance[:, [0, 1], [0, 1]])
    # four points a hundredth of a standard error apart: 1e-8 / 30 of the fifth derivative
    assert_allclose(found[:, 2], mean, rtol=1e-8)
    assert_allclose(found[:, 3], 4 * shape**2 * covariance[:, 0, 0], rtol=1e-8)
    deep = variances(model, theta[None, :, None], covariance[None, :, None])
    assert_array_equal(deep[0, :, 0], found)


def test_engines_agree_on_estimands_and_the_mean_is_the_sample_mean():
    """The gamma mean's estimate is the sample mean, its variance shape / (n rate^2)."""
    one, other = (engine.block(study(), 0, 0, 8)["gamma"] for engine in (loop, batched))
    assert (one.status == Status.ok).all()
    assert_array_equal(one.status, other.status)
    assert one.estimate.shape == (8, 4)
    # estimates to a few 1e-8 standard errors, standard errors to 1e-6
    assert_allclose(one.estimate, other.estimate, rtol=1e-7)
    for name in ("se", "lower", "upper"):
        assert_allclose(getattr(one, name)[:, :4], getattr(other, name)[:, :4], rtol=2e-6)
    shape, rate, mean = one.estimate[:, :3].T
    assert_allclose(mean, shape / rate, rtol=1e-15)
    # the information of the mean is n rate^2 / shape, whatever the shape: they are orthogonal
    assert_allclose(one.se[:, 0, 2], np.sqrt(shape / (30 * rate**2)), rtol=1e-6)
    # the transformed interval of an estimand is the plain one
    assert_allclose(one.lower[:, 2, 2], one.lower[:, 0, 2], rtol=1e-12)


def test_resampled_methods_map_the_resampled_estimates():
    bootstrap = replace(BOOTSTRAP, name="b")
    found = loop.block(study(methods=[bootstrap]), 0, 0, 3)["gamma"]
    kept = []

    def spy(of):
        kept.append(of)
        return of.theta - of.se, of.theta + of.se

    again = loop.block(study(methods=[replace(bootstrap, interval=spy)]), 0, 0, 3)["gamma"]
    assert_array_equal(found.se, again.se)
    for b, of in enumerate(kept):
        shape, rate, mean, _ = of.resampled.T
        assert_allclose(mean, shape / rate, rtol=1e-15)
        assert_allclose(of.resampled.std(axis=0, ddof=1), found.se[b, 0], rtol=1e-12)


def test_truths_are_computed_or_the_mechanisms():
    cell = study().cells(0)[0]
    assert cell.parameters == ("shape", "rate", "mean", "log-gamma")
    assert cell.truth == {"shape": 2.0, "rate": 0.5, "mean": 4.0, "log-gamma": 0.0}

    def truth(n, shape, rate):
        return {"mean": shape / rate + 1}

    own = study(mechanism=Mechanism("own", gamma.MECHANISM.draw, truth))
    assert own.cells(0)[0].truth == {"mean": 5.0}
    block = loop.block(own, 0, 0, 2)["gamma"]
    assert set(table([(own.cells(0)[0], block)]).parameter) == {"mean"}


def test_a_run_keeps_estimands_to_the_report(tmp_path):
    source = tmp_path / "own.py"
    source.write_text(
        "from dataclasses import replace\n"
        "from simstudy import MaximumLikelihood, Study, grid\n"
        "from simstudy.methods import OBSERVED\n"
        "from simstudy.models import gamma\n"
        "MODEL = replace(gamma.MODEL, estimands={'mean': lambda t: t[0] / t[1]})\n"
        "STUDY = Study('own', grid(gamma.MECHANISM, n=40, shape=2.0, rate=1.0),\n"
        "              [MaximumLikelihood(MODEL, [OBSERVED])], replicates=30, seed=2)\n"
    )
    made, reference = load(source)
    result = run(made, reference=reference, out=tmp_path / "out", jobs=1, quiet=True, engine="loop")
    rows = result.table()
    assert rows.groupby("parameter", observed=True).size().to_dict() == {
        "mean": 30, "rate": 30, "shape": 30,
    }  # fmt: skip
    assert (rows[rows.parameter == "mean"].truth == 2.0).all()
    assert set(result.performance().parameter) == {"mean", "rate", "shape"}
    assert "mean" in result.verdicts().parameter.tolist()
    assert "mean" in result.report().with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("estimand", "words"),
    [
        (lambda theta: theta, r"estimand 'e' has the shape \(2,\); due is one real number"),
        (lambda theta: "x", "estimand 'e' has the type <U1; due is one real number"),
        (lambda theta: np.log(-theta[0]), "the estimand 'e' is nan at the truth"),
        (lambda theta: theta[7], "at the truth, IndexError"),
    ],
)
def test_an_estimand_that_is_no_number_at_the_truth_is_refused(estimand, words):
    with np.errstate(all="ignore"), pytest.raises(StudyError, match=words):
        study(replace(gamma.MODEL, estimands={"e": estimand}))


def test_names_that_stand_for_two_things_are_refused():
    with pytest.raises(ValueError, match="'rate' is a parameter and an estimand"):
        replace(gamma.MODEL, estimands={"rate": ESTIMANDS["mean"]})
    twice = [
        MaximumLikelihood(replace(gamma.MODEL, estimands={"e": f}), [OBSERVED], name=name)
        for name, f in (("a", lambda theta: theta[0]), ("b", lambda theta: exp(theta[0])))
    ]
    with pytest.raises(StudyError, match=r"'e' is 7\.38906 at the truth, for another estimator it"):
        Study("s", grid(gamma.MECHANISM, n=30, shape=2.0, rate=0.5), twice)


def test_an_estimand_without_a_value_at_an_estimate_is_a_status():
    model = replace(gamma.MODEL, estimands={"e": lambda theta: np.sqrt(theta[0] - 2.0)})
    found = loop.block(study(model, [OBSERVED]), 0, 0, 8)["gamma"]
    below = found.estimate[:, 0] < 2
    assert 0 < below.sum() < 8
    assert (found.status[below] == Status.not_finite).all()
    with np.errstate(invalid="ignore"):
        assert np.isnan(quantities(model, found.estimate[below, :2])[:, 2]).all()
