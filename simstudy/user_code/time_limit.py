"""A time limit for one replicate: first an exception in its thread, then the end of its process.

The exception stops loops in Python; one that swallows it, or a long call into C, takes its process
with it. Before that the process leaves a note: which replicate it was, and where it hung.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from simstudy.user_code.tracebacks import location

T = TypeVar("T")
TOPIC = "simstudy-time-limit"
# seconds: between two looks, between two exceptions, until the process ends, until it must have
LOOK, AGAIN, GRACE, LAST = 0.05, 0.5, 1.2, 3.0


class TimeLimit(BaseException):
    """Raised in a replicate whose time is over; no `except Exception` catches it."""


# What no code that records failures may swallow.
STOPS = (KeyboardInterrupt, TimeLimit)


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a replicate may take, and where its process leaves its note.

    Attributes
    ----------
    seconds : float
        Infinity only notes which replicate is being run.
    notes : str
        A folder; empty for a worker of Dask, which tells the scheduler instead.
    """

    seconds: float
    notes: str


@dataclass(slots=True)
class _Timer:
    """One replicate in one thread, as the watching thread sees it."""

    limit: Limit
    label: tuple[int, int]
    thread: int
    deadline: float
    worker: Any
    again: float = 0.0
    over: bool = False
    firing: bool = False
    location: str = ""
    note: int = -1


_timers: dict[int, _Timer] = {}
_files: dict[tuple[str, int], int] = {}
_watching = threading.Lock()


def run_within(limit: Limit, label: tuple[int, int], call: Callable[[], T]) -> T | str:
    """Return what a call returns, or in words where it was when its time was over.

    Parameters
    ----------
    limit : Limit
    label : (int, int)
        Scenario and replicate, for the note.
    call : callable
        Where it can be stopped by no exception, this process ends.
    """
    thread = threading.get_ident()
    worker = None if limit.notes else _dask_worker()
    timer = _Timer(limit, label, thread, time.monotonic() + limit.seconds, worker)
    _begin(timer)
    try:
        try:
            return call()
        finally:
            _end(timer)
    except TimeLimit:
        _end(timer)
        return timer.location


def read_notes(folder: str) -> dict[tuple[int, int], str]:
    """Read and remove the notes of ended processes.

    Returns
    -------
    dict
        By scenario and replicate, what was being run: where it hung, "" where it did not.
    """
    found = {}
    for path in Path(folder).glob("*.note"):
        head, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
        path.unlink()
        if head:
            scenario, replicate, seconds = json.loads(head)
            found[scenario, replicate] = _describe(seconds, _frames(rest)) if rest.strip() else ""
    return found


def _begin(timer: _Timer) -> None:
    """Note which replicate is run; let the watching thread know, which the first timer starts."""
    if timer.limit.notes:
        key = (timer.limit.notes, timer.thread)
        if key not in _files:
            path = Path(timer.limit.notes) / f"{os.getpid()}-{timer.thread}.note"
            _files[key] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        timer.note = _files[key]
        os.write(timer.note, (json.dumps([*timer.label, timer.limit.seconds]) + "\n").encode())
    if timer.limit.seconds == math.inf:
        return
    _timers[timer.thread] = timer
    with _watching:
        if not any(thread.name == TOPIC for thread in threading.enumerate()):
            threading.Thread(target=_watch, name=TOPIC, daemon=True).start()
    if timer.limit.notes:
        # in C: it works while a call holds the interpreter's lock
        faulthandler.dump_traceback_later(timer.limit.seconds + LAST, exit=True, file=timer.note)


def _end(timer: _Timer) -> None:
    """Take a timer from the watching thread; no exception of it arrives after this."""
    while True:
        try:
            timer.over = True
            while timer.firing:
                time.sleep(0)
            _raise_in(timer.thread, None)
            if timer.note >= 0:
                faulthandler.cancel_dump_traceback_later()
                os.ftruncate(timer.note, 0)
            return
        except TimeLimit:
            continue


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Raise an exception in a thread at its next instruction, or take a waiting one back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception)
    )


def _watch() -> None:
    """Watch the timers of this process."""
    while True:
        time.sleep(LOOK)
        for timer in list(_timers.values()):
            now = time.monotonic()
            frame = sys._current_frames().get(timer.thread)
            if timer.over or now < timer.deadline or frame is None:
                continue
            if now > timer.deadline + GRACE:
                _end_process(timer, frame)
            if now > timer.again:
                timer.again = now + AGAIN
                timer.location = timer.location or _describe(
                    timer.limit.seconds, traceback.extract_stack(frame)
                )
                timer.firing = True
                if not timer.over:
                    _raise_in(timer.thread, TimeLimit)
                timer.firing = False


def _end_process(timer: _Timer, frame: FrameType) -> None:
    """Leave a note and end the process."""
    if timer.over:
        return
    frames = traceback.extract_stack(frame)
    if timer.worker is not None:
        note = {"label": timer.label, "words": _describe(timer.limit.seconds, frames)}
        timer.worker.loop.add_callback(timer.worker.log_event, TOPIC, note)
        time.sleep(1.0)  # for the message to leave
    elif timer.note >= 0:
        text = "\n".join(
            f'  File "{f.filename}", line {f.lineno} in {f.name}' for f in reversed(frames)
        )
        os.write(timer.note, text.encode())
    os._exit(1)


def _frames(dump: str) -> list[traceback.FrameSummary]:
    """Read the frames of the thread that a note is about; notes begin with the innermost."""
    watched = re.compile(rf'{Path(__file__).name}", line \d+ in {run_within.__name__}$', re.M)
    threads = re.split(r"^(?:Current thread|Thread) .*$", dump, flags=re.M)
    dump = next(filter(watched.search, threads), dump)
    found = re.findall(r'File "(.*)", line (\d+) in (\S+)', dump)
    return [
        traceback.FrameSummary(file, int(line), name, lookup_line=False)
        for file, line, name in reversed(found)
    ]


def _describe(seconds: float, frames: Sequence[traceback.FrameSummary]) -> str:
    """Say where it hung."""
    where = location(frames)
    return f"no answer within {seconds:g} s" + (f" ({where})" if where else "")


def _dask_worker() -> Any:
    """Return the Dask worker that runs this thread, if one does."""
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None
