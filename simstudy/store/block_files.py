"""One file per block, whose name says what it holds and what it belongs to.

A block's file is `blocks/<scenario>/<first>-<last>.<digest>.npz`, the digest being the BLAKE2 hash
of its bytes and of what they belong to: the study as the folder was begun with, scenario,
replicates. Of a study that was extended by methods, the name says which extensions a file holds:
`<first>-<last>.<first extension>-<last extension>.<digest>.npz`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.records.block import Block
from simstudy.store.manifest import read_excerpt

_NAME = re.compile(r"(\d{9,})-(\d{9,})(?:\.(\d+)-(\d+))?\.[0-9a-f]{16}\.npz")


@dataclass(frozen=True, slots=True)
class Piece:
    """One block's file: which replicates of which scenario, and the extensions it holds."""

    scenario: str
    first: int
    last: int
    path: Path
    first_extension: int = 0
    last_extension: int = 0


Filed = tuple[Piece, Mapping[str, Block]]
"""A block's file, and the blocks in it by estimator."""


def scenario_folder(scenario: str) -> str:
    """Name a scenario's folder: what of its key a file system takes, and a hash of all of it."""
    readable = "".join(c if c.isascii() and (c.isalnum() or c in ".=-") else "_" for c in scenario)
    digest = hashlib.blake2b(scenario.encode(), digest_size=8).hexdigest()
    return f"{readable[:60].strip('.')}-{digest}"


def named(piece: Piece, identity: str, content: bytes) -> str:
    """Name a block's file by a digest of its bytes and of what they belong to."""
    span = f"{piece.first:09d}-{piece.last:09d}"
    if piece.last_extension:
        span += f".{piece.first_extension}-{piece.last_extension}"
    belongs = f"{identity} {piece.scenario} {span} ".encode()
    digest = hashlib.blake2b(belongs + content, digest_size=8).hexdigest()
    return f"{span}.{digest}.npz"


def listed(blocks: Path) -> list[Piece]:
    """List the blocks' files in the folder of one scenario."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(blocks)):
            match = _NAME.fullmatch(name)
            if match:
                first, last, *extensions = (int(number or 0) for number in match.groups())
                found.append(Piece(blocks.name, first, last, blocks / name, *extensions))
    return found


def pieces(folder: Path) -> list[Piece]:
    """List the blocks' files of a results folder, in the order of scenario and replicate."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for scenario in os.scandir(folder / "blocks"):
            if scenario.is_dir():
                found += listed(Path(scenario.path))
    return sorted(found, key=lambda p: (p.scenario, p.first, p.last, p.first_extension))


def encoded(blocks: Mapping[str, Block], about: bytes) -> bytes:
    """Write blocks by estimator, and what of the manifest is about them, as the bytes of a file."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        estimators=np.array(list(blocks)),
        about=np.frombuffer(about, dtype=np.uint8),
        **{
            f"{number}:{name}": values
            for number, block in enumerate(blocks.values())
            for name, values in block.arrays().items()
        },
    )
    return buffer.getvalue()


def decoded(content: bytes) -> dict[str, Block] | None:
    """Read the blocks that `encoded` wrote; None where it is something else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            by_number: dict[int, dict[str, Any]] = {}
            for name in set(arrays.files) - {"estimators", "about"}:
                number, _, column = name.partition(":")
                by_number.setdefault(int(number), {})[column] = arrays[name]
            return {
                str(name): Block.from_arrays(by_number[number])
                for number, name in enumerate(arrays["estimators"])
            }
    except (ValueError, KeyError, zipfile.BadZipFile):
        return None


def excerpt_in(piece: Piece) -> dict[str, Any] | None:
    """Read what of the manifest a block's file keeps; None where it is damaged."""
    content = piece.path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = read_excerpt(arrays["about"].tobytes())
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
    return found if piece.path.name == named(piece, found["identity"], content) else None


def adjoining(filed: Sequence[Filed]) -> list[list[Filed]]:
    """Sort blocks into rows of files, each beginning where the one before ends."""
    rows: list[list[Filed]] = []
    for piece, blocks in sorted(filed, key=lambda pair: pair[0].first):
        if rows and rows[-1][-1][0].last == piece.first:
            rows[-1].append((piece, blocks))
        else:
            rows.append([(piece, blocks)])
    return rows
