"""Anyone's own estimator: several methods from one fit, degrees of freedom, an interval alone."""

import inspect
import re

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import Answer, FunctionEstimator, MaximumLikelihood, Mechanism, Study, grid, run
from simstudy.design.checks import validate
from simstudy.engines import batched, loop
from simstudy.methods import OBSERVED
from simstudy.models import exponential, gamma
from simstudy.records.block import AnswerError
from simstudy.records.rows import table
from simstudy.status import Status

KINDS, NAMES = ("HC0", "HC1", "HC2", "HC3"), ("constant", "slope")


def draw(rng, n):
    x = sm.add_constant(rng.exponential(size=n))
    return {"y": x @ [1.0, 2.0] + x[:, 1] * rng.normal(size=n), "x": x}


LINE = Mechanism("line", draw, lambda n: {"constant": 1.0, "slope": 2.0})


def least_squares(data):
    """Fit once, and answer with four standard errors."""
    fit = sm.OLS(data["y"], data["x"]).fit()
    return [
        Answer(kind, name, value, se, df=fit.df_resid)
        for kind in KINDS
        for name, value, se in zip(NAMES, fit.params, getattr(fit, f"{kind}_se"), strict=True)
    ]


def line(estimate, methods=KINDS, parameters=NAMES):
    own = FunctionEstimator("ols", parameters, estimate, methods=methods)
    truth = {name: value for name, value in LINE.truth(20).items() if name in parameters}
    mechanism = Mechanism("line", draw, lambda n: truth)
    return Study("line", grid(mechanism, n=20), [own], replicates=10, seed=1)


def test_four_standard_errors_come_from_one_fit():
    """The whole function is eight lines; its intervals are those of statsmodels."""
    assert len(inspect.getsource(least_squares).splitlines()) - 1 <= 8
    study = line(least_squares)
    validate(study)
    found = loop.block(study, 0, 0, 10)["ols"]
    assert (found.status == Status.ok).all()
    for b in range(10):
        fit = sm.OLS(*loop.draws_of(study, 0, b, b + 1)[0][1].data[0].values()).fit()
        assert_array_equal(found.estimate[b], fit.params)
        for m, kind in enumerate(KINDS):
            robust = fit.get_robustcov_results(kind, use_t=True)
            assert_allclose(found.se[b, m], robust.bse, rtol=1e-12)
            ends = np.stack([found.lower[b, m], found.upper[b, m]], axis=-1)
            assert_allclose(ends, robust.conf_int(0.05), rtol=1e-8)
    rows = table([(study.cells(0)[0], found)])
    assert rows.groupby(["method", "parameter"], observed=True).size().tolist() == [10] * 8


def median(data, rng):
    """Percentile interval of a median: no standard error."""
    resamples = np.median(rng.choice(data, (99, len(data))), axis=1)
    return [Answer("percentile", "m", np.median(data), None, *np.quantile(resamples, [0.05, 0.95]))]


def test_one_that_resamples_has_the_replicates_own_generator():
    own = FunctionEstimator("median", ["m"], median, methods=["percentile"])
    mechanism = Mechanism("y", lambda rng, n: rng.exponential(size=n), lambda n: {"m": np.log(2)})
    study = Study("median", grid(mechanism, n=30), [own], replicates=8, seed=2)
    validate(study)
    whole = loop.block(study, 0, 0, 8)["median"]
    assert (whole.status == Status.ok).all()
    assert np.isnan(whole.se).all()
    assert (whole.lower < whole.upper).all()
    part = loop.block(study, 0, 5, 8)["median"]
    assert_array_equal(whole.lower[5:], part.lower)
    assert_array_equal(whole.lower, batched.block(study, 0, 0, 8)["median"].lower)
    assert len(np.unique(whole.lower)) == 8


def test_an_interval_alone_is_judged_by_its_coverage_as_far_as_the_report(tmp_path):
    own = FunctionEstimator("median", ["m"], median, methods=["percentile"])
    mechanism = Mechanism("y", lambda rng, n: rng.exponential(size=n), lambda n: {"m": np.log(2)})
    study = Study("median", grid(mechanism, n=30), [own], replicates=60, seed=2, level=0.9)
    result = run(study, out=tmp_path / "out", jobs=1, quiet=True)
    found = result.performance().set_index("measure")["value"]
    # four binomial standard errors of 60
    assert 0.75 < found["cover"] <= 1
    assert found["n"] == 60
    assert np.isnan(found[["modelse", "relerror"]]).all()
    assert result.verdicts()["verdict"].tolist() == ["undecided"]
    assert "percentile" in result.report().read_text(encoding="utf-8")


def test_one_limit_alone_is_a_one_sided_interval_and_what_did_not_converge_is_a_status():
    def estimate(data):
        return [
            Answer("above", "slope", 2.0, lower=1.0),
            Answer("below", "slope", 2.0, 0.3, upper=3.0),
            Answer("lost", "slope", np.nan, 0.3, converged=False),
        ]

    found = loop.block(line(estimate, ("above", "below", "lost"), ["slope"]), 0, 0, 1)["ols"]
    assert found.status[0].tolist() == [Status.ok, Status.ok, Status.not_converged]
    assert found.lower[0, :2, 0].tolist() == [1.0, -np.inf]
    assert found.upper[0, :2, 0].tolist() == [np.inf, 3.0]
    assert found.estimate.tolist() == [[2.0]]
    assert found.audit["status"][0] == Status.ok


ONE = Answer("a", "slope", 2.0, 1.0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (3.0, "it returned 3.0; due is a list of Answer for each of the methods ['a', 'b']"),
        ({"slope": (1.0, 1.0)}, "it returned {'slope': (1.0, 1.0)}; due is a list of Answer"),
        ([ONE], "it returned no answer of 'b' for 'slope'; due is"),
        ([ONE, Answer("c", "slope", 2.0, 1.0)], "no answer of 'b' for 'slope'"),
        ([ONE, Answer("b", "slope", 2.0, 1.0), Answer("b", "x", 2.0, 1.0)], "an answer of 'b' for"),
        ([ONE, ONE, Answer("b", "slope", 2.0, 1.0)], "3 answers, 2 of them apart"),
        ([ONE, Answer("b", "slope", 2.5, 1.0)], "several estimates of 'slope': 2, 2.5"),
        ([ONE, Answer("b", "slope", np.nan, 1.0)], "of 'b' for 'slope' has the estimate nan; due"),
        ([ONE, Answer("b", "slope", 2.0, np.ones(2))], "for 'slope': se has the shape (2,)"),
        ([ONE, Answer("b", "slope", True, 1.0)], "for 'slope': estimate has the type bool"),
        ([ONE, Answer("b", "slope", 2.0, 1.0, df=0)], "has 0 degrees of freedom; due is a number"),
    ],
)
def test_an_answer_of_another_kind_names_estimator_and_replicate(found, words):
    study = line(lambda data: found, ("a", "b"), ["slope"])
    block = loop.block(study, 0, 7, 8)["ols"]
    assert (block.status == Status.fit_error).all()
    assert block.audit["message"][0].startswith("estimator 'ols', replicate 7: ")
    assert words in block.audit["message"][0]
    with pytest.raises(AnswerError, match=re.escape(words)):
        loop.block(study, 0, 7, 8, strict=True)


@pytest.mark.parametrize(
    ("parameters", "methods", "words"),
    [
        ("mu", ["own"], r"parameters is 'mu'; due is a list of names, such as \['mu'\]"),
        (["mu"], "HC0", "methods is 'HC0'; due is a list"),
        (["mu"], [], r"methods are \[\]; due is at least one name"),
        (["mu", "mu"], ["a"], "parameters are .*each once"),
    ],
)
def test_names_that_are_no_list_are_refused(parameters, methods, words):
    with pytest.raises(ValueError, match=words):
        FunctionEstimator("own", parameters, least_squares, methods=methods)


@pytest.mark.parametrize("model", [gamma.MODEL, exponential.MODEL])
def test_a_method_without_brackets_is_a_sentence(model):
    with pytest.raises(ValueError, match=r"methods came as Wald; due is a list .* \[OBSERVED\]"):
        MaximumLikelihood(model, OBSERVED)
