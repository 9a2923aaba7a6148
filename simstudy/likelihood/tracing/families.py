"""Families of scipy.stats as formulas in JAX: densities and both tails, in logarithms."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Mapping
from typing import Any

from simstudy import arrays
from simstudy.likelihood.tracing import incomplete
from simstudy.likelihood.tracing.family import INFINITE, Array, Family, Function
from simstudy.likelihood.tracing.special_functions import betaln, functions, gammaln

LOG_ROOT = math.log(2 * math.pi) / 2


def _positive(*shapes: Array) -> Array:
    found = True
    for shape in shapes:
        found = found & (shape > 0)
    return found


_HALF: dict[str, Any] = {"support": lambda *shapes: (0.0, INFINITE), "middle": lambda *shapes: 1.0}
_COUNT: dict[str, Any] = {"support": lambda *shapes: (0.0, INFINITE), "discrete": True}


@functools.cache
def by_class() -> Mapping[type, Family]:
    """List the families by the classes of scipy.stats."""
    stats = importlib.import_module("scipy.stats")
    return {type(getattr(stats, name)): family for name, family in named().items()}


@functools.cache
def named() -> Mapping[str, Family]:
    """List the families by their names in scipy.stats."""
    jnp, special = _jnp(), functions()
    normal_tail, xlogy, xlog1py = special["log_ndtr"], special["xlogy"], special["xlog1py"]
    softplus, minus = arrays.softplus, incomplete._log1mexp

    def normal(y: Array) -> Array:
        return -y * y / 2 - LOG_ROOT

    def power(y: Array, c: Array) -> Array:
        return jnp.exp(c * jnp.log(jnp.where(y > 0, y, 1.0))) * (y > 0)

    def extreme(y: Array, c: Array) -> Array:
        """log(1 - c y) / c, -y where c is 0."""
        small = jnp.abs(c * y) < 1e-2
        z = jnp.where(small, c * y, 0.0)
        near = -y * sum(z**k / (k + 1) for k in range(9))
        apart = jnp.where(small, 1.0, c)
        return jnp.where(small, near, jnp.log1p(-jnp.where(small, 0.5, c * y)) / apart)

    def extreme_support(c: Array) -> tuple[Array, Array]:
        edge = 1 / jnp.where(c == 0, 1.0, c)
        return jnp.where(c < 0, edge, -INFINITE), jnp.where(c > 0, edge, INFINITE)

    def wald_tails(y: Array, mu: Array) -> tuple[Array, Array]:
        root = 1 / jnp.sqrt(y)
        far = 2 / mu + normal_tail(-root * (y / mu + 1))
        low, high = normal_tail(root * (y / mu - 1)), normal_tail(-root * (y / mu - 1))
        return low + jnp.log1p(jnp.exp(far - low)), high + jnp.log1p(-jnp.exp(far - high))

    def student(y: Array, df: Array) -> Array:
        return -(df + 1) / 2 * jnp.log1p(y * y / df) - jnp.log(df) / 2 - betaln(df / 2, 0.5)

    def student_tails(y: Array, df: Array) -> tuple[Array, Array]:
        square = y * y
        near = incomplete.log_beta_tails(0.5, df / 2, *_shares(square, df))
        outer = near[1] - math.log(2)
        inner = jnp.log1p(-jnp.exp(outer))
        return jnp.where(y < 0, outer, inner), jnp.where(y < 0, inner, outer)

    def gamma_tail(k: int) -> Function:
        return lambda y, a: incomplete.log_gamma_tails(a, y)[k]

    def beta_tail(k: int) -> Function:
        return lambda y, a, b: incomplete.log_beta_tails(a, b, y, 1 - y)[k]

    def binomial(k: Array, n: Array, p: Array) -> Array:
        ways = -betaln(1 + n - k, 1 + k) - jnp.log1p(n)
        return ways + xlogy(k, p) + xlog1py(n - k, -p)

    def binomial_valid(n: Array, p: Array) -> Array:
        return (n >= 0) & (n == jnp.floor(n)) & (p >= 0) & (p <= 1)

    def binomial_tail(tail: int) -> Function:
        def log_tail(k: Array, n: Array, p: Array) -> Array:
            edge = (p <= 0) | (p >= 1)
            q = jnp.where(edge, 0.5, p)
            found = incomplete.log_beta_tails(n - k, k + 1, 1 - q, q)[tail]
            none = (p >= 1) if tail == 0 else (p <= 0)
            return jnp.where(edge, jnp.where(none, -INFINITE, 0.0), found)

        return log_tail

    def negative_binomial(k: Array, n: Array, p: Array) -> Array:
        ways = -betaln(n, k + 1) - jnp.log(n + k)
        return ways + n * jnp.log(p) + xlog1py(k, -p)

    def negative_binomial_tail(tail: int) -> Function:
        def log_tail(k: Array, n: Array, p: Array) -> Array:
            q = jnp.where(p < 1, p, 0.5)
            found = incomplete.log_beta_tails(n, k + 1, q, 1 - q)[tail]
            return jnp.where(p < 1, found, 0.0 if tail == 0 else -INFINITE)

        return log_tail

    def poisson_tail(k: int) -> Function:
        def log_tail(y: Array, mu: Array) -> Array:
            found = incomplete.log_gamma_tails(y + 1, jnp.where(mu > 0, mu, 1.0))[k]
            return jnp.where(mu > 0, found, 0.0 if k == 1 else -INFINITE)

        return log_tail

    real: dict[str, Family] = {
        "norm": Family(normal, normal_tail, lambda y: normal_tail(-y)),
        "logistic": Family(
            lambda y: -softplus(y) - softplus(-y), lambda y: -softplus(-y), lambda y: -softplus(y)
        ),
        "t": Family(
            student, lambda y, df: student_tails(y, df)[0], lambda y, df: student_tails(y, df)[1],
            valid=_positive,
        ),
        "skewnorm": Family(
            lambda y, a: math.log(2) + normal(y) + normal_tail(a * y), valid=jnp.isfinite
        ),
        "genextreme": Family(
            lambda y, c: (1 - c) * extreme(y, c) - jnp.exp(extreme(y, c)),
            lambda y, c: -jnp.exp(extreme(y, c)),
            lambda y, c: minus(-jnp.exp(extreme(y, c))),
            extreme_support, valid=jnp.isfinite,
        ),
        "cauchy": Family(
            lambda y: -jnp.log(jnp.pi) - jnp.log1p(y * y),
            lambda y: jnp.log(jnp.arctan2(1.0, -y) / jnp.pi),
            lambda y: jnp.log(jnp.arctan2(1.0, y) / jnp.pi),
        ),
        "gumbel_r": Family(
            lambda y: -y - jnp.exp(-y), lambda y: -jnp.exp(-y), lambda y: minus(-jnp.exp(-y))
        ),
        "gumbel_l": Family(
            lambda y: y - jnp.exp(y), lambda y: minus(-jnp.exp(y)), lambda y: -jnp.exp(y)
        ),
    }  # fmt: skip
    half: dict[str, Family] = {
        "expon": Family(lambda y: -y, lambda y: minus(-y), lambda y: -y, **_HALF),
        "gamma": Family(
            lambda y, a: xlogy(a - 1, y) - y - gammaln(a), gamma_tail(0), gamma_tail(1),
            valid=_positive, **_HALF,
        ),
        "weibull_min": Family(
            lambda y, c: jnp.log(c) + xlogy(c - 1, y) - power(y, c),
            lambda y, c: minus(-power(y, c)), lambda y, c: -power(y, c),
            valid=_positive, **_HALF,
        ),
        "lognorm": Family(
            lambda y, s: jnp.where(
                y > 0, normal(jnp.log(jnp.where(y > 0, y, 1.0)) / s) - jnp.log(s * y), -INFINITE
            ),
            lambda y, s: normal_tail(jnp.log(y) / s), lambda y, s: normal_tail(-jnp.log(y) / s),
            valid=_positive, **_HALF,
        ),
        "invgauss": Family(
            lambda y, mu: jnp.where(
                y > 0,
                -LOG_ROOT - 1.5 * jnp.log(jnp.where(y > 0, y, 1.0))
                - (y / mu - 1) ** 2 / (2 * jnp.where(y > 0, y, 1.0)),
                -INFINITE,
            ),
            lambda y, mu: wald_tails(y, mu)[0], lambda y, mu: wald_tails(y, mu)[1],
            valid=_positive, **_HALF,
        ),
        "beta": Family(
            lambda y, a, b: xlogy(a - 1, y) + xlog1py(b - 1, -y) - betaln(a, b),
            beta_tail(0), beta_tail(1),
            lambda a, b: (0.0, 1.0), lambda a, b: 0.5, _positive,
        ),
        "uniform": Family(
            lambda y: 0.0 * y, jnp.log, lambda y: jnp.log1p(-y), lambda: (0.0, 1.0), lambda: 0.5
        ),
        "chi2": Family(
            lambda y, df: xlogy(df / 2 - 1, y) - y / 2 - gammaln(df / 2) - df / 2 * math.log(2),
            lambda y, df: incomplete.log_gamma_tails(df / 2, y / 2)[0],
            lambda y, df: incomplete.log_gamma_tails(df / 2, y / 2)[1],
            valid=_positive, **_HALF,
        ),
        "halfnorm": Family(
            lambda y: math.log(2) + normal(y),
            lambda y: jnp.log(special["erf"](y / math.sqrt(2))),
            lambda y: math.log(2) + normal_tail(-y),
            **_HALF,
        ),
        "rayleigh": Family(
            lambda y: jnp.log(y) - y * y / 2, lambda y: minus(-y * y / 2), lambda y: -y * y / 2,
            **_HALF,
        ),
    }  # fmt: skip
    counts: dict[str, Family] = {
        "poisson": Family(
            lambda k, mu: xlogy(k, mu) - gammaln(k + 1) - mu, poisson_tail(1), poisson_tail(0),
            valid=lambda mu: mu >= 0, **_COUNT,
        ),
        "nbinom": Family(
            negative_binomial, negative_binomial_tail(0), negative_binomial_tail(1),
            valid=lambda n, p: (n > 0) & (p > 0) & (p <= 1), **_COUNT,
        ),
        "binom": Family(
            binomial, binomial_tail(0), binomial_tail(1), lambda n, p: (0.0, n),
            valid=binomial_valid, discrete=True,
        ),
        "bernoulli": Family(
            lambda k, p: jnp.where(k > 0, jnp.log(p), jnp.log1p(-p)),
            lambda k, p: jnp.log1p(-p), lambda k, p: jnp.log(p),
            lambda p: (0.0, 1.0), valid=lambda p: (p >= 0) & (p <= 1), discrete=True,
        ),
        "geom": Family(
            lambda k, p: jnp.log(p) + xlog1py(k - 1, -p), lambda k, p: minus(k * jnp.log1p(-p)),
            lambda k, p: k * jnp.log1p(-p), lambda p: (1.0, INFINITE), lambda p: 1.0,
            valid=lambda p: (p > 0) & (p <= 1), discrete=True,
        ),
    }  # fmt: skip
    return real | half | counts


def _shares(one: Array, other: Array) -> tuple[Array, Array]:
    """Shares of two positive numbers in their sum."""
    return one / (one + other), other / (one + other)


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
