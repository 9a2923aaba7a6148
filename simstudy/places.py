"""Where something happened: first the user's line, then, where that called on, the innermost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from traceback import FrameSummary

from simstudy.reach import is_users


def place(frames: Iterable[FrameSummary]) -> str:
    """Name the innermost line of the user's code, and the innermost one of all.

    Parameters
    ----------
    frames : iterable of FrameSummary
        The innermost last, as tracebacks are.

    Returns
    -------
    str
        Empty without frames.

    Examples
    --------
    >>> import json
    >>> from traceback import FrameSummary
    >>> from simstudy.places import place
    >>> place([FrameSummary("home/study.py", 12, "draw"), FrameSummary(json.__file__, 3, "loads")])
    'draw, line 12 of study.py; in loads, line 3 of __init__.py'
    """
    inwards = list(frames)
    own = [frame for frame in inwards if is_users(frame.filename)]
    named = [*own[-1:], *inwards[-1:]] if own[-1:] != inwards[-1:] else own[-1:]
    return "; in ".join(f"{f.name}, line {f.lineno} of {Path(f.filename).name}" for f in named)
