"""The command `simstudy replay`: one replicate again, and whether it is what was stored."""

from __future__ import annotations

import argparse
from pathlib import Path

from simstudy.command.exit_status import DONE, WRONG_INPUT
from simstudy.command.terminal import add_study
from simstudy.files.writing import relative_path

REPLAY_EXAMPLE = "simstudy replay gamma --scenario 3 --replicate 174"


def describe_replay(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy replay`."""
    add_study(command)
    add = command.add_argument
    add("--scenario", type=int, required=True, metavar="K", help="its number")
    add("--replicate", type=int, required=True, metavar="I", help="from 0")
    add("--seed", type=int, metavar="S", help="instead of that of the results, or of the study "
        "where there are none")  # fmt: skip
    add("--save", type=Path, metavar="FILE.npz", help="save its data, too")
    add("--pdb", action="store_true", help="open the debugger at the first exception in it")


def replay(options: argparse.Namespace) -> int:
    """Run one replicate again and show it."""
    from dataclasses import replace

    from simstudy.design.loading import load
    from simstudy.errors import StudyError
    from simstudy.execution import replay as replaying
    from simstudy.execution.replay_comparison import differences_from_stored
    from simstudy.execution.replay_text import show
    from simstudy.store.journal import Store

    home = Path.cwd()
    study, reference = load(options.study)
    store = Store(home / (options.out or Path("results") / study.name))
    manifest = store.manifest() if options.out or store.begun() else None
    if options.seed is not None:
        study = replace(study, seed=options.seed)
    elif manifest is not None:
        study = replace(study, seed=manifest["study"]["seed"])
    if not 0 <= options.scenario < len(study.scenarios):
        keys = "\n  ".join(f"{i}: {s.key}" for i, s in enumerate(study.scenarios))
        raise StudyError(f"no scenario {options.scenario}; there are\n  {keys}")
    if options.replicate < 0:
        raise StudyError(f"--replicate is {options.replicate}; replicates count from 0")
    place = options.scenario, options.replicate
    engine = manifest["engine"] if manifest else "loop"
    again = replaying.replay(study, *place, engine)
    print(show(study, *place, again))
    differences = None
    if manifest and manifest["study"]["seed"] == study.seed:
        differences = differences_from_stored(study, reference, *place, again, store)
    print(f"\nby the {engine} engine; {_compared(differences, relative_path(store.folder, home))}")
    if options.pdb:
        replaying.debug(study, *place)
    if options.save is not None:
        replaying.save(study, *place, options.save)
        print(f"data: {options.save}")
    return WRONG_INPUT if differences else DONE


def _compared(differences: list[str] | None, shown: Path) -> str:
    """Say whether the replicate is what was stored."""
    if differences is None:
        return f"nothing is stored of it in {shown}"
    if differences:
        return "NOT WHAT IS STORED:\n" + "\n".join(differences)
    return "the same as what is stored, bit for bit"
