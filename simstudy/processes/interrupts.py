"""What a signal does to a run: it ends where it may end, whatever calls back from C on the way.

An exception that a signal raises can come up anywhere, and who does not expect it swallows it,
prints it, or aborts. So in a run it is asked for, and raised only where the study's own code runs
in this process. Anywhere else in the command the process leaves at once: what is stored is whole,
and its guardian (`simstudy.processes.guardian`) says the last words. In a process without a
guardian, such as a notebook, Ctrl-C is an exception there, as ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

INTERRUPTED = 130
PLAIN, SHIELDED, UNSHIELDED = "plain", "shielded", "unshielded"
_guardian = [-1]  # where it listens
_asked = [False]
_mode = [PLAIN]
_left = {"stored": "", "again": ""}


def set_last_words(stored: str, again: str) -> None:
    """Keep what is to be said when this process ends early: what is stored, how to go on."""
    _left.update(stored=stored, again=again)
    send_to_guardian(_left)


def last_words(how: str = "interrupted") -> str:
    """Say what a run left behind that ended early, and how it ended.

    Examples
    --------
    >>> from simstudy.processes.interrupts import last_words, set_last_words
    >>> set_last_words("3 of 8 replicates are stored in results/mine", "simstudy run mine")
    >>> print(last_words())
    interrupted; 3 of 8 replicates are stored in results/mine
    to go on: simstudy run mine
    """
    return end_message(how, _left)


def remove_at_exit(path: str | os.PathLike[str]) -> None:
    """Let a file or folder be removed when this process is gone, however it ends."""
    send_to_guardian({"remove": os.path.abspath(path)})


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt where one was asked for, be it that nobody saw it."""
    if _asked[0]:
        raise KeyboardInterrupt


def shielded() -> contextlib.AbstractContextManager[None]:
    """Let a signal raise nothing: what runs here asks `interrupted` wherever it may end."""
    return _in_mode(SHIELDED)


@contextlib.contextmanager
def unshielded() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt at once, and once more where that was swallowed."""
    raise_if_interrupted()
    with _in_mode(UNSHIELDED):
        yield
    raise_if_interrupted()


@contextlib.contextmanager
def _in_mode(mode: str) -> Iterator[None]:
    before, _mode[0] = _mode[0], mode
    try:
        yield
    finally:
        _mode[0] = before


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM be Ctrl-C, in a process that has no guardian."""
    before: dict[signal.Signals, Any] = {}
    if _guardian[0] < 0:
        with contextlib.suppress(ValueError):  # not the main thread: signals are somebody else's
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, handle_signal)
            _asked[0] = False
    try:
        yield
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


def handle_signal(number: int, frame: FrameType | None) -> None:
    """Take a signal, as a handler of it; a second one is up to the guardian, where there is one."""
    again, _asked[0] = _asked[0], True
    if _guardian[0] >= 0 and _mode[0] == PLAIN:
        os._exit(INTERRUPTED)
    if _mode[0] != SHIELDED and not (again and _guardian[0] >= 0):
        raise KeyboardInterrupt


def connect_guardian(guardian: int) -> None:
    """Keep the end of a pipe at which the guardian of this process listens."""
    _guardian[0] = guardian


def send_to_guardian(entry: dict[str, Any]) -> None:
    """Tell the guardian something, where there is one."""
    if _guardian[0] >= 0:
        with contextlib.suppress(OSError):
            os.write(_guardian[0], f"\n{json.dumps(entry)}\n".encode())


def end_message(how: str, known: dict[str, Any]) -> str:
    """Say how a run ended early."""
    said = f"{how}; {known['stored']}" if known["stored"] else f"{how}"
    return f"{said}\nto go on: {known['again']}" if known["again"] else said
