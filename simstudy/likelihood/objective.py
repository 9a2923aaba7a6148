"""A model bound to data: f, the negative log-likelihood, with the exact derivatives there are."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.likelihood.model import Model
from simstudy.likelihood.noise import Values
from simstudy.likelihood.supports import Support, from_working, slopes
from simstudy.likelihood.tracing import as_arrays, traced


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

    terms = traced(loglik)

    def total(theta: Array, data: Data) -> Array:
        return terms(theta, data).sum()

    def on_numpy(compiled: Any) -> Any:
        return lambda theta, data: np.asarray(compiled(jax.numpy.asarray(theta), as_arrays(data)))

    score = on_numpy(jax.jit(jax.jacfwd(terms)))
    hessian = on_numpy(jax.jit(jax.hessian(total)))
    return score, hessian


def values_of(target: Objective) -> Values:
    """Return f of points `(1, m, p)` on the working scale, as `likelihood.axes` asks for it."""
    supports = target.model.supports

    def values(points: Array) -> Array:
        return np.array([[target.value(theta) for theta in from_working(points[0], supports)]])

    return values


def natural_hessian(
    gradient: Array, hessian: Array, theta: Array, supports: tuple[Support, ...]
) -> Array:
    """Turn a Hessian `(..., p, p)` on the working scale into one with respect to theta.

    With theta = T(w): H_theta = (H_w - diag(g_theta T'')) / (T' T'), g_theta = g_w / T'.
    """
    first, second = slopes(theta, supports)
    bend = (gradient / first * second)[..., None] * np.eye(theta.shape[-1])
    return (hessian - bend) / (first[..., :, None] * first[..., None, :])
