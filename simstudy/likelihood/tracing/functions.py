"""What NumPy's functions and SciPy's special functions are in JAX, for stand-ins."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simstudy.arrays import softplus
from simstudy.likelihood.tracing.session import Session
from simstudy.likelihood.tracing.stand_in import StandIn, wrapped
from simstudy.likelihood.tracing.values import array_of, contains, is_stand_in, unwrapped

Function = Callable[..., Any]

PIECES = {
    "block", "column_stack", "concat", "concatenate", "dstack", "hstack", "meshgrid", "select",
    "stack", "vstack",
}  # fmt: skip
"""Functions whose first argument is a list of arrays."""

LOOKING = {
    "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to",
    "diagonal", "dsplit", "expand_dims", "flip", "fliplr", "flipud", "hsplit", "imag",
    "matrix_transpose", "moveaxis", "permute_dims", "real", "rollaxis", "rot90", "split", "squeeze",
    "swapaxes", "unstack", "vsplit",
}  # fmt: skip
"""Functions that answer with views in NumPy, and with copies here."""

CALLING = {"apply_along_axis", "apply_over_axes", "piecewise", "vectorize"}
"""Functions that call the user's with arrays of their own."""


def call_ufunc(
    session: Session, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Do what a universal function of NumPy or SciPy does, or one of its methods."""
    session.count()
    out = options.pop("out", None)
    if method == "at":
        return _at(session, ufunc, *inputs)
    given = tuple(unwrapped(part) for part in inputs)
    condition, dtype = unwrapped(options.pop("where", True)), options.pop("dtype", None)
    if not _any_traced((given, options, condition)):
        made = getattr(ufunc, method)(*given, **options)
    else:
        function = _of_ufunc(session, ufunc)
        if method != "__call__":
            function = getattr(function, method, None)
            if function is None:
                session.refuse(f"np.{ufunc.__name__}.{method} has no counterpart in JAX")
        elif options.keys() - {"casting", "order", "subok"}:
            session.refuse(f"np.{ufunc.__name__} with {', '.join(options)}")
        else:
            options = {}
        made = function(*map(_scalar, given), **options)
    made = made if dtype is None else made.astype(np.dtype(dtype))
    if condition is not True:
        old = unwrapped(out[0]) if out else session.refuse("where= without out= leaves gaps")
        made = _jnp().where(condition, made, old)
    if out is None:
        return wrapped(made)
    return _into(session, out, made)


def call_function(
    session: Session, function: Any, args: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    """Do what another function of NumPy does."""
    session.count()
    name = function.__name__
    own = _own().get(name) if function.__module__ == "numpy" else None
    if own is not None:
        return own(*args, **options)
    out = options.get("out")
    rest = {key: value for key, value in options.items() if key != "out"}
    given, named = arguments(name, args, rest)
    if not _any_traced((given, named)):
        return _result(session, function(*given, **named), out)
    other = counterpart(function.__module__, name)
    if other is None or name in CALLING:
        session.refuse(f"np.{name} cannot be traced")
    made = _result(session, other(*given, **named), out)
    if name in LOOKING:
        for part in (*args, *(made if isinstance(made, list | tuple) else [made])):
            if is_stand_in(part):
                part.fix(f"np.{name} answers with a view of it; make a copy first")
    return made


def arguments(name: str, args: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what JAX takes for NumPy's arguments."""
    given = list(args)
    if given and name in PIECES and isinstance(given[0], list | tuple):
        given[0] = [unwrapped(part) if is_stand_in(part) else array_of(part) for part in given[0]]
    if name == "select" and len(given) > 1:
        given[1] = [array_of(part) for part in given[1]]
    rest = given[:1] if name in PIECES else []
    changed = [*rest, *(_argument(part) for part in given[len(rest) :])]
    named = {key: _argument(value) for key, value in options.items()}
    if name == "clip":
        named = {{"a_min": "min", "a_max": "max"}.get(key, key): v for key, v in named.items()}
    return changed, named


def counterpart(module: str, name: str) -> Any:
    """Return JAX's function for one of numpy, numpy.linalg, scipy.linalg or the like."""
    try:
        home: Any = importlib.import_module(f"jax.{module}" if module != "numpy" else "jax.numpy")
    except ImportError:
        home = importlib.import_module("jax.numpy")
        for part in module.split(".")[1:]:
            home = getattr(home, part, None)
    return getattr(home, name, None)


def _argument(value: Any) -> Any:
    return array_of(value) if contains(value) else unwrapped(value)


def _result(session: Session, made: Any, out: Any) -> Any:
    return wrapped(made) if out is None else _into(session, (out,), made)


def _into(session: Session, out: tuple[Any, ...], made: Any) -> Any:
    """Put a result into the array that was given for it."""
    place = out[0]
    if not is_stand_in(place):
        session.refuse(
            "a change in place of an array that NumPy made elsewhere (a constant, or by a name "
            "imported as another); make it in the same function by np.zeros, np.full or np.array"
        )
    if np.shape(made) != place.shape:
        made = _jnp().broadcast_to(made, place.shape)
    place.assign(made.astype(place.dtype))
    return place


def _at(session: Session, ufunc: np.ufunc, place: Any, key: Any, *values: Any) -> None:
    """Do np.add.at and its like."""
    name = {"add": "add", "multiply": "multiply", "maximum": "max", "minimum": "min"}
    if ufunc.__name__ not in name or not is_stand_in(place):
        session.refuse(f"np.{ufunc.__name__}.at on such an array cannot be traced")
    spot = _jnp().asarray(place.value).at[unwrapped(key)]
    place.assign(getattr(spot, name[ufunc.__name__])(*map(unwrapped, values)))


def _any_traced(value: Any) -> bool:
    """Tell whether there is a JAX array in nested lists, tuples and mappings."""
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return isinstance(value, importlib.import_module("jax").Array)
    return any(map(_any_traced, value))


def _scalar(value: Any) -> Any:
    """Return NumPy's numbers without axes as arrays: JAX takes them with their type."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _of_ufunc(session: Session, ufunc: np.ufunc) -> Any:
    """Return JAX's function for a universal function."""
    found = _ufuncs().get(ufunc)
    if found is None:
        session.refuse(f"{ufunc.__name__} has no counterpart in JAX")
    return found


@functools.cache
def _ufuncs() -> dict[np.ufunc, Any]:
    """List the counterparts of the universal functions of NumPy and scipy.special."""
    special = importlib.import_module("scipy.special")
    ours = importlib.import_module("simstudy.likelihood.tracing.special_functions").functions()
    found = {
        getattr(special, name): function
        for name, function in ours.items()
        if isinstance(getattr(special, name, None), np.ufunc)
    }
    for name in dir(np):
        ufunc = getattr(np, name)
        if isinstance(ufunc, np.ufunc) and hasattr(_jnp(), name):
            found[ufunc] = getattr(_jnp(), name)
    return found | {np.power: _power, np.float_power: _power, np.logaddexp: _add_logarithms()}


def _power(base: Any, exponent: Any) -> Any:
    """Raise to a power: to a whole number by multiplication, which is quicker, also in slopes."""
    if isinstance(exponent, float | np.ndarray) and np.ndim(exponent) == 0:
        number = float(exponent)
        if number.is_integer() and abs(number) <= 8 and not np.issubdtype(_type(base), np.integer):
            exponent = int(number)
    return _jnp().power(base, exponent)


def _add_logarithms() -> Function:
    """Return JAX's logaddexp, but for one that is log(1 + exp(x)), of which `arrays` knows more."""
    general = _jnp().logaddexp

    @functools.wraps(general)
    def add(a: Any, b: Any) -> Any:
        for zero, x in ((a, b), (b, a)):
            if isinstance(zero, int | float | np.ndarray) and np.ndim(zero) == 0 and zero == 0:
                return softplus(_jnp().asarray(x))
        return general(a, b)

    add.reduce = general.reduce  # type: ignore[attr-defined]
    return add


def _type(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _like(number: Any) -> Function:
    def make(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
             **_: Any) -> StandIn:  # fmt: skip
        size = np.shape(a) if shape is None else shape
        return StandIn(np.full(size, number, dtype=dtype or getattr(a, "dtype", None)))

    return make


def _full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, **_: Any) -> StandIn:
    made: StandIn = _like(0)(a, dtype=dtype, shape=shape)
    made[...] = fill_value
    return made


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not is_stand_in(dst):
        _into(src._session if is_stand_in(src) else where._session, (dst,), src)
    dst[...] = np.where(where, src, dst)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if not is_stand_in(a):
        _into(val._session, (a,), val)
    a.assign(_jnp().fill_diagonal(_jnp().asarray(a.value), unwrapped(val), inplace=False))


def _atleast(n: int) -> Function:
    def make(*arrays: Any) -> Any:
        made = []
        for a in arrays:
            if np.ndim(a) >= n:
                made.append(a)
                continue
            if is_stand_in(a):
                a.fix(f"np.atleast_{n}d answers with a view of it; make a copy first")
            made.append(StandIn(getattr(_jnp(), f"atleast_{n}d")(unwrapped(a)), "it is a view"))
        return made[0] if len(made) == 1 else tuple(made)

    return make


@functools.cache
def _own() -> dict[str, Function]:
    """List the functions that are ours: those of the shape, and those that change in place."""
    return {
        "shape": lambda a: a.shape,
        "ndim": lambda a: a.ndim,
        "size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
        "copy": lambda a, order="K", subok=False: a.copy(),
        "astype": lambda x, dtype, **options: x.astype(dtype),
        "reshape": lambda a, shape=None, order="C", **options: a.reshape(shape, order=order),
        "ravel": lambda a, order="C": a.reshape(-1, order=order),
        "transpose": lambda a, axes=None: a.transpose(axes),
        "zeros_like": _like(0),
        "empty_like": _like(0),
        "ones_like": _like(1),
        "full_like": _full_like,
        "copyto": _copyto,
        "fill_diagonal": _fill_diagonal,
        "iscomplexobj": lambda x: x.dtype.kind == "c",
        "isrealobj": lambda x: x.dtype.kind != "c",
        "result_type": lambda *given: np.result_type(*(getattr(x, "dtype", x) for x in given)),
        "array_repr": lambda arr, *a, **k: repr(arr),
        "array_str": lambda a, *b, **k: repr(a),
        "array2string": lambda a, *b, **k: repr(a),
        **{f"atleast_{n}d": _atleast(n) for n in (1, 2, 3)},
    }


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
