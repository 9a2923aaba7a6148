"""A mechanism that does not match its likelihood is told so, and one that does is left alone."""

import contextlib
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.signal import lfilter
from scipy.stats import kstest

from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Mechanism,
    Model,
    Scenario,
    Study,
    grid,
    run,
)
from simstudy.design.drawing import draw as drawn
from simstudy.design.findings import mismatches
from simstudy.design.information_equality import FALSE_ALARM, information_equality
from simstudy.design.moment_tests import hotelling, variance_of_sums
from simstudy.files import folder_lock as lock
from simstudy.methods import OBSERVED, OBSERVED_CENTRAL
from simstudy.models import binomial, exponential, gamma, normal, poisson
from simstudy.store import information_equality as module
from simstudy.store.information_equality import read_tests, write_tests

NORMAL = {"n": 20, "mu": 1.0, "sigma": 2.0}


def study(model, mechanism, replicates=1000, seed=1, methods=(OBSERVED,), **factors):
    return Study(
        "s",
        grid(mechanism, **factors),
        [MaximumLikelihood(model, methods)],
        replicates=replicates,
        seed=seed,
    )


def finding(*arguments, **factors):
    found = information_equality(study(*arguments, **factors))
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(
    ("model", "mechanism", "factors"),
    [
        (normal.MODEL, normal.MECHANISM, NORMAL),
        (normal.VARIANCE_MODEL, normal.VARIANCE_MECHANISM, NORMAL),
        (exponential.MODEL, exponential.MECHANISM, {"n": 10, "rate": 2.0}),
        (exponential.CENSORED_MODEL, exponential.CENSORED_MECHANISM,
         {"n": 20, "rate": 1.0, "censor": 1.0}),
        (gamma.MODEL, gamma.MECHANISM, {"n": 20, "shape": 0.5, "rate": 1e-4}),
        (binomial.MODEL, binomial.MECHANISM, {"n": 20, "p": 0.1}),
        (binomial.LOGIT_MODEL, binomial.LOGIT_MECHANISM, {"n": 20, "p": 0.5}),
        (poisson.MODEL, poisson.MECHANISM, {"n": 1, "mean": 3.0}),
    ],
    ids=lambda v: getattr(v, "name", ""),
)  # fmt: skip
def test_right_mechanisms_agree(model, mechanism, factors):
    """A false alarm has a chance below one in a thousand for each case (see FALSE_ALARM)."""
    row = finding(model, mechanism, **factors)
    assert row["finding"] == "agrees", row["sentence"]
    assert row["draws"] == 300
    assert 0.5 < row["ratio"] < 2


WRONG = [
    (exponential.MODEL, exponential.WRONG_GAMMA, {"n": 50, "shape": 0.5, "mean": 2.0}, 2.0),
    (exponential.MODEL, exponential.WRONG_WEIBULL, {"n": 50, "shape": 2.0, "mean": 3.0},
     4 / np.pi - 1),
    (poisson.MODEL, poisson.WRONG_NEGATIVE_BINOMIAL, {"n": 50, "mean": 3.0, "dispersion": 0.5},
     2.5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "mechanism", "factors", "ratio"), WRONG, ids=lambda v: getattr(v, "name", "")
)
def test_wrong_mechanisms_are_as_intended_or_an_alarm(model, mechanism, factors, ratio):
    """The ratio is the variance of one score over the information, known in closed form."""
    assert mechanism.wrong
    intended = finding(model, mechanism, **factors)
    assert intended["finding"] == "as-intended"
    # 15,000 scores: 5 MCSEs of the mean of their squares at most
    assert_allclose(intended["ratio"], ratio, rtol=0.2)
    silent = finding(model, replace(mechanism, wrong=False), **factors)
    assert silent["finding"] == "wrong-likelihood"
    assert silent["information_p"] < 1e-8
    found = information_equality(study(model, replace(mechanism, wrong=False), **factors))
    assert "neither the Hessian nor the outer product" in mismatches(found)[0]


def autoregressive(rng, n, rho):
    """A stationary series with mean 0 and variance 1."""
    noise = np.concatenate([rng.normal(size=1), rng.normal(size=n - 1) * np.sqrt(1 - rho**2)])
    return lfilter([1.0], [1.0, -rho], noise)


SERIES = Mechanism("series", autoregressive, lambda n, rho: {"mu": 0.0, "sigma": 1.0})


@pytest.mark.parametrize(("replicates", "wrong"), [(300, False), (300, True), (60, False)])
def test_a_likelihood_of_independent_observations_on_a_series_is_told(replicates, wrong):
    """The mean of 100 values with rho = .6 has 3.96 times the variance; the rest agrees.

    A variance of 300 has a standard error of 8 %, one of 60 of 18 %: five of them.
    """
    row = finding(normal.MODEL, replace(SERIES, wrong=wrong), replicates=replicates, n=100, rho=0.6)
    assert row["finding"] == ("as-intended" if wrong else "wrong-likelihood")
    assert row["information_p"] > 1e-3
    assert row["sum_p"] < 1e-9
    n, k = 100, np.arange(1, 100)
    expected = 1 + 2 * ((1 - k / n) * 0.6**k).sum()
    assert_allclose(row["sum_ratio"], expected, rtol=5 * np.sqrt(2 / replicates))
    assert "depend on each other" in row["sentence"]
    assert "the Hessian, a sandwich" in row["sentence"]
    assert "standard error of mu about" in row["sentence"]
    assert "trust" not in row["sentence"]


def test_a_series_with_its_own_likelihood_agrees():
    """Terms that are conditional on the value before, as a column of the data; fixed seed."""

    def draw(rng, n, rho):
        y = autoregressive(rng, n + 1, rho)
        return {"y": y[1:], "before": y[:-1]}

    conditional = Model(
        "ar1", {"rho": "real", "sigma": "positive"}, lambda data: np.array([0.0, 1.0]),
        lambda theta, data: -np.log(theta[1])
        - ((data["y"] - theta[0] * data["before"]) / theta[1]) ** 2 / 2,
    )  # fmt: skip
    mechanism = Mechanism(
        "ar1", draw, lambda n, rho: {"rho": rho, "sigma": float(np.sqrt(1 - rho**2))}
    )
    row = finding(conditional, mechanism, methods=[OBSERVED_CENTRAL], n=100, rho=0.6)
    assert row["finding"] == "agrees"


def test_clusters_that_are_wrong_on_purpose_have_no_sandwich_to_trust():
    """A shared effect of a tenth of the variance in clusters of 20 triples that of the mean."""

    def draw(rng, n, mu, sigma):
        shared = np.repeat(rng.normal(0, np.sqrt(0.1), n // 20), 20)
        return shared + rng.normal(0, np.sqrt(0.9), n)

    mechanism = Mechanism("clusters", draw, normal.MECHANISM.truth, wrong=True)
    row = finding(normal.MODEL, mechanism, n=200, mu=0.0, sigma=1.0)
    assert row["finding"] == "as-intended"
    # 1 + 19 / 10, and five standard errors of a variance of 300
    assert_allclose(row["sum_ratio"], 2.9, rtol=0.41)
    assert "too small" in row["sentence"]


def test_terms_that_look_at_others_are_held_against_the_curvature_by_their_sum():
    def centered(theta, data):
        return -np.log(theta[0]) - ((data - data.mean()) / theta[0]) ** 2 / 2

    model = Model("centered", {"sigma": "positive"}, lambda data: np.ones(1), centered)
    for draw, expected in (
        (lambda rng, n: rng.normal(size=n), "agrees"),
        (lambda rng, n: rng.laplace(size=n) / np.sqrt(2), "wrong-likelihood"),
    ):
        mechanism = Mechanism("m", draw, lambda n: {"sigma": 1.0})
        row = finding(model, mechanism, methods=[OBSERVED_CENTRAL], n=400)
        assert row["finding"] == expected
        assert np.isnan([row["information_p"], row["ratio"]]).all()
    # kurtosis 6: 2.5 times the variance of a normal's log scale
    assert_allclose(row["sum_ratio"], 2.5, rtol=0.41)
    assert "the Hessian gives a standard error of sigma" in row["sentence"]


def test_one_observation_depends_on_no_other():
    row = finding(poisson.MODEL, poisson.MECHANISM, n=1, mean=3.0)
    assert np.isnan(row["sum_p"])


def test_p_values_of_a_variance_are_uniform_for_normal_sums():
    """By chi-square with estimated kurtosis: below .001 in about .001 of 20,000 (5 SDs: .0011)."""
    rng = np.random.default_rng(7)
    one = np.eye(1)
    p = np.array([variance_of_sums(rng.normal(size=(300, 1)), one, one).p for _ in range(20_000)])
    assert_allclose((p < 1e-3).mean(), 1e-3, atol=1.1e-3)
    assert_allclose((p < 0.5).mean(), 0.5, atol=0.03)


def test_a_variance_that_two_parameters_share_is_carried_over():
    """Scores of a correlated pair: the estimates' own variances count, not the scores'."""
    rng = np.random.default_rng(8)
    bread = np.array([[2.0, 1.0], [1.0, 3.0]])
    scores = rng.multivariate_normal(np.zeros(2), 4 * bread, size=300)
    # five standard errors of a variance of 300
    assert_allclose(variance_of_sums(scores, bread, bread).ratio, 4, rtol=0.41)
    assert np.isnan(variance_of_sums(scores, bread, -bread).p)


def test_what_does_not_matter_is_no_alarm():
    """Counts 6 % overdispersed: found with certainty in 300 samples of 2,000, and of no harm."""
    mechanism = replace(poisson.WRONG_NEGATIVE_BINOMIAL, wrong=False)
    row = finding(poisson.MODEL, mechanism, n=2000, mean=3.0, dispersion=0.02)
    assert row["information_p"] < 1e-9
    assert 1.03 < row["ratio"] < 1.1
    assert row["finding"] == "agrees"


def test_a_wrong_truth_is_an_alarm_even_where_the_mechanism_is_wrong_on_purpose():
    """The mean of 300 samples of 50 is 3 % off; a truth 10 % off is found with near certainty."""
    mechanism = replace(
        exponential.WRONG_GAMMA, truth=lambda mean, **_: {"rate": 1.1 / mean}, wrong=True
    )
    row = finding(exponential.MODEL, mechanism, n=50, shape=0.5, mean=2.0)
    assert row["finding"] == "wrong-truth"
    assert row["score_p"] < 1e-7
    assert "check draw, truth and loglik" in row["sentence"]


def test_a_slip_in_the_likelihood_is_found():
    """A scale for a rate: what the check is for."""
    slipped = Model(
        "slipped", {"rate": "positive"}, lambda data: np.ones(1),
        lambda theta, data: -np.log(theta[0]) - data / theta[0],
    )  # fmt: skip
    row = finding(slipped, exponential.MECHANISM, methods=[OBSERVED_CENTRAL], n=20, rate=2.0)
    assert row["finding"] == "wrong-truth"


def test_without_formulas_differences_say_the_same():
    """Differences have four digits or more, and p-values feel each."""
    bare = replace(normal.MODEL, score=None, hessian=None)
    exact = finding(normal.MODEL, normal.MECHANISM, replicates=60, **NORMAL)
    found = finding(bare, normal.MECHANISM, replicates=60, methods=[OBSERVED_CENTRAL], **NORMAL)
    for name in ("score_p", "information_p", "ratio"):
        assert_allclose(found[name], exact[name], rtol=1e-2)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_change_nothing(factor):
    """Rounding only: data and parameters times a power of ten."""
    plain = finding(gamma.MODEL, gamma.MECHANISM, n=20, shape=2.0, rate=1.0)
    other = finding(
        gamma.MODEL,
        Mechanism("gamma", lambda rng, n, shape, rate: rng.gamma(shape, size=n) / rate,
                  gamma.MECHANISM.truth),
        n=20, shape=2.0, rate=factor,
    )  # fmt: skip
    again = finding(
        gamma.MODEL,
        Mechanism("gamma", lambda rng, n, shape, rate: rng.gamma(shape, size=n) / rate,
                  gamma.MECHANISM.truth),
        n=20, shape=2.0, rate=factor * 10,
    )  # fmt: skip
    assert plain["finding"] == other["finding"] == again["finding"] == "agrees"


def test_what_cannot_be_asked_is_said():
    few = finding(normal.MODEL, normal.MECHANISM, replicates=49, **NORMAL)
    assert (few["finding"], few["sentence"]) == ("not-asked", "Not asked: it takes 50 replicates.")
    nuisance = replace(normal.MECHANISM, truth=lambda mu, **_: {"mu": mu})
    row = finding(normal.MODEL, nuisance, **NORMAL)
    assert row["sentence"] == "Not asked: the truth of sigma is not given."
    assert np.isnan([row["score_p"], row["information_p"], row["ratio"]]).all()


def test_data_that_the_model_cannot_have_are_said_with_how_often():
    """Of 20 observations one is negative in two data sets of three: 1 - 0.95^20 = 0.64."""

    def loglik(theta, data):
        return np.where(data < 0, -np.inf, np.log(theta[0]) - theta[0] * data)

    def draw(rng, n, share):
        return rng.exponential(size=n) * np.where(rng.uniform(size=n) < share, -1, 1)

    model = Model("waiting", {"rate": "positive"}, lambda data: np.ones(1), loglik)
    mechanism = Mechanism("waiting", draw, lambda n, share: {"rate": 1.0})
    made = study(model, mechanism, replicates=60, methods=(OBSERVED_CENTRAL,), n=20, share=0.05)
    found = information_equality(made)
    sets = sum((drawn(made, made.scenarios[0], i) < 0).any() for i in range(60))
    assert 20 < sets < 55
    row = found.iloc[0]
    assert row["finding"] == "impossible-data"
    assert row["sentence"].startswith(
        f"In {sets} of 60 data sets the log-likelihood is not finite at the truth: draw gives data"
    )
    assert len(mismatches(found)) == 1


def test_draws_that_fail_are_left_out():
    def draw(rng, n, mu, sigma):
        data = rng.normal(mu, sigma, n)
        if data[0] > mu + 2 * sigma:
            raise ValueError("no data")
        return data

    row = finding(normal.MODEL, Mechanism("m", draw, normal.MECHANISM.truth), **NORMAL)
    assert row["finding"] in ("agrees", "wrong-truth")


def test_other_estimators_have_no_likelihood():
    mean = FunctionEstimator("mean", ["mu"], lambda data: {"mu": (data.mean(), 1.0)})
    nothing = information_equality(Study("s", grid(normal.MECHANISM, **NORMAL), [
        replace(mean, parameters=("mu", "sigma"))], seed=1))  # fmt: skip
    assert nothing.empty
    assert mismatches(nothing) == []


def test_the_edge_is_shared_by_all_cells(monkeypatch):
    """Bonferroni: what is a mismatch alone is none among many cells."""
    edges = []
    monkeypatch.setattr(
        "simstudy.design.information_equality.finding_row",
        lambda *given: edges.append(given[-1]) or {},
    )
    sizes = [10, 20, 30]
    information_equality(
        study(normal.MODEL, normal.MECHANISM, replicates=60, n=sizes, mu=0.0, sigma=1.0)
    )
    assert_allclose(edges, [FALSE_ALARM / 9] * 3, rtol=1e-15)


# --- how long it may take -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "draws"), [(0.0001, 300), (0.004, 100), (0.0098, 50), (0.011, 0), (np.inf, 0)]
)
def test_of_slow_cells_fewer_data_sets_are_looked_at(monkeypatch, pace, draws):
    """Half a second over the pace, in steps of 50; the first ones are those of a longer look."""
    monkeypatch.setattr("simstudy.design.information_equality._seconds_per_draw", lambda *_: pace)
    made = study(normal.MODEL, normal.MECHANISM, **NORMAL)
    row = information_equality(made, seconds=0.5).iloc[0]
    assert (row["draws"], row["available"]) == (draws, 300)
    if draws:
        assert row["score_p"] == information_equality(made, draws=draws).iloc[0]["score_p"]
    else:
        assert row["sentence"] == "Not asked: it takes longer than a run spends on it."


def test_a_slow_mechanism_is_left_alone_soon():
    def draw(rng, n, mu, sigma):
        time.sleep(0.1)
        return rng.normal(mu, sigma, n)

    slow = Mechanism("slow", draw, normal.MECHANISM.truth)
    made = study(normal.MODEL, slow, n=[5, 10, 20], mu=0.0, sigma=1.0)
    began = time.perf_counter()
    found = information_equality(made, seconds=0.3)
    assert time.perf_counter() - began < 2
    assert (found["finding"] == "not-asked").all()


def test_the_first_of_every_mechanism_comes_first(monkeypatch):
    """Where the time ends, no mechanism and no estimator is left out for another's sizes."""
    order = []

    def tested(study, scenario, estimator, *_):
        order.append((scenario.key, estimator.name))
        return "", 0

    monkeypatch.setattr("simstudy.design.information_equality._test_cell", tested)
    scenarios = [
        *grid(exponential.MECHANISM, n=[10, 20], rate=1.0),
        *grid(exponential.WRONG_GAMMA, n=[10, 20], shape=2.0, mean=1.0),
    ]
    made = Study("s", scenarios, [MaximumLikelihood(exponential.MODEL, [OBSERVED])], seed=1)
    found = information_equality(made, seconds=1.0)
    keys = [scenario.key for scenario in scenarios]
    assert [key for key, _ in order] == [keys[0], keys[2], keys[1], keys[3]]
    assert found["scenario"].tolist() == keys


# --- the test of a mean ---------------------------------------------------------------------------


def test_p_values_of_normal_vectors_are_uniform():
    """Hotelling's distribution is exact for them: false alarm 1e-3 at this seed or another."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(3, 3))
    values = [hotelling(rng.normal(size=(12, 3)) @ mixing).p for _ in range(2000)]
    assert kstest(values, "uniform").pvalue > 1e-3


def test_one_component_is_the_t_test():
    from scipy.stats import ttest_1samp

    x = np.random.default_rng(2).normal(0.3, size=30)
    # two formulas of the same number
    assert_allclose(hotelling(x[:, None]).p, ttest_1samp(x, 0).pvalue, rtol=1e-9)


def test_constant_and_copied_components():
    x = np.random.default_rng(3).normal(0.3, size=(30, 2))
    p = hotelling(x).p
    copied = np.column_stack([x, x[:, 0] * 1e8, np.zeros(30), x.sum(axis=1)])
    # the eigenvalues of the copies are zero but for rounding
    assert_allclose(hotelling(copied).p, p, rtol=1e-6)
    assert hotelling(np.ones((30, 1))).p == 0
    assert hotelling(np.zeros((30, 2))).p == 1
    noise = 1e-16 * np.random.default_rng(4).normal(1, size=(30, 1))
    assert hotelling(noise, size=np.ones(1)).p == 1
    assert np.isnan(hotelling(x[:2]).p)


# --- in a run -------------------------------------------------------------------------------------


def test_a_run_keeps_it_and_the_report_says_it_first(tmp_path):
    factors = {"n": 50, "shape": 0.5, "mean": 2.0}
    wrong = study(exponential.MODEL, replace(exponential.WRONG_GAMMA, wrong=False), 60, **factors)
    result = run(wrong, out=tmp_path / "r", jobs=1, engine="loop", quiet=True)
    found = result.information_equality()
    expected = information_equality(wrong)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-15)
    page = result.report().read_text(encoding="utf-8")
    said = "The mechanism does not match the likelihood"
    assert page.index(said) < page.index('<h2 id="figures">')
    assert "Does the mechanism match the likelihood?" in page
    assert said in (tmp_path / "r" / "report.md").read_text(encoding="utf-8")


def test_it_is_done_again_for_a_new_scenario_and_defused(tmp_path):
    made = study(exponential.MODEL, exponential.MECHANISM, 60, n=[10, 20], rate=1.0)
    write_tests(replace(made, scenarios=made.scenarios[:1]), tmp_path)
    write_tests(made, tmp_path)
    assert len(pd.read_csv(tmp_path / "information_equality.csv")) == 2
    named = replace(made.estimators[0], name="=1+1")
    write_tests(replace(made, estimators=[named]), tmp_path)
    assert (pd.read_csv(tmp_path / "information_equality.csv")["estimator"] == "'=1+1").all()
    before = (tmp_path / "information_equality.csv").stat().st_mtime_ns
    write_tests(replace(made, estimators=[named]), tmp_path)
    assert (tmp_path / "information_equality.csv").stat().st_mtime_ns == before


def test_it_is_done_again_only_when_there_is_more_to_see(tmp_path):
    made = study(exponential.MODEL, exponential.MECHANISM, 60, n=10, rate=1.0)
    for replicates, draws in ((60, 60), (80, 80), (70, 80), (5000, 300)):
        write_tests(replace(made, replicates=replicates), tmp_path)
        assert pd.read_csv(tmp_path / "information_equality.csv")["draws"][0] == draws


def test_of_shards_that_begin_together_the_first_that_has_written_stays(tmp_path, monkeypatch):
    """A shard that was slower, on a busy machine, does not put fewer draws in place of more."""
    made = study(exponential.MODEL, exponential.MECHANISM, 300, n=10, rate=1.0)
    whole, tests, turns = module.equality_rows, [], []

    def slow(*asked):
        monkeypatch.setattr(module, "equality_rows", whole)
        write_tests(made, tmp_path)  # another shard begins later, and is done earlier
        tests.append([row | {"draws": 50} for row in whole(*asked)])
        return tests[-1]

    @contextlib.contextmanager
    def noted(folder):
        with lock.lock_manifest(folder):
            turns.append(len(list(folder.glob(".lock-manifest.*"))))
            yield

    monkeypatch.setattr(module, "equality_rows", slow)
    monkeypatch.setattr(module, "lock_manifest", noted, raising=False)
    write_tests(made, tmp_path)
    assert len(tests) == 1
    assert list(read_tests(tmp_path)["draws"]) == [300]
    assert turns == [1, 1]


def test_what_the_time_allowed_is_kept_and_said(tmp_path, monkeypatch):
    """Resuming does not spend the time again."""
    made = study(exponential.MODEL, exponential.MECHANISM, 300, n=10, rate=1.0)
    paces = []
    monkeypatch.setattr(
        "simstudy.design.information_equality._seconds_per_draw",
        lambda *_: paces.append(0.03) or 0.03,
    )
    for _ in range(2):
        result = run(made, out=tmp_path / "r", replicates=100, jobs=1, engine="loop", quiet=True)
    assert len(paces) == 1
    assert "<td>50<small>of 100</small></td>" in result.report().read_text(encoding="utf-8")


def test_a_damaged_or_older_file_is_told_and_made_again(tmp_path, capsys):
    made = study(exponential.MODEL, exponential.MECHANISM, 60, n=10, rate=1.0)
    path = tmp_path / "information_equality.csv"
    write_tests(made, tmp_path)
    whole = path.read_text()
    older = pd.read_csv(path).drop(columns=["sum_p", "sum_ratio"]).to_csv(index=False)
    damages = [
        "", "\x00\xff", older, whole.replace("agrees", "agree"), whole.replace(",60,", ",,"),
        whole.replace(",60,", ",many,"), whole[:-90], "scenario\n1,2,3\n4\n",
    ]  # fmt: skip
    for text in damages:
        path.write_bytes(text.encode("latin-1"))
        assert read_tests(tmp_path).empty, text
        assert "the next run makes it again" in capsys.readouterr().err
        write_tests(made, tmp_path)
        assert path.read_text() == whole
    assert read_tests(tmp_path)["finding"].tolist() == ["agrees"]
    assert capsys.readouterr().err == ""


def test_a_study_without_a_likelihood_is_told_nothing(tmp_path, capsys):
    """Its file has a header only, whose columns have no type."""
    normal = Mechanism("normal", lambda rng: rng.normal(size=9), lambda: {"mean": 0.0})
    estimator = FunctionEstimator("t", ["mean"], lambda data: {"mean": (data.mean(), 1.0)})
    made = Study("s", [Scenario(normal, {})], [estimator], replicates=60, seed=1)
    for _ in range(2):
        write_tests(made, tmp_path)
        assert read_tests(tmp_path).empty
    assert capsys.readouterr().err == ""
