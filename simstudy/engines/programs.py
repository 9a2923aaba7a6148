"""Compiled JAX programs, one lane per data set: fit, polish and curvature of a log-likelihood.

The log-likelihood is all a program is made of: its derivatives are automatic, data sets are padded
to a common length with observations of weight zero, and every lane runs a damped Newton iteration
until it is polished or has its own state.

A program's number of lanes and its padding depend on the data's length alone, never on the block,
so that no number depends on how replicates are cut into blocks.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.engines.newton import along_axes, near, newton
from simstudy.garbage_collection import gc_paused
from simstudy.likelihood.curvature import Differenced, joined
from simstudy.likelihood.supports import Support
from simstudy.likelihood.tracing import traced as as_traced
from simstudy.methods.protocol import Batch, LogLikelihood

# One thread per process. Without the fusion emitters and LLVM's expensive passes a program compiles
# in a third of the time and runs as fast, or 1.1 times as long for a regression.
OPTIONS = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
}
REFITTED = ("working", "state", "value", "gradient", "hessian", "rises", "axes")
_compiled = [0.0]


def compiling() -> float:
    """Return the seconds this process has spent tracing and compiling, or loading, programs."""
    return _compiled[0]


def cache_folder() -> Path:
    """Return where compiled programs are kept: `SIMSTUDY_CACHE`, or the user's cache folder."""
    given = os.environ.get("SIMSTUDY_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "simstudy" / "jax"


@functools.lru_cache(maxsize=1)
def load() -> Any:
    """Import JAX in float64, with one thread per process and a persistent compilation cache."""
    # The size of XLA's pool of threads: two workers on two cores would spend a quarter on more.
    os.environ.setdefault("NPROC", "1")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with gc_paused():
        jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.monitoring.register_event_duration_secs_listener(_count)
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return jax


@functools.lru_cache(maxsize=1)
def _options() -> dict[str, bool]:
    """Return those of our compiler options that this version of XLA knows."""
    return {name: value for name, value in OPTIONS.items() if _known(name, value)}


def _known(name: str, value: bool) -> bool:
    """Tell whether XLA knows a compiler option; several at once fail for one."""
    jax = load()
    try:
        jax.jit(lambda: 0, compiler_options={name: value})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _count(event: str, seconds: float, **_: object) -> None:
    """Add what JAX says it spent on a program."""
    if event.startswith("/jax/core/compile/"):
        _compiled[0] += seconds


@functools.lru_cache(maxsize=4096)
def bucket(n: int) -> int:
    """Round a length up to 64, 256, or a power of two from there on."""
    return next((size for size in (64, 256) if n <= size), 1 << (n - 1).bit_length())


def width_of(length: int, p: int) -> int:
    """Choose how many lanes a program has: about a megabyte of observations, at least eight."""
    fitting: int = 2 ** int(np.log2(2**17 / (length * p)))
    return max(8, min(1024, fitting))


def in_lanes(
    program: Callable[..., Any], inputs: Callable[[Array], tuple[Any, ...]], total: int, width: int
) -> dict[Any, Any]:
    """Run a program over all data sets, a few at a time.

    Where the device has not enough memory, half as many at a time.

    Parameters
    ----------
    program : callable
        From arrays with a leading axis of lanes to a mapping of such arrays.
    inputs : callable
        `inputs(rows)` puts the program's arguments for these data sets together.
    total, width : int
        Data sets, and lanes; the last lanes are filled with copies.
    """
    errors, first = load().errors, 0
    pieces: list[dict[Any, Any]] = []
    while first < total:
        chosen = inputs(np.minimum(np.arange(first, first + width), total - 1))
        try:
            out = program(*chosen)
            pieces.append({k: _on_host(v)[: total - first] for k, v in out.items()})
        except errors.JaxRuntimeError as error:
            if width == 1 or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            width //= 2
            _tell(f"out of device memory: {width} data sets at a time from here on")
        else:
            first += width
    return {name: joined([piece[name] for piece in pieces]) for name in pieces[0]}


def _on_host(values: Any) -> Any:
    """Return an array of the device as one of NumPy."""
    return values if isinstance(values, Differenced) else np.asarray(values)


@functools.cache
def _tell(text: str) -> None:
    """Say something once."""
    print(text, file=sys.stderr)


@functools.lru_cache(maxsize=64)
def program(
    loglik: LogLikelihood, supports: tuple[Support, ...], sources: tuple[Any, ...]
) -> Callable[..., dict[Any, Any]]:
    """Compile fit, polish and curvature of one data set, for many at once.

    What the program returns maps names of the fit's arrays, and the sources, to what was found.
    """
    jax = load()
    traced = [source for source in sources if hasattr(source, "in_program")]

    def one(start: Array, data: Data, weights: Array) -> tuple[dict[str, Array], list[Array]]:
        f, to_theta = _objective(loglik, supports, data, weights)
        found = newton(f, near(f, start))
        found["rises"], found["axes"] = _rises(f, found)
        theta = to_theta(found["working"])
        return found, [s.in_program(as_traced(loglik), theta, data, weights) for s in traced]

    fits, values = _once(jax.vmap(one)), _values(loglik, supports)

    def run(starts: Array, data: Data, weights: Array) -> dict[Any, Any]:
        fit, extra = jax.tree_util.tree_map(np.asarray, fits(starts, data, weights))
        held = functools.cache(lambda: jax.device_put((data, weights)))
        batch = Batch(
            supports, fit["working"], fit["value"], fit["gradient"], fit["hessian"],
            lambda points: np.asarray(values(points, *held())),
        )  # fmt: skip
        own = dict(zip(traced, extra, strict=True))
        found: dict[Any, Any] = {s: s.for_batch(replace(batch, traced=own.get(s))) for s in sources}
        found |= fit
        return found

    return run


def _rises(f: Callable[[Array], Array], found: dict[str, Array]) -> tuple[Array, Array]:
    return along_axes(f, found["working"], found["value"], found["hessian"])


def _values(
    loglik: Callable[[Array, Data], Array], supports: tuple[Support, ...]
) -> Callable[..., Array]:
    """Compile f of each data set at m points: from `(B, m, p)` to `(B, m)`."""
    jax = load()

    def one(points: Array, data: Data, weights: Array) -> Array:
        f = _objective(loglik, supports, data, weights)[0]
        found = jax.vmap(f)(points)
        return jax.numpy.where(jax.numpy.isnan(found), jax.numpy.inf, found)

    return _once(jax.vmap(one))


@functools.lru_cache(maxsize=64)
def refit_program(
    loglik: Callable[[Array, Data], Array], supports: tuple[Support, ...]
) -> Callable[..., dict[str, Array]]:
    """Compile the refit of one data set under many weights."""
    jax = load()

    def one(start: Array, data: Data, weights: Array) -> dict[str, Array]:
        f = _objective(loglik, supports, data, weights)[0]
        found = newton(f, start)
        found["rises"], found["axes"] = _rises(f, found)
        return {name: found[name] for name in REFITTED}

    return _once(jax.vmap(one, in_axes=(None, None, 0)))


def _once(many: Callable[..., dict[str, Array]]) -> Callable[..., dict[str, Array]]:
    """Compile a function for every shape it meets: one process does, others wait and load it."""
    jax, seen = load(), set[Any]()
    program = jax.jit(many, compiler_options=_options())

    def call(*arguments: Any) -> Any:
        shapes = tuple(np.shape(leaf) for leaf in jax.tree_util.tree_leaves(arguments))
        if shapes in seen:
            return program(*arguments)
        program.trace(*arguments)
        with _turn():
            found = program(*arguments)
        seen.add(shapes)
        return found

    return call


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other process compiles, where the cache's folder and the system allow it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            fcntl = importlib.import_module("fcntl")
            lock = stack.enter_context((cache_folder() / "compiling.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _objective(
    loglik: Callable[[Array, Data], Array],
    supports: tuple[Support, ...],
    data: Data,
    weights: Array,
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return f of the working values, in JAX, and theta of them."""
    jax = load()

    def to_theta(working: Array) -> Array:
        return jax.numpy.stack([s.from_working(working[j]) for j, s in enumerate(supports)])

    terms = as_traced(loglik)

    def f(working: Array) -> Array:
        return -(weights * terms(to_theta(working), data)).sum()

    return f, to_theta
