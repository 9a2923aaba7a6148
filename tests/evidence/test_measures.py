"""Every measure against brute force, at its edges, moved and scaled, and its MCSE against truth.

Random tests have fixed seeds; their docstrings say how often another seed would be a false alarm.
"""

import inspect
import math
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from scipy.stats import binom

from simstudy.evidence import measures
from simstudy.evidence.measures import (
    MEASURES,
    MORRIS,
    becover,
    bias,
    corr,
    cover,
    empse,
    mse,
    power,
    rbias,
    relerror,
    relprec,
    relvar_rmse,
    wald_power,
    wscore,
)
from simstudy.evidence.montecarlo import Z, average, quantile, share

NAN = float("nan")
UNIT = {"mean", "median", "bias", "empse", "rmse", "mae", "modelse", "ciwidth", "wscore"}
ROUNDING = 1e-12  # sums of a few hundred numbers of one size, taken in two orders


def columns_of(n, seed=1, holes=False):
    """Return the columns that any measure may ask for: skewed estimates, dependent errors."""
    rng = np.random.default_rng(seed)
    t = 2 + rng.exponential(size=n) - 1
    se = np.exp(0.2 * rng.normal(size=n)) * (0.5 + 0.2 * t)
    se_ref = se * np.exp(0.1 * rng.normal(size=n))
    if holes:
        se[rng.random(n) < 0.1] = NAN
        t[rng.random(n) < 0.1] = NAN
        se_ref[rng.random(n) < 0.1] = NAN
    return {
        "estimate": t,
        "se": se + 0 * t,
        "lower": t - 1.8 * se,
        "upper": t + 2.1 * se,
        "truth": 2 + 0.1 * rng.normal(size=n),
        "reference_estimate": t + 0.3 * rng.normal(size=n),
        "exact_se": se_ref,
        "null": 0.5,
        "ok": ~np.isnan(t + se),
    }


def asked_of(function, columns):
    """Hand a measure the columns that its arguments are named after."""
    bound = function.keywords if isinstance(function, partial) else {}
    names = [p for p in inspect.signature(function).parameters if p in columns and p not in bound]
    return function(**{name: columns[name] for name in names})


def brute(name, c):
    """Return value and n of a measure, one replicate after the other."""
    t, v, low, high = c["estimate"], c["se"], c["lower"], c["upper"]
    truth = np.broadcast_to(c["truth"], t.shape)
    with_t = [i for i in range(len(t)) if not math.isnan(t[i])]
    both = [i for i in with_t if not math.isnan(v[i])]
    ends = [i for i in range(len(t)) if not math.isnan(low[i] + high[i])]
    e = [t[i] - truth[i] for i in with_t]
    # what is said of the estimates is said of the errors, from the mean truth on
    middle_truth = math.fsum(truth[i] for i in with_t) / len(with_t)
    moved = t - truth + middle_truth
    moved_ref = c["reference_estimate"] - truth
    hits = [low[i] <= truth[i] <= high[i] for i in ends]

    def sd2(x):
        middle = math.fsum(x) / len(x)
        return math.fsum((y - middle) ** 2 for y in x) / (len(x) - 1)

    def mean(x):
        x = list(x)
        return math.fsum(x) / len(x) if x else NAN, len(x)

    error = mean(e)[0]
    paired = [i for i in with_t if not math.isnan(c["reference_estimate"][i])]
    exact = [i for i in both if not math.isnan(c["exact_se"][i])]
    ratios = [v[i] / c["exact_se"][i] for i in exact]
    mean_v = mean(v[i] ** 2 for i in both)[0]
    s2 = sd2([moved[i] for i in both])
    a = 0.05
    answers = {
        "n": lambda: (len(both), len(t)),
        "fail": lambda: (1 - len(both) / len(t), len(t)),
        "mean": lambda: mean(t[i] for i in with_t),
        "median": lambda: (np.median([moved[i] for i in with_t]), len(with_t)),
        "bias": lambda: mean(e),
        "rbias": lambda: mean((t[i] - truth[i]) / truth[i] for i in with_t),
        "empse": lambda: (math.sqrt(sd2([moved[i] for i in with_t])), len(with_t)),
        "mse": lambda: mean(x**2 for x in e),
        "rmse": lambda: (math.sqrt(mean(x**2 for x in e)[0]), len(e)),
        "mae": lambda: mean(abs(x) for x in e),
        "relprec": lambda: (
            100 * (sd2([moved_ref[i] for i in paired]) / sd2([moved[i] for i in paired])) - 100,
            len(paired),
        ),
        "modelse": lambda: (math.sqrt(mean_v), len(both)),
        "relerror": lambda: (100 * (math.sqrt(mean_v / s2) - 1), len(both)),
        "relvar_rmse": lambda: (
            math.sqrt((mean_v - s2) ** 2 + sd2([v[i] ** 2 for i in both])) / s2,
            len(both),
        ),
        "seratio_p05": lambda: (np.quantile(ratios, 0.05), len(exact)),
        "seratio_median": lambda: (np.quantile(ratios, 0.5), len(exact)),
        "seratio_p95": lambda: (np.quantile(ratios, 0.95), len(exact)),
        "corr": lambda: (np.corrcoef(moved[both], v[both])[0, 1], len(both)),
        "cover": lambda: mean(hits),
        "becover": lambda: mean(low[i] <= truth[i] + error <= high[i] for i in ends),
        "cover_all": lambda: (sum(hits) / len(t), len(t)),
        "miss_left": lambda: mean(truth[i] < low[i] for i in ends),
        "miss_right": lambda: mean(high[i] < truth[i] for i in ends),
        "power": lambda: mean(not low[i] <= c["null"] <= high[i] for i in ends),
        "ciwidth": lambda: mean(high[i] - low[i] for i in ends),
        "wscore": lambda: mean(
            high[i]
            - low[i]
            + 2 / a * max(low[i] - truth[i], 0)
            + 2 / a * max(truth[i] - high[i], 0)
            for i in ends
        ),
    }
    return answers[name]()


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_values_match_brute_force(name, holes):
    """Value and n, with and without missing estimates and standard errors."""
    columns = columns_of(150, holes=holes)
    found = asked_of(MEASURES[name], columns)
    value, n = brute(name, columns)
    assert_allclose(found.value, value, rtol=ROUNDING)
    assert found.n == n


@pytest.mark.parametrize("name", [m for m in MEASURES if m not in ("n", "fail", "cover_all")])
def test_missing_replicates_are_as_if_they_were_not_there(name):
    """nan in the vectors gives what vectors without these replicates give, MCSE and limits too."""
    whole = columns_of(90)
    kept = np.arange(90) % 7 != 0
    short = {k: v[kept] if np.ndim(v) else v for k, v in whole.items()}
    holed = {k: np.where(kept, v, NAN) if np.ndim(v) else v for k, v in whole.items()}
    expected, found = asked_of(MEASURES[name], short), asked_of(MEASURES[name], holed)
    assert found.n == expected.n
    for part in ("value", "mcse", "lower", "upper"):
        assert_allclose(getattr(found, part), getattr(expected, part), rtol=ROUNDING)


PER_TRUTH = {
    "bias": lambda b, s, v, n: (n * b).sum() / n.sum(),
    "empse": lambda b, s, v, n: np.sqrt(pooled(b, s, n)),
    "mse": lambda b, s, v, n: ((n - 1) * s**2 + n * b**2).sum() / n.sum(),
    "relerror": lambda b, s, v, n: (
        100 * (np.sqrt((n * v**2).sum() / n.sum() / pooled(b, s, n)) - 1)
    ),
}


def pooled(b, s, n):
    """Return the variance of all errors from bias, spread and count at each truth."""
    middle = (n * b).sum() / n.sum()
    return ((n - 1) * s**2 + n * (b - middle) ** 2).sum() / (n.sum() - 1)


@pytest.mark.parametrize("holes", [False, True])
def test_several_truths_in_a_cell_match_what_each_of_them_says(holes):
    """Bias, spread and model error at each truth alone give those of all, by analysis of variance.

    The truths are 0, 3 and 50: spread of the truths in any measure would show at once.
    """
    c = columns_of(240, holes=holes)
    truth = np.repeat([0.0, 3.0, 50.0], [40, 80, 120])
    c |= {"truth": truth, "estimate": c["estimate"] - 2 + truth, "se": c["se"]}
    alone = [{k: v[truth == value] if np.ndim(v) else v for k, v in c.items()}
             for value in (0.0, 3.0, 50.0)]  # fmt: skip
    for name, together in PER_TRUTH.items():
        if name == "relerror":  # of the replicates that have both
            for part in [c, *alone]:
                missing = np.isnan(part["se"] + part["estimate"])
                part["se"] = np.where(missing, NAN, part["se"])
                part["estimate"] = np.where(missing, NAN, part["estimate"])
        b, s, v = (
            np.array([asked_of(MEASURES[part], own).value for own in alone])
            for part in ("bias", "empse", "modelse")
        )
        n = np.array([np.count_nonzero(~np.isnan(own["estimate"])) for own in alone])
        found = asked_of(MEASURES[name], c)
        assert_allclose(found.value, together(b, s, v, n), rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("morris", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_only_what_a_truth_explains_is_taken_out(name, morris):
    """Truths far apart, the errors those of one truth: value, error and limits are those, too.

    `mean`, `median` are from the mean truth on; `rbias` and `power` are about the numbers as they
    stand, truth and null not being moved together.
    """
    if name in ("rbias", "power"):
        return
    c = columns_of(150) | {"truth": np.full(150, 2.0), "reference_truth": np.full(150, 2.0)}
    shift = np.tile([-8.0, 0.0, 8.0], 50)
    far = {k: v + shift if k in ("truth", "reference_truth", "estimate", "reference_estimate",
                                 "lower", "upper") else v for k, v in c.items()}  # fmt: skip
    function = MEASURES[name]
    if morris and "mcse" in inspect.signature(function).parameters:
        function = partial(function, mcse="morris")
    one, several = asked_of(function, c), asked_of(function, far)
    assert one.n == several.n
    for part in ("value", "mcse", "lower", "upper"):
        # sums of numbers up to 10 instead of 2
        assert_allclose(getattr(several, part), getattr(one, part), rtol=1e-11, err_msg=part)


@pytest.mark.parametrize("name", MEASURES)
def test_a_constant_truth_changes_no_digit(name):
    """As a number, as a column, or not given to what does without it: bit for bit."""
    c = columns_of(90, holes=True)
    required = {
        k for k, p in inspect.signature(MEASURES[name]).parameters.items() if p.default is p.empty
    }
    column = asked_of(MEASURES[name], c | {"truth": np.full(90, 0.3)})
    number = asked_of(MEASURES[name], c | {"truth": 0.3})
    without = c | {"truth": 0.3}
    if "truth" not in required:
        del without["truth"]
    for other in (number, asked_of(MEASURES[name], without)):
        for part in ("value", "mcse", "lower", "upper", "n"):
            assert_array_equal(getattr(column, part), getattr(other, part))


def test_missing_replicates_were_asked():
    """A failure counts as asked in `n`, `fail` and `cover_all`, and there only."""
    low, high = np.array([0.0, NAN, 0.0, 2.0]), np.array([1.0, NAN, 1.0, 3.0])
    ok = ~np.isnan(low)
    answers = measures.answered(ok), measures.fail(ok), measures.cover_all(low, high, 0.5)
    assert [found.n for found in answers] == [4, 4, 4]
    assert [found.value for found in answers] == [3.0, 0.25, 0.5]
    assert cover(low, high, 0.5).n == 3


# --- Monte Carlo standard errors ----------------------------------------------------------------


def errors(c, of="estimate"):
    """Return estimates minus truths."""
    return c[of] - c["truth"]


JACKKNIFED = {
    "empse": lambda c: np.std(errors(c), ddof=1),
    "relprec": lambda c: 100 * (np.var(errors(c, "reference_estimate")) / np.var(errors(c)) - 1),
    "relerror": lambda c: 100 * (np.sqrt(np.mean(c["se"] ** 2)) / np.std(errors(c), ddof=1) - 1),
    "relvar_rmse": lambda c: (
        np.hypot(np.mean(c["se"] ** 2) - np.var(errors(c), ddof=1), np.std(c["se"] ** 2, ddof=1))
        / np.var(errors(c), ddof=1)
    ),
    "corr": lambda c: np.corrcoef(errors(c), c["se"])[0, 1],
}


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("name", JACKKNIFED)
def test_closed_jackknives_match_deleting_each_replicate(name, n):
    """The MCSE in O(n) is the one from n fits without one replicate each."""
    columns = {k: v for k, v in columns_of(n).items() if np.ndim(v)}
    value = JACKKNIFED[name](columns)
    without = [JACKKNIFED[name]({k: np.delete(v, i) for k, v in columns.items()}) for i in range(n)]
    expected = np.sqrt((n - 1) / n * np.sum((np.array(without) - value) ** 2))
    found = asked_of(MEASURES[name], columns)
    assert_allclose(found.value, value, rtol=1e-10)
    # two values that nearly cancel are squared: digits are lost on the brute side too
    assert_allclose(found.mcse, expected, rtol=1e-8)


def test_robust_errors_agree_with_linearization():
    """The jackknife and the linearized formulas differ by O(1/n): the second way to each number."""
    c = columns_of(20_000)
    t, n, v = c["estimate"], 20_000, c["se"] ** 2
    b, d = ((x - x.mean()) ** 2 for x in (t, c["reference_estimate"]))
    k = n / (n - 1)
    fourth = k * b - np.mean(k * b)
    closed = np.sqrt(k) * np.sqrt(np.sum(fourth**2)) / n / (2 * np.std(t, ddof=1))
    r = v.sum() / b.sum()
    scale = relerror(t, c["se"]).value / 100 + 1
    linear = {
        empse(t).mcse: closed,
        relprec(t, c["reference_estimate"]).mcse: (
            100 * np.sqrt(np.sum((d - d.sum() / b.sum() * b) ** 2)) / b.sum()
        ),
        relerror(t, c["se"]).mcse: 100 * np.sqrt(np.sum((v - r * b) ** 2)) / b.sum() / (2 * scale),
    }
    # exponential estimates: the difference is a few times n ** -1
    assert_allclose(list(linear), list(linear.values()), rtol=2e-3)


def test_simple_errors_match_their_formulas():
    """SD/sqrt(n) of the scores, and the delta method for roots."""
    c = columns_of(60)
    t, truth, n = c["estimate"], c["truth"], 60
    e = t - truth
    rmse = np.sqrt(np.mean(e**2))
    modelse = np.sqrt(np.mean(c["se"] ** 2))
    expected = {
        "mean": np.std(e, ddof=1) / np.sqrt(n),
        "bias": np.std(e, ddof=1) / np.sqrt(n),
        "rbias": np.std(e / truth, ddof=1) / np.sqrt(n),
        "mse": np.std(e**2, ddof=1) / np.sqrt(n),
        "rmse": np.std(e**2, ddof=1) / (2 * np.sqrt(n) * rmse),
        "mae": np.std(np.abs(e), ddof=1) / np.sqrt(n),
        "modelse": np.sqrt(np.var(c["se"] ** 2, ddof=1) / (4 * n * modelse**2)),
        "ciwidth": np.std(c["upper"] - c["lower"], ddof=1) / np.sqrt(n),
    }
    for name in ("fail", "cover", "cover_all", "miss_left", "miss_right", "power"):
        p = asked_of(MEASURES[name], c).value
        expected[name] = np.sqrt(p * (1 - p) / n)
    for name, error in expected.items():
        found = asked_of(MEASURES[name], c)
        assert_allclose(found.mcse, error, rtol=ROUNDING, err_msg=name)
        if name in UNIT:
            assert_allclose(found.upper - found.value, Z * error, rtol=1e-10, err_msg=name)


def test_morris_formulas():
    """The normal-theory errors, by hand; `becover` stays binomial."""
    c = columns_of(80)
    t, se, ref, n = c["estimate"], c["se"], c["reference_estimate"], 80
    s, r = np.std(t, ddof=1), np.std(ref, ddof=1)
    modelse = np.sqrt(np.mean(se**2))
    assert_allclose(empse(t, mcse="morris").mcse, s / np.sqrt(2 * (n - 1)), rtol=ROUNDING)
    error = 200 * (r / s) ** 2 * np.sqrt((1 - np.corrcoef(t, ref)[0, 1] ** 2) / (n - 1))
    assert_allclose(relprec(t, ref, mcse="morris").mcse, error, rtol=1e-10)
    inner = np.var(se**2, ddof=1) / (4 * n * modelse**4) + 1 / (2 * (n - 1))
    error = 100 * modelse / s * np.sqrt(inner)
    assert_allclose(relerror(t, se, mcse="morris").mcse, error, rtol=ROUNDING)
    found = becover(c["lower"], c["upper"], t, mcse="morris")
    assert_allclose(found.mcse, np.sqrt(found.value * (1 - found.value) / n), rtol=ROUNDING)
    hits = np.abs(t - 0.5) >= ndtri(0.95) * se
    assert_allclose(wald_power(t, se, 0.5, level=0.9).value, hits.mean(), rtol=ROUNDING)
    assert MORRIS["power"] is wald_power
    with pytest.raises(ValueError, match="'jackknife'; it is 'robust'"):
        empse(t, mcse="jackknife")


def test_wilson_interval_matches_published_values():
    """Newcombe (1998), Statistics in Medicine 17:857, table I, method 3: four digits."""
    for hits, n, lower, upper in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = share(np.arange(n) < hits)
        assert_allclose([found.lower, found.upper], [lower, upper], atol=5.1e-5)


def test_quantile_interval_covers():
    """The interval of a median of exponentials covers ln 2.

    A coverage of .95 is told from the simulated one with 4 binomial errors of 4,000 studies, after
    half a percent for the interpolation: false alarm below 1 in 10,000.
    """
    draws = np.random.default_rng(3).exponential(size=(4000, 200))
    found = quantile(draws, 0.5)
    inside = np.mean((found.lower <= np.log(2)) & (np.log(2) <= found.upper))
    assert_allclose(inside, 0.95, atol=0.005 + 4 * np.sqrt(0.95 * 0.05 / 4000))


def test_median_error_matches_the_bootstrap():
    """Order statistics against 4,000 resamples of the same estimates.

    Both vary by about 10 % at n = 400; the tolerance is three times that.
    """
    rng = np.random.default_rng(5)
    t = rng.normal(size=400)
    resampled = np.median(t[rng.integers(400, size=(4000, 400))], axis=-1)
    assert_allclose(quantile(t, 0.5).mcse, np.std(resampled), rtol=0.3)


def test_quantile_without_enough_replicates_has_no_error():
    """With 20 replicates no order statistic bounds the 5 % quantile from below."""
    found = quantile(np.arange(20.0), 0.05)
    assert_allclose(found.value, 0.95, rtol=ROUNDING)
    assert math.isnan(found.mcse)
    assert math.isnan(found.lower)


# --- a meta-study: is the reported error the true spread? ----------------------------------------

STUDIES, REPLICATES = 2000, 400


def drawn(kind):
    """Draw estimate, standard error and truth of many studies."""
    rng = np.random.default_rng(20261121)
    size = (STUDIES, REPLICATES)
    if kind == "normal":  # the mean of ten normals and its standard error
        return rng.normal(size=size), np.sqrt(rng.chisquare(9, size=size) / 9), 0.0
    if kind == "t5":
        return rng.standard_t(5, size=size), 1.29 * np.exp(0.2 * rng.normal(size=size)), 0.0
    if kind == "exponential":
        t = rng.exponential(size=size)
        return t, np.exp(0.1 * rng.normal(size=size)) * t**0.3, 1.0
    k = rng.binomial(20, 0.1, size=size).astype(float)  # logit p; no estimate where k = 0
    k[k == 0] = NAN
    return np.log(k / (20 - k)), np.sqrt(1 / k + 1 / (20 - k)), np.log(0.1 / 0.9)


@pytest.mark.parametrize("kind", ["normal", "t5", "exponential", "binomial"])
def test_reported_errors_are_the_true_spread(kind):
    """The root mean square MCSE over 2,000 studies is within 5 % of the spread of the values.

    The spread is itself uncertain by its own MCSE; 3.5 of these are allowed beyond the 5 %. Some 40
    comparisons: false alarm below 1 in 50, were every MCSE off by the full 5 %; practically none as
    they are.
    """
    t, se, truth = drawn(kind)
    low, high = t - Z * se, t + Z * se
    other = t + 0.3 * np.random.default_rng(7).normal(size=t.shape)
    found = {
        "bias": bias(t, truth),
        "empse": empse(t),
        "mse": mse(t, truth),
        "relprec": relprec(t, other),
        "modelse": measures.modelse(se),
        "relerror": relerror(t, se),
        "corr": corr(t, se),
        "cover": cover(low, high, truth),
        "becover": becover(low, high, t),
        "wscore": wscore(low, high, truth),
    }
    if kind != "binomial":  # the median of a discrete estimate has no standard error
        found["median"] = quantile(t, 0.5)
    for name, measure in found.items():
        spread = empse(measure.value)
        reported = np.sqrt(np.mean(measure.mcse**2))
        reach = 0.05 * spread.value + 3.5 * spread.mcse
        assert_allclose(reported, spread.value, rtol=0, atol=reach, err_msg=f"{kind} {name}")


@pytest.mark.parametrize(
    ("kind", "factor"), [("normal", 1.0), ("t5", 0.55), ("exponential", 0.5), ("binomial", 1.4)]
)
def test_morris_errors_of_empse_are_right_for_normal_estimates_only(kind, factor):
    """What the robust default repairs; tolerance 10 %, four times the error of the spread."""
    t, _, _ = drawn(kind)
    found = empse(t, mcse="morris")
    ratio = np.mean(found.mcse) / np.std(found.value, ddof=1)
    assert_allclose(ratio, factor, rtol=0.1)


def test_becover_counts_the_error_of_the_mean():
    """With exponential estimates the binomial MCSE is a sixth too small; the robust one is not."""
    t, se, _ = drawn("exponential")
    low, high = t - Z * se, t + Z * se
    robust, morris = becover(low, high, t), becover(low, high, t, mcse="morris")
    spread = np.std(robust.value, ddof=1)
    assert np.sqrt(np.mean(morris.mcse**2)) < 0.9 * spread
    assert np.all(robust.mcse >= morris.mcse)
    assert np.all((robust.lower >= 0) & (robust.upper <= 1))


def test_exact_oracle_exponential_rate():
    """The rate of ten exponentials with Wald intervals: closed forms, within 4.5 MCSE.

    Seven comparisons: false alarm 1 in 20,000.
    """
    rate = 1 / np.random.default_rng(11).gamma(10, 1 / 10, size=200_000)
    se = rate / np.sqrt(10)
    low, high = rate - Z * se, rate + Z * se
    found = {
        "bias": (bias(rate, 1.0), 1 / 9),
        "empse": (empse(rate), 0.392837100659193),
        "modelse": (measures.modelse(se), 0.372677996249965),
        "relerror": (relerror(rate, se), -5.1316701949486),
        "mse": (mse(rate, 1.0), 1 / 6),
        "cover": (cover(low, high, 1.0), 0.9549216),
        "becover": (becover(low, high, rate), 0.9124402),
    }
    for name, (measure, exact) in found.items():
        assert abs(measure.value - exact) < 4.5 * measure.mcse, name


# --- edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEASURES)
def test_without_replicates_nothing_is_known(name):
    """n = 0: no vector, and a vector of missing entries."""
    for size in (0, 3):
        columns = {k: np.full(size, NAN) for k in columns_of(2)}
        columns |= {"ok": np.zeros(size, dtype=bool), "null": 0.0}
        found = asked_of(MEASURES[name], columns)
        if name in ("n", "fail") and size:
            assert found.n == 3
            assert found.value == {"n": 0.0, "fail": 1.0}[name]
        elif name == "n":
            assert found.value == 0
        else:
            assert found.n == 0
            assert math.isnan(found.value)
            assert math.isnan(found.mcse)


@pytest.mark.parametrize("name", MEASURES)
def test_one_replicate_has_no_spread(name):
    """n = 1: means and shares have a value, spreads and correlations none; only shares an MCSE."""
    found = asked_of(MEASURES[name], columns_of(1))
    no_value = {"empse", "relprec", "relerror", "relvar_rmse", "corr"}
    shares = {"fail", "cover", "becover", "cover_all", "miss_left", "miss_right", "power"}
    assert found.n == 1
    assert math.isnan(found.value) == (name in no_value)
    assert math.isnan(found.mcse) == (name not in shares)
    if name in shares:
        assert found.mcse == 0
        assert found.upper - found.lower > 0.7


@pytest.mark.parametrize("name", MEASURES)
def test_two_replicates_give_values(name):
    """n = 2: every value is defined; what would need three replicates has no MCSE."""
    found = asked_of(MEASURES[name], columns_of(2, seed=3))
    assert found.n == 2
    assert not math.isnan(found.value)
    needs_three = {"empse", "relprec", "relerror", "relvar_rmse", "corr"}
    of_order = {"n", "median", "seratio_p05", "seratio_median", "seratio_p95"}
    assert math.isnan(found.mcse) == (name in needs_three | of_order)


@pytest.mark.parametrize("n", [3, 6, 10, 49, 1000])
def test_equal_estimates_have_no_spread_at_all(n):
    """The rounded mean of n times 0.1 may not be 0.1: that must not become a spread of 1e-17."""
    t, se = np.full(n, 0.1), np.linspace(0.1, 0.2, n)
    found = empse(t)
    assert (found.value, found.mcse) == (0.0, 0.0)
    assert measures.mean(t).value == 0.1
    assert measures.mean(t).mcse == 0.0
    for undefined in (relerror(t, se), relprec(t, se), relvar_rmse(t, se), corr(t, se)):
        assert math.isnan(undefined.value)
        assert math.isnan(undefined.mcse)
        assert undefined.n == n
    assert math.isnan(relerror(t, se, mcse="morris").mcse)


@pytest.mark.parametrize("odd", [0.2, 0.3, 0.7, 1.9])
@pytest.mark.parametrize("n", [3, 7, 10, 33])
def test_all_but_one_equal_has_no_jackknife(n, odd):
    """Without the odd one the standard error is zero and the ratio undefined: no MCSE, not 1e8."""
    t, se = np.array([0.1] * (n - 1) + [odd]), np.full(n, 0.2)
    found = relerror(t, se)
    assert not math.isnan(found.value)
    assert math.isnan(found.mcse)


def test_relative_bias_is_undefined_at_zero():
    """Not 0, and not the bias among the replicates whose truth is not 0."""
    for truth in (0.0, np.array([1.0, 0.0, 1.0])):
        found = rbias([1.0, 2.0, 3.0], truth)
        assert math.isnan(found.value)
        assert found.n == 0


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_shares_of_none_and_all_keep_an_interval(p):
    """The MCSE is 0, the interval is not."""
    found = share(np.full(1000, bool(p)))
    assert (found.value, found.mcse) == (p, 0.0)
    assert found.upper - found.lower > 0.003
    assert (found.lower if p == 0 else found.upper) == p


def test_intervals_are_closed():
    """A truth on the limit is covered on either side, and the null on it is not excluded."""
    assert cover([1.0, 0.0], [2.0, 1.0], 1.0).value == 1.0
    assert power([1.0, 0.0], [2.0, 1.0], 1.0).value == 0.0
    assert measures.miss_left([1.0], [2.0], 1.0).value == 0.0
    assert measures.miss_right([0.0], [1.0], 1.0).value == 0.0


def test_one_sided_intervals():
    """Infinite limits cover as they should; their width and score are infinite, without error."""
    low, high = np.array([-np.inf, -np.inf, 0.0]), np.array([1.0, np.inf, np.inf])
    assert cover(low, high, 2.0).value == 2 / 3
    assert measures.miss_right(low, high, 2.0).value == 1 / 3
    for found in (measures.ciwidth(low, high), wscore(low, high, 2.0)):
        assert found.value == np.inf
        assert math.isnan(found.mcse)
        assert found.n == 3


def test_empty_intervals_contain_nothing():
    """L > U is a miss on both sides."""
    assert cover([2.0], [1.0], 1.5).value == 0.0
    assert measures.miss_left([2.0], [1.0], 1.5).value == 1.0
    assert measures.miss_right([2.0], [1.0], 1.5).value == 1.0


# --- moving the problem -------------------------------------------------------------------------


@pytest.mark.parametrize("power_of_two", [997, -997, 300, -300])
@pytest.mark.parametrize("name", MEASURES)
def test_units_change_no_digit(name, power_of_two):
    """Estimates of 1e300 and 1e-300: the measures of numbers of size one, in another unit."""
    whole = columns_of(50, holes=True)
    unit = 2.0**power_of_two
    labels = ("ok",)
    moved = {k: v if k in labels else v * unit for k, v in whole.items()}
    expected, found = asked_of(MEASURES[name], whole), asked_of(MEASURES[name], moved)
    # mse has a squared unit: infinite or zero where a float cannot hold it
    scale = (
        unit if name in UNIT else unit * unit if name == "mse" and abs(power_of_two) < 500 else 1
    )
    if name == "mse" and abs(power_of_two) > 500:
        assert found.value == (np.inf if power_of_two > 0 else 0.0)
        return
    assert found.n == expected.n
    with np.errstate(over="ignore"):
        for part in ("value", "mcse", "lower", "upper"):
            assert_allclose(
                getattr(found, part) / scale, getattr(expected, part), rtol=4e-15, err_msg=part
            )


def test_shift_and_doubling():
    """Errors and spreads do not see a shift; twice the same replicates are twice the n."""
    c = columns_of(64)
    t, se, truth = c["estimate"], c["se"], c["truth"]
    for function, arguments, moved in [
        (bias, (t, truth), (t + 1024, truth + 1024)),
        (empse, (t,), (t + 1024,)),
        (relerror, (t, se), (t + 1024, se)),
        (corr, (t, se), (t + 1024, se)),
    ]:
        # 1024 costs ten bits of the estimates
        assert_allclose(function(*moved).value, function(*arguments).value, rtol=1e-11)
        assert_allclose(function(*moved).mcse, function(*arguments).mcse, rtol=1e-11)
    once, twice = bias(t, truth), bias(np.tile(t, 2), np.tile(truth, 2))
    assert_allclose(twice.value, once.value, rtol=ROUNDING)
    assert_allclose(twice.mcse, once.mcse * np.sqrt(63 / 127), rtol=ROUNDING)


@pytest.mark.parametrize("name", MEASURES)
def test_leading_axes_change_no_digit(name):
    """Many groups at once, with holes in some, answer as each alone."""
    groups = [columns_of(37, seed=s, holes=s % 2 == 0) for s in range(6)]
    stacked = {
        k: np.stack([g[k] for g in groups]).reshape(2, 3, 37)
        for k in groups[0]
        if np.ndim(groups[0][k])
    } | {"null": 0.5}
    found = asked_of(MEASURES[name], stacked)
    for i, group in enumerate(groups):
        alone = asked_of(MEASURES[name], group)
        for part in ("value", "mcse", "n", "lower", "upper"):
            assert_array_equal(getattr(found, part).reshape(-1)[i], getattr(alone, part))


def test_a_million_replicates():
    """Sums of a million numbers keep 13 digits: compared with exact summation."""
    t = np.random.default_rng(1).normal(1e3, 1.0, size=1_000_000)
    center = math.fsum(t) / len(t)
    assert_allclose(average(t).value, center, rtol=1e-14)
    spread = math.sqrt(math.fsum((t - center) ** 2) / (len(t) - 1))
    assert_allclose(empse(t).value, spread, rtol=1e-13)
    assert_allclose(empse(t).mcse, spread / np.sqrt(2e6), rtol=0.01)


def test_interval_of_a_share_covers():
    """Wilson's interval holds its level at n = 60 for shares that occur; binomial, exactly."""
    n = 60
    hits = np.arange(n + 1)
    found = share(np.arange(n) < hits[:, None])
    for p in (0.05, 0.5, 0.95):
        inside = (found.lower <= p) & (p <= found.upper)
        assert binom.pmf(hits, n, p)[inside].sum() > 0.92


@pytest.mark.parametrize("n", [10, 1_000])
def test_numbers_that_differ_in_their_last_digits_are_equal(n):
    """Means, root mean squares and quantiles of them have no error, and intervals no length."""
    rng = np.random.default_rng(4)
    x = rng.uniform(0.1, 3.0, size=(50, n))
    same = 0.3 + 2.0**-53 * rng.integers(3, size=(50, n))
    assert (np.ptp(same, axis=-1) > 0).all()
    for found in (measures.mean(same), measures.modelse(same), measures.seratio(0.3 * x, x, 0.5)):
        assert_array_equal(found.mcse, 0.0)
        assert_array_equal(found.lower, found.value)
        assert_array_equal(found.upper, found.value)
