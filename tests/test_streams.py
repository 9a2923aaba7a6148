"""Streams: the same names give the same numbers, other names give others."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from simstudy.streams import renewable, stream

NAMES = (1, "gamma n=20", 7, "data")
PINNED = [12565482500087474978, 17945884159426364712]


def first(*names, count=4):
    """Return the first words of a stream, which no later NumPy may change."""
    return stream(*names).bit_generator.random_raw(count)


def test_same_names_give_same_numbers():
    assert_array_equal(first(*NAMES), first(*NAMES))


def test_numbers_are_those_of_every_other_machine():
    """Written down once: a study must give the same table on any machine, in any year."""
    assert first(*NAMES, count=2).tolist() == PINNED


@pytest.mark.parametrize(
    "other",
    [
        (2, "gamma n=20", 7, "data"),
        (1, "gamma n=21", 7, "data"),
        (1, "gamma n=20", 8, "data"),
        (1, "gamma n=20", 7, "bootstrap"),
        (1, "gamma n=2", 7, "0data"),
        (11, "gamma n=20", 7, "data"),
    ],
)
def test_any_other_name_gives_other_numbers(other):
    """Also where the names run together to the same text. By chance: once in 2**256."""
    assert not set(first(*NAMES).tolist()) & set(first(*other).tolist())


def test_names_are_told_apart_where_they_meet():
    assert first(1, "ab", 0, "c")[0] != first(1, "a", 0, "bc")[0]
    assert first(1, "2 a", 0, "c")[0] != first(12, " a", 0, "c")[0]


def test_replicates_of_one_key_cannot_overlap():
    """Replicate i + 1 begins where 2**128 further draws of replicate i would be."""
    here, there = (stream(*NAMES[:2], i, "data").bit_generator for i in (7, 8))
    assert_array_equal(here.advance(2**128).random_raw(8), there.random_raw(8))


def test_a_large_number_of_a_replicate_is_its_own():
    """A replicate's number is a word of 64 bits, not of 32."""
    assert first(1, "a", 2**32, "data")[0] != first(1, "a", 0, "data")[0]


def test_first_numbers_of_many_replicates_are_uniform_and_independent():
    """Kolmogorov-Smirnov and lag-one correlation; each fails for one seed in 1000 by chance."""
    u = np.array([stream(3, "a", i, "data").random() for i in range(2000)])
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.pearsonr(u[:-1], u[1:]).pvalue > 1e-3


def test_renewed_generator_is_the_stream():
    """Also after an odd number of 32-bit words, of which a generator keeps the other half."""
    renew = renewable(1, "gamma n=20", "data")
    for i in (7, 8, 7):
        rng = renew(i)
        assert_array_equal(rng.bit_generator.random_raw(3), first(1, "gamma n=20", i, "data")[:3])
        rng.integers(2**20, size=3, dtype=np.uint32)
