"""Worker processes of this machine: born quickly, quiet, and gone with who started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simstudy.processes.guardian import end_with_parent
from simstudy.processes.interrupts import remove_at_exit
from simstudy.processes.names import has_ended, process_name

SCRATCH, OWNER = "simstudy-run-", "owner"
YOUNG = 60.0  # seconds: until then a folder may still get its owner
_warm = [False]


def warm_up() -> None:
    """Let a server process import what workers need, from which they are then forked.

    It imports while this process imports and checks the study, and a worker is there at once, also
    in the place of one that died. Only on Linux, and only for simstudy's own command, as a forked
    worker imports the main module again; anywhere else each worker is a new interpreter.
    """
    main = sys.modules["__main__"]
    module = getattr(main.__spec__, "name", None) or Path(getattr(main, "__file__", "")).stem
    if sys.platform != "linux" or module not in ("simstudy", "simstudy.__main__"):
        return
    from multiprocessing import forkserver, resource_tracker

    forkserver.set_forkserver_preload(["simstudy.execution.preload"])
    with contextlib.suppress(OSError):  # no socket where TMPDIR is long or cannot be written
        # else multiprocessing makes a folder that outlives a process that is killed
        multiprocessing.current_process()._config["tempdir"] = str(scratch())  # type: ignore[attr-defined]
        with _muted(2):  # it says what it tidies up after an interrupt
            resource_tracker.ensure_running()
        with sigint_blocked():
            forkserver.ensure_running()
        _warm[0] = True


def start(jobs: int) -> Any:
    """Return an executor of so many worker processes."""
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.backend import resource_tracker

    with _muted(2):
        resource_tracker.ensure_running()  # which else would undo `sigint_blocked`
    if _warm[0]:
        context, parent = multiprocessing.get_context("forkserver"), None
    else:
        context, parent = None, os.getpid()
    return ProcessPoolExecutor(jobs, context=context, initializer=settle, initargs=(parent,))


@contextlib.contextmanager
def sigint_blocked() -> Iterator[None]:
    """Let processes that begin in it not hear Ctrl-C, which is their parent's."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def mute() -> None:
    """Let nothing that this process prints reach the terminal, which shows the progress."""
    for stream in (1, 2):
        _mute(stream)


@contextlib.contextmanager
def _muted(stream: int) -> Iterator[None]:
    """Do so for as long as the context lasts, and for processes that begin in it."""
    original = os.dup(stream)
    _mute(stream)
    try:
        yield
    finally:
        os.dup2(original, stream)
        os.close(original)


def _mute(stream: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    os.close(nowhere)


def settle(parent: int | None) -> None:
    """Prepare a worker: one BLAS thread, Ctrl-C is the parent's, no life without the parent.

    Parameters
    ----------
    parent : int or None
        Whose child it is, that also a worker ends whose parent died while it was born. None for
        the server that it was forked from: such a worker then finds nobody who gives it a task.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
    mute()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    born_of = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == born_of:
            time.sleep(0.5)
        os._exit(1)

    end_with_parent()
    threading.Thread(target=watch, daemon=True).start()


def scratch() -> Path:
    """Make a folder for temporary files, and sweep up those of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime > YOUNG
            if has_ended((path / OWNER).read_text()) if (path / OWNER).exists() else old:
                shutil.rmtree(path, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=SCRATCH))  # a short name: sockets have no longer ones
    (made / OWNER).write_text(process_name())
    remove_at_exit(made)
    return made
