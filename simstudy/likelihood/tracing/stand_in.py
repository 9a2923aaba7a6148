"""An array that stands in for data and theta: NumPy's functions of it become JAX's.

NumPy asks an argument that has `__array_ufunc__` or `__array_function__` (NumPy Enhancement
Proposals 13 and 18) to do the work. A stand-in does it on the JAX value that it holds; one that
depends on nothing that is traced holds a NumPy array, and NumPy does the work.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from simstudy.likelihood.tracing.indexing import has_mask, is_basic, is_jax, is_traced, put
from simstudy.likelihood.tracing.methods import IN_PLACE, METHODS, in_place, method_of
from simstudy.likelihood.tracing.refusals import BRANCH, CALL, LENGTH, MASK, NUMBER
from simstudy.likelihood.tracing.session import CURRENT, Session
from simstudy.likelihood.tracing.values import Value, as_key, unwrapped

Look = Callable[[Any], Any]


class StandIn(NDArrayOperatorsMixin):
    """A JAX or NumPy value behind the face of a NumPy array, with its changes in place.

    Views know the array they look at, so that a change of either is seen in both.
    """

    stands_in = True
    __slots__ = ("__weakref__", "_fixed", "_look", "_parent", "_put", "_seen", "_session", "_value")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 1000

    def __init__(
        self,
        value: Value,
        fixed: str = "",
        parent: StandIn | None = None,
        look: Callable[[Value], Value] | None = None,
        put: Callable[[Value, Value], Value] | None = None,
    ) -> None:
        session = CURRENT.get()
        assert session is not None
        self._session: Session = session
        self._value, self._fixed = value, fixed
        self._parent, self._look, self._put, self._seen = parent, look, put, None
        session.adopt(self)

    # --- what it holds ---------------------------------------------------------------------------

    @property
    def value(self) -> Value:
        """The JAX or NumPy array."""
        if not self._session.open:
            raise RuntimeError(
                "the log-likelihood keeps an array from one call to the next (in a global, a "
                "cache, a default argument); compute it in every call"
            )
        if self._parent is not None:
            base = self._parent.value
            if base is not self._seen:
                assert self._look is not None
                self._value, self._seen = self._look(base), base
        return self._value

    @property
    def traced(self) -> bool:
        """Tell whether it depends on what is traced."""
        return not isinstance(self.value, np.ndarray)

    def assign(self, value: Value) -> None:
        """Put a new value of the same shape and type in its place."""
        if self._fixed:
            self.refuse(f"an array is changed in place: {self._fixed}")
        if self._parent is None:
            self._value = value
        else:
            assert self._put is not None
            self._parent.assign(self._put(self._parent.value, value))

    def fix(self, reason: str) -> None:
        """Allow no changes in place from here on."""
        self._fixed = self._fixed or reason
        if self._parent is not None:
            self._parent.fix(reason)

    def refuse(self, text: str) -> Any:
        """Give the trace up."""
        self._session.refuse(text)

    # --- how NumPy and Python see it -------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.value.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.value.shape, dtype=int))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        found: np.dtype[Any] = np.dtype(self.value.dtype)
        return found

    @property
    def T(self) -> StandIn:
        """Its transpose, a view."""
        return self.transpose()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"array of shape {self.shape}, being traced"

    def _known(self, what: str) -> Any:
        """Return NumPy's array; refuse, by what was asked for, where it is traced."""
        return self.refuse(what) if self.traced else self.value

    def __bool__(self) -> bool:
        return bool(self._known(BRANCH))

    def __float__(self) -> float:
        return float(self._known(NUMBER))

    def __int__(self) -> int:
        return int(self._known("int() of what depends on the parameters or the data"))

    def __index__(self) -> int:
        return int(self._known(LENGTH).__index__())

    def __complex__(self) -> complex:
        return complex(self._known("complex() of what depends on the parameters or the data"))

    def __format__(self, given: str) -> str:
        return repr(self) if self.traced else format(self.value, given)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self._known(CALL), dtype=dtype)

    def __jax_array__(self) -> Value:
        return _jnp().asarray(self.value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _functions().call_ufunc(self._session, ufunc, method, inputs, options)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        return _functions().call_function(self._session, function, args, options)

    # --- elements --------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        self._session.count()
        key = as_key(key)
        if is_basic(key):
            look: Look = lambda value: value[key]  # noqa: E731
            part = look(self.value)
            if np.ndim(part) == 0:
                return StandIn(part) if self.traced else part
            return StandIn(None, self._fixed, self, look, lambda base, new: put(base, key, new))
        if has_mask(key):
            self.refuse(MASK)
        if not self.traced and not is_traced(key):
            return StandIn(self.value[key])
        value = _jnp().asarray(self.value)
        if self.dtype.kind == "f" and is_traced(key):
            # NumPy would raise outside; what is not there is nan, and the loop engine answers
            return StandIn(value.at[key].get(mode="fill", fill_value=np.nan))
        return StandIn(value[key])

    def __setitem__(self, key: Any, new: Any) -> None:
        self._session.count()
        key, new = as_key(key), unwrapped(new)
        if has_mask(key) and (isinstance(key, tuple) or np.ndim(new) > 0):
            self.refuse(MASK)
        self.assign(put(self.value, key, new))

    # --- methods that are more than NumPy's function of the same name ----------------------------

    @property
    def values(self) -> StandIn:
        """The array itself: what a column of pandas answers."""
        return self

    def to_numpy(self, *args: Any, **options: Any) -> StandIn:
        """Return the array itself: what a column of pandas answers."""
        return self

    def copy(self, order: str = "C", deep: bool = True) -> StandIn:
        """Return an array of its own."""
        return StandIn(self.value)

    def __copy__(self) -> StandIn:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> StandIn:
        return self.copy()

    def flatten(self, order: str = "C") -> StandIn:
        """Return a copy with one axis."""
        return self.copy().reshape(-1) if order == "C" else self.refuse(f"order={order!r}")

    def astype(self, dtype: Any, copy: bool = True, **options: Any) -> StandIn:
        """Return it as another type."""
        return StandIn(self.value.astype(np.dtype(dtype)))

    def reshape(self, *shape: Any, order: str = "C") -> StandIn:
        """Look at it with other axes."""
        if order != "C":
            self.refuse(f"reshape with order={order!r}")
        whole = shape[0] if len(shape) == 1 else shape
        look: Look = lambda value: value.reshape(whole)  # noqa: E731
        if self._parent is None:
            put = lambda base, new: new.reshape(base.shape)  # noqa: E731
            return StandIn(None, self._fixed, self, look, put)
        self.fix("reshape of a part may be a copy or a view of it")
        return StandIn(look(self.value), self._fixed)

    def ravel(self, order: str = "C") -> StandIn:
        """Look at it with one axis."""
        return self.reshape(-1, order=order)

    def transpose(self, *axes: Any) -> StandIn:
        """Look at it with its axes in another order."""
        order = axes[0] if len(axes) == 1 and axes[0] is not None else axes
        order = tuple(order) if order and order != (None,) else tuple(range(self.ndim))[::-1]
        back = tuple(int(k) for k in np.argsort(order))
        look = lambda value: value.transpose(order)  # noqa: E731
        return StandIn(None, self._fixed, self, look, lambda base, new: new.transpose(back))

    def fill(self, value: Any) -> None:
        """Put a value everywhere."""
        self[...] = value

    def sort(self, axis: int = -1) -> None:
        """Sort in place."""
        self.assign(unwrapped(np.sort(self, axis=axis)))

    def item(self, *args: Any) -> Any:
        """Return a Python number, which a traced array has not."""
        return self._known("item(), a Python number").item(*args)

    def tolist(self) -> Any:
        """Return Python numbers, which a traced array has not."""
        return self._known("tolist(), Python's numbers").tolist()


for _name in METHODS:
    setattr(StandIn, _name, method_of(_name))
for _name, _operator in IN_PLACE.items():
    setattr(StandIn, f"__i{_name}__", in_place(f"__i{_name}__", _operator))


def wrapped(value: Any) -> Any:
    """Return arrays as stand-ins, in tuples and lists too; NumPy's own numbers as they are."""
    if isinstance(value, np.ndarray) or is_jax(value):
        return StandIn(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(wrapped(part) for part in value))
    return type(value)(map(wrapped, value)) if type(value) in (list, tuple) else value


@functools.cache
def _functions() -> Any:
    return importlib.import_module("simstudy.likelihood.tracing.functions")


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
