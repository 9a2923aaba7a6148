"""Incomplete gamma and beta functions in JAX, in logarithms, with derivatives by every argument.

JAX's own have no derivative by their shapes. Series and continued fractions are evaluated
backwards, from a last term that is negligible, so that they are plain arithmetic with a known
number of steps.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from simstudy.likelihood.tracing.special_functions import betaln, gammaln

Array = Any

ORDERS = 3
"""Derivatives that are known to JAX: one more than a Newton step takes."""


def log_gamma_tails(a: Array, x: Array) -> tuple[Array, Array]:
    """Logarithms of P(a, x) and Q(a, x), for a > 0 and x > 0.

    Below a + 1, P by its series (Abramowitz & Stegun 6.5.29), above, Q by its continued fraction
    (Press et al. 2007, Numerical Recipes, 6.2.7); the other is one minus it.
    """
    jnp = importlib.import_module("jax.numpy")
    a, x = jnp.broadcast_arrays(a, x)
    return _apart(_log_lower, ORDERS)(a, x), _apart(_log_upper, ORDERS)(a, x)


def log_beta_tails(a: Array, b: Array, x: Array, rest: Array) -> tuple[Array, Array]:
    """Logarithms of I_x(a, b) and 1 - I_x(a, b), for 0 < x < 1 and `rest` = 1 - x.

    By the continued fraction (Abramowitz & Stegun 26.5.8) of the tail in which it converges.
    """
    jnp = importlib.import_module("jax.numpy")
    a, b, x, rest = jnp.broadcast_arrays(a, b, x, rest)
    turned = x * (a + b + 2) > a + 1
    first, second = jnp.where(turned, b, a), jnp.where(turned, a, b)
    own, other = jnp.where(turned, rest, x), jnp.where(turned, x, rest)
    front = first * jnp.log(own) + second * jnp.log(other) - betaln(first, second)
    tail = front - jnp.log(first) - jnp.log(_apart(_beta_fraction, ORDERS)(first, second, own))
    opposite = _log1mexp(tail)
    return jnp.where(turned, opposite, tail), jnp.where(turned, tail, opposite)


def _log_lower(a: Array, x: Array) -> Array:
    below, above = _gamma_tails(a, x)
    jnp = importlib.import_module("jax.numpy")
    return jnp.where(x < a + 1, below, _log1mexp(above))


def _log_upper(a: Array, x: Array) -> Array:
    below, above = _gamma_tails(a, x)
    jnp = importlib.import_module("jax.numpy")
    return jnp.where(x < a + 1, _log1mexp(below), above)


def _gamma_tails(a: Array, x: Array) -> tuple[Array, Array]:
    """Logarithms of P where the series is quick, and of Q where the fraction is."""
    jax = importlib.import_module("jax")
    jnp, lax = jax.numpy, jax.lax
    low = x < a + 1
    near, far = jnp.where(low, x, a), jnp.where(low, a + 2, x)
    steps = _steps(a)

    def series(i: Array, s: Array) -> Array:
        return 1 + near / (a + (steps - i)) * s

    def fraction(i: Array, t: Array) -> Array:
        k = steps - i
        return k * (k - a) / (far + 2 * k + 1 - a - t)

    start = jnp.zeros_like(a)
    s = lax.fori_loop(0, steps, series, start + 1)
    t = lax.fori_loop(0, steps, fraction, start)
    below = a * jnp.log(near) - near - gammaln(a + 1) + jnp.log(s)
    above = a * jnp.log(far) - far - gammaln(a) - jnp.log(far + 1 - a - t)
    return below, above


def _beta_fraction(a: Array, b: Array, x: Array) -> Array:
    """The continued fraction's reciprocal."""
    jax = importlib.import_module("jax")
    jnp, lax = jax.numpy, jax.lax
    steps = _steps(jnp.maximum(a, b))

    def fraction(i: Array, t: Array) -> Array:
        m = steps - i
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) / (1 + odd / (1 + t))

    t = lax.fori_loop(0, steps, fraction, jnp.zeros_like(a))
    return 1 - (a + b) * x / (a + 1) / (1 + t)


def _steps(shapes: Array) -> Array:
    """Number of terms that leave nothing, for the largest shape up to a million."""
    jnp = importlib.import_module("jax.numpy")
    largest = jnp.max(jnp.where(jnp.isfinite(shapes), shapes, 0.0))
    number = 40 + 9 * jnp.sqrt(jnp.clip(largest, 0.0, 1e6))
    return importlib.import_module("jax").lax.stop_gradient(number).astype(int)


def _log1mexp(x: Array) -> Array:
    """log(1 - exp(x)) for x < 0 (Maechler 2012)."""
    jnp = importlib.import_module("jax.numpy")
    near = x > -0.6931471805599453
    one, other = jnp.where(near, x, -1.0), jnp.where(near, -1.0, x)
    return jnp.where(near, jnp.log(-jnp.expm1(one)), jnp.log1p(-jnp.exp(other)))


@functools.cache
def _apart(function: Callable[..., Array], orders: int) -> Callable[..., Array]:
    """Let derivatives of an elementwise function be taken forwards, argument by argument.

    Going backwards through its loops would keep every step.
    """
    jax = importlib.import_module("jax")
    if orders == 0:
        return function
    known: Callable[..., Array] = jax.custom_jvp(function)

    def slope(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
        total = jax.numpy.zeros_like(primals[0])
        for place, tangent in enumerate(tangents):
            if type(tangent).__name__ != "SymbolicZero":
                total = total + _apart(_by(function, place), orders - 1)(*primals) * tangent
        return known(*primals), total

    known.defjvp(slope, symbolic_zeros=True)  # type: ignore[attr-defined]
    return known


@functools.cache
def _by(function: Callable[..., Array], place: int) -> Callable[..., Array]:
    """Derivative by one argument."""
    jax = importlib.import_module("jax")

    def derivative(*values: Array) -> Array:
        along = tuple(
            jax.numpy.ones_like(value) if k == place else jax.numpy.zeros_like(value)
            for k, value in enumerate(values)
        )
        return jax.jvp(function, values, along)[1]

    return derivative
