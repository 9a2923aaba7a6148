"""The journal: a manifest, one checked file per block, what is pending, and the reading of it.

A block's file is `blocks/<scenario>/<first>-<last>.<digest>.npz`, the digest being the BLAKE2 hash
of its bytes. It is written under another name, synced and renamed, so that it is there whole or not
at all; a file whose bytes do not match its name is moved aside and its replicates are pending
again.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.estimators import Estimator, MaximumLikelihood
from simstudy.records import Block, Cell, join
from simstudy.study import Reference, Study, StudyError

MANIFEST = "manifest.json"
PACKAGES = ("simstudy", "numpy", "scipy", "pandas", "statsmodels", "joblib", "jax", "jaxlib")


@dataclass(frozen=True, slots=True)
class Piece:
    """One block's file: which replicates of which scenario, and the digest of its bytes."""

    scenario: str
    first: int
    last: int
    path: Path


def describe(study: Study, reference: Reference | None) -> dict[str, Any]:
    """Describe a study in plain values: what two runs must share to belong together."""
    return {
        "name": study.name,
        "aims": study.aims,
        "seed": int(study.seed),
        "level": float(study.level),
        "replicates": int(study.replicates),
        "fewer": {label: int(count) for label, count in study.fewer.items()},
        "scenarios": [
            {
                "key": scenario.key,
                "mechanism": scenario.mechanism.name,
                "factors": {name: _plain(value) for name, value in scenario.factors.items()},
                "truth": {name: float(value) for name, value in scenario.truth.items()},
                "only": list(scenario.only),
            }
            for scenario in study.scenarios
        ],
        "estimators": [_estimator(estimator) for estimator in study.estimators],
        "code": code(study, reference),
    }


def code(study: Study, reference: Reference | None) -> str:
    """Hash the study's code: comments, layout, docstrings and the STUDY statement do not count."""
    digest = hashlib.blake2b(digest_size=8)
    if reference is not None:
        tree = ast.parse(Path(reference.path).read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]):
                del body[0]
        tree.body = [node for node in tree.body if not _is_study(node)]
        digest.update(ast.dump(tree).encode())
        return digest.hexdigest()
    for function in _functions(study):
        compiled = getattr(function, "__code__", None)
        if compiled is not None:
            digest.update(compiled.co_code + repr(compiled.co_names).encode())
            digest.update(
                repr([c for c in compiled.co_consts if isinstance(c, float | int)]).encode()
            )
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which the numbers depend."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Name the fields in which a stored study differs from the one asked for, with both values.

    Replicates may differ: more of them extend a study. Aims are words.
    """
    lines = []
    for name in ("name", "seed", "level", "fewer", "code"):
        if stored.get(name) != asked[name]:
            lines.append(f"{name}: stored {stored.get(name)!r}, asked {asked[name]!r}")
    for name, key in (("scenarios", "key"), ("estimators", "name")):
        before = {entry[key]: entry for entry in stored.get(name, [])}
        now = {entry[key]: entry for entry in asked[name]}
        for label in before | now:
            if before.get(label) != now.get(label):
                lines.append(
                    f"{name}, {label!r}: stored {_short(before.get(label))}, "
                    f"asked {_short(now.get(label))}"
                )
    return lines


class Store:
    """The results folder of one study.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing is created."""
        self.folder = Path(folder)

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
            return dict(json.loads(path.read_text(encoding="utf-8")))
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
            **{
                f"{number}:{name}": values
                for number, block in enumerate(blocks.values())
                for name, values in block.arrays().items()
            },
        )
        content = buffer.getvalue()
        target = self.folder / "blocks" / folder(scenario)
        target.mkdir(exist_ok=True)
        self._write(target / f"{first:09d}-{last:09d}.{_digest(content)}.npz", content)

    def load(self, piece: Piece) -> list[Block] | None:
        """Read one block's file, a block for each estimator; None where it is damaged."""
        content = piece.path.read_bytes()
        if _digest(content) != piece.path.name.split(".")[1]:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                by_number: dict[int, dict[str, Any]] = {}
                for name in arrays.files:
                    number, _, column = name.partition(":")
                    by_number.setdefault(int(number), {})[column] = arrays[name]
                return [Block.from_arrays(by_number[number]) for number in sorted(by_number)]
        except (ValueError, KeyError, zipfile.BadZipFile):
            return None

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
        return [
            [
                Cell(
                    scenario["key"], scenario["factors"], scenario["truth"], estimator["name"],
                    tuple(estimator["parameters"]), tuple(estimator["methods"]),
                )
                for estimator in study["estimators"]
                if not scenario["only"] or estimator["name"] in scenario["only"]
            ]
            for scenario in study["scenarios"]
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
                    (cell, join([blocks[number] for blocks in whole]))
                    for number, cell in enumerate(cells)
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
    digest = hashlib.blake2b(scenario.encode(), digest_size=4).hexdigest()
    return f"{readable[:60].strip('.')}-{digest}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _short(entry: Mapping[str, Any] | None) -> str:
    return (
        "nothing" if entry is None else json.dumps({k: v for k, v in entry.items() if k != "key"})
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _estimator(estimator: Estimator) -> dict[str, Any]:
    """Describe an estimator in plain values."""
    entry: dict[str, Any] = {
        "name": estimator.name,
        "parameters": list(estimator.parameters),
        "methods": list(estimator.labels),
    }
    if isinstance(estimator, MaximumLikelihood):
        entry |= {
            "model": estimator.model.name,
            "supports": list(estimator.model.supports),
            "optimizer": estimator.optimizer,
            "as_is": estimator.as_is,
            "sources": [
                ", ".join(repr(source) for source in method.sources) for method in estimator.methods
            ],
        }
    return entry


def _functions(study: Study) -> Iterator[Any]:
    """Go through the functions that a study hands over."""
    for scenario in study.scenarios:
        yield scenario.mechanism.draw
        yield scenario.mechanism.truth
    for estimator in study.estimators:
        model = getattr(estimator, "model", None)
        for name in ("start", "loglik", "score", "hessian"):
            yield getattr(model, name, None)
        yield getattr(estimator, "estimate", None)


def _is_docstring(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def _is_study(node: ast.AST) -> bool:
    targets = getattr(node, "targets", [])
    return isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "STUDY" for t in targets)
