"""The pivot's distribution: exact where it is known, and the level of the bands."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, multinomial, norm, t

from simstudy.calibration import calibration, covered, ecdf_bands, pit
from simstudy.measures import cover


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
