"""One run in one folder: a file says who holds it, and what a dead holder left is taken over.

Whoever wants a folder first announces it, by a file whose name nobody else uses, and then looks for
the files of others: of two who want it at the same time one sees the other at least. The file is
empty until its owner holds the folder, and its name says whose it is, so that the file of a dead
process is known, and removed, without any risk for that of a living one. Nothing here needs more of
a file system than that a file which was made is listed.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from simstudy.errors import StudyError
from simstudy.files.writing import remove_leftovers
from simstudy.processes.interrupts import remove_at_exit
from simstudy.processes.names import NAME, has_ended, unique_name

WHOLE = "whole"
# seconds: between two looks at somebody who has not decided yet, until one gives up, and until one
# gives up waiting for the manifest's lock, which all of an array of jobs may want at once
PAUSE, PATIENCE, QUEUE = 0.02, 20.0, 300.0
_PREFIX = ".lock-"
_MANIFEST = "manifest"
_CLAIM = re.compile(rf"\.lock-(whole|manifest|\d+-of-\d+)\.({NAME})\.[0-9a-f]+")


@contextlib.contextmanager
def lock_folder(folder: Path, share: str = WHOLE) -> Iterator[None]:
    """Lock a results folder, or one share of it, for as long as the context lasts.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    share : str
        The whole folder excludes everybody; a share such as "1-of-4" excludes the whole, and what
        it overlaps.

    Raises
    ------
    StudyError
        When another run holds it, with its host, process and since when; or when the folder
        cannot be written.
    """
    with _lock(folder, share, PATIENCE) as claim:
        if not any(other.name != claim.name for other in _claims(folder)):
            remove_leftovers(folder, claim.stat().st_mtime)
        yield


@contextlib.contextmanager
def lock_manifest(folder: Path) -> Iterator[None]:
    """Lock what all shares of a results folder have in common; wait for another process that does.

    Raises
    ------
    StudyError
        When another process does so for minutes, or when the folder cannot be written.
    """
    with _lock(folder, _MANIFEST, QUEUE):
        yield


def move_aside(folder: Path) -> Path:
    """Move a results folder that nobody uses out of the way; return its new place.

    Raises
    ------
    StudyError
        When a run holds it.
    """
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    aside = folder.with_name(f"{folder.name}.before-{now}")
    with lock_folder(folder):
        folder.rename(aside)
        for claim in _claims(aside):
            claim.unlink(missing_ok=True)
    return aside


def holders(folder: Path) -> list[str]:
    """List who holds a folder or shares of it, in words."""
    living = [c for c in _claims(folder) if _share(c) != _MANIFEST and not has_ended(_owner(c))]
    return [f"{_describe(claim)} ({_share(claim)})" for claim in living]


@contextlib.contextmanager
def _lock(folder: Path, share: str, patience: float) -> Iterator[Path]:
    """Hold a share as long as the context lasts; yield the file that says so."""
    claim = folder / f"{_PREFIX}{share}.{unique_name()}"
    remove_at_exit(claim)
    try:
        try:
            _take(folder, claim, patience)
        except OSError as error:
            raise StudyError(
                f"cannot write to {folder}: {error.strerror}; give another folder with --out"
            ) from error
        yield claim
    finally:
        with contextlib.suppress(OSError):  # of a disk that is gone, and of no folder at all
            claim.unlink()


def _take(folder: Path, claim: Path, patience: float) -> None:
    """Announce a claim, give way or wait, and write into it when no other is left."""
    late = time.monotonic() + patience
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        while rivals := _conflicting(folder, claim, late):
            time.sleep(PAUSE * len(rivals) * (0.5 + random.random()))
        with contextlib.suppress(FileNotFoundError):  # somebody moves the folder aside
            claim.touch(exist_ok=False)
            while rivals := _conflicting(folder, claim, late):
                if min(rivals) < claim.name:
                    break  # the first by name stays, all others give way
                time.sleep(PAUSE)
            else:
                _write(claim)
                return
            claim.unlink()
        time.sleep(PAUSE * random.random())


def _write(claim: Path) -> None:
    """Say in a claim that its owner holds the folder, and who that is."""
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since})
    with claim.open("r+", encoding="utf-8") as file:  # it fails where the claim was removed
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _conflicting(folder: Path, mine: Path, late: float) -> list[str]:
    """List the claims in the way of one, of living processes for which it is to wait.

    Raises
    ------
    StudyError
        When one of them holds the folder, or is still in the way when it is late.
    """
    found = []
    for claim in _claims(folder):
        if claim.name == mine.name or not _excludes(_share(claim), _share(mine)):
            continue
        if has_ended(_owner(claim)):
            claim.unlink(missing_ok=True)
            continue
        try:
            holds = claim.stat().st_size > 0 and _share(claim) != _MANIFEST
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            continue
        if holds or time.monotonic() > late or not _owner(claim):
            raise StudyError(
                f"{folder} is in use by another run, {_describe(claim)}; wait for it, or give "
                f"another folder with --out (if that run is dead, remove {claim})"
            )
        found.append(claim.name)
    return found


def _claims(folder: Path) -> list[Path]:
    """List the files that say who holds a folder, or wants it."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def _share(claim: Path) -> str:
    """Return the share that a claim is for."""
    return claim.name.removeprefix(_PREFIX).partition(".")[0]


def _owner(claim: Path) -> str:
    """Return the name of a claim's process; empty where it is none of ours."""
    found = _CLAIM.fullmatch(claim.name)
    return found[2] if found else ""


def _describe(claim: Path) -> str:
    """Say who owns a claim."""
    try:
        holder = json.loads(claim.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"whose file {claim.name} does not say since when"


def _excludes(one: str, other: str) -> bool:
    """Tell whether two shares have a replicate in common, or both are the manifest's."""
    if _MANIFEST in (one, other):
        return one == other
    (low, high), (least, most) = _span(one), _span(other)
    return low < most and least < high


def _span(share: str) -> tuple[Fraction, Fraction]:
    """Return where a share begins and ends; what is none counts as the whole."""
    part, _, parts = share.partition("-of-")
    if not (part.isdigit() and parts.isdigit() and int(parts)):
        return Fraction(0), Fraction(1)
    return Fraction(int(part) - 1, int(parts)), Fraction(int(part), int(parts))
