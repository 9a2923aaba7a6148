"""The batched engine: the loop engine's block from compiled programs, one lane per data set.

Data sets of like length are stacked and go through a program (`simstudy.engines.programs`)
together. The curvature it finds goes through the same covariance, interval and record code as in
the loop engine. Methods that need something else (SciPy's own optimizers, other libraries'
Hessians) answer one fit at a time, from the fits of the batch, and what a program came to no
verdict on goes to the loop.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.design.dependent_terms import dependent_terms
from simstudy.design.drawing import example
from simstudy.design.study import Study
from simstudy.engines import newton, programs
from simstudy.engines.loop import draws_of
from simstudy.estimators.maximum_likelihood import MaximumLikelihood, fitted_of, gather, together
from simstudy.estimators.protocol import Draws, checked, finished, write
from simstudy.likelihood.curvature import Differenced
from simstudy.likelihood.fit import Fit
from simstudy.likelihood.model import Support, from_working, inside, slopes, to_working
from simstudy.likelihood.objective import Objective, natural_hessian, own_derivatives, traceable
from simstudy.likelihood.points import conditioning
from simstudy.likelihood.standing import Standing, clear
from simstudy.likelihood.verdict import NO_MAXIMUM, closer, in_words
from simstudy.methods.covariance import Place
from simstudy.methods.protocol import Fitted, Source
from simstudy.methods.resampling import Refits, resampled
from simstudy.methods.sources import ExactHessian, ExactScores, RiseHessian
from simstudy.methods.wald import Wald
from simstudy.records.block import Block, empty, join
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS

IN_PROGRAMS = (ExactHessian, ExactScores, RiseHessian)


def block(study: Study, index: int, first: int, last: int) -> dict[str, Block]:
    """Answer for replicates first, ..., last - 1 of one scenario, as `engines.loop.block` does."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {
            estimator.name: _answer(estimator, draws, _only(study, index, estimator))
            if isinstance(estimator, MaximumLikelihood) and _possible(estimator, draws)
            else checked(estimator, draws, estimator.answer(draws))
            for estimator, draws in draws_of(study, index, first, last)
        }


def hindrance(estimator: MaximumLikelihood, data: Data) -> str | None:
    """Return None where fits of an estimator can be batched, else the reason and what to change."""
    model = estimator.model
    if estimator.as_is:
        return f"estimator {estimator.name!r} takes its estimates from plain runs of SciPy"
    if importlib.util.find_spec("jax") is None:
        return "JAX is not installed (pip install 'simstudy[jax]')"
    programs.load()
    trouble = traceable(model, from_working(np.zeros(len(model.names)), model.supports), data)
    if trouble is None:
        return None
    return (
        f"the log-likelihood of model {model.name!r} cannot be traced by JAX ({trouble}): write it "
        "with the functions of simstudy.arrays or jax.numpy, in float64, without Python's if on "
        "parameters"
    )


@dataclass(frozen=True, slots=True)
class _Lanes:
    """What the programs found for some data sets: fits, curvature by source, and what has none."""

    rows: Array
    place: Place
    gradient: Array
    iterations: Array
    state: Array
    sources: Mapping[Source, Array]
    seconds: float
    ends: Mapping[int, Standing]


def _possible(estimator: MaximumLikelihood, draws: Draws) -> bool:
    """Tell whether the fits of these draws can be batched."""
    data = next((data for data in draws.data if not isinstance(data, Exception)), None)
    return data is not None and hindrance(estimator, data) is None


def _only(study: Study, index: int, estimator: MaximumLikelihood) -> int | None:
    """Return the one length of data that programs take as it is, None where they may pad.

    Where terms of the log-likelihood look at other observations, padding would be looked at. Every
    length has its own program then: one is compiled, data sets of another go to the loop.
    """
    scenario = study.scenarios[index]
    if dependent_terms(study, scenario, estimator) is None:
        return None
    return observations(example(study, scenario))


def _answer(estimator: MaximumLikelihood, draws: Draws, only: int | None) -> Block:
    """Answer for a block: fits and curvature in batches, the rest one fit at a time."""
    block = empty(draws.replicates, len(estimator.methods), len(estimator.parameters))
    messages = [""] * len(draws.data)
    fits: dict[int, Fitted] = {}
    sourced: dict[int, dict[Source, Any]] = {}
    alone = [m for m, method in enumerate(estimator.methods) if not _in_programs(method)]
    left = set(range(len(draws.data)))
    for group in _groups(estimator, draws, only):
        lanes = _lanes(estimator, group)
        rows = lanes.rows
        settled = (lanes.state == newton.CONVERGED) | (lanes.state == newton.RISING)
        left -= set(rows[settled].tolist())
        try:
            _write_fits(estimator, draws, block, lanes)
        except STOPS:
            raise
        except BaseException:
            # Some fit makes a formula raise; one by one the loop engine finds out which.
            left |= set(rows.tolist())
            continue
        busy = draws.asked[rows][:, alone].any(axis=1) & (lanes.state == newton.CONVERGED)
        for k in map(int, np.flatnonzero(busy)):
            b = int(rows[k])
            fits[b] = fitted_of(draws, b, estimator.bind(draws.data[b]), _fit(lanes, k))
            sourced[b] = {source: values[k] for source, values in lanes.sources.items()}
        for k, standing in lanes.ends.items():
            row = int(rows[k])
            working = to_working(lanes.place.theta[k], estimator.model.supports)
            messages[row] = in_words(estimator.bind(draws.data[row]), working, standing)
        if only is None:
            _refit(estimator, draws, group, fits, sourced)
    for b in sorted(fits):
        messages[b] = gather(estimator, draws, b, fits[b], sourced[b], block, alone)
    together(estimator, draws, fits, sourced, block, alone, messages)
    block = finished(block, draws, messages)
    return _by_loop(estimator, draws, sorted(left), block)


def fit_of(estimator: MaximumLikelihood, draws: Draws) -> tuple[Fitted, dict[Source, Any]] | None:
    """Return the first fit of some draws with what programs found for it, as `block` answers.

    None where programs cannot run it, or came to no verdict: the loop engine answered.
    """
    if not _possible(estimator, draws):
        return None
    for group in _groups(estimator, draws, None):
        lanes = _lanes(estimator, group)
        if lanes.state[0] == newton.CONVERGED:
            b = int(lanes.rows[0])
            fitted = fitted_of(draws, b, estimator.bind(draws.data[b]), _fit(lanes, 0))
            sourced = {b: {source: values[0] for source, values in lanes.sources.items()}}
            _refit(estimator, draws, group, {b: fitted}, sourced)
            return fitted, sourced[b]
    return None


def _in_programs(method: Any) -> bool:
    """Tell whether a method answers from arrays that the programs make."""
    sources = method.sources
    return isinstance(method, Wald) and all(isinstance(s, IN_PROGRAMS) for s in sources)


def _write_fits(estimator: MaximumLikelihood, draws: Draws, block: Block, lanes: _Lanes) -> None:
    """Write estimates, audit and the answers of all methods of arrays into a block."""
    good = lanes.state == newton.CONVERGED
    settled = good | (lanes.state == newton.RISING)
    rows, place, audit = lanes.rows[settled], lanes.place, block.audit
    smallest, condition = conditioning(place.hessian[settled])
    audit["success"][rows] = good[settled]
    audit["iterations"][rows] = audit["evaluations"][rows] = lanes.iterations[settled]
    audit["gradient_norm"][rows] = np.linalg.norm(lanes.gradient[settled], axis=-1)
    audit["edm"][rows] = place.edm[settled]
    audit["smallest_eigenvalue"][rows], audit["condition"][rows] = smallest, condition
    audit["seconds"][lanes.rows] = lanes.seconds / len(lanes.rows)
    for k, standing in lanes.ends.items():
        block.status[lanes.rows[k]] = audit["status"][lanes.rows[k]] = standing.status
    block.status[lanes.rows[good]] = Status.ok
    audit["status"][lanes.rows[good]] = Status.ok
    block.estimate[lanes.rows[good]] = place.theta[good]
    for m, method in enumerate(estimator.methods):
        chosen = good & draws.asked[lanes.rows, m]
        if not (isinstance(method, Wald) and _in_programs(method) and chosen.any()):
            continue
        began = time.perf_counter()
        here = Place(
            place.theta[chosen], place.loglik[chosen], place.edm[chosen], place.hessian[chosen]
        )
        given = tuple(lanes.sources[source][chosen] for source in method.sources)
        inference = method.answer(here, given, draws.level, estimator.model.supports)
        write(block, lanes.rows[chosen], m, inference)
        block.seconds[lanes.rows[chosen], m] = (time.perf_counter() - began) / chosen.sum()


def _by_loop(
    estimator: MaximumLikelihood, draws: Draws, rows: Sequence[int], block: Block
) -> Block:
    """Let the loop engine answer where the programs came to no verdict: a saddle, a wall."""
    if not rows:
        return block
    rest = np.setdiff1d(np.arange(len(draws.data)), rows)
    kept = {name: values[rest] for name, values in block.arrays().items()}
    whole = join([Block.from_arrays(kept), estimator.answer(draws.part(rows))])
    order = np.argsort(np.concatenate([rest, np.array(rows)]))
    return Block.from_arrays({name: values[order] for name, values in whole.arrays().items()})


class _Member(NamedTuple):
    """A data set of n observations, where it stands in the block, and where its fit starts."""

    row: int
    start: Array
    data: Data
    n: int


class _Group(NamedTuple):
    """Data sets that can be stacked once they are padded to a length."""

    length: int
    members: list[_Member]


def _groups(estimator: MaximumLikelihood, draws: Draws, only: int | None) -> list[_Group]:
    """Sort data sets by padded length and kind, those aside whose start is not inside.

    With data sets of the length `only` alone, unpadded, where one is given.
    """
    model = estimator.model
    by_kind: dict[Any, list[_Member]] = {}
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
        by_kind.setdefault(key, []).append(_Member(b, start, data, n))
    groups = []
    for (length, shape, _), members in by_kind.items():
        if shape == (len(model.names),):
            starts = np.stack([member.start for member in members])
            usable = inside(starts, model.supports).all(axis=1)
            kept = [member for member, good in zip(members, usable, strict=True) if good]
            if kept:
                groups.append(_Group(length, kept))
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


def _stack(
    supports: tuple[Support, ...], length: int, members: Sequence[_Member]
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


def _lanes(estimator: MaximumLikelihood, group: _Group) -> _Lanes:
    """Run the fits of one group through its program, a fixed number of lanes at a time."""
    began = time.perf_counter() - programs.compiling()
    model = estimator.model
    sources = {s for m in estimator.methods if _in_programs(m) for s in m.sources}
    wanted = tuple(any(isinstance(s, kind) for s in sources) for kind in IN_PROGRAMS[1:])
    program = programs.program(model.loglik, model.supports, *wanted)
    width = programs.width_of(group.length, len(model.names))
    found = programs.in_lanes(
        program,
        lambda chosen: _stack(model.supports, group.length, [group.members[k] for k in chosen]),
        len(group.members),
        width,
    )
    theta = from_working(found["working"], model.supports)
    starts = to_working(np.stack([member.start for member in group.members]), model.supports)
    state, ends = _verdict(
        found, model.supports, starts,
        lambda k: own_derivatives(estimator.bind(group.members[k].data)),
    )  # fmt: skip
    hessian = natural_hessian(found["gradient"], found["hessian"], theta, model.supports)
    place = Place(theta, -found["value"], found["edm"], hessian)
    given: dict[Source, Array] = {ExactHessian(): hessian}
    if wanted[0]:
        given[ExactScores()] = found["meat"]
    if wanted[1]:
        rise = natural_hessian(found["rise_gradient"], found["rise"], theta, model.supports)
        given[RiseHessian()] = Differenced(rise, found["rise_error"], found["rise_status"])
    gradient = found["gradient"] / slopes(theta, model.supports)[0]
    spent = time.perf_counter() - programs.compiling() - began
    rows = np.array([member.row for member in group.members])
    return _Lanes(rows, place, gradient, found["iterations"], state, given, spent, ends)


def _verdict(
    found: Mapping[str, Array],
    supports: tuple[Support, ...],
    starts: Array,
    target: Callable[[int], Objective],
) -> tuple[Array, dict[int, Standing]]:
    """Return the states of fits or refits, and how those stand that have no maximum.

    Converged are those whose f rises along every axis. Where that is not clear, and where a program
    says that a parameter runs off, `target(k)` is looked at closer, as in the loop engine; what
    remains is lost, and the loop fits it again.
    """
    up, down = np.moveaxis(found["rises"], -2, 0)
    bounded = [support != "real" for support in supports]
    with np.errstate(all="ignore"):
        reach = np.abs(found["axes"][..., bounded]).max(axis=(-1, -2), initial=0.0)
        good = (found["state"] == newton.CONVERGED) & clear(up, down, found["value"], reach)
    state = np.where(good, newton.CONVERGED, newton.LOST)
    ends: dict[int, Standing] = {}
    asked = ~good & np.isin(found["state"], (newton.CONVERGED, newton.RISING))
    for k in map(int, np.flatnonzero(asked)):
        standing = closer(
            target(k), found["working"][k], float(found["value"][k]), found["gradient"][k],
            found["hessian"][k], starts[k],
        )  # fmt: skip
        if standing.status in NO_MAXIMUM:
            state[k], ends[k] = newton.RISING, standing
        elif standing.status == Status.ok and standing.lower is None:
            state[k] = newton.CONVERGED if found["state"][k] == newton.CONVERGED else newton.LOST
    return state, ends


def _fit(lanes: _Lanes, k: int) -> Fit:
    """Report one lane as a fit."""
    place = lanes.place
    smallest, condition = conditioning(place.hessian[k])
    return Fit(
        theta=place.theta[k],
        loglik=float(place.loglik[k]),
        gradient=lanes.gradient[k],
        hessian=place.hessian[k],
        edm=float(place.edm[k]),
        smallest=float(smallest),
        condition=float(condition),
        status=Status.ok,
        success=True,
        iterations=int(lanes.iterations[k]),
        evaluations=int(lanes.iterations[k]),
        inverse=None,
        message="",
    )


def _resampled(fitted: Fitted, resamples: Array, r: int) -> Objective:
    return resampled(fitted, resamples[r])


def _weights(counts: Array, rows: Array) -> tuple[Array]:
    return (counts[rows],)


def _refit(
    estimator: MaximumLikelihood,
    draws: Draws,
    group: _Group,
    fits: Mapping[int, Fitted],
    sourced: Mapping[int, dict[Source, Any]],
) -> None:
    """Run the refits of resampled observations, weights instead of copies, through a program."""
    model, length = estimator.model, group.length
    program = programs.refit_program(model.loglik, model.supports)
    most = min(256, programs.width_of(length, len(model.names)))
    for source in {s for method in estimator.methods for s in method.sources}:
        if not isinstance(source, Refits):
            continue
        users = [m for m, method in enumerate(estimator.methods) if source in method.sources]
        for member in group.members:
            b = member.row
            if b not in fits or not draws.asked[b, users].any():
                continue
            fitted = fits[b]
            resamples = source.resamples(fitted)
            count = len(resamples)
            width = 8 * math.ceil(count / math.ceil(count / most) / 8)
            flat = (resamples + length * np.arange(count)[:, None]).ravel()
            counts = np.bincount(flat, minlength=count * length).reshape(count, -1).astype(float)
            start = to_working(fitted.fit.theta, model.supports)
            data = _stack(model.supports, length, [member])[1]
            own = programs.load().tree_util.tree_map(itemgetter(0), data)
            call = functools.partial(program, start, own)
            found = programs.in_lanes(call, functools.partial(_weights, counts), count, width)
            thetas = from_working(found["working"], model.supports)
            starts = np.broadcast_to(start, found["working"].shape)
            again = functools.partial(_resampled, fitted, resamples)
            state, _ = _verdict(found, model.supports, starts, again)
            thetas[state == newton.RISING] = np.nan
            settled = np.isin(state, (newton.CONVERGED, newton.RISING))
            for r in np.flatnonzero(~settled):
                thetas[r] = source.refit(fitted, resamples[r])
            sourced[b][source] = thetas
