"""One replicate again, held against what is stored of it, bit for bit."""

from __future__ import annotations

from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.execution.replay import Replay
from simstudy.records.block import Block, Cell
from simstudy.status import Status
from simstudy.store.fingerprint import describe, differences, renewed, versions
from simstudy.store.journal import Store

MOST_LINES = 12


def differences_from_stored(
    study: Study,
    reference: Reference | None,
    index: int,
    replicate: int,
    again: Replay,
    store: Store,
) -> list[str] | None:
    """Hold a replicate that was run again against its stored rows, bit for bit.

    Parameters
    ----------
    study : Study
    reference : Reference, optional
        Its file.
    index, replicate : int
        Numbers of scenario and replicate.
    again : Replay
        By the engine that the store was begun with.
    store : Store

    Returns
    -------
    list of str or None
        None where nothing of it is stored; nothing where all is the same; else what differs, and
        after it what changed since.
    """
    stored = store.rows(study.scenarios[index].key, replicate)
    if not stored:
        return None
    lines = [
        line
        for cell, block in stored
        for line in _differences(cell, block, again.blocks.get(cell.estimator), study)
    ]
    if not lines:
        return []
    more = [f"  and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    manifest = store.manifest()
    changed = differences(manifest["study"], describe(study, reference))
    changed += renewed(manifest["versions"], versions())
    changed += [f"{line} (an earlier run went on in spite of it)" for line in manifest["accepted"]]
    why = ["what changed:", *(f"  {line}" for line in changed)] if changed else [
        "no code, data file or version that simstudy knows of changed: the study takes numbers "
        "from elsewhere, such as a clock, a file or a generator of its own, or the row was written "
        "on another machine"
    ]  # fmt: skip
    return [*(f"  {line}" for line in lines[:MOST_LINES]), *more, *why]


def _differences(cell: Cell, stored: Block, again: Block | None, study: Study) -> list[str]:
    """Name the numbers of one estimator that differ, with both."""
    if again is None:
        return [f"{cell.estimator}: stored, but not asked for"]
    estimator = next(e for e in study.estimators if e.name == cell.estimator)
    if tuple(estimator.parameters) != cell.parameters:
        return [f"{cell.estimator}: parameters stored {cell.parameters}, now "
                f"{tuple(estimator.parameters)}"]  # fmt: skip
    lines, seen = [], False
    for m, label in enumerate(cell.methods):
        if stored.status[0, m] == Status.not_asked or label not in estimator.labels:
            continue
        k = estimator.labels.index(label)
        words = [Status(int(block.status[0, at])).name for block, at in ((stored, m), (again, k))]
        if words[0] != words[1]:
            lines.append(f"{cell.estimator}, {label}: stored {words[0]}, now {words[1]}")
        for j, name in enumerate(cell.parameters):
            pairs = {"se": (stored.se[0, m, j], again.se[0, k, j]),
                     "lower": (stored.lower[0, m, j], again.lower[0, k, j]),
                     "upper": (stored.upper[0, m, j], again.upper[0, k, j])}  # fmt: skip
            if not seen:
                pairs = {"estimate": (stored.estimate[0, j], again.estimate[0, j])} | pairs
            lines += [
                f"{cell.estimator}, {label}, {name}, {what}: stored {float(one)!r}, now "
                f"{float(other)!r}"
                for what, (one, other) in pairs.items()
                if float(one).hex() != float(other).hex()
            ]
        seen = True
    return lines
