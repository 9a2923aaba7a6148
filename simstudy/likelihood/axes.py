"""Differences along the problem's own axes: directions along which f bends alike, whatever it is.

Along the parameters' own axes the truncation error of a difference is relative to the curvature of
one parameter, and inversion divides it by the smallest eigenvalue of the scaled Hessian: with
correlated parameters the answer is wrong and looks right. Here the axes are the columns of a matrix
D with D' H D near the identity, found by differences themselves, a few times over. A step of 0.14
along any of them makes f rise by 0.01, in any units.

Everything works on B functions side by side. What is known of them is `values(points)`, from points
`(B, m, p)` to values `(B, m)`, infinite where there are none. One function alone is B = 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.noise import Values, noise_of

RISE = 1e-2
# Along an axis of unit curvature f rises by h**2 / 2.
STEP = float(np.sqrt(2 * RISE))
# Four-point differences of this step are off by h**4 / 30: a billionth of a standard error.
SLOPE_STEP = STEP / 10
# Axes are good when D' H D is as near as this to a diagonal of signs.
NEAR = 0.3
# After some rounds axes get half of what they lack: along a curved ridge they would swing for ever.
EAGER = 4
ROUNDS = 12
# No axis is longer than so many standard errors of a parameter alone: further off all is rounding.
LONGEST = 1e7


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes D `(B, p, p)`, its columns, with f's gradient `(B, p)` and Hessian `(B, p, p)` by them.

    `rounds` counts how often they were looked along.
    """

    axes: Array
    gradient: Array
    hessian: Array
    rounds: int


@functools.lru_cache(maxsize=64)
def _stencil(p: int) -> tuple[Array, Array, Array]:
    """Return the points of a Hessian `(m, p)`, one side of each pair, and the pairs i < j."""
    i, j = np.triu_indices(p, 1)
    return np.concatenate([np.eye(p), np.eye(p)[i] + np.eye(p)[j]]), i, j


def pairs(values: Values, x: Array, moves: Array) -> tuple[Array, Array]:
    """Return f at x + moves and at x - moves, each `(B, m)`, for moves `(B, m, p)`."""
    both = values(np.concatenate([x[:, None] + moves, x[:, None] - moves], axis=1))
    return both[:, : moves.shape[1]], both[:, moves.shape[1] :]


def differences(
    values: Values, x: Array, value: Array, axes: Array, step: float
) -> tuple[Array, Array]:
    """Gradient and Hessian by the axes, by central differences: p**2 + p values.

    Three points on the diagonal; off it the seven-point formula (Abramowitz & Stegun 25.3.27).
    """
    p = x.shape[-1]
    stencil, i, j = _stencil(p)
    above, below = pairs(values, x, step * (stencil @ np.swapaxes(axes, -1, -2)))
    change = (above - value[:, None]) / 2 + (below - value[:, None]) / 2
    hessian = np.zeros((*x.shape, p))
    hessian[:, range(p), range(p)] = 2 * change[:, :p] / step**2
    off = (change[:, p:] - change[:, i] - change[:, j]) / step**2
    hessian[:, i, j] = hessian[:, j, i] = off
    return (above - below)[:, :p] / (2 * step), hessian


def axes_of(hessian: Array) -> Array:
    """Return the axes `(..., p, p)` of known Hessians: D' H D is a diagonal of signs.

    Directions that bend less than 1e-14 of the others, by rounding alone, get that much.
    """
    diagonal = np.abs(np.diagonal(hessian, axis1=-2, axis2=-1))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = hessian * scale[..., :, None] * scale[..., None, :]
    values, vectors = np.linalg.eigh(unit)
    size = np.maximum(np.abs(values), 1e-14)
    return scale[..., :, None] * vectors / np.sqrt(size)[..., None, :]


def first_axes(
    values: Values, x: Array, value: Array, scale: Array | None = None, close: float = 0.7
) -> tuple[Array, int]:
    """Return axes along the parameters, each so long that f changes by 0.01 over 0.14 of it.

    The change is the symmetric one, (f(x + h) + f(x - h)) / 2 - f(x): h**2 / 2 times the curvature.

    Parameters
    ----------
    values : callable
    x : (B, p)
    value : (B,)
    scale : (B, p), optional
        Where to begin.
    close : float
        How near, in logarithms, the last step must be to the right one.

    Returns
    -------
    axes : (B, p, p)
    evaluations : int
    """
    steps = 1e-4 * (1 + np.abs(x)) if scale is None else STEP * scale
    low, high = np.zeros_like(steps), np.full_like(steps, np.inf)
    done = np.zeros(steps.shape, dtype=bool)
    unit, noise, rounds = np.eye(x.shape[-1]), noise_of(value)[:, None], 0
    while rounds < 12 and not done.all():
        rounds += 1
        above, below = pairs(values, x, unit * steps[..., None])
        found = np.abs((above + below) / 2 - value[:, None])
        found = np.where(found < np.inf, found, np.inf)
        low, high = np.where(found < RISE, steps, low), np.where(found < RISE, high, steps)
        factor = np.where(found < np.inf, np.sqrt(RISE / np.maximum(found, noise)), 0.1)
        new = steps * np.clip(factor, 1e-4, 1e4)
        middle = np.where(high < np.inf, np.sqrt(low * high), 10 * low)
        middle = np.where(low > 0, middle, high / 10)
        new = np.where((low <= new) & (new < high), new, middle)
        steps = np.where(done, steps, new)
        done |= np.abs(np.log(factor)) < close
    return unit * (steps / STEP)[..., None], rounds * 2 * x.shape[-1]


def own_axes(look: Callable[[Array], tuple[Array, Array]], value: Array, axes: Array) -> Axes:
    """Turn and stretch axes until the Hessian by them is near a diagonal of signs.

    Parameters
    ----------
    look : callable
        From axes `(B, p, p)` to the gradient `(B, p)` and the Hessian `(B, p, p)` by them, as
        `by_values` makes it.
    value : (B,)
        f, for its rounding.
    axes : (B, p, p)
        Where to begin, such as those of `first_axes` or of a Hessian near by.
    """
    p, scale = axes.shape[-1], alone(axes)
    done, outside = np.zeros(len(axes), dtype=bool), np.zeros(len(axes), dtype=bool)
    held = Axes(axes, np.full(axes.shape[:2], np.nan), np.full(axes.shape, np.nan), 0)
    for rounds in range(1, ROUNDS + 1):
        gradient, hessian = look(axes)
        finite = np.isfinite(hessian).all(axis=(-1, -2))
        new = ~done & finite
        held = Axes(
            np.where(new[:, None, None], axes, held.axes),
            np.where(new[:, None], gradient, held.gradient),
            np.where(new[:, None, None], hessian, held.hessian),
            rounds,
        )
        signs = np.copysign(1.0, np.diagonal(hessian, axis1=-2, axis2=-1))[..., None]
        with np.errstate(invalid="ignore"):
            done |= finite & (np.abs(hessian - signs * np.eye(p)) < NEAR).all(axis=(-1, -2))
        if done.all():
            break
        outside |= ~finite
        turned = _turned(axes, hessian, finite, value, rounds, outside)
        long = (np.abs(turned) / scale[..., None]).max(axis=-2, keepdims=True) / LONGEST
        axes = np.where(done[:, None, None], axes, turned / np.fmax(long, 1.0))
    return held


def alone(axes: Array) -> Array:
    """Return the standard error `(..., p)` of every parameter if the others were known."""
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt((inverted(axes) ** 2).sum(axis=-2))


def by_values(values: Values, x: Array, value: Array) -> Callable[[Array], tuple[Array, Array]]:
    """Look along axes by values of f: p**2 + p of them."""
    return lambda axes: differences(values, x, value, axes, STEP)


def by_gradients(
    gradient: Callable[[Array], Array], x: Array
) -> Callable[[Array], tuple[Array, Array]]:
    """Look along axes by four-point differences of one exact gradient: 4 p + 1 of them."""

    def look(axes: Array) -> tuple[Array, Array]:
        turn, middle = axes[0].T, gradient(x)
        moves = SLOPE_STEP * turn
        near = np.stack([gradient(x + move) - gradient(x - move) for move in moves])
        far = np.stack([gradient(x + 2 * move) - gradient(x - 2 * move) for move in moves])
        rough = (8 * near - far) @ axes[0] / (12 * SLOPE_STEP)
        return (turn @ middle)[None], ((rough + rough.T) / 2)[None]

    return look


def _turned(
    axes: Array, hessian: Array, finite: Array, value: Array, rounds: int, outside: Array
) -> Array:
    """Turn and stretch axes by the Hessian along them; shorten those that end outside."""
    safe = np.where(finite[:, None, None], hessian, np.eye(hessian.shape[-1]))
    bends, vectors = np.linalg.eigh(safe)
    size = np.abs(bends)
    # No axis gets ten thousand times as long at once, nor by what rounding alone may be, nor more
    # than twice as long where a wall was met.
    floor = np.maximum(1e-8 * size.max(axis=-1), noise_of(value) / RISE)
    floor = np.where(outside, 0.25 * size.max(axis=-1), floor)
    power = 0.5 if rounds < EAGER else 0.25
    turned = axes @ (vectors / (np.maximum(size, floor[:, None]) ** power)[:, None, :])
    ends = ~np.isfinite(np.diagonal(hessian, axis1=-2, axis2=-1))
    ends = np.where(ends.any(axis=-1, keepdims=True), ends, True)
    return np.where(finite[:, None, None], turned, axes * np.where(ends, 0.1, 1.0)[:, None, :])


def slopes_by(values: Values, x: Array, axes: Array) -> Array:
    """Gradient `(B, p)` by the axes, by four-point differences: 4 p values of f."""
    directions = np.swapaxes(axes, -1, -2)
    moves = SLOPE_STEP * np.concatenate([directions, 2 * directions], axis=1)
    above, below = pairs(values, x, moves)
    near, far = np.split(above - below, 2, axis=1)
    return (8 * near - far) / (12 * SLOPE_STEP)


def inverted(axes: Array) -> Array:
    """Return the inverses `(..., p, p)` of axes; nan where there is none."""
    try:
        return np.linalg.inv(axes)
    except np.linalg.LinAlgError:
        if axes.ndim == 2:
            return np.full_like(axes, np.nan)
        return np.stack([inverted(one) for one in axes])
