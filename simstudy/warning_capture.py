"""Warnings: those of a study's code are kept by kind; those of the package name its caller."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEPARATOR = " | "
MOST = 10
_OURS = str(Path(__file__).parent) + os.sep
_here = threading.local()
_lock = threading.Lock()
_open: list[Any] = []  # one entry per capture, in any thread; the first holds the filters
_show: list[Any] = [warnings.showwarning]  # what shows the warnings of other threads


def warn(text: str) -> None:
    """Warn whoever called the package, at the line of that call."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


@contextlib.contextmanager
def captured_warnings(kinds: dict[str, None]) -> Iterator[None]:
    """Add what is warned of in this thread to `kinds`, each kind once: category and first line.

    Examples
    --------
    >>> import warnings
    >>> from simstudy.warning_capture import captured_warnings
    >>> kinds = {}
    >>> with captured_warnings(kinds):
    ...     for i in range(1000):
    ...         warnings.warn("a step was cut", stacklevel=1)
    >>> list(kinds)
    ['UserWarning: a step was cut']
    """
    before = getattr(_here, "kinds", None)
    _here.kinds = kinds
    with _lock:
        if not _open:
            _show[0] = warnings.showwarning
            _open.append(warnings.catch_warnings())
            _open[0].__enter__()
            warnings.simplefilter("always")
            warnings.showwarning = _record
        else:
            _open.append(None)
    try:
        yield
    finally:
        _here.kinds = before
        with _lock:
            last = _open.pop()
            if not _open:
                last.__exit__()


def _record(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    """Keep a warning of a thread that captures; show those of other threads as ever."""
    kinds = getattr(_here, "kinds", None)
    if kinds is None:
        _show[0](message, category, *rest, **named)
        return
    first = next(iter(str(message).strip().splitlines()), "")
    kind = f"{category.__name__}: {first}".replace(SEPARATOR, " ")[:200]
    if kind not in kinds:
        kinds[kind if len(kinds) < MOST else "further kinds of warnings"] = None


@contextlib.contextmanager
def suppressed_output() -> Iterator[None]:
    """Discard what the study's code prints: the terminal shows the progress.

    Examples
    --------
    >>> from simstudy.warning_capture import suppressed_output
    >>> with suppressed_output():
    ...     print("said once per replicate")
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # another thread may print
        return
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
