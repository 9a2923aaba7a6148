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
from simstudy.model import Model, Support, from_working, slopes, to_working

Function = Callable[[Array], Any]
RISE = 1e-2


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
    >>> from simstudy.derivatives import central_hessian
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


def rise_steps(f: Function, x: Array, *, close: float = 1e-3) -> tuple[Array, int]:
    """Find for every coordinate the step at which f changes by 0.01, whatever its units.

    The change is the symmetric one, (f(x + h) + f(x - h)) / 2 - f(x), which is h**2 / 2 times the
    curvature: at a minimum f rises, over 0.14 standard errors. Where f is no parabola over that
    distance, as where it flattens towards infinity, the step is halved until it is.

    Parameters
    ----------
    f : callable
        `f(x) -> float`; infinite outside its domain.
    x : (p,)
        A point where f is finite.
    close : float
        The search ends when the next step would differ by no more than this share; where that is
        above 1 the step is a rough one, not looked at further.

    Returns
    -------
    step : (p,)
    evaluations : int
        Values of f that the search took.
    """
    middle, evaluations = f(x), 1
    noise = 64 * np.finfo(float).eps * (1 + abs(middle))
    steps = 1e-4 * (1 + np.abs(x))
    for i in range(len(x)):
        e = np.zeros_like(x)

        def change(h: float, e: Array = e, i: int = i) -> float:
            e[i] = h
            found = abs((f(x + e) + f(x - e)) / 2 - middle)
            return found if found < np.inf else np.inf

        h, low, high = steps[i], 0.0, np.inf
        for _ in range(12):
            found = change(h)
            evaluations += 2
            low, high = (h, high) if found < RISE else (low, h)
            factor = np.sqrt(RISE / max(found, noise)) if found < np.inf else 0.1
            h *= min(max(factor, 1e-4), 1e4)
            if not low < h < high:
                h = np.sqrt(low * high) if low > 0 else high / 10
            steps[i] = h
            if abs(np.log(factor)) < close:
                break
        while close < 1 and noise < found < np.inf:
            half = change(steps[i] / 2)
            evaluations += 2
            if half <= noise or 3.6 * half < found < 4.4 * half:
                break
            steps[i], found = steps[i] / 2, half
    return steps, evaluations


def natural_hessian(
    gradient: Array, hessian: Array, theta: Array, supports: tuple[Support, ...]
) -> Array:
    """Turn a Hessian `(..., p, p)` on the working scale into one with respect to theta.

    With theta = T(w): H_theta = (H_w - diag(g_theta T'')) / (T' T'), g_theta = g_w / T'.
    """
    first, second = slopes(theta, supports)
    bend = (gradient / first * second)[..., None] * np.eye(theta.shape[-1])
    return (hessian - bend) / (first[..., :, None] * first[..., None, :])


def rise_hessian(target: Objective, theta: Array) -> Array:
    """Hessian of f at theta, by central differences whose steps make f rise by 0.01.

    The differences are taken on the working scale, which has no boundary to step over, and turned
    into the Hessian with respect to theta.
    """
    supports = target.model.supports

    def f(working: Array) -> float:
        return target.value(from_working(working, supports))

    working = to_working(theta, supports)
    steps, _ = rise_steps(f, working)
    gradient, hessian = _central(f, working, steps, diagonal=False)
    return natural_hessian(gradient, hessian, theta, supports)


def score_differences(target: Objective, theta: Array) -> Array:
    """Scores `(n, p)` by four-point central differences of the log-likelihood per observation.

    The steps are a tenth of those at which f rises by 0.01, on the working scale.
    """
    supports = target.model.supports

    def f(working: Array) -> float:
        return target.value(from_working(working, supports))

    def terms(working: Array) -> Array:
        return np.asarray(target.model.loglik(from_working(working, supports), target.data))

    working = to_working(theta, supports)
    steps, _ = rise_steps(f, working)
    return central_gradient(terms, working, steps / 10) / slopes(theta, supports)[0]


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
