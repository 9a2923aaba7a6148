"""How far a results folder is: how the looks of `until` ended, and what is there of what was asked.

The looks' outcome stands in `looks.json` beside the manifest: scenarios end at sizes of their own.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from simstudy.evidence.verdicts import RULE, Rule
from simstudy.files.writing import atomic_path
from simstudy.store.journal import Store
from simstudy.store.manifest import sealed, unsealed

LOOKS = "looks.json"


class End(NamedTuple):
    """How a scenario ended: at which size, whether precise, and which methods never will be."""

    size: int
    reached: bool
    without: tuple[str, ...]


class Extent(NamedTuple):
    """How far a scenario is.

    Attributes
    ----------
    scenario : str
        Its key.
    there, asked : int
        Replicates stored, and asked for; 0 where a goal must still tell how many.
    goal : str
        What was not reached, at the most replicates or so far; empty where nothing is open.
    """

    scenario: str
    there: int
    asked: int
    goal: str = ""

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is there."""
        return 0 < self.asked <= self.there


def extent(folder: Path) -> list[Extent]:
    """Tell how far every scenario of a results folder is, by what was last asked for.

    After a run towards a goal each scenario has its own number of replicates, and is complete with
    that.

    Raises
    ------
    StudyError
        When the folder holds no results.
    """
    store = Store(folder)
    manifest = store.manifest()
    goal = manifest.get("goal")
    ends = _looks(folder)[0]["scenarios"] if goal else {}
    found = []
    for key, there in store.done().items():
        if not goal:
            found.append(Extent(key, there, manifest["study"]["replicates"]))
            continue
        end = ends.get(key, {})
        if [end.get("until"), end.get("most")] != list(goal):
            found.append(Extent(key, there, 0, goal[0]))
        else:
            found.append(Extent(key, there, end["replicates"], "" if end["reached"] else goal[0]))
    return found


def lacking(folder: Path) -> str:
    """Say what was asked for and is not there, and how to go on; nothing where all is there.

    Raises
    ------
    StudyError
        When the folder holds no results.
    """
    parts = extent(folder)
    short = [part for part in parts if not part.complete]
    if not short:
        return ""
    text = f"Incomplete: {len(parts) - len(short)} of {len(parts)} scenarios have all replicates."
    none = [part.scenario for part in short if not part.there]
    some = [
        f"{part.scenario} ({part.there:,}{f' of {part.asked:,}' if part.asked else ''})"
        for part in short
        if part.there
    ]
    if some:
        text += f" Begun: {_few(some)}."
    if none:
        text += f" Without any: {_few(none)}."
    words = shlex.split(Store(folder).manifest().get("command", ""))
    while "--scenario" in words:
        at = words.index("--scenario")
        del words[at : at + 2]
    return f"{text} To run the rest: {shlex.join(words)}" if words else text


def rule_of(folder: Path) -> Rule:
    """Return the rule by which a results folder is judged: that of its looks, if it had any.

    Examples
    --------
    >>> from pathlib import Path
    >>> from simstudy.store.looks import rule_of
    >>> rule_of(Path("no such folder")).confidence
    0.95
    """
    return replace(RULE, confidence=_looks(folder)[0]["confidence"])


def notes(folder: Path) -> list[str]:
    """Say in words how the looks of a results folder ended; nothing where it had none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from simstudy.store.looks import notes
    >>> notes(Path("no such folder"))
    []
    """
    stored, trouble = _looks(folder)
    ends = stored["scenarios"]
    if not ends:
        return [trouble] if trouble else []
    sizes = [end["replicates"] for end in ends.values()]
    goals = ", ".join(sorted({end["until"] for end in ends.values()}))
    count = " to ".join(f"{size:,}" for size in sorted({min(sizes), max(sizes)}))
    sentences = [
        f"Each scenario was run on until it had reached its goal ({goals}), with {count} "
        "replicates."
    ]
    if stored["confidence"] > RULE.confidence:
        sentences.append(
            f"Every look at the verdicts has a confidence of {stored['confidence']:.4g}, so that "
            f"all looks together keep {RULE.confidence:g}."
        )
    short = [key for key, end in ends.items() if not end["reached"]]
    if short:
        sentences.append(f"Not reached at the most replicates: {_few(short)}.")
    without = [f"{key}: {', '.join(end['without'])}" for key, end in ends.items()
               if end.get("without")]  # fmt: skip
    if without:
        sentences.append(f"Never precise, and not waited for: {_few(without)}.")
    return sentences


def note(folder: Path, goal: tuple[str, int], rule: Rule, ended: Mapping[str, End]) -> None:
    """Keep how scenarios ended on the way to a goal, and by which rule, for report and status.

    Parameters
    ----------
    folder : Path
        The results folder.
    goal : (str, int)
        What was to be reached, and the most replicates.
    rule : Rule
        By which each look was judged.
    ended : mapping of str to End
        By key of the scenario.
    """
    stored, _ = _looks(folder)
    # an earlier sequence of looks keeps its share of the error
    confidence = max(rule.confidence, stored["confidence"])
    before = stored["scenarios"]
    now = {
        key: {"until": goal[0], "most": goal[1], "replicates": end.size,
              "reached": end.reached, "without": list(end.without)}
        for key, end in ended.items()
    }  # fmt: skip
    content = {"confidence": confidence, "scenarios": before | now}
    with atomic_path(folder / LOOKS) as draft:
        draft.write_bytes(sealed(content))


def _looks(folder: Path) -> tuple[dict[str, Any], str]:
    """Read how looks ended, and what is wrong with the file; without one, as if there were none."""
    none = {"confidence": RULE.confidence, "scenarios": {}}
    try:
        stored = unsealed((Path(folder) / LOOKS).read_bytes(), ("confidence", "scenarios"))
        ends = {
            str(key): {"until": str(end["until"]), "most": int(end.get("most", 0)),
                       "replicates": int(end["replicates"]), "reached": bool(end["reached"]),
                       "without": [str(name) for name in end.get("without", [])]}
            for key, end in stored["scenarios"].items()
        }  # fmt: skip
        confidence = replace(RULE, confidence=float(stored["confidence"])).confidence
    except FileNotFoundError:
        return none, ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        return none, (
            f"{LOOKS} cannot be read ({type(error).__name__}), so that verdicts are those of a "
            "single look: run --until again."
        )
    return {"confidence": confidence, "scenarios": ends}, ""


def _few(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = f"; {len(names) - 5} more" if len(names) > 5 else ""
    return "; ".join(names[:5]) + more
