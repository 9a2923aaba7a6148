"""What of a study is stored and what is pending: by scenario, replicate and extension."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from simstudy.store.block_files import Piece, scenario_folder
from simstudy.store.extension import gaps


class Gap(NamedTuple):
    """Replicates that lack all methods of a scenario that came with an extension or later."""

    scenario: str
    extension: int
    first: int
    last: int


def extensions(study: Mapping[str, Any]) -> dict[str, list[int]]:
    """List the extensions that each scenario takes part in; the first alone at the beginning.

    An extension is numbered from 0; it came with methods that the scenario's estimators have.

    Parameters
    ----------
    study : mapping
        As the manifest keeps it.
    """
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


def missing(
    numbers: Mapping[str, Sequence[int]], pieces: Iterable[Piece], replicates: int
) -> Iterator[Gap]:
    """Yield what is not stored below so many replicates; no replicate of a scenario twice.

    Parameters
    ----------
    numbers : mapping of str to sequence of int
        As `extensions` returns them.
    pieces : iterable of Piece
        The files that are there.
    replicates : int
    """
    stored: dict[str, list[Piece]] = {}
    for piece in pieces:
        stored.setdefault(piece.scenario, []).append(piece)
    for key, own in numbers.items():
        found: list[tuple[int, int]] = []
        for number in own:
            held = [(piece.first, piece.last) for piece in stored.get(scenario_folder(key), ())
                    if piece.first_extension <= number <= piece.last_extension]  # fmt: skip
            lacking = gaps([*held, *found], replicates)
            found += lacking
            yield from (Gap(key, number, first, last) for first, last in lacking)


def stored_of(study: Mapping[str, Any], pieces: Iterable[Piece]) -> dict[str, int]:
    """Count the stored replicates of those that a manifest's study asks for, by scenario."""
    counts = Counter({scenario["key"]: study["replicates"] for scenario in study["scenarios"]})
    for gap in missing(extensions(study), pieces, study["replicates"]):
        counts[gap.scenario] -= gap.last - gap.first
    return dict(counts)
