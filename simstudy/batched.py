"""The batched engine: the loop engine's block from compiled JAX programs, one lane per data set.

The log-likelihood is all a program is made of: its derivatives are automatic, data sets are padded
to a common length with observations of weight zero, and every lane runs a damped Newton iteration
until it is polished or has its own status. Curvature then goes through the same covariance,
interval and record code as in the loop engine. Methods that need something else (SciPy's own
optimizers, other libraries' Hessians) answer one fit at a time, from the fits of the batch.

A program's number of lanes and its padding depend on the data's length alone, never on the block,
so that no number depends on how replicates are cut into blocks.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simstudy.arrays import Array, Data, observations
from simstudy.covariance import Place
from simstudy.derivatives import RISE, natural_hessian, traceable
from simstudy.estimators import (
    Draws,
    MaximumLikelihood,
    finished,
    fitted_of,
    gather,
    together,
    write,
)
from simstudy.fit import FAILED, FINE, NEAR_SINGULAR, POLISHED, Fit, conditioning
from simstudy.methods import ExactHessian, ExactScores, Fitted, Refits, RiseHessian, Source, Wald
from simstudy.model import Support, from_working, inside, slopes, to_working
from simstudy.records import Block, Status, empty, join
from simstudy.replicate import draws_of
from simstudy.study import Study
from simstudy.timelimit import STOPS

IN_PROGRAMS = (ExactHessian, ExactScores, RiseHessian)
# Above so many parameters optimistix' BFGS comes before Newton: a Hessian costs p gradients.
NEWTON_FROM_THE_START = 50
CONVERGED, RISING, LOST = 1, 2, 3
_compiled = [0.0]


def block(study: Study, index: int, first: int, last: int) -> dict[str, Block]:
    """Answer for replicates first, ..., last - 1 of one scenario; as `simstudy.replicate.block`."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {
            estimator.name: _answer(estimator, draws)
            if isinstance(estimator, MaximumLikelihood) and _possible(estimator, draws)
            else estimator.answer(draws)
            for estimator, draws in draws_of(study, index, first, last)
        }


def hindrance(estimator: MaximumLikelihood, data: Data) -> str | None:
    """Return None where fits of an estimator can be batched, else the reason and what to change."""
    model = estimator.model
    if estimator.as_is:
        return f"estimator {estimator.name!r} takes its estimates from plain runs of SciPy"
    if importlib.util.find_spec("jax") is None:
        return "JAX is not installed (pip install 'simstudy[jax]')"
    _jax()
    trouble = traceable(model, from_working(np.zeros(len(model.names)), model.supports), data)
    if trouble is None:
        return None
    return (
        f"the log-likelihood of model {model.name!r} cannot be traced by JAX ({trouble}): write it "
        "with the functions of simstudy.arrays or jax.numpy, in float64, without Python's if on "
        "parameters"
    )


def compiling() -> float:
    """Return the seconds this process has spent tracing and compiling, or loading, programs."""
    return _compiled[0]


def cache_folder() -> Path:
    """Return where compiled programs are kept: `SIMSTUDY_CACHE`, or the user's cache folder."""
    given = os.environ.get("SIMSTUDY_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "simstudy" / "jax"


@functools.lru_cache(maxsize=1)
def _jax() -> Any:
    """Import JAX in float64, with one thread per process and a persistent compilation cache."""
    # The expensive passes of LLVM double the compilation and gain nothing here.
    flags = ("cpu_multi_thread_eigen=false", "llvm_disable_expensive_passes=true")
    os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_{flag}" for flag in flags))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.monitoring.register_event_duration_secs_listener(_count)
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return jax


def _count(event: str, seconds: float, **_: object) -> None:
    """Add what JAX says it spent on a program."""
    if event.startswith("/jax/core/compile/"):
        _compiled[0] += seconds


@dataclass(frozen=True, slots=True)
class _Lanes:
    """What the programs found for some data sets: fits, and curvature by source."""

    rows: Array
    place: Place
    gradient: Array
    iterations: Array
    state: Array
    sources: Mapping[Source, Array]
    seconds: float


def _possible(estimator: MaximumLikelihood, draws: Draws) -> bool:
    """Tell whether the fits of these draws can be batched."""
    data = next((data for data in draws.data if not isinstance(data, Exception)), None)
    return data is not None and hindrance(estimator, data) is None


def _answer(estimator: MaximumLikelihood, draws: Draws) -> Block:
    """Answer for a block: fits and curvature in batches, the rest one fit at a time."""
    block = empty(draws.replicates, len(estimator.methods), len(estimator.parameters))
    messages = [""] * len(draws.data)
    fits: dict[int, Fitted] = {}
    sourced: dict[int, dict[Source, Any]] = {}
    alone = [m for m, method in enumerate(estimator.methods) if not _in_programs(method)]
    left = set(range(len(draws.data)))
    for rows, padded in _groups(estimator, draws):
        lanes = _lanes(estimator, rows, padded)
        settled = (lanes.state == CONVERGED) | (lanes.state == RISING)
        left -= set(rows[settled].tolist())
        try:
            _write_fits(estimator, draws, block, lanes)
        except STOPS:
            raise
        except BaseException:
            # Some fit makes a formula raise; one by one the loop engine finds out which.
            left |= set(rows.tolist())
            continue
        busy = draws.asked[rows][:, alone].any(axis=1) & (lanes.state == CONVERGED)
        for k in np.flatnonzero(busy):
            b = int(rows[k])
            fits[b] = fitted_of(draws, b, estimator.bind(draws.data[b]), _fit(lanes, int(k)))
            sourced[b] = {source: values[k] for source, values in lanes.sources.items()}
        _refit(estimator, draws, lanes, padded, fits, sourced)
    for b in sorted(fits):
        messages[b] = gather(estimator, draws, b, fits[b], sourced[b], block, alone)
    together(estimator, draws, fits, sourced, block, alone, messages)
    block = finished(block, draws, messages)
    return _by_loop(estimator, draws, sorted(left), block)


def _in_programs(method: Any) -> bool:
    """Tell whether a method answers from arrays that the programs make."""
    sources = method.sources
    return isinstance(method, Wald) and all(isinstance(s, IN_PROGRAMS) for s in sources)


def _write_fits(estimator: MaximumLikelihood, draws: Draws, block: Block, lanes: _Lanes) -> None:
    """Write estimates, audit and the answers of all methods of arrays into a block."""
    rising, good = lanes.state == RISING, lanes.state == CONVERGED
    settled = rising | good
    rows, place, audit = lanes.rows[settled], lanes.place, block.audit
    smallest, condition = conditioning(place.hessian[settled])
    audit["success"][rows] = good[settled]
    audit["iterations"][rows] = audit["evaluations"][rows] = lanes.iterations[settled]
    audit["gradient_norm"][rows] = np.linalg.norm(lanes.gradient[settled], axis=-1)
    audit["edm"][rows] = place.edm[settled]
    audit["smallest_eigenvalue"][rows], audit["condition"][rows] = smallest, condition
    audit["seconds"][lanes.rows] = lanes.seconds / len(lanes.rows)
    block.status[lanes.rows[rising]] = Status.no_maximum
    audit["status"][lanes.rows[rising]] = Status.no_maximum
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
    sub = replace(
        draws,
        replicates=[draws.replicates[b] for b in rows],
        data=[draws.data[b] for b in rows],
        asked=draws.asked[rows],
    )
    rest = np.setdiff1d(np.arange(len(draws.data)), rows)
    kept = {name: values[rest] for name, values in block.arrays().items()}
    whole = join([Block.from_arrays(kept), estimator.answer(sub)])
    order = np.argsort(np.concatenate([rest, np.array(rows)]))
    return Block.from_arrays({name: values[order] for name, values in whole.arrays().items()})


def _groups(
    estimator: MaximumLikelihood, draws: Draws
) -> list[tuple[Array, tuple[Array, Data, Array]]]:
    """Sort data sets by padded length; stack starts, padded data and weights of each group."""
    model = estimator.model
    by_kind: dict[Any, list[_Member]] = {}
    for b, data in enumerate(draws.data):
        if isinstance(data, Exception):
            continue
        try:
            start = np.asarray(model.start(data), dtype=float)
            n = observations(data)
            key = (_bucket(n), start.shape, _kind(data))
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
                rows = np.array([member.row for member in kept])
                groups.append((rows, _stack(model.supports, length, kept)))
    return groups


class _Member(NamedTuple):
    """A data set of n observations, where it stands in the block, and where its fit starts."""

    row: int
    start: Array
    data: Data
    n: int


def _kind(data: Data) -> tuple[Any, ...]:
    """Tell data sets apart that cannot be stacked: by names, types and further axes."""
    if isinstance(data, np.ndarray):
        return data.dtype.char, data.shape[1:]
    parts = data if isinstance(data, Mapping) else {"": data}
    return tuple((k, np.asarray(v).dtype.str, np.shape(v)[1:]) for k, v in parts.items())


@functools.lru_cache(maxsize=4096)
def _bucket(n: int) -> int:
    """Round a length up to 64, 256, or a power of two from there on."""
    return next((size for size in (64, 256) if n <= size), 1 << (n - 1).bit_length())


def _stack(
    supports: tuple[Support, ...], length: int, members: Sequence[_Member]
) -> tuple[Array, Data, Array]:
    """Pad with copies of the first observation, which weigh nothing."""
    starts = to_working(np.stack([member.start for member in members]), supports)
    sizes = np.array([member.n for member in members])
    weights = (np.arange(length) < sizes[:, None]).astype(float)

    def stack(arrays: Sequence[Array]) -> Array:
        first = np.asarray(arrays[0])
        out = np.empty((len(arrays), length, *first.shape[1:]), dtype=first.dtype)
        for n in np.unique(sizes):
            own = np.flatnonzero(sizes == n)
            out[own, :n] = [arrays[k] for k in own.tolist()]
            out[own, n:] = out[own, :1]
        return out

    data = members[0].data
    if isinstance(data, Mapping):
        return starts, {k: stack([member.data[k] for member in members]) for k in data}, weights
    return starts, stack([member.data for member in members]), weights


def _lanes(estimator: MaximumLikelihood, rows: Array, padded: tuple[Array, Data, Array]) -> _Lanes:
    """Run the fits of one group through its program, a fixed number of lanes at a time."""
    began = time.perf_counter() - compiling()
    model = estimator.model
    sources = {s for m in estimator.methods if _in_programs(m) for s in m.sources}
    wanted = tuple(any(isinstance(s, kind) for s in sources) for kind in IN_PROGRAMS[1:])
    program = _program(model.loglik, model.supports, *wanted)
    found = _in_lanes(program, padded, _width(padded[2].shape[1], len(model.names)))
    theta = from_working(found["working"], model.supports)
    # Where f may be level, the loop engine looks closer.
    singular = conditioning(found["hessian"])[0] < NEAR_SINGULAR
    found["state"][singular & (found["state"] == CONVERGED)] = LOST
    hessian = natural_hessian(found["gradient"], found["hessian"], theta, model.supports)
    place = Place(theta, -found["value"], found["edm"], hessian)
    given: dict[Source, Array] = {ExactHessian(): hessian}
    if wanted[0]:
        given[ExactScores()] = found["meat"]
    if wanted[1]:
        rise = natural_hessian(found["rise_gradient"], found["rise"], theta, model.supports)
        given[RiseHessian()] = rise
    gradient = found["gradient"] / slopes(theta, model.supports)[0]
    spent = time.perf_counter() - compiling() - began
    return _Lanes(rows, place, gradient, found["iterations"], found["state"], given, spent)


def _width(length: int, p: int) -> int:
    """Choose how many lanes a program has: about a megabyte of observations, at least eight."""
    fitting: int = 2 ** int(np.log2(2**17 / (length * p)))
    return max(8, min(1024, fitting))


def _in_lanes(program: Callable[..., Any], inputs: tuple[Any, ...], width: int) -> dict[str, Array]:
    """Run a program over all data sets, the last lanes filled with copies.

    Where the device has not enough memory, in half as many lanes.
    """
    jax = _jax()
    total, first = len(inputs[0]), 0
    pieces: list[dict[str, Array]] = []
    while first < total:
        rows: Any = slice(first, first + width)
        if first + width > total:
            rows = np.minimum(np.arange(first, first + width), total - 1)
        chosen = jax.tree_util.tree_map(lambda values, rows=rows: values[rows], inputs)
        try:
            out = program(*chosen)
            pieces.append({k: np.asarray(v)[: total - first] for k, v in out.items()})
        except jax.errors.JaxRuntimeError as error:
            if width == 1 or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            width //= 2
            _tell(f"out of device memory: {width} data sets at a time from here on")
        else:
            first += width
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


@functools.cache
def _tell(text: str) -> None:
    """Say something once."""
    print(text, file=sys.stderr)


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


def _refit(
    estimator: MaximumLikelihood,
    draws: Draws,
    lanes: _Lanes,
    padded: tuple[Array, Data, Array],
    fits: Mapping[int, Fitted],
    sourced: Mapping[int, dict[Source, Any]],
) -> None:
    """Run the refits of resampled observations, weights instead of copies, through a program."""
    model, (_, data, weights) = estimator.model, padded
    program = _refit_program(model.loglik, model.supports)
    width = _width(weights.shape[1], len(model.names))
    for source in {s for method in estimator.methods for s in method.sources}:
        if not isinstance(source, Refits):
            continue
        users = [m for m, method in enumerate(estimator.methods) if source in method.sources]
        for k, b in enumerate(lanes.rows.tolist()):
            if b not in fits or not draws.asked[b, users].any():
                continue
            fitted = fits[b]
            resamples = source.resamples(fitted)
            count, n = resamples.shape
            flat = (resamples + weights.shape[1] * np.arange(count)[:, None]).ravel()
            counts = np.bincount(flat, minlength=count * weights.shape[1])
            start = to_working(fitted.fit.theta, model.supports)
            own = _jax().tree_util.tree_map(lambda values, k=k: values[k], data)
            found = _in_lanes(
                lambda w, c, start=start, own=own: program(start, own, c),
                (np.zeros(count), counts.reshape(count, -1).astype(float)),
                min(width, 256),
            )
            thetas = from_working(found["working"], model.supports)
            thetas[found["state"] == RISING] = np.nan
            for r in np.flatnonzero((found["state"] != CONVERGED) & (found["state"] != RISING)):
                thetas[r] = source.refit(fitted, resamples[r])
            sourced[b][source] = thetas
            del n


@functools.lru_cache(maxsize=64)
def _program(
    loglik: Callable[[Array, Data], Array], supports: tuple[Support, ...], meat: bool, rise: bool
) -> Callable[..., dict[str, Array]]:
    """Compile fit, polish and curvature of one data set, for many at once."""
    jax = _jax()

    def one(start: Array, data: Data, weights: Array) -> dict[str, Array]:
        f, to_theta = _objective(loglik, supports, data, weights)
        found = _newton(f, _first(f, start, len(supports)))
        if meat:
            theta = to_theta(found["working"])
            scores = jax.jacfwd(loglik)(theta, data)
            found["meat"] = (scores * weights[:, None]).T @ scores
        if rise:
            found["rise_gradient"], found["rise"] = _rise(f, found["working"])
        return found

    compiled: Callable[..., dict[str, Array]] = jax.jit(jax.vmap(one))
    return compiled


@functools.lru_cache(maxsize=64)
def _refit_program(
    loglik: Callable[[Array, Data], Array], supports: tuple[Support, ...]
) -> Callable[..., dict[str, Array]]:
    """Compile the refit of one data set under many weights."""
    jax = _jax()

    def one(start: Array, data: Data, weights: Array) -> dict[str, Array]:
        found = _newton(_objective(loglik, supports, data, weights)[0], start)
        return {"working": found["working"], "state": found["state"]}

    compiled: Callable[..., dict[str, Array]] = jax.jit(jax.vmap(one, in_axes=(None, None, 0)))
    return compiled


def _objective(
    loglik: Callable[[Array, Data], Array],
    supports: tuple[Support, ...],
    data: Data,
    weights: Array,
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return f of the working values, in JAX, and theta of them."""
    jax = _jax()
    maps = {"real": lambda x: x, "positive": jax.numpy.exp, "unit": jax.nn.sigmoid}

    def to_theta(working: Array) -> Array:
        return jax.numpy.stack([maps[s](working[j]) for j, s in enumerate(supports)])

    def f(working: Array) -> Array:
        return -(weights * loglik(to_theta(working), data)).sum()

    return f, to_theta


def _first(f: Callable[[Array], Array], start: Array, p: int) -> Array:
    """Bring many parameters near the minimum by BFGS before the first Hessian is formed."""
    if p <= NEWTON_FROM_THE_START:
        return start
    optimistix = importlib.import_module("optimistix")
    solver = optimistix.BFGS(rtol=1e-6, atol=1e-6)
    solution = optimistix.minimise(lambda x, _: f(x), solver, start, max_steps=2000, throw=False)
    return solution.value


def _newton(f: Callable[[Array], Array], start: Array) -> dict[str, Array]:
    """Minimize by Newton steps, damped where the Hessian is not positive definite or f rises.

    The Hessian of unit diagonal gets a multiple of the identity (Levenberg 1944, Quarterly of
    Applied Mathematics 2:164) that grows with every refused step and goes away near the minimum.
    Ends, as in the loop engine, when the EDM is polished, or shrinks by a constant factor only.
    """
    jax = _jax()
    jnp, lax = jax.numpy, jax.lax
    eye = jnp.eye(start.shape[0])

    def gradient_of(working: Array) -> tuple[Array, tuple[Array, Array]]:
        value, gradient = jax.value_and_grad(f)(working)
        return gradient, (jnp.where(jnp.isnan(value), jnp.inf, value), gradient)

    def step(state: dict[str, Array]) -> dict[str, Array]:
        hessian, (value, gradient) = jax.jacfwd(gradient_of, has_aux=True)(state["candidate"])
        falls = value <= state["value"] - 1e-4 * state["drop"]
        near = state["drop"] < 1e-9
        taken = (value < jnp.inf) & (falls | near)
        softer = jnp.where(state["damping"] < 1e-4, 0.0, state["damping"] / 10)
        harder = jnp.maximum(10 * state["damping"], 1e-3)
        damping = jnp.where(taken, softer, harder)
        working = jnp.where(taken, state["candidate"], state["working"])
        gradient = jnp.where(taken, gradient, state["gradient"])
        hessian = jnp.where(taken, hessian, state["hessian"])

        diagonal = jnp.abs(jnp.diagonal(hessian))
        scale = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
        factor = lax.linalg.cholesky(hessian * scale[:, None] * scale + damping * eye)
        along = (scale * gradient)[:, None]
        half = lax.linalg.triangular_solve(factor, along, left_side=True, lower=True)
        whole = lax.linalg.triangular_solve(
            factor, half, left_side=True, lower=True, transpose_a=True
        )
        move = -scale * whole[:, 0]
        drop = (half**2).sum() / 2
        definite = jnp.isfinite(drop) & jnp.isfinite(move).all()
        full = definite & (damping == 0)
        edm = jnp.where(full, drop, jnp.inf)
        ratio = edm / state["edm"]
        slow = (ratio > 0.05) & (ratio < 0.8) & (edm < FAILED)
        linear = jnp.where(full, jnp.where(slow, state["linear"] + 1, 0), state["linear"])
        polished = full & ((edm <= POLISHED) | ((ratio >= 0.8) & (state["edm"] < FINE)))
        rising = full & (linear >= 5) & (edm > 1e3 * POLISHED)
        lost = (state["iterations"] == 0) & ~taken
        return {
            "candidate": working + jnp.where(definite, move, 0.0),
            "working": working,
            "value": jnp.where(taken, value, state["value"]),
            "gradient": gradient,
            "hessian": hessian,
            "damping": damping,
            "drop": jnp.where(definite, drop, jnp.inf),
            "full": full,
            "edm": edm,
            "linear": linear,
            "iterations": state["iterations"] + 1,
            "state": jnp.where(
                polished, CONVERGED, jnp.where(rising, RISING, jnp.where(lost, LOST, 0))
            ),
        }

    none = jnp.zeros((), dtype=int)
    state = {
        "candidate": start,
        "working": start,
        "value": jnp.asarray(jnp.inf),
        "gradient": jnp.zeros_like(start),
        "hessian": jnp.zeros_like(eye),
        "damping": jnp.zeros(()),
        "drop": jnp.zeros(()),
        "full": jnp.asarray(False),
        "edm": jnp.asarray(jnp.inf),
        "linear": none,
        "iterations": none,
        "state": none,
    }
    going = lambda state: (state["state"] == 0) & (state["iterations"] < 200)  # noqa: E731
    return dict(lax.while_loop(going, step, state))


def _rise(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """Gradient and Hessian by central differences whose steps make f rise by 0.01.

    The same steps and formulas as `simstudy.derivatives.rise_steps` and `central_hessian`.
    """
    jax = _jax()
    jnp = jax.numpy
    middle, p = f(x), x.shape[0]
    noise = 64 * jnp.finfo(float).eps * (1 + jnp.abs(middle))
    axes = jnp.eye(p)
    many = jax.vmap(f)

    def change(steps: Array) -> Array:
        both = many(jnp.concatenate([x + axes * steps, x - axes * steps]))
        found = jnp.abs((both[:p] + both[p:]) / 2 - middle)
        return jnp.where(found < jnp.inf, found, jnp.inf)

    def search(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        steps, low, high, done = state
        found = change(steps)
        low, high = jnp.where(found < RISE, steps, low), jnp.where(found < RISE, high, steps)
        factor = jnp.sqrt(RISE / jnp.maximum(found, noise))
        factor = jnp.where(found < jnp.inf, factor, 0.1)
        new = steps * jnp.clip(factor, 1e-4, 1e4)
        middling = jnp.where(low > 0, jnp.sqrt(low * high), high / 10)
        new = jnp.where((low < new) & (new < high), new, middling)
        return jnp.where(done, steps, new), low, high, done | (jnp.abs(jnp.log(factor)) < 1e-3)

    def halve(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        steps, found, done = state
        half = change(steps / 2)
        straight = (3.6 * half < found) & (found < 4.4 * half)
        done = done | (half <= noise) | straight | ~((found > noise) & (found < jnp.inf))
        return jnp.where(done, steps, steps / 2), jnp.where(done, found, half), done

    flat = jnp.zeros(p, dtype=bool)
    start = (1e-4 * (1 + jnp.abs(x)), jnp.zeros(p), jnp.full(p, jnp.inf), flat)
    steps = jax.lax.fori_loop(0, 12, search, start)[0]
    steps = jax.lax.fori_loop(0, 30, halve, (steps, change(steps), flat))[0]
    e = axes * steps
    above, below = many(x + e), many(x - e)
    gradient = (above - below) / (2 * steps)
    hessian = jnp.diag((above - 2 * middle + below) / steps**2)
    i, j = np.tril_indices(p, -1)
    if len(i):
        both, apart = e[i] + e[j], e[i] - e[j]
        corners = many(x + both) - many(x + apart) - many(x - apart) + many(x - both)
        off = corners / (4 * steps[i] * steps[j])
        hessian = hessian.at[i, j].set(off).at[j, i].set(off)
    return gradient, hessian
