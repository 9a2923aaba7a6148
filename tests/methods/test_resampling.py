"""One function of a sample to weights is all that a resampling method writes; engines agree on it.

The jackknife here is written as a user would, and held against fits of the data sets without one
observation, which know nothing of weights.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.design.drawing import draw
from simstudy.design.loading import load
from simstudy.engines import loop
from simstudy.execution.engine_choice import fits_of
from simstudy.execution.replay import replay
from simstudy.likelihood.fit import maximize
from simstudy.methods import JACKKNIFE, OBSERVED, OPG, Multinomial, Resampling, Wald
from simstudy.methods.covariance import opg
from simstudy.models import binomial, gamma
from simstudy.status import Status

STUDY = """
import numpy as np
from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED, Resampling
from simstudy.models import gamma

def leave_one_out(sample):
    return 1 - np.eye(sample.units)

def spread(thetas):
    away = thetas - thetas.mean(axis=0)
    return (len(thetas) - 1) / len(thetas) * away.T @ away

STUDY = Study(
    name="mine", scenarios=grid(gamma.MECHANISM, n=[15], shape=2.0, rate=1.0), replicates=3,
    estimators=[
        MaximumLikelihood(gamma.MODEL, [OBSERVED, Resampling("mine", leave_one_out, spread)]),
    ],
)
"""


@pytest.fixture(scope="module", params=["loop", "batched"])
def engine(request, tmp_path_factory):
    """Give each engine, compiled programs kept out of the user's cache."""
    if request.param == "loop":
        return loop
    pytest.importorskip("jax")
    from simstudy.engines import batched, programs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMSTUDY_CACHE", str(tmp_path_factory.mktemp("jax")))
        programs.load()
    return batched


def study(model, mechanism, methods, **factors):
    """Put one model under one scenario."""
    estimators = [MaximumLikelihood(model, methods)]
    return Study("s", [Scenario(mechanism, factors)], estimators, seed=5, replicates=3)


def fractional(sample):
    """Weigh observations by exponential numbers of mean one."""
    return sample.stream("fractional").exponential(size=(9, sample.units))


def test_the_jackknife_of_a_study_file_is_that_of_fits_without_one_observation(engine, tmp_path):
    """Fits end within 1e-7 standard errors of their maximum, of which the jackknife keeps 1e-5."""
    path = tmp_path / "mine.py"
    path.write_text(STUDY)
    made, _ = load(path)
    block = engine.block(made, 0, 0, 3)["gamma"]
    assert_array_equal(block.status, Status.ok)
    estimator = made.estimators[0]
    for b in range(3):
        data = draw(made, made.scenarios[0], b)
        without = [maximize(estimator.bind(np.delete(data, i))).theta for i in range(15)]
        variance = 14 / 15 * 15 * np.var(without, axis=0)
        assert_allclose(block.se[b, 1], np.sqrt(variance), rtol=1e-5)
    shipped = replace(estimator, methods=[OBSERVED, JACKKNIFE])
    again = engine.block(replace(made, estimators=[shipped]), 0, 0, 3)["gamma"]
    assert_array_equal(again.se, block.se)


def test_a_replay_shows_the_matrix_of_refits(engine):
    made = study(gamma.MODEL, gamma.MECHANISM, [JACKKNIFE], n=12, shape=2.0, rate=1.0)
    again = replay(made, 0, 1, engine.__name__.rpartition(".")[2])
    matrix = again.matrices["gamma", "jackknife"]
    assert_array_equal(np.sqrt(np.diagonal(matrix)), again.blocks["gamma"].se[0, 0])


def test_real_weights_have_the_weighted_mean(engine):
    """Of a normal mean, in closed form; with own derivatives and without."""

    def start(data):
        return np.array([data.mean()])

    def loglik(theta, data):
        return -0.5 * (data - theta[0]) ** 2

    bare = Model("mean", {"mu": "real"}, start=start, loglik=loglik)
    full = replace(
        bare,
        name="derived",
        score=lambda theta, data: (data - theta[0])[:, None],
        hessian=lambda theta, data: -np.full((1, 1), len(data), dtype=float),
    )
    seen = {}

    def kept(sample):
        seen["weights"], seen["data"] = fractional(sample), sample.data
        return seen["weights"]

    mechanism = Mechanism("normal", lambda rng, n: rng.normal(3.0, 1.0, n), lambda n: {"mu": 3.0})
    for model in (bare, full):
        made = study(model, mechanism, [Resampling("fractional", kept)], n=20)
        block = engine.block(made, 0, 0, 1)[model.name]
        weights = seen["weights"]
        means = weights @ seen["data"] / weights.sum(axis=1)
        assert_allclose(block.se[0, 0], means.std(ddof=1), rtol=1e-6)


def test_real_weights_answer_alike_in_both_engines():
    pytest.importorskip("jax")
    from simstudy.engines import batched

    made = study(
        gamma.MODEL, gamma.MECHANISM, [Resampling("f", fractional)], n=20, shape=2.0, rate=1.0
    )
    one, other = (e.block(made, 0, 0, 3)["gamma"] for e in (loop, batched))
    assert_array_equal(one.status, Status.ok)
    assert_allclose(one.se, other.se, rtol=1e-6)


def test_resamples_without_observations_or_maximum_fail(engine):
    """Of 20 resamples one counts nothing and one only successes: one in ten is too many."""

    def two_bad(sample):
        weights = np.ones((20, sample.units))
        weights[0] = 0
        weights[1] = sample.data
        return weights

    mechanism = Mechanism(
        "coins", lambda rng, n: np.repeat([0.0, 1.0], n // 2), lambda n: {"p": 0.5}
    )
    made = study(binomial.MODEL, mechanism, [Resampling("two", two_bad)], n=20)
    block = engine.block(made, 0, 0, 1)[binomial.MODEL.name]
    assert block.status[0, 0] == Status.refits_failed
    assert block.audit["failed_refits"][0] == 2
    spared = replace(made.estimators[0], methods=[Resampling("two", two_bad, spared=0.1)])
    block = engine.block(replace(made, estimators=[spared]), 0, 0, 1)[binomial.MODEL.name]
    # all other refits are the same: a variance of zero is no answer, but not the refits' fault
    assert block.status[0, 0] == Status.not_finite


def test_a_jackknife_spares_no_refit():
    """One success in thirty: without it there is no maximum."""
    mechanism = Mechanism("one", lambda rng, n: np.eye(n)[0], lambda n: {"p": 0.5})
    made = study(binomial.MODEL, mechanism, [JACKKNIFE], n=30)
    block = loop.block(made, 0, 0, 1)[binomial.MODEL.name]
    assert block.status[0, 0] == Status.refits_failed
    assert block.audit["failed_refits"][0] == 1


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (lambda n: np.ones(n), "(12,)"),
        (lambda n: np.ones((5, n + 1)), "(5, 13)"),
        (lambda n: np.ones((0, n)), "(0, 12)"),
        (lambda n: -np.ones((5, n)), "(5, 12)"),
        (lambda n: np.full((5, n), np.nan), "(5, 12)"),
        (lambda n: np.full((5, n), "1"), "(5, 12) of <U1"),
    ],
)
def test_wrong_weights_are_refused_in_words(engine, wrong, came):
    def own(sample):
        return wrong(sample.units)

    made = study(
        gamma.MODEL, gamma.MECHANISM, [OBSERVED, Resampling("mine", own)], n=12, shape=2.0, rate=1.0
    )
    block = engine.block(made, 0, 0, 2)["gamma"]
    assert block.status.tolist() == [[Status.ok, Status.method_error]] * 2
    assert block.audit["message"][0] == (
        f"mine: own returned an array of shape {came}; due is how often each of 12 observations "
        "counts in each of R refits, an array of shape (R, 12) of finite numbers that are not "
        "negative"
    )


def test_refits_are_counted_before_work_starts():
    """199 of a bootstrap and one for each observation of a jackknife, and the fit itself."""
    methods = [OBSERVED, Resampling("b", Multinomial(199)), JACKKNIFE]
    made = study(gamma.MODEL, gamma.MECHANISM, methods, n=12, shape=2.0, rate=1.0)
    assert fits_of(made, made.scenarios[0]) == 3 * (1 + 199 + 12)


def test_a_replay_of_terms_that_look_at_others_pads_nothing():
    """The batched engine's own fit is shown, not one of padded data."""
    pytest.importorskip("jax")
    model = Model(
        "spread",
        {"sigma": "positive"},
        start=lambda data: np.ones(1),
        loglik=lambda theta, data: _centered(theta, data),
    )
    mechanism = Mechanism(
        "normal", lambda rng, n: rng.normal(3.0, 1.0, n), lambda n: {"sigma": 1.0}
    )
    made = study(model, mechanism, [OBSERVED], n=20)
    again = replay(made, 0, 0, "batched")
    assert_array_equal(again.fits["spread"].theta, again.blocks["spread"].estimate[0])


def _centered(theta, data):
    from simstudy import arrays

    return -arrays.log(theta[0]) - ((data - data.mean()) / theta[0]) ** 2 / 2


class OwnScores:
    """S of a user, who says how it is computed for many fits at once and never for one."""

    needs = ()

    def __call__(self, fitted):
        raise AssertionError("asked for one fit")

    def in_program(self, loglik, theta, data, weights):
        import jax

        scores = jax.jacrev(loglik)(theta, data)
        return (scores.T * weights) @ scores

    def for_batch(self, batch):
        return batch.traced


def test_a_source_of_ones_own_is_computed_in_the_program():
    """By reverse instead of forward differentiation: equal to rounding."""
    pytest.importorskip("jax")
    from simstudy.engines import batched

    methods = [OPG, Wald("mine", opg, scores=OwnScores())]
    made = study(gamma.MODEL, gamma.MECHANISM, methods, n=20, shape=2.0, rate=1.0)
    block = batched.block(made, 0, 0, 3)["gamma"]
    assert_array_equal(block.status, Status.ok)
    assert_allclose(block.se[:, 1], block.se[:, 0], rtol=1e-12)
