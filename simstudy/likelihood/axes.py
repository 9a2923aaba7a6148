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
from simstudy.likelihood.curvature import Differenced
from simstudy.status import Status

Values = Callable[[Array], Array]
RISE = 1e-2
# Along an axis of unit curvature f rises by h**2 / 2.
STEP = float(np.sqrt(2 * RISE))
# Four-point differences of this step are off by h**4 / 30: a billionth of a standard error.
SLOPE_STEP = STEP / 10
# Axes are good when D' H D is as near as this to a diagonal of signs.
NEAR = 0.3
# A standard error that two extrapolations tell alike to this share is not looked at further.
ALIKE, TRUSTED = 3e-4, 0.01
# Noise of 1e-4 of a rise spoils a standard error by about a percent.
SPOILING = 1e-4 * RISE
# After some rounds axes get half of what they lack: along a curved ridge they would swing for ever.
EAGER = 4
ROUNDS, LEVELS = 12, 7
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


def noise_of(value: Array) -> Array:
    """Rounding that a value of f may have: a difference below it is none."""
    return 64 * np.finfo(float).eps * (1 + np.abs(value))


def _pairs(values: Values, x: Array, moves: Array) -> tuple[Array, Array]:
    """Return f at x + moves and at x - moves, each `(B, m)`, for moves `(B, m, p)`."""
    both = values(np.concatenate([x[:, None] + moves, x[:, None] - moves], axis=1))
    return both[:, : moves.shape[1]], both[:, moves.shape[1] :]


def _differences(
    values: Values, x: Array, value: Array, axes: Array, step: float
) -> tuple[Array, Array]:
    """Gradient and Hessian by the axes, by central differences: p**2 + p values.

    Three points on the diagonal; off it the seven-point formula (Abramowitz & Stegun 25.3.27).
    """
    p = x.shape[-1]
    stencil, i, j = _stencil(p)
    above, below = _pairs(values, x, step * (stencil @ np.swapaxes(axes, -1, -2)))
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
        above, below = _pairs(values, x, unit * steps[..., None])
        found = np.abs((above + below) / 2 - value[:, None])
        found = np.where(found < np.inf, found, np.inf)
        low, high = np.where(found < RISE, steps, low), np.where(found < RISE, high, steps)
        factor = np.where(found < np.inf, np.sqrt(RISE / np.maximum(found, noise)), 0.1)
        new = steps * np.clip(factor, 1e-4, 1e4)
        middle = np.where(low > 0, np.sqrt(low * high), high / 10)
        new = np.where((low < new) & (new < high), new, middle)
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
    return lambda axes: _differences(values, x, value, axes, STEP)


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
    above, below = _pairs(values, x, moves)
    near, far = np.split(above - below, 2, axis=1)
    return (8 * near - far) / (12 * SLOPE_STEP)


def differenced(
    values: Values, x: Array, value: Array, axes: Array | None = None
) -> tuple[Array, Differenced]:
    """Gradient and Hessian by differences along the problem's own axes, with their own error.

    Steps are halved and the answers extrapolated (Romberg) until two extrapolations give the same
    standard errors to 3e-4; what is told of the error is how far the last two are apart.

    Parameters
    ----------
    values : callable
    x : (B, p)
    value : (B,)
    axes : (B, p, p), optional
        Where to begin; along the parameters by default.

    Returns
    -------
    gradient : (B, p)
    Differenced
        The Hessian; the relative error of every standard error from it; `ok`, `noisy` or
        `not_smooth`.
    """
    if axes is None:
        axes, _ = first_axes(values, x, value)
    found = own_axes(by_values(values, x, value), value, axes)
    axes, p = found.axes, x.shape[-1]
    coarse = _beside(*_differences(values, x, value, axes, 2 * STEP))
    first = _beside(found.gradient, found.hessian)
    known = np.isfinite(coarse).all(axis=(-1, -2))[:, None, None]
    table, last = [np.where(known, coarse, first)], np.full(x.shape, np.inf)
    best, error, step = first, np.full(x.shape, np.inf), np.full(len(x), STEP)
    steady = np.ones(x.shape, dtype=bool)
    for level in range(LEVELS):
        row = [_beside(*_differences(values, x, value, axes, STEP / 2**level)) if level else first]
        for k, coarser in enumerate(table, 1):
            row.append(row[-1] + (row[-1] - coarser) / (4**k - 1))
        moved = _apart(axes, row[0], table[0])
        # Half the step divides the error of a smooth function by four, time and again.
        shrinks = (moved < last / 2) | (moved < 10 * ALIKE)
        apart = np.where(shrinks & steady, 0.0, np.maximum(moved / 3, 2 * TRUSTED))
        apart = np.maximum(apart, _apart(axes, row[-1], row[-2]))
        better = (level > 0) & (error.max(axis=-1) >= np.maximum(apart.max(axis=-1), ALIKE))
        error = np.where(better[:, None], apart, error)
        best = np.where(better[:, None, None], row[-1], best)
        step = np.where(better, STEP / 2**level, step)
        table, last, steady = row, moved, shrinks
        if (error < ALIKE).all():
            break
    error = np.maximum(error, _finer(values, x, value, axes, best, step / 4))
    status = np.full(len(x), Status.ok, dtype=np.int8)
    wrong = ~(error.max(axis=-1) <= TRUSTED)
    if wrong.any():
        noise = noisy(values, x, value, axes, SPOILING)
        status[wrong] = np.where(noise, Status.noisy, Status.not_smooth)[wrong]
    inverse = inverted(axes)
    back = np.swapaxes(inverse, -1, -2)
    hessian = back @ best[..., :p] @ inverse
    hessian = (hessian + np.swapaxes(hessian, -1, -2)) / 2
    return (back @ best[..., p:])[..., 0], Differenced(hessian, error, status)


def _finer(values: Values, x: Array, value: Array, axes: Array, found: Array, step: Array) -> Array:
    """Return by how much standard errors are off where f bends otherwise over much shorter steps.

    Zero where the curvature along every axis is that of the Hessian to a tenth: kinks closer
    together than the steps look like a parabola over these.
    """
    moves = step[:, None, None] * np.swapaxes(axes, -1, -2)
    above, below = _pairs(values, x, moves)
    change = (above - value[:, None]) / 2 + (below - value[:, None]) / 2
    bend = np.diagonal(found, axis1=-2, axis2=-1)
    with np.errstate(all="ignore"):
        off = np.abs(2 * change / (step[:, None] ** 2 * bend) - 1)
    off = np.where(np.isfinite(off), off, 1.0)
    return np.where(off > 0.1, off, 0.0)


def inverted(axes: Array) -> Array:
    """Return the inverses `(..., p, p)` of axes; nan where there is none."""
    try:
        return np.linalg.inv(axes)
    except np.linalg.LinAlgError:
        if axes.ndim == 2:
            return np.full_like(axes, np.nan)
        return np.stack([inverted(one) for one in axes])


def _beside(gradient: Array, hessian: Array) -> Array:
    """Put a gradient beside the columns of a Hessian: both are extrapolated alike."""
    return np.concatenate([hessian, gradient[..., None]], axis=-1)


def _apart(axes: Array, one: Array, other: Array) -> Array:
    """Return by how much, relatively, standard errors differ by two Hessians along the axes."""
    p = axes.shape[-1]
    first, second = (_variances(axes, found[..., :p]) for found in (one, other))
    with np.errstate(all="ignore"):
        apart = np.abs(second / first - 1) / 2
    return np.where(np.isfinite(apart), apart, np.inf)


def _variances(axes: Array, hessian: Array) -> Array:
    """Return the diagonal of D G^-1 D', `(B, p)`; nan where G has no inverse."""
    finite = np.isfinite(hessian).all(axis=(-1, -2))[:, None, None]
    safe = np.where(finite, hessian, np.eye(hessian.shape[-1]))
    singular = np.abs(np.linalg.det(safe)) < 1e-300
    safe = np.where(singular[:, None, None], np.eye(hessian.shape[-1]), safe)
    found = np.einsum("bij,bji->bi", axes, np.linalg.solve(safe, np.swapaxes(axes, -1, -2)))
    return np.where(finite[..., 0] & ~singular[:, None], found, np.nan)


def noise_along(values: Values, x: Array, direction: Array, spacing: float) -> Array:
    """Estimate the noise `(B,)` of f from a table of repeated differences of values close together.

    On one side of x only, so that a kink there is not taken for noise (Moré & Wild 2011, SIAM
    Journal on Scientific Computing 33:1292). Values are `spacing` times a direction `(B, p)` apart.
    """
    steps = spacing * np.arange(1, 10)
    table = values(x[:, None] + steps[:, None] * direction[:, None, :])
    levels = []
    for k in range(1, 7):
        with np.errstate(invalid="ignore"):
            table = np.diff(table, axis=1)
        norm = np.prod(np.arange(k + 1, 2 * k + 1) / np.arange(1, k + 1))
        levels.append(np.sqrt((table**2).mean(axis=1) / norm))
    noise = np.median(np.stack(levels[3:]), axis=0)
    return np.where(np.isfinite(noise), noise, 0.0)


def noisy(values: Values, x: Array, value: Array, axes: Array, least: float) -> Array:
    """Tell whether f has noise of at least so much, far beyond rounding: `(B,)` of bool."""
    size = 1 + np.abs(x)
    apart = np.clip(1e-8 * np.abs(axes.sum(axis=-1)), 1e-13 * size, 1e-6 * size)
    noise = noise_along(values, x, apart, 1.0)
    return noise > np.maximum(least, noise_of(value))
