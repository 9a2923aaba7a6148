"""Estimators: the battery for each kind, what the audit says, and what is refused."""

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import checks
import simstudy
from checks import GAMMA, LOGIT, NORMAL, OWN, answer, case_fitted, infer
from simstudy import FunctionEstimator, MaximumLikelihood, Model
from simstudy.likelihood.curvature import Inverse, invert
from simstudy.likelihood.fit import plain
from simstudy.likelihood.objective import objective
from simstudy.likelihood.points import FAILED, FINE
from simstudy.methods import (
    BFGS_INVERSE,
    BOOTSTRAP,
    LBFGSB_INVERSE,
    METHODS,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OPG,
    OPG_CENTRAL,
    SANDWICH,
    ExactHessian,
    Inference,
    Multinomial,
    Resampling,
    Wald,
)
from simstudy.models import binomial, gamma, poisson_regression
from simstudy.records.block import AnswerError
from simstudy.status import Status

SOME = [OBSERVED, OPG, BFGS_INVERSE, Resampling("bootstrap", Multinomial(5))]
ESTIMATORS = [
    (MaximumLikelihood(gamma.MODEL, SOME), GAMMA.data),
    (MaximumLikelihood(gamma.MODEL, SOME, as_is=True), GAMMA.data),
    (MaximumLikelihood(gamma.MODEL, [OBSERVED_CENTRAL], optimizer="Nelder-Mead"), GAMMA.data),
    (MaximumLikelihood(LOGIT.model, SOME[:2], optimizer="L-BFGS-B", name="other"), LOGIT.data),
    (OWN, NORMAL.data),
    (
        FunctionEstimator(
            "with limits",
            ["mu"],
            lambda data: {"mu": (np.median(data), 1.0, data.min(), data.max())},
            methods=["range"],
        ),
        NORMAL.data,
    ),
]
EVERY = pytest.mark.parametrize(
    ("estimator", "data"), ESTIMATORS, ids=[estimator.name for estimator, _ in ESTIMATORS]
)
NO_NUMBERS = {"y": np.full(5, np.nan), "x": np.full((5, 3), np.nan)}


def bad_for(data):
    """Return data that no estimator can answer for: nan, and words."""
    if isinstance(data[0], dict):
        return [NO_NUMBERS, {"y": np.array(["a", "b"]), "x": np.ones((2, 3))}]
    return [np.full(5, np.nan), np.array(["a", "b"])]


# -- the battery -----------------------------------------------------------------------------------


@EVERY
def test_estimator_introduces_itself(estimator, data):
    checks.check_estimator_introduces_itself(estimator)


@EVERY
def test_estimator_fills_its_block(estimator, data):
    checks.check_estimator_fills_its_block(estimator, data)


@EVERY
def test_estimator_answers_one_as_in_a_block(estimator, data):
    checks.check_estimator_answers_one_as_in_a_block(estimator, data)


@EVERY
def test_estimator_keeps_the_row_of_a_failure(estimator, data):
    checks.check_estimator_keeps_the_row_of_a_failure(estimator, data, bad_for(data))


@EVERY
def test_estimator_lets_exceptions_through_when_strict(estimator, data):
    checks.check_estimator_lets_exceptions_through_when_strict(estimator, bad_for(data)[1])


@EVERY
def test_estimator_answers_only_what_is_asked(estimator, data):
    checks.check_estimator_answers_only_what_is_asked(estimator, data)


@pytest.mark.parametrize(("estimator", "data"), ESTIMATORS[:5], ids=lambda value: "")
def test_estimator_widens_with_the_level(estimator, data):
    checks.check_estimator_widens_with_the_level(estimator, data)


# -- maximum likelihood ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", [GAMMA, LOGIT], ids=lambda case: case.name)
def test_method_in_company(case):
    """Another method, before or behind, changes no number of a method; nor does their order."""
    methods = [m for name, m in METHODS.items() if not name.startswith(("bootstrap", "bfgs"))]
    methods += SOME[2:]
    whole = answer(MaximumLikelihood(case.model, methods), case.data)
    back = answer(MaximumLikelihood(case.model, methods[::-1]), case.data)
    for name in ("se", "lower", "upper", "status"):
        assert_array_equal(getattr(back, name)[:, ::-1], getattr(whole, name))
    for m, method in list(enumerate(methods))[::3]:
        alone = answer(MaximumLikelihood(case.model, [method]), case.data)
        assert_array_equal(alone.se[:, 0], whole.se[:, m], err_msg=method.name)
        assert_array_equal(alone.estimate, whole.estimate)


def test_exact_method_in_company_of_a_model_without_derivatives():
    """Asking for `observed` too must not change the numbers of `observed-central`."""
    pytest.importorskip("jax")
    bare = replace(gamma.MODEL, score=None, hessian=None)
    alone = answer(MaximumLikelihood(bare, [OBSERVED_CENTRAL]), GAMMA.data)
    both = answer(MaximumLikelihood(bare, [OBSERVED_CENTRAL, OBSERVED]), GAMMA.data)
    assert_array_equal(both.estimate, alone.estimate)
    assert_array_equal(both.se[:, 0], alone.se[:, 0])


def test_source_is_computed_once_for_all_methods():
    calls = []

    @dataclass(frozen=True)
    class Counted:
        needs: ClassVar[tuple[str, ...]] = ("hessian",)

        def __call__(self, fitted):
            calls.append(1)
            return ExactHessian()(fitted)

    methods = [Wald(name, lambda c: invert(c.hessian), hessian=Counted()) for name in "abc"]
    block = answer(MaximumLikelihood(gamma.MODEL, methods), GAMMA.data)
    assert len(calls) == len(GAMMA.data)
    assert_array_equal(block.se[:, 0], block.se[:, 2])


def test_what_methods_share_counts_in_the_seconds_of_each():
    """Else the first in the list would pay for all, and the others seem free."""

    @dataclass(frozen=True)
    class Slow:
        needs: ClassVar[tuple[str, ...]] = ("hessian",)

        def __call__(self, fitted):
            time.sleep(0.05)
            return ExactHessian()(fitted)

    first, second = (Wald(name, lambda c: invert(c.hessian), hessian=Slow()) for name in "ab")
    block = answer(MaximumLikelihood(gamma.MODEL, [first, second, OBSERVED]), GAMMA.data[:1])
    assert block.seconds[0, :2].min() >= 0.05
    assert block.seconds[0, 2] < 0.05


def test_audit_describes_the_fit():
    block = answer(MaximumLikelihood(gamma.MODEL, [OBSERVED, BFGS_INVERSE]), GAMMA.data)
    for i in range(len(GAMMA.data)):
        fit = case_fitted("gamma", i).fit
        run = plain(objective(gamma.MODEL, GAMMA.data[i]))
        expected = {
            "status": fit.status, "success": fit.success, "iterations": fit.iterations,
            "evaluations": fit.evaluations, "gradient_norm": np.linalg.norm(fit.gradient),
            "edm": fit.edm, "smallest_eigenvalue": fit.smallest, "condition": fit.condition,
            "plain_iterations": run.iterations, "plain_edm": run.edm, "failed_refits": 0,
        }  # fmt: skip
        for name, value in expected.items():
            assert_array_equal(block.audit[name][i], value, err_msg=name)
    assert (block.audit["edm"] < FINE).all()


def test_audit_without_a_plain_run_leaves_it_open():
    block = answer(MaximumLikelihood(gamma.MODEL, [OBSERVED]), GAMMA.data)
    assert np.isnan(block.audit["plain_edm"]).all()


def test_audit_keeps_the_first_plain_run():
    """Also one that never left its start, with zero iterations."""
    data = poisson_regression.RAW_MECHANISM.draw(np.random.default_rng(1), n=500)
    model = poisson_regression.RAW_MODEL
    first, second = (
        answer(MaximumLikelihood(model, methods), [data])
        for methods in ([BFGS_INVERSE], [BFGS_INVERSE, LBFGSB_INVERSE])
    )
    assert first.audit["plain_iterations"][0] == 0
    assert_array_equal(second.audit["plain_iterations"], first.audit["plain_iterations"])


def test_as_is_is_the_plain_run():
    estimator = MaximumLikelihood(gamma.MODEL, [OBSERVED], as_is=True)
    assert estimator.name == "gamma-as-is"
    block = answer(estimator, GAMMA.data)
    for i, data in enumerate(GAMMA.data):
        run = plain(objective(gamma.MODEL, data))
        assert_array_equal(block.estimate[i], run.theta)
        assert block.audit["edm"][i] == run.edm


def test_as_is_at_a_saddle_says_why_there_is_no_standard_error():
    """The user's run says success at equal means; every Hessian says it is no maximum."""

    def loglik(theta, data):
        return np.logaddexp(-0.5 * (data - theta[0]) ** 2, -0.5 * (data - theta[1]) ** 2)

    model = Model(
        "mixture",
        {"low": "real", "high": "real"},
        start=lambda data: np.full(2, data.mean()),
        loglik=loglik,
    )
    rng = np.random.default_rng(5)
    data = rng.normal(np.where(rng.uniform(size=200) < 0.5, -1.5, 1.5), 1.0)
    methods = [OBSERVED_CENTRAL, OBSERVED_CENTRAL_1E5, METHODS["observed-statsmodels"],
               METHODS["observed-central-1e-5-diagonal"], BFGS_INVERSE]  # fmt: skip
    block = answer(MaximumLikelihood(model, methods, as_is=True), [data])
    assert block.audit["success"][0]
    assert block.audit["status"][0] == Status.ok
    assert block.audit["smallest_eigenvalue"][0] < 0
    assert block.status[0].tolist() == [Status.saddle] * 4 + [Status.no_step]
    # SciPy's run left the identity that it set out from: no standard error
    assert np.isnan(block.se[0, 4]).all()
    polished = answer(MaximumLikelihood(model, methods[:1]), [data])
    assert polished.status[0, 0] == Status.ok


def test_as_is_away_from_the_optimum_says_so():
    """A plain run in raw units stays at its start; only the audit and the se ratio tell."""
    data = poisson_regression.RAW_MECHANISM.draw(np.random.default_rng(1), n=500)
    block = answer(MaximumLikelihood(poisson_regression.RAW_MODEL, [OBSERVED], as_is=True), [data])
    assert block.audit["edm"][0] > FAILED
    assert block.audit["status"][0] == Status.ok


def test_fit_without_a_maximum_keeps_its_row():
    """Its status goes to every method; the estimate is nan, the audit tells where it stopped."""
    data = [np.array([0.0, 1.0, 1.0]), np.ones(3)]
    block = answer(MaximumLikelihood(binomial.MODEL, [OBSERVED, BOOTSTRAP, BFGS_INVERSE]), data)
    assert (block.status[1] == Status.no_maximum).all()
    assert block.audit["status"].tolist() == [Status.ok, Status.no_maximum]
    assert np.isnan(block.estimate[1]).all()
    assert np.isfinite(block.audit["edm"]).all()


def test_failed_refits_are_counted_in_the_audit():
    """Nine successes in ten; see the methods' tests for the bounds."""
    y = np.array([0.0] + [1.0] * 9)
    estimator = MaximumLikelihood(binomial.MODEL, [OBSERVED, Resampling("b", Multinomial(40))])
    block = answer(estimator, [y])
    assert 5 <= block.audit["failed_refits"][0] <= 24
    assert block.status[0].tolist() == [Status.ok, Status.refits_failed]


# -- methods that raise ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Raising:
    """A method that raises for every fit."""

    name: str = "raising"
    sources: tuple = ()

    def __call__(self, fitted, *sourced):
        raise RuntimeError("my own mistake")


@dataclass(frozen=True)
class RaisingSource:
    """A source that raises for every fit."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, fitted):
        raise RuntimeError("my own mistake")


BROKEN = [Raising(), Wald("raising", lambda c: invert(c.hessian), hessian=RaisingSource())]


@pytest.mark.parametrize("method", BROKEN, ids=["method", "source"])
def test_method_that_raises_loses_its_own_rows_only(method):
    estimator = MaximumLikelihood(gamma.MODEL, [OBSERVED, method, OPG])
    block = answer(estimator, GAMMA.data)
    for status in block.status:
        assert status.tolist() == [Status.ok, Status.method_error, Status.ok]
    assert (block.audit["status"] == Status.ok).all()
    assert all("raising: RuntimeError: my own" in text for text in block.audit["message"])
    with pytest.raises(RuntimeError, match="my own mistake"):
        answer(estimator, GAMMA.data, strict=True)


def fragile(curvature):
    """Invert as users do; `numpy.linalg.inv` raises for a singular matrix."""
    return Inverse(
        np.linalg.inv(curvature.hessian), np.zeros(len(curvature.hessian), dtype=np.int8)
    )


@dataclass(frozen=True)
class SometimesZero:
    """A Hessian that is singular for one data set of the block."""

    needs: ClassVar[tuple[str, ...]] = ("hessian",)

    def __call__(self, fitted):
        own = ExactHessian()(fitted)
        return own * 0 if fitted.target.data is GAMMA.data[1] else own


def test_formula_that_raises_for_one_fit_loses_that_row_only():
    method = Wald("fragile", fragile, hessian=SometimesZero())
    block = answer(MaximumLikelihood(gamma.MODEL, [method]), GAMMA.data)
    assert block.status[:, 0].tolist() == [Status.ok, Status.method_error, Status.ok]


def test_own_method_of_a_few_lines():
    """A name, sources, a call: on equal terms with those that ship."""

    @dataclass(frozen=True)
    class Naive:
        name: str = "naive"
        sources: tuple = (ExactHessian(),)

        def __call__(self, fitted, hessian):
            se = 1 / np.sqrt(np.diag(hessian))
            theta = fitted.fit.theta
            return Inference(se, theta - 2 * se, theta + 2 * se, np.int8(0))

    block = answer(MaximumLikelihood(gamma.MODEL, [Naive()]), GAMMA.data)
    expected = infer(Wald("d", lambda c: invert(c.hessian * np.eye(2)), hessian=ExactHessian()),
                     case_fitted("gamma", 0)).se  # fmt: skip
    assert_allclose(block.se[0, 0], expected, rtol=1e-12)
    checks.check_method_introduces_itself(Naive())
    checks.check_method_repeats_itself(Naive(), GAMMA)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": []}, "'gamma' has no methods"),
        ({"methods": [OBSERVED, OPG, replace(OPG, name="observed")]}, "two methods named observed"),
        ({"methods": ["observed"]}, "'observed' is no method"),
        ({"methods": [OBSERVED], "optimizer": "BGFS"}, "'BGFS' is unknown; allowed are bfgs"),
    ],
)
def test_estimator_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaximumLikelihood(gamma.MODEL, **options)


def test_needs_that_the_model_does_not_meet():
    bare = replace(gamma.MODEL, score=None, hessian=None)
    methods = [OBSERVED, OPG, SANDWICH, OPG_CENTRAL, BFGS_INVERSE, METHODS["bfgs-inverse-exact"]]
    assert MaximumLikelihood(gamma.MODEL, methods).lacking == {}
    assert MaximumLikelihood(bare, methods).lacking == {
        "observed": ("hessian",),
        "opg": ("score",),
        "sandwich": ("hessian", "score"),
        "bfgs-inverse-exact": ("score",),
    }


# -- anyone's own ----------------------------------------------------------------------------------


def test_own_estimates_get_walds_interval():
    block = answer(OWN, NORMAL.data, level=0.9)
    for i, y in enumerate(NORMAL.data):
        assert_allclose(block.estimate[i], [y.mean(), y.std(ddof=1)], rtol=1e-14)
        half = 1.6448536269514722 * block.se[i, 0]
        assert_allclose(block.upper[i, 0], block.estimate[i] + half, rtol=1e-14)
        assert_allclose(block.lower[i, 0], block.estimate[i] - half, rtol=1e-14)


def test_own_limits_are_kept():
    block = answer(ESTIMATORS[5][0], NORMAL.data)
    assert_array_equal(block.lower[:, 0, 0], [y.min() for y in NORMAL.data])
    assert_array_equal(block.upper[:, 0, 0], [y.max() for y in NORMAL.data])


@pytest.mark.parametrize(
    ("answered", "status", "audit"),
    [
        ({"mu": (1.0, 0.0)}, Status.not_finite, Status.ok),
        ({"mu": (1.0, -1.0)}, Status.negative_variance, Status.ok),
        ({"mu": (1.0, -1.0, 0.0, 2.0)}, Status.negative_variance, Status.ok),
        ({"mu": (1.0, 1.0, 2.0, 0.0)}, Status.crossed_limits, Status.ok),
        ({"mu": (1.0, 1.0, np.inf, np.inf)}, Status.crossed_limits, Status.ok),
        ({"mu": (1.0, 1.0, np.nan, 2.0)}, Status.not_finite, Status.ok),
        ({"mu": (1.0, None, np.nan, 2.0)}, Status.not_finite, Status.ok),
        ({"mu": (1.0, np.inf, 0.0, 2.0)}, Status.not_finite, Status.ok),
        ({"mu": (1.0, None)}, Status.not_finite, Status.ok),
        ({"mu": (None, 1.0, 0.0, 2.0)}, Status.not_converged, Status.not_converged),
        ({"mu": (1.0, np.nan)}, Status.not_finite, Status.ok),
        ({"mu": (np.nan, 1.0)}, Status.not_converged, Status.not_converged),
        ({"nu": (1.0, 1.0)}, Status.fit_error, Status.fit_error),
        ({"mu": (1.0,)}, Status.fit_error, Status.fit_error),
        ({"mu": 1.0}, Status.fit_error, Status.fit_error),
        ({"mu": (True, 1.0)}, Status.fit_error, Status.fit_error),
        ({"mu": ("1", "2")}, Status.fit_error, Status.fit_error),
        ({"mu": (1.0, 1j)}, Status.fit_error, Status.fit_error),
        ({"mu": (1.0, [1.0])}, Status.fit_error, Status.fit_error),
        ((1.0, 1.0), Status.fit_error, Status.fit_error),
        (None, Status.fit_error, Status.fit_error),
    ],
)
def test_own_answer_that_is_none(answered, status, audit):
    """A nan is a status in a row; a wrong shape is an error with a message."""
    block = answer(FunctionEstimator("own", ["mu"], lambda data: answered), [np.ones(3)])
    assert block.status[0, 0] == status
    assert block.audit["status"][0] == audit
    assert np.isnan(block.se).all()
    assert (block.audit["message"][0] != "") == (status == Status.fit_error)


@pytest.mark.parametrize("se", [None, np.nan])
@pytest.mark.parametrize("limits", [(0.0, 2.0), (-np.inf, 2.0), (0.0, np.inf), (-np.inf, np.inf)])
def test_an_interval_needs_no_standard_error_and_may_be_infinite_on_its_own_side(se, limits):
    estimator = FunctionEstimator("own", ["mu"], lambda data: {"mu": (1.0, se, *limits)})
    block = answer(estimator, [np.ones(3)])
    assert block.status[0, 0] == Status.ok
    assert np.isnan(block.se).all()
    assert (block.lower[0, 0, 0], block.upper[0, 0, 0]) == limits


# -- what methods, sources and intervals answer ----------------------------------------------------

ONE, HALF, NAN = np.ones(2), np.full(2, 0.5), np.full(2, np.nan)


def saying(*given):
    """Make a method that answers with these standard errors, limits and status."""

    @dataclass(frozen=True)
    class Saying:
        name: str = "saying"
        sources: tuple = ()

        def __call__(self, fitted):
            return Inference(*given) if len(given) == 4 else given[0]

    return Saying()


@pytest.mark.parametrize(
    ("method", "status"),
    [
        (saying(HALF, -ONE, NAN, 0), Status.not_finite),
        (saying(HALF, NAN, ONE, 0), Status.not_finite),
        (saying(-HALF, -ONE, ONE, 0), Status.negative_variance),
        (saying(HALF, ONE, -ONE, 0), Status.crossed_limits),
        (saying(HALF, np.array([-1.0, 1.0]), ONE * 0, 0), Status.crossed_limits),
        (saying(0 * HALF, -ONE, ONE, 0), Status.not_finite),
        (saying(np.array([0.5, np.inf]), -ONE, ONE, 0), Status.not_finite),
        (saying(NAN, -ONE, ONE, 0), Status.ok),
        (saying(HALF, -ONE, ONE * np.inf, 0), Status.ok),
        (saying(HALF, -ONE, ONE, Status.saddle), Status.saddle),
        (Wald("saying", invert_hessian := lambda c: invert(c.hessian), ExactHessian(),
              interval=lambda of: (of.theta - of.se, of.theta * np.nan)),
         Status.not_finite),
        (Wald("saying", invert_hessian, ExactHessian(),
              interval=lambda of: (of.theta + of.se, of.theta - of.se)),
         Status.crossed_limits),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_has_a_status_and_no_numbers(method, status):
    estimator = MaximumLikelihood(gamma.MODEL, [OBSERVED, method])
    for engine in engines():
        block = engine(estimator, GAMMA.data)
        assert_array_equal(block.status[:, 0], Status.ok)
        assert_array_equal(block.status[:, 1], status)
        if status != Status.ok:
            assert np.isnan([block.se[:, 1], block.lower[:, 1], block.upper[:, 1]]).all()
        assert (block.audit["message"] == "").all()


def engines():
    """Return both engines, where JAX is installed, as functions of estimator and data."""
    try:
        from simstudy.engines import batched
    except ImportError:  # pragma: no cover
        return [answer]
    return [answer, lambda e, data: batched._answer(e, checks.draws(data, len(e.labels)), None)]


class Vector:
    """A source that returns a diagonal where a matrix is due."""

    needs: ClassVar[tuple[str, ...]] = ("hessian",)

    def __call__(self, fitted):
        return np.diag(ExactHessian()(fitted))


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (saying(0.5, -ONE, ONE, 0),
         "its se has the shape (); due are real numbers of the shape (2,)"),
        (saying(HALF, -ONE, 1.0, 0), "its upper has the shape ()"),
        (saying(HALF, -np.ones((2, 2)), ONE, 0), "its lower has the shape (2, 2)"),
        (saying(ONE > 0, -ONE, ONE, 0), "its se has the type bool"),
        (saying(HALF + 0j, -ONE, ONE, 0), "its se has the type complex128"),
        (saying(HALF, -ONE, ONE, 99), "its status is 99; due is a simstudy.status.Status"),
        (saying(HALF, -ONE, ONE, "ok"), "its status has the type"),
        (saying((HALF, HALF)), "it returned tuple; due is Inference(se, lower, upper, status)"),
        (saying(None), "it returned NoneType"),
        (Wald("saying", invert_hessian, ExactHessian(), interval=lambda *_: (0.0, 1.0)),
         "the interval's lower end has the shape ()"),
        (Wald("saying", invert_hessian, ExactHessian(), interval=lambda *_: None),
         "the interval returned NoneType; due are (lower, upper)"),
        (Wald("saying", lambda c: Inverse(1.0, np.int8(0)), ExactHessian()),
         "the covariance has the shape ()"),
        (Wald("saying", invert_hessian, Vector()), "what Vector returned has the shape"),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kind_is_a_sentence_and_never_stretched(method, sentence):
    estimator = MaximumLikelihood(gamma.MODEL, [OBSERVED, method])
    for engine in engines():
        block = engine(estimator, GAMMA.data)
        assert_array_equal(block.status[:, 0], Status.ok)
        assert_array_equal(block.status[:, 1], Status.method_error)
        assert np.isnan([block.se[:, 1], block.lower[:, 1], block.upper[:, 1]]).all()
        assert all(sentence in text for text in block.audit["message"])
    with pytest.raises(AnswerError, match="estimator 'gamma', method 'saying': ") as caught:
        answer(estimator, GAMMA.data, strict=True)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Status.ok),
        ({"lower": np.full((3, 1, 1), np.nan)}, Status.not_finite),
        ({"se": -np.ones((3, 1, 1))}, Status.negative_variance),
        ({"estimate": np.full((3, 1), np.nan)}, Status.not_finite),
        ({"se": np.ones((3, 1))}, "estimator 'foreign': se has the shape (3, 1)"),
        ({"status": np.zeros(3)}, "estimator 'foreign': status has the shape (3,)"),
    ],
)
def test_the_block_of_anyones_estimator_is_looked_at_alike(changes, found):
    from simstudy import Mechanism, Scenario, Study
    from simstudy.engines import loop as replicate

    class Foreign:
        name, parameters, labels = "foreign", ("mu",), ("own",)

        def answer(self, draws):
            own = FunctionEstimator("own", ["mu"], lambda y: {"mu": (y.mean(), 1.0)})
            return replace(own.answer(draws), **changes)

    mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"mu": 0.0})
    study = Study("s", [Scenario(mechanism, {"n": 5})], [Foreign()])
    if isinstance(found, str):
        with pytest.raises(AnswerError) as caught:
            replicate.block(study, 0, 0, 3)
        assert found in str(caught.value)
    else:
        block = replicate.block(study, 0, 0, 3)["foreign"]
        assert_array_equal(block.status, found)
        assert np.isfinite(block.lower).all() == (found == Status.ok)


def test_an_interval_without_a_standard_error_is_judged_by_its_coverage(tmp_path):
    """As docs/verdicts.md promises; 300 intervals between order statistics, which cover .961."""
    from simstudy import Mechanism, Scenario, Study
    from simstudy.evidence.verdicts import verdicts

    def median(y):
        y = np.sort(y)
        return {"mu": (y[4], None, y[1], y[7])}

    mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"mu": 0.0})
    own = FunctionEstimator("own", ["mu"], median)
    study = Study("s", [Scenario(mechanism, {"n": 9})], [own], replicates=300, seed=2)
    result = simstudy.run(study, out=tmp_path / "r", jobs=1, quiet=True)
    table = result.table()
    assert (table["status"] == "ok").all()
    assert table["se"].isna().all()
    found = result.performance().set_index("measure")
    assert found.loc["fail", "value"] == 0
    assert found.loc[["cover", "ciwidth"], "n"].tolist() == [300, 300]
    # 1 - P(Bin(9, 1/2) in 0, 1, 8, 9) = 1 - 20/512; five MCSEs of .011
    assert_allclose(found.loc["cover", "value"], 1 - 20 / 512, atol=0.056)
    assert np.isnan(found["value"].get("modelse", np.nan))
    said = verdicts(result.performance())
    assert said["verdict"].iloc[0] != "no-answer"
    assert "coverage" in said["sentence"].iloc[0]


def test_a_wrong_shape_is_one_sentence_before_work_starts(tmp_path):
    from simstudy import Mechanism, Scenario, Study, StudyError

    mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"mu": 0.0})
    for answered in ({"mu": 1.0}, {"nu": (1.0, 1.0)}, None):
        own = FunctionEstimator("own", ["mu"], lambda y, answered=answered: answered)
        study = Study("s", [Scenario(mechanism, {"n": 5})], [own], replicates=60)
        with pytest.raises(
            StudyError, match=r"'m n=5': estimator 'own', replicate 0: it returned .* due"
        ):
            simstudy.run(study, out=tmp_path / "r", jobs=1, quiet=True)


def test_own_answer_of_the_wrong_shape_says_what_is_due():
    estimator = FunctionEstimator("own", ["mu"], lambda data: {"nu": (1.0, 1.0)})
    with pytest.raises(
        ValueError, match=r"returned .*'nu'.* due is a mapping from each of \['mu'\]"
    ):
        answer(estimator, [np.ones(3)], strict=True)
