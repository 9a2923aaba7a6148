"""Difference schemes with given steps, along the parameters' own axes.

They take `f(x) -> float` and steps `(p,)` and answer with plain arrays, so that each can be tried
on any function of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.axes import STEP, first_axes

Function = Callable[[Array], Any]


def central_gradient(f: Function, x: Array, step: Array) -> Array:
    """Gradient by four-point central differences (Abramowitz & Stegun 25.3.21).

    Parameters
    ----------
    f : callable
        `f(x) -> float`, or `(n,)` for the gradient of each of n functions.
    x, step : (p,)
        The point and the step of every coordinate.

    Returns
    -------
    (p,) or (n, p)
    """
    columns = []
    for i, h in enumerate(step):
        e = np.zeros_like(x)
        e[i] = h
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def central_hessian(f: Function, x: Array, step: Array, *, diagonal: bool = False) -> Array:
    """Hessian by central differences (Abramowitz & Stegun 25.3.23, 25.3.26).

    Three points on the diagonal, four off it: 2 p (p - 1) + 2 p + 1 values of f; 2 p + 1 for the
    diagonal alone.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.likelihood.schemes import central_hessian
    >>> f = lambda x: 3 * x[0] ** 2 + x[0] * x[1]
    >>> central_hessian(f, np.array([1.0, 2.0]), np.array([1e-3, 1e-3])).round(6).tolist()
    [[6.0, 1.0], [1.0, 0.0]]
    """
    return _central(f, x, step, diagonal=diagonal)[1]


def _central(f: Function, x: Array, step: Array, *, diagonal: bool) -> tuple[Array, Array]:
    """Gradient and Hessian from the same central differences."""
    p = len(x)
    e = np.diag(step)
    middle = f(x)
    above, below = (
        np.array([f(x + e[i]) for i in range(p)]),
        np.array([f(x - e[i]) for i in range(p)]),
    )
    gradient = (above - below) / (2 * step)
    hessian = np.diag((above - 2 * middle + below) / step**2)
    for i in range(0 if diagonal else p):
        for j in range(i):
            corners = (
                f(x + e[i] + e[j]) - f(x + e[i] - e[j]) - f(x - e[i] + e[j]) + f(x - e[i] - e[j])
            )
            hessian[i, j] = hessian[j, i] = corners / (4 * step[i] * step[j])
    return gradient, hessian


def gradient_hessian(gradient: Callable[[Array], Array], x: Array, step: Array) -> Array:
    """Hessian by central differences of an exact gradient, symmetrized; 4 p gradients."""
    rough = central_gradient(gradient, x, step)
    return (rough + rough.T) / 2


def rise_steps(f: Function, x: Array) -> tuple[Array, int]:
    """Find for every coordinate the step at which f changes by 0.01, whatever its units.

    The change is the symmetric one, (f(x + h) + f(x - h)) / 2 - f(x), which is h**2 / 2 times the
    curvature: at a minimum f rises, over 0.14 standard errors.

    Parameters
    ----------
    f : callable
        `f(x) -> float`; infinite outside its domain.
    x : (p,)
        A point where f is finite.

    Returns
    -------
    step : (p,)
    evaluations : int
        Values of f that the search took.
    """
    values = lambda points: np.array([[f(point) for point in points[0]]])  # noqa: E731
    axes, evaluations = first_axes(values, x[None], np.array([f(x)]), close=1e-3)
    return np.diagonal(axes[0]) * STEP, evaluations + 1
