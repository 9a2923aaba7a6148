"""Arithmetic over replicates: the last axis of `(..., n)` arrays in which nan means missing."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Vector: TypeAlias = npt.ArrayLike

# fourth powers of numbers up to it, and of 2^-53 of its inverse, are within a float's range
_LARGE = 2.0**200

_ROUNDING = 16 * 2.0**-52  # of a number: what a few operations, and sums by halves, lose of it

# 0/0 where a measure is undefined, and squares of 1e300, give the nan and the inf that are meant
quiet = np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")


def rounding(difference: Array, number: Array) -> Array:
    """Tell where a difference is no more than the last digits of a number, which are rounded."""
    return np.asarray(np.abs(difference) <= _ROUNDING * np.abs(number))


def floats(*columns: Vector) -> tuple[Array, ...]:
    """Return the columns as arrays of floats of one shape."""
    arrays = tuple(np.asarray(column, dtype=float) for column in columns)
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    return np.broadcast_arrays(*arrays)


def present(*columns: Array) -> Array:
    """Return where no column is missing."""
    missing = np.isnan(columns[0])
    for column in columns[1:]:
        missing |= np.isnan(column)
    return np.logical_not(missing)


def complete(*columns: Vector) -> tuple[Array, ...]:
    """Make each column missing where any of them is."""
    arrays = floats(*columns)
    keep = present(*arrays)
    return arrays if keep.all() else tuple(_filled(array, ~keep, np.nan) for array in arrays)


def tally(hits: Array) -> Array:
    """Count the hits of each row, as bits: NumPy would make an integer of each to sum them."""
    return np.asarray(np.bitwise_count(np.packbits(hits, axis=-1)).sum(-1, dtype=np.int64))


def count(x: Array) -> Array:
    """Count the entries of each row that are not missing."""
    missing = np.isnan(x)
    if missing.any():
        return np.asarray(x.shape[-1] - tally(missing))
    return np.full(x.shape[:-1], x.shape[-1])


def total(x: Array) -> Array:
    """Sum each row over the entries that are not missing."""
    sums = np.asarray(np.add.reduce(x, axis=-1))
    if np.isnan(sums).any():
        sums = np.asarray(np.add.reduce(_filled(x, np.isnan(x), 0.0), axis=-1))
    return sums


def centered(x: Array) -> tuple[Array, Array, Array]:
    """Return the count, the mean and the deviations of each row."""
    n = count(x)
    center = np.asarray(total(x) / n)
    deviation = x - center[..., None]
    # the mean of equal numbers is that number, but its sum is rounded: nothing else must decide
    # whether estimates vary
    if not (np.abs(deviation[..., :1]) > 1e-12 * np.abs(center[..., None])).all():
        low, high = extremes(x)
        center = np.minimum(np.maximum(center, low), high)
        deviation = x - center[..., None]
    return n, center, deviation


def rescaled(*columns: Vector) -> tuple[Array, ...]:
    """Return a unit for each row, and the columns in it: no fourth power over- or underflows.

    The unit is 1 unless a row is extreme, and else a power of two, which changes no digit.
    """
    arrays = floats(*columns)
    size = np.zeros(())
    for array in arrays:
        low, high = extremes(array)
        size = np.fmax(size, np.fmax(-low, high))
    extreme = (size >= _LARGE) | ((size < 1 / _LARGE) & (size > 0))
    if not extreme.any():
        return np.ones(()), *arrays
    unit = np.ldexp(1.0, np.where(extreme, np.clip(np.frexp(size)[1], -1021, 1023), 0))
    return unit, *(array / unit[..., None] for array in arrays)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; a denominator of zero leaves the measure undefined."""
    return np.asarray(np.where(denominator == 0, np.nan, numerator / denominator))


def left_out(products: Array, sums: Array, n: Array) -> Array:
    """Return the sum of n products of deviations as it is without entry i, for every i.

    Leaving out entry i moves the means too: the sum falls by n/(n - 1) times product i.
    """
    return np.asarray(sums[..., None] - (n / (n - 1))[..., None] * products)


def left_out_variance(squares: Array, sums: Array, n: Array) -> Array:
    """Return the variance without entry i, for every i, from the squared deviations."""
    rest = left_out(squares, sums, n)
    # what rounding leaves of nothing, where the other entries are all equal
    nothing = rest < 1e-13 * sums[..., None]
    if nothing.any():
        rest = _filled(rest, nothing, 0.0)
    return np.asarray(rest / (n[..., None] - 2))


def jackknife(value: Array, without: Array, n: Array) -> Array:
    """Return the jackknife standard error of a value from the n values without entry i.

    The spread is taken around the value itself; Efron & Tibshirani (1993), eq. 11.5, take it around
    the mean of the others, which is smaller by O(1/n). It is nan when one of the n is.
    """
    error = np.sqrt((n - 1) / n * total((without - value[..., None]) ** 2))
    return np.asarray(np.where(count(without) == n, error, np.nan))


def _filled(x: Array, where: Array, value: float) -> Array:
    """Return a copy with a value in some places; twice as fast as `numpy.where`."""
    filled = x.copy()
    np.copyto(filled, value, where=where)
    return filled


def extremes(x: Array) -> tuple[Array, Array]:
    """Return the smallest and the largest entry of each row, the missing aside."""
    low = np.fmin.reduce(x, axis=-1, initial=np.inf)
    return np.asarray(low), np.asarray(np.fmax.reduce(x, axis=-1, initial=-np.inf))


def order_statistics(ordered: Array, n: Array, at: Array) -> Array:
    """Interpolate between order statistics around the positions `at` (from 0); nan outside."""
    if not ordered.shape[-1]:
        return np.full(at.shape, np.nan)
    last = n[..., None] - 1
    inside = (at >= 0) & (at <= last)
    below = np.where(inside, np.floor(at), 0).astype(int)
    low = np.take_along_axis(ordered, below, -1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, np.maximum(last, 0)), -1)
    return np.asarray(np.where(inside, low + (at - below) * (high - low), np.nan))
