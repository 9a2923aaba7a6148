"""What a study gained since its folder was begun: which methods came when, and their blocks joined.

A folder is begun with extension 0. Methods and estimators that come later belong to extension 1, 2,
and so on; a block's file holds those from one extension to another, and the rest of a row comes
from another file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.records.block import Block, Cell, empty, join, leading
from simstudy.status import Status
from simstudy.warning_capture import SEPARATOR

Numbers = dict[str, dict[str, int]]
"""The extension with which each method came, by estimator."""

UNFINISHED = (Status.timeout, Status.crashed)


def numbered(stored: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> Numbers:
    """Number the extension with which each method came, by estimator.

    Parameters
    ----------
    stored, asked : mapping
        As the manifest keeps a study, and as it is asked for now.

    Examples
    --------
    >>> from simstudy.store.extension import numbered
    >>> begun = {"estimators": [{"name": "a", "methods": ["x"], "since": {"x": 0}}]}
    >>> numbered(begun, {"estimators": [{"name": "a", "methods": ["y", "x"]}]})
    {'a': {'y': 1, 'x': 0}}
    """
    before = {} if stored is None else {e["name"]: e["since"] for e in stored["estimators"]}
    known = [number for numbers in before.values() for number in numbers.values()]
    new = max(known, default=-1) + 1
    return {
        entry["name"]: {
            label: before.get(entry["name"], {}).get(label, new) for label in entry["methods"]
        }
        for entry in asked["estimators"]
    }


def extended(stored: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study as the manifest is to keep it: each method numbered, none of it lost."""
    numbers = numbered(stored, asked)
    estimators = [entry | {"since": numbers[entry["name"]]} for entry in asked["estimators"]]
    most = max(asked["replicates"], 0 if stored is None else stored["replicates"])
    return {**asked, "replicates": most, "estimators": estimators}


def methods(numbers: Numbers, first: int, last: int) -> dict[str, list[str]]:
    """List the methods of the extensions from `first` to `last`, by estimator.

    Examples
    --------
    >>> from simstudy.store.extension import methods
    >>> methods({"a": {"y": 1, "x": 0}, "b": {"x": 0}}, 1, 1)
    {'a': ['y']}
    """
    found = {
        name: [label for label, number in own.items() if first <= number <= last]
        for name, own in numbers.items()
    }
    return {name: labels for name, labels in found.items() if labels}


def gaps(spans: Collection[tuple[int, int]], replicates: int) -> list[tuple[int, int]]:
    """List the ranges below `replicates` that no span covers.

    Examples
    --------
    >>> from simstudy.store.extension import gaps
    >>> gaps([(2, 4), (3, 6)], 8)
    [(0, 2), (6, 8)]
    """
    at, found = 0, []
    for first, last in [*sorted(spans), (replicates, replicates)]:
        if at < min(first, replicates):
            found.append((at, min(first, replicates)))
        at = max(at, last)
    return found


def join_methods(
    cell: Cell, parts: Sequence[tuple[Sequence[str], Sequence[Block]]], most: int | None
) -> Block:
    """Join the blocks of one cell, whatever methods they hold.

    A method that has not yet answered for a replicate was not asked there, and has no rows. A
    replicate that was set aside with some methods is set aside with all of them.

    Parameters
    ----------
    cell : Cell
    parts : sequence of (labels, blocks)
        The methods of the blocks' files, and the blocks.
    most : int, optional
        Only the first so many replicates.
    """
    whole = [(list(labels), leading(join(blocks), most)) for labels, blocks in parts]
    if len(whole) == 1 and whole[0][0] == list(cell.methods):
        return whole[0][1]
    numbers = np.unique(np.concatenate([block.replicate for _, block in whole]))
    joined = empty(numbers.tolist(), len(cell.methods), len(cell.parameters))
    joined.status[:] = Status.not_asked
    for labels, block in whole:
        rows = np.searchsorted(numbers, block.replicate)
        columns = np.array([cell.methods.index(label) for label in labels])
        for name in ("se", "lower", "upper", "status", "seconds"):
            getattr(joined, name)[np.ix_(rows, columns)] = getattr(block, name)
        joined.estimate[rows] = block.estimate
    joined = replace(joined, audit=_audit(numbers, [block for _, block in whole]))
    status = joined.audit["status"]
    aside = np.isin(status, UNFINISHED)
    for values in (joined.estimate, joined.se, joined.lower, joined.upper):
        values[aside] = np.nan
    asked = joined.status != Status.not_asked
    joined.status[:] = np.where(asked & aside[:, None], status[:, None], joined.status)
    return joined


def _audit(numbers: Array, blocks: Sequence[Block]) -> dict[str, Array]:
    """Put diagnoses together: fits are the same in each part, what methods leave there adds up."""
    found = dict(empty(numbers.tolist(), 0, 0).audit)
    found["seconds"][:] = 0
    between = {"message": "; ", "warnings": SEPARATOR}
    texts: dict[str, list[dict[str, None]]] = {name: [{} for _ in numbers] for name in between}
    for block in blocks:
        rows: Array = np.searchsorted(numbers, block.replicate)
        plain = block.audit["plain_iterations"] > 0
        aside = np.isin(found["status"][rows], UNFINISHED)
        for name, values in block.audit.items():
            if name in between:
                for row, text in zip(rows.tolist(), values.tolist(), strict=True):
                    texts[name][row] |= dict.fromkeys(text.split(between[name]) if text else ())
            elif name in ("seconds", "failed_refits"):
                found[name][rows] += values
            elif name == "se_error":
                found[name][rows] = np.fmax(found[name][rows], values)
            else:
                chosen = plain if name.startswith("plain_") else ~aside
                found[name][rows[chosen]] = values[chosen]
    found["se_error"][np.isin(found["status"], UNFINISHED)] = np.nan
    for name, rows in texts.items():
        found[name] = np.array([between[name].join(row) for row in rows], dtype=np.str_)
    return found
