"""The commands for many machines without a cluster library: `slurm`, `status` and `collect`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

SLURM_EXAMPLE = "simstudy slurm gamma --tasks 200 > gamma.sh; sbatch gamma.sh"
STATUS_EXAMPLE = "simstudy status gamma"
COLLECT_EXAMPLE = "simstudy collect gamma"

_DONE, _INCOMPLETE = 0, 3

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=1-{tasks}
#SBATCH --ntasks=1 --cpus-per-task=1 --mem=2G --time=04:00:00
#SBATCH --signal=TERM@60
# One task runs one share of every scenario; a task that was stopped goes on when it is sent again.
# The folder must be on a disk that all nodes see.
cd {here}
exec {python} -m simstudy run {study} --out {out} --jobs 1 --quiet \\
  --shard "$SLURM_ARRAY_TASK_ID/{tasks}"
# when all are done: simstudy collect {study} --out {out}
"""


def describe_slurm(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy slurm`."""
    command.add_argument("--tasks", type=int, required=True, metavar="N", help="size of the array")


def shard(text: str) -> tuple[int, int]:
    """Read `I/N`, the share of a run: 1 <= I <= N."""
    part, _, parts = text.partition("/")
    if part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise argparse.ArgumentTypeError(f"{text!r} is no share; give I/N with I from 1 to N")


def slurm(study: str, folder: Path, tasks: int) -> int:
    """Print the script of a SLURM array."""
    from simstudy.errors import StudyError

    if tasks < 1:
        raise StudyError(f"--tasks is {tasks}; give at least 1")
    parts = {"study": study, "out": folder.resolve(), "here": Path.cwd(), "python": sys.executable}
    words = {name: shlex.quote(str(value)) for name, value in parts.items()}
    print(_SCRIPT.format(tasks=tasks, name=shlex.quote(folder.name), **words), end="")
    return _DONE


def status(folder: Path) -> int:
    """Say how far a results folder is and who works on it."""
    from simstudy.files.folder_lock import holders
    from simstudy.files.writing import printable
    from simstudy.store.looks import extent

    parts = extent(folder)
    for part in parts:
        asked = f" of {part.asked:,}" if part.asked else ""
        goal = f", {part.goal} not reached" if part.goal else ""
        print(f"{part.there:>12,}{asked} replicates{goal}  {printable(part.scenario)}")
    for holder in holders(folder):
        print(f"in use by {holder}")
    return _DONE if all(part.complete and not part.goal for part in parts) else _INCOMPLETE


def collect(folder: Path) -> int:
    """Check what shares of a run have stored, and write the report of it."""
    from simstudy.files.folder_lock import lock_manifest
    from simstudy.result import Result
    from simstudy.store.journal import Store

    store = Store(folder)
    for path in store.check():
        print(f"damaged block moved aside, to be run again: {path}", file=sys.stderr)
    if store.begun():
        with lock_manifest(folder):
            for path in store.manifest_file.gather_shares():
                print(f"damaged note of a share's run moved aside: {path}", file=sys.stderr)
    print(f"report: {Result(folder).report()}")
    return status(folder)
