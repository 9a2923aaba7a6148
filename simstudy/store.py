"""The journal: a manifest, one checked file per block, what is pending, and the reading of it.

A block's file is `blocks/<scenario>/<first>-<last>.<digest>.npz`, the digest being the BLAKE2 hash
of its bytes and of what they belong to: the study's seed, level and code, scenario, replicates. It
is written under another name, synced and renamed, so that it is there whole or not at all; a file
whose digest does not match is moved aside and its replicates are pending again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.fingerprint import describe, differences, versions
from simstudy.records import Block, Cell, join, leading
from simstudy.study import Reference, Study, StudyError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One block's file: which replicates of which scenario, and the digest of its bytes."""

    scenario: str
    first: int
    last: int
    path: Path


class Store:
    """The results folder of one study.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing is created."""
        self.folder = Path(folder)
        self._common = ""

    def open(
        self,
        study: Study,
        reference: Reference | None,
        run: Mapping[str, Any],
        *,
        shared: bool = False,
    ) -> None:
        """Take the folder for this study, or refuse one that holds another.

        Where it is shared with others, a manifest that says what is asked stays as it is.

        Raises
        ------
        StudyError
            When the folder holds another study, or cannot be written.
        """
        asked = describe(study, reference)
        manifest = self.folder / MANIFEST
        if manifest.exists():
            stored = self.manifest()
            lines = differences(stored["study"], asked)
            if lines:
                raise StudyError(
                    f"{self.folder} holds another study, and results are never mixed:\n  "
                    + "\n  ".join(lines)
                    + "\ngive another folder with --out, or move that one away"
                )
            if shared and asked["replicates"] <= stored["study"]["replicates"]:
                return
            asked["replicates"] = max(asked["replicates"], stored["study"]["replicates"])
            runs = stored["runs"]
        else:
            occupied = self.folder.is_dir() and any(self.folder.iterdir())
            if occupied and (self.folder / "blocks").exists():
                raise StudyError(
                    f"{self.folder} holds blocks but no {MANIFEST}; give another folder with "
                    "--out, "
                    "or move that one away"
                )
            runs = []
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
            content = {"study": asked, **run, "runs": runs, "versions": versions()}
            self._write(manifest, _json(content))
            self._common = ""
        except OSError as error:
            raise StudyError(
                f"cannot write to {self.folder}: {error.strerror}; give another folder with --out"
            ) from error

    def begun(self) -> bool:
        """Tell whether the folder holds a study."""
        return (self.folder / MANIFEST).exists()

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises
        ------
        StudyError
            When there is none, or it cannot be read.
        """
        path = self.folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not {"study", "runs"} <= manifest.keys():
                raise ValueError("it names no study and runs")
            return manifest
        except FileNotFoundError:
            raise StudyError(
                f"{self.folder} holds no results (no {MANIFEST}); run the study first, or give "
                "the right folder with --out"
            ) from None
        except ValueError as error:
            raise StudyError(f"{path} cannot be read: {error}; move the folder away") from error

    def note_share(self, share: str, entry: Mapping[str, Any]) -> None:
        """Keep one share's run in a file of its own until `gather_runs`."""
        (self.folder / "shares").mkdir(exist_ok=True)
        name = f"{share}.{entry['started'].replace(':', '')}.json"
        self._write(self.folder / "shares" / name, _json(entry))

    def gather_runs(self) -> None:
        """Put the runs of shares into the manifest."""
        for path in sorted((self.folder / "shares").glob("*.json")):
            self.note_run(json.loads(path.read_text(encoding="utf-8")))
            path.unlink()

    def done(self) -> dict[str, int]:
        """Count the stored replicates of those that the manifest asks for, by scenario."""
        study = self.manifest()["study"]
        stored: dict[str, set[int]] = {}
        for piece in self.pieces():
            numbers = range(piece.first, min(piece.last, study["replicates"]))
            stored.setdefault(piece.scenario, set()).update(numbers)
        keys = [scenario["key"] for scenario in study["scenarios"]]
        return {key: len(stored.get(folder(key), ())) for key in keys}

    def note_run(self, entry: Mapping[str, Any]) -> None:
        """Add one run to the manifest: when it started, how long it took, how much it did."""
        manifest = self.manifest()
        manifest["runs"].append(dict(entry))
        self._write(self.folder / MANIFEST, _json(manifest))

    def pieces(self) -> list[Piece]:
        """List the blocks' files, in the order of scenario and replicate."""
        found = []
        for path in (self.folder / "blocks").glob("*/*.npz"):
            with contextlib.suppress(ValueError):
                first, last = (int(part) for part in path.name.split(".")[0].split("-"))
                found.append(Piece(path.parent.name, first, last, path))
        return sorted(found, key=lambda piece: (piece.scenario, piece.first, piece.last))

    def pending(self, study: Study, replicates: int, size: int) -> list[tuple[int, int, int]]:
        """List what is not yet done, as (scenario, first, last) of at most `size` replicates."""
        done: dict[str, list[tuple[int, int]]] = {}
        for piece in self.pieces():
            done.setdefault(piece.scenario, []).append((piece.first, piece.last))
        tasks = []
        for index, scenario in enumerate(study.scenarios):
            at = 0
            spans = [*sorted(done.get(folder(scenario.key), [])), (replicates, replicates)]
            for first, last in spans:
                for begin in range(at, min(first, replicates), size):
                    tasks.append((index, begin, min(begin + size, first, replicates)))
                at = max(at, last)
        return tasks

    def save(self, scenario: str, first: int, last: int, blocks: Mapping[str, Block]) -> None:
        """Write one block's file, whole or not at all."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            estimators=np.array(list(blocks)),
            **{
                f"{number}:{name}": values
                for number, block in enumerate(blocks.values())
                for name, values in block.arrays().items()
            },
        )
        content = buffer.getvalue()
        target = self.folder / "blocks" / folder(scenario)
        target.mkdir(exist_ok=True)
        self._write(target / self._name(target.name, first, last, content), content)

    def load(self, piece: Piece) -> dict[str, Block] | None:
        """Read one block's file, a block by estimator; None where it is damaged or another's."""
        content = piece.path.read_bytes()
        if piece.path.name != self._name(piece.scenario, piece.first, piece.last, content):
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                by_number: dict[int, dict[str, Any]] = {}
                for name in set(arrays.files) - {"estimators"}:
                    number, _, column = name.partition(":")
                    by_number.setdefault(int(number), {})[column] = arrays[name]
                return {
                    str(name): Block.from_arrays(by_number[number])
                    for number, name in enumerate(arrays["estimators"])
                }
        except (ValueError, KeyError, zipfile.BadZipFile):
            return None

    def _name(self, scenario: str, first: int, last: int, content: bytes) -> str:
        """Name a block's file after its replicates and a digest of what it holds and belongs to."""
        if not self._common:
            study = self.manifest()["study"]
            self._common = f"{study['seed']} {study['level']} {study['code']}"
        belongs = f"{self._common} {scenario} {first} {last} ".encode()
        digest = hashlib.blake2b(belongs + content, digest_size=8).hexdigest()
        return f"{first:09d}-{last:09d}.{digest}.npz"

    def check(self) -> list[Path]:
        """Move damaged files aside, so that they are pending again; return their new places."""
        moved = []
        for piece in self.pieces():
            if self.load(piece) is None:
                aside = self.folder / "damaged"
                aside.mkdir(exist_ok=True)
                moved.append(piece.path.rename(aside / f"{piece.scenario}-{piece.path.name}"))
        return moved

    def cells(self) -> list[list[Cell]]:
        """Return the labels of the stored rows: for each scenario one cell for each estimator."""
        study = self.manifest()["study"]
        factors = _alike([scenario["factors"] for scenario in study["scenarios"]])
        return [
            [
                Cell(
                    scenario["key"], factors[number], scenario["truth"], estimator["name"],
                    tuple(estimator["parameters"]), tuple(estimator["methods"]),
                )
                for estimator in study["estimators"]
                if not scenario["only"] or estimator["name"] in scenario["only"]
            ]
            for number, scenario in enumerate(study["scenarios"])
        ]  # fmt: skip

    def read(self, most: int | None = None) -> Iterator[list[tuple[Cell, Block]]]:
        """Read the store, scenario by scenario: one (cell, joined block) for each estimator.

        Parameters
        ----------
        most : int, optional
            Read no more than the first so many replicates of each scenario.
        """
        by_scenario: dict[str, list[Piece]] = {}
        for piece in self.pieces():
            if most is None or piece.first < most:
                by_scenario.setdefault(piece.scenario, []).append(piece)
        for cells in self.cells():
            loaded = [self.load(piece) for piece in by_scenario.get(folder(cells[0].scenario), [])]
            if any(blocks is None for blocks in loaded):
                raise StudyError(
                    f"{self.folder} has damaged blocks of scenario {cells[0].scenario!r}; "
                    "run the study again: they are found, moved aside and computed anew"
                )
            whole = [blocks for blocks in loaded if blocks is not None]
            if whole:
                yield [
                    (cell, leading(join([blocks[cell.estimator] for blocks in whole]), most))
                    for cell in cells
                ]

    def _write(self, path: Path, content: bytes) -> None:
        """Write under another name, sync, rename."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def folder(scenario: str) -> str:
    """Name a scenario's folder: what of its key a file system takes, and a hash of all of it."""
    readable = "".join(c if c.isascii() and (c.isalnum() or c in ".=-") else "_" for c in scenario)
    digest = hashlib.blake2b(scenario.encode(), digest_size=8).hexdigest()
    return f"{readable[:60].strip('.')}-{digest}"


def _alike(factors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every scenario all factors, each of one type: words, or numbers, or whole numbers."""
    alike: list[dict[str, Any]] = [{} for _ in factors]
    for name in dict.fromkeys(name for own in factors for name in own):
        values = [own.get(name) for own in factors]
        words = any(isinstance(value, str | bool) for value in values)
        whole = all(isinstance(value, int) for value in values)
        for row, value in zip(alike, values, strict=True):
            if words:
                row[name] = "" if value is None else str(value)
            else:
                row[name] = value if whole else np.nan if value is None else float(value)
    return alike


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
