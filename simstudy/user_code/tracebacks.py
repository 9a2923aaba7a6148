"""Where something happened: first the user's line, then, where that called on, the innermost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException, extract_tb

from simstudy.user_code.dependencies import is_simstudy_file, is_user_file


def location(frames: Iterable[FrameSummary]) -> str:
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
    >>> from simstudy.user_code.tracebacks import location
    >>> frames = [FrameSummary("study.py", 12, "draw"), FrameSummary(json.__file__, 3, "loads")]
    >>> location(frames)
    'draw, line 12 of study.py; in loads, line 3 of __init__.py'
    """
    inwards = list(frames)
    own = [frame for frame in inwards if is_user_file(frame.filename)]
    named = [*own[-1:], *inwards[-1:]] if own[-1:] != inwards[-1:] else own[-1:]
    return "; in ".join(f"{f.name}, line {f.lineno} of {Path(f.filename).name}" for f in named)


def refused_call(error: BaseException) -> FrameSummary | None:
    """Return the user's line whose call simstudy refused; None where another raised the exception.

    Examples
    --------
    >>> from simstudy.user_code.tracebacks import refused_call
    >>> refused_call(ValueError("raised by nobody")) is None
    True
    """
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_user_file(frame.filename)]
    return own[-1] if own and is_simstudy_file(frames[-1].filename) else None


def short_traceback(error: BaseException) -> str:
    """Write an exception with the user's lines alone, and simstudy's where that raised it.

    Whole where no line is the user's: then the fault is simstudy's.
    """
    far = getattr(error.__cause__, "tb", None)
    if isinstance(far, str):  # of another process, which sends its traceback as a text
        return _of_text(far)
    text = TracebackException.from_exception(error)
    if not any(is_user_file(frame.filename) for frame in text.stack):
        return "".join(text.format())
    part: TracebackException | None = text
    while part is not None:
        kept = [frame for frame in part.stack if is_user_file(frame.filename)]
        kept += [frame for frame in part.stack[-1:] if is_simstudy_file(frame.filename)]
        part.stack = StackSummary.from_list(kept)
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    return "".join(text.format())


def _of_text(text: str) -> str:
    """Leave the user's lines in a traceback; all where there are none."""
    kept, own, showing = [], 0, True
    for line in text.strip('"\n').splitlines():
        frame = re.match(r'  File "(.*)", line \d+', line)
        if frame:
            showing = is_user_file(frame[1])
            own += showing
        elif not line.startswith("    "):
            showing = True
        if showing:
            kept.append(line)
    return "\n".join(kept) if own else text
