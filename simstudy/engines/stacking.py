"""Data sets side by side: those of one kind padded to one length, with weights for the padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.engines import programs
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Draws
from simstudy.likelihood.supports import Support, inside, to_working
from simstudy.user_code.time_limit import STOPS


class Member(NamedTuple):
    """A data set of n observations, where it stands in the block, and where its fit starts."""

    row: int
    start: Array
    data: Data
    n: int


class Group(NamedTuple):
    """Data sets that can be stacked once they are padded to a length."""

    length: int
    members: list[Member]


def grouped(estimator: MaximumLikelihood, draws: Draws, only: int | None) -> list[Group]:
    """Sort data sets by padded length and kind, those aside whose start is not inside.

    With data sets of the length `only` alone, unpadded, where one is given.
    """
    model = estimator.model
    by_kind: dict[Any, list[Member]] = {}
    for b, data in enumerate(draws.data):
        if isinstance(data, Exception):
            continue
        try:
            start = np.asarray(model.start(data), dtype=float)
            n = observations(data)
            if n != (only or n):
                continue
            key = (only or programs.bucket(n), start.shape, _kind(data))
            if _may_index(data):
                model.loglik(start, data)  # JAX takes the nearest entry where NumPy raises
        except STOPS:
            raise
        except BaseException:
            # The loop engine meets the same exception and records it.
            continue
        by_kind.setdefault(key, []).append(Member(b, start, data, n))
    groups = []
    for (length, shape, _), members in by_kind.items():
        if shape == (len(model.names),):
            starts = np.stack([member.start for member in members])
            usable = inside(starts, model.supports).all(axis=1)
            kept = [member for member, good in zip(members, usable, strict=True) if good]
            if kept:
                groups.append(Group(length, kept))
    return groups


def _may_index(data: Data) -> bool:
    """Tell whether data hold whole numbers, by which a log-likelihood may look things up."""
    if isinstance(data, Mapping):
        return any(map(_may_index, data.values()))
    return np.asarray(data).dtype.kind in "iu"


def _kind(data: Data) -> tuple[Any, ...]:
    """Tell data sets apart that cannot be stacked: by names, types and further axes."""
    if not isinstance(data, dict):
        values = np.asarray(data)
        return values.dtype, values.shape[1:]
    return tuple([(name, *_kind(values)) for name, values in data.items()])


def stacked(
    supports: tuple[Support, ...], length: int, members: Sequence[Member]
) -> tuple[Array, Data, Array]:
    """Stack starts, data and weights; padding is the first observation, which weighs nothing."""
    starts = to_working(np.stack([member.start for member in members]), supports)
    sizes = np.array([member.n for member in members])
    weights = (np.arange(length) < sizes[:, None]).astype(float)

    def stack(arrays: Sequence[Array]) -> Array:
        first = np.asarray(arrays[0])
        out = np.empty((len(arrays), length, *first.shape[1:]), dtype=first.dtype)
        for own, array in zip(out, arrays, strict=True):
            own[: len(array)] = array
            own[len(array) :] = array[0]
        return out

    data = members[0].data
    if isinstance(data, Mapping):
        return starts, {k: stack([member.data[k] for member in members]) for k in data}, weights
    return starts, stack([member.data for member in members]), weights
