"""Planning on the command line: `simstudy plan` and `simstudy selftest`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PLAN_EXAMPLE = """\
simstudy plan --measure cover --mcse 0.005
  simstudy plan --measure bias --mcse 0.01 --sd 0.3
  simstudy plan gamma --measure relerror --mcse 1      from the results of gamma so far"""

SELFTEST_EXAMPLE = "simstudy selftest --quick"

_DONE, _SHORT = 0, 1


def describe_plan(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy plan`."""
    add = command.add_argument
    add("study", nargs="?", metavar="STUDY", help="a study with results, its pilot")
    add("--out", type=Path, metavar="DIR", help="folder of the results (default: results/<name>)")
    add("--measure", required=True, metavar="NAME", help="such as cover, bias, relerror")
    add("--mcse", type=float, required=True, metavar="X",
        help="the Monte Carlo error it is to have, in its own unit")  # fmt: skip
    add("--level", type=float, default=0.95, metavar="P", help="nominal level (default: 0.95)")
    add("--share", type=float, metavar="P", help="expected share, for power, fail and the like")
    add("--sd", type=float, metavar="X", help="standard deviation of the estimates")


def describe_selftest(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy selftest`."""
    command.add_argument("--quick", action="store_true", help="a fifth of the replicates")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("results/selftest.csv"),
        metavar="FILE",
        help="where to keep the outcome: reports look beside their folder (default: %(default)s)",
    )


def plan(options: argparse.Namespace, folder: Path | None) -> int:
    """Say how many replicates a precision takes, by theory and by the pilot."""
    from simstudy.errors import StudyError
    from simstudy.evidence.sample_size import theory

    target = f"{options.measure} to a Monte Carlo error of {options.mcse:g}"
    try:
        count = theory(
            options.measure, options.mcse, level=options.level, sd=options.sd, share=options.share
        )
        print(f"{target}: {count:,} replicates, by theory")
    except ValueError as error:
        if folder is None:
            raise StudyError(str(error)) from error
    if folder is not None:
        _pilot(options.measure, options.mcse, folder, target)
    return _DONE


def _pilot(measure: str, mcse: float, folder: Path, target: str) -> None:
    """Print what the results so far say, scenario by scenario."""
    from simstudy.errors import StudyError
    from simstudy.evidence.montecarlo import FEWEST
    from simstudy.evidence.sample_size import pilot, summary
    from simstudy.files.writing import duration
    from simstudy.result import Result

    result = Result(folder)
    try:
        needed = pilot(result.performance(), measure, mcse)
    except ValueError as error:
        raise StudyError(str(error)) from error
    needed["needed"] = needed["needed"].where(needed["n"] >= FEWEST)
    print(f"{target}, by the results in {folder}; the method that needs most, by scenario:")
    for row in summary(needed).to_dict("records"):
        few = f"too few: {FEWEST} answers are needed" if row["n"] < FEWEST else "these do not say"
        count = f"{row['needed']:,.0f}" if row["needed"] > 0 else few
        print(
            f"  {row['scenario']}: {count} "
            f"({row['method']}, {row['parameter']}: {row['value']:.4g}, MCSE {row['mcse']:.2g} "
            f"from {row['n']:,})"
        )
    runs = result.manifest()["runs"]
    done = sum(run["replicates"] for run in runs)
    most = float(needed["needed"].max())
    if done and most > 0:
        pace = sum(run["seconds"] for run in runs) / done
        scenarios = len(result.manifest()["study"]["scenarios"])
        print(f"all scenarios with {most:,.0f}: about {duration(pace * most * scenarios)} in all")


def selftest(options: argparse.Namespace) -> int:
    """Run the self-test; print its table and keep it for reports."""
    from simstudy.errors import StudyError
    from simstudy.files.writing import save_csv
    from simstudy.selftest import run_selftest, selftest_table

    found = run_selftest(quick=options.quick)
    print(selftest_table(found))
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        save_csv(found, options.out)
    except OSError as error:
        raise StudyError(f"cannot write {options.out}: {error.strerror or error}") from error
    bad = found[~found["passed"]]
    if len(bad):
        print(f"simstudy: {len(bad)} of {len(found)} checks fall short", file=sys.stderr)
        return _SHORT
    print(f"all {len(found)} checks hold")
    return _DONE
