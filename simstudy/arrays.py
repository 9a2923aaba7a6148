"""One formula on NumPy and on JAX: functions that answer in the library their argument is of.

A log-likelihood written with these functions (and plain operators) runs in the loop engine on NumPy
arrays and, unchanged, is differentiated and compiled by JAX. Counts, truth values and Python's
numbers are taken as float64 in either. JAX itself is imported only when asked for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special

Array = Any
Data = Any


def namespace(*values: Array) -> Any:
    """Return `jax.numpy` where any value is a JAX array (or tracer), else `numpy`.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.arrays import namespace
    >>> namespace(np.ones(3)).__name__
    'numpy'
    """
    for value in values:
        if type(value) is not np.ndarray and type(value).__module__.startswith("jax"):
            return importlib.import_module("jax.numpy")
    return np


def _real(x: Array) -> Array:
    """Return whole numbers, truth values and floats of less than 64 bits as float64.

    Either library makes something else of them: NumPy takes the logarithm of uint8 in half
    precision and -x of it modulo 256, JAX has no derivative, or no function, of integers.
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    kind = x.dtype.kind
    return x.astype(float) if kind in "biu" or (kind == "f" and x.dtype.itemsize < 8) else x


def _apply(name: str, x: Array) -> Array:
    """Apply the function `name` of NumPy or of `jax.numpy`."""
    return getattr(namespace(x), name)(_real(x))


def _special(name: str, *values: Array) -> Array:
    """Apply the special function `name` from SciPy or from `jax.scipy`."""
    if namespace(*values) is np:
        return getattr(scipy.special, name)(*map(_real, values))
    return getattr(importlib.import_module("jax.scipy.special"), name)(*map(_real, values))


def log(x: Array) -> Array:
    """Natural logarithm, elementwise."""
    return _apply("log", x)


def log1p(x: Array) -> Array:
    """log(1 + x), elementwise, exact near zero."""
    return _apply("log1p", x)


def exp(x: Array) -> Array:
    """Exponential, elementwise."""
    return _apply("exp", x)


def expm1(x: Array) -> Array:
    """exp(x) - 1, elementwise, exact near zero."""
    return _apply("expm1", x)


def sqrt(x: Array) -> Array:
    """Square root, elementwise."""
    return _apply("sqrt", x)


def where(condition: Array, x: Array, y: Array) -> Array:
    """Elements of `x` where the condition holds, else of `y`."""
    return namespace(condition, x, y).where(condition, x, y)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), elementwise, without overflow; of complex x the analytic one."""
    if type(x) is not float and np.iscomplexobj(x):
        above = np.real(x) > 0
        return np.where(above, x, 0.0) + np.log1p(np.exp(np.where(above, -x, x)))
    return _softplus(_real(x)) if namespace(x) is np else _jax_softplus()(_real(x))


def _softplus(x: Array) -> Array:
    library = namespace(x)
    return library.maximum(x, 0.0) + library.log1p(library.exp(-library.abs(x)))


@functools.cache
def _jax_softplus() -> Any:
    """Make the function whose derivative JAX knows to be the logistic one: cheaper, smooth at 0."""
    jax = importlib.import_module("jax")
    smooth = jax.custom_jvp(_softplus)

    def slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return smooth(*primals), jax.nn.sigmoid(*primals) * tangents[0]

    smooth.defjvp(slope)
    return smooth


def of_scalar(
    function: Callable[[Array, Array], Array], y: Array, a: Array, orders: int = 2
) -> Array:
    """Value of function(y, a), whose derivatives by the scalar `a` are taken apart in JAX.

    Differentiation by p parameters carries p directions through every step of a function. Here they
    meet only its derivative by `a`, which is taken once. Derivatives by `y` are none.
    """
    if namespace(y, a) is np or orders == 0:
        return function(y, a)
    jax = importlib.import_module("jax")
    known = jax.custom_jvp(function)

    def by_a(y: Array, a: Array) -> Array:
        return jax.jvp(lambda value: function(y, value), (a,), (a * 0 + 1,))[1]

    def slope(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        return function(*primals), of_scalar(by_a, *primals, orders - 1) * tangents[1]

    known.defjvp(slope)
    return known(y, a)


def gammaln(x: Array) -> Array:
    """Logarithm of the absolute value of the gamma function, of complex x the analytic one."""
    if type(x) is not float and np.iscomplexobj(x):
        return scipy.special.loggamma(x)
    return _special("gammaln", x) if namespace(x) is np else _jax_gamma()[0](_real(x))


def digamma(x: Array) -> Array:
    """Derivative of `gammaln`."""
    return _special("digamma", x) if namespace(x) is np else _jax_gamma()[1](_real(x))


def trigamma(x: Array) -> Array:
    """Second derivative of `gammaln`: zeta(2, x) (Abramowitz & Stegun 6.4.10)."""
    return _special("zeta", 2.0, x) if namespace(x) is np else _jax_gamma()[2](_real(x))


BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@functools.cache
def _jax_gamma() -> tuple[Any, Any, Any]:
    """Make gammaln, digamma and trigamma, each the derivative of the one before.

    JAX's own polygamma takes ten times as long. Eight steps of the recurrence lead from x to
    x + 8 (Abramowitz & Stegun 6.3.6, 6.4.6), from where the asymptotic series with eight numbers of
    Bernoulli (6.3.18, 6.4.12) are exact to rounding. Derivatives below zero, where no likelihood is
    at home, are nan: the loop engine then answers.
    """
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    def trigamma(x: Array) -> Array:
        v, tail = 1 / (x + 8), 0.0
        for number in reversed(BERNOULLI):
            tail = (tail + number) * v * v
        found = sum(1 / (x + k) ** 2 for k in range(8)) + v + v * v / 2 + v * tail
        return jnp.where(x > 0, found, jnp.nan)

    def digamma(x: Array) -> Array:
        v, tail = 1 / (x + 8), 0.0
        for k, number in reversed(list(enumerate(BERNOULLI, 1))):
            tail = (tail + number / (2 * k)) * v * v
        found = jnp.log(x + 8) - v / 2 - tail - sum(1 / (x + k) for k in range(8))
        return jnp.where(x > 0, found, jnp.nan)

    first, second = jax.custom_jvp(jax.scipy.special.gammaln), jax.custom_jvp(digamma)
    first.defjvp(lambda x, by: (first(*x), second(*x) * by[0]))
    second.defjvp(lambda x, by: (second(*x), trigamma(*x) * by[0]))
    return first, second, trigamma


def expit(x: Array) -> Array:
    """Logistic function 1 / (1 + exp(-x))."""
    return _special("expit", x)


def log_expit(x: Array) -> Array:
    """Logarithm of the logistic function, without overflow."""
    return -softplus(-_real(x))


def log_ndtr(x: Array) -> Array:
    """Logarithm of the standard normal distribution function."""
    return _special("log_ndtr", x)


def erfcx(x: Array) -> Array:
    """exp(x**2) erfc(x), which neither overflows nor vanishes in the right tail."""
    return _special("erfcx", x)


def xlogy(x: Array, y: Array) -> Array:
    """X log(y), zero where x is zero."""
    return _special("xlogy", x, y)


def stack(values: Any) -> Array:
    """Stack arrays along a new last axis, as the columns of a score are put together."""
    values = list(values)
    return namespace(*values).stack(values, axis=-1)


def observations(data: Data) -> int:
    """Count the observations: the length of the first axis of an array, or of a mapping's arrays.

    Raises
    ------
    ValueError
        When `data` is neither, or when the arrays of a mapping differ in length.

    Examples
    --------
    >>> from simstudy.arrays import observations
    >>> observations({"y": [0, 1, 1], "x": [[1, 2], [3, 4], [5, 6]]})
    3
    """
    if isinstance(data, Mapping):
        lengths = {
            name: _length(values, f"draw returned in {name!r}") for name, values in data.items()
        }
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"the data's arrays have lengths {lengths}; every array's first axis is the "
                "observation, so all lengths must be the same"
            )
        return next(iter(lengths.values()))
    return _length(data, "draw returned")


def _length(values: Any, what: str) -> int:
    """Return the length of an array, or of what NumPy makes an array of; refuse anything else."""
    due = "data is an array, or a mapping of arrays, whose first axis is the observation"
    if hasattr(values, "toarray"):
        raise ValueError(f"{what} {type(values).__name__}, a sparse array; {due}: use .toarray()")
    try:
        axes = np.ndim(values)
    except ValueError:
        raise ValueError(
            f"{what} {type(values).__name__}, whose rows differ in length; {due}: fill rows up, "
            "or give each row a column that says what it belongs to"
        ) from None
    if axes < 1:
        raise ValueError(f"{what} {type(values).__name__}; {due}")
    return len(values)


def take(data: Data, rows: Array) -> Data:
    """Return the data of the given observations, an observation as often as it is named.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.arrays import take
    >>> take(np.array([5, 6, 7]), [0, 0, 2]).tolist()
    [5, 5, 7]
    """
    if isinstance(data, Mapping):
        return {name: take(values, rows) for name, values in data.items()}
    return data.iloc[rows] if hasattr(data, "iloc") else np.asarray(data)[rows]
