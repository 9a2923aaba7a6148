"""Methods: the battery for each that ships, moved problems, and the facts they are known for."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import checks
from checks import BINOMIAL, CASES, GAMMA, NORMAL, case_fitted, fitted, infer, sourced
from simstudy import Model
from simstudy.likelihood.curvature import invert
from simstudy.likelihood.fit import plain
from simstudy.likelihood.objective import objective
from simstudy.methods import (
    BFGS_INVERSE,
    BOOTSTRAP,
    LBFGSB_INVERSE,
    METHODS,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_CENTRAL_1E5,
    OBSERVED_CENTRAL_1E5_DIAGONAL,
    OBSERVED_LOG_WALD,
    OBSERVED_SCIPY,
    OBSERVED_STATSMODELS,
    OPG,
    SANDWICH,
    ExactHessian,
    ExactScores,
    FixedStepHessian,
    Multinomial,
    OptimizerInverse,
    PlainRun,
    Resampling,
    Wald,
    standard,
    with_log_wald,
)
from simstudy.methods.covariance import observed, opg, sandwich
from simstudy.methods.intervals import log_wald, wald
from simstudy.models import gamma, logit, normal, poisson_regression
from simstudy.models.regression import autoregressive
from simstudy.status import Status

FEW, FORTY = Multinomial(20), Multinomial(40)
SHIPPED = [
    # the battery asks what a bootstrap does, not how exact it is
    replace(method, resamples=FEW) if "bootstrap" in method.name else method
    for method in METHODS.values()
]
OTHERS = [
    OptimizerInverse("bfgs-inverse-working", PlainRun(working=True), interval=log_wald),
    Wald("central-1e-4", observed, hessian=FixedStepHessian(1e-4)),
]
EVERY = pytest.mark.parametrize("method", SHIPPED + OTHERS, ids=lambda method: method.name)
ON = pytest.mark.parametrize("case", [GAMMA, checks.LOGIT], ids=lambda case: case.name)


# -- the battery -----------------------------------------------------------------------------------


@EVERY
def test_method_introduces_itself(method):
    checks.check_method_introduces_itself(method)


@EVERY
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_method_shapes(method, case):
    if case is BINOMIAL and isinstance(method, OptimizerInverse) and not method.run.working:
        pytest.skip("a plain run over p itself leaves the interval from 0 to 1; see below")
    if case is BINOMIAL and method is OBSERVED_SCIPY:
        pytest.skip("SciPy's first steps are .5, and p lies between 0 and 1")
    checks.check_method_shapes(method, case)


@EVERY
@ON
def test_method_interval(method, case):
    checks.check_method_interval(method, case)


@EVERY
def test_method_repeats_itself(method):
    checks.check_method_repeats_itself(method, GAMMA)


@EVERY
@ON
def test_method_says_when_it_cannot_answer(method, case):
    checks.check_method_says_when_it_cannot_answer(method, case)


@EVERY
def test_method_answers_one_as_in_a_block(method):
    checks.check_method_answers_one_as_in_a_block(method, GAMMA)


@pytest.mark.parametrize(
    "method", [m for m in SHIPPED if isinstance(m, Wald)], ids=lambda method: method.name
)
def test_method_takes_leading_axes(method):
    checks.check_method_takes_leading_axes(method, GAMMA)


@pytest.mark.parametrize(
    "method", [m for m in SHIPPED if m.name.endswith("-log-wald")], ids=lambda method: method.name
)
@pytest.mark.parametrize("case", [GAMMA, BINOMIAL], ids=lambda case: case.name)
def test_interval_on_the_working_scale(method, case):
    checks.check_interval_on_the_working_scale(method, case)


# -- the catalogue ---------------------------------------------------------------------------------


def test_catalogue_has_the_names_that_studies_and_tables_use():
    assert {
        "observed", "observed-central", "observed-central-1e-5", "observed-central-1e-5-diagonal",
        "observed-statsmodels", "opg", "sandwich", "bfgs-inverse", "lbfgsb-inverse", "bootstrap",
        "observed-log-wald", "observed-central-log-wald", "opg-log-wald", "sandwich-log-wald",
        "bootstrap-log-wald",
    } <= set(METHODS)  # fmt: skip
    assert all(name == method.name for name, method in METHODS.items())


def test_equal_sources_are_shared():
    """What two methods name is one source, which an estimator computes once."""
    assert OBSERVED.sources == OBSERVED_LOG_WALD.sources
    assert OBSERVED.sources[0] in SANDWICH.sources
    assert OPG.sources[0] in SANDWICH.sources
    assert OBSERVED_CENTRAL.sources != OBSERVED_CENTRAL_1E5.sources
    assert OBSERVED_CENTRAL_1E5.sources != OBSERVED_CENTRAL_1E5_DIAGONAL.sources
    assert BFGS_INVERSE.sources != LBFGSB_INVERSE.sources


def test_log_wald_keeps_the_method_and_changes_the_interval():
    for method in (OBSERVED, BOOTSTRAP, BFGS_INVERSE):
        moved = with_log_wald(method)
        assert moved.name == f"{method.name}-log-wald"
        assert moved.interval is log_wald
        assert method.interval is wald
        assert moved.sources == method.sources


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_numerical_methods_against_the_exact_ones(case):
    """How close each comes in an easy problem; its own step decides."""
    one = case_fitted(case.name, 0)
    for name, exact, rtol in (
        ("observed-central", "observed", 1e-3),
        ("observed-score", "observed", 1e-6),
        ("observed-central-1e-5", "observed", 1e-3),
        ("observed-statsmodels", "observed", 1e-5),
        ("observed-statsmodels-1", "observed", 1e-2),
        ("observed-statsmodels-2", "observed", 1e-2),
        ("opg-central", "opg", 1e-6),
        ("sandwich-central", "sandwich", 2e-3),
    ):
        found, expected = infer(METHODS[name], one), infer(METHODS[exact], one)
        assert_allclose(found.se, expected.se, rtol=rtol, err_msg=name)


def test_closed_forms_of_the_normal():
    """Se(mu) = sigma / sqrt(n), se(sigma) = sigma / sqrt(2 n), and White's for both."""
    y = NORMAL.data[0]
    n, z = len(y), (y - y.mean()) / y.std()
    one, sigma = case_fitted("normal", 0), y.std()
    expected = sigma / np.sqrt([n, 2 * n])
    # the fit is within 1e-8 standard errors
    assert_allclose(infer(OBSERVED, one).se, expected, rtol=1e-7)
    diagonal = infer(OBSERVED_CENTRAL_1E5_DIAGONAL, one).se
    assert_allclose(diagonal, expected, rtol=1e-3)
    s = np.stack([z / sigma, (z**2 - 1) / sigma], axis=-1)
    outer = s.T @ s
    assert_allclose(infer(OPG, one).se, np.sqrt(np.diag(np.linalg.inv(outer))), rtol=1e-6)
    white = np.diag(expected**2) @ outer @ np.diag(expected**2)
    assert_allclose(infer(SANDWICH, one).se, np.sqrt(np.diag(white)), rtol=1e-6)


# -- moving the problem ----------------------------------------------------------------------------

KNOWS_NO_UNITS = [
    "observed", "observed-log-wald", "observed-central", "observed-central-log-wald",
    "observed-score", "opg", "opg-log-wald", "opg-central", "sandwich", "sandwich-log-wald",
    "sandwich-central", "bootstrap", "bootstrap-log-wald",
]  # fmt: skip


@pytest.mark.parametrize("unit", [1e4, 1e-4])
@pytest.mark.parametrize("name", KNOWS_NO_UNITS)
def test_other_units_move_the_standard_error(name, unit):
    """The rate and its standard error are divided by the unit, its interval too; no status changes.

    The fits differ by up to 1e-8 standard errors, where the polish ends.
    """
    method = next(m for m in SHIPPED if m.name == name)
    here = infer(method, case_fitted("gamma", 0))
    there = infer(method, fitted(gamma.MODEL, GAMMA.data[0] * unit))
    moved = np.array([1.0, unit])
    assert there.status == here.status == Status.ok
    for attribute in ("se", "lower", "upper"):
        assert_allclose(getattr(there, attribute) * moved, getattr(here, attribute), rtol=1e-6)


def test_other_units_make_a_fixed_step_wrong():
    """Times 1e-4 the rate is 3e4 with a standard error of 8e3: a step of 1e-5 measures noise."""
    one = fitted(gamma.MODEL, GAMMA.data[0] * 1e-4)
    assert_ruined(infer(OBSERVED_CENTRAL_1E5, one), infer(OBSERVED, one))


def assert_ruined(found, expected):
    """No answer, or one that is off by more than a half."""
    assert found.status != Status.ok or np.abs(found.se / expected.se - 1).max() > 0.5


@pytest.mark.parametrize("name", [n for n in KNOWS_NO_UNITS if "bootstrap" not in n])
def test_data_twice_halves_the_variances(name):
    """Exactly where the derivatives are exact; steps of 0.14 standard errors are shorter."""
    one = case_fitted("gamma", 0)
    once = infer(METHODS[name], one)
    twice = infer(METHODS[name], fitted(gamma.MODEL, np.tile(GAMMA.data[0], 2)))
    rtol = 1e-3 if "central" in name else 1e-6
    assert_allclose(2 * twice.se**2, once.se**2, rtol=rtol)


@pytest.mark.parametrize(
    ("name", "rtol"),
    [("observed-central", 1e-4), ("opg-central", 1e-6), ("sandwich-central", 1e-4)],
)
def test_constant_in_the_log_likelihood(name, rtol):
    """1e8 changes nothing for steps taken from the likelihood, and ruins a fixed step."""
    y = GAMMA.data[0]
    high = replace(
        gamma.MODEL, loglik=lambda theta, data: gamma.loglik(theta, data) + 1e8 / len(data)
    )
    plain_one, shifted = case_fitted("gamma", 0), fitted(high, y)
    found, expected = (infer(METHODS[name], one) for one in (shifted, plain_one))
    assert_allclose(found.se, expected.se, rtol=rtol)
    assert_ruined(infer(OBSERVED_CENTRAL_1E5, shifted), infer(OBSERVED, plain_one))


def test_log_wald_is_wald_of_the_model_on_the_log_scale():
    """Fitting log(shape) and log(rate) and mapping Wald's interval back gives `-log-wald`."""
    logs = Model(
        "log-gamma",
        {"log_shape": "real", "log_rate": "real"},
        start=lambda data: np.zeros(2),
        loglik=lambda theta, data: gamma.loglik(np.exp(theta), data),
    )
    y = GAMMA.data[0]
    found = infer(OBSERVED_LOG_WALD, case_fitted("gamma", 0))
    there = infer(OBSERVED_CENTRAL, fitted(logs, y))
    # differences on one side
    assert_allclose(np.exp(there.lower), found.lower, rtol=1e-3)
    assert_allclose(np.exp(there.upper), found.upper, rtol=1e-3)
    assert_allclose(there.se * case_fitted("gamma", 0).fit.theta, found.se, rtol=1e-3)


@pytest.mark.parametrize("method", [BFGS_INVERSE, METHODS["bfgs-inverse-exact"]])
def test_run_that_ends_outside_the_support_gives_no_standard_error(method):
    """BFGS over a probability steps out of (0, 1), where the likelihood is nan, and stays there."""
    one = case_fitted("binomial", 0)
    run = sourced(method, one)[0]
    assert run.status == Status.not_converged
    assert infer(method, one).status == Status.not_converged


def test_inverse_of_the_working_scale_is_turned_into_the_parameters_own():
    """The delta method on SciPy's matrix: se(theta) = theta se(log theta)."""
    one = case_fitted("gamma", 0)
    run = plain(one.target, working=True)
    found = infer(OptimizerInverse("working", PlainRun(working=True)), one)
    expected = np.sqrt(np.diag(run.inverse)) * one.fit.theta
    assert_allclose(found.se, expected, rtol=1e-12)


# -- standard errors from a covariance -------------------------------------------------------------


@pytest.mark.parametrize(
    ("variances", "given", "expected"),
    [
        ([1.0, 4.0], Status.ok, Status.ok),
        ([1.0, -4.0], Status.ok, Status.negative_variance),
        ([1.0, 0.0], Status.ok, Status.not_finite),
        ([1.0, np.inf], Status.ok, Status.not_finite),
        ([1.0, np.nan], Status.ok, Status.not_finite),
        ([1.0, 4.0], Status.refits_failed, Status.refits_failed),
        ([np.nan, np.nan], Status.saddle, Status.saddle),
    ],
)
@pytest.mark.parametrize("interval", [wald, lambda of: (of.theta - 1, of.theta + 1)])
def test_one_bad_variance_takes_the_answer(variances, given, expected, interval):
    """Never a clipped variance, never an answer for some of the parameters only."""
    model = Model("two", {"a": "real", "b": "real"}, np.zeros, lambda theta, data: data)
    found = standard(np.zeros(2), np.diag(variances), np.int8(given), interval, 0.95, model)
    assert found.status == expected
    for values in (found.se, found.lower, found.upper):
        assert np.isnan(values).all() == (expected != Status.ok)
    if expected == Status.ok:
        assert_array_equal(found.se, np.sqrt(variances))


# -- the bootstrap ---------------------------------------------------------------------------------


def test_bootstrap_of_a_normal_mean():
    """Its standard deviation is sigma_mle / sqrt(n) in closed form.

    With 500 refits the Monte Carlo standard error is 1 / sqrt(1000) = 3.2 %; 4 of them are
    exceeded by chance once in 16,000 seeds.
    """
    known = Model(
        "normal mean",
        {"mu": "real"},
        start=lambda data: np.zeros(1),
        loglik=lambda theta, data: -0.5 * (data - theta[0]) ** 2,
        score=lambda theta, data: (data - theta[0])[:, None],
        hessian=lambda theta, data: np.array([[-float(len(data))]]),
    )
    y = NORMAL.data[0]
    one = fitted(known, y)
    found = infer(Resampling("bootstrap", Multinomial(500)), one)
    assert_allclose(found.se, y.std() / np.sqrt(len(y)), rtol=4 / np.sqrt(1000))
    # the refits of means are the means of the resamples
    counts = Multinomial(5)(one.sample)
    assert_allclose(one.refits(counts)[:, 0], counts @ y / len(y), rtol=1e-7)


def test_bootstrap_draws_each_observation_as_often():
    """Counts over all refits: chi-square below its 99.9 % point; fails for one seed in 1000."""
    from scipy import stats

    one = case_fitted("gamma", 0)
    counts = Multinomial(500)(one.sample)
    n = len(GAMMA.data[0])
    assert counts.shape == (500, n)
    assert_array_equal(counts.sum(axis=1), n)
    assert stats.chisquare(counts.sum(axis=0)).pvalue > 1e-3


def test_same_stream_gives_the_same_bootstrap():
    one, other = fitted(gamma.MODEL, GAMMA.data[0], i=0), fitted(gamma.MODEL, GAMMA.data[0], i=1)
    method = Resampling("bootstrap", FEW)
    assert_array_equal(infer(method, one).se, infer(method, one).se)
    assert (infer(method, one).se != infer(method, other).se).all()


@pytest.mark.parametrize(("share", "status"), [(0.05, Status.ok), (0.075, Status.refits_failed)])
def test_more_than_one_failed_refit_in_twenty_is_no_answer(share, status):
    """Fewer failures are counted; the rest answers."""
    one = case_fitted("gamma", 0)
    thetas = sourced(Resampling("b", FORTY), one)[0].copy()
    failed = int(share * len(thetas))
    thetas[:failed] = np.nan
    found = Resampling("b", FORTY)(one, thetas)
    assert found.status == status
    assert found.failed == failed
    if status == Status.ok:
        assert_allclose(found.se, thetas[failed:].std(axis=0, ddof=1), rtol=1e-12)


def test_refits_that_run_off_are_failures():
    """Nine successes in ten: a resample has only successes once in three times."""
    y = np.array([0.0] + [1.0] * 9)
    one = fitted(BINOMIAL.model, y)
    found = infer(Resampling("b", FORTY), one)
    assert Status(int(found.status)) == Status.refits_failed
    assert np.isnan(found.se).all()
    # binomial(40, 0.9**10 = 0.35): 5 to 24 but for one seed in 10,000
    assert 5 <= found.failed <= 24


def test_refit_that_raises_is_a_failure():
    """A likelihood that refuses some resamples costs these refits, not the replicate."""

    def loglik(theta, data):
        if len(np.unique(data)) < len(data) and data[0] == data[1]:
            raise ArithmeticError("tied")
        return normal.loglik(theta, data)

    model = replace(normal.MODEL, loglik=loglik)
    found = infer(Resampling("b", FORTY), fitted(model, NORMAL.data[0]))
    assert found.failed > 0


# -- what a formula reads --------------------------------------------------------------------------


def own_sandwich(curvature):
    """A formula of somebody's own, around a shipped one."""
    return sandwich(replace(curvature, hessian=2 * curvature.hessian))


def mistaken(curvature):
    """A formula that reads H before it raises."""
    return observed(curvature.hessian / 0)


@pytest.mark.parametrize(
    ("formula", "given", "message"),
    [
        (observed, {}, r"reads the Hessian \(curvature.hessian\).*hessian=RiseHessian\(\)"),
        (sandwich, {"scores": ExactScores()}, r"'mine'.*reads the Hessian"),
        (own_sandwich, {"scores": ExactScores()}, "reads the Hessian"),
        (mistaken, {}, "reads the Hessian"),
        (sandwich, {"hessian": ExactHessian()}, r"curvature.meat.*scores=CentralScores\(\)"),
        (opg, {"hessian": ExactHessian()}, "reads the outer product of the scores"),
    ],
)
def test_a_formula_without_its_source_is_refused(formula, given, message):
    """The fit's own Hessian, which differs from engine to engine, never stands in for it."""
    with pytest.raises(ValueError, match=message):
        Wald("mine", formula, **given)


def test_a_formula_that_reads_no_hessian_needs_none():
    assert Wald("mine", opg, scores=ExactScores()).sources == (ExactScores(),)
    assert Wald("mine", lambda c: invert(c.meat), scores=ExactScores()).hessian is None


# -- what the methods are known for (the numbers are SciPy's, the tolerances wide) -----------------


def ratios(model, draw, methods, count):
    """Standard errors over the exact ones of the same fit, `(M, count, p)`; nan where no answer."""
    found = np.full((len(methods), count, len(model.names)), np.nan)
    for i in range(count):
        one = fitted(model, draw(np.random.default_rng([20261124, i])), i=i)
        exact = infer(OBSERVED, one).se
        for m, method in enumerate(methods):
            answer = infer(method, one)
            found[m, i] = answer.se / exact
    return found


def test_facts_of_a_gamma_fit():
    """Shape 2, rate 3, n = 200, start (1, 1): medians and quantiles of 20 fits.

    Long runs gave medians of .988 (bfgs-inverse) and 1.79 (lbfgsb-inverse) and no answer for half
    of the Hessians with a step of 1e-8; the lower tail of bfgs-inverse is rounding of the sum.
    """
    tiny = Wald("central-1e-8", observed, hessian=FixedStepHessian(1e-8))
    methods = [
        BFGS_INVERSE, LBFGSB_INVERSE, tiny, OBSERVED_CENTRAL, OBSERVED_CENTRAL_1E5,
        OBSERVED_STATSMODELS,
    ]  # fmt: skip
    found = ratios(gamma.MODEL, lambda rng: rng.gamma(2.0, 1 / 3.0, 200), methods, 20)
    bfgs, lbfgsb, wild, central, fixed, statsmodels = found
    low, middle, high = np.quantile(bfgs, [0.05, 0.5, 0.95])
    assert 0.97 < middle < 1.0
    assert low < 0.985
    assert 1.0 < high < 1.1
    assert 1.4 < np.quantile(lbfgsb, 0.5) < 2.6
    assert np.quantile(lbfgsb, 0.95) > 3
    assert np.isnan(wild[..., 0]).mean() > 0.3
    assert np.nanquantile(wild, 0.5) < 0.6
    # nothing is wrong with differences whose step suits the problem
    assert_allclose(central, 1, rtol=0, atol=5e-4)
    assert_allclose(fixed, 1, rtol=0, atol=1e-3)
    assert_allclose(statsmodels, 1, rtol=0, atol=1e-5)


def test_facts_of_a_regression_in_raw_units():
    """Only the rule that takes its step from the likelihood answers, and exactly."""
    methods = [
        BFGS_INVERSE, LBFGSB_INVERSE, OBSERVED_CENTRAL_1E5, OBSERVED_STATSMODELS, OBSERVED_CENTRAL,
    ]  # fmt: skip
    model, mechanism = poisson_regression.RAW_MODEL, poisson_regression.RAW_MECHANISM
    found = ratios(model, lambda rng: mechanism.draw(rng, n=500), methods, 10)
    bfgs, lbfgsb, fixed, statsmodels, central = found
    # the identity: it is ten times, half a million times, a thirtieth of what it should be
    assert np.isnan(lbfgsb).all()
    assert np.isnan(bfgs[..., 0]).mean() > 0.5
    assert np.isnan(fixed[:, 0]).mean() > 0.4
    assert 0.5 < np.median(statsmodels[..., 1]) < 0.95
    assert_allclose(central, 1, rtol=0, atol=1e-3)


def test_facts_of_bfgs_with_few_steps():
    """Ten coefficients: five updates leave most of the identity, twelve nearly none."""
    mechanism = logit.mechanism(
        autoregressive(10, 0.5), {f"b{j}": 0.5 * (-1) ** j for j in range(10)}
    )
    methods = [replace(BFGS_INVERSE, run=PlainRun(most=k)) for k in (5, 10, 12)]
    methods += [BFGS_INVERSE, LBFGSB_INVERSE]
    found = ratios(logit.model(10), lambda rng: mechanism.draw(rng, n=500), methods, 6)
    five, ten, twelve, full, lbfgsb = np.median(found, axis=(1, 2))
    assert 4 < five < 7
    assert 1.4 < ten < 3.5
    assert 0.95 < twelve < 1.15
    assert 0.95 < full < 1.05
    assert 3.5 < lbfgsb < 7


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_restart_at_the_optimum_returns_the_identity(case):
    """No step, no curvature: SciPy's standard errors would all be 1, with nothing to warn of it."""
    optimum = case_fitted(case.name, 0).fit.theta
    again = replace(case.model, start=lambda data: optimum)
    run = plain(objective(again, case.data[0]))
    assert run.iterations == 0
    assert run.success
    assert_array_equal(run.inverse, np.eye(len(optimum)))
    found = infer(BFGS_INVERSE, fitted(again, case.data[0]))
    assert found.status == Status.no_step
    assert np.isnan(found.se).all()
