"""What a family of scipy.stats answers: by formulas in its support, outside as SciPy does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any
Function = Callable[..., Array]
INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Family:
    """A family, standardized: location 0, scale 1.

    Attributes
    ----------
    density : callable
        `density(x, *shapes)`, the logarithm of the density or of the probability of x.
    cdf, sf : callable or None
        Logarithms of the lower and upper tail.
    support : callable
        `support(*shapes) -> (lowest, highest)`.
    middle : callable
        `middle(*shapes)`, a place inside the support.
    valid : callable
        `valid(*shapes)`, whether the family has these parameters.
    discrete : bool
    """

    density: Function
    cdf: Function | None = None
    sf: Function | None = None
    support: Function = lambda *shapes: (-INFINITE, INFINITE)
    middle: Function = lambda *shapes: 0.0
    valid: Function = lambda *shapes: True
    discrete: bool = False

    @property
    def pdf(self) -> Function | None:
        """The density of a continuous family."""
        return None if self.discrete else self.density

    @property
    def pmf(self) -> Function | None:
        """The probabilities of a discrete family."""
        return self.density if self.discrete else None


def evaluate(
    family: Family, kind: str, name: str, x: Array, loc: Array, scale: Array, shapes: list[Array]
) -> Array:
    """Answer as the method `name` of scipy.stats does, also outside the support.

    Parameters
    ----------
    family : Family
    kind : {"pdf", "pmf", "cdf", "sf"}
    name : str
        The kind, or its logarithm: "logpdf".
    x, loc, scale, shapes : arrays
    """
    jnp = _jnp()
    valid = family.valid(*shapes) & (scale > 0)
    x, loc, scale, valid, *shapes = jnp.broadcast_arrays(x, loc, scale, valid, *shapes)
    y = (x - loc) / scale
    low, high = family.support(*shapes)
    if kind in ("cdf", "sf"):
        y = jnp.floor(y) if family.discrete else y
        inside = (y >= low) & (y < high) if family.discrete else (y > low) & (y < high)
    else:
        inside = (y >= low) & (y <= high)
        inside = inside & (y == jnp.floor(y)) if family.discrete else inside
    inside = inside & valid & jnp.isfinite(y)
    safe = jnp.where(inside, y, family.middle(*shapes))
    found = getattr(family, kind)(safe, *shapes)
    found = found - jnp.log(jnp.where(valid, scale, 1.0)) if kind == "pdf" else found
    outside = {"cdf": y >= high, "sf": y < low if family.discrete else y <= low}.get(kind, False)
    found = jnp.where(inside, found, jnp.where(outside, 0.0, -INFINITE))
    found = found if name.startswith("log") else jnp.exp(found)
    return jnp.where(valid & ~jnp.isnan(y), found, jnp.nan)


def _jnp() -> Any:
    return importlib.import_module("jax.numpy")
