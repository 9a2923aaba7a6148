"""The stored rows of a study: its blocks joined by scenario and estimator, with their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from simstudy.errors import StudyError
from simstudy.records.block import Block, Cell
from simstudy.store.block_files import Piece, listed, scenario_folder
from simstudy.store.extension import Numbers, join_methods, methods

Stored = list[tuple[Cell, Block]]
"""Of one scenario: for each estimator that answered its labels and its block."""


class Loading(Protocol):
    """Whoever reads one block's file."""

    folder: Path

    def load(self, piece: Piece) -> dict[str, Block] | None:
        """Read the blocks of a file by estimator; None where it is damaged."""


def cells(study: Mapping[str, Any]) -> list[list[Cell]]:
    """Return the labels of the stored rows: for each scenario one cell for each estimator.

    Parameters
    ----------
    study : mapping
        As the manifest keeps it.
    """
    factors = _of_one_type([scenario["factors"] for scenario in study["scenarios"]])
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


def joined(
    store: Loading, own: Sequence[Cell], numbers: Numbers, most: int | None, only: int | None = None
) -> Stored:
    """Join the blocks of one scenario; an empty list where there are none.

    Parameters
    ----------
    store : Store
    own : sequence of Cell
        The scenario's.
    numbers : mapping
        The extension of each method, by estimator.
    most : int, optional
        Only the first so many replicates.
    only : int, optional
        Only the blocks with this replicate.
    """
    blocks = _loaded(store, own[0].scenario, most, only)
    found = []
    for cell in own:
        parts = []
        for span, files in blocks.items():
            labels = methods(numbers, *span).get(cell.estimator)
            if labels:
                parts.append((labels, [by_name[cell.estimator] for by_name in files]))
        if parts:
            found.append((cell, join_methods(cell, parts, most)))
    return found


def row_of(found: Iterable[tuple[Cell, Block]], replicate: int) -> Iterator[tuple[Cell, Block]]:
    """Yield a block of this one replicate for each estimator that answered."""
    for cell, block in found:
        rows = block.replicate == replicate
        if rows.any():
            yield cell, Block.from_arrays({n: values[rows] for n, values in block.arrays().items()})


def _loaded(
    store: Loading, scenario: str, most: int | None, only: int | None
) -> dict[tuple[int, int], list[dict[str, Block]]]:
    """Load a scenario's blocks, by the extensions that they hold."""
    for _ in range(10):
        found: dict[tuple[int, int], list[dict[str, Block]]] = {}
        try:
            for piece in listed(store.folder / "blocks" / scenario_folder(scenario)):
                if most is not None and piece.first >= most:
                    continue
                if only is not None and not piece.first <= only < piece.last:
                    continue
                blocks = store.load(piece)
                if blocks is None:
                    raise StudyError(
                        f"{store.folder} has damaged blocks of scenario {scenario!r}; "
                        "run the study again: they are found, moved aside and computed anew"
                    )
                span = piece.first_extension, piece.last_extension
                found.setdefault(span, []).append(blocks)
            return found
        except FileNotFoundError:  # another process merged it meanwhile
            continue
    raise StudyError(f"{store.folder} changes while it is read; wait for the run that does that")


def _of_one_type(factors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every scenario all factors, each of one type: words, or numbers, or whole numbers."""
    found: list[dict[str, Any]] = [{} for _ in factors]
    for name in dict.fromkeys(name for own in factors for name in own):
        values = [own.get(name) for own in factors]
        words = any(isinstance(value, str | bool) for value in values)
        whole = all(isinstance(value, int) for value in values)
        for row, value in zip(found, values, strict=True):
            if words:
                row[name] = "" if value is None else str(value)
            else:
                row[name] = value if whole else np.nan if value is None else float(value)
    return found
