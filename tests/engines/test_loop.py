"""One replicate is a function of study, scenario and number; what goes wrong in it is a status."""

import itertools
import tracemalloc
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Mechanism,
    Model,
    Scenario,
    Study,
    StudyError,
    grid,
)
from simstudy.design.checks import validate
from simstudy.engines.loop import block
from simstudy.estimators.protocol import finished
from simstudy.execution.replay import debug, replay, save
from simstudy.execution.replay_text import show
from simstudy.likelihood.curvature import Inverse, invert
from simstudy.methods import (
    BFGS_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_LOG_WALD,
    OPG,
    SANDWICH,
    ExactHessian,
    Multinomial,
    Resampling,
    Wald,
    standard,
)
from simstudy.methods.covariance import observed
from simstudy.methods.intervals import wald
from simstudy.models import binomial, exponential, gamma
from simstudy.records import block as records
from simstudy.records import rows as tables
from simstudy.records.block import empty
from simstudy.status import Status
from simstudy.streams import stream

FEW_REFITS = Resampling("bootstrap", Multinomial(8))
GAMMA = [OBSERVED, OBSERVED_LOG_WALD, OBSERVED_CENTRAL, OPG, SANDWICH, BFGS_INVERSE, FEW_REFITS]


def gammas(methods=GAMMA, **changes):
    """Make a study of two sample sizes from a gamma distribution."""
    scenarios = grid(gamma.MECHANISM, n=[12, 30], shape=2.0, rate=1.0)
    estimators = [MaximumLikelihood(gamma.MODEL, methods)]
    return Study("gammas", scenarios, estimators, replicates=12, seed=5, **changes)


def exponentials(draw=None, loglik=exponential.loglik, methods=(OBSERVED,), **changes):
    """Make a study of one scenario: ten exponential values."""
    mechanism = Mechanism(
        "mine", draw or (lambda rng: rng.exponential(size=10)), lambda: {"rate": 1}
    )
    model = replace(exponential.MODEL, loglik=loglik)
    estimators = changes.pop("estimators", [MaximumLikelihood(model, methods)])
    return Study("mine", [Scenario(mechanism, {})], estimators, replicates=20, seed=3, **changes)


def values(study, replicates):
    """Return the data sets of `exponentials()` from the stream itself."""
    return [stream(study.seed, "mine", i, "data").exponential(size=10) for i in replicates]


def assert_equal_blocks(one, other, but=()):
    for name, expected in other.arrays().items():
        if name not in ("seconds", "audit.seconds", *but):
            assert_array_equal(one.arrays()[name], expected, err_msg=name)


# --- what a replicate depends on ---------------------------------------------------------------


@pytest.mark.parametrize(
    "cuts", [(0, 1, 2, 3, 4, 5, 6, 7), (0, 3, 7)], ids=["one by one", "in two"]
)
def test_a_block_does_not_depend_on_its_range(cuts):
    study = gammas()
    whole = block(study, 1, 0, 7)["gamma"]
    pieces = [block(study, 1, a, b)["gamma"] for a, b in itertools.pairwise(cuts)]
    assert_equal_blocks(records.join(pieces), whole)
    assert (whole.status == Status.ok).all()


def test_a_replicate_does_not_depend_on_other_scenarios_methods_or_estimators():
    study = gammas()
    expected = block(study, 1, 2, 5)["gamma"]
    alone = replace(study, scenarios=study.scenarios[1:])
    assert_equal_blocks(block(alone, 0, 2, 5)["gamma"], expected)
    backwards = block(gammas(GAMMA[::-1]), 1, 2, 5)["gamma"]
    for name in ("se", "lower", "upper", "status"):
        assert_array_equal(getattr(backwards, name)[:, ::-1], getattr(expected, name), err_msg=name)
    company = MaximumLikelihood(gamma.MODEL, [FEW_REFITS], optimizer="L-BFGS-B", name="other")
    more = replace(study, estimators=[company, *study.estimators])
    assert_equal_blocks(block(more, 1, 2, 5)["gamma"], expected)


def test_seed_scenario_and_replicate_each_change_the_data():
    study = gammas([OBSERVED])
    base = block(study, 0, 0, 2)["gamma"].estimate
    assert not np.intersect1d(base, block(replace(study, seed=6), 0, 0, 2)["gamma"].estimate).size
    assert not np.intersect1d(base, block(study, 1, 0, 2)["gamma"].estimate).size
    assert len(np.unique(base)) == base.size


def test_scenarios_that_differ_in_name_only_have_their_own_data():
    def drawing(name):
        return Mechanism(name, lambda rng: rng.exponential(size=10), lambda: {"rate": 1})

    scenarios = [Scenario(drawing(name), {}) for name in ("one", "two")]
    study = Study("names", scenarios, [MaximumLikelihood(exponential.MODEL, [OBSERVED])], seed=3)
    one, two = (block(study, index, 0, 5)["exponential"].estimate for index in (0, 1))
    assert not np.intersect1d(one, two).size


def test_estimators_cannot_change_each_others_data():
    """A start that sorts its data in place leaves them as drawn for the next estimator."""

    def sorting(data):
        data.sort()
        return np.ones(1)

    first = MaximumLikelihood(replace(exponential.MODEL, name="sorting", start=sorting), [OBSERVED])
    seen = []

    def first_value(data):
        seen.append(data[0])
        return {"rate": (data[0], 1.0)}

    second = FunctionEstimator("first", ["rate"], first_value)
    study = exponentials(estimators=[first, second])
    block(study, 0, 0, 3)
    assert seen == [data[0] for data in values(study, range(3))]


def test_the_estimate_is_the_maximum_likelihood_estimate_of_the_data_of_the_stream():
    study = exponentials()
    answer = block(study, 0, 4, 9)["exponential"]
    expected = [1 / data.mean() for data in values(study, range(4, 9))]
    # the polish stops where the EDM is 5e-17, a hundred-millionth of a standard error
    assert_allclose(answer.estimate[:, 0], expected, rtol=1e-7)
    assert_allclose(answer.se[:, 0, 0], answer.estimate[:, 0] / np.sqrt(10), rtol=1e-7)


# --- statuses ------------------------------------------------------------------------------------


def test_a_draw_that_raises_is_a_data_error_with_its_message():
    def sometimes(rng):
        data = rng.exponential(size=10)
        if data[0] > 1:
            raise ValueError(f"no data <{data[0]:.3f}>")
        return data

    study = exponentials(sometimes)
    bad = np.array([data[0] > 1 for data in values(study, range(20))])
    answer = block(study, 0, 0, 20)["exponential"]
    assert 0 < bad.sum() < 20
    assert_array_equal(answer.status[:, 0] == Status.data_error, bad)
    assert_array_equal(answer.audit["status"] == Status.data_error, bad)
    assert_array_equal(answer.status[:, 0] == Status.ok, ~bad)
    assert np.isnan(answer.estimate[bad]).all()
    first = values(study, range(20))[np.flatnonzero(bad)[0]][0]
    message = answer.audit["message"][bad][0]
    assert message.startswith(f"ValueError: no data <{first:.3f}> (sometimes, line ")
    assert set(answer.audit["message"][~bad]) == {""}


def test_a_log_likelihood_that_raises_is_a_fit_error_with_its_message():
    def sometimes(theta, data):
        if data[0] > 1:
            raise ZeroDivisionError("too large")
        return exponential.loglik(theta, data)

    study = exponentials(loglik=sometimes)
    bad = np.array([data[0] > 1 for data in values(study, range(20))])
    answer = block(study, 0, 0, 20)["exponential"]
    assert_array_equal(answer.status[:, 0] == Status.fit_error, bad)
    assert_array_equal(answer.audit["status"] == Status.fit_error, bad)
    assert np.isfinite(answer.estimate[~bad]).all()
    assert all(m.startswith("ZeroDivisionError: too large") for m in answer.audit["message"][bad])


def test_data_with_a_nan_is_a_fit_error_that_says_so():
    def sometimes(rng):
        data = rng.exponential(size=10)
        return np.where((data[0] > 1) & (np.arange(10) == 3), np.nan, data)

    study = exponentials(sometimes)
    bad = np.array([data[0] > 1 for data in values(study, range(20))])
    answer = block(study, 0, 0, 20)["exponential"]
    assert_array_equal(answer.status[:, 0] != Status.ok, bad)
    assert set(answer.status[bad, 0]) == {Status.fit_error}
    assert np.isnan(answer.estimate[bad]).all()
    # the start is log(2) / median, which is nan here
    assert all("start" in message and "nan" in message for message in answer.audit["message"][bad])


def raising(curvature):
    """Raise where the estimate is small: at H = n / rate**2 > 10."""
    if np.any(curvature.hessian > 10):
        raise ArithmeticError("no such covariance")
    return observed(curvature)


@dataclass(frozen=True)
class Own:
    """Somebody's own method: twice the usual standard error, or an exception."""

    name: str = "own"
    sources: ClassVar[tuple] = ()

    def __call__(self, fitted):
        if fitted.fit.theta[0] < 1:
            raise ArithmeticError("no such covariance")
        covariance = 4 * np.linalg.inv(fitted.fit.hessian)
        return standard(
            fitted.fit.theta, covariance, np.int8(0), wald, fitted.level, fitted.target.model
        )


@pytest.mark.parametrize(
    "method", [Wald("own", raising, hessian=ExactHessian()), Own()], ids=["a formula", "a class"]
)
def test_a_method_that_raises_in_some_replicates_is_a_method_error_there_only(method):
    study = exponentials(methods=[OBSERVED, method])
    whole = block(study, 0, 0, 20)["exponential"]
    bad = whole.estimate[:, 0] < 1
    assert 0 < bad.sum() < 20
    assert_array_equal(whole.status[:, 0], Status.ok)
    assert_array_equal(whole.status[:, 1] == Status.method_error, bad)
    assert_array_equal(whole.status[:, 1] == Status.ok, ~bad)
    assert np.isnan(whole.se[bad, 1]).all()
    for message in whole.audit["message"][bad]:
        assert message.startswith("own: ArithmeticError: no such covariance")
    pieces = [block(study, 0, i, i + 1)["exponential"] for i in range(20)]
    assert_equal_blocks(records.join(pieces), whole)


def test_two_methods_that_raise_leave_both_messages():
    methods = [OBSERVED, Wald("one", raising, hessian=ExactHessian()), Own("other")]
    answer = block(exponentials(methods=methods), 0, 0, 20)["exponential"]
    bad = answer.estimate[:, 0] < 1
    assert bad.any()
    for message in answer.audit["message"][bad]:
        assert "one: ArithmeticError" in message
        assert "other: ArithmeticError" in message


def test_a_matrix_without_an_inverse_keeps_its_row_and_its_estimate():
    def never(curvature):
        return invert(-curvature.hessian)

    answer = block(
        exponentials(methods=[OBSERVED, Wald("never", never, hessian=ExactHessian())]), 0, 0, 5
    )["exponential"]
    assert_array_equal(answer.status, [[Status.ok, Status.not_positive_definite]] * 5)
    assert np.isfinite(answer.estimate).all()
    assert np.isnan(answer.se[:, 1]).all()


def test_outcomes_all_alike_have_no_maximum():
    scenarios = grid(binomial.LOGIT_MECHANISM, n=20, p=0.1)
    estimators = [MaximumLikelihood(binomial.LOGIT_MODEL, [OBSERVED])]
    study = Study("separated", scenarios, estimators, seed=1)
    answer = block(study, 0, 0, 60)["binomial-logit"]
    outcomes = [scenarios[0].mechanism.draw(stream(1, scenarios[0].key, i, "data"), n=20, p=0.1)
                for i in range(60)]  # fmt: skip
    alike = np.array([data.sum() in (0, 20) for data in outcomes])
    assert alike.any()
    assert_array_equal(answer.status[:, 0] == Status.no_maximum, alike)
    assert_array_equal(answer.status[:, 0] == Status.ok, ~alike)
    assert np.isnan(answer.estimate[alike]).all()


def test_every_method_of_every_replicate_has_a_status_whatever_happens():
    """Nothing is lost: rows of every status sum to what was asked."""

    def wild(rng):
        data = rng.exponential(size=10)
        if data[0] < 0.2:
            raise KeyError("no data")
        return np.where(data[0] > 1.5, np.nan, data)

    def wilder(theta, data):
        if data[1] < 0.2:
            raise OverflowError("no value")
        return exponential.loglik(theta, data)

    methods = [OBSERVED, Wald("own", raising, hessian=ExactHessian()), FEW_REFITS]
    study = exponentials(wild, wilder, methods, fewer={"bootstrap": 6})
    table = tables.table(zip(study.cells(0), block(study, 0, 0, 20).values(), strict=True))
    counts = table.groupby("method", observed=True).size().to_dict()
    assert counts == {"observed": 20, "own": 20, "bootstrap": 6}
    assert {"ok", "data_error", "fit_error", "method_error"} <= set(table["status"])
    bad = table["status"] != "ok"
    assert table.loc[bad, ["se", "lower", "upper"]].isna().all(axis=None)
    assert table.loc[~bad, ["estimate", "se", "lower", "upper"]].notna().all(axis=None)


@pytest.mark.parametrize("where", ["draw", "loglik", "method"])
def test_strict_lets_the_exception_through(where):
    def fail(*arguments):
        raise ZeroDivisionError("mine")

    study = {
        "draw": lambda: exponentials(fail),
        "loglik": lambda: exponentials(loglik=fail),
        "method": lambda: exponentials(methods=[Wald("own", fail, hessian=ExactHessian())]),
    }[where]()
    with pytest.raises(ZeroDivisionError, match="mine"):
        block(study, 0, 0, 1, strict=True)
    expected = {"draw": "data_error", "loglik": "fit_error", "method": "method_error"}[where]
    answer = block(study, 0, 0, 2)["exponential"]
    assert_array_equal(answer.status, Status[expected])


# --- other estimators and other data -----------------------------------------------------------


def test_an_own_estimator_may_give_its_own_limits():
    def mean(data):
        return {"rate": (1 / data.mean(), 0.5, 0.1, 3.0)}

    study = exponentials(estimators=[FunctionEstimator("mean", ["rate"], mean)])
    answer = block(study, 0, 0, 4)["mean"]
    assert_array_equal(answer.lower[:, 0, 0], 0.1)
    assert_array_equal(answer.upper[:, 0, 0], 3.0)
    assert_array_equal(answer.se[:, 0, 0], 0.5)
    assert_array_equal(answer.audit["status"], Status.ok)


def test_an_own_estimator_without_limits_gets_walds():
    def mean(data):
        return {"rate": (1.0, 0.5)}

    study = exponentials(estimators=[FunctionEstimator("mean", ["rate"], mean)], level=0.9)
    answer = block(study, 0, 0, 1)["mean"]
    z = 1.6448536269514722  # the 95 % point of the normal distribution
    assert_allclose(
        [answer.lower[0, 0, 0], answer.upper[0, 0, 0]], [1 - z / 2, 1 + z / 2], rtol=1e-14
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": (1.0, 0.5, 0.1)},
        {"rate": (1.0,)},
        {"rate": 1.0},
        {"r": (1.0, 0.5)},
        (1.0, 0.5),
        None,
    ],
    ids=repr,
)
def test_an_own_estimator_that_answers_otherwise_is_told_what_is_due(wrong):
    study = exponentials(estimators=[FunctionEstimator("mean", ["rate"], lambda data: wrong)])
    with pytest.raises(
        ValueError, match=r"'mean', replicate 0: it returned .*due .*estimate, se, lower, upper"
    ):
        block(study, 0, 0, 1, strict=True)
    answer = block(study, 0, 0, 1)["mean"]
    assert_array_equal(answer.status, Status.fit_error)
    assert "due" in answer.audit["message"][0]


@pytest.mark.parametrize("se", [0.0, -1.0, np.nan, np.inf])
def test_an_own_estimator_without_a_standard_error_keeps_its_estimate(se):
    def mean(data):
        return {"rate": (1.5, se)}

    answer = block(exponentials(estimators=[FunctionEstimator("mean", ["rate"], mean)]), 0, 0, 1)
    assert_array_equal(
        answer["mean"].status, Status.negative_variance if se < 0 else Status.not_finite
    )
    assert_array_equal(answer["mean"].audit["status"], Status.ok)
    assert_array_equal(answer["mean"].estimate, 1.5)
    assert np.isnan(answer["mean"].se).all()


def test_sample_sizes_may_vary_by_replicate():
    def varying(rng):
        return rng.exponential(size=5 + rng.integers(20))

    study = exponentials(varying, methods=[OBSERVED, OPG, FEW_REFITS])
    answer = block(study, 0, 0, 8)["exponential"]
    sizes = [5 + stream(3, "mine", i, "data").integers(20) for i in range(8)]
    assert len(set(sizes)) > 3
    assert_array_equal(answer.status, Status.ok)
    relative = answer.se[:, 0, 0] / answer.estimate[:, 0]
    draws = [varying(stream(3, "mine", i, "data")) for i in range(8)]
    assert_allclose(relative, [1 / np.sqrt(len(data)) for data in draws], rtol=1e-7)


def test_data_may_be_a_mapping_of_arrays():
    def pair(rng):
        x = rng.normal(size=(15, 2))
        return {"x": x, "time": rng.exponential(size=15)}

    model = Model(
        "mapped", {"rate": "positive"}, lambda data: np.ones(1),
        lambda theta, data: np.log(theta[0]) - theta[0] * data["time"],
    )  # fmt: skip
    study = exponentials(
        pair, estimators=[MaximumLikelihood(model, [OBSERVED_CENTRAL, FEW_REFITS])]
    )
    validate(study)
    answer = block(study, 0, 0, 4)["mapped"]
    assert_array_equal(answer.status, Status.ok)
    times = [pair(stream(3, "mine", i, "data"))["time"] for i in range(4)]
    # differences: the estimate is as good as the gradient's noise, far below a standard error
    assert_allclose(answer.estimate[:, 0], [1 / time.mean() for time in times], rtol=1e-6)


def test_resampling_has_its_own_stream():
    """The bootstrap takes nothing from the stream of the data, nor from another replicate's."""
    study = exponentials(methods=[OBSERVED, FEW_REFITS])
    together = block(study, 0, 0, 3)["exponential"]
    alone = block(exponentials(), 0, 0, 3)["exponential"]
    assert_array_equal(together.estimate, alone.estimate)
    ratios = together.se[:, 1, 0] / together.se[:, 0, 0]
    assert len(np.unique(ratios.round(6))) == 3


# --- replay --------------------------------------------------------------------------------------


def test_replay_gives_the_same_numbers_and_each_methods_matrix():
    study = gammas()
    expected = block(study, 1, 0, 6)["gamma"]
    again = replay(study, 1, 4)
    answer = again.blocks["gamma"]
    assert_array_equal(answer.estimate[0], expected.estimate[4])
    assert_array_equal(answer.se[0], expected.se[4])
    assert_array_equal(again.fits["gamma"].theta, expected.estimate[4])
    assert_array_equal(again.data, stream(5, study.scenarios[1].key, 4, "data").gamma(2.0, size=30))
    assert {label for _, label in again.matrices} == {method.name for method in GAMMA}
    for m, method in enumerate(GAMMA):
        matrix = again.matrices["gamma", method.name]
        assert_array_equal(np.sqrt(np.diagonal(matrix)), expected.se[4, m], err_msg=method.name)


def test_replay_has_one_blas_thread_as_the_run_has():
    """More threads change the last bits of a product."""
    seen = set()

    def watching(theta, data):
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return exponential.loglik(theta, data)

    with threadpool_limits(limits=2):
        replay(exponentials(loglik=watching), 0, 0)
    assert seen == {1}


def test_replay_in_words_has_the_numbers_of_the_table():
    study = gammas([OBSERVED])
    expected = block(study, 0, 3, 4)["gamma"]
    text = show(study, 0, 3)
    assert study.scenarios[0].key in text
    assert "replicate 3, seed 5" in text
    assert "truth  shape 2, rate 1" in text
    assert "observed: ok." in text
    for number in (*expected.se[0, 0], *expected.lower[0, 0], *expected.upper[0, 0]):
        assert f"{number:.10g}" in text


def test_replay_of_a_data_set_that_cannot_be_drawn_says_so():
    def never(rng):
        raise ValueError("no data")

    text = show(exponentials(never), 0, 2)
    assert "data_error" in text
    assert "ValueError: no data" in text


def test_replay_of_a_fit_that_raises_says_so():
    def never(theta, data):
        raise ValueError("no likelihood")

    text = show(exponentials(loglik=never), 0, 2)
    assert "fit_error" in text
    assert "ValueError: no likelihood" in text


def test_replay_of_a_method_that_raises_shows_the_others():
    broken = Wald("broken", lambda curvature: 1 / 0, hessian=ExactHessian())
    text = show(exponentials(methods=[broken, OBSERVED]), 0, 2)
    assert "broken: method_error" in text
    assert "ZeroDivisionError" in text
    assert "observed: ok" in text


def test_replay_of_an_own_method_needs_no_matrix():
    text = show(exponentials(methods=[OBSERVED, Own()]), 0, 2)
    expected = block(exponentials(methods=[OBSERVED, Own()]), 0, 2, 3)["exponential"]
    assert f"own: {Status(int(expected.status[0, 1])).name}" in text


def test_replay_does_not_ask_a_method_that_the_study_does_not_ask():
    study = exponentials(methods=[OBSERVED, FEW_REFITS], fewer={"bootstrap": 2})
    assert ("exponential", "bootstrap") in replay(study, 0, 1).matrices
    assert ("exponential", "bootstrap") not in replay(study, 0, 2).matrices
    assert "bootstrap: not_asked" in show(study, 0, 2)


def test_replay_of_a_negative_variance_shows_the_matrix():
    negative = Wald(
        "negative",
        lambda curvature: Inverse(
            -curvature.hessian, np.zeros(curvature.hessian.shape[:-2], np.int8)
        ),
        hessian=ExactHessian(),
    )
    again = replay(exponentials(methods=[negative]), 0, 2)
    assert again.matrices["exponential", "negative"][0, 0] < 0
    assert_array_equal(again.blocks["exponential"].status, Status.negative_variance)


# --- the data and the debugger ------------------------------------------------------------------


def test_the_data_of_a_replicate_are_saved_without_a_pickle(tmp_path):
    study, path = exponentials(), tmp_path / "data.npz"
    save(study, 0, 2, path)
    with np.load(path, allow_pickle=False) as saved:
        assert saved.files == ["data"]
        assert_array_equal(saved["data"], replay(study, 0, 2).data, strict=True)
    named = exponentials(
        draw=lambda rng: {"file": rng.normal(size=3), "words": np.array(["a", "b", "c"])}
    )
    save(named, 0, 2, path)
    with np.load(path, allow_pickle=False) as saved:
        assert saved["words"].tolist() == ["a", "b", "c"]
        rng = stream(named.seed, named.scenarios[0].key, 2, "data")
        assert_array_equal(saved["file"], rng.normal(size=3), strict=True)
    assert [file.name for file in tmp_path.iterdir()] == ["data.npz"]


def test_data_that_only_a_pickle_could_hold_are_refused_and_nothing_is_left(tmp_path):
    study = exponentials(draw=lambda rng: np.array([{}, rng.normal()], dtype=object))
    with pytest.raises(StudyError, match="cannot be saved without a pickle"):
        save(study, 0, 0, tmp_path / "data.npz")
    with pytest.raises(StudyError, match=r"'data\.pkl'.*ends in \.npz"):
        save(exponentials(), 0, 0, Path("data.pkl"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["draw", "loglik", "method"])
def test_the_debugger_opens_at_the_exception(monkeypatch, capsys, where):
    def mistaken(*arguments):
        raise ZeroDivisionError("here")

    places = []
    monkeypatch.setattr("pdb.post_mortem", lambda trace: places.append(trace))
    broken = Wald("broken", mistaken, hessian=ExactHessian())
    given = {"methods": [broken]} if where == "method" else {where: mistaken}
    debug(exponentials(**given), 0, 2)
    (trace,) = places
    while trace.tb_next is not None:
        trace = trace.tb_next
    assert trace.tb_frame.f_code.co_name == "mistaken"
    assert "ZeroDivisionError: here" in capsys.readouterr().err
    debug(exponentials(), 0, 2)
    assert len(places) == 1
    assert "nothing was raised" in capsys.readouterr().out


# --- warnings -----------------------------------------------------------------------------------


def heard(study, first=0, last=6):
    """Return the warnings of the first estimator, by replicate."""
    return next(iter(block(study, 0, first, last).values())).audit["warnings"].tolist()


def first_value(study, replicate):
    return replay(study, 0, replicate).data[0]


def test_warnings_are_kept_by_kind_and_replicate_whatever_the_range():
    def warn(kind, value):
        for _ in range(3):
            if value > 1:
                warnings.warn(f"{kind}\nmore", stacklevel=1)

    def draw(rng):
        data = rng.exponential(size=10)
        warn("data", data[0])
        return data

    def loglik(theta, data):
        warn("fit", data[0])
        return exponential.loglik(theta, data)

    def formula(curvature):
        for value in np.ravel(curvature.hessian[..., 0, 0]):
            warn("method", value / 5)
        return observed(curvature)

    methods = [OBSERVED, Wald("own", formula, hessian=ExactHessian())]
    study = exponentials(draw, loglik, methods)
    found = heard(study)
    values = [first_value(study, i) for i in range(6)]
    hessians = [block(study, 0, i, i + 1)["exponential"].estimate[0, 0] for i in range(6)]
    for text, value, rate in zip(found, values, hessians, strict=True):
        kinds = set(text.split(" | ")) - {""}
        assert ("UserWarning: data" in kinds) == (value > 1)
        assert ("UserWarning: fit" in kinds) == (value > 1)
        assert ("UserWarning: method" in kinds) == (10 / rate**2 > 5)
        assert len(kinds) == 2 * (value > 1) + (10 / rate**2 > 5)
    assert any(found)
    assert not all(found)
    assert found == [heard(study, i, i + 1)[0] for i in range(6)]
    assert_array_equal(
        block(study, 0, 0, 6)["exponential"].se[:, 0], block(study, 0, 0, 6)["exponential"].se[:, 1]
    )


def test_warnings_of_an_estimator_of_another_kind_are_not_lost():
    def estimate(data):
        warnings.warn("own", RuntimeWarning, stacklevel=1)
        return {"rate": (1.0, 1.0)}

    function = exponentials(estimators=[FunctionEstimator("f", ["rate"], estimate)])
    assert heard(function) == ["RuntimeWarning: own"] * 6
    assert "  warnings: RuntimeWarning: own\n" in show(function, 0, 2)


def test_warnings_of_an_estimator_that_says_not_where_are_the_first_replicates():
    class Plain:
        name, parameters, labels = "plain", ("rate",), ("own",)

        def answer(self, draws):
            warnings.warn("somewhere", stacklevel=1)
            return finished(empty(draws.replicates, 1, 1), draws, [""] * len(draws.data))

    assert heard(exponentials(estimators=[Plain()])) == ["UserWarning: somewhere"] + [""] * 5


def test_a_million_warnings_of_one_kind_cost_no_memory():
    def loglik(theta, data):
        for i in range(20_000):
            warnings.warn(f"number {i % 100}", stacklevel=1)
        return exponential.loglik(theta, data)

    tracemalloc.start()
    try:
        (text,) = heard(exponentials(loglik=loglik), 0, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kinds = text.split(" | ")
    assert kinds[:2] == ["UserWarning: number 0", "UserWarning: number 1"]
    assert kinds[-1] == "further kinds of warnings"
    assert len(kinds) == 11
    assert peak < 5e6  # as a list, the warnings of one call alone would be 10 MB
