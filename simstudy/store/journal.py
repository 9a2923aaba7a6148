"""The journal: a manifest, one checked file per block, what is pending, and the reading of it.

A block's file is `blocks/<scenario>/<first>-<last>.<digest>.npz`, the digest being the BLAKE2 hash
of its bytes and of what they belong to: the study as the folder was begun with, scenario,
replicates. It is written under another name, synced and renamed, so that it is there whole or not
at all; a file whose digest does not match is moved aside and its replicates are pending again. Of a
study that was extended by methods, the name says which extensions a file holds:
`<first>-<last>.<since>-<upto>.<digest>.npz`. Small blocks are merged into larger ones.

The manifest has a checksum. What of it is about a block stands in the block, so that a manifest
that is damaged or lost is made again from the blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.files.writing import save_bytes
from simstudy.records.block import Block, Cell, join
from simstudy.store import witness
from simstudy.store.extension import Since, extended, gaps, methods, together
from simstudy.store.fingerprint import describe, differences, renewed, versions
from simstudy.store.manifest import (
    MANIFEST,
    as_json,
    excerpt,
    read_excerpt,
    rebuilt,
    sealed,
    unsealed,
)

# blocks of so many replicates are small; so many of them, if so many follow one another, are merged
SMALL, MERGED, FEWEST = 100, 200, 20
_RUN = ("started", "seconds", "replicates")
_BLOCK = re.compile(r"(\d{9,})-(\d{9,})(?:\.(\d+)-(\d+))?\.[0-9a-f]{16}\.npz")


@dataclass(frozen=True, slots=True)
class Piece:
    """One block's file: which replicates of which scenario, and the extensions it holds."""

    scenario: str
    first: int
    last: int
    path: Path
    since: int = 0
    upto: int = 0


class Store:
    """The results folder of one study.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing is created."""
        self.folder = Path(folder)
        self._known: dict[str, Any] | None = None
        self._excerpts: dict[str, bytes] = {}
        self._rebuilt: dict[str, dict[str, Any] | None] = {}
        self._small: dict[tuple[str, int, int], list[tuple[Piece, Mapping[str, Block]]]] = {}

    def open(
        self,
        study: Study,
        reference: Reference | None,
        run: Mapping[str, Any],
        first: Mapping[str, Any] | None = None,
        *,
        shared: bool = False,
        accept_code: bool = False,
    ) -> None:
        """Take the folder for this study, or refuse one that holds another.

        More replicates, scenarios, estimators and methods extend it. Where it is shared with
        others, a manifest that says what is asked stays as it is.

        Parameters
        ----------
        study : Study
        reference : Reference, optional
        run : mapping
            What the manifest keeps of this run.
        first : mapping, optional
            What replicate 0 gives now, by `simstudy.store.witness.answers`; due is what it gave
            before.
        shared : bool
        accept_code : bool
            Take code that was changed, and other answers; the manifest keeps what.

        Raises
        ------
        StudyError
            When the folder holds another study, or cannot be written.
        """
        asked = describe(study, reference)
        stored, wrong = self._found()
        if stored is not None:
            lines = differences(stored["study"], asked, code=not accept_code)
            if lines:
                raise StudyError(
                    f"{self.folder} holds another study, and results are never mixed:\n  "
                    + "\n  ".join(lines)
                    + "\ngive another folder with --out, begin anew with --fresh, or, where only "
                    "code differs and no number does, go on with --accept-code"
                )
            asked = extended(stored["study"], asked)
            kept = {name: stored[name] for name in ("runs", "identity", "accepted")}
            newer = renewed(stored["versions"], versions())
            before, now = stored.get("first", {}), first or {}
            other = witness.unlike(before, now)
            if other and not accept_code:
                raise StudyError(witness.refusal(self.folder, other, newer))
            kept["first"] = witness.together(*((now, before) if other else (before, now)))
            changed = differences(stored["study"], asked) + other + newer
            kept["accepted"] = list(dict.fromkeys(kept["accepted"] + changed))
            kept["revision"] = stored["revision"] + 1
            same = as_json(asked) == as_json(stored["study"]) and kept["first"] == before
            if shared and not changed and not wrong and same:
                return
        elif self.pieces():
            raise StudyError(self._unknown(wrong))
        else:
            asked = extended(None, asked)
            kept = {"runs": [], "identity": identity(asked), "accepted": [], "revision": 0,
                    "first": dict(first or {})}  # fmt: skip
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
            if wrong:
                self._aside(self.folder / MANIFEST, MANIFEST)
            bits = f"those of the {run['engine']} engine; the other one agrees to rounding only"
            self._note({"study": asked, **run, "bits": bits, **kept, "versions": versions()})
        except OSError as error:
            raise StudyError(
                f"cannot write to {self.folder}: {error.strerror}; give another folder with --out"
            ) from error

    def begun(self) -> bool:
        """Tell whether the folder holds a study, or blocks of one."""
        return self._found()[0] is not None or bool(self.pieces())

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; where it is damaged or lost, what the blocks say of it.

        Raises
        ------
        StudyError
            When there is none, or none that can be read.
        """
        found, wrong = self._found()
        if found is not None:
            return found
        if self.pieces():
            raise StudyError(self._unknown(wrong))
        raise StudyError(
            f"{self.folder} holds no results ({MANIFEST} {wrong or 'is not there'}); run the study "
            "first, or give the right folder with --out"
        )

    def _found(self) -> tuple[dict[str, Any] | None, str]:
        """Return the manifest, or what the blocks say of it, or None; and what was wrong with it.

        Nothing is wrong with one that is not there where there are no blocks either.
        """
        path = self.folder / MANIFEST
        try:
            return unsealed(path.read_bytes()), ""
        except (FileNotFoundError, NotADirectoryError):
            wrong = "is lost" if self.pieces() else ""
        except ValueError as error:
            wrong = f"cannot be read: {error}"
        except OSError as error:
            raise StudyError(f"cannot read {path}: {error.strerror}") from error
        if wrong not in self._rebuilt:
            self._rebuilt[wrong] = rebuilt(self._told(), wrong)
        return self._rebuilt[wrong], wrong

    def _told(self) -> Iterator[dict[str, Any]]:
        """Yield what the blocks keep of the manifest, of those that are whole."""
        for piece in self.pieces():
            content = piece.path.read_bytes()
            try:
                with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                    found = read_excerpt(arrays["about"].tobytes())
            except (ValueError, KeyError, zipfile.BadZipFile, EOFError):
                continue
            if piece.path.name == _named(piece, found["identity"], content):
                yield found

    def _unknown(self, wrong: str) -> str:
        return (
            f"{self.folder} holds blocks, but {MANIFEST} {wrong}, and no block says what it "
            "belongs to; give another folder with --out, or begin anew with --fresh, which moves "
            "this one aside"
        )

    def _note(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest."""
        save_bytes(sealed(manifest), self.folder / MANIFEST)
        self._known = None
        self._excerpts.clear()
        self._rebuilt.clear()

    def _aside(self, path: Path, name: str) -> Path:
        """Move a damaged file aside; return its new place."""
        aside = self.folder / "damaged"
        aside.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside / name)
        return aside / name

    def note_share(self, share: str, entry: Mapping[str, Any]) -> None:
        """Keep one share's run in a file of its own until `gather_runs`."""
        (self.folder / "shares").mkdir(exist_ok=True)
        name = f"{share}.{entry['started'].replace(':', '')}.json"
        save_bytes(sealed(entry), self.folder / "shares" / name)

    def gather_runs(self) -> list[Path]:
        """Put the runs of shares into the manifest; return where damaged ones were moved to."""
        paths = sorted((self.folder / "shares").glob("*.json"))
        entries, moved = [], []
        for path in paths:
            try:
                entries.append(unsealed(path.read_bytes(), _RUN))
            except ValueError:
                moved.append(self._aside(path, path.name))
        if entries:
            manifest = self.manifest()
            self._note({**manifest, "runs": [*manifest["runs"], *entries]})
        for path in paths:
            path.unlink(missing_ok=True)
        return moved

    def done(self) -> dict[str, int]:
        """Count the stored replicates of those that the manifest asks for, by scenario."""
        study = self.manifest()["study"]
        missing = self._missing(self.extensions(), study["replicates"])
        counts = Counter({scenario["key"]: study["replicates"] for scenario in study["scenarios"]})
        for key, _, first, last in missing:
            counts[key] -= last - first
        return dict(counts)

    def note_run(self, entry: Mapping[str, Any]) -> None:
        """Add one run to the manifest: when it started, how long it took, how much it did."""
        manifest = self.manifest()
        manifest["runs"].append(dict(entry))
        self._note(manifest)

    def accept(self, lines: Sequence[str]) -> None:
        """Keep in the manifest what differed and was accepted, for the report."""
        manifest = self.manifest()
        new = [line for line in lines if line not in manifest["accepted"]]
        if new:
            manifest["accepted"] += new
            manifest["revision"] += 1
            self._note(manifest)

    def pieces(self) -> list[Piece]:
        """List the blocks' files, in the order of scenario and replicate."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for scenario in os.scandir(self.folder / "blocks"):
                if scenario.is_dir():
                    found += _listed(Path(scenario.path))
        return sorted(found, key=lambda p: (p.scenario, p.first, p.last, p.since))

    def extensions(self) -> dict[str, list[int]]:
        """List the extensions that each scenario takes part in; the first alone at the beginning.

        An extension is numbered from 0; it came with methods that the scenario's estimators have.
        """
        study = self.manifest()["study"]
        return {
            scenario["key"]: sorted(
                {
                    number
                    for estimator in study["estimators"]
                    if not scenario["only"] or estimator["name"] in scenario["only"]
                    for number in estimator["since"].values()
                }
            )
            for scenario in study["scenarios"]
        }

    def begun_with(self) -> list[int]:
        """List the extensions of all scenarios: with which of them a block may begin."""
        return sorted({number for numbers in self.extensions().values() for number in numbers})

    def methods(self, since: int) -> dict[str, list[str]]:
        """List the methods, by estimator, that came with an extension or later."""
        return methods(self._since(), since, self._upto())

    def pending(
        self, study: Study, replicates: int, size: int, since: int = 0
    ) -> list[tuple[int, int, int]]:
        """List what is not yet done, as (scenario, first, last) of at most `size` replicates.

        Of a study that was extended, what lacks all methods `since` that extension, and no more.
        """
        numbers = self.extensions() if self.begun() else {s.key: [0] for s in study.scenarios}
        asked = {scenario.key: index for index, scenario in enumerate(study.scenarios)}
        return [
            (asked[key], begin, min(begin + size, last))
            for key, number, first, last in self._missing(numbers, replicates)
            if number == since and key in asked
            for begin in range(first, last, size)
        ]

    def _missing(
        self, extensions: Mapping[str, Sequence[int]], replicates: int
    ) -> Iterator[tuple[str, int, int, int]]:
        """Yield (scenario, extension, first, last): what has nothing since that extension."""
        done: dict[str, list[Piece]] = {}
        for piece in self.pieces():
            done.setdefault(piece.scenario, []).append(piece)
        for key, numbers in extensions.items():
            found: list[tuple[int, int]] = []
            for number in numbers:
                held = [(piece.first, piece.last) for piece in done.get(folder(key), ())
                        if piece.since <= number <= piece.upto]  # fmt: skip
                lacking = gaps([*held, *found], replicates)
                found += lacking
                yield from ((key, number, first, last) for first, last in lacking)

    def _now(self) -> dict[str, Any]:
        """Return the manifest as it was when it was last written or needed here."""
        if self._known is None:
            self._known = self.manifest()
        return self._known

    def _since(self) -> Since:
        """Return the extension that each method is of."""
        return {e["name"]: e["since"] for e in self._now()["study"]["estimators"]}

    def _upto(self) -> int:
        """Number the last extension."""
        return max(number for own in self._since().values() for number in own.values())

    def save(
        self, scenario: str, first: int, last: int, blocks: Mapping[str, Block], since: int = 0
    ) -> None:
        """Write one block's file, whole or not at all; merge it with others where it is small."""
        piece = self._save(folder(scenario), first, last, blocks, since)
        if last - first > SMALL:
            return
        beside = self._small.setdefault((piece.scenario, piece.since, piece.upto), [])
        beside.append((piece, blocks))
        if len(beside) % MERGED == 0:
            rest = [pair for run in _runs(beside) for pair in self._merge(run)]
            beside[:] = rest if len(rest) <= MERGED else []  # what stays apart is not kept for ever

    def _save(
        self, scenario: str, first: int, last: int, blocks: Mapping[str, Block], since: int
    ) -> Piece:
        """Write a file."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            estimators=np.array(list(blocks)),
            about=np.frombuffer(self._excerpt(scenario), dtype=np.uint8),
            **{
                f"{number}:{name}": values
                for number, block in enumerate(blocks.values())
                for name, values in block.arrays().items()
            },
        )
        content = buffer.getvalue()
        target = self.folder / "blocks" / scenario
        target.mkdir(exist_ok=True)
        piece = Piece(scenario, first, last, target, since, self._upto())
        piece = replace(piece, path=target / self._name(piece, content))
        save_bytes(content, piece.path)
        return piece

    def _excerpt(self, scenario: str) -> bytes:
        """Write what of the manifest is about the blocks in one scenario's folder."""
        if scenario not in self._excerpts:
            keys = [entry["key"] for entry in self._now()["study"]["scenarios"]]
            own = [number for number, key in enumerate(keys) if folder(key) == scenario]
            self._excerpts[scenario] = excerpt(self._now(), own)
        return self._excerpts[scenario]

    def _merge(
        self, run: Sequence[tuple[Piece, Mapping[str, Block]]]
    ) -> Sequence[tuple[Piece, Mapping[str, Block]]]:
        """Write blocks that follow one another into one file, then remove theirs; return the rest.

        Until they are removed the rows are there twice, and are read once.
        """
        if len(run) < FEWEST:
            return run
        (first, _), (last, _) = run[0], run[-1]
        blocks = {name: join([own[name] for _, own in run]) for name in run[0][1]}
        self._save(first.scenario, first.first, last.last, blocks, first.since)
        for piece, _ in run:
            piece.path.unlink(missing_ok=True)
        return []

    def load(self, piece: Piece) -> dict[str, Block] | None:
        """Read one block's file, a block by estimator; None where it is damaged or another's."""
        content = self._content(piece)
        if content is None:
            return None
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

    def _content(self, piece: Piece) -> bytes | None:
        """Read a file's bytes; None where they are not what its name says."""
        content = piece.path.read_bytes()
        return content if piece.path.name == self._name(piece, content) else None

    def _name(self, piece: Piece, content: bytes) -> str:
        """Name a block's file after what it holds and what it belongs to."""
        return _named(piece, self._now()["identity"], content)

    def check(self) -> list[Path]:
        """Move damaged files aside, so that they are pending again; return their new places."""
        moved = []
        for piece in self.pieces():
            with contextlib.suppress(FileNotFoundError):  # another share merged it meanwhile
                if self._content(piece) is None:
                    moved.append(self._aside(piece.path, f"{piece.scenario}-{piece.path.name}"))
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
        # nothing of a scenario stays here while another reads it
        yield from filter(None, (self._joined(cells, most) for cells in self.cells()))

    def rows(self, scenario: str, replicate: int) -> list[tuple[Cell, Block]]:
        """Read what is stored of one replicate: a block of one for each estimator that answered."""
        cells = next((own for own in self.cells() if own and own[0].scenario == scenario), [])
        found = self._joined(cells, None, replicate) if cells else []
        chosen = [(cell, block, block.replicate == replicate) for cell, block in found]
        return [
            (cell, Block.from_arrays({name: v[rows] for name, v in block.arrays().items()}))
            for cell, block, rows in chosen
            if rows.any()
        ]

    def _joined(
        self, cells: Sequence[Cell], most: int | None, only: int | None = None
    ) -> list[tuple[Cell, Block]]:
        """Join the blocks of one scenario, or those with one replicate; an empty list without."""
        numbers = self._since()
        blocks = self._loaded(cells[0].scenario, most, only)
        return [
            (cell, together(cell, parts, most))
            for cell in cells
            if (
                parts := [
                    (labels, [own[cell.estimator] for own in found])
                    for span, found in blocks.items()
                    if (labels := methods(numbers, *span).get(cell.estimator))
                ]
            )
        ]

    def _loaded(
        self, scenario: str, most: int | None, only: int | None
    ) -> dict[tuple[int, int], list[dict[str, Block]]]:
        """Load a scenario's blocks, by the extensions that they hold."""
        for _ in range(10):
            found: dict[tuple[int, int], list[dict[str, Block]]] = {}
            try:
                for piece in _listed(self.folder / "blocks" / folder(scenario)):
                    if most is not None and piece.first >= most:
                        continue
                    if only is not None and not piece.first <= only < piece.last:
                        continue
                    blocks = self.load(piece)
                    if blocks is None:
                        raise StudyError(
                            f"{self.folder} has damaged blocks of scenario {scenario!r}; "
                            "run the study again: they are found, moved aside and computed anew"
                        )
                    found.setdefault((piece.since, piece.upto), []).append(blocks)
                return found
            except FileNotFoundError:  # another process merged it meanwhile
                continue
        raise StudyError(f"{self.folder} changes while it is read; wait for the run that does that")


def placed(out: str | Path | None, name: str) -> Path:
    """Return the absolute path of a results folder, so that no change of folder moves it.

    Raises
    ------
    StudyError
        When the given name is empty.
    """
    if out is not None and not str(out).strip():
        raise StudyError(
            f"the results folder is {str(out)!r}; give it a name, or leave it out for "
            f"{Path('results') / name}"
        )
    return Path(os.path.abspath(out if out is not None else Path("results") / name))


def identity(study: Mapping[str, Any]) -> str:
    """Hash the study that a folder is begun with: blocks of another one are told by it."""
    said = {name: value for name, value in study.items() if name not in ("aims", "replicates")}
    return hashlib.blake2b(as_json(said), digest_size=8).hexdigest()


def _named(piece: Piece, identity: str, content: bytes) -> str:
    """Name a block's file by a digest of its bytes and of what they belong to."""
    span = f"{piece.first:09d}-{piece.last:09d}"
    if piece.upto:
        span += f".{piece.since}-{piece.upto}"
    belongs = f"{identity} {piece.scenario} {span} ".encode()
    digest = hashlib.blake2b(belongs + content, digest_size=8).hexdigest()
    return f"{span}.{digest}.npz"


def _listed(blocks: Path) -> list[Piece]:
    """List the blocks' files of one scenario."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(blocks)):
            match = _BLOCK.fullmatch(name)
            if match:
                first, last, since, upto = (int(number or 0) for number in match.groups())
                found.append(Piece(blocks.name, first, last, blocks / name, since, upto))
    return found


def _runs(
    beside: Sequence[tuple[Piece, Mapping[str, Block]]],
) -> list[list[tuple[Piece, Mapping[str, Block]]]]:
    """Sort blocks into runs, each beginning where the one before ends."""
    runs: list[list[tuple[Piece, Mapping[str, Block]]]] = []
    for piece, blocks in sorted(beside, key=lambda pair: pair[0].first):
        if runs and runs[-1][-1][0].last == piece.first:
            runs[-1].append((piece, blocks))
        else:
            runs.append([(piece, blocks)])
    return runs


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
