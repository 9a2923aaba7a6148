"""The garbage collector, kept out of the way where it costs much and finds nothing."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the collector: imports and figures make it run again and again over all objects.

    Examples
    --------
    >>> import gc
    >>> from simstudy.garbage_collection import gc_paused
    >>> with gc_paused():
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
