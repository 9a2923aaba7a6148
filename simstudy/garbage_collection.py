"""The garbage collector, kept out of the way where it costs much and finds nothing."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def unswept() -> Iterator[None]:
    """Put the collector off: imports and figures set it going again and again over all there is.

    Examples
    --------
    >>> import gc
    >>> from simstudy.garbage_collection import unswept
    >>> with unswept():
    ...     gc.isenabled()
    False
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
