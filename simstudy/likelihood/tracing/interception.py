"""Names that lead elsewhere while a log-likelihood is traced, in the tracing thread alone.

Most of NumPy asks a stand-in itself. What does not is looked up here: functions that make arrays
(np.zeros, np.array), Python functions of scipy.special and scipy.linalg, and the distributions of
scipy.stats. In the user's modules, and only there, another module stands in NumPy's place, and
other functions in that of those imported by name: compiled code that took a stand-in for an array
would crash. The attributes of SciPy's modules are replaced by functions that look at their
arguments. Any other thread gets the original. All is put back when the last trace ends.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from simstudy.likelihood.tracing import distributions, special_functions
from simstudy.likelihood.tracing.functions import arguments, counterpart
from simstudy.likelihood.tracing.session import CURRENT, Session
from simstudy.likelihood.tracing.stand_in import StandIn, wrapped
from simstudy.likelihood.tracing.values import array_of, contains, is_stand_in

Function = Callable[..., Any]

MADE = ("empty", "eye", "full", "identity", "ones", "zeros")
"""Functions that make arrays, which a likelihood may go on to fill."""

LINEAR_ALGEBRA = (
    "block_diag", "cho_factor", "cho_solve", "cholesky", "det", "expm", "inv", "solve",
    "solve_triangular", "toeplitz",
)  # fmt: skip

_lock = threading.Lock()
_open = [0]
_replaced: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def intercepted(namespaces: tuple[dict[str, Any], ...]) -> Iterator[None]:
    """Lead the names elsewhere as long as this lasts, here and in other traces.

    Parameters
    ----------
    namespaces : tuple of dict
        Globals of the functions to be traced, in which names may have been imported.
    """
    with _lock:
        _open[0] += 1
        if _open[0] == 1:
            for home, name, new in _attributes():
                _replace(home, name, new)
        _replace_imported(namespaces)
    try:
        yield
    finally:
        with _lock:
            _open[0] -= 1
            if _open[0] == 0:
                for home, name, old in reversed(_replaced):
                    _set(home, name, old)
                _replaced.clear()


def _replace(home: Any, name: str, new: Any) -> None:
    old = home[name] if isinstance(home, dict) else getattr(home, name)
    _set(home, name, new)
    _replaced.append((home, name, old))


def _set(home: Any, name: str, value: Any) -> None:
    if isinstance(home, dict):
        home[name] = value
    else:
        setattr(home, name, value)


def _replace_imported(namespaces: tuple[dict[str, Any], ...]) -> None:
    """Replace NumPy, and functions imported by name, where the user's modules have them."""
    new = {
        id(old): getattr(home, name)
        for home, name, old in _replaced
        if not isinstance(home, dict | type)
    }
    own = _numpy_functions()
    new |= {id(getattr(np, name)): function for name, function in own.items() if name != "ndarray"}
    new[id(np)] = _numpy()
    for namespace in namespaces:
        for name, value in list(namespace.items()):
            if id(value) in new:
                _replace(namespace, name, new[id(value)])


@functools.cache
def _numpy() -> ModuleType:
    """Make the module that stands in NumPy's place: the same, but for what makes arrays."""
    module = ModuleType("numpy")
    module.__dict__.update(np.__dict__)
    module.__dict__.update(_numpy_functions())
    return module


@functools.cache
def _numpy_functions() -> dict[str, Any]:
    """List what stands in the place of functions of NumPy."""
    found = {name: _while_tracing(getattr(np, name), _make(getattr(np, name))) for name in MADE}
    for name in ("array", "asarray", "asanyarray", "ascontiguousarray", "asarray_chkfinite"):
        found[name] = _while_tracing(getattr(np, name), _array(name, getattr(np, name)))
    return found | {
        "c_": _Joined(np.c_, np.column_stack),
        "r_": _Joined(np.r_, np.hstack),
        "ndarray": _Array("ndarray", (), {}),
    }


class _Array(type):
    """The type of arrays in `isinstance(x, np.ndarray)`, of stand-ins too."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, np.ndarray) or is_stand_in(value)


def _attributes() -> Iterator[tuple[Any, str, Any]]:
    """List the attributes to be replaced, with what takes their place."""
    special = sys.modules.get("scipy.special")
    for name, function in special_functions.python_functions().items() if special else ():
        if hasattr(special, name):
            yield special, name, _with_stand_ins(getattr(special, name), function)
    linear = sys.modules.get("scipy.linalg")
    for name in LINEAR_ALGEBRA if linear else ():
        function = counterpart("scipy.linalg", name)
        if function is not None:
            yield linear, name, _with_stand_ins(getattr(linear, name), function)
    yield from distributions.replacements()


def _while_tracing(original: Function, own: Function) -> Function:
    """Answer with `own` in the tracing thread."""

    @functools.wraps(original)
    def call(*args: Any, **options: Any) -> Any:
        function = original if CURRENT.get() is None else own
        return function(*args, **options)

    return call


def _with_stand_ins(original: Function, own: Function) -> Function:
    """Answer with `own` where an argument is a stand-in."""

    @functools.wraps(original)
    def call(*args: Any, **options: Any) -> Any:
        session = CURRENT.get()
        if session is None or not (contains(args) or contains(options)):
            return original(*args, **options)
        session.count()
        given, named = arguments("", args, options)
        for name in ("check_finite", "overwrite_a", "overwrite_b"):
            named.pop(name, None)
        try:
            return wrapped(own(*given, **named))
        except TypeError as error:
            return session.refuse(f"{original.__name__}: {error}")

    return call


def _make(original: Function) -> Function:
    def make(*args: Any, **options: Any) -> Any:
        if contains(args) or contains(options):
            return _filled(original, *args, **options)
        return wrapped(original(*args, **options))

    return make


def _filled(original: Function, *args: Any, **options: Any) -> Any:
    """Do np.full of stand-ins."""
    if original.__name__ == "full":
        given = dict(zip(("shape", "fill_value", "dtype"), args, strict=False)) | options
        value = given["fill_value"]
        kind = given.get("dtype") or (value.dtype if is_stand_in(value) else None)
        made = StandIn(np.zeros(given["shape"], dtype=kind))
        made[...] = value
        return made
    session = CURRENT.get()
    assert isinstance(session, Session)
    return session.refuse(f"np.{original.__name__} of what depends on parameters or data")


def _array(name: str, original: Function) -> Function:
    """Do np.array, which copies, and np.asarray and its like, which need not."""

    def make(a: Any, dtype: Any = None, *args: Any, **options: Any) -> Any:
        if not contains(a):
            made = original(a, dtype, *args, **options)
            return StandIn(made) if made is not a and isinstance(made, np.ndarray) else made
        if is_stand_in(a) and name != "array" and dtype in (None, a.dtype, float):
            return a if dtype is None or a.dtype == np.dtype(dtype) else a.astype(dtype)
        made = StandIn(array_of(a, dtype))
        most = options.get("ndmin", 0) - made.ndim
        return made.reshape((1,) * most + made.shape) if most > 0 else made

    return make


class _Joined:
    """Stand in for np.c_ and np.r_ with arrays of one axis, or columns."""

    __slots__ = ("_join", "_original")

    def __init__(self, original: Any, join: Function) -> None:
        self._original, self._join = original, join

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if CURRENT.get() is None or not contains(list(parts)):
            return self._original[key]
        return self._join(tuple(part if is_stand_in(part) else wrapped(array_of(part))
                                for part in parts))  # fmt: skip
