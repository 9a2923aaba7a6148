"""Ctrl-C and what else ends a run: asked for at any moment, over within seconds.

The command is two processes. One works: it imports, loads the study's code, and is at times deep
in C, where no exception reaches it. The other, its guardian, only waits, for the end of the first
or for a signal. A signal is handed on; who does not end by it in time is ended, with all that it
has started, and the guardian says in its place what is stored and how to go on. So it does where
the study's code takes the process along.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from simstudy.processes import interrupts
from simstudy.processes.interrupts import INTERRUPTED

FAILED = 1
# seconds: that an interrupted process has, that one has which says that it is done, for reaping
PATIENCE, LEAVING, REAPING = 1.8, 20.0, 0.5
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def run_guarded(work: Callable[[], int], again: str) -> int:
    """Do something in a process of its own; return its status there, and never return here.

    Parameters
    ----------
    work : callable
        Returns an exit status. May raise SystemExit.
    again : str
        How to go on, as long as `work` has not said it.
    """
    if not hasattr(os, "fork"):
        return work()
    wakeup_read, wakeup_write = os.pipe()
    pipe_read, pipe_write = os.pipe()
    for end in (wakeup_read, wakeup_write, pipe_read, pipe_write):
        os.set_blocking(end, False)
    caught = {number for number in SIGNALS if _is_wanted(number)} | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    sys.stdout.flush()
    sys.stderr.flush()
    guardian = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)
        print(f"simstudy: no process can be started ({error.strerror}); end others, or raise the "
              "limit (ulimit -u)", file=sys.stderr)  # fmt: skip
        return FAILED
    if pid:
        os.close(pipe_write)
        for number in caught:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)
        status = FAILED
        try:
            _adopt()
            status = _Child(pid, wakeup_read, pipe_read, again).wait()
        finally:
            os._exit(status)
    for end in (wakeup_read, wakeup_write, pipe_read):
        os.close(end)
    try:
        interrupts.connect_guardian(pipe_write)
        for number in caught - {signal.SIGCHLD}:
            signal.signal(number, interrupts.handle_signal)
        signal.set_wakeup_fd(pipe_write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)
        end_with_parent()
        if os.getppid() != guardian:
            os._exit(FAILED)
        import faulthandler

        faulthandler.enable(pipe_write, all_threads=False)
        status = work()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else FAILED
    interrupts.send_to_guardian({"ended": status})
    if status == INTERRUPTED:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    return status


def end_with_parent() -> None:
    """Let the kernel end this process with its parent: a thread may be kept waiting by a C call."""
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _adopt() -> None:
    """Let what is orphaned below this process be its child."""
    _prctl(SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _is_wanted(number: int) -> bool:
    """Tell whether a signal is taken: not SIGHUP where nohup has put it off."""
    return number in SIGNALS[:2] or signal.getsignal(number) is not signal.SIG_IGN


class _Child:
    """The working process, as its guardian sees it."""

    def __init__(self, pid: int, wakeup_read: int, pipe_read: int, again: str) -> None:
        """Know nothing of it yet."""
        self.pid, self.wakeup_read, self.pipe_read = pid, wakeup_read, pipe_read
        self.known: dict[str, Any] = {"stored": "", "again": again}
        self.remove: list[str] = []
        self.text = b""
        self.deadline = float("inf")
        self.interrupted = False

    def wait(self) -> int:
        """Wait for its end, which comes; clean up, say what there is to say, return the status."""
        import select

        status = None
        while status is None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                os.kill(self.pid, signal.SIGKILL)
                self.deadline = time.monotonic() + REAPING
            poll = select.poll()
            poll.register(self.wakeup_read, select.POLLIN)
            if self.pipe_read >= 0:
                poll.register(self.pipe_read, select.POLLIN)
            poll.poll(None if left == float("inf") else max(left, 0.01) * 1000)
            self._read_messages()
            for number in _read(self.wakeup_read):
                if number != signal.SIGCHLD:
                    self._interrupt(number)
            found, code = os.waitpid(self.pid, os.WNOHANG)
            if found:
                status = os.waitstatus_to_exitcode(code)
        self._read_messages()
        return self._finish(status)

    def _read_messages(self) -> None:
        """Read what it writes; a byte of a signal's number among it is one that it received."""
        received = _read(self.pipe_read) if self.pipe_read >= 0 else b""
        if any(number in received for number in SIGNALS) and not self.interrupted:
            self._interrupt(None)
        self.text += received.translate(None, bytes(SIGNALS))
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                import json

                entry = json.loads(line)
                self.remove += [entry.pop("remove")] if "remove" in entry else []
                self.known |= entry
            elif line.strip():
                self.known.setdefault("fault", []).append(line.decode(errors="replace"))
        if "ended" in self.known and self.deadline == float("inf"):
            self.deadline = time.monotonic() + LEAVING

    def _interrupt(self, number: int | None) -> None:
        """Hand a signal on, and wait; for no time after a second one."""
        now = time.monotonic()
        again, self.interrupted = self.interrupted, True
        self.deadline = now if again else min(self.deadline, now + PATIENCE)
        if number is not None and not again:
            os.kill(self.pid, signal.SIGINT)

    def _finish(self, code: int) -> int:
        """Remove what it left, end what it started, say what it did not; return the status."""
        ended = self.known.get("ended")
        if self.interrupted or ended is None:
            _end_children()
        import shutil

        for path in self.remove:
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.unlink(path)
        if self.interrupted and ended != INTERRUPTED:
            return self._print_last("interrupted", INTERRUPTED)
        if ended is None:
            return self._print_last(f"simstudy: {self._describe_death(code)}", FAILED)
        return int(ended)

    def _print_last(self, how: str, status: int) -> int:
        with contextlib.suppress(OSError, ValueError):
            print(f"\n{interrupts.end_message(how, self.known)}", file=sys.stderr, flush=True)
        return status

    def _describe_death(self, code: int) -> str:
        """Say how it died, and in which line of the study where that is known."""
        import re

        fault = "\n".join(self.known.get("fault", []))
        frames = re.findall(r'File "(.*)", line (\d+) in (\S+)', fault)
        home = os.path.dirname(os.path.dirname(__file__))
        own = [f for f in frames if not f[0].startswith((home, "<")) and "/lib/" not in f[0]]
        at = f" in {own[0][2]}, line {own[0][1]} of {own[0][0]}" if own else ""
        if code >= 0:
            return f"the code of the study ended the process with status {code}{at}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        why = ", for which the lack of memory is a usual reason" if name == "SIGKILL" else ""
        return f"the process died of {name}{why}{at}"


def _read(end: int) -> bytes:
    """Read what there is."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(end, 1 << 16):
            found += part
    return found


def _end_children() -> None:
    """End what is left of the processes below, but for those that tidy up semaphores and leave."""
    late = time.monotonic() + REAPING
    while time.monotonic() < late:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(child) for child in file.read().split()]
        except OSError:
            return
        if not children:
            return
        for child in children:
            with contextlib.suppress(OSError):
                with open(f"/proc/{child}/cmdline", "rb") as file:
                    tidies = b"resource_tracker" in file.read()
                if not tidies:
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
