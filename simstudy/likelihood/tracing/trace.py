"""A log-likelihood as a function of JAX arrays."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from simstudy.arrays import Array, Data
from simstudy.likelihood.tracing.session import CURRENT, Session, Untraceable, asked_by_user_file
from simstudy.user_code.tracebacks import location

Loglik = Callable[[Array, Data], Array]


class TracingError(Exception):
    """Why a log-likelihood cannot be traced, with the user's line."""


@functools.lru_cache(maxsize=256)
def traced(loglik: Loglik) -> Loglik:
    """Make a function of JAX arrays of a log-likelihood.

    One written with `jax.numpy` or `simstudy.arrays` gets them as they are; where that fails,
    theta and data are stood in for, so that NumPy's and SciPy's functions lead to JAX's.

    Raises
    ------
    TracingError
        By the function that is returned, where it meets what cannot be followed.
    """

    @functools.wraps(loglik, updated=())
    def call(theta: Array, data: Data) -> Array:
        try:
            found = loglik(theta, data)
        except Exception:
            return followed(loglik, theta, data)[0]
        return found

    return call


def followed(loglik: Loglik, theta: Array, data: Data) -> tuple[Array, Counter[tuple[str, int]]]:
    """Call a log-likelihood with stand-ins; return its value, and its operations by line."""
    session = Session()
    token = CURRENT.set(session)
    try:
        found = _called(loglik, theta, data)
    except Untraceable:
        pass
    except Exception as error:
        session.trouble = session.trouble or _in_words(error)
    finally:
        CURRENT.reset(token)
        session.close()
    if session.trouble:
        raise TracingError(session.trouble)
    if session.outlived():
        gc.collect()
        if session.outlived():
            raise TracingError(
                "it keeps an array from one call to the next (in a global, a cache, a default "
                "argument), where another data set's would be; compute it in every call"
            )
    return found, session.lines


def _called(loglik: Loglik, theta: Array, data: Data) -> Array:
    from simstudy.likelihood.tracing.interception import intercepted
    from simstudy.likelihood.tracing.stand_in import StandIn
    from simstudy.likelihood.tracing.values import array_of

    def stood_in(values: Data) -> Data:
        if isinstance(values, Mapping):
            return {name: stood_in(value) for name, value in values.items()}
        return StandIn(values, "data are not to be changed; work on a copy")

    with intercepted(_namespaces(loglik)):
        terms = loglik(StandIn(theta, "theta is not to be changed; work on a copy"), stood_in(data))
        return importlib.import_module("jax.numpy").asarray(array_of(terms))


def _namespaces(loglik: Any) -> tuple[dict[str, Any], ...]:
    """Return the globals of the user's modules, and of the log-likelihood itself."""
    found = {
        id(module.__dict__): module.__dict__
        for module in list(sys.modules.values())
        if asked_by_user_file(getattr(module, "__file__", None))
    }
    while isinstance(loglik, functools.partial):
        loglik = loglik.func
    loglik = getattr(loglik, "__func__", loglik)
    own = getattr(loglik, "__globals__", None)
    if own is not None:
        found[id(own)] = own
    return tuple(found.values())


def _in_words(error: Exception) -> str:
    """Say what was raised, after the user's line."""
    where = location(traceback.extract_tb(error.__traceback__)).split("; ")[0]
    text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return f"{where}: {text}" if where else text
