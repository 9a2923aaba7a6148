"""Lines on the terminal, and the arguments that commands have in common."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from simstudy.files.writing import printable


def say(text: str) -> None:
    """Print lines, of which not all are ours, on standard error."""
    for line in text.splitlines():
        print(printable(line), file=sys.stderr)


def add_study(command: argparse.ArgumentParser) -> None:
    """Add what names a study and its folder."""
    command.add_argument("study", metavar="STUDY", help="a name in studies/, or a path to a file")
    command.add_argument("--out", type=_folder_name, metavar="DIR",
                         help="folder of the results (default: results/<name>)")  # fmt: skip


def results_of(options: argparse.Namespace) -> Path:
    """Return the results folder of a study, which need not be importable any more."""
    if options.out is not None:
        return Path(options.out)
    if any((Path(options.study) / name).exists() for name in ("manifest.json", "blocks")):
        return Path(options.study)
    name = Path(options.study).stem if options.study.endswith(".py") else options.study
    if (Path("results") / name).is_dir():
        return Path("results") / name
    from simstudy.design.loading import load

    home = Path.cwd()
    return home / "results" / load(options.study)[0].name


def _folder_name(text: str) -> Path:
    """Read the name of a folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; leave --out out for results/<name>")
    return Path(text)
