"""Where parameters lie, and the maps between their own scale and the unbounded working scale.

A parameter is fitted on the working scale and reported on its own. A support is a value: a new one
is one `Support`, and nothing else knows which there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from simstudy.arrays import Array, exp, expit

Map = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, repr=False)
class Support:
    """An open interval with its increasing map to the whole line.

    Parameters
    ----------
    name : str
        In messages and in what is stored; two supports of one name must be the same.
    lower, upper : float
        Its ends, which do not belong to it; infinite where there is none.
    to_working : callable
        From theta to the working value, both of any shape.
    from_working : callable
        Back; on NumPy and on JAX, so written with the functions of `simstudy.arrays`.
    slope, curvature : callable
        First and second derivative of theta with respect to the working value, as functions of
        theta.
    scale : str
        The working value in words, with `{}` in the parameter's place.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.arrays import softplus
    >>> from simstudy.likelihood.supports import Support
    >>> Support(
    ...     "positive by softplus", 0.0,
    ...     to_working=lambda theta: theta + np.log(-np.expm1(-theta)),
    ...     from_working=softplus,
    ...     slope=lambda theta: -np.expm1(-theta),
    ...     curvature=lambda theta: -np.expm1(-theta) * np.exp(-theta),
    ... )
    'positive by softplus'
    """

    name: str
    lower: float = -np.inf
    upper: float = np.inf
    to_working: Map = lambda theta: theta
    from_working: Map = lambda working: working
    slope: Map = np.ones_like
    curvature: Map = np.zeros_like
    scale: str = "{}"

    def __hash__(self) -> int:
        """Hash the name alone: supports are keys of what is looked up at every value of f."""
        return hash(self.name)

    def __repr__(self) -> str:
        """Show the name, as it may be written in a model."""
        return repr(self.name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle one of this module by its ends, so that a copy is the same value."""
        if interval(self.lower, self.upper) is self:
            return interval, (self.lower, self.upper)
        return object.__reduce_ex__(self, protocol)

    @property
    def bounded(self) -> bool:
        """Whether it has an end, towards which the working value runs off."""
        return self.lower > -np.inf or self.upper < np.inf


REAL = Support("real")
POSITIVE = Support(
    "positive", 0.0, np.inf, np.log, exp, lambda theta: theta, lambda theta: theta, "log({})"
)


def _between(name: str, lower: float, upper: float, scale: str) -> Support:
    """Map an interval with two ends to the line by the logit of the way from end to end."""
    width = upper - lower

    def slope(theta: Array) -> Array:
        share = (theta - lower) / width
        return width * (share * (1 - share))

    return Support(
        name, lower, upper,
        to_working=lambda theta: scipy.special.logit((theta - lower) / width),
        from_working=lambda working: lower + width * expit(working),
        slope=slope,
        curvature=lambda theta: slope(theta) * (1 - 2 * ((theta - lower) / width)),
        scale=scale,
    )  # fmt: skip


UNIT = _between("unit", 0.0, 1.0, "logit({})")
SHORT = {support.name: support for support in (REAL, POSITIVE, UNIT)}
"""The supports that a model may name by a word."""


@functools.cache
def interval(lower: float, upper: float) -> Support:
    """Return the support of a parameter between two ends, such as a correlation.

    Parameters
    ----------
    lower, upper : float
        The ends, which do not belong to it; one of them may be infinite.

    Raises
    ------
    ValueError
        When the lower end is not below the upper one, or one is no number.

    Examples
    --------
    >>> from simstudy import interval
    >>> from simstudy.likelihood.supports import from_working
    >>> interval(-1, 1), from_working([0.0], (interval(-1, 1),)).tolist()
    ('interval(-1, 1)', [0.0])
    """
    lower, upper = float(lower), float(upper)
    for support in SHORT.values():
        if (lower, upper) == (support.lower, support.upper):
            return support
    if not lower < upper:
        raise ValueError(
            f"interval({lower:g}, {upper:g}) is empty; give the lower end first, such as "
            "interval(-1, 1)"
        )
    name = f"interval({lower:.17g}, {upper:.17g})"
    less = f"{{}} - {lower:g}" if lower > 0 else f"{{}} + {-lower:g}" if lower else "{}"
    if upper < np.inf and lower > -np.inf:
        return _between(name, lower, upper, f"logit(({less}) / {upper - lower:g})")
    if lower > -np.inf:
        return Support(
            name, lower, upper,
            to_working=lambda theta: np.log(theta - lower),
            from_working=lambda working: lower + exp(working),
            slope=lambda theta: theta - lower,
            curvature=lambda theta: theta - lower,
            scale=f"log({less})",
        )  # fmt: skip
    return Support(
        name, lower, upper,
        to_working=lambda theta: -np.log(upper - theta),
        from_working=lambda working: upper - exp(-working),
        slope=lambda theta: upper - theta,
        curvature=lambda theta: theta - upper,
        scale=f"-log({upper:g} - {{}})",
    )  # fmt: skip


def inside(theta: Array, supports: tuple[Support, ...]) -> Array:
    """Tell which parameters lie strictly inside their support: `(..., p)` of bool."""
    theta = np.asarray(theta, dtype=float)
    lower, upper = _ends(supports)
    return np.isfinite(theta) & (lower < theta) & (theta < upper)


def to_working(theta: Array, supports: tuple[Support, ...]) -> Array:
    """Map theta `(..., p)` to the unbounded working scale.

    Examples
    --------
    >>> from simstudy.likelihood.supports import POSITIVE, REAL, UNIT, to_working
    >>> to_working([2.0, 1.0, 0.5], (REAL, POSITIVE, UNIT)).tolist()
    [2.0, 0.0, 0.0]
    """
    working = np.array(theta, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        for support, columns in _columns(supports):
            working[..., columns] = support.to_working(working[..., columns])
    return working


def from_working(working: Array, supports: tuple[Support, ...]) -> Array:
    """Map the working scale `(..., p)` back to theta."""
    theta = np.array(working, dtype=float)
    for support, columns in _columns(supports):
        with np.errstate(over="ignore"):
            theta[..., columns] = support.from_working(theta[..., columns])
    return theta


def slopes(theta: Array, supports: tuple[Support, ...]) -> tuple[Array, Array]:
    """First and second derivative of theta with respect to its working value, each `(..., p)`."""
    theta = np.asarray(theta, dtype=float)
    first, second = np.ones_like(theta), np.zeros_like(theta)
    for support, columns in _columns(supports):
        value = theta[..., columns]
        first[..., columns] = support.slope(value)
        second[..., columns] = support.curvature(value)
    return first, second


@functools.lru_cache(maxsize=256)
def _ends(supports: tuple[Support, ...]) -> tuple[Array, Array]:
    """Return the lower and the upper ends, each `(p,)`."""
    return np.array([s.lower for s in supports]), np.array([s.upper for s in supports])


@functools.lru_cache(maxsize=256)
def _columns(supports: tuple[Support, ...]) -> tuple[tuple[Support, slice | Array], ...]:
    """Return the columns of every kind of support but the whole line, as slices where they are."""
    found = []
    for support in dict.fromkeys(supports):
        columns = [j for j, other in enumerate(supports) if other == support]
        run = slice(columns[0], columns[-1] + 1)
        whole = columns == list(range(run.start, run.stop))
        if support != REAL:
            found.append((support, run if whole else np.array(columns)))
    return tuple(found)
