"""One call of a log-likelihood with stand-ins: whose it is, what it did on which line, its end."""

from __future__ import annotations

import sys
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from weakref import ref

from simstudy.user_code.dependencies import is_user_file

MOST = 2000
"""Operations of one call: more take a compiler minutes."""

CURRENT: ContextVar[Session | None] = ContextVar("CURRENT", default=None)


class Untraceable(BaseException):
    """What the stand-ins cannot follow, in words; passes the user's own `except Exception`."""


class Session:
    """What is kept of one traced call.

    Attributes
    ----------
    trouble : str or None
        The first thing that could not be followed: it counts even where the user's code caught it.
    lines : Counter of (str, int)
        Operations on each line of the user's files.
    """

    __slots__ = ("_made", "lines", "open", "trouble")

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.lines: Counter[tuple[str, int]] = Counter()
        self.open = True
        self._made: list[ref[Any]] = []

    def refuse(self, text: str) -> NoReturn:
        """Give the trace up, naming the user's line."""
        line = _line(sys._getframe(1))
        self.trouble = self.trouble or (f"{described(line)}: {text}" if line else text)
        raise Untraceable(self.trouble)

    def count(self) -> None:
        """Count an operation on the user's line that is being executed."""
        line = _line(sys._getframe(1))
        if line:
            self.lines[line] += 1
            if self.lines.total() > MOST:
                self.refuse(f"a Python loop of more than {MOST:,} steps; use whole arrays")

    def adopt(self, stand_in: object) -> None:
        """Remember a stand-in, to see whether it outlives the call."""
        self._made.append(ref(stand_in))

    def close(self) -> None:
        """End the call: its stand-ins answer no more."""
        self.open = False

    def outlived(self) -> bool:
        """Tell whether some stand-in is still held by somebody."""
        return any(made() is not None for made in self._made)


def described(line: tuple[str, int]) -> str:
    """Name a line of a file."""
    return f"line {line[1]} of {Path(line[0]).name}"


def _line(frame: FrameType | None) -> tuple[str, int] | None:
    """Return the innermost line of the user's files."""
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


_seen: dict[str, bool] = {}


def _is_users(path: str) -> bool:
    if path not in _seen:
        _seen[path] = is_user_file(path)
    return _seen[path]


def asked_by_user_file(path: str | None) -> bool:
    """Tell whether a module's file is the user's."""
    return path is not None and _is_users(path)
