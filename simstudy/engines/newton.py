"""Newton's method in JAX for one function of a few parameters, many of them side by side.

An evaluation costs all derivatives, and the slowest lane decides when a program ends: no
evaluation may be wasted on steps that are sure to fail.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from simstudy.arrays import Array
from simstudy.likelihood.points import FAILED, FINE, POLISHED

# Above so many parameters optimistix' BFGS comes before Newton: a Hessian costs p gradients.
NEWTON_FROM_THE_START = 50
# Up to so many the linear algebra is written out: one vector operation for all lanes, where a call
# of LAPACK per lane would take longer than the likelihood.
WRITTEN_OUT = 5
CONVERGED, RISING, LOST = 1, 2, 3


def _jax() -> Any:
    return importlib.import_module("jax")


def near(f: Callable[[Array], Array], start: Array) -> Array:
    """Bring many parameters near the minimum by BFGS before the first Hessian is formed."""
    if start.shape[0] <= NEWTON_FROM_THE_START:
        return start
    optimistix = importlib.import_module("optimistix")
    solver = optimistix.BFGS(rtol=1e-6, atol=1e-6)
    solution = optimistix.minimise(lambda x, _: f(x), solver, start, max_steps=2000, throw=False)
    return solution.value


def newton(f: Callable[[Array], Array], start: Array) -> dict[str, Array]:
    """Minimize by Newton steps, damped where the Hessian is not positive definite or f rises.

    The Hessian of unit diagonal gets a multiple of the identity (Levenberg 1944, Quarterly of
    Applied Mathematics 2:164): none as long as full steps fall, more with every refused step, at
    once enough for positive definiteness (by the discs of Gershgorin), and a hundredth of it after
    a step that gained a quarter of what it promised. Ends, as in the loop engine, when the EDM is
    polished, or shrinks by a constant factor only.
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
        gained = state["value"] - value > state["drop"] / 4
        softer = jnp.where(gained, 0.01, 0.1) * state["damping"]
        harder = jnp.maximum(8 * state["damping"], 0.3)
        damping = jnp.where(taken, jnp.where(softer < 0.1, 0.0, softer), harder)
        working = jnp.where(taken, state["candidate"], state["working"])
        gradient = jnp.where(taken, gradient, state["gradient"])
        hessian = jnp.where(taken, hessian, state["hessian"])

        diagonal = jnp.abs(jnp.diagonal(hessian))
        scale = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
        unit = hessian * scale[:, None] * scale
        bare = _factor(unit + damping * eye)
        heights = jnp.diagonal(unit)
        discs = (jnp.abs(unit).sum(axis=1) - jnp.abs(heights) - heights).max()
        enough = jnp.isfinite(bare).all()
        damping = jnp.where(enough, damping, jnp.maximum(damping, discs + 1e-3))
        factor = jnp.where(enough, bare, _factor(unit + damping * eye))
        half, whole = _solved(factor, scale * gradient)
        move = -scale * whole
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


def along_axes(
    f: Callable[[Array], Array], working: Array, value: Array, hessian: Array
) -> tuple[Array, Array]:
    """Rises of f a unit away along the problem's own axes, both ways, `(2, p)`, and the axes.

    The axes are the columns of S L'^-1, L L' the Hessian of unit diagonal S H S; not finite where
    it is not positive definite. Here they are rows, `(p, p)`.
    """
    jax = _jax()
    jnp = jax.numpy
    scale = 1 / jnp.sqrt(jnp.abs(jnp.diagonal(hessian)))
    factor = _factor(hessian * scale[:, None] * scale)
    eye = jnp.eye(working.shape[0])
    axes = jax.vmap(lambda e: scale * _solved(factor, factor @ e)[1])(eye)
    found = jax.vmap(f)(jnp.concatenate([working + axes, working - axes])) - value
    return found.reshape(2, -1), axes


def _factor(matrix: Array) -> Array:
    """Lower triangular factor of Cholesky, not finite where the matrix is not positive definite."""
    jax = _jax()
    p = matrix.shape[0]
    if p > WRITTEN_OUT:
        return jax.lax.linalg.cholesky(matrix)
    rows: list[list[Array]] = []
    for i in range(p):
        row: list[Array] = []
        for j in range(i):
            rest = matrix[i, j] - sum(row[k] * rows[j][k] for k in range(j))
            row.append(rest / rows[j][j])
        rows.append([*row, jax.numpy.sqrt(matrix[i, i] - sum(value**2 for value in row))])
    zero = jax.numpy.zeros(())
    return jax.numpy.stack([jax.numpy.stack(row + [zero] * (p - len(row))) for row in rows])


def _solved(factor: Array, right: Array) -> tuple[Array, Array]:
    """Solve L a = right and L' b = a for a triangular factor L."""
    jax = _jax()
    p = factor.shape[0]
    if p > WRITTEN_OUT:
        solve = functools.partial(jax.lax.linalg.triangular_solve, left_side=True, lower=True)
        half = solve(factor, right[:, None])
        return half[:, 0], solve(factor, half, transpose_a=True)[:, 0]
    half, whole = [], [None] * p
    for i in range(p):
        half.append((right[i] - sum(factor[i, k] * half[k] for k in range(i))) / factor[i, i])
    for i in reversed(range(p)):
        rest = half[i] - sum(factor[k, i] * whole[k] for k in range(i + 1, p))
        whole[i] = rest / factor[i, i]
    return jax.numpy.stack(half), jax.numpy.stack(whole)
