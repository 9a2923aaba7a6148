"""Whether a log-likelihood can be traced, and whether it is then the same function."""

from __future__ import annotations

import functools
import importlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data, observations, take
from simstudy.likelihood.model import Model
from simstudy.likelihood.supports import from_working, inside, to_working
from simstudy.likelihood.tracing.session import described
from simstudy.likelihood.tracing.trace import Loglik, TracingError, followed, traced
from simstudy.user_code.dependencies import is_simstudy_file

EXACT = 1e-10
"""Share of a term, or of 1, by which it may differ when it is traced."""

NOISE = 1e-7
"""The same where rounding explains it, as that of plain values close by shows."""

SMALLEST = -708.0
"""About the logarithm of the smallest number."""

MOVES = (0.0, 0.3, -0.3, 1.0)
"""How far, on the working scale, values are compared."""


def hindrance(model: Model, theta: Array, data: Data) -> str | None:
    """Say what stands in the way of tracing a log-likelihood, or of trusting the trace.

    Parameters
    ----------
    model : Model
    theta : (p,)
        Around this place and around the start, plain and traced values are compared.
    data
        One data set.

    Returns
    -------
    str or None
        None where it can be traced and gives the same values.
    """
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return shape_hindrance(model, data) or disagreement(model, np.asarray(theta, float), data)


def shape_hindrance(model: Model, data: Data) -> str | None:
    """Say what stands in the way of tracing a log-likelihood of data of this shape and type."""
    return _of_shape(model.loglik, len(model.names), _kind(data))


@functools.lru_cache(maxsize=256)
def _of_shape(loglik: Loglik, p: int, kind: Any) -> str | None:
    jax = importlib.import_module("jax")
    data, theta = _abstract(kind), jax.ShapeDtypeStruct((p,), np.float64)
    if data is None:
        return "the data are no arrays of numbers, or no mapping of such arrays"

    def total(theta: Array, data: Data) -> Array:
        return traced(loglik)(theta, data).sum()

    try:
        with jax.checking_leaks():
            shape = jax.eval_shape(traced(loglik), theta, data)
        if not hasattr(shape, "dtype"):
            return f"it returns {type(shape).__name__}"
        if shape.dtype != np.float64:
            return f"it returns {shape.dtype}"
        jax.eval_shape(jax.hessian(total), theta, data)
        return _by_observation(loglik, p, kind)
    except TracingError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _by_observation(loglik: Loglik, p: int, kind: Any) -> str | None:
    """Find a line that is executed once for each observation: a program as long as the data."""
    jax = importlib.import_module("jax")
    counts: list[Counter[tuple[str, int]]] = []

    def call(theta: Array, data: Data) -> Array:
        terms, lines = followed(loglik, theta, data)
        counts.append(lines)
        return terms

    try:
        for times in (1, 2):
            theta = jax.ShapeDtypeStruct((p,), np.float64)
            jax.eval_shape(call, theta, _abstract(kind, times))
    except Exception:
        return None  # written for JAX, or for data of one length alone
    longer = counts[1] - counts[0]
    if longer:
        line = max(longer, key=lambda where: longer[where])
        return f"{described(line)}: a Python loop over the observations; use whole arrays"
    return None


def _kind(data: Data) -> Any:
    """Tell data by names, types and shapes."""
    if isinstance(data, Mapping):
        return tuple((name, _kind(values)) for name, values in data.items())
    values = np.asarray(data)
    return values.dtype, values.shape


def _abstract(kind: Any, times: int = 1) -> Any:
    """Return data of a kind without values, `times` as long; None where they are no numbers."""
    if not kind or isinstance(kind[0], tuple):
        found = {name: _abstract(inner, times) for name, inner in kind}
        return None if any(value is None for value in found.values()) else found
    dtype, shape = kind
    if dtype.kind not in "biuf":
        return None
    size = (shape[0] * times, *shape[1:]) if shape else shape
    return importlib.import_module("jax").ShapeDtypeStruct(size, dtype)


def disagreement(model: Model, theta: Array, data: Data) -> str | None:
    """Say where traced values differ from plain ones, which are compared at several places.

    For the data, and for the data in reverse order. The models of simstudy have their own tests.
    """
    code = getattr(model.loglik, "__code__", None)
    if code is not None and is_simstudy_file(code.co_filename):
        return None
    jax = importlib.import_module("jax")
    many = jax.jit(jax.vmap(traced(model.loglik), in_axes=(0, None)))
    points = _points(model, theta, data)
    turned = take(data, np.arange(observations(data))[::-1])
    with np.errstate(all="ignore"):
        for one in (data, turned):
            try:
                plain = np.stack([_plain(model, point, one) for point in points])
            except Exception:
                continue  # told where it is run
            found = np.asarray(many(points, as_arrays(one)))
            words = _unlike(model, points, plain, found, one)
            if words:
                return words
    return None


def _plain(model: Model, theta: Array, data: Data) -> Array:
    return np.asarray(model.loglik(theta.copy(), data), dtype=float)


def as_arrays(data: Data) -> Data:
    """Return data as JAX takes them: an array, or a dict of arrays."""
    if isinstance(data, Mapping):
        return {name: as_arrays(values) for name, values in data.items()}
    return np.asarray(data)


def _points(model: Model, theta: Array, data: Data) -> Array:
    """Return places `(m, p)` around theta and the start."""
    supports = model.supports
    places = [theta]
    try:
        start = np.asarray(model.start(data), dtype=float)
        if start.shape == theta.shape and inside(start, supports).all():
            places.append(start)
    except Exception:  # a status of the replicate, told where it is run
        pass
    signs = np.where(np.arange(len(theta)) % 2, -0.7, 1.0)
    return np.stack([
        from_working(to_working(place, supports) + move * signs, supports)
        for place in places for move in MOVES
    ])  # fmt: skip


def _unlike(model: Model, points: Array, plain: Array, found: Array, data: Data) -> str | None:
    """Say where traced terms are others than the plain ones, beyond their rounding."""
    if found.shape != plain.shape:
        return f"traced it returns the shape {found.shape[1:]} instead of {plain.shape[1:]}"
    finite = np.isfinite(plain)
    limit = EXACT * np.maximum(1.0, np.abs(plain))
    # the logarithm of a tail so small that its number is zero in SciPy, and not here
    lost = np.isfinite(found) & ~((plain == -np.inf) & (found < SMALLEST))
    far = np.where(finite, ~(np.abs(found - plain) <= limit), lost)
    for i in np.flatnonzero(far.any(axis=1)):
        nudged = [_plain(model, points[i] * (1 + k * 1e-15), data) for k in (-3, -2, 2, 3)]
        noise = np.abs(np.stack(nudged) - plain[i]).max(axis=0)
        allowed = limit[i] + np.minimum(16 * noise, NOISE / EXACT * limit[i])
        bad = far[i] & ~(np.abs(found[i] - plain[i]) <= allowed)
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            at = ", ".join(
                f"{name}={v:.4g}" for name, v in zip(model.names, points[i], strict=True)
            )
            return (
                f"the term of observation {k} at {at} is {plain[i, k]:.12g}, and "
                f"{found[i, k]:.12g} when it is traced"
            )
    return None
