"""The functions of scipy.special in JAX: its own where they are exact, else simstudy's."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from simstudy import arrays

Function = Callable[..., Any]
Array = Any

FROM_JAX = (
    "bernoulli", "entr", "erf", "erfc", "erfcx", "erfinv", "exp1", "expi", "expit", "expn", "i0",
    "i0e", "i1", "i1e", "kl_div", "log_ndtr", "log_softmax", "logit", "logsumexp", "ndtr", "ndtri",
    "rel_entr", "softmax", "xlog1py", "xlogy",
)  # fmt: skip


def _floats(function: Function) -> Function:
    """Take whole numbers and truth values as float64, as SciPy does."""

    @functools.wraps(function)
    def call(*values: Any, **options: Any) -> Any:
        return function(*map(arrays._real, map(_jnp().asarray, values)), **options)

    return call


@functools.cache
def functions() -> dict[str, Function]:
    """List the functions by their names in scipy.special."""
    jax = importlib.import_module("jax")
    library, jnp = jax.scipy.special, jax.numpy
    found = {name: getattr(library, name) for name in FROM_JAX if hasattr(library, name)}
    for name in set(found) - {"logsumexp", "softmax", "log_softmax"}:
        found[name] = _floats(found[name])
    ours = {
        "gammaln": gammaln,
        "loggamma": lambda x: jnp.where(x > 0, gammaln(x), jnp.nan),
        "gamma": lambda x: library.gammasgn(x) * jnp.exp(gammaln(x)),
        "rgamma": lambda x: library.gammasgn(x) * jnp.exp(-gammaln(x)),
        "digamma": digamma,
        "psi": digamma,
        "betaln": betaln,
        "beta": lambda a, b: jnp.exp(betaln(a, b)),
        "poch": lambda z, m: jnp.exp(gammaln(z + m) - gammaln(z)),
        "binom": lambda n, k: jnp.exp(-betaln(1 + n - k, 1 + k) - jnp.log1p(n)),
        "log_expit": arrays.log_expit,
        "exp2": jnp.exp2,
        "exp10": lambda x: jnp.power(10.0, x),
        "cbrt": jnp.cbrt,
        "expm1": jnp.expm1,
        "log1p": jnp.log1p,
        "boxcox": lambda x, power: _boxcox(jnp.log(x), power),
        "boxcox1p": lambda x, power: _boxcox(jnp.log1p(x), power),
        "inv_boxcox": lambda y, power: jnp.where(
            power == 0, jnp.exp(y), jnp.exp(jnp.log1p(power * y) / jnp.where(power == 0, 1, power))
        ),
    }
    return found | {name: _floats(function) for name, function in ours.items()}


@functools.cache
def python_functions() -> dict[str, Function]:
    """List those that are no universal functions: they are taken by their names."""
    jax = importlib.import_module("jax")
    library, jnp = jax.scipy.special, jax.numpy

    def zeta(x: Array, q: Array = None, out: None = None) -> Array:
        if q is None:
            return library.zeta(x, 1.0)
        return arrays.trigamma(jnp.asarray(q)) if _is(x, 2) else library.zeta(x, q)

    def polygamma(n: Any, x: Array) -> Array:
        low = {0: arrays.digamma, 1: arrays.trigamma}
        known = next((f for order, f in low.items() if _is(n, order)), None)
        return known(jnp.asarray(x)) if known else library.polygamma(n, jnp.asarray(x))

    def multigammaln(a: Array, d: int) -> Array:
        half = jnp.asarray([(1 - j) / 2 for j in range(1, d + 1)])
        terms = arrays.gammaln(jnp.asarray(a)[..., None] + half)
        return terms.sum(axis=-1) + d * (d - 1) / 4 * jnp.log(jnp.pi)

    def factorial(n: Array, exact: bool = False) -> Array:
        return jnp.exp(arrays.gammaln(jnp.asarray(n) + 1.0))

    def comb(n: Array, k: Array, *, exact: bool = False, repetition: bool = False) -> Array:
        return functions()["binom"](n, k)

    return {
        "zeta": zeta, "polygamma": polygamma, "multigammaln": multigammaln,
        "factorial": factorial, "comb": comb,
        "logsumexp": library.logsumexp, "softmax": library.softmax,
        "log_softmax": library.log_softmax, "softplus": lambda x: arrays.softplus(jnp.asarray(x)),
    }  # fmt: skip


def gammaln(x: Array) -> Array:
    """Logarithm of the gamma function, with derivatives by series."""
    return arrays.gammaln(_jnp().asarray(x))


def digamma(x: Array) -> Array:
    """Derivative of `gammaln`, by series."""
    return arrays.digamma(_jnp().asarray(x))


def betaln(a: Array, b: Array) -> Array:
    """Logarithm of the beta function; by Stirling's series where large numbers would cancel.

    ln B(a, b) with b the larger: ln Gamma(a) - (ln Gamma(a + b) - ln Gamma(b)), and the difference
    is (b - 1/2) log1p(a / b) + a log(a + b) - a + r(a + b) - r(b), where r is the remainder
    1 / (12 x) - 1 / (360 x^3) + ... (Abramowitz & Stegun 6.1.41).
    """
    jnp = _jnp()
    # not by minimum and maximum, whose second derivatives are wrong where a equals b
    turned = a > b
    a, b = jnp.where(turned, b, a), jnp.where(turned, a, b)
    large = b > 20
    safe = jnp.where(large, b, 20.0)
    s = a + safe
    rise = (safe - 0.5) * jnp.log1p(a / safe) + a * jnp.log(s) - a + _rest(s) - _rest(safe)
    small = jnp.where(large, 1.0, b)
    return gammaln(a) - jnp.where(large, rise, gammaln(a + small) - gammaln(small))


def _rest(x: Array) -> Array:
    """What ln Gamma(x) has beyond Stirling's formula, for x of 20 or more."""
    square = 1 / (x * x)
    terms = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    total = 0.0
    for term in reversed(terms):
        total = total * square + term
    return total / x


def _boxcox(log: Array, power: Array) -> Array:
    jnp = _jnp()
    safe = jnp.where(power == 0, 1.0, power)
    return jnp.where(power == 0, log, jnp.expm1(safe * log) / safe)


def _is(value: Any, number: int) -> bool:
    """Tell whether it is this Python number, and not something traced."""
    return not isinstance(value, importlib.import_module("jax").Array) and value == number


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
