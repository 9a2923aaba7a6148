"""Sealed text: the manifest, and what every block keeps of it to make it again from them."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

MANIFEST = "manifest.json"
NEEDED = {"study", "runs", "identity", "accepted", "versions", "engine", "revision"}


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """Write a manifest with the checksum of all that it says.

    Examples
    --------
    >>> from simstudy.store.manifest import sealed
    >>> print(sealed({"engine": "loop"}).decode())
    {
     "engine": "loop",
     "checksum": "683893e8827904c7"
    }
    <BLANKLINE>
    """
    content = {name: value for name, value in manifest.items() if name != "checksum"}
    return as_json(content | {"checksum": _checksum(content)})


def unsealed(content: bytes, needed: Collection[str] = NEEDED) -> dict[str, Any]:
    """Read what `sealed` wrote.

    Parameters
    ----------
    content : bytes
    needed : collection of str
        Names without which it is of no use; by default those of a manifest.

    Raises
    ------
    ValueError
        When it cannot be read, or says anything else than what was written.
    """
    try:
        manifest = json.loads(content.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(manifest, dict):
        raise ValueError("it holds no names")
    stored = manifest.pop("checksum", None)
    if stored is None:
        raise ValueError("it has no checksum, as those of earlier versions of simstudy")
    if stored != _checksum(manifest):
        raise ValueError("its checksum is that of another text: it was edited or damaged")
    lacking = set(needed) - set(manifest)
    if lacking:
        raise ValueError(f"it names no {', '.join(sorted(lacking))}")
    return manifest


def as_json(value: Mapping[str, Any]) -> bytes:
    """Write plain values as JSON."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def excerpt(manifest: Mapping[str, Any], numbers: Collection[int]) -> bytes:
    """Write what a block keeps: all but the runs, and the scenarios of these numbers alone."""
    study = manifest["study"]
    own = [{**study["scenarios"][number], "number": number} for number in numbers]
    content = {name: value for name, value in manifest.items() if name != "runs"}
    first = manifest.get("first", {})
    content["first"] = {s["key"]: first[s["key"]] for s in own if s["key"] in first}
    return zlib.compress(as_json(content | {"study": {**study, "scenarios": own}}))


def read_excerpt(content: bytes) -> dict[str, Any]:
    """Read what `excerpt` wrote; ValueError where it is something else."""
    try:
        found: dict[str, Any] = json.loads(zlib.decompress(content).decode())
        return found
    except (zlib.error, RecursionError) as error:
        raise ValueError(str(error)) from error


def rebuilt(excerpts: Iterable[Mapping[str, Any]], why: str) -> dict[str, Any] | None:
    """Put a manifest together from what the blocks keep of it; None where there are none.

    The newest one tells how the study was last asked for. Scenarios of which nothing is stored are
    known to the study alone, and come back when it is run.
    """
    newest: dict[str, Any] = {}
    scenarios: dict[str, dict[str, Any]] = {}
    first: dict[str, Any] = {}
    replicates = 0
    for found in sorted(excerpts, key=lambda e: int(e["revision"])):
        newest = dict(found)
        replicates = max(replicates, found["study"]["replicates"])
        scenarios |= {scenario["key"]: scenario for scenario in found["study"]["scenarios"]}
        first |= found.get("first", {})
    if not newest:
        return None
    ordered = sorted(scenarios.values(), key=lambda s: (s["number"], s["key"]))
    plain = [{k: v for k, v in scenario.items() if k != "number"} for scenario in ordered]
    content = f"{MANIFEST} ({why}: made again from the blocks, which know no scenario without any)"
    return newest | {
        "study": {**newest["study"], "replicates": replicates, "scenarios": plain},
        "runs": [],
        "first": first,
        "accepted": [*newest["accepted"], content],
    }


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(as_json(content), digest_size=8).hexdigest()
