"""Keys of arrays: which name a view, which depend on what is traced, and elements put in place."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

Value = Any


def is_jax(value: Any) -> bool:
    """Tell whether it is an array of JAX, or what traces one."""
    return isinstance(value, importlib.import_module("jax").Array)


def is_traced(key: Any) -> bool:
    """Tell whether a key has a part that is traced."""
    return any(map(is_jax, key)) if isinstance(key, tuple) else is_jax(key)


def is_basic(key: Any) -> bool:
    """Tell whether a key names a view: numbers, slices, new axes."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None or part is Ellipsis or isinstance(part, slice)
        or (isinstance(part, int) and not isinstance(part, bool))
        for part in parts
    )  # fmt: skip


def has_mask(key: Any) -> bool:
    """Tell whether a key has a traced mask."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(is_jax(part) and part.dtype == bool for part in parts)


def put(base: Value, key: Any, new: Value) -> Value:
    """Return a copy in which some elements are new."""
    if isinstance(base, np.ndarray) and not (is_jax(new) or is_traced(key)):
        changed = base.copy()
        changed[key] = new
        return changed
    new = _jnp().asarray(new)
    if is_jax(key) and key.dtype == bool and new.ndim == 0:
        mask = key.reshape(key.shape + (1,) * (base.ndim - key.ndim))
        return _jnp().where(mask, new.astype(base.dtype), base)
    return _jnp().asarray(base).at[key].set(new.astype(base.dtype))


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
