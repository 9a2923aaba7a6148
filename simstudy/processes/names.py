"""Names that no other process has, on any host; and whether the process of a name has ended.

A name is `<machine>-<boot>-<space>-<pid>-<start>`: what a proof of death needs. Where there is no
proof a process counts as alive.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import socket
import uuid
from pathlib import Path

NAME = r"[0-9a-f]+-[0-9a-f]*-[0-9a-f]*-\d+-\d*"
_FIRST_SPACE = "pid:[4026531836]"  # so Linux numbers that in which it boots
_NO_MACHINE = "0"


def process_name() -> str:
    """Name this process.

    Examples
    --------
    >>> from simstudy.processes.names import has_ended, process_name
    >>> has_ended(process_name())
    False
    """
    pid = os.getpid()
    return "-".join((*_machine(pid), str(pid), _start(pid)))


def unique_name() -> str:
    """Return this process's name and a word that is drawn anew each time, for the name of a file.

    Examples
    --------
    >>> from simstudy.processes.names import process_name, unique_name
    >>> unique_name().startswith(process_name() + "."), unique_name() == unique_name()
    (True, False)
    """
    return f"{process_name()}.{secrets.token_hex(4)}"


def has_ended(other: str) -> bool:
    """Tell whether it is proven that the process of a name has ended.

    In the same PID namespace its number is free, a zombie's, or that of a process which started
    at another time. On the same machine, outside of containers, a boot since then is a proof, too.
    Anything else proves nothing.
    """
    if not re.fullmatch(NAME, other):
        return False
    *machine, pid, start = other.split("-")
    here = _machine(os.getpid())
    if tuple(machine) != here:
        (own, boot), (its, its_boot) = here[:2], machine[:2]
        return _NO_MACHINE != own == its and boot != its_boot
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # another user's
    now = _start(int(pid))
    return now == "ended" or bool(start and now and now != start)


@functools.lru_cache(maxsize=1)
def _machine(pid: int) -> tuple[str, str, str]:
    """Say on which machine this process is, since which boot, and in which namespaces."""
    boot = _read("/proc/sys/kernel/random/boot_id").replace("-", "")[:12]
    if not boot:  # no Linux: no namespaces either
        return _digest(f"{socket.gethostname()} {uuid.getnode()}"), "", ""
    spaces = [os.readlink(path) for kind in ("pid", "time")
              if os.path.lexists(path := f"/proc/self/ns/{kind}")]  # fmt: skip
    known = _read("/etc/machine-id")
    # in a container both may be those of its image
    alone = bool(known) and spaces[:1] == [_FIRST_SPACE]
    machine = _digest(f"{socket.gethostname()} {known}") if alone else _NO_MACHINE
    return machine, boot, _digest(" ".join(spaces))


def _start(pid: int) -> str:
    """Say when a process started, in ticks since the boot; "ended" of a zombie, "" unknown."""
    if not _own_proc(os.getpid()):
        return ""
    found = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not found:
        return ""
    return "ended" if found[0] in "ZX" else found[19]


@functools.lru_cache(maxsize=1)
def _own_proc(pid: int) -> bool:
    """Tell whether /proc numbers processes as this one's namespace does."""
    try:
        return os.readlink("/proc/self") == str(pid)
    except OSError:
        return False


def _read(path: str) -> str:
    """Read a small file; nothing where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _digest(words: str) -> str:
    return hashlib.blake2b(words.encode(), digest_size=6).hexdigest()
