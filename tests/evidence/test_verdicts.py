"""Verdicts on methods whose right verdict is known; how often the rule errs; what it says."""

import io
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from scipy.stats import binom, gamma
from statsmodels.stats.proportion import proportion_confint

from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import Rule, Verdict, explain, headline, remedies, verdicts
from simstudy.methods import METHODS

Z = ndtri(0.975)
MANY = 1_000_000
PAGE = Path(__file__).resolve().parents[2] / "docs" / "verdicts.md"


def frame_of(measures, *, method="observed", n=1000, **labels):
    """Make a performance frame of {measure: value or (value, mcse)}; shares get their own MCSE."""
    rows = []
    for name, given in measures.items():
        shares = {"fail", "cover", "becover", "cover_all", "miss_left", "miss_right"}
        value, mcse = given if isinstance(given, tuple) else (given, np.nan)
        if name in shares and not isinstance(given, tuple):
            mcse = np.sqrt(value * (1 - value) / n)
        rows.append({**labels, "method": method, "measure": name, "value": value, "mcse": mcse})
    return pd.DataFrame(rows).assign(lower=np.nan, upper=np.nan, n=n)


def good(**changed):
    """Return the measures of a method without fault, some of them changed."""
    return {
        "n": 1000.0, "fail": 0.0, "bias": (0.0, 0.03), "empse": (1.0, 0.02), "relerror": (0.0, 2.2),
        "cover": 0.95, "becover": 0.95, "cover_all": 0.95, "miss_left": 0.025, "miss_right": 0.025,
        "corr": (0.0, 0.03), "seratio_p05": (1.0, 0.0), "seratio_median": (1.0, 0.0),
        "seratio_p95": (1.0, 0.0),
    } | changed  # fmt: skip


def judged(measures, **options):
    """Judge one method; return its row."""
    return verdicts(frame_of(measures, **options)).iloc[0]


# --- oracles ------------------------------------------------------------------------------------


def exponential(n, scale):
    """Return exact measures of the rate of n exponentials (truth 1): by the gamma distribution."""
    half = Z / np.sqrt(n)
    if scale == "rate":
        left, right = gamma.cdf(n * (1 - half), n), gamma.sf(n * (1 + half), n)
        center, second = n / (n - 1), n**2 / ((n - 1) * (n - 2))
        relerror = 100 * (np.sqrt(second / n / (second - center**2)) - 1)
    else:
        left, right = gamma.cdf(n * np.exp(-half), n), gamma.sf(n * np.exp(half), n)
        relerror = np.nan
    return left, right, relerror


def binomial_logit(n, p):
    """Return exact measures of the logit of a share, by enumeration."""
    k = np.arange(1, n)
    weight = binom.pmf(k, n, p)
    fail = 1 - weight.sum()
    weight = weight / weight.sum()
    t, v, truth = np.log(k / (n - k)), 1 / k + 1 / (n - k), np.log(p / (1 - p))
    mean = weight @ t
    relerror = 100 * (np.sqrt(weight @ v / (weight @ (t - mean) ** 2)) - 1)
    left = weight @ (t - Z * np.sqrt(v) > truth)
    right = weight @ (t + Z * np.sqrt(v) < truth)
    return left, right, relerror, fail


def exact_row(left, right, relerror, fail=0.0, n=MANY):
    """Judge exact measures as if a million replicates had shown them."""
    measures = {
        "fail": fail, "relerror": (relerror, 100 / np.sqrt(2 * n)), "cover": 1 - left - right,
        "cover_all": (1 - left - right) * (1 - fail), "miss_left": left, "miss_right": right,
    }  # fmt: skip
    return judged(measures, n=n)


def test_a_standard_error_2_5_percent_too_small_is_within_tolerance():
    """Exponential rate, n = 20: coverage .9528 (methods' oracle); the misses lie three to one."""
    left, right, relerror = exponential(20, "rate")
    # the oracle table prints seven and five digits
    assert_allclose([1 - left - right, relerror], [0.9528124, -2.5321], rtol=2e-5)
    row = exact_row(left, right, relerror)
    assert row.verdict == Verdict.trust
    assert row.sentence.startswith("trust: coverage .953")


def test_coverage_hides_a_standard_error_that_is_too_small():
    """Exponential rate, n = 10: coverage .955, the standard error 5.13 % too small."""
    row = exact_row(*exponential(10, "rate"))
    assert row.verdict == Verdict.too_small
    assert "too small by 5.1 %" in row.sentence
    assert "left .006, right .039" in row.sentence
    assert "coverage .955" in row.sentence


def test_the_log_scale_makes_the_same_fits_trustworthy_earlier():
    """Log rate: misses .048 and .011 at n = 10, .040 and .014 at n = 20; the edge is 4 to 1."""
    left, right, _ = exponential(10, "log")
    assert_allclose(1 - left - right, 0.9410225, rtol=1e-6)  # digits of the oracle table
    assert exact_row(left, right, -2.4872).verdict == Verdict.one_sided
    left, right, _ = exponential(20, "log")
    assert_allclose(1 - left - right, 0.9454931, rtol=1e-6)
    assert exact_row(left, right, -1.2471).verdict == Verdict.trust


def test_failures_are_counted_where_coverage_among_the_fits_looks_fine():
    """Binomial logit, p = .1, n = 20: .951 among fits, .835 with failures as misses."""
    left, right, relerror, fail = binomial_logit(20, 0.1)
    assert_allclose([1 - left - right, fail, relerror], [0.95085, 0.12158, 33.682], rtol=1e-4)
    row = exact_row(left, right, relerror, fail)
    assert row.verdict == Verdict.unstable
    for said in ("12.2 %", ".835 instead of .951", "too large by 33.7 %", "left .049, right .000"):
        assert said in row.sentence
    healthy = exact_row(*binomial_logit(20, 0.5))
    assert healthy.verdict == Verdict.trust


@pytest.mark.parametrize(
    ("oracle", "cover", "becover", "bias", "relerror", "due"),
    [
        ("normal mu, n = 10", 0.9040927, 0.9040927, 0.0, -5.1317, "too-small"),
        ("normal mu, n = 20", 0.9286986, 0.9286986, 0.0, -2.5321, "trust"),
        ("normal variance, n = 10", 0.8047369, 0.8517077, -0.1, 4.8809, "undercovers"),
        ("normal variance, n = 20", 0.8701974, 0.8967122, -0.05, 2.4695, "undercovers"),
        ("normal log sigma, n = 10", 0.8961491, 0.9263613, -0.110283, -10.328, "too-small"),
        ("Poisson mean 3, log mean", 0.9647358, 0.9647358, -0.0942615, 16.805, "too-large"),
    ],
)
def test_other_oracles_get_the_word_they_deserve(oracle, cover, becover, bias, relerror, due):
    """Exact values with the MCSE of a million replicates."""
    measures = {
        "bias": (bias, 0.001), "relerror": (relerror, 0.07), "cover": cover, "becover": becover,
    }  # fmt: skip
    assert judged(measures, n=MANY).verdict == due, oracle


# --- how often the rule errs --------------------------------------------------------------------


def simulated(t, v, truth=0.0):
    """Measure many studies at once, by formulas written a second time: t, v of (studies, n)."""
    size, n = t.shape
    b = (t - t.mean(1, keepdims=True)) ** 2
    r = v.sum(1) / b.sum(1)
    relerror = 100 * (np.sqrt(r * (n - 1) / n) - 1)
    error = 100 * np.sqrt(((v - r[:, None] * b) ** 2).sum(1)) / b.sum(1) / (2 + relerror / 50)
    left, right = ((t - truth > Z * np.sqrt(v)).mean(1), (truth - t > Z * np.sqrt(v)).mean(1))
    nothing = np.zeros(size)
    found = {
        "fail": (nothing, nothing), "relerror": (relerror, error), "miss_left": (left, nothing),
        "miss_right": (right, nothing), "cover": (1 - left - right, nothing),
    }  # fmt: skip
    frames = [
        pd.DataFrame({"study": np.arange(size), "measure": name, "value": value, "mcse": mcse})
        for name, (value, mcse) in found.items()
    ]
    return pd.concat(frames).assign(method="observed", n=n)


def normal_studies(rng, studies, n, error):
    """Draw studies of normal estimates whose standard error is wrong by `error` percent."""
    t = rng.standard_normal((studies, n))
    return t, np.full_like(t, (1 + error / 100) ** 2)


def shares(words):
    """Return the shares of trust, of faults and of undecided verdicts."""
    trust, open_ = words == Verdict.trust, words == Verdict.undecided
    return trust.mean(), (~trust & ~open_).mean(), open_.mean()


def test_a_faultless_method_is_almost_never_condemned():
    """Fixed seed. At 1,000 replicates the tolerance is 2.2 MCSE off: no fault in 1,000 studies.

    With another seed one fault or more would be seen in less than 10 % of all runs.
    """
    rng = np.random.default_rng(11)
    trust, fault, _ = shares(verdicts(simulated(*normal_studies(rng, 1000, 1000, 0.0))).verdict)
    assert fault == 0
    assert trust > 0.9


@pytest.mark.parametrize("error", [-5.0, 5.0])
def test_at_the_tolerance_one_study_in_twenty_condemns(error):
    """Fixed seed; the bounds are .05 -/+ 4 binomial SDs and 1 point for the normal approximation.

    Another seed would fail in less than one run of 1,000.
    """
    rng = np.random.default_rng(12)
    _, fault, _ = shares(verdicts(simulated(*normal_studies(rng, 1500, 1000, error))).verdict)
    assert abs(fault - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1500) + 0.01


@pytest.mark.parametrize("error", [-10.0, 10.0])
def test_at_the_limit_at_most_one_study_in_twenty_trusts(error):
    """Fixed seed; bound as above, upwards. Another seed would fail in less than 1 run of 1,000."""
    rng = np.random.default_rng(13)
    trust, fault, _ = shares(verdicts(simulated(*normal_studies(rng, 1500, 1000, error))).verdict)
    assert trust < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1500) + 0.01
    assert fault > 0.6


def test_coverage_at_the_edge_of_the_band_is_trusted_by_one_study_in_twenty():
    """Coverage .925 exactly, 1,000 replicates; bound .05 + 4 binomial SDs + 1 point as above."""
    rng = np.random.default_rng(14)
    hits = rng.binomial(1000, 0.925, size=2000) / 1000
    frame = pd.DataFrame(
        {"study": np.arange(2000), "method": "m", "measure": "cover", "value": hits, "n": 1000}
    ).assign(mcse=np.sqrt(hits * (1 - hits) / 1000))
    trust, fault, _ = shares(verdicts(frame).verdict)
    bound = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000) + 0.01
    assert 0.02 < trust < bound
    assert 0.02 < fault < bound


def test_many_looks_condemn_more_often_and_a_stricter_rule_repairs_it():
    """Looks at 250, 500, 1,000, 2,000 replicates of a method at the tolerance; fixed seed.

    The page states 11 to 13 %, and below 5 % with confidence 1 - .05/4; 600 studies have a
    standard deviation of 1.3 and .9 points, the bounds are more than two of these away.
    """
    rng = np.random.default_rng(15)
    t, v = normal_studies(rng, 600, 2000, -5.0)
    rates = {}
    for confidence in (0.95, 1 - 0.05 / 4):
        final = np.full(600, "undecided", dtype=object)
        for n in (250, 500, 1000, 2000):
            found = verdicts(simulated(t[:, :n], v[:, :n]), rule=Rule(confidence=confidence))
            final = np.where(final == "undecided", found.verdict.to_numpy(dtype=object), final)
        rates[confidence] = shares(pd.Series(final))[1]
    assert 0.08 < rates[0.95] < 0.16
    assert rates[1 - 0.05 / 4] < 0.065


def test_the_replicates_asked_for_bring_a_verdict_mostly():
    """Undecided at 500; run as many more as the sentence asks for: the page states 70 to 85 %.

    Fixed seed; 100 studies have a standard deviation of 4 points.
    """
    rng = np.random.default_rng(16)
    t, v = normal_studies(rng, 250, 12_000, -2.5)
    first = verdicts(simulated(t[:, :500], v[:, :500]))
    waiting = np.flatnonzero(first.verdict == Verdict.undecided)[:100]
    assert len(waiting) == 100
    longer = []
    for i in waiting:
        n = 500 + int(first.more[i])
        longer.append(simulated(t[i : i + 1, :n], v[i : i + 1, :n]).assign(study=i))
    decided = verdicts(pd.concat(longer)).verdict != Verdict.undecided
    assert len(decided) == 100
    assert 0.65 < decided.mean() < 0.95


# --- every word -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "word", "said"),
    [
        ({}, "trust", "coverage .950 (MCSE .007), standard error off by +0.0 % (MCSE 2.2)"),
        ({"n": 0.0, "fail": 1.0}, "no-answer", "no answer at all: not one of 1,000 replicates"),
        ({"fail": 0.031}, "unstable", "unstable: 3.1 % of the replicates have no answer"),
        ({"relerror": (-7.1, 1.2)}, "too-small", "too small by 7.1 % (MCSE 1.2); coverage .950"),
        ({"relerror": (60.0, 5.0)}, "too-large", "too large by 60.0 % (MCSE 5.0)"),
        ({"relerror": (400.0, 20.0)}, "too-large", "too large: 5 times the true spread (MCSE 0.2)"),
        ({"cover": 0.80, "bias": (-0.5, 0.03)}, "biased", "estimate biased: by -0.5 (MCSE 0.03)"),
        ({"cover": 0.80, "becover": 0.81, "bias": (-0.5, 0.03)}, "undercovers", ".800 (MCSE .013)"),
        ({"cover": 0.80, "becover": 0.95}, "undercovers", "cover too little"),
        ({"cover": 1.0, "miss_left": 0.0, "miss_right": 0.0}, "overcovers", "1.000 (Monte Carlo"),
        ({"miss_left": 0.047, "miss_right": 0.003}, "one-sided", "(left .047, right .003)"),
        ({"seratio_p95": (3.4, 0.2)}, "erratic", "1.000 to 3.400 times the exact"),
        ({"seratio_p05": (0.31, 0.02)}, "erratic", "0.310 to 1.000 times the exact"),
        ({"relerror": (-6.0, 3.0)}, "undecided", "off by -6.0 % (MCSE 3.0)"),
        ({"cover": 0.93}, "undecided", "not enough replicates to say: about"),
        ({"miss_left": 0.043, "miss_right": 0.007}, "undecided", "misses left .043, right .007"),
    ],
)
def test_each_fault_has_its_word_and_its_numbers(changed, word, said):
    """One measure is moved away from a faultless method; 1,000 replicates."""
    row = judged(good(**changed))
    assert row.verdict == word
    assert said in row.sentence
    assert (row.more > 0) == (word == "undecided")


def test_bias_explains_its_misses():
    """Misses on one side are what bias does; they are no second fault."""
    biased = good(cover=0.80, bias=(-0.5, 0.03), miss_left=0.0, miss_right=0.2)
    assert "one side" not in judged(biased).sentence
    assert "one side" in judged(biased | {"becover": 0.8}).sentence


def test_a_few_failures_ask_for_more_replicates():
    """1.5 % of 300: Wilson's interval runs from .7 to 3.2 %, across tolerance and limit."""
    row = judged(good(fail=0.015), n=300)
    assert row.verdict == "undecided"
    assert "more (1.5 % without an answer" in row.sentence


def test_several_faults_are_all_said_the_gravest_first():
    """The word is the first of them."""
    row = judged(good(fail=0.2, relerror=(-30.0, 2.0), cover=0.83, becover=0.83, miss_right=0.15))
    assert row.verdict == "unstable"
    found = [row.sentence.index(word) for word in ("unstable", "too small", "cover too little")]
    assert found == sorted(found)
    assert "does not show it" not in row.sentence


def test_a_decision_needs_the_whole_interval_beyond_the_edge():
    """At 1.645 MCSE the interval touches the tolerance (relerror 5 + 1.645) or the limit."""
    assert judged(good(relerror=(6.64, 1.0))).verdict == "trust"
    assert judged(good(relerror=(6.65, 1.0))).verdict == "too-large"
    assert judged(good(relerror=(8.35, 1.0), cover=0.95)).verdict == "too-large"
    assert judged(good(relerror=(6.70, 2.0))).verdict == "trust"
    assert judged(good(relerror=(6.72, 2.0))).verdict == "undecided"
    assert judged(good(relerror=(8.28, 2.0))).verdict == "undecided"
    assert judged(good(relerror=(8.30, 2.0))).verdict == "too-large"


def test_shares_are_judged_by_the_score_interval():
    """Wilson's interval ends where the score test of the edge has z = 1.645 (definition)."""
    n, edge, z = 1000, 0.925, ndtri(0.95)
    touching = edge + z * np.sqrt(edge * (1 - edge) / n)
    only = {"cover": touching + 1e-6}
    assert judged(only, n=n).verdict == "trust"
    assert judged({"cover": touching - 1e-6}, n=n).verdict == "undecided"


def test_the_replicates_asked_for_close_the_question_if_the_numbers_stay():
    """By definition of `more`; rounding goes up, so one digit less of it leaves it open."""
    for cover in (0.935, 0.915, 0.968, 0.98):
        more = judged({"cover": cover}, n=400).more
        assert more > 0
        assert judged({"cover": cover}, n=400 + more).verdict != "undecided"
        assert judged({"cover": cover}, n=400 + int(0.85 * more)).verdict == "undecided"
    row = judged(good(relerror=(2.0, 7.0)))
    later = judged(good(relerror=(2.0, 7.0 / np.sqrt((1000 + row.more) / 1000))))
    assert (row.verdict, later.verdict) == ("undecided", "trust")
    # the misses alone decide: the question counts misses, the answer replicates
    row = judged(good(miss_left=0.043, miss_right=0.007))
    assert judged(good(miss_left=0.043, miss_right=0.007), n=1000 + row.more).verdict != "undecided"


def test_a_case_on_the_edge_does_not_ask_for_infinitely_many():
    """Coverage .925 sharp."""
    row = judged({"cover": 0.925})
    assert row.more == 1_000_000
    assert "more than 1,000,000 more" in row.sentence


def test_other_levels_have_their_own_band():
    """At 80 % the band is .70 to .90 (alpha/2 = .10)."""
    for cover, word in ((0.80, "trust"), (0.95, "overcovers"), (0.60, "undercovers")):
        found = verdicts(frame_of({"cover": cover}, n=2000), level=0.8)
        assert found.verdict[0] == word
        assert word == "trust" or "instead of .800" in found.sentence[0]


def test_stricter_rules_judge_more_strictly():
    """Thresholds are the reader's."""
    frame = frame_of(good(relerror=(-4.0, 0.5)))
    assert verdicts(frame).verdict[0] == "trust"
    assert verdicts(frame, rule=Rule(relerror=(2.5, 5.0))).verdict[0] == "too-small"


def test_the_exact_standard_error_judges_only_where_it_has_the_right_size():
    """Under a wrong model the sandwich is right and differs from the exact inverse Hessian."""
    sandwich = frame_of(good(seratio_p95=(3.0, 0.1)), method="sandwich", scenario="wrong")
    wrong = frame_of(good(relerror=(-50.0, 1.0)), scenario="wrong")
    sound = frame_of(good(), scenario="wrong")
    assert verdicts(pd.concat([sandwich, wrong])).verdict.tolist() == ["trust", "too-small"]
    assert verdicts(pd.concat([sandwich, sound])).verdict.tolist() == ["erratic", "trust"]


# --- what may be missing ------------------------------------------------------------------------


def test_one_replicate_decides_nothing():
    """With n = 1 coverage is 0 or 1 and no other MCSE exists."""
    nan = (np.nan, np.nan)
    row = judged(
        {"n": 1.0, "fail": 0.0, "relerror": nan, "bias": (0.1, np.nan), "cover": 1.0,
         "miss_left": 0.0, "miss_right": 0.0}, n=1,
    )  # fmt: skip
    assert row.verdict == "undecided"
    # a faultless method at 95 % needs z^2 .925 (.075) / .025^2 = 300 for coverage
    assert row.more == 300
    assert "standard error of unknown error" in row.sentence


def test_before_the_numbers_speak_the_count_is_that_of_a_faultless_method():
    """With a wide band of coverage, relerror decides it: (1.645 * 100 / 10)^2 / 2 = 135."""
    frame = frame_of({"relerror": (np.nan, np.nan), "cover": 1.0}, n=1)
    assert verdicts(frame, rule=Rule(cover=0.9)).more[0] == 140


def test_two_replicates_decide_nothing_of_the_standard_error():
    """Equal standard errors and two estimates give an MCSE of zero, which means nothing."""
    row = judged({"relerror": (-60.0, 0.0)}, n=2)
    assert row.verdict == "undecided"


def test_unknown_monte_carlo_errors_leave_the_question_open():
    """A nan MCSE is no evidence, neither for nor against."""
    row = judged(good(relerror=(-60.0, np.nan)))
    assert row.verdict == "undecided"
    assert row.more > 0


def test_a_method_without_any_answer_says_so():
    """As `summarize` reports it: nothing answered, every other measure nan with n = 0."""
    frame = frame_of({"n": 0.0, "fail": 1.0}, n=500)
    rest = frame_of(dict.fromkeys(["bias", "relerror", "cover"], (np.nan, np.nan)), n=0)
    frame = pd.concat([frame, rest])
    row = verdicts(frame).iloc[0]
    assert row.verdict == "no-answer"
    assert row.sentence == "no answer at all: not one of 500 replicates"
    assert (row.n, row.fail) == (0, 1.0)


def test_measures_that_are_missing_are_not_asked_for():
    """Intervals without standard errors are judged by coverage; nothing at all is not trusted."""
    only_intervals = judged({"cover": 0.95, "miss_left": 0.02, "miss_right": 0.03})
    assert only_intervals.verdict == "trust"
    assert "standard error" not in only_intervals.sentence
    only_errors = judged({"relerror": (1.0, 2.0)})
    assert only_errors.sentence == "trust: standard error off by +1.0 % (MCSE 2.0)"
    nothing = judged({"bias": (0.0, 0.1)})
    assert nothing.verdict == "undecided"
    assert "cannot say" in nothing.sentence
    assert nothing.more == 0


def test_one_sided_limits_have_no_other_side_to_miss_on():
    """An infinite interval length tells them."""
    measures = good(miss_left=0.05, miss_right=0.0)
    assert judged(measures).verdict == "one-sided"
    assert judged(measures | {"ciwidth": (np.inf, np.nan)}).verdict == "trust"


def test_labels_may_be_missing_or_categorical_or_none():
    """A factor that a scenario does not have is a label too; a frame may have no labels at all."""
    frame = pd.concat([
        frame_of(good(), scenario="a", factor_n=20, share=np.nan),
        frame_of(good(fail=0.1), scenario="b", factor_n=20, share=0.5),
    ], ignore_index=True)  # fmt: skip
    for labelled in (frame, frame.astype({"scenario": "category", "method": "category"})):
        found = verdicts(labelled)
        assert found.verdict.tolist() == ["trust", "unstable"]
        assert_array_equal(found["share"], [np.nan, 0.5])
        assert len(explain(labelled, found)["sentence"]) >= 4
    assert verdicts(frame_of(good())).columns[0] == "method"


def test_a_label_named_like_a_column_of_ours_is_renamed():
    """As `summarize` does with the factor n."""
    found = verdicts(frame_of(good(), cover="yes"))
    assert found["factor_cover"].tolist() == ["yes"]
    assert_allclose(found["cover"], 0.95, rtol=1e-15)


@pytest.mark.parametrize(
    "name", ["value", "mcse", "verdict", "sentence", "more", "asked", "n", "cover", "fail"]
)
def test_a_factor_named_like_any_column_of_ours_is_kept_from_table_to_verdicts(name):
    """One rule for every name: the factor is called factor_... beside the column."""
    rng = np.random.default_rng(5)
    estimate = rng.normal(size=200)
    table = pd.DataFrame({
        name: np.repeat([7, 8], 100), "replicate": np.tile(range(100), 2), "method": "wald",
        "truth": 0.0, "estimate": estimate, "se": 1.0, "lower": estimate - 2,
        "upper": estimate + 2,
    })  # fmt: skip
    performance = summarize(table)
    found = verdicts(performance)
    assert found[f"factor_{name}"].tolist() == [7, 8]
    assert set(found["n"]) == set(found["asked"]) == {100}
    assert set(explain(performance, found)[f"factor_{name}"]) == {7, 8}


def test_shuffled_rows_change_no_verdict():
    """Rows are found by their labels."""
    cases = itertools.product([20, 50], ["observed", "opg"])
    frame = pd.concat(
        [frame_of(good(relerror=(n / 10, 2.0)), method=m, factor_n=n) for n, m in cases]
    )
    keys = ["factor_n", "method"]
    plain = verdicts(frame).sort_values(keys, ignore_index=True)
    mixed = verdicts(frame.sample(frac=1.0, random_state=1)).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(plain, mixed)


def test_input_is_refused_with_a_reason():
    """Each message says what came and what is due."""
    frame = frame_of(good(), scenario="a")
    with pytest.raises(ValueError, match=r"has no column measure, value; give what .*summarize"):
        verdicts(frame.drop(columns=["measure", "value"]))
    with pytest.raises(ValueError, match=r"occurs twice .* scenario=a, method=observed, measure=n"):
        verdicts(pd.concat([frame, frame]))
    with pytest.raises(ValueError, match="no rows"):
        verdicts(frame.iloc[:0])
    with pytest.raises(ValueError, match=r"level is 95; it must lie between 0 and 1"):
        verdicts(frame, level=95)


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": 0.5}, {"confidence": 1.0}, {"relerror": (10.0, 5.0)},
        {"relerror": (0.0, 5.0)}, {"cover": 1.0}, {"side": (0.4, 0.9)}, {"fail": (0.05, 0.01)},
        {"seratio": 1.0}, {"fewest": 1},
    ],
)  # fmt: skip
def test_thresholds_that_contradict_each_other_are_refused(wrong):
    """The message names the field and what is due."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is .*; it must be"):
        Rule(**wrong)


# --- why -----------------------------------------------------------------------------------------


def test_causes_come_in_the_order_in_which_to_look():
    """Trusted methods need no why; every number has its MCSE and its sentence."""
    bad = good(
        bias=(0.3, 0.03), relerror=(-20.0, 1.0), cover=0.85, becover=0.88, miss_left=0.02,
        miss_right=0.13, corr=(0.8, 0.02), seratio_median=(0.8, 0.01),
    )  # fmt: skip
    frame = pd.concat([
        frame_of(good(), scenario="a"),
        frame_of(bad, method="bfgs-inverse", scenario="a"),
    ])  # fmt: skip
    why = explain(frame, verdicts(frame))
    assert set(why.method) == {"bfgs-inverse"}
    order = ["bias", "scale", "shape", "dependence", "numerical", "remedy"]
    assert why.cause.tolist() == order
    said = dict(zip(why.cause, why.sentence, strict=True))
    assert "0.30 of their standard deviation" in said["bias"]
    assert ".850 about the truth and .880 about the estimates' own mean" in said["bias"]
    # 2 Phi(.8 * 1.96) - 1 = .883
    assert "would make .950 coverage .883" in said["scale"]
    assert "unequally" in said["shape"]
    assert "shortest where the estimate is low" in said["dependence"]
    assert "0.800 times the exact" in said["numerical"]
    assert "the difference is the method's own" in said["numerical"]
    assert said["remedy"].startswith("In this case observed holds (trust: coverage .950")
    shape = why.set_index("cause").loc["shape"]
    # multinomial: the shares exclude each other
    assert_allclose(shape.value, 0.02 - 0.13, rtol=1e-12)
    assert_allclose(shape.mcse, np.sqrt((0.15 - 0.11**2) / 1000), rtol=1e-12)
    assert why[why.cause != "remedy"][["value", "mcse"]].notna().all(axis=None)


def test_what_is_within_monte_carlo_error_is_no_cause():
    """Numbers less than 1.96 MCSE from zero are called so."""
    frame = frame_of(good(relerror=(-20.0, 1.0), bias=(0.05, 0.03)), estimator="ml")
    said = explain(frame, verdicts(frame), likelihood={"ml"}).set_index("cause").sentence
    assert "none beyond Monte Carlo error" in said["bias"]
    assert "alike within Monte Carlo error" in said["shape"]
    assert "none beyond Monte Carlo error" in said["dependence"]
    assert "this is the exact method" in said["numerical"]
    assert said["remedy"] == (
        "No method tried in this case holds. The sample is too small for large-sample theory, or "
        "the model is not that of the data; bootstrap or sandwich looks at the spread itself."
    )


def test_the_remedy_is_the_closest_relative_that_holds_in_the_same_case():
    """A method that holds in another case, or with another estimator, cures nothing here."""
    sided = good(miss_left=0.0, miss_right=0.05)
    frame = pd.concat([
        frame_of(good(), method="profile", scenario="a"),
        frame_of(good(), method="opg-log-wald", scenario="a"),
        frame_of(sided, method="opg", scenario="a"),
        frame_of(sided, method="opg", scenario="b"),
        frame_of(good(cover=0.935), method="opg", scenario="c"),
    ])  # fmt: skip
    found = verdicts(frame)
    said = explain(frame.assign(estimator="ml"), found.assign(estimator="ml"), likelihood={"ml"})
    remedies = said[said.cause == "remedy"].set_index("scenario").sentence
    assert remedies["a"].startswith("In this case opg-log-wald holds")
    assert remedies["a"].endswith("; so does profile.")
    assert remedies["b"].startswith(
        "No method tried in this case holds. The estimates are skew; opg-log-wald or "
        "bootstrap-log-wald has its interval on the working scale"
    )
    assert remedies["c"] == f"Run about {found.more.iloc[-1]} more replicates."


def test_failures_are_blamed_on_the_fit_or_on_the_method():
    """The exact method fails as often, or it does not."""
    for exact_fails, blame in ((0.12, "the fit fails, not the method"), (0.0, "the method fails")):
        frame = pd.concat([
            frame_of(good(fail=exact_fails)),
            frame_of(good(fail=0.12), method="opg"),
        ])  # fmt: skip
        why = explain(frame, verdicts(frame))
        said = why[(why.method == "opg") & (why.cause == "failures")].sentence.item()
        assert said.startswith("Failures: 12.0 % of 1,000 replicates have no answer (MCSE 1.0)")
        assert blame in said


def test_an_error_shared_with_the_exact_method_is_statistical():
    """The ratio is 1 at every fit: no better derivative will cure it."""
    frame = pd.concat([
        frame_of(good(relerror=(-20.0, 1.0))),
        frame_of(good(relerror=(-20.0, 1.0)), method="observed-central"),
    ])  # fmt: skip
    why = explain(frame, verdicts(frame)).set_index(["method", "cause"]).sentence
    said = why[("observed-central", "numerical")]
    assert said.endswith("that one is itself too small by 20.0 % (MCSE 1.0): "
                         "the error is statistical.")  # fmt: skip


def test_what_is_advised_exists():
    """Whatever the cause, the kind of method and of table: methods of ours, or said to be none."""
    ours = re.compile(r"\b(?:observed|opg|sandwich|bootstrap|bfgs|lbfgsb)\b(?:-[a-z0-9]+)*")
    others = re.compile(r"penalized|profile|jackknife|bootstrap-t|cluster|correction|blocks")
    named = set()
    for table, why in itertools.product(["likelihood", "own", "foreign"], remedies.ADVICE):
        for method in [*METHODS, "mine"]:
            if why == "arithmetic" and not {remedies.kind(method), "any"} & {*remedies.ADVICE[why]}:
                continue  # only what is computed without exact derivatives has such an error
            for tried in ({method}, {method, *METHODS}):
                sentence = remedies._advice(why, method, tried, table)
                assert "{" not in sentence
                advised = set(ours.findall(sentence))
                assert advised <= set(METHODS) - tried, sentence
                if others.search(sentence):
                    assert "outside simstudy" in sentence
                if table != "likelihood":
                    assert not advised, sentence
                    assert "likelihood" not in sentence
                named |= advised
    assert {"observed", "observed-central", "bootstrap", "opg-log-wald"} <= named


def test_every_method_has_its_kind():
    """By the name, and yet what its sources say; what carries no name of ours is one's own."""
    for name, method in METHODS.items():
        sources = {type(source).__name__ for source in method.sources}
        due = {
            "exact": {"ExactHessian"},
            "difference": {
                "RiseHessian", "ScoreHessian", "ComplexStepHessian", "NumdifftoolsHessian",
                "ScipyHessian", "MinuitHessian",
            },
            "repair": {"ExactHessian"},
            "expected": {"ExpectedInformation", "SimulatedInformation"},
            "step": {"FixedStepHessian", "StatsmodelsHessian"}, "optimizer": {"PlainRun"},
            "scores": {"ExactScores", "CentralScores"}, "resampling": {"Refits"},
            "sandwich": {"ExactHessian", "RiseHessian", "ExactScores", "CentralScores"},
        }[remedies.kind(name)]  # fmt: skip
        assert sources <= due, name
        assert (len(sources) == 2) == (remedies.kind(name) == "sandwich")
    assert remedies.kind("mine-log-wald") == "own"


@pytest.mark.parametrize(
    ("method", "changed", "said"),
    [
        # a fixed step in rounding noise needs another step, and no other likelihood
        ("observed-central-1e-5", {"fail": 0.3}, "a fixed step is too short for one parameter"),
        # a difference error needs exact derivatives, and no small-sample correction
        ("observed-central", {"relerror": (-30.0, 1.0), "seratio_median": (0.7, 0.01)},
         "better derivatives are among the methods tried"),
        ("bfgs-inverse", {"relerror": (-30.0, 1.0), "seratio_median": (0.7, 0.01)},
         "a by-product of its path; observed-central takes the curvature"),
        ("sandwich", {"relerror": (-37.0, 1.0), "seratio_median": (0.7, 0.01)},
         "observations depend on each other: a covariance by clusters is outside simstudy"),
    ],
)  # fmt: skip
def test_a_remedy_fits_its_cause(method, changed, said):
    """The exact method is at fault too, by skewness, so that no method holds."""
    sided = good(miss_left=0.0, miss_right=0.05)
    frame = pd.concat([
        frame_of(sided, estimator="ml"), frame_of(good(**changed), method=method, estimator="ml"),
    ])  # fmt: skip
    why = explain(frame, verdicts(frame), likelihood={"ml"})
    cured = why[(why.method == method) & (why.cause == "remedy")].sentence.item()
    assert said.lower() in cured.lower()
    assert "penalized" not in cured
    assert "small-sample" not in cured
    elsewhere = explain(frame, verdicts(frame))
    cured = elsewhere[(elsewhere.method == method) & (elsewhere.cause == "remedy")].sentence.item()
    assert "where the table was made" in cured
    assert not {"likelihood", "derivatives", "observed-central"} & set(re.findall(r"[\w-]+", cured))


def test_large_ratios_and_missing_misses_read_well():
    """5.12e+05 is 512,000, and no miss at all is not "alike within an error of .000"."""
    wild = good(relerror=(51_151_234.0, 2_800_000.0), cover=1.0, miss_left=0.0, miss_right=0.0)
    said = explain(frame_of(wild), verdicts(frame_of(wild))).set_index("cause").sentence
    assert "512,000 times the true spread (MCSE 28,000)" in said["scale"]
    assert said["shape"] == "Shape: none of 1,000 intervals misses the truth, on any side."


def test_undecided_candidates_are_named():
    """What may still hold is worth more than what has to be written first."""
    frame = pd.concat([
        frame_of(good(miss_left=0.0, miss_right=0.05)),
        frame_of(good(cover=0.935), method="observed-log-wald"),
    ])  # fmt: skip
    found = verdicts(frame)
    why = explain(frame, found)
    cured = why[(why.method == "observed") & (why.cause == "remedy")].sentence.item()
    more = found.more.iloc[1]
    assert cured.startswith(
        "No method tried in this case holds so far; undecided: observed-log-wald (about "
        f"{more:,} more replicates)."
    )


# --- a whole study ------------------------------------------------------------------------------


def large_study():
    """Return the verdicts of 20 methods in 30 scenarios on 2 parameters."""
    rng = np.random.default_rng(21)
    methods = ["observed", *(f"method-{k}" for k in range(16)), "bfgs", "lbfgsb", "bootstrap"]
    design = itertools.product([20, 50, 100], [0.5, 2.0], range(5), ["shape", "rate"], methods)
    rows = []
    for n, shape, k, parameter, method in design:
        word = "trust" if n > 20 else "one-sided"
        if method.startswith("method-1"):
            word = str(rng.choice(["trust", "too-small", "undecided"]))
        word = {"observed": "trust", "lbfgsb": "too-large", "bootstrap": "undecided"}.get(
            method, word
        )
        rows.append((f"{n} {shape} {k}", n, shape, k, parameter, method, word))
    columns = ["scenario", "factor_n", "shape", "k", "parameter", "method", "verdict"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(more=np.where(frame.verdict == "undecided", 1400, 0))


def test_the_first_screen_stays_readable():
    """20 methods, 30 scenarios, 2 parameters: a dozen sentences of three lines at most."""
    frame = large_study()
    said = headline(frame)
    assert len(said) <= 12
    assert max(map(len, said)) < 300
    assert said[0] == ("Trust in every case (60 combinations of scenario and parameter): observed.")
    assert (
        "trust in 40 of 60 cases (for n = 50, 100, not for n = 20), a fault in 20 (misses on one "
        "side)."
    ) in said[2]
    text = " ".join(said)
    assert "bootstrap: no fault found; all 60 cases undecided." in text
    assert (
        "Trust in no case, and at fault in at least half of them: lbfgsb (standard errors too "
        "large)."
    ) in text
    assert "about 1,400 more would decide half of these" in said[-1]


def test_headline_names_the_factor_that_tells():
    """Even when another factor is there, and with values that go either way."""
    rows = [
        (f"{n} {k}", n, k, "wald", "trust" if n == 200 or (n == 50 and k > 1) else "too-small")
        for n in (20, 50, 200) for k in range(4)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["scenario", "n_obs", "k", "method", "verdict"])
    said = headline(frame.assign(more=0))
    assert said == [
        "No method has earned trust in every case (12 scenarios).",
        "wald: trust in 6 of 12 cases (for n_obs = 200, in part for n_obs = 50, not for n_obs = "
        "20), a fault in 6 (standard errors too small).",
    ]


def test_headline_of_cases_without_factors_names_scenarios():
    """A table of one's own may have nothing but a scenario column, or nothing."""
    frame = pd.DataFrame(
        {"scenario": ["a", "b"], "method": "m", "verdict": ["trust", "biased"], "more": 0}
    )
    assert "(for scenario = a, not for scenario = b)" in headline(frame)[1]
    assert headline(verdicts(frame_of(good())))[0] == "Trust in every case (1 case): observed."


def cases(method, **words):
    """Make the verdicts of a method: so many cases of each word."""
    found = [word.replace("_", "-") for word, count in words.items() for _ in range(count)]
    rows = {"scenario": [str(k) for k in range(len(found))], "method": method, "verdict": found}
    return pd.DataFrame(rows).assign(more=np.where(np.array(found) == "undecided", 400, 0))


def test_a_value_with_an_undecided_case_is_not_called_trusted():
    """At n = 128 one of two parameters is undecided: trusted in part, and in one case of four."""
    frame = pd.DataFrame({
        "scenario": list("aabbcc"), "factor_n": [32, 32, 64, 64, 128, 128], "method": "wald",
        "parameter": ["mu", "sigma"] * 3, "more": [0] * 5 + [400],
        "verdict": [*["too-small"] * 4, "trust", "undecided"],
    })  # fmt: skip
    assert headline(frame)[1] == (
        "wald: trust in 1 of 6 cases (in part for n = 128, not for n = 32, 64), a fault in 4 "
        "(standard errors too small), 1 undecided."
    )


def test_a_condemnation_takes_half_of_the_cases():
    """Two cells of 48 condemn nobody; 24 do, and the sentence says how many."""
    said = headline(cases("observed", too_large=2, undecided=46))
    assert said[1] == (
        "observed: a fault in 2 of 48 cases (standard errors too large), the other 46 undecided."
    )
    assert not [sentence for sentence in said if "in no case" in sentence]
    said = headline(cases("observed", too_large=20, too_small=4, undecided=24))
    assert said[1] == (
        "Trust in no case, and at fault in at least half of them: observed (mainly standard errors "
        "too large; at fault in 24, 24 undecided)."
    )


def test_the_best_of_those_tried_is_named():
    """Most trust first, then fewest faults, said once; where all are alike nobody is best."""
    frame = pd.concat([
        cases("a", trust=3, too_small=3), cases("b", trust=3, too_small=1, undecided=2),
        cases("c", too_large=6),
    ])  # fmt: skip
    assert headline(frame)[1:3] == [
        "Best of those tried: b, with trust in 3 of 6 cases (for scenario = 0, 1, 2, undecided for "
        "scenario = 4, 5, not for scenario = 3), a fault in 1 (standard errors too small), 2 "
        "undecided.",
        "a: trust in 3 of 6 cases (for scenario = 0, 1, 2, not for scenario = 3, 4, 5), a fault in "
        "3 (standard errors too small).",
    ]
    assert "b:" not in " ".join(headline(frame))
    alike = pd.concat([cases("a", too_small=3), cases("b", too_small=3)])
    unknown = pd.concat([cases("a", undecided=3), cases("b", too_small=3)])
    condemned = pd.concat([cases("a", too_small=3, undecided=1), cases("b", too_small=4)])
    for frame in (alike, unknown, condemned):
        assert not [sentence for sentence in headline(frame) if "Best" in sentence]


def test_the_headline_says_how_few_answered():
    """Coverage among six survivors of 250 is no coverage."""
    few = frame_of(good(fail=0.976, cover=1 / 6, cover_all=0.004, n=6.0), n=250)
    found = verdicts(few)
    assert_allclose(
        found[["n", "asked", "cover_all"]].iloc[0].astype(float), [6, 250, 0.004], rtol=1e-12
    )
    assert "too many replicates without an answer: 6 of 250 answered" in " ".join(headline(found))


def test_the_interval_of_coverage_is_wilsons():
    """Where the frame has none; else the one that it has."""
    found = judged(good(cover=1.0))
    assert_allclose([found.cover_lower, found.cover_upper], proportion_confint(1000, 1000,
                    method="wilson"), rtol=1e-4)  # fmt: skip
    frame = frame_of(good())
    frame.loc[frame.measure == "cover", ["lower", "upper"]] = 0.9, 0.99
    assert_allclose(verdicts(frame)[["cover_lower", "cover_upper"]].iloc[0].astype(float),
                    [0.9, 0.99], rtol=1e-12)  # fmt: skip


def test_many_values_of_a_factor_become_a_range():
    """Thirty values fill no screen."""
    n = np.arange(10, 40)
    frame = pd.DataFrame(
        {"scenario": n.astype(str), "n_obs": n, "method": "m", "more": 0,
         "verdict": np.where(n < 20, "one-sided", "trust")}
    )  # fmt: skip
    assert "(for n_obs = 20 to 39, not for n_obs = 10 to 19)" in headline(frame)[1]


def test_frames_read_back_from_csv_serve_as_well():
    """The report is also made from files."""
    frame = pd.concat([
        frame_of(good(), scenario="a"), frame_of(good(fail=0.1), method="opg", scenario="a"),
    ])  # fmt: skip
    found = verdicts(frame)
    again = pd.read_csv(io.StringIO(found.to_csv(index=False)))
    assert explain(frame, again).sentence.tolist() == explain(frame, found).sentence.tolist()
    assert headline(again) == headline(found)


def test_from_the_long_table_to_the_headline():
    """A table of three methods through `summarize`; fixed seed, verdicts far from every edge."""
    rng = np.random.default_rng(31)
    replicates = 2000
    t = rng.standard_normal(replicates)
    parts = []
    for method, factor in (("observed", 1.0), ("opg", 1.6), ("bfgs-inverse", 1.0)):
        part = pd.DataFrame({"replicate": np.arange(replicates), "estimate": t, "se": factor})
        part["method"], part["status"] = method, "ok"
        if method == "bfgs-inverse":
            part.loc[part.replicate % 10 == 0, "se"] = np.nan
            part.loc[part.replicate % 10 == 0, "status"] = "not_finite"
        parts.append(part)
    table = pd.concat(parts).assign(scenario="normal", n=1, parameter="mu", truth=0.0)
    table["lower"] = table.estimate - Z * table.se
    table["upper"] = table.estimate + Z * table.se
    measured = summarize(table.astype({"scenario": "category", "method": "category"}))
    found = verdicts(measured).set_index("method")
    assert found.verdict.to_dict() == {
        "observed": "trust", "opg": "too-large", "bfgs-inverse": "unstable",
    }  # fmt: skip
    assert found.n.to_dict() == {"observed": 2000, "opg": 2000, "bfgs-inverse": 1800}
    why = explain(measured, found.reset_index()).set_index(["method", "cause"]).sentence
    assert "the method fails where the fit is good" in why[("bfgs-inverse", "failures")]
    assert "1.600 times the exact standard error" in why[("opg", "numerical")]
    assert headline(found.reset_index())[0].endswith(": observed.")


def test_the_page_has_every_word_and_every_threshold():
    """The rule on paper is the rule that runs."""
    page = PAGE.read_text(encoding="utf-8")
    assert [word for word in Verdict if f"`{word}`" not in page] == []
    rule = Rule()
    for pair in (rule.relerror, (100 * rule.fail[0], 100 * rule.fail[1])):
        assert all(f"{edge:g} %" in page for edge in pair)
    assert f"At least {rule.fewest} replicates" in page
    assert (rule.side, rule.cover, rule.seratio, rule.confidence) == ((0.8, 0.9), 0.5, 2.0, 0.95)


@pytest.mark.parametrize(("n", "said"), [(6, False), (29, False), (30, True)])
def test_few_answers_have_no_relative_error(n, said):
    """Of six fits among 250, 129 % with an error of 60 is no number to show."""
    frame = frame_of(good(n=float(n), fail=1 - n / 250, relerror=(129.0, 60.0)))
    survivors = ["relerror", "cover", "becover", "miss_left", "miss_right"]
    frame.loc[frame["measure"].isin(survivors), "n"] = n
    found = verdicts(frame)
    assert bool(np.isfinite(found["relerror"].iloc[0])) is said
    why = explain(frame, found)
    assert ("scale" in set(why["cause"])) is said
    told = " ".join([*found["sentence"], *why["sentence"]])
    assert ("129" in told) is said
