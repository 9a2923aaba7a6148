"""Paired differences against brute force, and against what ignoring the pairs would give."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from simstudy.evidence.calibration import calibration
from simstudy.evidence.comparison import (
    compare,
    cover_difference,
    modelse_ratio,
    relerror_difference,
)
from simstudy.evidence.measures import cover, relerror

NAN = float("nan")


def two_methods(n, seed=1, studies=()):
    """Draw skewed estimates that two methods share, and standard errors that go together."""
    rng = np.random.default_rng(seed)
    t = rng.exponential(size=(*studies, n))
    common = np.exp(0.3 * rng.normal(size=t.shape)) * (0.4 + 0.6 * t)
    se = common * np.exp(0.05 * rng.normal(size=t.shape))
    other = 1.1 * common * np.exp(0.05 * rng.normal(size=t.shape))
    return t, se, other


def long(t, se, other):
    """Lay the two methods out as a long table."""
    frames = [
        pd.DataFrame(
            {
                "scenario": "exponential",
                "replicate": np.arange(len(t)),
                "method": method,
                "truth": 1.0,
                "estimate": t,
                "se": s,
                "lower": t - 2 * s,
                "upper": t + 2 * s,
            }
        )
        for method, s in (("observed", se), ("other", other))
    ]
    return pd.concat(frames, ignore_index=True)


def test_cover_difference_by_counting():
    """Value and variance from the paired differences of hits, one by one."""
    t, se, other = two_methods(300)
    ends = (t - se, t + se, t - other, t + other)
    here, there = (np.abs(t - 1) <= s for s in (se, other))
    difference = here.astype(float) - there
    found = cover_difference(*ends, 1.0)
    assert 0 < np.count_nonzero(difference) < 100
    assert_allclose(found.value, difference.mean(), rtol=1e-12)
    # (b + c - (b - c)^2/n)/n^2 is the variance of the mean difference, with divisor n
    assert_allclose(found.mcse, np.std(difference) / np.sqrt(300), rtol=1e-12)
    assert found.n == 300
    assert found.lower < found.value < found.upper


def test_agresti_min_interval_matches_their_formula():
    """Half a replicate in each of four cells: 95 of 100 agree, 5 are covered here only."""
    lower = np.zeros(100)
    reference = np.where(np.arange(100) < 5, 2.0, 0.0)
    found = cover_difference(lower, lower + 1, reference, reference + 1, 0.5)
    b, c, n = 5.5, 0.5, 102
    half = 1.959963984540054 * np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert_allclose([found.lower, found.upper], [5 / n - half, 5 / n + half], rtol=1e-12)


def test_two_methods_that_always_agree_have_an_interval_still():
    """No discordant replicate: the MCSE is 0, the interval is not."""
    zeros = np.zeros(50)
    found = cover_difference(zeros, zeros + 1, zeros, zeros + 1, 0.5)
    assert (found.value, found.mcse) == (0.0, 0.0)
    assert found.lower < -0.02
    assert found.upper > 0.02


@pytest.mark.parametrize("n", [3, 60])
def test_closed_jackknives_match_deleting_each_replicate(n):
    """The joint jackknife of both methods in O(n)."""
    t, se, other = two_methods(n)

    def brute(statistic):
        value = statistic(np.arange(n))
        without = np.array([statistic(np.delete(np.arange(n), i)) for i in range(n)])
        return value, np.sqrt((n - 1) / n * np.sum((without - value) ** 2))

    def difference(i):
        v, w = (np.sqrt(np.mean(s[i] ** 2)) for s in (other, se))
        return 100 * (v - w) / np.std(t[i], ddof=1)

    def ratio(i):
        return np.sqrt(np.mean(other[i] ** 2) / np.mean(se[i] ** 2))

    for found, statistic in [
        (relerror_difference(t, other, t, se), difference),
        (modelse_ratio(other, se), ratio),
    ]:
        value, error = brute(statistic)
        assert_allclose(found.value, value, rtol=1e-12)
        # the brute differences cancel some digits
        assert_allclose(found.mcse, error, rtol=1e-9)


def test_reported_errors_are_the_true_spread():
    """Over 1,500 studies, within 5 % and 3.5 of the spread's own errors.

    False alarm below 1 in 500. Errors without the pairing are twice as large: that is shown too.
    """
    t, se, other = two_methods(400, studies=(1500,))
    ends = (t - 2 * other, t + 2 * other, t - 2 * se, t + 2 * se)
    found = {
        "relerror": relerror_difference(t, other, t, se),
        "modelse": modelse_ratio(other, se),
        "cover": cover_difference(*ends, 1.0),
    }
    for name, measure in found.items():
        spread = np.std(measure.value, ddof=1)
        reported = np.sqrt(np.mean(measure.mcse**2))
        assert_allclose(reported, spread, rtol=0.05 + 3.5 / np.sqrt(2 * 1500), err_msg=name)
    apart = {
        "relerror": np.hypot(relerror(t, other).mcse, relerror(t, se).mcse),
        "cover": np.hypot(cover(*ends[:2], 1.0).mcse, cover(*ends[2:], 1.0).mcse),
    }
    for name, error in apart.items():
        assert np.mean(error) > 1.8 * np.mean(found[name].mcse), name


def test_units_change_no_digit():
    """1e300 and 1e-300."""
    t, se, other = two_methods(40)
    expected = modelse_ratio(other, se), relerror_difference(t, other, t, se)
    for unit in (2.0**997, 2.0**-997):
        found = (
            modelse_ratio(unit * other, unit * se),
            relerror_difference(*(unit * x for x in (t, other, t, se))),
        )
        for moved, still in zip(found, expected, strict=True):
            assert_allclose([moved.value, moved.mcse], [still.value, still.mcse], rtol=4e-15)
    apart, together = modelse_ratio(2.0**600 * other, se), expected[0]
    assert_allclose(apart.value / 2.0**600, together.value, rtol=4e-15)
    assert_allclose(apart.mcse / 2.0**600, together.mcse, rtol=4e-15)


def test_compare_pairs_by_replicate():
    """Shuffled, with holes on either side: complete pairs, and the same digits."""
    t, se, other = two_methods(80)
    table = long(t, se, other)
    table.loc[[3, 100, 120], ["se", "lower", "upper"]] = NAN
    kept = np.setdiff1d(np.arange(80), [3, 20, 40])
    found = compare(table).set_index("measure")
    assert set(found["method"]) == {"other"}
    assert set(found["reference"]) == {"observed"}
    assert set(found["n"]) == {77}
    expected = modelse_ratio(other[kept], se[kept])
    assert_allclose(found.loc["modelse_ratio", "value"], expected.value, rtol=1e-12)
    assert_allclose(found.loc["modelse_ratio", "mcse"], expected.mcse, rtol=1e-10)
    shuffled = compare(table.sample(frac=1, random_state=1))
    assert_frame_equal(shuffled, compare(table), check_exact=True)


def test_compare_takes_what_the_table_has():
    """Without limits no coverage; without standard errors nothing but coverage."""
    table = long(*two_methods(20))
    without = compare(table.drop(columns=["lower", "upper"]))
    assert_array_equal(without["measure"], ["relerror_difference", "modelse_ratio"])
    assert_array_equal(compare(table.drop(columns="se"))["measure"], ["cover_difference"])
    with pytest.raises(ValueError, match="neither standard errors nor limits"):
        compare(table[["replicate", "method", "truth", "estimate"]])


def test_compare_refuses_what_it_cannot_pair():
    """An unknown reference; no replicate column."""
    table = long(*two_methods(20))
    with pytest.raises(ValueError, match=r"no method 'observd'; did you mean 'observed'\?"):
        compare(table, reference="observd")
    with pytest.raises(ValueError, match="paired by their id"):
        compare(table.drop(columns="replicate"))


def test_truths_that_differ_by_replicate_or_by_method():
    """Differences are of errors: moving a data set with its truth, or a method with its own, is
    no difference; each method is to cover the truth of its own rows.
    """
    t, se, other = two_methods(200)
    table = long(t, se, other)
    expected = compare(table)
    shift = np.where(table["replicate"] % 2 == 0, 50.0, 0.0)
    for moved in (shift, np.where(table["method"] == "other", 3 * shift + 7.0, shift)):
        columns = {name: table[name] + moved for name in ("truth", "estimate", "lower", "upper")}
        found = compare(table.assign(**columns))
        for part in ("value", "mcse", "lower", "upper", "n"):
            # estimates of 157 carry an absolute error of 1e-14
            assert_allclose(found[part], expected[part], rtol=1e-9, err_msg=part)


@pytest.mark.parametrize("n", [3, 100, 5_000])
@pytest.mark.parametrize("tail", [0.0, 1.0, 3.0])
def test_what_is_rounding_is_no_error(n, tail):
    """Standard errors that differ by one factor, and those that differ in the last digit only.

    With heavy tails one data set carries nearly all of a sum, which rounding magnifies.
    """
    rng = np.random.default_rng(12)
    reference, t = np.exp(tail * rng.normal(size=(50, n))), rng.normal(size=(50, n))
    found = modelse_ratio(0.6 * reference, reference)
    assert_array_equal(found.mcse, 0.0)
    assert_array_equal(found.lower, found.upper)
    found = relerror_difference(t, reference * 3 / 7, t, reference * (3 / 7))
    assert_array_equal(found.mcse, 0.0)
    assert_array_equal(found.value, 0.0)
    # a real difference of one part in a billion is one
    noise = 1 + 1e-9 * rng.normal(size=(50, n))
    assert (modelse_ratio(0.6 * reference * noise, reference).mcse > 0).all()


def test_factors_named_like_columns_of_calibration_and_comparison_are_kept():
    """One rule for every name: the factor is called factor_... beside the column."""
    estimate = np.random.default_rng(5).normal(size=40)
    table = pd.DataFrame({
        "level": 7, "reference": 8, "replicate": np.tile(range(20), 2),
        "method": np.repeat(["a", "b"], 20), "truth": 0.0, "estimate": estimate, "se": 1.0,
        "lower": estimate - 2, "upper": estimate + 2,
    })  # fmt: skip
    paired = compare(table, "a")
    assert set(paired["factor_reference"]) == {8}
    assert set(paired["reference"]) == {"a"}
    found = calibration(table, levels=[0.5, 0.9])
    assert found["factor_level"].tolist() == [7] * 4
    assert found["level"].tolist() == [0.5, 0.9] * 2
