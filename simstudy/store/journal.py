"""The journal: a manifest, one checked file per block, what is pending, and the reading of it.

A file is written under another name, synced and renamed, so that it is there whole or not at all;
one whose digest does not match its name is moved aside and its replicates are pending again. Small
blocks are merged into larger ones.

The manifest has a checksum. What of it is about a block stands in the block, so that a manifest
that is damaged or lost is made again from the blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.files.writing import save_bytes
from simstudy.records.block import Block, Cell, join
from simstudy.store import pending as coverage
from simstudy.store.block_files import (
    Filed,
    Piece,
    adjoining,
    decoded,
    encoded,
    named,
    pieces,
    scenario_folder,
)
from simstudy.store.extension import Numbers, methods
from simstudy.store.fingerprint import describe, versions
from simstudy.store.manifest import MANIFEST
from simstudy.store.manifest_file import ManifestFile, move_damaged
from simstudy.store.opening import Proposal, begun_anew, gone_on_with
from simstudy.store.reading import Stored, cells, joined, row_of

# blocks of so many replicates are small; so many of them, if so many follow one another, are merged
SMALL, MERGED, FEWEST = 100, 200, 20


class Store:
    """The results folder of one study.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing is created."""
        self.folder = Path(folder)
        self.manifest_file = ManifestFile(self.folder)
        self._small: dict[tuple[str, int, int], list[Filed]] = {}

    # --- the manifest

    def proposed(
        self,
        study: Study,
        reference: Reference | None,
        first: Mapping[str, Any] | None = None,
        *,
        accept_code: bool = False,
    ) -> Proposal:
        """Return what `open` would write, or raise what it would; nothing is written."""
        asked = describe(study, reference)
        stored, wrong = self.manifest_file.found()
        if stored is not None:
            return gone_on_with(stored, asked, first or {}, self.folder, accept_code=accept_code)
        if self.pieces():
            raise StudyError(self.manifest_file.unknown(wrong))
        return begun_anew(asked, first or {})

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
        proposal = self.proposed(study, reference, first, accept_code=accept_code)
        _, wrong = self.manifest_file.found()
        if shared and proposal.settled and not wrong:
            return
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
            if wrong:
                move_damaged(self.folder, self.folder / MANIFEST, MANIFEST)
            bits = f"those of the {run['engine']} engine; the other one agrees to rounding only"
            self.manifest_file.write({"study": proposal.study, **run, "bits": bits,
                                      **proposal.history, "versions": versions()})  # fmt: skip
        except OSError as error:
            raise StudyError(
                f"cannot write to {self.folder}: {error.strerror}; give another folder with --out"
            ) from error

    def begun(self) -> bool:
        """Tell whether the folder holds a study, or blocks of one."""
        return self.manifest_file.found()[0] is not None or bool(self.pieces())

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; where it is damaged or lost, what the blocks say of it.

        Raises
        ------
        StudyError
            When there is none, or none that can be read.
        """
        return self.manifest_file.read()

    def _numbers(self) -> Numbers:
        """Return the extension that each method is of."""
        return {e["name"]: e["since"] for e in self.manifest_file.last()["study"]["estimators"]}

    # --- what is there and what is pending

    def pieces(self) -> list[Piece]:
        """List the blocks' files, in the order of scenario and replicate."""
        return pieces(self.folder)

    def done(self) -> dict[str, int]:
        """Count the stored replicates of those that the manifest asks for, by scenario."""
        return coverage.stored_of(self.manifest()["study"], self.pieces())

    def extensions(self) -> list[int]:
        """List the extensions of all scenarios: with which of them a block may begin."""
        every = coverage.extensions(self.manifest()["study"]).values()
        return sorted({number for numbers in every for number in numbers})

    def methods(self, extension: int) -> dict[str, list[str]]:
        """List the methods, by estimator, that came with an extension or later."""
        return methods(self._numbers(), extension, self._last_extension())

    def pending(
        self, study: Study, replicates: int, size: int, extension: int = 0
    ) -> list[tuple[int, int, int]]:
        """List what is not yet done, as (scenario, first, last) of at most `size` replicates.

        Of a study that was extended, what lacks all methods since that extension, and no more.
        """
        if self.begun():
            numbers = coverage.extensions(self.manifest()["study"])
        else:
            numbers = {scenario.key: [0] for scenario in study.scenarios}
        asked = {scenario.key: index for index, scenario in enumerate(study.scenarios)}
        return [
            (asked[gap.scenario], begin, min(begin + size, gap.last))
            for gap in coverage.missing(numbers, self.pieces(), replicates)
            if gap.extension == extension and gap.scenario in asked
            for begin in range(gap.first, gap.last, size)
        ]

    def _last_extension(self) -> int:
        return max(number for own in self._numbers().values() for number in own.values())

    # --- blocks

    def save(
        self, scenario: str, first: int, last: int, blocks: Mapping[str, Block], extension: int = 0
    ) -> None:
        """Write one block's file, whole or not at all; merge it with others where it is small."""
        piece = self._save(scenario_folder(scenario), first, last, blocks, extension)
        if last - first > SMALL:
            return
        key = piece.scenario, piece.first_extension, piece.last_extension
        small = self._small.setdefault(key, [])
        small.append((piece, blocks))
        if len(small) % MERGED == 0:
            rest = [filed for row in adjoining(small) for filed in self._merge(row)]
            small[:] = rest if len(rest) <= MERGED else []  # what stays apart is not kept for ever

    def _save(
        self, scenario: str, first: int, last: int, blocks: Mapping[str, Block], extension: int
    ) -> Piece:
        """Write a file."""
        content = encoded(blocks, self.manifest_file.excerpt_for(scenario))
        target = self.folder / "blocks" / scenario
        target.mkdir(exist_ok=True)
        piece = Piece(scenario, first, last, target, extension, self._last_extension())
        piece = replace(
            piece, path=target / named(piece, self.manifest_file.last()["identity"], content)
        )
        save_bytes(content, piece.path)
        return piece

    def _merge(self, row: Sequence[Filed]) -> Sequence[Filed]:
        """Write blocks that follow one another into one file, then remove theirs; return the rest.

        Until they are removed the rows are there twice, and are read once.
        """
        if len(row) < FEWEST:
            return row
        (first, _), (last, _) = row[0], row[-1]
        blocks = {name: join([own[name] for _, own in row]) for name in row[0][1]}
        self._save(first.scenario, first.first, last.last, blocks, first.first_extension)
        for piece, _ in row:
            piece.path.unlink(missing_ok=True)
        return []

    def load(self, piece: Piece) -> dict[str, Block] | None:
        """Read one block's file, a block by estimator; None where it is damaged or another's."""
        content = self._content(piece)
        return None if content is None else decoded(content)

    def _content(self, piece: Piece) -> bytes | None:
        """Read a file's bytes; None where they are not what its name says."""
        content = piece.path.read_bytes()
        name = named(piece, self.manifest_file.last()["identity"], content)
        return content if piece.path.name == name else None

    def check(self) -> list[Path]:
        """Move damaged files aside, so that they are pending again; return their new places."""
        moved = []
        for piece in self.pieces():
            with contextlib.suppress(FileNotFoundError):  # another share merged it meanwhile
                if self._content(piece) is None:
                    name = f"{piece.scenario}-{piece.path.name}"
                    moved.append(move_damaged(self.folder, piece.path, name))
        return moved

    # --- rows

    def cells(self) -> list[list[Cell]]:
        """Return the labels of the stored rows: for each scenario one cell for each estimator."""
        return cells(self.manifest()["study"])

    def read(self, most: int | None = None) -> Iterator[Stored]:
        """Read the store, scenario by scenario: one (cell, joined block) for each estimator.

        Parameters
        ----------
        most : int, optional
            Read no more than the first so many replicates of each scenario.
        """
        # nothing of a scenario stays here while another reads it
        yield from filter(None, (joined(self, own, self._numbers(), most) for own in self.cells()))

    def rows(self, scenario: str, replicate: int) -> Stored:
        """Read what is stored of one replicate: a block of one for each estimator that answered."""
        own = next((own for own in self.cells() if own and own[0].scenario == scenario), [])
        found = joined(self, own, self._numbers(), None, replicate) if own else []
        return list(row_of(found, replicate))
