"""One run in one folder: a file says who holds it, and what a dead holder left is taken over."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simstudy.study import StudyError

WHOLE = "whole"


@contextlib.contextmanager
def held(folder: Path, share: str = WHOLE) -> Iterator[None]:
    """Hold a results folder, or one share of it, for as long as the context lasts.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    share : str
        The whole folder excludes everybody; a share excludes the whole and the same share.

    Raises
    ------
    StudyError
        When another run holds it, with its host, process and since when; or when the folder
        cannot be written.
    """
    path = folder / f".lock-{share}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(folder, path, share)
    except OSError as error:
        raise StudyError(
            f"cannot write to {folder}: {error.strerror}; give another folder with --out"
        ) from error
    try:
        if not any(other != path for other in folder.glob(".lock-*")):
            for rest in (*folder.glob("*.part"), *folder.glob("blocks/*/*.part")):
                rest.unlink()
        yield
    finally:
        path.unlink(missing_ok=True)


def set_aside(folder: Path) -> Path:
    """Move a results folder that nobody uses out of the way; return its new place.

    Raises
    ------
    StudyError
        When a run holds it.
    """
    with held(folder):
        pass
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return folder.rename(folder.with_name(f"{folder.name}.before-{now}"))


def holders(folder: Path) -> list[str]:
    """List who holds a folder or shares of it, in words."""
    found = []
    for lock in sorted(folder.glob(".lock-*")):
        with contextlib.suppress(OSError, ValueError):
            holder = json.loads(lock.read_text(encoding="utf-8"))
            found.append(f"process {holder['pid']} on {holder['host']} since {holder['since']} "
                         f"({_share(lock)})")  # fmt: skip
    return found


def _take(folder: Path, path: Path, share: str) -> None:
    """Make the lock's file, whole or not at all; then look whether somebody else has one."""
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "since": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    draft = path.with_name(f"{path.name}.{mine['host']}.{mine['pid']}.part")
    draft.write_text(json.dumps(mine), encoding="utf-8")
    try:
        for other in (path, *folder.glob(".lock-*")):
            if other.suffix == ".part" or (WHOLE not in (share, _share(other)) and other != path):
                continue
            _refuse(folder, other)
        os.link(draft, path)  # unlike a renaming it fails where there is one
    except FileExistsError:
        _refuse(folder, path)
        raise
    finally:
        draft.unlink()


def _refuse(folder: Path, lock: Path) -> None:
    """Raise where a lock's holder lives, or may live; remove it where it is dead."""
    try:
        holder: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
        here = holder["host"] == socket.gethostname()
        dead = here and _began(holder["pid"]) != holder["began"]
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        dead, who = True, ""
    if not dead:
        raise StudyError(
            f"{folder} is in use by another run, {who}; wait for it, or give another folder with "
            f"--out (if that run is dead, remove {lock})"
        )
    lock.unlink(missing_ok=True)


def _share(lock: Path) -> str:
    return lock.name.removeprefix(".lock-")


def _began(pid: int) -> str:
    """Say when a process began, so that another one with its number is not taken for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        state, *rest = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
