"""The pivot's distribution: exact where it is known, and the level of the bands."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, multinomial, norm, t

from simstudy import plots
from simstudy.evidence.bands import ecdf_bands
from simstudy.evidence.calibration import calibration, covered, known_at_one_level, pit
from simstudy.evidence.measures import cover
from simstudy.evidence.summary import summarize
from simstudy.plots import sheet


def small_samples(replicates=20_000, n=6):
    """Return mean, standard error and degrees of freedom of samples of n normals."""
    x = np.random.default_rng(8).normal(size=(replicates, n))
    return x.mean(-1), x.std(-1, ddof=1) / np.sqrt(n), np.full(replicates, n - 1.0)


def test_pit_is_uniform_where_the_pivot_is_known():
    """Student's t for the mean of six normals: Kolmogorov-Smirnov, false alarm 1 in 1,000.

    The normal pivot of the same numbers is far from uniform.
    """
    estimate, se, df = small_samples()
    assert kstest(pit(estimate, se, 0.0, df), "uniform").pvalue > 0.001
    assert kstest(pit(estimate, se, 0.0), "uniform").pvalue < 1e-6


def test_pit_of_single_numbers():
    """F((t - T)/se), elementwise; nan without a positive standard error."""
    found = pit([1.0, 1.0, 1.0, np.nan], [2.0, 0.0, -1.0, 1.0], 0.0)
    assert_allclose(found[0], norm.cdf(0.5), rtol=1e-14)
    assert_array_equal(np.isnan(found), [False, True, True, True])


def test_covered_is_the_coverage_of_wald_intervals():
    """With df by row, and with the normal distribution."""
    estimate, se, df = small_samples(500)
    for reach, given in [(norm.ppf(0.95), None), (t.ppf(0.95, 5), df)]:
        expected = cover(estimate - reach * se, estimate + reach * se, 0.1)
        found = covered(estimate, se, 0.1, 0.9, given)
        assert (found.value, found.n, found.mcse) == (expected.value, 500, expected.mcse)


def test_calibration_of_a_table():
    """Each level within 4 MCSE of the exact coverage, normal and Student: false alarm 1 in 1500."""
    estimate, se, df = small_samples()
    table = pd.DataFrame({"n": 6, "replicate": np.arange(20_000), "method": "mean"})
    table = table.assign(truth=0.0, estimate=estimate, se=se)
    for frame, exact in [
        (table, lambda level: t.cdf(norm.ppf((1 + level) / 2), 5) * 2 - 1),
        (table.assign(df=df), lambda level: level),
    ]:
        found = calibration(frame)
        assert list(found["level"]) == [0.5, 0.8, 0.9, 0.95, 0.99]
        assert list(found.columns[:4]) == ["factor_n", "method", "level", "value"]
        assert np.all(np.abs(found["value"] - exact(found["level"])) < 4 * found["mcse"])
    with pytest.raises(ValueError, match=r"level is 50; .*did you mean 0\.5\?"):
        calibration(table, levels=[50])


@pytest.mark.parametrize(("n", "points"), [(1, 10), (7, 20), (60, 20), (400, 100)])
def test_bands_hold_their_level(n, points):
    """4,000 uniform samples stay within the bands as often as the level says, or a little oftener.

    A single number allows few levels, so that the share may be far above; below, 4 binomial errors
    are allowed: false alarm 1 in 30,000.
    """
    bands = ecdf_bands(n, points=points)
    u = np.random.default_rng(n).random((4000, n))
    within = np.ones(4000, dtype=bool)
    for at, low, high in zip(bands.at, bands.lower, bands.upper, strict=True):
        share = np.mean(u <= at, axis=-1)
        within &= (low - 1e-12 <= share) & (share <= high + 1e-12)
    error = 4 * np.sqrt(0.95 * 0.05 / 4000)
    assert np.mean(within) > 0.95 - error
    if n >= 60:
        assert np.mean(within) < 0.96 + error


def test_bands_match_the_exact_chance_of_two_numbers():
    """n = 2 at the point 1/2: P(0, 1, 2 numbers below) = 1/4, 1/2, 1/4: all of them are needed."""
    bands = ecdf_bands(2, level=0.9, points=2)
    assert (bands.lower[0], bands.upper[0]) == (0.0, 1.0)
    bands = ecdf_bands(2, level=0.4, points=2)
    assert (bands.lower[0], bands.upper[0]) == (0.5, 0.5)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_bands_match_all_ways_to_fall_into_quarters(level):
    """Sixty numbers in four quarters, every split with its probability: no Monte Carlo error.

    The chance to stay is the level, or above it by no more than one step of a count, 3 %.
    """
    bands = ecdf_bands(60, level=level, points=4)
    splits = np.indices((61, 61, 61)).reshape(3, -1).T
    splits = np.column_stack([splits, 60 - splits.sum(-1)])
    splits = splits[splits[:, 3] >= 0]
    below = np.cumsum(splits, axis=-1)[:, :3] / 60
    within = np.all((bands.lower <= below) & (below <= bands.upper), axis=-1)
    chance = multinomial.pmf(splits[within], 60, [0.25] * 4).sum()
    assert 0 <= chance - level < 0.03


def test_bands_narrow_with_replicates():
    """Many replicates: bands of the width of the Kolmogorov distribution, 1.36/sqrt(n)."""
    bands = ecdf_bands(100_000)
    half = bands.upper[49] - 0.5
    # equal local levels: at the middle wider than Kolmogorov's, at the ends narrower
    assert 1.36 < half * np.sqrt(1e5) < 1.6
    assert (bands.upper[0] - 0.01) * np.sqrt(1e5) < 0.4


@pytest.mark.parametrize(("n", "level", "message"), [(0, 0.95, "n is 0"), (9, 95, "level is 95")])
def test_bands_refuse(n, level, message):
    """No replicates; a level in percent."""
    with pytest.raises(ValueError, match=message):
        ecdf_bands(n, level)


# --- intervals that tell how they are made --------------------------------------------------------

Z95 = norm.ppf(0.975)


def right(kind, n=2000, level=0.95, seed=5):
    """Draw n replicates of an interval of one kind that is exactly right at every level.

    On the scale g of the kind, g(t) - g(T) is normal with a known standard deviation, or Student.
    """
    rng = np.random.default_rng(seed)
    half = norm.ppf((1 + level) / 2)
    to, back, slope, truth = {
        "wald": (lambda x: x, lambda x: x, lambda x: 1, 1.0),
        "log": (np.log, np.exp, lambda x: 1 / x, 2.0),
        "negative log": (lambda x: -np.log(-x), lambda x: -np.exp(-x), lambda x: -1 / x, -2.0),
        "logit": (lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x)),
                  lambda x: 1 / x / (1 - x), 0.2),
        "Fisher": (np.arctanh, np.tanh, lambda x: 1 / (1 - x**2), 0.6),
        "log-log": (lambda x: -np.log(-np.log(x)), lambda x: np.exp(-np.exp(-x)),
                    lambda x: -1 / x / np.log(x), 0.7),
        "student": (lambda x: x, lambda x: x, lambda x: 1, 1.0),
        "student log": (np.log, np.exp, lambda x: 1 / x, 2.0),
    }[kind]  # fmt: skip
    sd = np.full(n, 0.3)
    if "student" in kind:
        # from 5 to 24 degrees, by replicate: as complete cases differ
        df = rng.integers(5, 25, n)
        sd, half = 0.3 * np.sqrt(rng.chisquare(df) / df), t.ppf((1 + level) / 2, df)
    center = to(truth) + 0.3 * rng.normal(size=n)
    estimate = back(center)
    return pd.DataFrame({
        "scenario": "s", "estimator": "e", "parameter": "p", "replicate": np.arange(n),
        "method": kind, "truth": truth, "estimate": estimate, "se": sd / slope(estimate),
        "lower": back(center - half * sd), "upper": back(center + half * sd), "status": "ok",
    })  # fmt: skip


KINDS = ("wald", "log", "negative log", "logit", "Fisher", "log-log", "student", "student log")


def transforms(table, level=0.95, **columns):
    """Return the transforms of a table's rows."""
    named = {name: table[name].to_numpy() for name in ("estimate", "se", "truth")}
    limits = {name: table[name].to_numpy() for name in ("lower", "upper")}
    return pit(**named, **limits, level=level, **columns)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_every_right_method_is_uniform(kind, level):
    """Kolmogorov-Smirnov of 2,000 replicates; the 16 false alarms together 1 in 60 or rarer.

    The coverage at the interval's own level is that of its limits, row by row.
    """
    table = right(kind, level=level)
    found = transforms(table, level)
    assert kstest(found, "uniform").pvalue > 0.001
    inside = np.abs(2 * found - 1) <= level
    hits = (table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])
    assert_array_equal(inside, hits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_standard_error_leaves_uniformity_on_every_scale(kind):
    """Limits and standard error 30 % too small: told by 2,000 replicates."""
    table = right(kind)
    small = right(kind).assign(se=0.7 * table["se"])
    to = {"log": np.log, "student log": np.log}.get(kind)
    if to is None:
        to, back = {"wald": (lambda x: x,) * 2, "student": (lambda x: x,) * 2,
                    "negative log": (lambda x: np.log(-x), lambda x: -np.exp(x)),
                    "logit": (lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x))),
                    "Fisher": (np.arctanh, np.tanh),
                    "log-log": (lambda x: np.log(-np.log(x)), lambda x: np.exp(-np.exp(x))),
                    }[kind]  # fmt: skip
    else:
        back = np.exp
    for end in ("lower", "upper"):
        center = to(table["estimate"])
        small[end] = back(center + 0.7 * (to(table[end]) - center))
    assert kstest(transforms(small), "uniform").pvalue < 1e-6


def test_two_intervals_from_one_standard_error_are_told_apart():
    """Wald and log-Wald of one table: each level by its own interval, its own level by the limits.

    The standard error of the log is right; on the natural scale it is skewed.
    """
    log = right("log", 4000)
    wald = log.assign(method="wald", lower=log["estimate"] - Z95 * log["se"],
                      upper=log["estimate"] + Z95 * log["se"])  # fmt: skip
    table = pd.concat([log, wald])
    found = calibration(table)
    by_limits = summarize(table, measures=["cover"]).set_index("method")["value"]
    levels = found.pivot(index="level", columns="method", values="value")
    for method in ("log", "wald"):
        assert levels.loc[0.95, method] == by_limits[method]
    own = found[found["method"] == "log"]
    # 4 binomial errors at five levels: false alarm 1 in 3,000
    assert np.all(np.abs(own["value"] - own["level"]) < 4 * np.sqrt(own["level"] / 4 / 4000))
    assert np.any(np.abs(levels["log"] - levels["wald"]) > 0.01)
    assert known_at_one_level(found) == []


def percentile(n=400, seed=6):
    """Draw estimates whose intervals are bootstrap percentiles: skewed, of no known scale."""
    rng = np.random.default_rng(seed)
    data = rng.exponential(size=(n, 15))
    means = np.array([x[rng.integers(15, size=(199, 15))].mean(-1) for x in data])
    lower, upper = np.quantile(means, [0.025, 0.975], axis=-1)
    return right("wald", n).assign(method="percentile", estimate=data.mean(-1), truth=1.0,
                                   se=means.std(-1), lower=lower, upper=upper)  # fmt: skip


def scaled(by):
    """Return Wald intervals whose limits are another multiple of the standard error."""
    table = right("wald")
    arm = by * (table["upper"] - table["estimate"])
    return table.assign(lower=table["estimate"] - arm, upper=table["estimate"] + arm)


UNTOLD = {
    "percentile": percentile,
    "one-sided": lambda: right("wald").assign(lower=-np.inf),
    "no standard error": lambda: right("wald").assign(se=np.nan),
    "wider by no Student's t": lambda: scaled(1.13),
    "narrower": lambda: scaled(0.9),
}


@pytest.mark.parametrize("table", UNTOLD.values(), ids=UNTOLD)
def test_limits_that_do_not_tell_are_not_judged_at_other_levels(table):
    """Their own level is known from the limits; of the others nothing is said, and the method is
    named.
    """
    table = pd.concat([table().assign(method="mine"), right("wald")])
    found = calibration(table)
    mine = found[found["method"] == "mine"].set_index("level")
    assert list(mine["n"] > 0) == [False, False, False, True, False]
    assert_array_equal(np.isnan(mine["value"]), mine["n"] == 0)
    assert set(found.loc[found["method"] == "wald", "n"]) == {2000}
    assert known_at_one_level(found) == ["mine"]


def test_degrees_of_freedom_are_believed_before_they_are_guessed():
    """A fractional number of degrees, given; and limits that are normal beside a column df."""
    rng = np.random.default_rng(9)
    df = np.full(2000, 7.5)
    se = np.sqrt(rng.chisquare(df) / df)
    estimate = rng.normal(size=2000)
    arm = t.ppf(0.975, df) * se
    limits = {"lower": estimate - arm, "upper": estimate + arm}
    assert np.isnan(pit(estimate, se, 0.0, **limits)).all()
    found = pit(estimate, se, 0.0, df, **limits)
    assert_allclose(found, t.cdf(estimate / se, df), rtol=1e-12)
    wald = {"lower": estimate - Z95 * se, "upper": estimate + Z95 * se}
    assert_allclose(pit(estimate, se, 0.0, df, **wald), norm.cdf(estimate / se), rtol=1e-12)


def test_limits_of_a_table_with_few_digits_are_recognized():
    """Three decimals, standard errors of .3: the scale is told, and the transform is that near."""
    table = right("log")
    rounded = table.round(3)
    assert_allclose(transforms(rounded), transforms(table), atol=2e-3)


def test_a_truth_beyond_the_scale_lies_below_every_interval():
    """Intervals on the log scale cannot reach zero or less: the transform is 1."""
    table = right("log", 50)
    for truth in (0.0, -1.0):
        assert_array_equal(transforms(table.assign(truth=truth)), 1.0)


def test_rows_and_cells_without_limits():
    """Without any limits Wald's are meant; a row without them has no transform."""
    table = right("log", 30)
    holes = table.assign(lower=np.where(table.index == 3, np.nan, table["lower"]))
    assert_array_equal(np.flatnonzero(np.isnan(transforms(holes))), [3])
    none = table.assign(lower=np.nan, upper=np.nan)
    expected = norm.cdf((table["estimate"] - table["truth"]) / table["se"])
    assert_allclose(transforms(none), expected, rtol=1e-12)
    stacked = {name: np.stack([table[name], none[name], right("wald", 30)[name]])
               for name in ("estimate", "se", "truth", "lower", "upper")}  # fmt: skip
    each = [transforms(one) for one in (table, none, right("wald", 30))]
    assert_array_equal(pit(**stacked), each)


def test_the_figure_of_a_right_asymmetric_interval_stays_within_its_bands():
    """The log interval of 2,000 replicates, spread .3: on the scale of the arms it left them.

    The bands hold with 95 %; this seed is within, and the Wald interval of the same fit is not.
    """
    log = right("log")
    wald = log.assign(method="wald", lower=log["estimate"] - Z95 * log["se"],
                      upper=log["estimate"] + Z95 * log["se"])  # fmt: skip
    table = pd.concat([log, wald, percentile()]).astype(
        dict.fromkeys(["scenario", "estimator", "parameter", "method"], "category")
    )
    panels = {axes.get_title(loc="left") or axes.get_title(): axes
              for axes in plots.pit_ecdf(table).axes}  # fmt: skip
    colors = {name: [line.get_color() for line in axes.lines[1:]] for name, axes in panels.items()}
    assert colors["log"] == [sheet.BLUE]
    assert colors["wald"] == [sheet.VERMILLION]
    assert colors["percentile"] == []
    assert [text.get_text() for text in panels["percentile"].texts] == ["not known at other levels"]
