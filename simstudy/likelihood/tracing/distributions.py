"""The distributions of scipy.stats in JAX: what their methods answer to stand-ins.

SciPy's own methods sort observations out by masks, which cannot be traced. Here a family is its
support and its formulas; outside the support, and for parameters that it does not have, the answers
are SciPy's: -inf, 0, 1 and nan. They are in logarithms, exact in the tails, and are evaluated at a
place inside the support where an observation is not, so that no derivative is of the logarithm of
zero.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from simstudy.likelihood.tracing import families
from simstudy.likelihood.tracing.family import evaluate
from simstudy.likelihood.tracing.session import CURRENT
from simstudy.likelihood.tracing.stand_in import StandIn
from simstudy.likelihood.tracing.values import array_of, contains

Array = Any
Function = Callable[..., Any]

CONTINUOUS = ("logpdf", "pdf", "logcdf", "cdf", "logsf", "sf")
DISCRETE = ("logpmf", "pmf", "logcdf", "cdf", "logsf", "sf")
OTHER = (
    "ppf", "isf", "rvs", "mean", "var", "std", "median", "stats", "entropy", "moment", "interval",
    "expect", "fit",
)  # fmt: skip


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """List the methods of scipy.stats that answer to stand-ins while a trace lasts."""
    if "scipy.stats" not in sys.modules:
        return
    generic = importlib.import_module("scipy.stats._distn_infrastructure")
    plain: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (generic.rv_continuous, CONTINUOUS),
        (generic.rv_discrete, DISCRETE),
    )
    frozen: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (generic.rv_frozen, CONTINUOUS[2:]),
        (generic.rv_continuous_frozen, CONTINUOUS[:2]),
        (generic.rv_discrete_frozen, DISCRETE[:2]),
    )
    for homes, replace in ((plain, _method), (frozen, _frozen_method)):
        for home, names in homes:
            for name in names:
                yield home, name, replace(getattr(home, name), name)
    for name in ("__call__", "freeze"):
        yield generic.rv_generic, name, _freeze(getattr(generic.rv_generic, name))


def _method(original: Function, name: str) -> Function:
    @functools.wraps(original)
    def call(self: Any, x: Any = None, *args: Any, **options: Any) -> Any:
        x = options.pop("k", x) if x is None else x
        if CURRENT.get() is None or not (contains([x, *args]) or contains(options)):
            return original(self, x, *args, **options)
        return answer(self, name, x, args, options)

    return call


def _frozen_method(original: Function, name: str) -> Function:
    @functools.wraps(original)
    def call(self: Any, x: Any) -> Any:
        if CURRENT.get() is None or not contains(x):
            return original(self, x)
        return answer(self.dist, name, x, self.args, self.kwds)

    return call


def _freeze(original: Function) -> Function:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        if CURRENT.get() is None or not (contains(args) or contains(options)):
            return original(self, *args, **options)
        return _Frozen(self, args, options)

    return call


class _Frozen:
    """A distribution with stand-ins for parameters."""

    __slots__ = ("_distribution", "_given")

    def __init__(self, distribution: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._distribution, self._given = distribution, (args, options)

    def __getattr__(self, name: str) -> Any:
        if name in {*CONTINUOUS, *DISCRETE}:
            return lambda x: answer(self._distribution, name, x, *self._given)
        if name in OTHER:
            session = CURRENT.get()
            assert session is not None
            session.refuse(f"scipy.stats.{self._distribution.name}.{name} cannot be traced")
        raise AttributeError(name)


def answer(distribution: Any, name: str, x: Any, args: Any, options: dict[str, Any]) -> Any:
    """Answer as a method of a distribution does, with stand-ins among its arguments."""
    session = CURRENT.get()
    assert session is not None
    session.count()
    family = families.by_class().get(type(distribution))
    kind = name.removeprefix("log")
    if family is None or getattr(family, kind, None) is None:
        session.refuse(
            f"scipy.stats.{distribution.name}.{name} cannot be traced; write its formula with "
            "NumPy and scipy.special"
        )
    shapes, loc, scale = _parameters(distribution, args, options)
    jnp = importlib.import_module("jax.numpy")
    x, loc, scale, *shapes = (
        jnp.asarray(array_of(value)).astype(float) for value in (x, loc, scale, *shapes)
    )
    return StandIn(evaluate(family, kind, name, x, loc, scale, shapes))


def _parameters(distribution: Any, args: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Sort arguments into shapes, location and scale, as SciPy does."""
    shapes = [name.strip() for name in (distribution.shapes or "").split(",") if name.strip()]
    names = [*shapes, "loc", "scale"]
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or options.keys() - set(names) or given.keys() & options.keys():
        raise TypeError(f"{distribution.name} takes {', '.join(names)}")
    given = {"loc": 0.0, "scale": 1.0} | given | options
    lacking = [name for name in shapes if name not in given]
    if lacking:
        raise TypeError(f"{distribution.name} lacks {', '.join(lacking)}")
    return [given[name] for name in shapes], given["loc"], given["scale"]
