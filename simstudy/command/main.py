"""The command line. Imports stay inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simstudy.command.performance import (
    EXPORT_EXAMPLE,
    PERFORMANCE_EXAMPLE,
    describe_export,
    describe_performance,
    export,
    performance,
)
from simstudy.command.planning import (
    PLAN_EXAMPLE,
    SELFTEST_EXAMPLE,
    describe_plan,
    describe_selftest,
    plan,
    runner_until,
    selftest,
)
from simstudy.command.sharing import (
    COLLECT_EXAMPLE,
    SLURM_EXAMPLE,
    STATUS_EXAMPLE,
    collect,
    describe_slurm,
    shard,
    slurm,
    status,
)
from simstudy.files.writing import duration, printable, relative_path
from simstudy.garbage_collection import gc_paused
from simstudy.processes.guardian import FAILED
from simstudy.processes.interrupts import INTERRUPTED, last_words, set_last_words
from simstudy.user_code.tracebacks import short_traceback

DONE, WRONG_INPUT, INCOMPLETE, NOTHING_FITTED = 0, 2, 3, 4

_EXAMPLES = """\
examples:
  simstudy list                                what there is in studies/
  simstudy run gamma                           run studies/gamma.py, write results/gamma/report.html
  simstudy run path/to/mine.py --jobs 2        a study anywhere
  simstudy run gamma --replicates 5000         go on from what is there up to 5,000
  simstudy report gamma                        write the report of results/gamma again
  simstudy replay gamma --scenario 3 --replicate 174
                                               one replicate again, with all its matrices
  simstudy performance estimates.csv --estimate b --se se --truth 0.5
                                               measure anybody's table of estimates
  simstudy export gamma --format rsimsum --out gamma.csv
                                               our table for another program
  simstudy plan gamma --measure cover --mcse 0.005
                                               how many replicates that takes
  simstudy selftest                            is what simstudy reports true?

exit status: 0 done; 1 stopped by an error in the study's code or in simstudy; 2 wrong input;
3 incomplete, can be resumed; 4 nothing could be fitted; 130 interrupted, can be resumed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"simstudy {version('simstudy')}")
        return DONE
    if options.command is None:
        _parser().print_help()
        return WRONG_INPUT
    from simstudy.errors import StudyError
    from simstudy.execution.progress import Failing, Stopped

    try:
        status = int(options.call(options))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the last flush fails again
        print("simstudy: what reads the output has ended; what is stored stays", file=sys.stderr)
        return FAILED
    except StudyError as error:
        _say(f"simstudy: {error}")
        return WRONG_INPUT
    except Stopped as error:
        _say(f"simstudy: {error}")
        return NOTHING_FITTED if isinstance(error, Failing) else INCOMPLETE
    except KeyboardInterrupt:
        print(f"\n{last_words()}", file=sys.stderr)
        return INTERRUPTED
    except (Exception, SystemExit, GeneratorExit) as error:
        _say(short_traceback(error))
        print(last_words("simstudy: stopped by this exception"), file=sys.stderr)
        return FAILED


def _say(text: str) -> None:
    """Print lines, of which not all are ours, on standard error."""
    for line in text.splitlines():
        print(printable(line), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="simstudy",
        description="Which standard error can I trust? Draw data from known parameters, refit, "
        "and hold what every method claims against what really happened.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, call: Any, text: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(call=call)
        return command

    run = add("run", _run, "run a study as far as it is not yet done, and write its report",
              "simstudy run gamma --replicates 200 --jobs 2 --out elsewhere/gamma")  # fmt: skip
    _study(run)
    run.add_argument("--replicates", type=int, metavar="N", help="data sets per scenario")
    run.add_argument("--until", metavar="GOAL", help="instead of --replicates: go on, scenario by "
                     "scenario, until every verdict has fallen (verdict), or until the Monte Carlo "
                     "error of a measure is small enough (cover:0.005)")  # fmt: skip
    run.add_argument("--max-replicates", type=int, default=10_000, metavar="N",
                     help="where --until ends in any case (default: 10000)")  # fmt: skip
    run.add_argument("--jobs", type=int, default=-1, metavar="N",
                     help="worker processes; -1, the default, is one for each core")  # fmt: skip
    run.add_argument("--engine", choices=("auto", "loop", "batched"), default="auto",
                     help="the loop around SciPy, or compiled JAX programs; auto, the default, "
                     "picks by the amount of work")  # fmt: skip
    run.add_argument("--seed", type=int, metavar="S", help="instead of the study's own")
    run.add_argument("--scenario", type=int, action="append", metavar="K",
                     help="only this scenario, by number; may be given again")  # fmt: skip
    run.add_argument("--block", type=int, metavar="N",
                     help="replicates per stored block; changes no number")  # fmt: skip
    run.add_argument("--fresh", action="store_true",
                     help="begin anew; what the folder holds is moved aside")  # fmt: skip
    run.add_argument("--accept-code", action="store_true",
                     help="go on although code was changed; the report says what")  # fmt: skip
    run.add_argument(
        "--accept-versions",
        action="store_true",
        help="go on although workers of "
        "--dask run other versions than this computer; the report says which",
    )
    run.add_argument("--shard", type=shard, metavar="I/N",
                     help="run one share of N, beside others in the same folder")  # fmt: skip
    run.add_argument("--dask", metavar="ADDRESS",
                     help="run on a Dask cluster: tcp://scheduler:8786, or local")  # fmt: skip
    run.add_argument("--timeout", type=float, metavar="SECONDS",
                     help="time limit of a replicate; beyond it its status is timeout")  # fmt: skip
    run.add_argument("--max-fail", type=float, metavar="SHARE",
                     help="stop when more than this share of the fits has failed")  # fmt: skip
    run.add_argument("--quiet", action="store_true", help="no progress and no verdict table")

    report = add("report", _report, "write the report of a study's results again",
                 "simstudy report gamma")  # fmt: skip
    _study(report)

    add("list", _list, "list the studies in studies/ with their aims, without importing them",
        "simstudy list")  # fmt: skip

    replay = add("replay", _replay, "run one replicate again and show everything about it",
                 "simstudy replay gamma --scenario 3 --replicate 174")  # fmt: skip
    _study(replay)
    replay.add_argument("--scenario", type=int, required=True, metavar="K", help="its number")
    replay.add_argument("--replicate", type=int, required=True, metavar="I", help="from 0")
    replay.add_argument("--seed", type=int, metavar="S", help="instead of that of the results, "
                        "or of the study where there are none")  # fmt: skip
    replay.add_argument("--save", type=Path, metavar="FILE.npz", help="save its data, too")
    replay.add_argument("--pdb", action="store_true",
                        help="open the debugger at the first exception in it")  # fmt: skip

    describe_performance(
        add("performance", performance, "measure the performance of anybody's table of estimates",
            PERFORMANCE_EXAMPLE))  # fmt: skip
    describe_export(
        add("export", _export, "write a study's table as rsimsum (R) or simsum (Stata) reads it",
            EXPORT_EXAMPLE))  # fmt: skip

    describe_plan(
        add("plan", _plan, "count the replicates for a target precision, by theory and by a pilot",
            PLAN_EXAMPLE))  # fmt: skip
    describe_selftest(
        add("selftest", selftest, "hold what simstudy reports against what is known exactly",
            SELFTEST_EXAMPLE))  # fmt: skip

    array = add("slurm", lambda options: slurm(options.study, _folder(options), options.tasks),
                "print the script of a SLURM array that runs a study", SLURM_EXAMPLE)  # fmt: skip
    _study(array)
    describe_slurm(array)
    _study(add("status", lambda options: status(_folder(options)),
               "say how far a study is and who works on it", STATUS_EXAMPLE))  # fmt: skip
    _study(add("collect", lambda options: collect(_folder(options)),
               "check what shares of a run have stored, and write the report",
               COLLECT_EXAMPLE))  # fmt: skip
    return parser


def _study(command: argparse.ArgumentParser) -> None:
    """Add what names a study and its folder."""
    command.add_argument("study", metavar="STUDY", help="a name in studies/, or a path to a file")
    command.add_argument("--out", type=_named, metavar="DIR",
                         help="folder of the results (default: results/<name>)")  # fmt: skip


def _named(text: str) -> Path:
    """Read the name of a folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; leave --out out for results/<name>")
    return Path(text)


def _run(options: argparse.Namespace) -> int:
    """Run a study and write its report."""
    from simstudy.execution.workers import warm_up

    again = _command(options)
    set_last_words("nothing is stored yet", again)
    if options.jobs != 1 and options.dask is None:
        warm_up()
    with gc_paused():
        from simstudy.design.loading import load
        from simstudy.errors import StudyError
        from simstudy.execution.runner import run

    if options.block is not None and options.block < 1:
        raise StudyError(f"--block is {options.block}; give at least 1")
    home = Path.cwd()  # which the study's code may leave
    study, reference = load(options.study)
    folder = home / (options.out or Path("results") / study.name)
    runs: Any = run if options.until is None else runner_until(options)
    with _executor(options) as executor:
        outcome = runs(
            study,
            reference=reference,
            out=folder,
            replicates=options.replicates,
            jobs=options.jobs,
            engine=options.engine,
            size=options.block,
            seed=options.seed,
            scenarios=options.scenario,
            executor=executor,
            timeout=options.timeout,
            max_fail=options.max_fail,
            shard=options.shard,
            fresh=options.fresh,
            accept_code=options.accept_code,
            accept_versions=options.accept_versions,
            quiet=options.quiet,
            command=again,
            meanwhile=_prepare if options.shard is None else None,
        )
    if outcome.interrupted:
        print(f"\n{last_words()}", file=sys.stderr)
        return INTERRUPTED
    if options.shard is not None:
        print(f"share {options.shard[0]} of {options.shard[1]} is done; when all are: simstudy "
              f"collect {options.study}")  # fmt: skip
        return DONE
    try:
        from simstudy.result import Result

        published = Result(outcome.folder).publish()
    except StudyError:
        raise
    except Exception as error:
        _say(short_traceback(error))
        shown = relative_path(folder, home)
        print(f"simstudy: the report failed; all replicates are stored in {shown}", file=sys.stderr)
        return INCOMPLETE
    if not options.quiet:
        from simstudy.report.terminal import terminal_table

        print(terminal_table(published.verdicts))
        print(
            f"{outcome.computed:,} replicates in {duration(outcome.seconds)}, {_by(outcome.folder)}"
        )
        print(f"report: {relative_path(published.path, home)}")
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


def _by(folder: Path) -> str:
    """Say which engine it was, and why."""
    from simstudy.store.journal import Store

    manifest = Store(folder).manifest()
    return f"by the {manifest['engine']} engine ({printable(manifest['engine_why'])})"


def _prepare() -> None:
    """Load what the end of a run takes."""
    with gc_paused():
        from simstudy.result import prepare

        prepare()


def _executor(options: argparse.Namespace) -> Any:
    """Connect to Dask where that is asked for."""
    from contextlib import nullcontext

    if options.dask is None:
        return nullcontext()
    from simstudy.execution.dask_cluster import connected
    from simstudy.execution.runner import workers

    return connected(options.dask, workers(options.jobs))


def _report(options: argparse.Namespace) -> int:
    """Write the report again."""
    from simstudy.result import Result

    published = Result(_folder(options)).publish()
    print(f"report: {published.path}")
    if published.lacking:
        print(f"simstudy: {printable(published.lacking)}", file=sys.stderr)
    return INCOMPLETE if published.lacking else DONE


def _export(options: argparse.Namespace) -> int:
    """Write a study's table for another program."""
    options.out, target = None, options.out
    return export(_folder(options), options.format, target)


def _plan(options: argparse.Namespace) -> int:
    """Count replicates."""
    return plan(options, None if options.study is None else _folder(options))


def _list(options: argparse.Namespace) -> int:
    """List names and aims, reading the files without importing them."""
    paths = sorted(Path("studies").glob("*.py"))
    if not paths:
        print("no studies: there is no file studies/*.py here", file=sys.stderr)
        return WRONG_INPUT
    for path in paths:
        try:
            aims = (
                ast.get_docstring(ast.parse(path.read_bytes())) or "(no docstring states its aims)"
            )
        except SyntaxError as error:
            aims = f"(cannot be read: line {error.lineno}: {error.msg})"
        print(f"{path.stem:<16} {aims.splitlines()[0]}")
    return DONE


def _replay(options: argparse.Namespace) -> int:
    """Run one replicate again and show it."""
    from dataclasses import replace

    from simstudy.design.loading import load
    from simstudy.errors import StudyError
    from simstudy.execution.replay import debug, replay, save, show, unlike_stored
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
    again = replay(study, *place, engine)
    print(show(study, *place, again))
    unlike = None
    if manifest and manifest["study"]["seed"] == study.seed:
        unlike = unlike_stored(study, reference, *place, again, store)
    print(f"\nby the {engine} engine; " + (
        f"nothing is stored of it in {relative_path(store.folder, home)}" if unlike is None
        else "NOT WHAT IS STORED:\n" + "\n".join(unlike) if unlike
        else "the same as what is stored, bit for bit"
    ))  # fmt: skip
    if options.pdb:
        debug(study, options.scenario, options.replicate)
    if options.save is not None:
        save(study, options.scenario, options.replicate, options.save)
        print(f"data: {options.save}")
    return WRONG_INPUT if unlike else DONE


def _folder(options: argparse.Namespace) -> Path:
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


def _command(options: argparse.Namespace) -> str:
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
