"""The command `simstudy run`: a plan, the run, and what a terminal shows of its result."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simstudy.command.exit_status import DONE, INCOMPLETE, NOTHING_FITTED
from simstudy.command.sharing import shard
from simstudy.command.terminal import add_study, say
from simstudy.files.writing import duration, printable, relative_path
from simstudy.garbage_collection import gc_paused
from simstudy.processes.interrupts import INTERRUPTED, last_words, set_last_words
from simstudy.user_code.tracebacks import short_traceback

if TYPE_CHECKING:
    from simstudy.execution.runner import Outcome
    from simstudy.execution.sequential import Goal
    from simstudy.result import Published

RUN_EXAMPLE = "simstudy run gamma --replicates 200 --jobs 2 --out elsewhere/gamma"


def describe_run(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy run`."""
    add_study(command)
    add = command.add_argument
    add("--replicates", type=int, metavar="N", help="data sets per scenario")
    add("--until", metavar="GOAL", help="instead of --replicates: go on, scenario by scenario, "
        "until every verdict has fallen (verdict), or until the Monte Carlo error of a measure is "
        "small enough (cover:0.005)")  # fmt: skip
    add("--max-replicates", type=int, default=10_000, metavar="N",
        help="where --until ends in any case (default: 10000)")  # fmt: skip
    add("--jobs", type=int, default=-1, metavar="N",
        help="worker processes; -1, the default, is one for each core")  # fmt: skip
    add("--engine", choices=("auto", "loop", "batched"), default="auto",
        help="the loop around SciPy, or compiled JAX programs; auto, the default, picks by the "
        "amount of work")  # fmt: skip
    add("--seed", type=int, metavar="S", help="instead of the study's own")
    add("--scenario", type=int, action="append", metavar="K",
        help="only this scenario, by number; may be given again")  # fmt: skip
    add("--block", type=int, metavar="N", help="replicates per stored block; changes no number")
    add("--dry-run", action="store_true", help="say what would be run, where, by which engine and "
        "about how long; nothing is written")  # fmt: skip
    add("--fresh", action="store_true", help="begin anew; what the folder holds is moved aside")
    add("--accept-code", action="store_true",
        help="go on although code was changed; the report says what")  # fmt: skip
    add("--accept-versions", action="store_true", help="go on although workers of --dask run other "
        "versions than this computer; the report says which")  # fmt: skip
    add("--shard", type=shard, metavar="I/N",
        help="run one share of N, beside others in the same folder")  # fmt: skip
    add("--dask", metavar="ADDRESS",
        help="run on a Dask cluster: tcp://scheduler:8786, or local")  # fmt: skip
    add("--timeout", type=float, metavar="SECONDS",
        help="time limit of a replicate; beyond it its status is timeout")  # fmt: skip
    add("--max-fail", type=float, metavar="SHARE",
        help="stop when more than this share of the fits has failed")  # fmt: skip
    add("--quiet", action="store_true", help="no progress and no verdict table")


def run(options: argparse.Namespace) -> int:
    """Run a study and write its report."""
    from simstudy.execution.workers import warm_up

    set_last_words("nothing is stored yet", _again(options))
    if options.jobs != 1 and options.dask is None:
        warm_up()
    with gc_paused():
        import simstudy.execution.runner  # noqa: F401
        from simstudy.design.loading import load
        from simstudy.errors import StudyError

    if options.block is not None and options.block < 1:
        raise StudyError(f"--block is {options.block}; give at least 1")
    home = Path.cwd()  # which the study's code may leave
    study, reference = load(options.study)
    folder = home / (options.out or Path("results") / study.name)
    aim = None if options.until is None else _goal(options)
    with _executor(options) as executor:
        how = _how(options, reference, folder, executor)
        if options.dry_run:
            return _show_plan(study, aim, how)
        outcome = _outcome(study, aim, how)
    if outcome.interrupted:
        print(f"\n{last_words()}", file=sys.stderr)
        return INTERRUPTED
    if options.shard is not None:
        print(f"share {options.shard[0]} of {options.shard[1]} is done; when all are: simstudy "
              f"collect {options.study}")  # fmt: skip
        return DONE
    published = _published(outcome, relative_path(folder, home))
    if published is None:
        return INCOMPLETE
    if not options.quiet:
        _show(published, outcome, relative_path(published.path, home))
    return _judged(published, outcome, options)


def _how(options: argparse.Namespace, reference: Any, folder: Path, executor: Any) -> Any:
    """Put the command's options into those of a run."""
    from simstudy.execution.options import Options

    return Options(
        reference=reference, out=folder, replicates=options.replicates, jobs=options.jobs,
        engine=options.engine, size=options.block, seed=options.seed, scenarios=options.scenario,
        executor=executor, timeout=options.timeout, max_fail=options.max_fail, shard=options.shard,
        fresh=options.fresh, accept_code=options.accept_code,
        accept_versions=options.accept_versions, quiet=options.quiet, command=_again(options),
    )  # fmt: skip


def _goal(options: argparse.Namespace) -> Goal:
    """Read what `--until` asks for."""
    from simstudy.errors import StudyError
    from simstudy.execution.sequential import goal

    try:
        return goal(options.until, options.max_replicates)
    except ValueError as error:
        raise StudyError(f"--until: {error}") from error


def _show_plan(study: Any, aim: Goal | None, how: Any) -> int:
    """Print what would be run."""
    from simstudy.execution.plan import preflight

    if aim is not None:
        from simstudy.execution.sequential import first_step

        how = first_step(study, aim, how)
    print(preflight(study, how))
    print("nothing was written; the same command without --dry-run runs it")
    return DONE


def _outcome(study: Any, aim: Goal | None, how: Any) -> Outcome:
    """Run the study; what the end of a run takes is loaded meanwhile."""
    meanwhile = _prepare if how.shard is None else None
    if aim is not None:
        from simstudy.execution.sequential import run_until

        return run_until(study, aim, how, meanwhile)
    from simstudy.execution.plan import preflight
    from simstudy.execution.runner import execute

    return execute(preflight(study, how), meanwhile)


def _prepare() -> None:
    """Load what the end of a run takes."""
    with gc_paused():
        from simstudy.result import prepare

        prepare()


def _executor(options: argparse.Namespace) -> Any:
    """Connect to Dask where that is asked for."""
    if options.dask is None:
        return contextlib.nullcontext()
    from simstudy.execution.dask_cluster import connected
    from simstudy.execution.options import count_workers

    return connected(options.dask, count_workers(options.jobs))


def _published(outcome: Outcome, shown: Path) -> Published | None:
    """Write the report; None where that failed, which costs no replicate."""
    from simstudy.errors import StudyError

    try:
        from simstudy.result import Result

        return Result(outcome.folder).publish()
    except StudyError:
        raise
    except Exception as error:
        say(short_traceback(error))
        print(f"simstudy: the report failed; all replicates are stored in {shown}", file=sys.stderr)
        return None


def _show(published: Published, outcome: Outcome, report: Path) -> None:
    """Print the verdicts, what was done, and where the report is."""
    from simstudy.report.terminal import terminal_table
    from simstudy.store.journal import Store

    manifest = Store(outcome.folder).manifest()
    by = f"by the {manifest['engine']} engine ({printable(manifest['engine_why'])})"
    print(terminal_table(published.verdicts))
    print(f"{outcome.computed:,} replicates in {duration(outcome.seconds)}, {by}")
    print(f"report: {report}")


def _judged(published: Published, outcome: Outcome, options: argparse.Namespace) -> int:
    """Say what is wrong with a result, and return the exit status."""
    if published.alarms:
        more = len(published.alarms) - 1
        also = f" So it is in {more} more: see Mechanism in the report." if more else ""
        print(f"simstudy: {printable(published.alarms[0])}{also}", file=sys.stderr)
    if published.lacking:
        print(f"simstudy: {printable(published.lacking)}", file=sys.stderr)
    if not published.fitted:
        print("simstudy: nothing could be fitted; the report says why", file=sys.stderr)
        return NOTHING_FITTED
    if options.until is not None and outcome.done < outcome.asked:
        print(
            f"the goal {options.until} is not reached everywhere with {options.max_replicates:,} "
            "replicates; go on with more --max-replicates",
            file=sys.stderr,
        )
        return INCOMPLETE
    return INCOMPLETE if published.lacking else DONE


def _again(options: argparse.Namespace) -> str:
    """Write the command that runs this again."""
    words = ["simstudy", "run", str(options.study)]
    for name in ("replicates", "engine", "seed", "out", "dask", "timeout"):
        value = getattr(options, name)
        if value not in (None, "auto"):
            words += [f"--{name}", str(value)]
    if options.until is not None:
        words += ["--until", options.until, "--max-replicates", str(options.max_replicates)]
    for index in options.scenario or ():
        words += ["--scenario", str(index)]
    return shlex.join(words)
