"""Gradients and Hessians: the model's own, by automatic differentiation, and by differences.

Everything here differentiates f, the *negative* log-likelihood (a sum over observations).
Difference schemes take `f(x) -> float` and steps `(p,)` and answer with plain arrays, so that each
can be tried on any function of a vector.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data, namespace
from simstudy.likelihood.axes import (
    SLOPE_STEP,
    STEP,
    TRUSTED,
    Values,
    axes_of,
    by_gradients,
    by_values,
    differenced,
    first_axes,
    inverted,
    own_axes,
)
from simstudy.likelihood.curvature import Differenced, invert
from simstudy.likelihood.model import Model, Support, from_working, slopes, to_working
from simstudy.status import Status

Function = Callable[[Array], Any]


@dataclass(frozen=True, slots=True)
class Objective:
    """The negative log-likelihood of one data set, with the exact derivatives there are.

    Attributes
    ----------
    model, data
        What is fitted to what.
    score, hessian : callable or None
        Exact derivatives of the *log-likelihood*, as in `Model`; None where there are none.
    """

    model: Model
    data: Data
    score: Callable[[Array, Data], Array] | None
    hessian: Callable[[Array, Data], Array] | None

    def value(self, theta: Array) -> float:
        """F at theta; infinity where the log-likelihood is nan or infinite: a wall."""
        total = float(np.sum(self.model.loglik(theta, self.data)))
        return -total if np.isfinite(total) else np.inf

    def gradient(self, theta: Array) -> Array:
        """Exact gradient of f, `(p,)`; only where `score` is given."""
        assert self.score is not None
        return -np.asarray(self.score(theta, self.data)).sum(axis=0)

    def curvature(self, theta: Array) -> Array:
        """Exact Hessian of f, `(p, p)`; only where `hessian` is given."""
        assert self.hessian is not None
        return -np.asarray(self.hessian(theta, self.data), dtype=float)


def objective(model: Model, data: Data, *, autodiff: bool = False) -> Objective:
    """Bind a model to data, with its own derivatives, or JAX's for those it lacks.

    Raises
    ------
    ModuleNotFoundError
        When `autodiff` is asked for, the model lacks a derivative, and JAX is not installed.
    """
    score, hessian = model.score, model.hessian
    if autodiff and (score is None or hessian is None):
        by_jax = _autodiff(model.loglik)
        score, hessian = score or by_jax[0], hessian or by_jax[1]
    return Objective(model, data, score, hessian)


def own_derivatives(target: Objective) -> Objective:
    """Return the objective without automatic derivatives: no method changes another's numbers."""
    return replace(target, score=target.model.score, hessian=target.model.hessian)


@functools.lru_cache(maxsize=64)
def _autodiff(loglik: Callable[[Array, Data], Array]) -> tuple[Any, Any]:
    """Compile score and Hessian of a log-likelihood with JAX, in float64."""
    if importlib.util.find_spec("jax") is None:
        raise ModuleNotFoundError(
            "exact derivatives of a model without its own score and hessian need JAX: "
            "pip install 'simstudy[jax]', or give Model(score=..., hessian=...), or ask for the "
            "methods observed-central, opg-central, sandwich-central by name"
        )
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)

    def total(theta: Array, data: Data) -> Array:
        return loglik(theta, data).sum()

    def on_numpy(compiled: Any) -> Any:
        return lambda theta, data: np.asarray(compiled(jax.numpy.asarray(theta), data))

    score = on_numpy(jax.jit(jax.jacfwd(loglik)))
    hessian = on_numpy(jax.jit(jax.hessian(total)))
    return score, hessian


def central_gradient(f: Function, x: Array, step: Array) -> Array:
    """Gradient by four-point central differences (Abramowitz & Stegun 25.3.21).

    Parameters
    ----------
    f : callable
        `f(x) -> float`, or `(n,)` for the gradient of each of n functions.
    x, step : (p,)
        The point and the step of every coordinate.

    Returns
    -------
    (p,) or (n, p)
    """
    columns = []
    for i, h in enumerate(step):
        e = np.zeros_like(x)
        e[i] = h
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def central_hessian(f: Function, x: Array, step: Array, *, diagonal: bool = False) -> Array:
    """Hessian by central differences (Abramowitz & Stegun 25.3.23, 25.3.26).

    Three points on the diagonal, four off it: 2 p (p - 1) + 2 p + 1 values of f; 2 p + 1 for the
    diagonal alone.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.likelihood.derivatives import central_hessian
    >>> f = lambda x: 3 * x[0] ** 2 + x[0] * x[1]
    >>> central_hessian(f, np.array([1.0, 2.0]), np.array([1e-3, 1e-3])).round(6).tolist()
    [[6.0, 1.0], [1.0, 0.0]]
    """
    return _central(f, x, step, diagonal=diagonal)[1]


def _central(f: Function, x: Array, step: Array, *, diagonal: bool) -> tuple[Array, Array]:
    """Gradient and Hessian from the same central differences."""
    p = len(x)
    e = np.diag(step)
    middle = f(x)
    above, below = (
        np.array([f(x + e[i]) for i in range(p)]),
        np.array([f(x - e[i]) for i in range(p)]),
    )
    gradient = (above - below) / (2 * step)
    hessian = np.diag((above - 2 * middle + below) / step**2)
    for i in range(0 if diagonal else p):
        for j in range(i):
            corners = (
                f(x + e[i] + e[j]) - f(x + e[i] - e[j]) - f(x - e[i] + e[j]) + f(x - e[i] - e[j])
            )
            hessian[i, j] = hessian[j, i] = corners / (4 * step[i] * step[j])
    return gradient, hessian


def gradient_hessian(gradient: Callable[[Array], Array], x: Array, step: Array) -> Array:
    """Hessian by central differences of an exact gradient, symmetrized; 4 p gradients."""
    rough = central_gradient(gradient, x, step)
    return (rough + rough.T) / 2


def rise_steps(f: Function, x: Array) -> tuple[Array, int]:
    """Find for every coordinate the step at which f changes by 0.01, whatever its units.

    The change is the symmetric one, (f(x + h) + f(x - h)) / 2 - f(x), which is h**2 / 2 times the
    curvature: at a minimum f rises, over 0.14 standard errors.

    Parameters
    ----------
    f : callable
        `f(x) -> float`; infinite outside its domain.
    x : (p,)
        A point where f is finite.

    Returns
    -------
    step : (p,)
    evaluations : int
        Values of f that the search took.
    """
    values = lambda points: np.array([[f(point) for point in points[0]]])  # noqa: E731
    axes, evaluations = first_axes(values, x[None], np.array([f(x)]), close=1e-3)
    return np.diagonal(axes[0]) * STEP, evaluations + 1


def natural_hessian(
    gradient: Array, hessian: Array, theta: Array, supports: tuple[Support, ...]
) -> Array:
    """Turn a Hessian `(..., p, p)` on the working scale into one with respect to theta.

    With theta = T(w): H_theta = (H_w - diag(g_theta T'')) / (T' T'), g_theta = g_w / T'.
    """
    first, second = slopes(theta, supports)
    bend = (gradient / first * second)[..., None] * np.eye(theta.shape[-1])
    return (hessian - bend) / (first[..., :, None] * first[..., None, :])


def values_of(target: Objective) -> Values:
    """Return f of points `(1, m, p)` on the working scale, as `likelihood.axes` asks for it."""
    supports = target.model.supports

    def values(points: Array) -> Array:
        return np.array([[target.value(theta) for theta in from_working(points[0], supports)]])

    return values


def rise_hessian(target: Objective, theta: Array, near: Array | None = None) -> Differenced:
    """Hessian of f at theta, by differences along the problem's own axes.

    See `simstudy.likelihood.axes`. The differences are taken on the working scale, which has no
    boundary to step over, and turned into the Hessian with respect to theta.

    Parameters
    ----------
    target : Objective
    theta : (p,)
    near : (p, p), optional
        A Hessian with respect to theta from which to take the first axes.
    """
    supports = target.model.supports
    x, axes, _ = _axes_at(target, theta, near)
    gradient, found = differenced(values_of(target), x, np.array([target.value(theta)]), axes)
    hessian = natural_hessian(gradient, found.matrix, theta, supports)
    return Differenced(hessian, found.error, found.status)[0]


def score_hessian(target: Objective, theta: Array, near: Array | None = None) -> Array:
    """Hessian of f at theta `(p, p)`, by differences of the exact score along the own axes."""
    supports = target.model.supports
    x, axes, _ = _axes_at(target, theta, near)

    def gradient(working: Array) -> Array:
        there = from_working(working, supports)
        return target.gradient(there) * slopes(there, supports)[0]

    value = np.array([target.value(theta)])
    found = own_axes(by_gradients(gradient, x[0]), value, axes)
    inverse = inverted(found.axes[0])
    working = inverse.T @ found.hessian[0] @ inverse
    return natural_hessian(gradient(x[0]), (working + working.T) / 2, theta, supports)


def score_differences(target: Objective, theta: Array) -> Array:
    """Scores `(n, p)` by differences of the log-likelihood per observation along the own axes."""
    return _scores(target, theta, None)[0]


def central_scores(target: Objective, theta: Array, near: Array | None = None) -> Differenced:
    """S, the sum of s s', from `score_differences`; its error is told by two and four points."""
    fine, rough = _scores(target, theta, near)
    s = fine.T @ fine
    found, coarse = (np.diagonal(invert(m).covariance) for m in (s, rough.T @ rough))
    error = np.abs(coarse / found - 1) / 2
    status = Status.ok if not error.max() > TRUSTED else Status.not_smooth
    return Differenced(s, error, np.int8(status))


def _scores(target: Objective, theta: Array, near: Array | None) -> tuple[Array, Array]:
    """Scores `(n, p)` with respect to theta by four points, and by the two near ones."""
    supports = target.model.supports
    x, axes, value = _axes_at(target, theta, near)
    axes = own_axes(by_values(values_of(target), x, value), value, axes).axes[0]

    def terms(working: Array) -> Array:
        return np.asarray(target.model.loglik(from_working(working, supports), target.data))

    moves = SLOPE_STEP * axes.T
    near_, far = (
        np.stack([terms(x[0] + k * move) - terms(x[0] - k * move) for move in moves], axis=-1)
        for k in (1, 2)
    )
    first = slopes(theta, supports)[0]
    back = inverted(axes) / first
    return (8 * near_ - far) @ back / (12 * SLOPE_STEP), near_ @ back / (2 * SLOPE_STEP)


def _axes_at(target: Objective, theta: Array, near: Array | None) -> tuple[Array, Array, Array]:
    """Return the point `(1, p)` on the working scale, first axes there, and the value of f."""
    supports = target.model.supports
    x, value = to_working(theta, supports)[None], np.array([target.value(theta)])
    if near is not None and np.isfinite(near).all():
        # At an estimate the gradient vanishes, and with it the bend of the map.
        first = slopes(theta, supports)[0]
        return x, axes_of(near * first[:, None] * first)[None], value
    return x, first_axes(values_of(target), x, value)[0], value


def traceable(model: Model, theta: Array, data: Data) -> str | None:
    """Return None where JAX can trace the log-likelihood, else what stands in the way."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    try:
        shape = jax.eval_shape(model.loglik, np.asarray(theta, dtype=float), data)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if namespace(shape) is np and not hasattr(shape, "dtype"):
        return f"it returns {type(shape).__name__}"
    if shape.dtype != np.float64:
        return f"it returns {shape.dtype}"
    return None
