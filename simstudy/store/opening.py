"""What a manifest is to say of the study that is asked for, or why the folder is refused to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from simstudy.errors import StudyError
from simstudy.store import witness
from simstudy.store.extension import extended
from simstudy.store.fingerprint import differences, renewed, versions
from simstudy.store.manifest import as_json


class Proposal(NamedTuple):
    """What the manifest is to say of a study.

    Attributes
    ----------
    study : dict
        The study with its extensions numbered.
    history : dict
        What else stays of earlier runs, or begins.
    settled : bool
        Whether the manifest says all of that already.
    """

    study: dict[str, Any]
    history: dict[str, Any]
    settled: bool


def begun_anew(asked: Mapping[str, Any], first: Mapping[str, Any]) -> Proposal:
    """Propose the manifest of a folder in which there is nothing.

    Parameters
    ----------
    asked : mapping
        The study, as `fingerprint.describe` returns it.
    first : mapping
        What replicate 0 gives, as `witness.answers` returns it.
    """
    study = extended(None, asked)
    history = {"runs": [], "identity": identity(study), "accepted": [], "revision": 0,
            "first": dict(first)}  # fmt: skip
    return Proposal(study, history, False)


def gone_on_with(
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    first: Mapping[str, Any],
    folder: Path,
    *,
    accept_code: bool,
) -> Proposal:
    """Propose the manifest of a folder that goes on with a study, perhaps with more of it.

    Raises
    ------
    StudyError
        When the folder holds another study, or other answers, that are not accepted.
    """
    lines = differences(stored["study"], asked, code=not accept_code)
    if lines:
        raise StudyError(
            f"{folder} holds another study, and results are never mixed:\n  "
            + "\n  ".join(lines)
            + "\ngive another folder with --out, begin anew with --fresh, or, where only "
            "code differs and no number does, go on with --accept-code"
        )
    newer = renewed(stored["versions"], versions())
    before = stored.get("first", {})
    other = witness.differing_answers(before, first)
    if other and not accept_code:
        raise StudyError(witness.refusal(folder, other, newer))
    study = extended(stored["study"], asked)
    changed = differences(stored["study"], study) + other + newer
    answers = witness.merged(*((first, before) if other else (before, first)))
    history = {
        "runs": stored["runs"],
        "identity": stored["identity"],
        "accepted": list(dict.fromkeys(stored["accepted"] + changed)),
        "revision": stored["revision"] + 1,
        "first": answers,
    }
    same = as_json(study) == as_json(stored["study"]) and answers == before
    return Proposal(study, history, same and not changed)


def identity(study: Mapping[str, Any]) -> str:
    """Hash the study that a folder is begun with: blocks of another one are told by it."""
    content = {name: value for name, value in study.items() if name not in ("aims", "replicates")}
    return hashlib.blake2b(as_json(content), digest_size=8).hexdigest()
