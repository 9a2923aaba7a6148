"""Hessians by other libraries, repaired ones, and the expected information."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import checks
from checks import case_fitted
from simstudy import MaximumLikelihood, Model, Scenario, Study, StudyError, validate
from simstudy.likelihood.curvature import Curvature
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.methods import (
    EXPECTED,
    EXPECTED_SIMULATED,
    OBSERVED,
    OBSERVED_MINUIT,
    OBSERVED_NUMDIFFTOOLS,
    OBSERVED_SCIPY,
    OBSERVED_STATSMODELS_CS,
    Fitted,
    SimulatedInformation,
)
from simstudy.methods.covariance import forced_positive_definite, pseudo_inverse
from simstudy.models import gamma, negative_binomial
from simstudy.status import Status

ON = pytest.mark.parametrize("case", [checks.GAMMA, checks.LOGIT], ids=lambda case: case.name)


@pytest.mark.parametrize(
    ("method", "close"),
    [
        (OBSERVED_STATSMODELS_CS, 1e-9),
        (OBSERVED_NUMDIFFTOOLS, 1e-9),
        (OBSERVED_SCIPY, 1e-9),
        (OBSERVED_MINUIT, 1e-3),  # Minuit aims at no more
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@ON
def test_libraries_hessians_are_near_the_exact_one(method, close, case):
    if case is checks.LOGIT and method is OBSERVED_STATSMODELS_CS:
        close = 1e-8  # the sum of 40 softplus terms in complex numbers
    one = case_fitted(case.name, 0)
    found, exact = (checks.infer(m, one).se for m in (method, OBSERVED))
    assert_allclose(found, exact, rtol=close)


def test_minuit_s_repair_is_no_answer():
    """At the saddle of a b HESSE forces the matrix positive definite; the row says it is none."""
    model = Model("saddle", {"a": "real", "b": "real"}, lambda data: np.zeros(2),
                  lambda theta, data: -data * theta[0] * theta[1])  # fmt: skip
    one = case_fitted("gamma", 0)
    theta, saddle = np.array([1.0, 0.5]), np.array([[0.0, 1.0], [1.0, 0.0]])
    fit = replace(one.fit, theta=theta, hessian=saddle, edm=0.0)
    fitted = replace(one, target=objective(model, np.ones(1)), fit=fit)
    found = checks.infer(OBSERVED_MINUIT, fitted)
    assert found.status == Status.not_positive_definite
    assert np.isnan(found.se).all()


def test_what_repairs_cost_is_seen_at_a_saddle():
    """H = diag(1, -4): absolute values give 1 and 1/2, a pseudo-inverse a negative variance."""
    curvature = Curvature(np.diag([1.0, -4.0]))
    forced = forced_positive_definite(curvature)
    assert_allclose(np.diagonal(forced.covariance), [1.0, 0.25], rtol=1e-14)
    assert forced.status == Status.ok
    assert pseudo_inverse(curvature).status == Status.negative_variance
    singular = pseudo_inverse(Curvature(np.array([[2.0, 2.0], [2.0, 2.0]])))
    assert_allclose(singular.covariance, np.full((2, 2), 0.125), rtol=1e-14)


def test_expected_information_by_formula_and_by_simulation():
    """Negative binomial: 40,000 drawn counts, variances within 5 % (five Monte Carlo errors)."""
    model = negative_binomial.model(1)
    data = {"y": np.random.default_rng(4).poisson(3.0, 80).astype(float), "x": np.ones((80, 1))}
    data["y"][:20] += 4
    fit = maximize(objective(model, data))
    one = Fitted(objective(model, data), fit, 0.95, lambda purpose: np.random.default_rng(5))
    formula = checks.infer(EXPECTED, one).se
    assert_allclose(formula, np.sqrt(np.diagonal(np.linalg.inv(model.expected(fit.theta, data)))),
                    rtol=1e-12)  # fmt: skip
    many = replace(EXPECTED_SIMULATED, hessian=SimulatedInformation(40_000))
    assert_allclose(checks.infer(many, one).se, formula, rtol=0.025)
    bare = replace(model, score=None, hessian=None)
    differences = checks.infer(many, replace(one, target=objective(bare, data))).se
    assert_allclose(differences, checks.infer(many, one).se, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "part", "says"),
    [(EXPECTED, "expected", "take expected-simulated"), (EXPECTED_SIMULATED, "draw", "draw=draw")],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_model_that_lacks_what_a_method_asks_for_is_refused(method, part, says):
    model = replace(gamma.MODEL, **{part: None})
    scenario = Scenario(gamma.MECHANISM, {"n": 20, "shape": 2.0, "rate": 1.0})
    with pytest.raises(StudyError, match=says):
        validate(Study("s", [scenario], [MaximumLikelihood(model, [method])], replicates=5))


def test_a_library_that_is_missing_is_named_before_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    scenario = Scenario(gamma.MECHANISM, {"n": 20, "shape": 2.0, "rate": 1.0})
    estimator = MaximumLikelihood(gamma.MODEL, [OBSERVED_NUMDIFFTOOLS])
    with pytest.raises(StudyError, match=r"needs numdifftools.*simstudy\[peers\]"):
        validate(Study("s", [scenario], [estimator], replicates=5))
