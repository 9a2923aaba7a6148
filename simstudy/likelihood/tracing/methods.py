"""Methods of an array that are NumPy's functions of the same name, and operators in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "clip", "compress", "conj", "cumprod", "cumsum",
    "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted",
    "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
)  # fmt: skip


def method_of(name: str) -> Callable[..., Any]:
    """Return the method that is NumPy's function of this name."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return getattr(np, name)(self, *args, **options)

    method.__name__ = name
    return method


def in_place(name: str, operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that is an operator in place."""

    def method(self: Any, other: Any) -> Any:
        # a number is no place: another one takes its name
        return operator(self, other) if self.ndim == 0 else operator(self, other, out=(self,))

    method.__name__ = name
    return method


IN_PLACE = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "matmul": np.matmul,
}  # fmt: skip
