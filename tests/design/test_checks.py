"""What is tried of a study's own code before any work, and that right code is left alone."""

import functools
import random
import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Mechanism,
    Model,
    Scenario,
    Study,
    StudyError,
    grid,
    load,
    run,
)
from simstudy.arrays import namespace
from simstudy.design.checks import validate
from simstudy.design.dependent_terms import dependent_terms
from simstudy.design.drawing import draw as draw_of
from simstudy.design.reproducibility import other_random_state
from simstudy.methods import (
    BFGS_INVERSE,
    BOOTSTRAP,
    METHODS,
    OBSERVED,
    OBSERVED_CENTRAL,
    OPG_CENTRAL,
    SANDWICH_CENTRAL,
    Inference,
)
from simstudy.models import exponential, normal
from simstudy.status import Status


def raises_saying(*fragments):
    """Expect a StudyError whose message holds all fragments, in their order."""
    return pytest.raises(StudyError, match="(?s)" + ".*".join(map(re.escape, fragments)))


def check_accepted(made):
    """A study that is right passes; a wrong refusal raises."""
    validate(made)


def study(model, mechanism, methods, replicates=60, **factors):
    estimator = MaximumLikelihood(model, methods)
    return Study("s", [Scenario(mechanism, factors)], [estimator], replicates=replicates, seed=5)


# --- terms that look at other observations --------------------------------------------------------


def centered(theta, data):
    """A normal with its mean taken out, as people do to save a parameter."""
    library = namespace(theta)
    return -library.log(theta[0]) - ((data - data.mean()) / theta[0]) ** 2 / 2


def ranked(theta, data):
    """A plotting position in the place of the observation."""
    library = namespace(theta, data)
    rank = (data[:, None] >= data[None, :]).sum(axis=1) / data.shape[0]
    return library.log(theta[0]) - theta[0] * rank


def risk_set(theta, data):
    """Cox's partial likelihood: every event looks at who was still there."""
    library = namespace(theta)
    there = data["time"][None, :] >= data["time"][:, None]
    hazard = library.exp(theta[0] * data["x"])
    return data["event"] * (theta[0] * data["x"] - library.log((there * hazard).sum(axis=1)))


def lagged(theta, data):
    """A term that looks at others nowhere but beside the truth of zero."""
    library = namespace(theta, data)
    before = library.concatenate([data[:1] * 0, data[:-1]])
    return -((data - theta[0] * before) ** 2) / 2


def survival(rng, n, effect):
    x = rng.normal(size=n)
    time, end = rng.exponential(np.exp(-effect * x)), rng.exponential(2.0, size=n)
    return {"time": np.minimum(time, end), "event": (time <= end).astype(float), "x": x}


def one(name, support, loglik, draw, truth):
    model = Model(name, {"theta": support}, lambda data: np.full(1, 0.7), loglik)
    return model, Mechanism(name, draw, lambda n, **_: {"theta": truth})


ENTANGLED = {
    "centered": (
        *one("centered", "positive", centered, lambda rng, n: rng.normal(3.0, 1.0, n), 1.0),
        {"n": 30},
    ),
    "ranked": (
        *one("ranked", "positive", ranked, lambda rng, n: rng.normal(size=n), 1.0),
        {"n": 30},
    ),
    "risk set": (*one("cox", "real", risk_set, survival, 0.5), {"n": 30, "effect": 0.5}),
    "lagged": (
        *one("lagged", "real", lagged, lambda rng, n: rng.normal(size=n), 0.0),
        {"n": 30},
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", ENTANGLED)


@EVERY
def test_terms_that_look_at_others_answer_alike_in_both_engines(name):
    """Without padding the engines agree as they promise, to 1e-8 standard errors times a few."""
    pytest.importorskip("jax")
    from simstudy.engines import batched, loop

    model, mechanism, factors = ENTANGLED[name]
    methods = [OBSERVED_CENTRAL, OBSERVED, OPG_CENTRAL, replace(BOOTSTRAP, name="b")]
    made = study(model, mechanism, methods, **factors)
    made = replace(made, fewer={"b": 2})
    ours, theirs = loop.block(made, 0, 0, 8)[model.name], batched.block(made, 0, 0, 8)[model.name]
    assert_array_equal(ours.status, theirs.status)
    assert (ours.status[:, 0] == Status.ok).all()
    assert_allclose(theirs.estimate / ours.se[:, 0], ours.estimate / ours.se[:, 0], atol=5e-8)
    assert_allclose(theirs.se, ours.se, rtol=1e-6)
    # the blocks' edges change no bit
    assert_array_equal(batched.block(made, 0, 3, 5)[model.name].se, theirs.se[3:5])


def test_lengths_that_differ_are_right_without_padding():
    pytest.importorskip("jax")
    from simstudy.engines import batched, loop

    mechanism = Mechanism(
        "some", lambda rng, n: rng.normal(3.0, 1.0, n + rng.integers(3)), lambda n: {"theta": 1.0}
    )
    made = study(ENTANGLED["centered"][0], mechanism, [OBSERVED], n=20)
    ours, theirs = (e.block(made, 0, 0, 12)["centered"] for e in (loop, batched))
    assert_array_equal(ours.status, Status.ok)
    assert_allclose(theirs.estimate, ours.estimate, rtol=1e-8)
    assert_allclose(theirs.se, ours.se, rtol=1e-6)


def winsorized(methods, seed):
    """Make a study whose terms look at others only where a row of 500 is an outlier."""

    def loglik(theta, data):
        xp = namespace(theta[0], data)
        middle = xp.median(data)
        reach = 4 * xp.median(xp.abs(data - middle))
        near = xp.clip(data, middle - reach, middle + reach)
        return -xp.log(theta[1]) - ((near - theta[0]) / theta[1]) ** 2 / 2

    def draw(rng, n):
        return np.where(rng.random(n) < 0.002, 30.0, rng.uniform(-1, 1, n))

    model = Model(
        "winsorized", {"m": "real", "s": "positive"}, lambda data: np.array([0.0, 1.0]), loglik
    )
    mechanism = Mechanism("rare", draw, lambda n: {"m": 0.0, "s": 0.6})
    return Study("s", grid(mechanism, n=40), [MaximumLikelihood(model, methods)], seed=seed)


def test_terms_that_look_at_others_in_rare_data_sets_only_are_found():
    """One data set in 13 has an outlier: thirty together have none in one of ten studies."""
    pytest.importorskip("jax")
    from simstudy.engines import batched, loop

    made = winsorized([OBSERVED], seed=1)
    (scenario,) = made.scenarios
    plain = [i for i in range(30) if np.abs(draw_of(made, scenario, i)).max() < 2]
    assert plain[:2] == [0, 1]
    assert len(plain) < 30
    assert "data sets together" in dependent_terms(made, scenario, made.estimators[0])
    ours, theirs = (e.block(made, 0, 0, 30)["winsorized"] for e in (loop, batched))
    assert_array_equal(ours.status, theirs.status)
    se = ours.se[:, 0]
    assert_allclose(theirs.estimate / se, ours.estimate / se, rtol=0, atol=5e-8)
    with raises_saying("sandwich-central cannot answer"):
        validate(winsorized([OBSERVED_CENTRAL, SANDWICH_CENTRAL], seed=1))


def test_what_was_seen_is_known_in_each_process(monkeypatch):
    made = winsorized([OBSERVED_CENTRAL], seed=1)
    once = dependent_terms(made, made.scenarios[0], made.estimators[0])
    monkeypatch.setattr("simstudy.design.dependent_terms.draw", None)
    again = replace(made, replicates=7)
    assert dependent_terms(again, again.scenarios[0], again.estimators[0]) == once


@EVERY
def test_methods_that_need_single_terms_are_refused_by_name(name):
    model, mechanism, factors = ENTANGLED[name]
    methods = [OBSERVED_CENTRAL, SANDWICH_CENTRAL, OPG_CENTRAL, BFGS_INVERSE, BOOTSTRAP]
    made = study(model, mechanism, methods, **factors)
    with raises_saying(
        repr(made.scenarios[0].key), repr(model.name),
        "sandwich-central, opg-central, bootstrap cannot answer. Resamples, and scores of single",
        "look at others",
        "observed-central, bfgs-inverse can answer", "a column of its own",
    ):  # fmt: skip
        validate(made)
    validate(study(model, mechanism, [OBSERVED_CENTRAL, BFGS_INVERSE], **factors))


def test_own_sources_may_say_that_they_need_single_terms():
    @dataclass(frozen=True)
    class Scores:
        needs: ClassVar[tuple[str, ...]] = ()
        by_observation: ClassVar[bool] = True

        def __call__(self, fitted):
            return np.eye(1)

    @dataclass(frozen=True)
    class Mine:
        name: str = "mine"
        sources: tuple = (Scores(),)

        def __call__(self, fitted, scores):
            raise AssertionError("not called")

    model, mechanism, factors = ENTANGLED["centered"]
    with raises_saying("mine cannot answer"):
        validate(study(model, mechanism, [OBSERVED_CENTRAL, Mine()], **factors))


@pytest.mark.parametrize(
    ("loglik", "how"),
    [
        (lambda theta, data: -((data - theta[0]) ** 2) / 2 - theta[0] ** 2 / len(data),
         "among all 30"),
        (lambda theta, data: -((data - theta[0] * np.linspace(0, 1, len(data))) ** 2) / 2,
         "among all 30"),
        (lambda theta, data: -((data - theta[0] * np.arange(30)) ** 2) / 2,
         "for 15 of the 30 observations it raises ValueError"),
    ],
    ids=["penalty over n", "a trend by position", "a design of its own"],
)  # fmt: skip
def test_what_else_does_not_survive_a_resample(loglik, how):
    model, mechanism = one("m", "real", loglik, lambda rng, n: rng.normal(size=n), 0.5)
    made = study(model, mechanism, [OBSERVED_CENTRAL], n=30)
    assert how in dependent_terms(made, made.scenarios[0], made.estimators[0])


def test_the_shipped_models_and_studies_are_left_alone():
    """No likelihood that is right is refused; arrays of a mapping travel together."""
    pytest.importorskip("jax")
    from models_tried import MODELS

    methods = [METHODS[name] for name in ("observed", "opg", "sandwich", "bootstrap")]
    studies = [study(model, mechanism, methods, **f) for model, mechanism, f in MODELS.values()]
    studies += [study(model, mechanism, methods, **f | {"n": 1}) for model, mechanism, f in
                (MODELS["normal"], MODELS["poisson"], MODELS["exponential"])]  # fmt: skip
    studies += [load(name)[0] for name in ("gamma", "spector", "question")]
    assert len(studies) == 18
    for made in studies:
        validate(made)
        for scenario in made.scenarios:
            for estimator in made.answering(scenario):
                assert dependent_terms(made, scenario, estimator) is None


def test_a_table_of_pandas_may_be_data():
    import pandas as pd

    def draw(rng, n):
        return pd.DataFrame({"y": rng.normal(size=n)})

    model, mechanism = one("m", "real", lambda t, data: -((data["y"] - t[0]) ** 2) / 2, draw, 0.0)
    check_accepted(study(model, mechanism, [OBSERVED_CENTRAL, SANDWICH_CENTRAL, BOOTSTRAP], n=20))


# --- random numbers from elsewhere ----------------------------------------------------------------


@pytest.mark.parametrize(
    "noise",
    [
        lambda: np.random.normal(),  # noqa: NPY002
        random.random,
        lambda: np.random.default_rng().normal(),
    ],
    ids=["numpy", "random", "an unseeded generator"],
)
def test_random_numbers_from_elsewhere_are_refused_before_work(noise, tmp_path):
    """The table of the same seed would be another one at every run."""

    def loglik(theta, data):
        return exponential.loglik(theta, data) + 1e-9 * noise()

    model = replace(exponential.MODEL, loglik=loglik, score=None, hessian=None)
    made = study(model, exponential.MECHANISM, [OBSERVED_CENTRAL], n=20, rate=1.0)
    with raises_saying("loglik", "two answers for the same data", "default_rng(1)"):
        validate(made)

    @dataclass(frozen=True)
    class Noisy:
        name: str = "noisy"
        sources: tuple = ()

        def __call__(self, fitted):
            se = np.full(1, 1 + 1e-9 * noise())
            return Inference(se, fitted.fit.theta - se, fitted.fit.theta + se, np.int8(0))

    function = FunctionEstimator("own", ["rate"], lambda y: {"rate": (1 + 1e-9 * noise(), 1.0)})
    for estimator in (MaximumLikelihood(exponential.MODEL, [Noisy()], name="own"), function):
        given = replace(made, estimators=[estimator])
        with raises_saying("estimator 'own' gave two answers", "fitted.stream", "default_rng(1)"):
            run(given, out=tmp_path / "r", jobs=1, engine="loop", quiet=True)
    assert not (tmp_path / "r" / "manifest.json").exists()


def test_every_estimator_is_seen_twice_where_a_look_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr("simstudy.execution.first_look.LONG", 1e-9)
    calls = []

    def own(y):
        calls.append(len(y))
        return {"rate": (1 + 1e-9 * np.random.normal(), 1.0)}  # noqa: NPY002

    made = Study(
        "s",
        [Scenario(exponential.MECHANISM, {"n": n, "rate": 1.0}) for n in (5, 6, 7)],
        [FunctionEstimator("own", ["rate"], own)],
        replicates=10,
    )
    with raises_saying("two answers"):
        run(made, out=tmp_path / "r", jobs=1, engine="loop", quiet=True)
    assert calls == [5, 6, 7, 5]


def test_a_generator_with_its_own_seed_is_left_alone(tmp_path):
    def own(y):
        rng = np.random.default_rng(1)
        np.random.seed(1)  # noqa: NPY002
        means = [rng.choice(y, len(y)).mean() for _ in range(20)]
        return {"rate": (1 / y.mean() + 1e-9 * np.random.normal(), np.std(means))}  # noqa: NPY002

    made = study(exponential.MODEL, exponential.MECHANISM, [OBSERVED, BOOTSTRAP], 2, n=20, rate=1.0)
    made = replace(made, estimators=[*made.estimators, FunctionEstimator("own", ["rate"], own)])
    assert len(run(made, out=tmp_path / "r", jobs=1, quiet=True).table()) == 6


def test_the_global_generators_come_back_as_they_were():
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = np.random.normal(), random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    with other_random_state():
        inside = np.random.normal(), random.random()  # noqa: NPY002
    assert (np.random.normal(), random.random()) == expected  # noqa: NPY002
    assert inside[0] != expected[0]
    assert inside[1] != expected[1]


# --- the sign -------------------------------------------------------------------------------------


def upside_down(model, times=-1):
    return replace(
        model,
        loglik=lambda theta, data: times * model.loglik(theta, data),
        score=model.score and (lambda theta, data: times * model.score(theta, data)),
        hessian=model.hessian and (lambda theta, data: times * model.hessian(theta, data)),
    )


@pytest.mark.parametrize("bare", [False, True], ids=["formulas", "loglik only"])
@pytest.mark.parametrize("times", [-1, -2])
def test_the_negative_log_likelihood_is_recognized(times, bare):
    pytest.importorskip("jax")
    from models_tried import MODELS

    for model, mechanism, factors in MODELS.values():
        given = replace(model, score=None, hessian=None) if bare else model
        made = study(upside_down(given, times), mechanism, [OBSERVED_CENTRAL], **factors)
        with raises_saying(
            repr(model.name), "looks like the negative log-likelihood: its mean Hessian",
            "positive definite", "return the log-likelihood",
        ):  # fmt: skip
            validate(made)


def test_the_negative_log_likelihood_is_recognized_beside_a_nuisance():
    """Any parameter may be without a truth; the log-likelihood itself is left alone."""
    pytest.importorskip("jax")
    from models_tried import MODELS

    for name in ("gamma", "normal", "weibull-censored", "poisson-regression"):
        model, mechanism, factors = MODELS[name]
        for gone in model.names:
            known = replace(mechanism, truth=functools.partial(without, mechanism.truth, gone))
            check_accepted(study(model, known, [OBSERVED_CENTRAL], **factors))
            with raises_saying(repr(model.name), "looks like the negative log-likelihood"):
                validate(study(upside_down(model), known, [OBSERVED_CENTRAL], **factors))


def without(truth, gone, **factors):
    return {name: value for name, value in truth(**factors).items() if name != gone}


def test_misspecified_and_unidentified_log_likelihoods_are_left_alone():
    """So is one whose truth is elsewhere: a scale for a rate is curved upwards at rate 2."""
    wrong = [
        (exponential.WRONG_GAMMA, {"n": 50, "shape": 0.5, "mean": 2.0}),
        (exponential.WRONG_WEIBULL, {"n": 50, "shape": 2.0, "mean": 3.0}),
    ]
    for mechanism, factors in wrong:
        check_accepted(study(exponential.MODEL, mechanism, [OBSERVED], **factors))
    twice = Model(
        "twice", {"a": "real", "b": "real"}, lambda data: np.zeros(2),
        lambda theta, data: -((data - theta[0] - theta[1]) ** 2) / 2,
    )  # fmt: skip
    mechanism = Mechanism("m", lambda rng, n: rng.normal(size=n), lambda n: {"a": 0.0, "b": 0.0})
    check_accepted(study(twice, mechanism, [OBSERVED_CENTRAL], n=20))
    slipped = Model(
        "slipped", {"rate": "positive"}, lambda data: np.ones(1),
        lambda theta, data: -np.log(theta[0]) - data / theta[0],
    )  # fmt: skip
    for n in (5, 20):
        check_accepted(study(slipped, exponential.MECHANISM, [OBSERVED_CENTRAL], n=n, rate=2.0))


def test_a_right_log_likelihood_with_a_nuisance_or_few_data_sets_is_left_alone():
    nuisance = replace(normal.MECHANISM, truth=lambda mu, **_: {"mu": mu})
    check_accepted(study(normal.MODEL, nuisance, [OBSERVED], n=2, mu=0.0, sigma=1.0))


# --- mistakes that every beginner makes -----------------------------------------------------------


def rates(loglik=exponential.MODEL.loglik, start=lambda data: np.ones(1)):
    return Model("rates", {"rate": "positive"}, start, loglik)


def waiting(draw):
    return Mechanism("waiting", draw, lambda **_: {"rate": 1.0})


def changing(theta, data):
    data -= 1
    return -theta[0] * data


@pytest.mark.parametrize(
    ("model", "draw", "n", "says"),
    [
        (rates(), lambda n: np.ones(n), 20, ("draw's first argument is the generator", "(rng, n)")),
        (rates(), lambda rng, n: rng.exponential(size=n), 20.0, ("'n'", "float 20.0", "n=20 ")),
        (rates(), lambda rng, n: rng.exponential(size=n), 0, ("empty data set",)),
        (rates(lambda data, theta: np.log(theta[0]) - theta[0] * data),
         lambda rng, n: rng.exponential(size=n), 20, ("other way round", "loglik(theta, data)")),
        (rates(changing), lambda rng, n: rng.exponential(size=n), 20,
         ("data must not be changed", "data.copy()", "changing, line")),
        (rates(start=lambda data: np.full(1, -2.0)), lambda rng, n: rng.exponential(size=n), 20,
         ("start gave rate=-2 (support 'positive')",)),
    ],
    ids=["no generator", "float count", "empty", "swapped", "changed", "start"],
)  # fmt: skip
def test_a_plain_mistake_is_a_sentence(model, draw, n, says):
    made = study(model, waiting(draw), [OBSERVED_CENTRAL], n=n)
    with raises_saying(*says):
        validate(made)


def test_what_is_printed_during_the_checks_is_not_heard(capsys):
    def loud(rng, n):
        print("hello")
        return rng.exponential(size=n)

    check_accepted(study(rates(), waiting(loud), [OBSERVED_CENTRAL], n=20))
    assert capsys.readouterr().out == ""
