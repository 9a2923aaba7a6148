"""The manifest of a results folder: read, made again from the blocks, and written."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simstudy.errors import StudyError
from simstudy.files.writing import save_bytes
from simstudy.store.block_files import excerpt_in, pieces, scenario_folder
from simstudy.store.manifest import MANIFEST, excerpt, rebuilt, sealed, unsealed

RUN = ("started", "seconds", "replicates")
"""What the entry of a run says at least."""


class ManifestFile:
    """`manifest.json` of a results folder, and the files of shares that are to go into it.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        """Look at a folder; nothing is created."""
        self.folder = folder
        self._last: dict[str, Any] | None = None
        self._excerpts: dict[str, bytes] = {}
        self._rebuilt: dict[str, dict[str, Any] | None] = {}

    def found(self) -> tuple[dict[str, Any] | None, str]:
        """Return the manifest, or what the blocks say of it, or None; and what was wrong with it.

        Nothing is wrong with one that is not there where there are no blocks either.
        """
        path = self.folder / MANIFEST
        try:
            return unsealed(path.read_bytes()), ""
        except (FileNotFoundError, NotADirectoryError):
            wrong = "is lost" if pieces(self.folder) else ""
        except ValueError as error:
            wrong = f"cannot be read: {error}"
        except OSError as error:
            raise StudyError(f"cannot read {path}: {error.strerror}") from error
        if wrong not in self._rebuilt:
            excerpts = (excerpt_in(piece) for piece in pieces(self.folder))
            self._rebuilt[wrong] = rebuilt((found for found in excerpts if found), wrong)
        return self._rebuilt[wrong], wrong

    def read(self) -> dict[str, Any]:
        """Return the manifest, or what the blocks say of it.

        Raises
        ------
        StudyError
            When there is none, or none that can be read.
        """
        found, wrong = self.found()
        if found is not None:
            return found
        if pieces(self.folder):
            raise StudyError(self.unknown(wrong))
        raise StudyError(
            f"{self.folder} holds no results ({MANIFEST} {wrong or 'is not there'}); run the study "
            "first, or give the right folder with --out"
        )

    def last(self) -> dict[str, Any]:
        """Return the manifest as it was when it was last written or needed here."""
        if self._last is None:
            self._last = self.read()
        return self._last

    def unknown(self, wrong: str) -> str:
        """Say that neither the manifest nor a block tells what the blocks belong to."""
        return (
            f"{self.folder} holds blocks, but {MANIFEST} {wrong}, and no block says what it "
            "belongs to; give another folder with --out, or begin anew with --fresh, which moves "
            "this one aside"
        )

    def excerpt_for(self, scenario: str) -> bytes:
        """Write what of the manifest is about the blocks in one scenario's folder."""
        if scenario not in self._excerpts:
            keys = [entry["key"] for entry in self.last()["study"]["scenarios"]]
            own = [number for number, key in enumerate(keys) if scenario_folder(key) == scenario]
            self._excerpts[scenario] = excerpt(self.last(), own)
        return self._excerpts[scenario]

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest."""
        save_bytes(sealed(manifest), self.folder / MANIFEST)
        self._last = None
        self._excerpts.clear()
        self._rebuilt.clear()

    def add_run(self, entry: Mapping[str, Any]) -> None:
        """Add one run: when it started, how long it took, how much it did."""
        manifest = self.read()
        manifest["runs"].append(dict(entry))
        self.write(manifest)

    def add_accepted(self, lines: Sequence[str]) -> None:
        """Keep what differed and was accepted, for the report."""
        manifest = self.read()
        new = [line for line in lines if line not in manifest["accepted"]]
        if new:
            manifest["accepted"] += new
            manifest["revision"] += 1
            self.write(manifest)

    def keep_share(self, share: str, entry: Mapping[str, Any]) -> None:
        """Keep one share's run in a file of its own until `gather_shares`."""
        (self.folder / "shares").mkdir(exist_ok=True)
        name = f"{share}.{entry['started'].replace(':', '')}.json"
        save_bytes(sealed(entry), self.folder / "shares" / name)

    def gather_shares(self) -> list[Path]:
        """Add the runs of shares; return where damaged ones were moved to."""
        paths = sorted((self.folder / "shares").glob("*.json"))
        entries, moved = [], []
        for path in paths:
            try:
                entries.append(unsealed(path.read_bytes(), RUN))
            except ValueError:
                moved.append(move_damaged(self.folder, path, path.name))
        if entries:
            manifest = self.read()
            self.write({**manifest, "runs": [*manifest["runs"], *entries]})
        for path in paths:
            path.unlink(missing_ok=True)
        return moved


def move_damaged(folder: Path, path: Path, name: str) -> Path:
    """Move a damaged file of a results folder aside; return its new place."""
    aside = folder / "damaged"
    aside.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside / name)
    return aside / name
