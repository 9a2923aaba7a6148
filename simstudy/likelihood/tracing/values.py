"""Arguments of the user's code: which are stand-ins, and what those hold."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from simstudy.likelihood.tracing.indexing import is_jax

Value = Any


def is_stand_in(value: object) -> bool:
    """Tell whether it is a stand-in."""
    return getattr(type(value), "stands_in", False) is True


def contains(value: Any) -> bool:
    """Tell whether there is a stand-in in nested lists, tuples and mappings."""
    if isinstance(value, dict):
        value = value.values()
    elif type(value) not in (list, tuple):
        return is_stand_in(value)
    return any(contains(part) for part in value)


def unwrapped(value: Any) -> Any:
    """Return what a stand-in holds; a list as the array of what its stand-ins hold."""
    if is_stand_in(value):
        return value.value
    if type(value) is tuple:
        return tuple(unwrapped(part) for part in value)
    if type(value) is list:
        return array_of(value)
    return value


def array_of(value: Any, dtype: Any = None) -> Value:
    """Return the array of nested lists of numbers and stand-ins, as NumPy would make it."""
    if is_stand_in(value):
        made = value.value
    elif isinstance(value, list | tuple) and contains(value):
        made = _jnp().stack([_jnp().asarray(array_of(part)) for part in value])
    elif is_jax(value):
        made = value
    else:
        made = np.asarray(value)
    return made if dtype is None else made.astype(np.dtype(dtype))


def as_key(key: Any) -> Any:
    """Return a key with what its stand-ins hold, and arrays for lists."""
    key = unwrapped(key)
    kept = tuple(key) if isinstance(key, tuple) else (key,)
    kept = tuple(part.item() if isinstance(part, np.integer) else part for part in kept)
    return kept if isinstance(key, tuple) else kept[0]


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
